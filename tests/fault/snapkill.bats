# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034,SC2030,SC2031
# livecore is killed before the Nth system call of a kind, for N = 1, 2, ..., while it takes a snapshot:
# whatever it was about to do in the process, that goes on as if nothing had been.
#
# SNAPKILL=full tries every N of every kind; otherwise the steps grow for all kinds but ptrace(2).
# SNAPKILL_INSTANTS=N (20) kills it at so many random instants besides. SNAPKILL_LOG=FILE gets a line about
# each.

load ../cli/helpers
load ../cli/snapshots

: "${SNAPKILL_INSTANTS:=20}"

setup() {
    need_tool strace
    [ "$STRATEGIES" = plain ] || need_snapshot
    cd "$BATS_TEST_TMPDIR" || return 1
    strace -qq -o probe -e trace=uname -e inject=uname:error=EPERM uname >/dev/null 2>&1 || true
    grep -q INJECTED probe || skip "strace cannot inject errors here"
    rm -f probe
    without_leak_check
}

# n_loaders CALL: how many of them the dynamic loader makes, before livecore is there.
n_loaders() {
    strace -qq -o loader -e "trace=$1,openat" "$LIVECORE" -p "$VICTIM" --dry-run >/dev/null
    awk -v call="$1(" '/"\/proc"/ { exit } index($0, call) == 1 { n++ } END { print n + 0 }' loader
    rm -f loader
}

# killed_at STRATEGY CALL N: one snapshot. Sets status.
killed_at() {
    options_of "$1"
    rm -f core trace
    status=0
    timeout -s KILL 60 strace -f -qq -o trace -e "trace=$2" -e "inject=$2:signal=KILL:when=$3" \
        "$LIVECORE" -p "$VICTIM" -o core -q "${SNAPSHOT[@]}" >out 2>err 3>&- || status=$?
    stderr=$(cat err)
}

# judge WHAT: after a livecore that was killed.
judge() {
    [ -z "${SNAPKILL_LOG:-}" ] || echo "$1: status $status: $(tail -1 trace 2>/dev/null)" >>"$SNAPKILL_LOG"
    if [ -e core ]; then
        check sane || fail "$1: a broken core is left"
        rm -f core
    fi
    wait_for 5 has_same_marks "$VICTIM" ||
        fail "$1: something is left" "$(diff -u "$BATS_TEST_TMPDIR/before.marks.$VICTIM" "$BATS_TEST_TMPDIR/after.marks.$VICTIM")" \
            "the last calls:" "$(tail -6 trace 2>/dev/null)"
    ! victim_says "$VICTIM" '^broken' ||
        fail "$1: $(grep ^broken "$(victim_out)")" "the last calls:" "$(tail -6 trace 2>/dev/null)"
    kill -0 "$VICTIM" 2>/dev/null || fail "$1: the process is dead" "$(tail -6 trace)"
    rm -f out err trace
    assert_files || fail "$1"
}

# sweep STRATEGY CALL [every]
sweep() {
    local strategy=$1 call=$2 first n
    first=$(($(n_loaders "$call") + 1))
    n=$first
    while :; do
        killed_at "$strategy" "$call" "$n"
        case $status in
        0)
            judge "$strategy: not killed any more"
            break
            ;;
        137) judge "$strategy: killed at $call number $n" ;;
        *) fail "$strategy: killed at $call number $n: status $status" "$stderr" ;;
        esac
        KILLED=$((KILLED + 1))
        [ "$n" -lt 5000 ] || break
        if [ "${SNAPKILL:-}" = full ] || [ -n "${3:-}" ]; then
            n=$((n + 1))
        else
            n=$((n + 1 + (n - first) / 3))
        fi
    done
}

# sweeps STRATEGY: of a process that would notice.
sweeps() {
    of_strategies "$1"
    local call before
    start_watchful 2
    KILLED=0
    before=$SECONDS
    sweep "$1" ptrace every
    assert_noticed_nothing killed
    for call in process_vm_writev pidfd_getfd pidfd_open ioctl wait4 waitid kill tgkill pidfd_send_signal close munmap pwrite64; do
        sweep "$1" "$call"
        assert_noticed_nothing killed || fail "$1: $call"
    done
    echo "# $1: killed at $KILLED calls in $((SECONDS - before)) s" >&3
    [ "$KILLED" -gt 0 ]
    assert_untouched "$VICTIM" loose
    # And the next one is as if nothing had been.
    snapshot "$VICTIM" "$1"
    check sane
    assert_watchful_goes_on killed
}

@test "plain: killed at any call" {
    sweeps plain
}

@test "copy: killed at any call" {
    sweeps copy
}

@test "fork: killed at any call" {
    sweeps fork
}

@test "precopy: killed at any call" {
    sweeps precopy
}

# stopped_sweep STRATEGY: a process that was stopped stays so.
stopped_sweep() {
    of_strategies "$1"
    start_watchful 2
    stop_process "$VICTIM"
    remember "$VICTIM"
    remember_marks "$VICTIM"
    KILLED=0
    local n=1
    while :; do
        killed_at "$1" ptrace "$n"
        judge "$1: killed at ptrace number $n, of a stopped process"
        assert_untouched "$VICTIM" || fail "$1: killed at ptrace number $n, of a stopped process"
        # To the end; or it says that it needs threads that are not stopped.
        [ "$status" -eq 137 ] || break
        [ "${SNAPKILL:-}" = full ] || n=$((n + 3))
        n=$((n + 1))
    done
    [ "$n" -gt 1 ] && [[ $status = [02] ]] || fail "status $status" "$stderr"
    kill -CONT "$VICTIM"
    ask look >/dev/null # the signal itself is noticed
    wait_for 10 assert_signal_was_all
}

# SIGCONT, which it was sent here: its handler ran in one thread, whose call the kernel ends with EINTR.
assert_signal_was_all() {
    local answer signals
    answer=$(ask look)
    signals=$(sed -n 's/^signals //p' <<<"$answer")
    [[ $signals = [01] ]] && ! grep -qE '^child [^n]' <<<"$answer" &&
        ! grep '^returned' <<<"$answer" | grep -vE ' -1 4$' &&
        [ "$(grep -c '^returned' <<<"$answer")" -le "$signals" ]
}

@test "fork: a stopped process stays stopped when livecore is killed" {
    stopped_sweep fork
}

@test "precopy: a stopped process stays stopped when livecore is killed" {
    stopped_sweep precopy
}

# at_instants STRATEGY: random ones, of a process that writes all the time.
at_instants() {
    of_strategies "$1"
    local n start duration
    options_of "$1"
    start_rule size=64 rate=400 seed=21 ops=-fork
    start=${EPOCHREALTIME/[.,]/}
    "$LIVECORE" -p "$VICTIM" -o core -q "${SNAPSHOT[@]}" 3>&-
    duration=$((${EPOCHREALTIME/[.,]/} - start))
    rm -f core
    for ((n = 0; n < SNAPKILL_INSTANTS; n++)); do
        "$LIVECORE" -p "$VICTIM" -o core -q "${SNAPSHOT[@]}" >out 2>err 3>&- &
        DUMP=$!
        sleep "$(printf '0.%06d' $(((RANDOM * 32768 + RANDOM) % (duration + 1))))"
        kill -KILL "$DUMP" 2>/dev/null || true
        status=0
        wait "$DUMP" 2>/dev/null || status=$?
        judge "$1: killed at an instant"
    done
    assert_rule_goes_on
    snapshot "$VICTIM" "$1"
    obeys "$1 after others were killed"
}

@test "plain: killed at any instant, of memory that is written to" {
    at_instants plain
}

@test "fork: killed at any instant, of memory that is written to" {
    at_instants fork
}

@test "precopy: killed at any instant, of memory that is written to" {
    at_instants precopy
}
