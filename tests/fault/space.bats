# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034,SC2016,SC2030,SC2031
# The output has no room: refused before the process is touched where that can be known, else nothing is
# left behind, and the process is as it was.

load ../cli/helpers

eval "$(declare -f teardown | sed '1s/teardown/end_victims/')"

teardown() {
    [ -z "${SMALL:-}" ] || umount "$SMALL" || true
    end_victims
}

# small_file_system SIZE: sets SMALL, where it is mounted.
small_file_system() {
    need_root
    need_tool mount umount
    mkdir -p "$BATS_TEST_TMPDIR/public"
    mount -t tmpfs -o "size=$1,mode=0700" livecore-test "$BATS_TEST_TMPDIR/public" 2>/dev/null ||
        skip "no file system can be mounted here"
    SMALL=$BATS_TEST_TMPDIR/public
}

expect_nothing_in() {
    [ -z "$(ls -A "$1")" ] || fail "left in $1: $(ls -A "$1")"
}

# expect_refusal: with both numbers, in one line and a hint.
expect_refusal() {
    expect_status 2
    expect_stderr '^livecore: .*needs [0-9.]+ (KiB|MiB|GiB).*room for [0-9.]+ (B|KiB|MiB|GiB)' '^livecore: hint: .*--force'
    [ "$(wc -l <<<"$stderr")" -eq 2 ] || fail "$stderr"
}

@test "a file system that is too small: refused, and the process never stops" {
    need_tool strace
    small_file_system 64k
    start_victim victim_mem
    remember "$VICTIM"
    run --separate-stderr strace -f -qq -o trace -e trace=ptrace "$LIVECORE" -p "$VICTIM" -o "$SMALL/core"
    expect_refusal
    [ ! -s trace ] || fail "it was traced: $(cat trace)"
    assert_untouched "$VICTIM"
    expect_nothing_in "$SMALL"
    # What was there is there.
    echo old >"$SMALL/core"
    livecore -p "$VICTIM" -o "$SMALL/core" --json
    expect_status 2
    [ "$(cat "$SMALL/core")" = old ]
}

@test "--force tries, fails in the middle, and leaves nothing" {
    small_file_system 256k
    start_victim victim_mem
    remember "$VICTIM"
    livecore -p "$VICTIM" -o "$SMALL/core" --force
    expect_status 2
    expect_stderr "^livecore: .*(no space|No space)"
    [ -z "$output" ]
    assert_untouched "$VICTIM"
    expect_nothing_in "$SMALL"
    [ "$(df --output=used -k "$SMALL" | tail -1 | tr -d ' ')" -eq 0 ] || fail "blocks are taken: $(df -k "$SMALL")"
}

@test "--force on a full file system: what was there is not replaced" {
    small_file_system 256k
    echo old >"$SMALL/core"
    start_victim victim_busy 4
    local busy=$VICTIM
    start_victim victim_mem
    remember "$VICTIM"
    livecore -p "$VICTIM" -o "$SMALL/core" --force
    expect_status 2
    [ "$(cat "$SMALL/core")" = old ]
    [ "$(ls -A "$SMALL")" = core ]
    assert_untouched "$VICTIM"
    # The next one, that fits, is dumped.
    head -c 220k /dev/zero >"$SMALL/full"
    remember "$busy"
    livecore "$VICTIM" "$busy" -o "$SMALL/small-%p" --force --minimal
    [ "$status" -eq 0 ] || [ "$status" -eq 2 ]
    assert_untouched "$busy"
    VICTIM=$busy
    assert_progress
}

@test "a full file system in the middle of a busy process: it goes on" {
    small_file_system 128k
    start_victim victim_busy 6
    local n
    for n in 1 2 3 4 5; do
        remember "$VICTIM" loose
        livecore -p "$VICTIM" -o "$SMALL/core" --force
        expect_status 2
        assert_untouched "$VICTIM" loose
        expect_nothing_in "$SMALL"
    done
    assert_progress
}

@test "10 MiB that fill up under a process of 64 MiB: refused; with --force it fails in the middle" {
    local kind
    small_file_system 10m
    start_victim victim_flood 4 64
    for kind in '' --force; do
        livecore -p "$VICTIM" -o "$SMALL/core" $kind
        expect_status 2
        if [ -z "$kind" ]; then expect_refusal; else expect_stderr '^livecore: cannot write .*: no space is left .*\(write\)$'; fi
        expect_nothing_in "$SMALL"
        [ "$(df --output=used -k "$SMALL" | tail -1 | tr -d ' ')" -eq 0 ] || fail "blocks are taken: $(df -k "$SMALL")"
    done
    # Registers alone have room.
    livecore -p "$VICTIM" -o "$SMALL/core" --minimal
    expect_status 0
    "$CORECHECK" "$SMALL/core" sane
    assert_progress
    assert_no_signal_lost
}

@test "what takes no space needs none: a sparse gigabyte fits" {
    small_file_system 4m
    start_victim victim_mem
    remember "$VICTIM"
    livecore -p "$VICTIM" -o "$SMALL/core"
    expect_status 0
    assert_untouched "$VICTIM"
    "$CORECHECK" "$SMALL/core" sane
    "$CORECHECK" "$SMALL/core" truth "$(victim_out)" sparse=full heap=full
}

@test "registers only fit where the memory does not" {
    small_file_system 64k
    start_victim victim_mem
    livecore -p "$VICTIM" -o "$SMALL/core" --minimal
    expect_status 0
    "$CORECHECK" "$SMALL/core" sane
}

@test "the room without the names: no inode is left" {
    small_file_system 4m
    mount -o remount,nr_inodes=1 "$SMALL" 2>/dev/null || skip "inodes of tmpfs cannot be limited here"
    start_victim victim_busy 1
    remember "$VICTIM"
    livecore -p "$VICTIM" -o "$SMALL/core" --force
    expect_status 2
    expect_stderr '^livecore: .*([Nn]o space|core)'
    assert_untouched "$VICTIM"
    expect_nothing_in "$SMALL"
}

# limited BYTES ARG...: livecore under RLIMIT_FSIZE. Its messages go through a pipe, which has no limit.
limited() {
    local limit=$1
    shift
    run bash -o pipefail -c '"$@" 2>&1 | cat' - prlimit --fsize="$limit" "$LIVECORE" "$@"
}

@test "RLIMIT_FSIZE: status 2, one clear line, nothing left" {
    need_tool prlimit
    start_victim victim_mem
    remember "$VICTIM"
    local limit force
    for limit in 0 1 4096 65536 300000; do
        for force in '' --force; do
            limited "$limit" -p "$VICTIM" -o core $force
            [ "$status" -eq 2 ] || fail "limit $limit: status $status" "$output"
            grep -qE '^livecore: .*(room for|too large|limit)' <<<"$output" || fail "limit $limit: $output"
            [ "$(wc -l <<<"$output")" -le 2 ] || fail "$output"
            assert_untouched "$VICTIM"
            assert_files
        done
    done
    limited 100000000 -p "$VICTIM" -o core
    [ "$status" -eq 0 ] || fail "$output"
    check sane
}

@test "RLIMIT_FSIZE under the name gcore: status 1, nothing left" {
    need_tool prlimit
    mkdir bin
    ln -s "$(realpath "$LIVECORE")" bin/gcore
    start_victim victim_mem
    remember "$VICTIM"
    run --separate-stderr prlimit --fsize=65536 bin/gcore -o saved "$VICTIM"
    expect_status 1
    expect_output "^gcore: failed to create saved\\.$VICTIM\$"
    assert_untouched "$VICTIM"
    assert_files bin
}

@test "a pipe whose reader goes away" {
    start_victim victim_mem
    remember "$VICTIM"
    local n
    for n in 0 1 5000 70000 200000; do
        run bash -o pipefail -c '("$1" -p "$2" -o - 2>err; echo $? >status) | head -c "$3" >/dev/null' - "$LIVECORE" "$VICTIM" "$n"
        [ "$(cat status)" -eq 2 ] || fail "after $n bytes: status $(cat status)" "$(cat err)"
        grep -qE '^livecore: .*(pipe|reader|closed)' err || fail "after $n bytes: $(cat err)"
        assert_untouched "$VICTIM"
    done
    # Through a descriptor of the caller's.
    run bash -c '("$1" -p "$2" -o /dev/fd/9 9>&1 >out 2>err; echo $? >status) | head -c 100 >/dev/null' - "$LIVECORE" "$VICTIM"
    [ "$(cat status)" -eq 2 ] || fail "status $(cat status)" "$(cat err)"
    [ ! -s out ] || fail "$(cat out)"
    assert_untouched "$VICTIM"
}

@test "a pipe whose reader goes away, and a process that works: it goes on" {
    start_victim victim_busy 6
    local n
    for n in 1 2 3 4 5; do
        remember "$VICTIM" loose
        run bash -c '("$1" -p "$2" -o - 2>/dev/null; echo $? >status) | head -c 1000 >/dev/null' - "$LIVECORE" "$VICTIM"
        [ "$(cat status)" -eq 2 ] || fail "status $(cat status)"
        assert_untouched "$VICTIM" loose
    done
    assert_progress
}

@test "/dev/full: status 2, and the device stays" {
    [ -c /dev/full ] || skip "no /dev/full"
    start_victim victim_mem
    remember "$VICTIM"
    livecore -p "$VICTIM" -o /dev/full
    expect_status 2
    expect_stderr '^livecore: .*/dev/full'
    [ -c /dev/full ]
    run --separate-stderr bash -c '"$1" -p "$2" -o - >/dev/full' - "$LIVECORE" "$VICTIM"
    expect_status 2
    expect_stderr '^livecore: '
    [ "$(wc -l <<<"$stderr")" -le 2 ]
    assert_untouched "$VICTIM"
    assert_files
}
