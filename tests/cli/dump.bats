# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2016
# The main job: a core of a living process, under the right name, and what is said about it.

load helpers

expect_whole_core() {
    check sane
    check truth "$(victim_out)" heap=full data=full bss=full tls=full stack=full anon_dirty=full
}

@test "one process to a file: the core is whole, the message says what a person wants" {
    start_victim victim_mem
    remember "$VICTIM"
    livecore -p "$VICTIM" -o core
    expect_status 0
    assert_untouched "$VICTIM"
    expect_whole_core
    [ -z "$stderr" ] || fail "unexpected: $stderr"
    expect_output '^livecore: wrote core \([0-9.]+ (KiB|MiB), [0-9.]+ (KiB|MiB) on disk\), 1 thread, frozen [0-9.]+ (us|ms|s)$'
    [ "$(wc -l <<<"$output")" -eq 1 ]
    [ "$(stat -c '%a %u' core)" = "600 $(id -u)" ]
    assert_files core
}

@test "the mode is 0600 whatever the umask" {
    start_victim victim_busy 1
    local mask
    for mask in 0 0777; do
        # shellcheck disable=SC2016
        RUN_PREFIX=(bash -c 'umask "$0" && exec "$@"' "$mask")
        livecore -p "$VICTIM" -o "with-$mask"
        expect_status 0
        [ "$(stat -c %a "with-$mask")" = 600 ]
    done
}

@test "a plain argument, and core.PID by default" {
    start_victim victim_mem
    remember "$VICTIM"
    livecore "$VICTIM"
    expect_status 0
    assert_untouched "$VICTIM"
    assert_files "core.$VICTIM"
    mv "core.$VICTIM" core
    expect_whole_core
}

@test "several processes, each reported; the exit status is the worst" {
    start_victim victim_mem
    local first=$VICTIM second
    start_victim victim_busy 3
    second=$VICTIM
    remember "$first"
    remember "$second"
    livecore "$first" "$second"
    expect_status 0
    expect_output "wrote core\.$first .* 1 thread,"
    expect_output "wrote core\.$second .* 4 threads,"
    assert_untouched "$first"
    assert_untouched "$second"
    assert_files "core.$first" "core.$second"
    "$CORECHECK" "core.$second" sane
    rm core.*
    # A process that is not there in between: the others are dumped.
    livecore "$first" 4194304 "$second"
    expect_status 2
    expect_stderr 'no process 4194304|4194304.*no such process'
    assert_files "core.$first" "core.$second"
    assert_untouched "$first"
    assert_untouched "$second"
}

@test "several processes and one name: the PID is appended, unless the name has it" {
    start_victim victim_busy 1
    local first=$VICTIM
    start_victim victim_busy 1
    livecore "$first" "$VICTIM" -o name
    expect_status 0
    assert_files "name.$first" "name.$VICTIM"
    rm name.*
    livecore "$first" "$VICTIM" -o 'x-%p-y'
    expect_status 0
    assert_files "x-$first-y" "x-$VICTIM-y"
}

@test "templates as in core(5)" {
    start_victim victim_busy 1
    livecore -p "$VICTIM" -o '%p.%P.%e.%u.%g.%h.%i.%I.%%'
    expect_status 0
    assert_files "$VICTIM.$VICTIM.victim_busy.$(id -u).$(id -g).$(uname -n).$VICTIM.$VICTIM.%"
    rm -- "$VICTIM".*
    livecore -p "$VICTIM" -o '%E'
    expect_status 0
    assert_files "$(readlink "/proc/$VICTIM/exe" | tr / '!')"
    rm -- '!'*
    local before
    before=$(date +%s)
    livecore -p "$VICTIM" -o '%t'
    expect_status 0
    local name
    name=$(find . -maxdepth 1 -type f -regex './[0-9]+' -printf '%f')
    [ "$name" -ge "$before" ] && [ "$name" -le "$(date +%s)" ]
}

@test "a file name that the process chose does not leave the directory" {
    printf '#!/bin/sh\n' >/dev/null
    cp "$VICTIMS/victim_busy" ./'..'"$(printf '\033')"'x' 2>/dev/null
    local dir=$BATS_TEST_TMPDIR
    VICTIMS=$dir start_victim '..'"$(printf '\033')"'x' 1
    livecore -p "$VICTIM" -o 'sub-%e'
    expect_status 0
    [ "$(find . -maxdepth 1 -type f -name 'sub-*' | wc -l)" -eq 1 ]
    [[ $stderr != *$'\033'* ]]
}

@test "--force replaces a file, and a symbolic link instead of what it points to" {
    start_victim victim_mem
    echo old >core
    remember "$VICTIM"
    livecore -p "$VICTIM" -o core
    expect_status 2
    [ "$(cat core)" = old ]
    livecore -p "$VICTIM" -o core --force
    expect_status 0
    expect_whole_core
    echo precious >target
    ln -s target link
    livecore -p "$VICTIM" -o link --force
    expect_status 0
    [ ! -L link ] && [ "$(cat target)" = precious ]
    mv -f link core
    expect_whole_core
    assert_untouched "$VICTIM"
    assert_files core target
}

@test "a thread that is not the leader is refused with the process to use" {
    start_victim victim_busy 1
    local tid
    tid=$(ask x | awk '{ print $3 }')
    remember "$VICTIM"
    livecore -p "$tid"
    expect_status 2
    expect_stderr "$tid.*thread.*" "$VICTIM"
    assert_files
    assert_untouched "$VICTIM"
}

@test "standard output: a pipe gets the core in order, the same as a file" {
    start_victim victim_mem
    remember "$VICTIM"
    "$LIVECORE" -p "$VICTIM" -o - 2>err | cat >core
    assert_untouched "$VICTIM"
    expect_whole_core
    grep -qE 'livecore: wrote .*' err
    mv core piped
    stop_process "$VICTIM"
    "$LIVECORE" -p "$VICTIM" -o - 2>err | cat >piped
    "$LIVECORE" -p "$VICTIM" -o core 2>err
    "$CORECHECK" piped diff core
    [ "$(stat -c %s piped)" -eq "$(stat -c %s core)" ]
}

@test "standard output: a file, from its position on, sparse" {
    start_victim victim_mem
    remember "$VICTIM"
    "$LIVECORE" -p "$VICTIM" -o - >core 2>err
    assert_untouched "$VICTIM"
    expect_whole_core
    { head -c 4096 /dev/zero && "$LIVECORE" -p "$VICTIM" -o - 2>err && echo behind; } >all
    [ "$(tail -c 7 all)" = behind ]
    tail -c +4097 all | head -c -7 >core
    expect_whole_core
    assert_untouched "$VICTIM"
}

@test "standard output: appended to a file" {
    start_victim victim_mem
    echo 1234567 >all
    "$LIVECORE" -p "$VICTIM" -o - >>all 2>err
    tail -c +9 all >core
    expect_whole_core
}

@test "a terminal is refused" {
    need_tool script
    start_victim victim_busy 1
    remember "$VICTIM"
    run script -qec "$LIVECORE -p $VICTIM -o -" /dev/null
    [ "$status" -eq 2 ] || [ "$status" -eq 64 ] || fail "status $status"
    expect_output 'terminal'
    [[ $output != *ELF* ]]
    assert_untouched "$VICTIM"
}

@test "/dev/fd/N is the descriptor itself, not opened again" {
    start_victim victim_mem
    remember "$VICTIM"
    # Re-opening would begin at the start of the file, and a file without a name could not be.
    exec 9<>file
    echo header >&9
    rm file
    "$LIVECORE" -p "$VICTIM" -o /dev/fd/9 2>err
    echo trailer >&9
    tail -c +8 /proc/self/fd/9 | head -c -8 >core
    head -c 7 /proc/self/fd/9 | grep -qx header
    tail -c 8 /proc/self/fd/9 | grep -qx trailer
    exec 9>&-
    expect_whole_core
    exec 9> >(cat >core)
    "$LIVECORE" -p "$VICTIM" -o /dev/fd/9 2>err
    exec 9>&-
    wait_for 10 check sane
    expect_whole_core
    livecore -p "$VICTIM" -o /dev/fd/77
    expect_status 2
    expect_stderr '77'
    exec 9<err
    livecore -p "$VICTIM" -o /dev/fd/9
    expect_status 2
    assert_untouched "$VICTIM"
}

@test "/dev/full: one clear line, status 2" {
    start_victim victim_mem
    remember "$VICTIM"
    livecore -p "$VICTIM" -o /dev/full
    expect_status 2
    expect_stderr '/dev/full.*([Nn]o space|full)'
    assert_untouched "$VICTIM"
    stderr=$("$LIVECORE" -p "$VICTIM" -o - 2>&1 >/dev/full) && fail "status 0"
    expect_stderr '([Nn]o space|full)'
    assert_untouched "$VICTIM"
    assert_files
}

@test "a FIFO that somebody reads" {
    start_victim victim_mem
    mkfifo fifo
    cat fifo >core &
    livecore -p "$VICTIM" -o fifo --force
    expect_status 0
    wait $!
    expect_whole_core
}

@test "--json: what it says is true" {
    need_tool jq
    start_victim victim_busy 3
    remember "$VICTIM"
    livecore -p "$VICTIM" -o core --json
    expect_status 0
    assert_untouched "$VICTIM"
    [ "$(json .pid)" = "$VICTIM" ]
    [ "$(json .comm)" = victim_busy ]
    [ "$(json .exe)" = "$(readlink "/proc/$VICTIM/exe")" ]
    [ "$(json .output)" = core ]
    [ "$(json .bytes)" = "$(stat -c %s core)" ]
    [ "$(json .bytes_on_disk)" = "$(stat -c '%b * %B' core | xargs expr)" ]
    [ "$(json .n_threads)" = 4 ]
    [ "$(json .n_mappings)" = "$(wc -l <"/proc/$VICTIM/maps")" ]
    [ "$(json .strategy)" = off ]
    [ "$(json '.losses | length')" = 0 ]
    [ "$(json .status)" = 0 ]
    [ "$(json .version)" = "$("$LIVECORE" --version | awk '{ print $2; exit }')" ]
    [ "$(json '.frozen_ns > 0 and .total_ns >= .frozen_ns')" = true ]
}

@test "--json: one object for each process, also for what failed" {
    need_tool jq
    start_victim victim_busy 1
    livecore "$VICTIM" 4194304 --json
    expect_status 2
    [ "$(jq -s length <<<"$output")" = 2 ]
    [ "$(jq -s '.[1].pid' <<<"$output")" = 4194304 ]
    [ "$(jq -s '.[1].status' <<<"$output")" = 2 ]
    [ "$(jq -s '.[0].status' <<<"$output")" = 0 ]
}

@test "--json goes to standard error when the core goes to standard output" {
    need_tool jq
    start_victim victim_mem
    "$LIVECORE" -p "$VICTIM" -o - --json >core 2>err
    expect_whole_core
    [ "$(jq -r .bytes err)" = "$(stat -c %s core)" ]
}

@test "--quiet says nothing, --verbose more" {
    start_victim victim_busy 1
    livecore -q "$VICTIM" -o quiet
    expect_status 0
    [ -z "$output$stderr" ] || fail "$output$stderr"
    livecore -v "$VICTIM" -o verbose
    expect_status 0
    expect_output 'stop'
    expect_output 'copy'
    [ "$(wc -l <<<"$output")" -gt 2 ]
    assert_files quiet verbose
}

@test "--verify passes on what was written" {
    start_victim victim_mem
    dump "$VICTIM" --verify
    expect_whole_core
    start_victim victim_regs 2
    dump "$VICTIM" --verify
    # What cannot be read again cannot be verified: said before the process is touched.
    remember "$VICTIM"
    livecore -p "$VICTIM" -o - --verify
    [ "$status" -eq 64 ] || [ "$status" -eq 2 ] || fail "status $status"
    expect_stderr 'verif'
    assert_untouched "$VICTIM"
}

@test "--progress=always draws a bar, --progress=never none" {
    start_victim victim_clock -m 64
    hold_dump "$VICTIM" --progress=always
    wait_for 10 grep -qE '%|MiB/s|GiB/s' held.err || fail "no bar" "$(cat held.err)"
    finish_dump
    expect_status 0
    check sane
    hold_dump "$VICTIM" --progress=never
    sleep 0.8
    [ ! -s held.err ] || fail "$(cat held.err)"
    finish_dump
    expect_status 0
    expect_stderr 'wrote'
    [ "$(wc -l <<<"$stderr")" -eq 1 ]
}

@test "--dry-run attaches nothing, writes nothing, and tells the size of the real core" {
    need_tool strace
    start_victim victim_mem
    stop_process "$VICTIM"
    remember "$VICTIM"
    run --separate-stderr env ASAN_OPTIONS=detect_leaks=0 strace -f -o trace -e trace=ptrace,process_vm_readv "$LIVECORE" -n -p "$VICTIM" --json
    expect_status 0
    # It looks at headers, without stopping anybody.
    if grep -q 'ptrace(' trace; then
        fail "$(cat trace)"
    fi
    rm trace
    assert_files
    local expected
    expected=$(json .bytes)
    [[ $expected =~ ^[0-9]+$ ]] || fail "no .bytes in: $output"
    livecore -p "$VICTIM" -o core
    expect_status 0
    [ "$(stat -c %s core)" = "$expected" ] || fail "the core has $(stat -c %s core) bytes, the dry run said $expected"
    assert_untouched "$VICTIM"
}

@test "--dry-run names the rule of each mapping" {
    start_victim victim_mem
    livecore -n "$VICTIM"
    expect_status 0
    local name start
    for name in anon_dirty dontdump file_shared file_private_clean; do
        start=$(truth_of map "$name" 3)
        expect_output "^${start#0x}-"
    done
    start=$(truth_of map dontdump 3)
    expect_output "^${start#0x}-.* 0 .*(DONTDUMP|dontdump)"
    start=$(truth_of map file_shared 3)
    expect_output "^${start#0x}-.* 0 .*file-shared"
    [ "$(grep -cE '^[0-9a-f]+-[0-9a-f]+ ' <<<"$output")" -eq "$(wc -l <"/proc/$VICTIM/maps")" ]
}

@test "the core takes no more of the disk than what the process has touched" {
    start_victim victim_mem
    livecore -p "$VICTIM" -o core
    expect_status 0
    local resident on_disk
    resident=$(awk '/^(Rss|Shared_Hugetlb|Private_Hugetlb):/ { n += $2 } END { print n }' "/proc/$VICTIM/smaps")
    on_disk=$(($(stat -c '%b * %B' core) / 1024))
    [ "$on_disk" -le $((resident * 105 / 100 + 64)) ] || fail "$on_disk KiB on disk, $resident KiB resident"
}

@test "livecore's own memory is small, however large the process" {
    [ -z "$SANITIZED" ] || skip "an instrumented binary is larger"
    need_tool python3
    start_victim victim_clock -m 512
    run python3 -c '
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$LIVECORE" -q -p "$VICTIM" -o core
    [ "$status" -eq 0 ]
    [ "$output" -lt 16384 ] || fail "$output KiB"
}

@test "a process of another user, dumped by root: the core is root's" {
    need_root
    need_tool setpriv
    publish
    VICTIM_PREFIX=("${AS_USER[@]}")
    start_victim victim_mem
    dump "$VICTIM"
    [ "$(stat -c %u core)" = 0 ]
    expect_whole_core
    check prpsinfo | grep -qx 'uid 12345'
    check prpsinfo | grep -qx 'gid 12345'
}

@test "a user dumps an own process" {
    need_root
    need_tool setpriv
    publish
    VICTIM_PREFIX=("${AS_USER[@]}")
    RUN_PREFIX=("${AS_USER[@]}")
    mkdir own
    chmod 0777 own
    start_victim victim_busy 3
    remember "$VICTIM"
    livecore -p "$VICTIM" -o own/core
    expect_status 0
    assert_untouched "$VICTIM"
    [ "$(stat -c '%u %a' own/core)" = "12345 600" ]
    "$CORECHECK" own/core sane
    [ "$("$CORECHECK" own/core threads | wc -l)" -eq 4 ]
}

@test "without privileges, shared memory that the process never touched is a loss, not a zero" {
    need_root
    need_tool setpriv
    publish
    VICTIM_PREFIX=("${AS_USER[@]}")
    RUN_PREFIX=("${AS_USER[@]}")
    mkdir own
    chmod 0777 own
    start_victim victim_mem
    remember "$VICTIM"
    livecore -p "$VICTIM" -o own/core
    expect_status 1
    expect_stderr 'loss: memory .*shared memory' 'CAP_'
    assert_untouched "$VICTIM"
    mv own/core core
    expect_whole_core
    check truth "$(victim_out)" deleted_shared=absent memfd_shared=full anon_shared=any
}

@test "the shell that runs it can be dumped" {
    remember $$
    livecore -p $$ -o core --force
    expect_status 0
    check sane
    [ "$(check threads)" = $$ ]
}
