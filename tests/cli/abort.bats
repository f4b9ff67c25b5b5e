# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2016,SC2030,SC2031,SC2034
# Dumps that are ended: livecore dies of the very signal, the process goes on, no file is left.
#
# N_INSTANTS=1000 for the long form (some minutes).

load helpers

: "${N_INSTANTS:=30}"
INTERRUPT=$TESTS/cli/interrupt

# start_busy: a process with enough memory that a dump takes a while, and a thread that never rests.
start_busy() {
    start_victim victim_clock -m 128 -t 20
    # Its first answers touch pages of code.
    ask reset >/dev/null
    ask gap >/dev/null
    remember "$VICTIM"
    mkdir out
}

# assert_goes_on: untouched, the first thread answers, and the busy one works.
assert_goes_on() {
    assert_untouched "$VICTIM"
    [ "$(ask reset)" = 'gap 0' ]
    wait_for 20 has_gap
}

has_gap() {
    [ "$(ask gap)" != 'gap 0' ]
}

# ended_at_random SIGNAL
ended_at_random() {
    start_busy
    "$INTERRUPT" "$LIVECORE" "$VICTIM" "$1" "$N_INSTANTS" 2>dumps.err || fail "$(grep -v "^livecore: interrupted" dumps.err)"
    assert_goes_on
    [ -z "$(ls -A out)" ]
    dump "$VICTIM"
}

now_ms() {
    echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

@test "SIGINT at random instants" {
    ended_at_random INT
}

@test "SIGTERM at random instants" {
    ended_at_random TERM
}

@test "SIGHUP at random instants" {
    ended_at_random HUP
}

@test "SIGKILL at random instants" {
    ended_at_random KILL
}

@test "threads that start and end all the time, SIGTERM and SIGKILL at random instants" {
    start_victim victim_many_threads 200 churn
    mkdir out
    "$INTERRUPT" "$LIVECORE" "$VICTIM" TERM "$N_INSTANTS" 2>dumps.err || fail "$(grep -v "^livecore: interrupted" dumps.err)"
    "$INTERRUPT" "$LIVECORE" "$VICTIM" KILL "$N_INSTANTS" 2>dumps.err || fail "$(grep -v "^livecore: interrupted" dumps.err)"
    local first
    first=$(ask started)
    wait_for 20 started_more "$first"
}

started_more() {
    [ "$(ask started)" != "$1" ]
}

@test "a stopped process stays stopped, SIGINT and SIGKILL at random instants" {
    start_busy
    stop_process "$VICTIM"
    remember "$VICTIM"
    local signal
    for signal in INT TERM KILL; do
        RUN_PREFIX=()
        ended_while_stopped "$signal"
    done
    kill -CONT "$VICTIM"
    wait_for 10 has_state "$VICTIM" S
    [ "$(ask reset)" = 'gap 0' ]
    wait_for 20 has_gap
}

# ended_while_stopped SIGNAL: some instants of a dump.
ended_while_stopped() {
    local delay dumper
    for delay in 0.002 0.005 0.01 0.02 0.03 0.05; do
        env --default-signal=INT,QUIT "$LIVECORE" -p "$VICTIM" -o out/core >/dev/null 2>&1 3>&- &
        dumper=$!
        sleep "$delay"
        kill "-$1" "$dumper" 2>/dev/null || true
        wait "$dumper" 2>/dev/null || true
        assert_untouched "$VICTIM"
        all_have_state "$VICTIM" T
        rm -f out/core # of one that was faster
        [ -z "$(ls -A out)" ]
    done
}

@test "while it is blocked on a pipe that nobody reads: released at once" {
    local signal start
    start_busy
    for signal in INT TERM HUP KILL; do
        hold_dump "$VICTIM"
        start=$(now_ms)
        kill "-$signal" "$HOLDER"
        status=0
        wait "$HOLDER" 2>/dev/null || status=$?
        [ $(($(now_ms) - start)) -lt 1000 ] || fail "SIG$signal: it took $(($(now_ms) - start)) ms"
        exec {HOLD_FD}>&-
        expect_status $((128 + $(kill -l "$signal")))
        [ "$signal" = KILL ] || grep -q '^livecore: interrupted' held.err || fail "SIG$signal: $(cat held.err)"
        [ "$(wc -l <held.err)" -le 1 ] || fail "SIG$signal: $(cat held.err)"
        assert_goes_on
    done
    assert_files held held.err out
}

@test "every signal twice, and one after the other: it dies of the first" {
    start_busy
    hold_dump "$VICTIM"
    kill -STOP "$HOLDER"
    kill -TERM "$HOLDER"
    kill -TERM "$HOLDER"
    kill -CONT "$HOLDER"
    status=0
    wait "$HOLDER" 2>/dev/null || status=$?
    exec {HOLD_FD}>&-
    expect_status 143
    assert_goes_on
}

@test "a shell sees the death by the signal, not an exit status that looks like it" {
    start_busy
    /usr/bin/python3 - "$LIVECORE" "$VICTIM" <<'PYTHON'
import os, signal, subprocess, sys, time
for signo in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
    read, write = os.pipe()
    dump = subprocess.Popen([sys.argv[1], "-p", sys.argv[2], "-o", "-"], stdout=write, stderr=subprocess.DEVNULL,
                            preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (1, 2, 15)])
    os.close(write)
    time.sleep(0.3)
    dump.send_signal(signo)
    status = dump.wait()
    os.close(read)
    assert status == -signo, (signo, status)
PYTHON
    assert_goes_on
}

@test "nohup: a signal that is ignored stays ignored, the dump is completed" {
    local signal
    start_busy
    for signal in HUP INT TERM; do
        RUN_PREFIX=(env "--ignore-signal=$signal")
        [ "$signal" != HUP ] || RUN_PREFIX=(nohup)
        hold_dump "$VICTIM"
        kill "-$signal" "$HOLDER"
        sleep 0.3
        has_state "$VICTIM" t || fail "SIG$signal ended it" "$(cat held.err)"
        finish_dump
        expect_status 0
        check sane
        assert_goes_on
    done
}

@test "the reader of the pipe goes away: no signal, one line, status 2" {
    start_busy
    run bash -c '"$1" -p "$2" -o - 2>err | head -c 100000 >/dev/null; exit "${PIPESTATUS[0]}"' _ "$LIVECORE" "$VICTIM"
    expect_status 2
    [ "$(wc -l <err)" -le 2 ]
    grep -q '^livecore: ' err
    assert_goes_on
}

@test "an existing file survives a dump with --force that is ended" {
    start_busy
    echo precious >out/core
    local signal i dumper
    for signal in TERM KILL; do
        for i in 1 2 3 4 5; do
            env --default-signal=INT,QUIT "$LIVECORE" -p "$VICTIM" -o out/core --force >/dev/null 2>&1 3>&- &
            dumper=$!
            sleep 0.00$((i * 2))
            kill "-$signal" "$dumper" 2>/dev/null || true
            wait "$dumper" 2>/dev/null && echo precious >out/core # it was faster
            [ "$(head -c 8 out/core)" = precious ] || fail "SIG$signal: the file is gone"
        done
    done
    [ "$(ls -A out)" = core ]
    assert_goes_on
}
