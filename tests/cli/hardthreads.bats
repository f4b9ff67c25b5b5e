# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034
# Threads that are hard to hold: born, dying, executing, signalled and traced while they are dumped.
#
# HARD_ROUNDS=100 is the long form: so many dumps where a few do otherwise.

load helpers

THREADCHECK=$TESTS/compare/threadcheck

eval "$(declare -f teardown | sed '1s/teardown/end_victims/')"

teardown() {
    [ -z "${GROUP:-}" ] || thaw || true
    end_victims
    # It is busy for as long as its processes are on their way out.
    [ -z "${GROUP:-}" ] || wait_for 10 rmdir "$GROUP"
}

# rounds N: how many, N in the short form.
rounds() {
    echo "${HARD_ROUNDS:-$1}"
}

need_x86_64() {
    [ "$(uname -m)" = x86_64 ] || skip "registers are checked for x86-64 only"
}

@test "a bomb of threads: every core is whole, and every thread is who it says" {
    need_tool jq
    need_x86_64
    start_victim victim_bomb
    local n passes=0 first max=0
    remember "$VICTIM" loose
    first=$(ask counts)
    for n in $(seq "$(rounds 15)"); do
        livecore -p "$VICTIM" -o core --force --json
        expect_status 0
        is_untouched "$VICTIM" loose || assert_untouched "$VICTIM" loose
        check sane
        "$THREADCHECK" tls "$(truth tid-offset)" "$(truth threads)" core
        [ "$(json .n_threads)" -eq "$(check threads | wc -l)" ]
        passes=$(json .passes)
        # Threads that are found stop, and theirs come stopped: it does not go on for ever.
        [ "$passes" -le 20 ] || fail "$passes passes"
        [ "$passes" -le "$max" ] || max=$passes
    done
    echo "# at most $max passes over /proc/PID/task" >&3
    wait_for 20 counters_beyond "$first" || fail "not every bomber and chain goes on" "$first" "$(ask counts)"
}

@test "5,000 threads: all of them, each with its own registers, in full and in minimal cores" {
    need_x86_64
    local n=5000 most kind
    most=$(sort -n /proc/sys/kernel/threads-max /proc/sys/kernel/pid_max <(ulimit -u | grep -v unlimited) \
        <(cat "/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/pids.max" 2>/dev/null | grep -v max) | head -1)
    [ "$most" -ge $((n + 3000)) ] || skip "only $most threads may exist here"
    start_victim victim_many_threads "$n" marked
    remember "$VICTIM" loose
    find "/proc/$VICTIM/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n >tids
    for kind in --verify --minimal; do
        livecore -p "$VICTIM" -o core --force "$kind"
        expect_status 0
        assert_untouched "$VICTIM" loose
        check sane
        check threads | sort -n | cmp - tids
        [ "$("$THREADCHECK" marks core)" -eq $((n - 1)) ]
    done
    # None of them came back from pause().
    [ "$(ask marked | awk '$1 == "marked" { print $2 }')" -eq $((n - 1)) ]
}

@test "hundreds of queued signals, for the process and for a thread: all there, in order, with their values" {
    local n=500 i
    start_victim victim_signals "$n"
    for i in 1 2 3; do
        dump "$VICTIM" --minimal
        dump "$VICTIM"
    done
    # While it is held, too: the last ones come behind the others.
    hold_dump "$VICTIM"
    kill -s RTMIN+1 "$VICTIM"
    end_dump TERM
    hold_dump "$VICTIM"
    end_dump KILL
    ask take >answer
    {
        echo "got worker 12 0"
        for i in $(seq "$n"); do echo "got worker 36 $((200 + i))"; done
        echo "got worker 15 0"
        echo "got worker 34 300"
        for i in $(seq "$n"); do echo "got worker 35 $((100 + i))"; done
        echo "got worker 35 0"
    } | diff -u - answer
}

@test "signals at full speed, for the process and for threads: each arrives, once, and in its turn" {
    start_victim victim_flood
    local i
    for i in $(seq "$(rounds 20)"); do
        livecore -p "$VICTIM" -o core --force
        expect_status 0
        livecore -p "$VICTIM" -o core --force --minimal
        expect_status 0
    done
    check sane
    assert_progress
    assert_no_signal_lost
    echo "# $(awk '$1 == "got"' "$(victim_out)" | tr '\n' ',')" >&3
}

# ---- job control ----------------------------------------------------------------------------------

# slow_dump PID MICROSECONDS: in the background, to ./core, every ptrace() of which takes longer by that.
# Sets DUMP.
slow_dump() {
    strace -q -f -o /dev/null -e trace=ptrace --inject="ptrace:delay_enter=$2" \
        "$LIVECORE" -p "$1" -o core --force >dump.out 2>dump.err 3>&- &
    DUMP=$!
}

# Milliseconds.
nap_random() {
    sleep "$(printf '0.%03d' $((RANDOM % $1)))"
}

# ends_stopped PID: every thread, for good. ends_running PID: none.
ends_stopped() {
    wait_for 10 all_have_state "$1" T || fail "not stopped" "$(grep -h State "/proc/$1/task"/*/status)"
    sleep 0.05
    all_have_state "$1" T || fail "it did not stay stopped"
}

none_stopped() {
    ! grep -qE '^State:.[Tt]' "/proc/$1/task"/*/status
}

ends_running() {
    wait_for 10 none_stopped "$1" || fail "a thread is stopped" "$(grep -h State "/proc/$1/task"/*/status)"
}

finish() {
    status=0
    wait "$DUMP" || status=$?
    stderr=$(cat dump.err)
}

# The threads are seized, interrupted, read and let go one by one: a signal may come between any two.
@test "SIGSTOP and SIGCONT at every stage: in the end it is as the last signal says" {
    need_tool strace
    without_leak_check
    start_victim victim_busy 6
    local i signal
    for i in $(seq "$(rounds 24)"); do
        # Each from the other state, and from its own.
        case $((i % 4)) in
        0) kill -STOP "$VICTIM" && signal=CONT ;;
        1) kill -CONT "$VICTIM" && signal=STOP ;;
        2) kill -STOP "$VICTIM" && signal=STOP ;;
        3) kill -CONT "$VICTIM" && signal=CONT ;;
        esac
        slow_dump "$VICTIM" 2000
        nap_random 350
        kill "-$signal" "$VICTIM"
        finish
        expect_status 0
        check sane
        [ "$(tracer_of "$VICTIM")" = 0 ]
        if [ "$signal" = STOP ]; then ends_stopped "$VICTIM"; else ends_running "$VICTIM"; fi
    done
    kill -CONT "$VICTIM"
    assert_progress
}

tracer_of() {
    awk '/^TracerPid:/ { print $2 }' "/proc/$1/status"
}

@test "SIGSTOP and SIGCONT in turns while dump follows dump" {
    start_victim victim_busy 6
    local i juggler
    (
        exec 3>&-
        trap 'exit 0' TERM
        while kill -STOP "$VICTIM" && kill -CONT "$VICTIM"; do :; done
    ) &
    juggler=$!
    OTHERS+=("$juggler")
    for i in $(seq "$(rounds 20)"); do
        livecore -p "$VICTIM" -o core --force
        expect_status 0
        livecore -p "$VICTIM" -o core --force --minimal
        expect_status 0
    done
    check sane
    end_process "$juggler"
    kill -STOP "$VICTIM"
    ends_stopped "$VICTIM"
    livecore -p "$VICTIM" -o core --force
    expect_status 0
    ends_stopped "$VICTIM"
    kill -CONT "$VICTIM"
    ends_running "$VICTIM"
    assert_progress
}

@test "SIGTSTP and SIGTTIN while it is held: stopped by them afterwards" {
    local signal
    start_victim victim_busy 3
    kill -TSTP "$VICTIM"
    wait_for 3 all_have_state "$VICTIM" T || skip "the process group is orphaned here"
    kill -CONT "$VICTIM"
    for signal in TSTP TTIN TTOU; do
        ends_running "$VICTIM"
        hold_dump "$VICTIM"
        kill "-$signal" "$VICTIM"
        finish_dump
        expect_status 0
        ends_stopped "$VICTIM"
        kill -CONT "$VICTIM"
    done
    assert_progress
}

@test "SIGKILL at any instant of a dump: it dies at once, and livecore says so or has its core" {
    need_tool strace
    without_leak_check
    local i refused=0
    for i in $(seq "$(rounds 12)"); do
        start_victim victim_busy 4
        slow_dump "$VICTIM" $((i % 2 * 1500))
        nap_random $((i % 2 ? 300 : 60))
        # Which waits for it: a process that is dead and held would not end.
        stop_victim "$VICTIM"
        finish
        case $status in
        0) check sane ;;
        2)
            refused=$((refused + 1))
            expect_stderr "^livecore: (process [0-9]+ .*(ended|exiting)|there is no process)"
            [ ! -e core ] || fail "a file is left"
            ;;
        *) fail "status $status: $stderr" ;;
        esac
        rm -f core
    done
    [ "$refused" -gt 0 ] || fail "it was never killed in time"
}

# ---- timers ---------------------------------------------------------------------------------------

# timers_are_right: of victim_timer.
timers_are_right() {
    local name handled expiries missing leaks wrong n=0
    ask check >answer
    while read -r _ name handled expiries missing leaks wrong; do
        n=$((n + 1))
        [ "$handled" -gt 0 ] || fail "$name: the handler never ran"
        # An expiry that nobody was told of, or that was told twice. (The first one may be a moment late.)
        [ "$missing" -ge -1 ] && [ "$missing" -le 1 ] || fail "$name: $missing expiries of $expiries are missing" "$(cat answer)"
        [ "$leaks" -eq 0 ] || fail "$name: $leaks calls were interrupted by no handler" "$(cat answer)"
        [ "$wrong" -eq 0 ] || fail "$name: $wrong results are wrong" "$(cat answer)"
    done <answer
    [ "$n" -eq 8 ]
}

@test "timers of 200 us in every thread: no expiry is lost, no call comes back by itself, all sums are right" {
    local i first
    start_victim victim_timer
    timers_are_right
    first=$(ask counts)
    remember "$VICTIM" loose
    for i in $(seq "$(rounds 8)"); do
        livecore -p "$VICTIM" -o core --force
        expect_status 0
        livecore -p "$VICTIM" -o core --force --minimal
        expect_status 0
    done
    assert_untouched "$VICTIM" loose
    check sane
    timers_are_right
    for i in 1 2 3 4 5; do
        hold_dump "$VICTIM"
        sleep 0.1
        end_dump "$([ $((i % 2)) -eq 0 ] && echo KILL || echo TERM)"
    done
    timers_are_right
    wait_for 20 counters_beyond "$first" || fail "not every timer goes on" "$first" "$(ask counts)"
}

@test "timers of 200 us in every thread of a 32-bit program" {
    local i
    need_victim32
    start_victim victim_timer32
    for i in 1 2 3; do
        livecore -p "$VICTIM" -o core --force
        expect_status 0
    done
    timers_are_right
}

# ---- other programs, and the end ------------------------------------------------------------------

number_of() {
    tr '\0' '\n' <"/proc/$1/cmdline" | sed -n 4p
}

number_beyond() {
    [ "$(number_of "$1")" -gt "$2" ] 2>/dev/null
}

# dump_executing leader|thread: dumps of a process that executes itself all the time.
dump_executing() {
    need_x86_64
    need_tool readelf
    local i whole=0 refused=0 number pid status
    start_victim victim_exec "$1" 60
    for i in $(seq "$(rounds 25)"); do
        status=0
        timeout -s KILL 60 "$LIVECORE" -p "$VICTIM" -o core --force >out 2>err 3>&- || status=$?
        stderr=$(cat err)
        case $status in
        0)
            whole=$((whole + 1))
            [ ! -s err ] || fail "$stderr"
            check sane
            "$THREADCHECK" program "$VICTIMS/victim_exec" core >/dev/null
            ;;
        2)
            refused=$((refused + 1))
            expect_stderr "process $VICTIM \((victim_exec|exe)\) executed another program during the dump" 'hint: .*again'
            [ ! -e core ] || fail "a file is left"
            ;;
        *) fail "status $status: $stderr" ;;
        esac
        rm -f core
        # Nobody waits for a thread that livecore holds.
        number=$(number_of "$VICTIM")
        wait_for 20 number_beyond "$VICTIM" "${number:-0}" || fail "it does not go on" "$(grep -h State "/proc/$VICTIM/task"/*/status)"
    done
    echo "# $1: $whole whole, $refused refused" >&3
    [ "$whole" -gt 0 ] || fail "there never was a core"
}

@test "a leader that executes its program again and again: a whole core of one, or a refusal" {
    dump_executing leader
}

@test "a thread that executes the program again and again: a whole core of one, or a refusal" {
    dump_executing thread
}

# taken_over CALL WHEN FIRST: a dump that waits before that system call; meanwhile the process ends, and the
# numbers of its threads from the FIRST one on are another process's. That one is never stopped, and there is no
# core.
taken_over() {
    local call=$1 when=$2 first=$3 pid state tids
    need_root
    need_x86_64
    need_tool strace
    without_leak_check
    start_victim victim_busy 4
    pid=$VICTIM
    mapfile -t tids < <(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n | tail -n "+$first")
    "$VICTIMS/victim_impostor" "${tids[@]}" >impostor.out 2>impostor.err 3>&- &
    OTHERS+=("$!")
    # The log shows every ptrace().
    strace -q -f -o strace.log -e "trace=ptrace,$call" --inject="$call:delay_enter=4000000:when=$when" \
        "$LIVECORE" -p "$pid" -o core >dump.out 2>dump.err 3>&- &
    DUMP=$!
    OTHERS+=("$DUMP")
    wait_for 20 is_waiting "$call" "$when"
    kill -KILL "$pid"
    wait_for 20 grep -q "^impostor ${tids[0]}$" impostor.out || fail "its numbers are not free" "$(cat impostor.err strace.log)"
    finish
    expect_status 2
    expect_stderr "^livecore: process $pid \\(victim_busy\\) ended during the dump"
    [ ! -e core ] || fail "a core"
    # Nothing stopped it: not even for a moment.
    for state in "${tids[@]}"; do
        ! grep -E "PTRACE_(INTERRUPT|ATTACH|GETREGSET), $state" strace.log || fail "$(cat strace.log)"
    done
    for state in "/proc/${tids[0]}/task"/*/status; do
        grep -q '^State:.S' "$state" && grep -q '^TracerPid:.0$' "$state" || fail "$(cat "$state")"
    done
    rm -f strace.log impostor.out impostor.err dump.out dump.err
}

# The call has begun that is to wait.
is_waiting() {
    [ "$(grep -c "$1(" strace.log)" -ge "$2" ] 2>/dev/null
}

@test "its PID and TIDs are another's, after it was opened" {
    taken_over flock 1 1
}

@test "its PID and TIDs are another's, before the first thread is seized" {
    taken_over ptrace 1 1
}

@test "its TIDs are another's, after some threads were seized" {
    taken_over ptrace 3 3
}

@test "its TIDs are another's, all but the last are seized" {
    taken_over ptrace 5 5
}

# ---- those that die -------------------------------------------------------------------------------

@test "a thread that is caught in its own exit is no thread any more; one that is caught in close() is a loss" {
    need_root
    need_tool jq
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    start_victim victim_dying
    local round
    for round in 1 2; do
        livecore -p "$VICTIM" -o core --force --timeout=1 --json
        expect_status 1
        check sane
        [ "$(json '[.losses[].tid] | @text')" = "[$(truth closing)]" ] || fail "$output"
        [ "$(check threads | grep -c .)" -eq 3 ]
        check threads | grep -qx "$(truth closing)"
        ! check threads | grep -qx "$(truth dying)" || fail "the thread that has exited is there"
        none_stopped "$VICTIM"
    done
    # Both go on when the file system answers: one ends, the other sleeps.
    ask release >answer
    grep -qx "state $(truth dying) -" answer || fail "$(cat answer)"
    wait_for 10 has_state "$(truth closing)" S
    livecore -p "$VICTIM" -o core --force
    expect_status 0
    [ "$(check threads | grep -c .)" -eq 3 ]
}

@test "a process that ends, with much memory to give back: a core, or it says so; never held up" {
    local i refused=0
    for i in $(seq "$(rounds 6)"); do
        start_victim victim_clock -m 256
        (
            nap_random 40
            kill -TERM "$VICTIM"
        ) 3>&- &
        nap_random 60
        livecore -p "$VICTIM" -o core --force
        case $status in
        0) check sane ;;
        2)
            refused=$((refused + 1))
            expect_stderr "^livecore: (process $VICTIM .*(ended|exiting|zombie)|there is no process $VICTIM)"
            [ ! -e core ] || fail "a file is left"
            ;;
        *) fail "status $status: $stderr" ;;
        esac
        rm -f core
        stop_victim "$VICTIM"
    done
    echo "# $refused of them refused" >&3
}

# ---- other tracers --------------------------------------------------------------------------------

@test "a tracer that comes, goes and dies all the time: a whole core or a refusal that names it" {
    local i whole=0 refused=0 victim tracer
    start_victim victim_busy 6
    victim=$VICTIM
    remember "$victim"
    start_victim victim_tracer "$victim"
    tracer=$VICTIM
    for i in $(seq "$(rounds 15)"); do
        livecore -p "$victim" -o core --force
        case $status in
        0)
            whole=$((whole + 1))
            check sane
            [ "$(check threads | wc -l)" -eq 7 ] || fail "threads: $(check threads)"
            for tid in $(check threads); do
                check prstatus "$tid" | grep -q '^rip 0x[0-9a-f]*[1-9a-f]' || check prstatus "$tid" | grep -q '^rip [1-9]' || fail "no registers of $tid"
            done
            ;;
        2)
            refused=$((refused + 1))
            expect_stderr "process $victim \(victim_busy\) is already traced, by process [0-9]+ \((tracer|victim_tracer|\?)?\)"
            [ ! -e core ] || fail "a file is left"
            ;;
        *) fail "status $status: $stderr" ;;
        esac
        rm -f core
    done
    echo "# $whole whole, $refused refused, $(ask any)" >&3
    stop_victim "$tracer"
    [ "$whole" -gt 0 ] || fail "there never was a core"
    VICTIM=$victim
    wait_for 10 none_stopped "$victim" || fail "a thread is stopped"
    assert_untouched "$victim"
    assert_progress
}

# ---- vfork() --------------------------------------------------------------------------------------

# dump_vforking ARG...: dumps of a victim_vfork_loop whose children leave by exit or by execve() before the
# time-out, at its very instant, or behind it; every fourth dump is killed while it waits.
dump_vforking() {
    local i n losses=0 whole=0 killed=0 go expected=0
    start_victim victim_vfork_loop "$@"
    has_state "$(truth vfork)" D || skip "vfork() does not sleep in D state here"
    n=$(grep -c ^vfork "$(victim_out)")
    go=${VICTIM_DIR[$VICTIM]}/go
    for i in $(seq "$(rounds 16)"); do
        "$LIVECORE" -p "$VICTIM" -o core --force --timeout=0.15 >dump.out 2>dump.err 3>&- &
        DUMP=$!
        if [ "$i" -eq 1 ]; then
            finish # nobody leaves in time
        elif [ $((i % 4)) -eq 3 ]; then
            nap_random 160
            kill -KILL "$DUMP" 2>/dev/null || true
        elif [ $((i % 4)) -eq 1 ]; then
            sleep "0.15$((RANDOM % 10))"
        else
            nap_random 220
        fi
        # Twice: they come back, and call it again, perhaps while livecore waits.
        printf "%$((n * 2))s" '' | tr ' ' "$([ $((i % 3)) -eq 0 ] && echo x || echo e)" >"$go"
        expected=$((expected + n * 2))
        [ "$i" -eq 1 ] || finish
        case $status in
        0) whole=$((whole + 1)) ;;
        1)
            losses=$((losses + 1))
            [ "$(grep -c '^livecore: loss: thread' dump.err)" -le "$n" ] || fail "$stderr"
            ;;
        137) killed=$((killed + 1)) ;;
        *) fail "status $status: $stderr" ;;
        esac
        [ "$status" -eq 137 ] || check sane
        rm -f core
        # They have come back meanwhile, and gone again. Nothing stopped them, nor does it later.
        none_stopped "$VICTIM" || fail "a thread is stopped" "$(grep -h State "/proc/$VICTIM/task"/*/status)"
        ! grep -hE '^TracerPid:.[1-9]' "/proc/$VICTIM/task"/*/status || fail "a thread is traced"
        wait_for 10 vforked "$expected" || fail "a thread does not come back from vfork(): $(ask any), not $expected"
        none_stopped "$VICTIM" || fail "a thread is stopped" "$(grep -h State "/proc/$VICTIM/task"/*/status)"
    done
    echo "# $whole whole, $losses with losses, $killed killed" >&3
    [ "$losses" -gt 0 ]
}

vforked() {
    [ "$(ask any)" = "vforked $1" ]
}

@test "a thread in vfork() whose child leaves at any instant: it is never found stopped" {
    dump_vforking 1
}

@test "three threads in vfork(), the first one among them" {
    dump_vforking 3 leader
}

# ---- frozen by others -----------------------------------------------------------------------------

# freeze_group KIND: a control group with the victim in it, frozen; sets GROUP. KIND is a type of file system.
freeze_group() {
    local mount file=cgroup.freeze value=1
    need_root
    mount=$(awk -v kind="$1" '$3 == kind && (kind == "cgroup2" || $4 ~ /(^|,)freezer(,|$)/) { print $2; exit }' /proc/mounts)
    [ -n "$mount" ] || skip "no $1 freezer is mounted"
    [ "$1" = cgroup2 ] || { file=freezer.state value=FROZEN; }
    GROUP=$mount/livecore-test-$$-$BATS_TEST_NUMBER
    mkdir "$GROUP" 2>/dev/null || { GROUP= && skip "no control group can be made in $mount"; }
    [ -w "$GROUP/$file" ] || skip "no $file in $mount"
    echo "$VICTIM" >"$GROUP/cgroup.procs"
    echo "$value" >"$GROUP/$file"
    wait_for 10 is_frozen
}

is_frozen() {
    if [ -e "$GROUP/cgroup.events" ]; then
        grep -q '^frozen 1' "$GROUP/cgroup.events"
    else
        grep -q FROZEN "$GROUP/freezer.state"
    fi
}

thaw() {
    echo 0 2>/dev/null >"$GROUP/cgroup.freeze" || echo THAWED >"$GROUP/freezer.state"
}

@test "a process in a frozen control group: a whole core, and it stays frozen" {
    start_victim victim_busy 4
    freeze_group cgroup2
    dump "$VICTIM" --verify
    [ "$(check threads | wc -l)" -eq 5 ]
    wait_for 10 is_frozen
    hold_dump "$VICTIM"
    end_dump KILL
    wait_for 10 is_frozen
    thaw
    assert_progress
}

@test "a process that the first kind of freezer holds: all its memory, and what is known of its threads" {
    local n
    start_victim victim_busy 4
    freeze_group cgroup
    all_have_state "$VICTIM" D || skip "the freezer does not hold it in D state here"
    livecore -p "$VICTIM" -o core --timeout=0.5
    expect_status 1
    check sane
    [ "$(check threads | wc -l)" -eq 5 ]
    for n in $(check threads); do
        expect_stderr "loss: thread $n: .*did not stop in time"
    done
    is_frozen
    thaw
    ends_running "$VICTIM"
    [ "$(tracer_of "$VICTIM")" = 0 ]
    assert_progress
    dump "$VICTIM"
}

# ---- the kernel's threads in a process --------------------------------------------------------------

@test "io_uring's workers go on: what they wait for does not fail, and they are in the core" {
    local i
    start_victim victim_uring
    ! victim_says "$VICTIM" '^skip' || skip "no io_uring here"
    [ -n "$(truth worker)" ] || skip "this kernel has no worker wait for a splice()"
    [ "$(ask any)" = "completed 0 0" ] || skip "this kernel does not wait for the splice()"
    for i in 1 2 3; do
        livecore -p "$VICTIM" -o core --force
        expect_status 0
        check sane
        for tid in $(awk '$1 == "worker" { print $2 }' "$(victim_out)"); do
            check threads | grep -qx "$tid" || fail "no worker $tid"
        done
        [ "$(check threads | head -1)" = "$VICTIM" ]
    done
    [ "$(ask any)" = "completed 0 0" ] || fail "$(ask any)"
    [ "$(ask write)" = "completed 1 1" ]
}
