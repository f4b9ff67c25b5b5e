# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034,SC2030,SC2031
# --snapshot: the core is the process at one instant, in every byte, and the process hardly notices.
#
# SNAPSHOT_ROUNDS=N is the long form: N snapshots of each kind of victim_rule instead of 3, with seeds of
# their own. STRATEGIES="precopy fork" are those to test; "plain" is a dump without --snapshot.

load helpers
load snapshots

: "${SNAPSHOT_ROUNDS:=3}"

# What the threads of victim_rule do, each in a process of its own.
RULES=(
    "size=48 rate=100 seed=1"
    "size=48 rate=1000 seed=2 threads=8"
    "size=24 rate=0 seed=3"
    "size=32 rate=200 seed=4 ops=dontneed,free,unmap,remap"
    "size=32 rate=200 seed=5 ops=move,swap,protect"
    "size=32 rate=200 seed=6 ops=fork,vmwrite,read,shared,alias"
    "size=32 rate=200 seed=7 ops=file,stack,brk,heap,thp,dontfork,wipe"
)

# ---- the rule of every instant ------------------------------------------------------------------

@test "a core that mixes two instants is told from one that does not" {
    need_tool python3
    local how
    start_rule rate=200 seed=2
    livecore -p "$VICTIM" -o older
    sleep 0.5
    livecore -p "$VICTIM" -o good
    "$RULECHECK" older brief
    "$RULECHECK" good brief
    for how in zero swap torn 'stale older'; do
        cp good core
        # shellcheck disable=SC2086
        "$RULECHECK" core break $how
        ! "$RULECHECK" core brief || fail "$how: not seen"
    done
}

@test "a process whose memory somebody has changed says so" {
    need_tool python3
    local start
    start_rule rate=200 seed=2
    stop_process "$VICTIM"
    livecore -p "$VICTIM" -o core
    # A slot that is written to often, of those that nobody is at.
    start=$("$RULECHECK" core slots | awk '$2 == "wipeonfork" { print $3; exit }')
    dd if=/dev/zero of="/proc/$VICTIM/mem" bs=8 count=1 seek=$((start / 8)) conv=notrunc status=none
    livecore -p "$VICTIM" -o core --force
    ! "$RULECHECK" core brief || fail "not seen in the core"
    kill -CONT "$VICTIM"
    echo verify >&"${VICTIM_FD[$VICTIM]}"
    wait_for 20 victim_says "$VICTIM" '^broken slot'
}

# obeys_rules STRATEGY
obeys_rules() {
    local strategy=$1 rule n
    of_strategies "$strategy"
    for rule in "${RULES[@]}"; do
        [ "$SNAPSHOT_ROUNDS" -le 3 ] || rule+=" seed=$RANDOM"
        # shellcheck disable=SC2086
        start_rule $rule
        for ((n = 1; n <= SNAPSHOT_ROUNDS; n++)); do
            snapshot "$VICTIM" "$strategy"
            obeys "$strategy of '$rule', snapshot $n"
        done
        check sane
        wait_for 5 is_back "$VICTIM" || fail "$rule: something is left" "$(marks "$VICTIM")"
        assert_rule_goes_on
        stop_victim "$VICTIM"
    done
}

# is_back PID: as marks(), of a program that has children now and then.
is_back() {
    diff <(sed '$d' "$BATS_TEST_TMPDIR/before.marks.$1" | grep -vE '^[0-9]+$') <(marks "$1" | sed '$d' | grep -vE '^[0-9]+$') >/dev/null &&
        ! grep -qE '^VmFlags:.* (uw|um|ui)( |$)' "/proc/$1/smaps" && [ "$(children_of "$1" | wc -l)" -le 9 ]
}

@test "plain: every byte is of one instant" {
    obeys_rules plain
}

@test "off: every byte is of one instant" {
    obeys_rules off
}

@test "copy: every byte is of one instant" {
    obeys_rules copy
}

@test "fork: every byte is of one instant" {
    obeys_rules fork
}

@test "precopy: every byte is of one instant" {
    obeys_rules precopy
}

@test "into a pipe: every byte is of one instant" {
    local strategy n
    for strategy in $STRATEGIES; do
        start_rule size=32 rate=200 seed=8
        options_of "$strategy"
        for n in 1 2 3; do
            "$LIVECORE" -p "$VICTIM" -o - -q "${SNAPSHOT[@]}" 2>err 3>&- | cat >core
            [ "${PIPESTATUS[0]}" -eq 0 ] || fail "$strategy: $(cat err)"
            [ ! -s err ] || fail "$strategy: $(cat err)"
            check sane
            obeys "$strategy into a pipe, snapshot $n"
        done
        stop_victim "$VICTIM"
    done
}

# ---- the same core ------------------------------------------------------------------------------

# same_core VICTIM [ARG...]: of a process that sleeps, by each strategy; and it is as it was.
same_core() {
    local strategy
    start_victim "$@"
    remember "$VICTIM"
    livecore -p "$VICTIM" -o ref --force
    expect_status 0
    assert_untouched "$VICTIM"
    for strategy in $STRATEGIES; do
        snapshot "$VICTIM" "$strategy" --verify
        assert_untouched "$VICTIM" || fail "$strategy of $1"
        check sane
        check diff ref exact || fail "$strategy of $1"
    done
    stop_victim "$VICTIM"
    rm -f ref core
}

@test "a process that sleeps: the same core as without" {
    need_tool jq
    [ "$STRATEGIES" = plain ] || need_snapshot
    same_core victim_mem
    same_core victim_many_threads 20
    same_core victim_many_maps 3000
}

@test "memory that is hard to save: the same core as without" {
    need_tool jq
    [ "$STRATEGIES" = plain ] || need_snapshot
    local name
    for name in guard truncated protected excluded; do
        same_core victim_hard "$name"
    done
}

# ---- registers and system calls -----------------------------------------------------------------

@test "registers: every one of threads that run and that sleep, and they keep them" {
    need_tool jq
    [ "$STRATEGIES" = plain ] || need_snapshot
    local strategy n
    for strategy in $STRATEGIES; do
        start_victim victim_regs 4
        for n in 1 2 3; do
            snapshot "$VICTIM" "$strategy"
            check registers "$(victim_out)" again || fail "$strategy"
        done
        ! grep ^returned "$(victim_out)" || fail "$strategy"
        stop_victim "$VICTIM"
    done
}

@test "system calls sleep on, whatever they sleep in" {
    need_tool jq
    [ "$STRATEGIES" = plain ] || need_snapshot
    local strategy n
    start_victim victim_syscalls
    remember "$VICTIM"
    for strategy in $STRATEGIES; do
        for n in 1 2 3; do
            snapshot "$VICTIM" "$strategy"
            assert_untouched "$VICTIM" || fail "$strategy"
            run ask state
            ! grep ^returned <<<"$output" || fail "$strategy: $(grep ^returned <<<"$output")"
        done
    done
    # two that are to come back do so rightly
    run ask wake
    grep -qE '^returned read_pipe 1 0 ' <<<"$output"
    grep -qE '^returned futex 0 0 ' <<<"$output"
    [ "$(grep -c ^returned <<<"$output")" -eq 2 ] || fail "$(grep ^returned <<<"$output")"
}

@test "threads that watch their registers, masks and stacks notice nothing" {
    [ "$STRATEGIES" = plain ] || need_snapshot
    local strategy n
    start_watchful
    for strategy in $STRATEGIES; do
        for n in 1 2 3 4 5 6; do
            snapshot "$VICTIM" "$strategy"
            assert_nothing_left "$VICTIM" || fail "$strategy"
            assert_untouched "$VICTIM" loose || fail "$strategy"
        done
        assert_noticed_nothing || fail "$strategy"
    done
    assert_watchful_goes_on
}

# ---- readers ------------------------------------------------------------------------------------

@test "readers open it: gdb, readelf, stacks" {
    need_tool jq gdb eu-readelf eu-stack
    [ "$STRATEGIES" = plain ] || need_snapshot
    local strategy
    for strategy in $STRATEGIES; do
        start_rule size=32 rate=200 seed=9
        snapshot "$VICTIM" "$strategy" --verify
        obeys "$strategy"
        eu-readelf -a core >readelf.out 2>&1 || fail "$strategy: $(tail -3 readelf.out)"
        ! grep -iE 'invalid|error|cannot' readelf.out || fail "$strategy"
        timeout 60 eu-stack --core core --executable "$VICTIMS/victim_rule" >stack.out 2>&1 || fail "$strategy: $(cat stack.out)"
        [ "$(grep -c '^TID ' stack.out)" -eq 7 ] || fail "$strategy: $(cat stack.out)"
        [ "$(grep -cE ' work( |$)' stack.out)" -eq 4 ] || fail "$strategy: $(cat stack.out)"
        gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set width 0' "$VICTIMS/victim_rule" core \
            -ex 'thread apply all -q bt' -ex 'output/x ledger->self' >gdb.out 2>gdb.err || fail "$strategy: $(cat gdb.err)"
        [ "$(grep -cE '^#[0-9]+ .*\bstart_thread ' gdb.out)" -eq 6 ] || fail "$strategy: $(cat gdb.out gdb.err)"
        grep -qE '^#[0-9]+ .*\bmain \(' gdb.out || fail "$strategy: $(cat gdb.out gdb.err)"
        ! grep -E 'corrupt|Cannot access' gdb.out gdb.err || fail "$strategy"
        [ "$(tail -1 gdb.out)" = "$(truth ledger)" ] || fail "$strategy: $(tail -1 gdb.out)"
        stop_victim "$VICTIM"
    done
}

# ---- processes of every kind --------------------------------------------------------------------

@test "a stopped process stays stopped, and goes on when it is told to" {
    need_tool jq
    [ "$STRATEGIES" = plain ] || need_snapshot
    local strategy
    start_rule size=32 rate=200 seed=10 ops=-fork
    stop_process "$VICTIM"
    remember "$VICTIM"
    for strategy in $STRATEGIES; do
        snapshot_of_stopped "$VICTIM" "$strategy"
        assert_untouched "$VICTIM" || fail "$strategy"
        obeys "$strategy"
        all_have_state "$VICTIM" T
    done
    kill -CONT "$VICTIM"
    assert_rule_goes_on
}

@test "a process of 1000 threads" {
    need_tool jq
    [ "$STRATEGIES" = plain ] || need_snapshot
    local strategy
    start_victim victim_many_threads 1000
    remember "$VICTIM"
    for strategy in $STRATEGIES; do
        snapshot "$VICTIM" "$strategy"
        assert_untouched "$VICTIM" || fail "$strategy"
        check sane
        [ "$(check threads | wc -l)" -eq 1000 ] || fail "$strategy: $(check threads | wc -l) threads"
    done
}

@test "threads that come and go" {
    need_tool jq
    [ "$STRATEGIES" = plain ] || need_snapshot
    local strategy n
    start_victim victim_bomb
    for strategy in $STRATEGIES; do
        for n in 1 2 3 4; do
            options_of "$strategy"
            livecore -p "$VICTIM" -o core --force "${SNAPSHOT[@]}"
            expect_status 0
            check sane
        done
    done
}

@test "mappings that come, go and change" {
    need_tool jq
    [ "$STRATEGIES" = plain ] || need_snapshot
    local strategy n what
    for what in '' alike; do
        # shellcheck disable=SC2086
        start_victim victim_churn $what
        remember_marks "$VICTIM"
        for strategy in $STRATEGIES; do
            for n in 1 2 3; do
                snapshot "$VICTIM" "$strategy"
                check churn "$(victim_out)" || fail "$strategy"
                check sane
            done
        done
        assert_nothing_left "$VICTIM"
        stop_victim "$VICTIM"
    done
}

@test "a thread in vfork(2): said, and it comes back" {
    need_tool jq
    need_snapshot
    local strategy
    for strategy in auto $STRATEGIES; do
        start_victim victim_vfork
        options_of "$strategy"
        livecore -p "$VICTIM" -o core --force --timeout=0.5 "${SNAPSHOT[@]}"
        # A loss, as without; or the strategy is not to be had.
        [[ $status = [12] ]] || fail "$strategy: status $status" "$stderr"
        [ "$status" -eq 2 ] || check sane
        expect_stderr "^livecore: "
        remember_marks "$VICTIM"
        run ask release
        [ "$output" = 'vforked 1' ] || fail "$strategy: $output"
        [ "$(awk '/^TracerPid:/ { print $2 }' "/proc/$VICTIM/status")" = 0 ]
        ! grep -qE '^VmFlags:.* (uw|um|ui)( |$)' "/proc/$VICTIM/smaps" || fail "$strategy"
        stop_victim "$VICTIM"
        rm -f core
    done
}

@test "a process with userfaultfds of its own, and one that serves a file system to itself" {
    need_root
    need_tool jq
    need_snapshot
    local strategy victim expected
    for victim in victim_uffd victim_fuse; do
        [ "$victim" = victim_uffd ] || [ -c /dev/fuse ] || continue
        start_victim "$victim"
        ! victim_says "$VICTIM" '^skip all' || continue
        mapfile -t expected < <(awk '$1 == "fill" && !seen[$2]++ {
            print $2 "=" ($2 ~ /^present/ ? "full" : $2 == "absent/minor" ? "full" : "absent") }' "$(victim_out)")
        remember "$VICTIM"
        for strategy in auto $STRATEGIES; do
            options_of "$strategy"
            livecore -p "$VICTIM" -o core --force --all "${SNAPSHOT[@]}"
            # What the handler would give is a loss.
            [ "$status" -eq 1 ] || { [ "$status" -eq 2 ] && [ "$strategy" != auto ]; } || fail "$strategy: status $status" "$stderr"
            assert_untouched "$VICTIM" || fail "$victim: $strategy"
            [ "$status" -eq 2 ] || check sane
            [ "$status" -eq 2 ] || check truth "$(victim_out)" "${expected[@]}" || fail "$victim: $strategy"
        done
        [ "$(ask touch | grep -c '^right')" -ge 5 ] || fail "$victim: its handler does not work any more"
        if [ "$victim" = victim_fuse ]; then
            end_fuse
        fi
        stop_victim "$VICTIM"
    done
}

# A request that waits for a server which is gone must not outlive the test.
end_fuse() {
    local dir=$BATS_TEST_TMPDIR/fusectl number
    number=$(truth connection)
    mkdir -p "$dir"
    mount -t fusectl none "$dir" 2>/dev/null || return 0
    [ ! -e "$dir/$number" ] || echo 1 >"$dir/$number/abort"
    umount "$dir"
    rmdir "$dir"
}

@test "a process that shares its memory with another" {
    need_tool jq
    need_snapshot
    local strategy
    start_victim victim_clonevm
    remember_marks "$VICTIM"
    for strategy in auto $STRATEGIES; do
        options_of "$strategy"
        livecore -p "$VICTIM" -o core --force "${SNAPSHOT[@]}"
        [[ $status = [012] ]] || fail "$strategy: status $status" "$stderr"
        [ "$status" -eq 2 ] || check sane
        assert_nothing_left "$VICTIM" || fail "$strategy"
    done
}

# ---- what is not to be had ----------------------------------------------------------------------

# refused STRATEGY REGEX: status 2, nothing written, a reason; and the process goes on.
refused() {
    options_of "$1"
    rm -f core
    livecore -p "$VICTIM" -o core "${SNAPSHOT[@]}"
    [ "$status" -eq 2 ] || fail "$1: status $status, not 2" "$stderr"
    [ ! -e core ] || fail "$1: there is a core"
    grep -qiE -- "^livecore: .*($2)" <<<"$stderr" || fail "$1: no reason '$2'" "$stderr"
    kill -0 "$VICTIM" || fail "$1: the process is dead"
}

# auto_passes_over STRATEGY...: of these none is to be had, and each has its reason.
auto_passes_over() {
    local strategy
    rm -f core
    livecore -p "$VICTIM" -o core --json --snapshot
    expect_status 0
    check sane
    for strategy; do
        [ "$(json .strategy)" != "$strategy" ] || fail "it took $strategy" "$output"
        [ -n "$(json ".snapshot.passed_over[] | select(.strategy == \"$strategy\") | .reason")" ] ||
            fail "$strategy: no reason" "$output"
    done
    rm -f core
}

# A filter that lets nothing but what this program does pass, and kills the process for everything else.
start_filtered() {
    need_tool python3
    cat >filtered.py <<'PYTHON'
import ctypes, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
only_one = "one" in sys.argv
def confine():
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    # Kills for userfaultfd, clone, clone3, fork, vfork, ioctl, mmap, memfd_create, pidfd_*, sendmsg, socketpair.
    bad = (323, 56, 435, 57, 58, 16, 9, 319, 434, 438, 46, 53, 33, 42, 41)
    code = struct.pack("<HBBI", 0x20, 0, 0, 0)
    for i, nr in enumerate(bad):
        code += struct.pack("<HBBI", 0x15, len(bad) - i, 0, nr)
    code += struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000) + struct.pack("<HBBI", 0x06, 0, 0, 0x80000000)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("<H6xQ", len(code) // 8, ctypes.addressof(buffer))
    program = ctypes.create_string_buffer(program)
    # SECCOMP_SET_MODE_FILTER; SECCOMP_FILTER_FLAG_TSYNC: for every thread
    if libc.syscall(317, 1, 0 if only_one else 1, program):
        sys.exit("no seccomp: %d" % ctypes.get_errno())
memory = bytearray(b"x" * (8 << 20))
def thread():
    if only_one:
        confine()
        print("ready", flush=True)
    while True:
        time.sleep(0.01)
threading.Thread(target=thread, daemon=True).start()
if not only_one:
    confine()
    print("ready", flush=True)
while True:
    time.sleep(0.01)
PYTHON
    /usr/bin/python3 filtered.py "$@" >filtered.out 2>filtered.err 3>&- </dev/null &
    VICTIM=$!
    OTHERS+=("$VICTIM")
    wait_for 20 grep -q ready filtered.out || skip "no seccomp filter: $(cat filtered.err)"
}

@test "a process under seccomp: nothing is run in it, and said" {
    need_snapshot
    need_tool jq
    local strategy
    start_filtered all
    refused precopy seccomp
    refused fork seccomp
    auto_passes_over precopy fork
    [ -z "$(children_of "$VICTIM")" ]
    snapshot "$VICTIM" copy
    kill -0 "$VICTIM"
    end_process "$VICTIM"
    # Another thread may do it.
    start_filtered one
    remember_marks "$VICTIM"
    for strategy in precopy fork auto; do
        options_of "$strategy"
        livecore -p "$VICTIM" -o core --force "${SNAPSHOT[@]}"
        [ "$status" -eq 0 ] || expect_stderr seccomp
        kill -0 "$VICTIM" || fail "$strategy: the process is dead"
        assert_nothing_left "$VICTIM" || fail "$strategy"
    done
}

@test "memory that a device writes to: not tracked, and said" {
    need_snapshot
    need_tool jq
    local strategy
    start_victim victim_pinned 16
    run ask pin
    run ask read
    [ -z "$(truth skip)" ] || skip "$(grep ^skip "$(victim_out)")"
    remember_marks "$VICTIM"
    for strategy in auto $STRATEGIES; do
        if [ "$strategy" = precopy ]; then
            refused precopy pinned
        else
            snapshot "$VICTIM" "$strategy"
            check truth "$(victim_out)" pinned=full '*=any' || fail "$strategy"
        fi
        assert_nothing_left "$VICTIM" || fail "$strategy"
    done
}

@test "memory that is pinned while it is copied" {
    need_snapshot
    of_strategies precopy
    local n
    for n in 1 2 3; do
        start_victim victim_pinned 128
        "$LIVECORE" -p "$VICTIM" -o core --force -q --snapshot=precopy --passes=1000 --precopy-time=3 >out 2>err 3>&- &
        DUMP=$!
        OTHERS+=("$DUMP")
        # When the buffer was copied, and before the last stop.
        sleep "0.0$((n * 3))"
        run ask pin
        sleep 0.1
        run ask read
        status=0
        wait "$DUMP" || status=$?
        [ -z "$(truth skip)" ] || skip "$(grep ^skip "$(victim_out)")"
        case $status in
        # It may have been over before.
        0) [ "$(check read "$(truth read)" 8)" = 0000000000000000 ] || check truth "$(victim_out)" pinned=full '*=any' ;;
        2) grep -qi pinned err || fail "$(cat err)" ;;
        *) fail "status $status" "$(cat err)" ;;
        esac
        stop_victim "$VICTIM"
        rm -f core
    done
}

@test "a 32-bit process: what is not to be had is said" {
    need_snapshot
    need_victim32
    need_tool jq
    local strategy
    start_victim victim_mem32
    remember "$VICTIM"
    for strategy in precopy fork copy auto; do
        options_of "$strategy"
        livecore -p "$VICTIM" -o core --force "${SNAPSHOT[@]}"
        [[ $status = [02] ]] || fail "$strategy: status $status" "$stderr"
        [ "$status" -eq 0 ] || expect_stderr 'i386|32-bit'
        [ "$status" -eq 2 ] || check sane
        assert_untouched "$VICTIM" || fail "$strategy"
        rm -f core
    done
    expect_status 0
}

@test "PID 1 of a namespace: its children are its own" {
    need_snapshot
    need_root
    need_tool unshare jq
    local outer strategy
    unshare --pid --fork true || skip "unshare(1) cannot make a namespace here"
    VICTIM_PREFIX=(unshare --pid --fork --kill-child)
    start_victim victim_many_threads 3
    outer=$VICTIM
    VICTIM=$(children_of "$outer")
    remember "$VICTIM"
    for strategy in auto precopy fork copy; do
        options_of "$strategy"
        livecore -p "$VICTIM" -o core --force "${SNAPSHOT[@]}"
        [[ $status = [02] ]] || fail "$strategy: status $status" "$stderr"
        [ "$status" -eq 2 ] || check sane
        [ "$status" -eq 0 ] || expect_stderr '^livecore: .*(namespace|PID 1)'
        assert_untouched "$VICTIM" || fail "$strategy"
    done
    kill -0 "$VICTIM"
}

@test "without root: each strategy holds, or says why it is not to be had" {
    need_root
    need_tool setpriv jq
    [ "$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0)" = 0 ] || skip "Yama"
    need_snapshot
    local strategy victims=$VICTIMS
    publish
    cp "$victims/victim_rule" "$VICTIMS"
    VICTIM_PREFIX=("${AS_USER[@]}")
    # What shared memory this process has let go of is for root to see.
    start_rule size=32 rate=200 seed=12 ops=-fork,shared,alias
    chmod 0777 .
    for strategy in auto $STRATEGIES; do
        options_of "$strategy"
        RUN_PREFIX=("${AS_USER[@]}")
        livecore -p "$VICTIM" -o core --force "${SNAPSHOT[@]}"
        RUN_PREFIX=()
        if [ "$status" -eq 2 ] && [ "$strategy" != auto ]; then
            expect_stderr '^livecore: .*[a-z]'
        else
            [[ $status = [01] ]] || fail "$strategy: status $status" "$stderr"
            obeys "$strategy"
        fi
        assert_nothing_left "$VICTIM" || fail "$strategy"
        rm -f core
    done
    assert_rule_goes_on
}

# ---- bounds -------------------------------------------------------------------------------------

@test "--buffer that is too small: said, or passed over" {
    need_snapshot
    need_tool jq
    local strategy
    start_rule size=64 rate=100 seed=13
    options_of copy
    livecore -p "$VICTIM" -o core --snapshot=copy --buffer=64K
    expect_status 2
    expect_stderr '^livecore: .*(buffer|memory)'
    [ ! -e core ]
    for strategy in precopy fork auto; do
        livecore -p "$VICTIM" -o core --force --json "--snapshot=$strategy" --buffer=64K
        [[ $status = [02] ]] || fail "$strategy: $status $stderr"
        [ "$status" -eq 2 ] || obeys "$strategy with a small buffer"
        wait_for 5 is_back "$VICTIM" || fail "$strategy"
    done
    expect_status 0
    assert_rule_goes_on
}

@test "--passes and --precopy-time are bounds" {
    need_snapshot
    need_tool jq
    of_strategies precopy
    local start
    start_rule size=64 rate=0 seed=14
    snapshot "$VICTIM" precopy --passes=1
    obeys "one pass"
    [ "$(json '.snapshot.passes <= 1')" = true ] || fail "$output"
    snapshot "$VICTIM" precopy --passes=3
    obeys "three passes"
    [ "$(json '.snapshot.passes <= 3')" = true ] || fail "$output"
    start=$EPOCHREALTIME
    snapshot "$VICTIM" precopy --passes=1000 --precopy-time=0.5
    obeys "half a second"
    awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { exit b - a > 10 }' || fail "it took longer"
    assert_rule_goes_on
}

@test "--max-freeze holds for every stop" {
    need_snapshot
    need_tool jq
    local strategy ms
    start_rule size=256 rate=0 seed=15
    for strategy in $STRATEGIES; do
        for ms in 60 400; do
            options_of "$strategy"
            livecore -p "$VICTIM" -o core --force --json --max-freeze=$ms "${SNAPSHOT[@]}"
            [[ $status = [012] ]] || fail "$strategy: status $status" "$stderr"
            if [ "$strategy" != plain ] && [ "$strategy" != off ] && [ "$status" -ne 2 ]; then
                # Others have the processor, too.
                [ "$(json ".snapshot.longest_freeze_ns <= ($ms + 60) * 1000000")" = true ] || fail "$strategy: $ms ms: $output"
            fi
            [ "$status" -ne 0 ] || obeys "$strategy, $ms ms"
            rm -f core
        done
    done
    wait_for 5 is_back "$VICTIM"
    assert_rule_goes_on
}

# ---- the end in the middle ----------------------------------------------------------------------

# begin_snapshot STRATEGY [ARG...]: in the background, to ./core. Sets DUMP.
begin_snapshot() {
    options_of "$1"
    shift
    env --default-signal=INT "$LIVECORE" -p "$VICTIM" -o core --force -q "${SNAPSHOT[@]}" "$@" >out 2>err 3>&- &
    DUMP=$!
    OTHERS+=("$DUMP")
}

end_of_dump() {
    status=0
    wait "$DUMP" 2>/dev/null || status=$?
}

@test "the process is killed in the middle: nothing is written" {
    need_snapshot
    local strategy n
    for strategy in $STRATEGIES; do
        for n in 1 3 6 9; do
            start_victim victim_rule size=256 rate=0 seed=16 ops=-fork
            begin_snapshot "$strategy" --passes=1000 2>/dev/null
            sleep "0.0$n"
            kill -KILL "$VICTIM"
            end_of_dump
            [[ $status = [02] ]] || [ "$status" -eq 64 ] || fail "$strategy: status $status" "$(cat err)"
            [ "$status" -ne 0 ] || check sane
            [ "$status" -eq 0 ] || [ ! -e core ] || fail "$strategy: a core is left"
            stop_victim "$VICTIM"
            rm -f core out err
            assert_files
        done
    done
}

@test "the process executes another program in the middle" {
    need_snapshot
    need_tool python3
    local strategy n
    for strategy in $STRATEGIES; do
        for n in 1 4 8; do
            rm -f go
            mkfifo go
            python3 -c '
import os, sys, time
memory = bytearray(b"x" * (200 << 20))
print("ready", flush=True)
sys.stdin.readline()
os.execv("/bin/sleep", ["sleep", "1000"])' <go >program.out 2>&1 3>&- &
            VICTIM=$!
            OTHERS+=("$VICTIM")
            exec {go}>go
            wait_for 20 grep -q ready program.out
            begin_snapshot "$strategy"
            sleep "0.0$n"
            echo >&"$go"
            exec {go}>&-
            end_of_dump
            [[ $status = [02] ]] || fail "$strategy: status $status" "$(cat err)"
            [ "$status" -ne 0 ] || check sane
            [ "$status" -eq 0 ] || [ ! -e core ] || fail "$strategy: a core is left"
            wait_for 10 grep -qx sleep "/proc/$VICTIM/comm" || fail "$strategy: the program does not go on"
            [ -z "$(children_of "$VICTIM")" ] || fail "$strategy: a child is left"
            ! find "/proc/$VICTIM/fd" -printf '%l\n' | grep userfaultfd || fail "$strategy: a userfaultfd is left"
            end_process "$VICTIM"
            rm -f core
        done
    done
}

# ended_at_instants STRATEGY SIGNAL: at several of a snapshot of a process that works.
ended_at_instants() {
    local strategy=$1 signal=$2 n
    for n in 05 10 20 40 60 80 100 140; do
        begin_snapshot "$strategy"
        sleep "0.$(printf '%03d' "$((10#$n))")"
        kill "-$signal" "$DUMP" 2>/dev/null || true
        end_of_dump
        case $status in
        0) check sane ;;
        130 | 137 | 143)
            if [ -e core ]; then
                check sane
            fi
            ;;
        *) fail "$strategy, SIG$signal: status $status" "$(cat err)" ;;
        esac
        rm -f core out err
        assert_files
        assert_nothing_left "$VICTIM" || fail "$strategy, SIG$signal after $n ms"
    done
}

@test "livecore is ended in the middle: nothing is left in the process" {
    [ "$STRATEGIES" = plain ] || need_snapshot
    local strategy signal
    start_watchful 64
    for strategy in $STRATEGIES; do
        for signal in INT TERM KILL; do
            ended_at_instants "$strategy" "$signal"
            assert_noticed_nothing killed || fail "$strategy, SIG$signal"
        done
    done
    assert_untouched "$VICTIM" loose
    assert_watchful_goes_on killed
}
