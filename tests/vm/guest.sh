# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2034,SC2086
# What the first halves of tests use, in the machine: victims, livecore, the proof that a process is as
# it was. Each test has a process of its own, in which the first command that fails ends it.

fail() {
    printf '%s\n' "$@"
    exit 1
}

skip() {
    echo "$*"
    exit 77
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    wait_end=$(($(cut -d. -f1 /proc/uptime) + $1 + 1))
    shift
    until "$@"; do
        [ "$(cut -d. -f1 /proc/uptime)" -lt "$wait_end" ] || return 1
        usleep 50000
    done
}

# ---- victims ------------------------------------------------------------------------------------

# start NAME [ARG...]: one at a time. Sets PID; its truth is ./out.
start() {
    rm -f in out
    mkfifo in
    : >out
    exec 9<>in
    "$@" <in >>out 2>err 9<&- &
    PID=$!
    echo "$PID" >>/tmp/victims
    wait_for 30 grep -q '^ready$' out || fail "$* is not ready" "$(cat out err)"
}

# ask QUESTION: prints the answer.
ask() {
    n_answers=$(grep -c '^answered$' out) || true
    echo "$1" >&9
    wait_for 30 has_answers $((n_answers + 1)) || fail "the victim does not answer" "$(cat out)"
    awk -v n="$n_answers" '/^(ready|answered)$/ { seen++; next } seen == n + 1' out
}

has_answers() {
    [ "$(grep -c '^answered$' out)" -ge "$1" ]
}

has_state() {
    for task in "/proc/$1/task"/*; do
        grep -q "^State:[[:space:]]*$2" "$task/status" || return 1
    done
}

# stop: until every thread is stopped.
stop() {
    kill -STOP "$PID"
    wait_for 10 has_state "$PID" T
}

# By init: of the test that has ended.
end_victims() {
    [ -e /tmp/victims ] || return 0
    while read -r victim; do
        kill -KILL "$victim" 2>/dev/null
    done </tmp/victims
    rm -f /tmp/victims
}

# huge_pages N: of 2 MiB, to be had by anybody.
huge_pages() {
    echo "$1" >/proc/sys/vm/nr_hugepages
}

# ---- livecore -----------------------------------------------------------------------------------

AS_USER=
LOOSE=

is_untouched() {
    procstate "$PID" $LOOSE >after && cmp -s before after
}

# dump CORE [ARG...]: a complete core of the victim, which is afterwards as it was. Leaves what livecore
# printed in CORE.json and CORE.err.
dump() {
    core=$1
    shift
    dump_or_fail "$core" "$@"
    [ "$dump_status" -eq 0 ] || fail "livecore $*: status $dump_status" "$(cat "$core.json" "$core.err")"
}

# dump_or_fail CORE [ARG...]: sets dump_status.
dump_or_fail() {
    core=$1
    shift
    procstate "$PID" $LOOSE >before
    run_livecore "$core" -p "$PID" -o "$core" --force --json "$@"
    wait_for 5 is_untouched || fail "the process is not as it was" "$(diff before after)"
}

# run_livecore CORE ARG...: sets dump_status. One that hangs is ended, and it is told where.
run_livecore() {
    printed=$1
    shift
    $AS_USER livecore "$@" >"$printed.json" 2>"$printed.err" 9<&- &
    livecore=$!
    echo "$livecore" >>/tmp/victims
    wait_for 45 has_ended "$livecore" || {
        echo "livecore hangs:"
        tell_threads "$livecore"
        tell_threads "$PID"
        kill -KILL "$livecore"
    }
    dump_status=0
    wait "$livecore" || dump_status=$?
}

# The shell may have collected it.
has_ended() {
    ! grep -qs '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status"
}

# tell_threads PID: what each is at.
tell_threads() {
    for task in "/proc/$1/task"/*; do
        echo "$(cat "$task/comm") ${task##*/}: $(awk '/^State|^TracerPid/ { print $2 }' "$task/status" | tr '\n' ' ')"
        echo "  system call $(cat "$task/syscall")"
        sed 's/^/  /' "$task/stack"
    done
}

# expect_strategy CORE STRATEGY [TRACKER]: as its JSON tells.
expect_strategy() {
    grep -qE "\"strategy\": *\"$2\"" "$1.json" || fail "the strategy is not $2" "$(cat "$1.json")"
    [ $# -lt 3 ] || grep -qE "\"tracker\": *\"$3\"" "$1.json" || fail "the tracker is not $3" "$(cat "$1.json")"
}

need_snapshots() {
    livecore --help | grep -q -e --snapshot || skip "this livecore takes no snapshots"
}

# tracker: of precopy, on this kernel.
tracker() {
    uname -r | awk -F'[.-]' '{ print ($1 > 6 || $1 == 6 && $2 >= 7) ? "userfaultfd" : "soft-dirty" }'
}
