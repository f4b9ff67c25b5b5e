# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034,SC2030,SC2031
# livecore is ended by a signal at any instant of a dump: the process goes on, and no file is left.

load ../cli/helpers

# N_INSTANTS=1000 is the long form: so many for each signal, and each kind of dump.
: "${N_INSTANTS:=15}"

DUMP_ARGS=()

# start_dump: of the victim to ./core, in the background. Sets DUMP.
start_dump() {
    env --default-signal=INT "$LIVECORE" -p "$VICTIM" -o core --force -q "${DUMP_ARGS[@]}" >out 2>err 3>&- &
    DUMP=$!
}

# measure_dump: sets DURATION, in microseconds: the shortest of five.
measure_dump() {
    local start end n
    DURATION=1000000
    for n in 1 2 3 4 5; do
        start=${EPOCHREALTIME/[.,]/}
        start_dump
        wait "$DUMP"
        end=${EPOCHREALTIME/[.,]/}
        [ $((end - start)) -ge "$DURATION" ] || DURATION=$((end - start))
    done
    rm -f core
}

# is_free: nobody traces it, and no thread is stopped.
is_free() {
    local task
    for task in "/proc/$VICTIM/task"/*; do
        grep -qE '^TracerPid:[[:space:]]0$' "$task/status" || return 1
        case $(state_of "${task##*/}") in
        T | t | Z | X) return 1 ;;
        esac
    done
}

# kill_one SIGNAL: at a random instant of a dump. The kernel has let go of the process before livecore can be
# waited for.
kill_one() {
    local signal=$1 number
    number=$(kill -l "$signal")
    start_dump
    sleep "$(printf '0.%06d' $(((RANDOM * 32768 + RANDOM) % (DURATION + 1))))"
    kill "-$signal" "$DUMP" 2>/dev/null || true
    status=0
    wait "$DUMP" 2>/dev/null || status=$?
    is_free || fail "$signal: the process is not free" "$(grep -hE 'State|TracerPid' "/proc/$VICTIM/task"/*/status)"
    case $status in
    0)
        # It had finished.
        check sane
        assert_files core err out
        ;;
    $((128 + number)))
        ENDED=$((ENDED + 1))
        # It may come when the file has its name already: then it is whole.
        if [ -e core ]; then
            check sane
            COMPLETE=$((COMPLETE + 1))
            [ "$signal" = KILL ] || [ "$COMPLETE" -le $((2 + N_INSTANTS / 50)) ] || fail "$signal: cores are left"
            rm -f core
        fi
        assert_files err out
        ;;
    *) fail "$signal: status $status" "$(cat err)" ;;
    esac
    rm -f core
}

# kill_at_instants SIGNAL: full and minimal dumps of a process that works in every thread, and that takes
# numbered signals all the while.
kill_at_instants() {
    local signal=$1 n kind
    start_victim victim_flood 4 4
    remember "$VICTIM" loose
    for kind in full minimal; do
        DUMP_ARGS=()
        [ "$kind" = full ] || DUMP_ARGS=(--minimal)
        measure_dump
        ENDED=0 COMPLETE=0
        for n in $(seq "$N_INSTANTS"); do
            kill_one "$signal"
        done
        echo "# $signal, $kind: $N_INSTANTS instants of $((DURATION / 1000)) ms, $ENDED ended, $COMPLETE of them with a core" >&3
        [ "$ENDED" -gt 0 ] || fail "$signal never came in time"
        assert_untouched "$VICTIM" loose
        assert_progress
    done
    assert_no_signal_lost
}

@test "SIGINT at any instant" {
    kill_at_instants INT
}

@test "SIGTERM at any instant" {
    kill_at_instants TERM
}

@test "SIGHUP at any instant" {
    kill_at_instants HUP
}

@test "SIGKILL at any instant" {
    kill_at_instants KILL
}

# A thread that is about to take a signal when it is stopped has it no more among those that pend.
@test "SIGKILL while threads stand before a signal: it is not lost" {
    start_victim victim_flood
    local n
    for n in 1 2 3 4 5 6 7 8; do
        hold_dump "$VICTIM"
        end_dump KILL
        [ "$status" -eq 137 ]
        is_free
    done
    assert_no_signal_lost
}

@test "SIGKILL, and the next dump is as if nothing had been" {
    start_victim victim_busy 5
    measure_dump
    local n
    for n in 1 2 3 4 5; do
        start_dump
        sleep "$(printf '0.%06d' $((DURATION * n / 6)))"
        kill -KILL "$DUMP" 2>/dev/null || true
        # At once: the kernel has let go of it, or is just about to.
        wait "$DUMP" 2>/dev/null || true
        rm -f core
        livecore -p "$VICTIM" -o core
        expect_status 0
        check sane
        [ "$(check threads | wc -l)" -eq 6 ]
    done
    assert_progress
}

@test "a stopped process stays stopped when livecore is killed" {
    start_victim victim_busy 4
    measure_dump
    stop_process "$VICTIM"
    remember "$VICTIM"
    local signal n
    for signal in KILL INT TERM; do
        for n in 1 2 3 4; do
            start_dump
            sleep "$(printf '0.%06d' $((DURATION * n / 5)))"
            kill "-$signal" "$DUMP" 2>/dev/null || true
            wait "$DUMP" 2>/dev/null || true
            assert_untouched "$VICTIM"
            rm -f core
        done
    done
    kill -CONT "$VICTIM"
    assert_progress
}
