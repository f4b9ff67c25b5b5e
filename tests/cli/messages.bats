# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC1003,SC2154,SC2016,SC2030,SC2031
# Where a core goes and what is said of it; what is in the core is tested elsewhere.

load helpers

# Executed, and asleep.
runs_sleep() {
    [ "$(<"/proc/$1/comm")" = sleep ] && has_state "$1" S
}

start_sleep() {
    sleep 600 3>&- &
    SLEEP=$!
    OTHERS+=("$SLEEP")
    wait_for 5 runs_sleep "$SLEEP"
    remember "$SLEEP"
}

is_core() {
    [ "$(head -c 4 "$1" | od -An -c | tr -d ' ')" = '177ELF' ] || fail "$1 is no ELF file"
}

@test "by default core.PID, mode 0600, and one line" {
    start_sleep
    livecore "$SLEEP"
    expect_status 0
    [ -z "$stderr" ]
    [[ $output =~ ^livecore:\ wrote\ core\.$SLEEP\ \([0-9.]+\ [KM]iB,\ [0-9.]+\ [KM]iB\ on\ disk\),\ 1\ thread,\ frozen\ [0-9.]+\ (us|ms|s)$ ]] ||
        fail "$output"
    assert_files "core.$SLEEP"
    [ "$(stat -c %a "core.$SLEEP")" = 600 ]
    is_core "core.$SLEEP"
    assert_untouched "$SLEEP"
}

@test "templates" {
    start_sleep
    mkdir d
    livecore "$SLEEP" -o 'd/%e.%P.%u.%g.%%.%E'
    expect_status 0
    is_core "d/sleep.$SLEEP.$(id -u).$(id -g).%.$(readlink "/proc/$SLEEP/exe" | tr / '!')"
    livecore --minimal "$SLEEP" -o '%h-%t'
    expect_status 0
    is_core "$(uname -n)"-[0-9]*
}

@test "a name that the process chose does not lead elsewhere" {
    need_tool python3
    python3 -c '
import ctypes, time
ctypes.CDLL(None).prctl(15, b"../../\x1b[2Jx\\")
time.sleep(600)' 3>&- &
    OTHERS+=($!)
    wait_for 5 grep -q '\.\.' "/proc/$!/comm"
    livecore --minimal $! -o '%e'
    expect_status 0
    expect_output 'wrote \.\.!\.\.!!\[2Jx\\\\ \('
    is_core '..!..!![2Jx\'
    livecore -n $!
    expect_status 0
    expect_output '\(\.\./\.\./\\033\[2Jx\\\\\) would give'
}

@test "several processes: each is reported, the worst status counts, .PID is appended" {
    start_sleep
    local first=$SLEEP
    start_sleep
    livecore --minimal "$first" 4194304 "$SLEEP" -o x
    expect_status 2
    expect_stderr 'there is no process 4194304'
    expect_output "wrote x.$first "
    expect_output "wrote x.$SLEEP "
    assert_files "x.$first" "x.$SLEEP"
}

@test "a run does not replace its own cores" {
    start_sleep
    livecore --minimal --force "$SLEEP" "$SLEEP" -o 'x%p'
    expect_status 2
    expect_stderr "x$SLEEP: this run has written another core to it" 'hint: .*%P'
    is_core "x$SLEEP"
}

@test "--force replaces a file and a symbolic link, not what it points to" {
    start_sleep
    echo precious >file
    ln -s file link
    livecore --minimal --force "$SLEEP" -o link
    expect_status 0
    [ ! -L link ]
    is_core link
    [ "$(cat file)" = precious ]
    livecore --minimal --force "$SLEEP" -o file
    expect_status 0
    is_core file
}

@test "standard output: the core alone; what is said goes to standard error" {
    start_sleep
    "$LIVECORE" "$SLEEP" -o - 2>err | cat >piped
    is_core piped
    grep -qE '^livecore: wrote to standard output \([0-9.]+ [KM]iB\), 1 thread' err
    "$LIVECORE" "$SLEEP" --json -o /dev/stdout 2>err >file || [ $? -eq 64 ]
    [ ! -s file ] || is_core file
    assert_untouched "$SLEEP"
}

@test "a passed descriptor is used where it stands" {
    start_sleep
    bash -c 'exec 5<>file; printf head >&5; "$1" --minimal --verify "$2" -o /dev/fd/5; s=$?; printf tail >&5; exit $s' \
        _ "$LIVECORE" "$SLEEP"
    [ "$(head -c 4 file)" = head ]
    [ "$(tail -c 4 file)" = tail ]
    tail -c +5 file >rest
    is_core rest
}

@test "closed standard streams do not become the core's descriptors" {
    start_sleep
    bash -c '"$1" --minimal "$2" -o core <&- >&- 2>&-' _ "$LIVECORE" "$SLEEP"
    is_core core
    "$CORECHECK" core sane
}

@test "-q says nothing, -v more" {
    start_sleep
    livecore -q --minimal "$SLEEP" -o a
    expect_status 0
    [ -z "$output$stderr" ] || fail "$output$stderr"
    livecore -v --minimal "$SLEEP" -o b
    expect_status 0
    expect_output '^  frozen: .* = stop .*, registers .*, mappings .*, copy .*, let go '
    expect_output "^  process:  $SLEEP, sleep, /"
    livecore -q "$SLEEP" -o a
    expect_status 2
    expect_stderr 'it exists already'
}

@test "--json: one object with the figures" {
    need_tool python3
    start_sleep
    livecore --json "$SLEEP" -o x
    [ "$status" -ne 64 ] || skip "built without json-c"
    expect_status 0
    python3 -c '
import json, os, sys
line = json.loads(sys.argv[1])
st = os.stat("x")
assert line["pid"] == int(sys.argv[2]) and line["comm"] == "sleep" and line["output"] == "x", line
assert line["bytes"] == st.st_size and line["bytes_on_disk"] == 512 * st.st_blocks, line
assert line["n_threads"] == 1 and line["losses"] == [] and line["status"] == 0, line
assert 0 < line["frozen_ns"] <= line["total_ns"], line
assert sum(line["stages"].values()) <= line["frozen_ns"], line
assert "error" not in line, line
' "$output" "$SLEEP"
}

@test "--json of a dry run" {
    need_tool python3
    start_sleep
    livecore --json -n "$SLEEP"
    [ "$status" -ne 64 ] || skip "built without json-c"
    expect_status 0
    python3 -c '
import json, sys
line = json.loads(sys.argv[1])
assert line["dry_run"] is True and line["n_mappings"] == len(line["mappings"]), line
stack = [m for m in line["mappings"] if m["name"] == "[stack]"]
assert len(stack) == 1 and stack[0]["perms"] == "rw-p" and stack[0]["bytes"] > 0, stack
with open(f"/proc/{sys.argv[2]}/maps") as maps:
    want = [m.split()[0] for m in maps]
assert [m["start"][2:].zfill(8) + "-" + m["end"][2:].zfill(8) for m in line["mappings"]] == want
' "$output" "$SLEEP"
    assert_files
    assert_untouched "$SLEEP"
}

@test "--progress=always where standard error is no terminal" {
    start_sleep
    mkfifo fifo
    # Nobody reads for a while, so that there is something to show.
    { sleep 2; cat >/dev/null; } <fifo &
    OTHERS+=($!)
    livecore --all --progress=always "$SLEEP" -o fifo
    expect_status 0
    expect_stderr "^livecore: $SLEEP: +[0-9]+% .* of "
    assert_untouched "$SLEEP"
}

@test "the progress bar is erased" {
    need_tool script
    start_sleep
    mkfifo fifo
    { sleep 2; cat >/dev/null; } <fifo &
    OTHERS+=($!)
    run script -qec "stty cols 100; '$LIVECORE' --all -o fifo $SLEEP" /dev/null
    expect_status 0
    # A line that is drawn over and over, covered with blanks, and the message in its place.
    tr '\r' '\n' <<<"$output" >lines
    grep -qE '^(\[=*>? *\] )? *[0-9]+% .* of ' lines || fail "$(cat lines)"
    grep -B 1 '^livecore: wrote fifo' lines | head -n 1 | grep -qE '^ +$' || fail "$(cat lines)"
}

@test "gcore: saves, replaces, and says so" {
    start_sleep
    ln -s "$LIVECORE" gcore
    LIVECORE=./gcore
    livecore "$SLEEP"
    expect_status 0
    [ "$output" = "Saved corefile core.$SLEEP" ] || fail "$output"
    is_core "core.$SLEEP"
    echo old >"p%e.$SLEEP"
    livecore -a -d dir -g gdb -o 'p%e' 4194304 "$SLEEP"
    expect_status 1
    expect_output '^gcore: failed to create p%e.4194304$'
    expect_output "^Saved corefile p%e.$SLEEP\$"
    is_core "p%e.$SLEEP"
    assert_untouched "$SLEEP"
}

# aborted_by SIGNAL: livecore, stuck in a pipe that nobody reads, gets it.
aborted_by() {
    local signal=$1 pid status=0
    [ -p fifo ] || mkfifo fifo
    exec {keep}<>fifo
    # A shell without job control starts its background jobs with SIGINT ignored.
    python3 -c '
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$LIVECORE" --all "$VICTIM" -o fifo 2>err 3>&- {keep}>&- &
    pid=$!
    OTHERS+=("$pid")
    wait_for 10 has_state "$VICTIM" t || fail "not frozen" "$(cat err)"
    kill "-$signal" "$pid"
    wait "$pid" || status=$?
    exec {keep}>&-
    [ "$status" -eq $((128 + $(kill -l "$signal"))) ] || fail "$signal: status $status" "$(cat err)"
    grep -q 'interrupted by a signal' err
}

@test "SIGINT, SIGTERM and SIGHUP: the process is released, livecore dies of the signal" {
    need_tool python3
    start_victim victim_mem
    remember "$VICTIM"
    for signal in INT TERM HUP; do
        aborted_by "$signal"
        assert_untouched "$VICTIM"
    done
}

@test "a signal that was ignored at the start stays ignored" {
    start_victim victim_mem
    mkfifo fifo
    (
        trap '' HUP
        exec "$LIVECORE" --all "$VICTIM" -o fifo
    ) >out 2>err 3>&- &
    local pid=$!
    OTHERS+=("$pid")
    exec {keep}<>fifo
    wait_for 10 has_state "$VICTIM" t
    kill -HUP "$pid"
    sleep 0.2
    cat fifo >/dev/null 3>&- {keep}>&- &
    OTHERS+=($!)
    wait "$pid"
    exec {keep}>&-
    grep -q 'wrote fifo' out
}

@test "Ctrl-Z does not stop livecore while it holds a process" {
    start_victim victim_mem
    mkfifo fifo
    exec {keep}<>fifo
    "$LIVECORE" --all "$VICTIM" -o fifo >out 2>err 3>&- {keep}>&- &
    local pid=$!
    OTHERS+=("$pid")
    wait_for 10 has_state "$VICTIM" t
    kill -TSTP "$pid"
    sleep 0.2
    run ! has_state "$pid" T
    cat fifo >/dev/null 3>&- {keep}>&- &
    OTHERS+=($!)
    wait_for 10 has_state "$pid" T
    run ! has_state "$VICTIM" t
    kill -CONT "$pid"
    wait "$pid"
    exec {keep}>&-
}
