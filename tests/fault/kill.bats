# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034,SC2030,SC2031
# livecore is ended by a signal at any instant of a dump: the process goes on, and no file is left.

load ../cli/helpers

N_INSTANTS=20

# start_dump: of the victim to ./core, in the background. Sets DUMP.
start_dump() {
    env --default-signal=INT "$LIVECORE" -p "$VICTIM" -o core --force -q >out 2>err 3>&- &
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

# kill_at_instants SIGNAL: at random instants of the length of a dump.
kill_at_instants() {
    local signal=$1 number n ended=0
    number=$(kill -l "$signal")
    start_victim victim_busy 5
    measure_dump
    remember "$VICTIM" loose
    for n in $(seq "$N_INSTANTS"); do
        start_dump
        sleep "$(printf '0.%06d' $(((RANDOM * 32768 + RANDOM) % (DURATION + 1))))"
        kill "-$signal" "$DUMP" 2>/dev/null || true
        status=0
        wait "$DUMP" 2>/dev/null || status=$?
        wait_for 5 is_free || fail "$signal: the process is not free" "$(grep -hE 'State|TracerPid' "/proc/$VICTIM/task"/*/status)"
        case $status in
        0)
            # It had finished.
            check sane
            assert_files core err out
            ;;
        $((128 + number)))
            ended=$((ended + 1))
            # SIGKILL may come when the file has its name already: then it is whole.
            if [ "$signal" = KILL ] && [ -e core ]; then
                check sane
                rm -f core
            fi
            assert_files err out
            ;;
        *) fail "$signal: status $status" "$(cat err)" ;;
        esac
        rm -f core
    done
    [ "$ended" -gt 0 ] || fail "$signal never came in time"
    assert_untouched "$VICTIM" loose
    assert_progress
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
