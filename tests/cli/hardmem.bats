# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034
# Memory that is hard to save: what is there is in the core, what is not is not, and the process has
# not a page more than before. Each case by corecheck, page by page, and by gdb.

load helpers

# start_hard CASE
start_hard() {
    need_root
    [ -x "$VICTIMS/victim_hard" ] || skip "for 64-bit machines"
    start_victim victim_hard "$1"
    wait_for 10 has_state "$VICTIM" S
}

# memory_of PID: what it has of memory, and what the files of its mappings have.
memory_of() {
    local kind name start len range
    grep -E '^(Rss|Anonymous|AnonHugePages|ShmemPmdMapped|Shared_Hugetlb|Private_Hugetlb|Swap):' "/proc/$1/smaps_rollup"
    while read -r kind name start len; do
        [ "$kind" = map ] || continue
        range=$(printf '%x-%x' "$start" $((start + len)))
        [ ! -e "/proc/$1/map_files/$range" ] || echo "$name $(stat -L -c '%b blocks, size %s' "/proc/$1/map_files/$range")"
    done <"$(victim_out "$1")"
}

# dump_hard [ARG...]: complete, and not a page more than before.
dump_hard() {
    local before
    before=$(memory_of "$VICTIM")
    dump "$VICTIM" "$@"
    [ "$before" = "$(memory_of "$VICTIM")" ] || fail "the process has other memory than before" "$(diff <(echo "$before") <(memory_of "$VICTIM"))"
}

# gdb_sees STATE...: every page of these, or that there is none.
gdb_sees() {
    command -v gdb >/dev/null || return 0
    run timeout -s KILL 120 gdb -nx -batch -iex 'set auto-solib-add off' -ex "set \$out = \"$(victim_out)\"" -ex "set \$states = \"$*\"" \
        -iex 'set auto-load off' "$VICTIMS/victim_hard" core -x "$TESTS/compare/gdbtruth.py"
    grep -qE '^gdb: [1-9][0-9]* pages, 0 bad$' <<<"$output" || fail "gdb:" "$output"
}

@test "guard pages: only these are missing, and that is no loss" {
    start_hard guard
    ! victim_says "$VICTIM" '^skip guard_touched' || skip "$(awk '/^skip/ { $1 = $2 = ""; print; exit }' "$(victim_out)")"
    wait_for 10 victim_says "$VICTIM" '^stacked'
    local options
    for options in --filter=0x33 --filter=0x7f --all; do
        dump_hard "$options"
        check truth "$(victim_out)" present/*=full hole/*=full never/*=absent shadowed/*=absent
        gdb_sees present hole never
    done
}

@test "mappings that go on behind the end of their file" {
    start_hard truncated
    dump_hard --filter=0x33
    # Shared files that have a name are left to it.
    check truth "$(victim_out)" present/*=full hole/*=full never/*=absent present/short_shared=any \
        present/cut_shared=any never/short_shared=any never/cut_shared=any never/empty=any
    local options
    for options in --filter=0x7f --all; do
        dump_hard "$options"
        check truth "$(victim_out)" present/*=full hole/*=full never/*=absent
        gdb_sees present hole never
    done
}

@test "PROT_NONE of many GiB, write-only, execute-only: what was touched, and nothing else" {
    start_hard protected
    local options
    for options in --filter=0x33 --all; do
        dump_hard "$options"
        check truth "$(victim_out)" present/*=full hole/*=full behind/*=full
        [ "$(($(stat -c '%b * %B' core)))" -lt $((16 << 20)) ]
    done
    gdb_sees present hole behind
}

@test "memory behind a protection key that is shut" {
    start_hard pkey
    ! victim_says "$VICTIM" '^skip' || skip "$(awk '/^skip/ { $1 = $2 = ""; print; exit }' "$(victim_out)")"
    dump_hard
    check truth "$(victim_out)" present/*=full
}

@test "a reservation of 16 TiB with some pages: a small core for any file system" {
    start_hard reserve
    local options
    for options in --filter=0x33 --all; do
        dump_hard "$options"
        check truth "$(victim_out)" present/*=full hole/*=full
        [ "$(stat -c %s core)" -lt $((8 << 20)) ] || fail "$(stat -c %s core) bytes"
        # One segment for each place that was touched, and those of a small process.
        [ "$(check segments | wc -l)" -lt 80 ]
    done
    gdb_sees present hole
}

@test "sparse files and shared memory: what exists, mapped here or not, and no hole is filled" {
    start_hard holes
    dump_hard --filter=0x33
    # What a named file has is left to it; the rest is in no file that a reader could find.
    check truth "$(victim_out)" present/*=full hole/*=full behind/*=full present/file=left behind/file=left \
        behind/file_private=left behind/memfd_private=any behind/memfd_20t=any
    local options
    for options in --filter=0x7f --all; do
        dump_hard "$options"
        check truth "$(victim_out)" present/*=full hole/*=full behind/*=full behind/file_private=any
        # 20 TiB and a few of 8 GiB.
        [ "$(stat -c %s core)" -lt $((16 << 20)) ] || fail "$(stat -c %s core) bytes"
    done
    check truth "$(victim_out)" behind/file_private=full
    gdb_sees present hole behind
}

@test "sparse files as a user who may not look into them: bounded, the rest is a loss" {
    need_tool setpriv
    local before options victims=$VICTIMS
    publish
    cp "$victims/victim_hard" "$VICTIMS"
    VICTIM_PREFIX=("${AS_USER[@]}")
    start_hard holes
    for options in --filter=0x33 --all; do
        before=$(memory_of "$VICTIM")
        remember "$VICTIM"
        RUN_PREFIX=("${AS_USER[@]}")
        chmod 0777 .
        livecore -p "$VICTIM" -o core --force "$options"
        RUN_PREFIX=()
        expect_status 1
        expect_stderr 'CAP_CHECKPOINT_RESTORE'
        assert_untouched "$VICTIM"
        check sane
        [ "$before" = "$(memory_of "$VICTIM")" ] || fail "other memory" "$(diff <(echo "$before") <(memory_of "$VICTIM"))"
        check truth "$(victim_out)" present/*=full present/file=any
        gdb_sees present
        rm core
    done
}

@test "memfd_secret and MADV_DONTDUMP: left out, said, no loss" {
    start_hard excluded
    local secret=()
    victim_says "$VICTIM" '^skip secret' || secret=(never/secret=absent)
    dump_hard
    check truth "$(victim_out)" present/dontdump=absent present/dump_again=full "${secret[@]}"
    livecore -n "$VICTIM"
    expect_status 0
    expect_output 'MADV_DONTDUMP'
    [ ${#secret[@]} = 0 ] || expect_output 'memfd_secret'
    dump_hard --all
    check truth "$(victim_out)" present/*=full "${secret[@]}"
    gdb_sees present never
}

# N_WHOLE=1 fills all of it, which takes 6 GiB of memory and of the disk.
@test "6 GiB in one mapping: each page where it belongs" {
    start_hard "six_gib${N_WHOLE:+_whole}"
    dump_hard
    check truth "$(victim_out)" present/*=full
    gdb_sees present
    dump_hard --all
    check truth "$(victim_out)" present/*=full
}

@test "the last page of the address space, the lowest, and page 0" {
    local name
    need_root
    for name in victim_edges victim_edges32; do
        [ "$name" = victim_edges ] || need_victim32
        start_victim "$name"
        victim_says "$VICTIM" '^map last' || fail "no last page" "$(cat "$(victim_out)")"
        dump "$VICTIM" --verify
        check truth "$(victim_out)" '*=full'
        dump "$VICTIM" --all
        check truth "$(victim_out)" '*=full'
    done
}

# churns [ARG]: 25 dumps (N_DUMPS) of victim_churn; each core holds what its own table says.
churns() {
    local before dumps
    start_victim victim_churn "$@"
    before=$(ask changes)
    remember "$VICTIM" loose
    for ((dumps = 0; dumps < ${N_DUMPS:-25}; dumps++)); do
        livecore -p "$VICTIM" -o core --force
        expect_status 0
        check churn "$(victim_out)"
    done
    check sane
    assert_untouched "$VICTIM" loose
    [ "$(ask changes | awk '{ print $2 }')" -gt "$(awk '{ print $2 }' <<<"$before")" ]
}

@test "mappings that come and go at full speed: the core is that of the freeze" {
    need_root
    churns
}

@test "mappings that look alike, some of them MADV_DONTDUMP, replaced at full speed" {
    need_root
    churns alike
}

@test "files that another process cuts and extends during the dumps" {
    start_hard truncated
    local dir=${VICTIM_DIR[$VICTIM]} dumps
    (
        exec 3>&-
        # Ends with the test.
        while [ -e "$dir/cut_shared" ] && [ -d "/proc/$VICTIM" ]; do
            truncate -s 0 "$dir/cut_shared" "$dir/cut_private"
            truncate -s 131072 "$dir/cut_shared" "$dir/cut_private"
        done
    ) &
    OTHERS+=($!)
    for ((dumps = 0; dumps < 15; dumps++)); do
        livecore -p "$VICTIM" -o core --force --all
        [ "$status" -le 1 ] || fail "status $status: $stderr"
        check sane
        check truth "$(victim_out)" present/*=full hole/*=full never/*=absent present/cut_shared=any hole/cut_shared=any \
            never/cut_shared=any present/cut_private=any hole/cut_private=any never/cut_private=any
    done
    end_process "${OTHERS[-1]}"
    remember "$VICTIM"
    assert_untouched "$VICTIM"
}

# ranges_read TRACE: START END of each range that was asked of the process.
ranges_read() {
    python3 - "$1" <<'PYTHON'
import re, sys
for line in open(sys.argv[1]):
    # "<... process_vm_readv resumed>" too; its second list is the other process's
    if "process_vm_readv" in line:
        for base, length in re.findall(r"iov_base=(?:0x)?([0-9a-f]+|NULL), iov_len=(\d+)", line.partition("], 1, [")[2]):
            if base != "NULL":
                print("%#x %#x" % (int(base, 16), int(base, 16) + int(length)))
    match = re.search(r'pread64.*, (\d+), (\d+)\) += ', line)
    if match:
        print("%#x %#x" % (int(match[2]), int(match[2]) + int(match[1])))
PYTHON
}

# is_read START END: some of it, according to ./ranges.
is_read() {
    local from to
    while read -r from to; do
        ((to <= $1 || from >= $2)) || return 0
    done <ranges
    return 1
}

@test "devices are never read; rings, /dev/zero by another name and files below /dev are what they are" {
    need_tool strace
    need_root
    start_victim victim_devices
    wait_for 10 has_state "$VICTIM" S
    local options name start len expected=()
    for name in zero_elsewhere file_in_dev; do
        [ -z "$(truth_of map $name 3)" ] || expected+=("$name=full")
    done
    [ ${#expected[@]} -gt 0 ] || skip "neither device nor file can be made here"
    without_leak_check
    for options in --filter=0x33 --all; do
        remember "$VICTIM"
        run --separate-stderr timeout -s KILL 120 strace -f -v -X raw -s 0 -o trace -e trace=process_vm_readv,pread64 \
            "$LIVECORE" -p "$VICTIM" -o core --force "$options"
        expect_status 0
        assert_untouched "$VICTIM"
        check sane
        check truth "$(victim_out)" "${expected[@]}"
        ranges_read trace >ranges
        [ "$(wc -l <ranges)" -gt 5 ] || fail "nothing was read?" "$(head -5 trace)"
        while read -r start len; do
            [ "$(check where "$start" "$((len))" | awk '{ print $1 }')" = none ]
            ! is_read "$start" $((start + len)) || fail "the device at $start was read" "$(cat ranges)"
        done < <(awk '$1 == "device" { print $3, $4 }' "$(victim_out)")
    done
    # Rings are memory that exists; the list of what was read has them.
    while read -r start len; do
        [ "$(check where "$start" "$((len))" | awk '{ print $1 }')" = file ]
        is_read "$start" $((start + len)) || fail "$start is in no read"
    done < <(awk '$1 == "ring" { print $3, $4 }' "$(victim_out)")
    livecore -n "$VICTIM" --all
    expect_status 0
    ! victim_says "$VICTIM" '^device' || expect_output 'device memory'
}
