# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154
# Which memory the core holds, byte by byte, for each kind of mapping and each filter.

load helpers

setup_file() {
    # Two huge pages of 2 MiB, where the kernel has them; given back at the end.
    HUGE=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
    if [ -w "$HUGE" ]; then
        HUGE_BEFORE=$(cat "$HUGE")
        echo $((HUGE_BEFORE + 4)) >"$HUGE" || true
        export HUGE HUGE_BEFORE
    fi
}

teardown_file() {
    [ -z "${HUGE_BEFORE:-}" ] || echo "$HUGE_BEFORE" >"$HUGE"
}

# What the usual filter (0x33) takes and leaves; memfd_private has a test of its own.
USUAL=('*=full' dontdump=absent file_private_clean=left file_shared=left deleted_private=absent
    memfd_private=any)

# has_huge: huge pages can be had.
has_huge() {
    [ -n "$(truth_of map huge_private 3)" ]
}

usual_with_huge() {
    if has_huge; then
        USUAL+=(huge_shared=absent)
    fi
}

@test "the usual filter: every mapping as the kernel takes it" {
    start_victim victim_mem
    usual_with_huge
    dump "$VICTIM" --verify
    check truth "$(victim_out)" "${USUAL[@]}"
}

@test "every segment lies in a mapping, with its rights; NT_FILE and NT_AUXV are /proc's" {
    start_victim victim_mem
    cat "/proc/$VICTIM/maps" >maps
    for options in --filter=0x33 --all --filter=0x7f; do
        dump "$VICTIM" "$options"
        check covers maps
        check files maps
        check auxv "/proc/$VICTIM/auxv"
    done
    rm maps
}

@test "--all: every readable mapping, whatever the filter and MADV_DONTDUMP say" {
    start_victim victim_mem
    echo 0 >"/proc/$VICTIM/coredump_filter"
    dump "$VICTIM" --all
    check truth "$(victim_out)" '*=full'
    # Executable and libraries, too: the code is in the file itself.
    local start
    start=0x$(awk '$2 == "r-xp" && /victim_mem/ { sub("-.*", ""); print; exit }' "/proc/$VICTIM/maps")
    [[ $(check where "$start" 4096) == file* ]]
    start=0x$(awk '$2 == "r-xp" && /libc/ { sub("-.*", ""); print; exit }' "/proc/$VICTIM/maps")
    [[ $(check where "$start" 65536) == file* ]]
}

@test "--filter=0x0: nothing is dumped; what a file does not hold is absent, not zero" {
    start_victim victim_mem
    dump "$VICTIM" -f 0x0
    # The file of file_private_modified does not hold the modified page.
    check truth "$(victim_out)" '*=absent' file_private_clean=left file_private_modified=any \
        file_shared=left anon_read=any anon_untouched=any anon_partial=any anon_zeroed=any sparse=any \
        none_untouched=any anon_shared=any
    local start
    start=$(truth_of fill file_private_modified 3)
    [ "$(check where $((start + 4096)) 4096 | awk '{ print $1 }')" = none ]
    # Pages of pattern among untouched ones: never covered.
    for start in $(awk '$1 == "fill" && $2 ~ /anon_partial|anon_zeroed|sparse|anon_shared/ { print $3 }' "$(victim_out)"); do
        [ "$(check where "$start" 4096 | awk '{ print $1 }')" = none ] || fail "$start is covered"
    done
}

@test "--filter=anon-private: what the process wrote, and nothing shared" {
    local expected=('*=full' dontdump=absent file_private_clean=left file_shared=left
        deleted_private=absent memfd_private=absent memfd_shared=absent deleted_shared=absent
        sysv_shm=absent anon_shared=any)
    start_victim victim_mem
    ! has_huge || expected+=(huge_private=absent huge_shared=absent)
    dump "$VICTIM" -f anon-private
    check truth "$(victim_out)" "${expected[@]}"
    [ "$(check where "$(truth_of fill anon_shared 3)" 4096 | awk '{ print $1 }')" = none ]
}

@test "--filter=anon-shared: shared memory and deleted files" {
    start_victim victim_mem
    dump "$VICTIM" -f anon-shared
    check truth "$(victim_out)" anon_shared=full memfd_shared=full deleted_shared=full sysv_shm=full \
        anon_dirty=absent heap=absent stack=absent none_touched=absent write_only=absent \
        deleted_private=absent memfd_private=absent file_shared=left file_private_clean=left
}

@test "--filter=file-private: files mapped privately, deleted ones too" {
    start_victim victim_mem
    dump "$VICTIM" -f file-private
    # Pages of a named file that were never used are left to it; a deleted one has no file any more.
    check truth "$(victim_out)" deleted_private=full memfd_private=full file_private_modified=any \
        file_private_clean=left anon_dirty=absent heap=absent anon_shared=any memfd_shared=absent
    local start
    start=$(truth_of fill file_private_modified 3)
    [ "$(check where $((start + 4096)) 4096 | awk '{ print $1 }')" = file ]
}

@test "--filter=file-shared: shared files that have a name" {
    start_victim victim_mem
    dump "$VICTIM" -f file-shared
    check truth "$(victim_out)" file_shared=full memfd_shared=absent deleted_shared=absent \
        anon_dirty=absent file_private_clean=left
}

@test "--filter: huge pages have bits of their own" {
    need_root
    start_victim victim_mem
    has_huge || skip "no huge pages: $(awk '$2 == "huge_private" { $1 = $2 = ""; print; exit }' "$(victim_out)")"
    dump "$VICTIM" -f hugetlb-shared
    check truth "$(victim_out)" huge_shared=full huge_private=absent anon_dirty=absent anon_shared=any
    dump "$VICTIM" -f hugetlb-private
    check truth "$(victim_out)" huge_shared=absent huge_private=full anon_dirty=absent anon_shared=any
}

@test "--filter=elf-headers: the first page of each ELF file, and of executable ones" {
    start_victim victim_mem
    dump "$VICTIM" -f elf-headers
    local start n=0
    for start in $(awk '$3 == "00000000" && $2 ~ /^r/ && /victim_mem$|libc|ld-linux/ { sub("-.*", ""); print "0x" $1 }' "/proc/$VICTIM/maps"); do
        [ "$(check read "$start" 4)" = 7f454c46 ]
        [ "$(check where "$start" 4096)" = "file $start $(printf '%#x' $((start + 4096)))" ]
        n=$((n + 1))
    done
    [ "$n" -eq 3 ]
    # memfds are made executable: the kernel takes their first page as well.
    start=$(truth_of map memfd_private 3)
    [ "$(check where "$start" 8192 | awk '{ print $1 }' | tr '\n' ' ')" = "file none " ]
    dump "$VICTIM" -f anon-private
    start=0x$(awk '/victim_mem$/ { sub("-.*", ""); print; exit }' "/proc/$VICTIM/maps")
    [ "$(check where "$start" 4096 | awk '{ print $1 }')" = memsz ]
}

@test "--filter: bits and names say the same; + and - change the process's own" {
    start_victim victim_mem
    stop_process "$VICTIM"
    same_plan() {
        local first
        livecore -n "$VICTIM" "$1"
        expect_status 0
        first=$output
        livecore -n "$VICTIM" "$2"
        expect_status 0
        [ "$first" = "$output" ] || fail "$1 is not $2" "$(diff <(echo "$first") <(echo "$output"))"
    }
    same_plan -f0x33 --filter=anon-private,anon-shared,elf-headers,hugetlb-private
    same_plan -f0x1ff --filter=anon-private,anon-shared,file-private,file-shared,elf-headers,hugetlb-private,hugetlb-shared,dax-private,dax-shared
    same_plan -f0x3b --filter=+file-shared
    same_plan -f0x31 --filter=-anon-shared
    same_plan -f0x39 --filter=+file-shared,-anon-shared
    echo 0x4 >"/proc/$VICTIM/coredump_filter"
    same_plan -f0x5 --filter=+anon-private
    same_plan -f0x4 --filter=-anon-private
}

@test "the process's own coredump_filter counts, and stays" {
    start_victim victim_mem
    echo 0x8 >"/proc/$VICTIM/coredump_filter"
    dump "$VICTIM"
    check truth "$(victim_out)" file_shared=full anon_dirty=absent heap=absent memfd_shared=absent
    dump "$VICTIM" --filter=0x33
    usual_with_huge
    check truth "$(victim_out)" "${USUAL[@]}"
    [ "$(cat "/proc/$VICTIM/coredump_filter")" = 00000008 ]
}

@test "memory that was never touched takes no space and stays untouched" {
    start_victim victim_mem
    # dump compares Rss of every mapping and the page tables, before and after.
    dump "$VICTIM" --all
    local start
    for name in anon_untouched none_untouched; do
        start=$(truth_of map $name 3)
        [ "$(check where "$start" 65536 | awk '{ print $1 }')" != none ]
    done
    [ "$(($(stat -c '%b * %B' core)))" -lt $((16 << 20)) ]
}

@test "a reservation of 4 TiB costs nothing" {
    start_victim victim_clock -r 4194304
    dump "$VICTIM"
    [ "$(($(stat -c '%b * %B' core)))" -lt $((2 << 20)) ]
    dump "$VICTIM" --all
    [ "$(($(stat -c '%b * %B' core)))" -lt $((16 << 20)) ]
}

@test "a mapping longer than its file: what can be read is there" {
    start_victim victim_mem beyond
    local options
    for options in --filter=0x33 --filter=+file-private --all; do
        remember "$VICTIM"
        livecore -p "$VICTIM" -o core --force "$options"
        [ "$status" -le 1 ] || fail "$options: status $status: $stderr"
        assert_untouched "$VICTIM"
        check sane
        check truth "$(victim_out)" file_beyond=full heap=full anon_dirty=full
    done
}

@test "a scanner that decides about every open is asked nothing while it is frozen" {
    need_root
    start_victim victim_fanotify
    [ -z "$(truth skip)" ] || skip "$(grep ^skip "$(victim_out)")"
    local opened
    # It is at work: whoever opens the file waits for it.
    cat "$(truth path)" >/dev/null
    opened=$(ask count)
    [ "$opened" = "opened 1" ]
    remember "$VICTIM"
    livecore -p "$VICTIM" --all -v -o core
    expect_status 1
    assert_untouched "$VICTIM"
    # What it has is there, what it never touched is a loss: nobody opened the file.
    check truth "$(victim_out)" '*=full'
    expect_stderr "$(printf 'loss: memory [0-9a-f]+-%x .*: pages of a file that the process has not touched' $(($(truth_of map guarded 3) + (1 << 20))))"
    [ "$(ask count)" = "opened 1" ]
    cat "$(truth path)" >/dev/null
    [ "$(ask count)" = "opened 2" ]
}

@test "zero pages and others mixed: each page is right, the zero ones take no space" {
    start_victim victim_clock -m 128 -z 50
    dump "$VICTIM"
    [ "$(($(stat -c '%b * %B' core)))" -lt $((72 << 20)) ]
    local start
    start=$(awk '$1 ~ /-/ && $2 == "rw-p" && $5 == 0 && NF == 5 { split($1, a, "-"); print a[1], a[2] }' "/proc/$VICTIM/maps" |
        while read -r a b; do [ $((0x$b - 0x$a)) -lt $((128 << 20)) ] || echo "0x$b"; done | tail -1)
    start=$((start - (128 << 20)))
    # Page i is zero if i % 100 < 50, else pattern(i * 4096), see victim_clock.c.
    python3 - "$CORECHECK" "$start" <<'PYTHON'
import importlib.machinery, importlib.util, sys
sys.argv = ["corecheck", *sys.argv[1:]]
loader = importlib.machinery.SourceFileLoader("corecheck", sys.argv[1])
spec = importlib.util.spec_from_loader("corecheck", loader)
module = importlib.util.module_from_spec(spec)
loader.exec_module(module)
core, start = module.Core("core"), int(sys.argv[2])
for page in list(range(0, 600)) + list(range(20000, 20400)) + list(range(32500, 32768)):
    want = bytes(4096) if page % 100 < 50 else module.pattern(page * 4096, 0, 512)
    assert core.seen(start + page * 4096, 4096) == want, page
PYTHON
}

@test "many small mappings: each page is right" {
    start_victim victim_many_maps 5000
    dump "$VICTIM" --verify
    check maps "$(victim_out)"
    [ "$(check segments | wc -l)" -ge 5000 ]
}

@test "more than 65,534 segments: PN_XNUM" {
    local before
    need_root
    before=$(cat /proc/sys/vm/max_map_count)
    echo 70500 >/proc/sys/vm/max_map_count || skip "vm.max_map_count cannot be changed"
    start_victim victim_many_maps 70000
    echo "$before" >/proc/sys/vm/max_map_count
    dump "$VICTIM" --verify
    check maps "$(victim_out)"
    check ehdr | grep -qx 'phnum 65535'
    [ "$(check ehdr | awk '/^segments/ { print $2 }')" -gt 70000 ]
    ! command -v eu-readelf >/dev/null || eu-readelf -h core | grep -qE 'Number of program headers entries: +65535 \(7[0-9]{4} in'
}

@test "where process_vm_readv() is denied /proc/PID/mem serves" {
    need_tool strace
    start_victim victim_mem
    usual_with_huge
    remember "$VICTIM"
    run --separate-stderr env ASAN_OPTIONS=detect_leaks=0 strace -f -o trace -e trace=process_vm_readv -e inject=process_vm_readv:error=EPERM \
        "$LIVECORE" -p "$VICTIM" -o core
    expect_status 0
    assert_untouched "$VICTIM"
    check sane
    check truth "$(victim_out)" "${USUAL[@]}"
}
