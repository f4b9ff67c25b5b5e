# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2016,SC2030,SC2031,SC2034
# What cannot be dumped: each refusal names the thing, the cause and the remedy, leaves the process as
# it was and no file behind.

load helpers

# refused STATUS PID REGEX... [-- ARG...]: livecore -p PID -o out/core ARG... is refused with these lines
# on standard error.
refused() {
    local want=$1 pid=$2 regexes=()
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        regexes+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    [ -d out ] || mkdir -m 0777 out
    livecore -p "$pid" -o out/core "$@"
    expect_status "$want"
    [ -z "$output" ] || fail "unexpected: $output"
    expect_stderr "${regexes[@]}"
    [ -z "$(ls -A out)" ] || fail "left behind: $(ls -A out)"
}

# refused_untouched PID REGEX...: exit status 2, and a living process as it was.
refused_untouched() {
    remember "$1"
    refused 2 "$@"
    assert_untouched "$1"
}

# start COMMAND...: a process that is no victim; sets STARTED.
start() {
    "$@" 3>&- </dev/null &
    STARTED=$!
    OTHERS+=("$STARTED")
}

is_running_program() {
    [ "$(readlink "/proc/$1/exe")" = "$(readlink -f "$2")" ]
}

tracer_of() {
    awk '/^TracerPid:/ { print $2 }' "/proc/$1/status" 2>/dev/null
}

is_traced() {
    [ "$(tracer_of "$1")" != 0 ]
}

# Not one of a user's home, which other users may not reach.
PYTHON=/usr/bin/python3

# ---- what is not there, or is no process --------------------------------------------------------

@test "no such process" {
    refused 2 4194304 '^livecore: there is no process 4194304$' '^livecore: hint: ps -e'
}

@test "a process that has just ended" {
    local pid
    start true
    pid=$STARTED
    wait "$pid"
    [ ! -e "/proc/$pid" ] || skip "its number is taken again"
    refused 2 "$pid" "there is no process $pid$" 'hint: '
}

@test "a zombie" {
    local zombie
    start bash -c 'sleep 0.01 & exec sleep 600'
    is_zombie_there() {
        zombie=$(cut -d ' ' -f 1 "/proc/$STARTED/task/$STARTED/children") && [ -n "$zombie" ] && has_state "$zombie" Z
    }
    wait_for 10 is_zombie_there
    refused 2 "$zombie" "process $zombie \(sleep\) is a zombie: it has ended" "hint: its parent, process $STARTED,"
    has_state "$zombie" Z
}

@test "a kernel thread" {
    [ "$(cat /proc/2/comm 2>/dev/null)" = kthreadd ] || skip "no kernel threads are to be seen in this PID namespace"
    need_root
    refused 2 2 '2 \(kthreadd\) is a kernel thread' 'hint: .*no memory'
}

@test "a thread that is not the leader: the message has the PID to use" {
    local tid
    start_victim victim_busy 2
    tid=$(ask counts | awk '$2 == 1 { print $3 }')
    remember "$VICTIM"
    refused 2 "$tid" "$tid is a thread of process $VICTIM" "hint: .*-p $VICTIM"
    assert_untouched "$VICTIM"
    assert_progress
}

@test "not a number, and out of range" {
    local word
    for word in 12a '' ' ' 1.5 0x10 -1; do
        refused 64 "$word" "'${word}' is not a (number|process ID)|'${word}'.*(not a number|negative)"
    done
    for word in 0 4194305 4294967297 18446744073709551617; do
        refused 64 "$word" "$word is out of range.*1 to 4194304"
    done
}

# ---- permissions --------------------------------------------------------------------------------

@test "another user's process" {
    need_root
    need_tool setpriv
    publish
    VICTIM_PREFIX=("${AS_USER[@]}")
    start_victim victim_busy 2
    RUN_PREFIX=(setpriv --reuid 12346 --regid 12346 --clear-groups)
    refused_untouched "$VICTIM" "process $VICTIM \(victim_busy\) runs as uid 12345 gid 12345 .*, you as 12346, 12346" \
        "hint: .*sudo -u '#12345'.*root.*CAP_SYS_PTRACE"
    assert_progress
}

@test "root's process" {
    need_root
    need_tool setpriv
    publish
    start_victim victim_busy 2
    RUN_PREFIX=("${AS_USER[@]}")
    refused_untouched "$VICTIM" "process $VICTIM \(victim_busy\) runs as uid 0 gid 0" 'hint: .*root'
    assert_progress
}

@test "the same user in another group" {
    need_root
    need_tool setpriv
    publish
    VICTIM_PREFIX=(setpriv --reuid 12345 --regid 54321 --clear-groups)
    start_victim victim_busy 2
    RUN_PREFIX=("${AS_USER[@]}")
    refused_untouched "$VICTIM" 'runs as uid 12345 gid 54321 .*, you as 12345, 12345' 'hint: '
}

@test "one's own process, but for a thread that is root's" {
    need_root
    need_tool setpriv
    publish
    start_two_users
    RUN_PREFIX=("${AS_USER[@]}")
    refused_untouched "$TWO_USERS" "thread $ROOTS_THREAD of process $TWO_USERS \(python3.*\) runs as uid 0 gid 0 .*, you as 12345, 12345$"
}

@test "not dumpable: its executable may not be read" {
    need_root
    need_tool setpriv
    publish
    chmod 0711 "$VICTIMS/victim_busy"
    # setpriv itself has its capabilities until it executes something: not the victim
    VICTIM_PREFIX=("${AS_USER[@]}" env)
    start_victim victim_busy 2
    [ "$(stat -c %u "/proc/$VICTIM/status")" = 0 ]
    RUN_PREFIX=("${AS_USER[@]}")
    refused_untouched "$VICTIM" "process $VICTIM \(victim_busy\) is not dumpable" \
        'hint: .*PR_SET_DUMPABLE.*CAP_SYS_PTRACE'
    assert_progress
}

@test "not dumpable: it asked for that" {
    need_root
    need_tool setpriv "$PYTHON"
    publish
    start "${AS_USER[@]}" "$PYTHON" -c '
import ctypes, time
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) # PR_SET_DUMPABLE
time.sleep(600)'
    is_roots() {
        [ "$(stat -c %u "/proc/$STARTED/status" 2>/dev/null)" = 0 ] && grep -q '^Uid:.12345' "/proc/$STARTED/status" && has_state "$STARTED" S
    }
    wait_for 20 is_roots
    RUN_PREFIX=("${AS_USER[@]}")
    refused_untouched "$STARTED" "process $STARTED \(python3.*\) is not dumpable" 'hint: .*CAP_SYS_PTRACE'
}

@test "more capabilities than the caller" {
    need_root
    need_tool setpriv
    publish
    VICTIM_PREFIX=("${AS_USER[@]}" --inh-caps=+net_bind_service --ambient-caps=+net_bind_service)
    "${VICTIM_PREFIX[@]}" true 2>/dev/null || skip "no capability can be handed on here"
    start_victim victim_busy 2
    RUN_PREFIX=("${AS_USER[@]}")
    refused_untouched "$VICTIM" "process $VICTIM \(victim_busy\) has capabilities that you lack \(0x400\)" \
        'hint: .*CAP_SYS_PTRACE'
    assert_progress
}

# The files of another user in /proc are 0400.
@test "CAP_SYS_PTRACE without CAP_DAC_READ_SEARCH, another user's process" {
    need_root
    need_tool setpriv
    publish
    VICTIM_PREFIX=("${AS_USER[@]}")
    RUN_PREFIX=(setpriv --reuid 12346 --regid 12346 --clear-groups --inh-caps=+sys_ptrace --ambient-caps=+sys_ptrace)
    "${RUN_PREFIX[@]}" true 2>/dev/null || skip "no capability can be handed on here"
    start_victim victim_busy 2
    refused_untouched "$VICTIM" "process $VICTIM" 'CAP_DAC_READ_SEARCH' 'hint: '
    assert_progress
}

@test "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH are enough for any process" {
    local caps=+sys_ptrace,+dac_read_search
    need_root
    need_tool setpriv
    publish
    chmod 0711 "$VICTIMS/victim_busy"
    VICTIM_PREFIX=("${AS_USER[@]}" --inh-caps=+net_bind_service --ambient-caps=+net_bind_service)
    RUN_PREFIX=(setpriv --reuid 12346 --regid 12346 --clear-groups --inh-caps="$caps" --ambient-caps="$caps")
    "${RUN_PREFIX[@]}" true 2>/dev/null || skip "no capability can be handed on here"
    start_victim victim_busy 2
    mkdir -m 0777 out
    remember "$VICTIM"
    livecore -p "$VICTIM" -o out/core
    [ "$status" -le 1 ] || fail "exit status $status" "$stderr"
    assert_untouched "$VICTIM"
    "$CORECHECK" out/core sane
}

@test "Yama" {
    local scope=/proc/sys/kernel/yama/ptrace_scope
    [ -e "$scope" ] || skip "this kernel is without Yama (its wording is in the unit tests)"
    need_root
    need_tool setpriv
    [ "$(cat "$scope")" -ge 1 ] || skip "kernel.yama.ptrace_scope is 0"
    publish
    VICTIM_PREFIX=("${AS_USER[@]}")
    start_victim victim_busy 2
    RUN_PREFIX=("${AS_USER[@]}")
    refused_untouched "$VICTIM" "Yama refuses to trace process $VICTIM .*kernel.yama.ptrace_scope is $(cat "$scope")" 'hint: '
}

@test "a process outside of the user namespace, root in it" {
    need_tool unshare
    start_victim victim_busy 2
    RUN_PREFIX=(unshare -Ur)
    "${RUN_PREFIX[@]}" true 2>/dev/null || skip "no user namespace can be made here"
    refused_untouched "$VICTIM" "process $VICTIM \(victim_busy\) is in another user namespace, where you have no CAP_SYS_PTRACE" \
        "hint: .*root on the host.*nsenter -U -t $VICTIM"
    assert_progress
}

@test "a process outside of the user namespace, of the same plain user" {
    need_root
    need_tool unshare setpriv
    publish
    VICTIM_PREFIX=("${AS_USER[@]}")
    start_victim victim_busy 2
    RUN_PREFIX=("${AS_USER[@]}" unshare -Ur)
    "${RUN_PREFIX[@]}" true 2>/dev/null || skip "plain users can make no user namespace here"
    refused_untouched "$VICTIM" "process $VICTIM \(victim_busy\) is in another user namespace" 'hint: .*nsenter'
    assert_progress
}

# denying NUMBER [ERROR]: livecore runs under a seccomp filter that fails this system call, with EPERM or
# that error.
denying() {
    need_tool "$PYTHON"
    without_leak_check
    [ "$(uname -m)" = x86_64 ] || skip "the numbers of system calls are x86-64's"
    cat >deny.py <<'PYTHON'
import ctypes, os, struct, sys

number, error = int(sys.argv[1]), int(sys.argv[2])
program = b"".join(struct.pack("HBBI", *insn) for insn in (
    (0x20, 0, 0, 0),                  # load the number of the system call
    (0x15, 0, 1, number),             # if it is that one
    (0x06, 0, 0, 0x00050000 | error), # SECCOMP_RET_ERRNO
    (0x06, 0, 0, 0x7FFF0000)))        # SECCOMP_RET_ALLOW
buffer = ctypes.create_string_buffer(program)
libc = ctypes.CDLL(None, use_errno=True)
fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(buffer)))
libc.prctl(38, 1, 0, 0, 0) # PR_SET_NO_NEW_PRIVS
if libc.prctl(22, 2, fprog, 0, 0): # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[3], sys.argv[3:])
PYTHON
    RUN_PREFIX=("$PYTHON" "$PWD/deny.py" "$1" "${2:-1}")
    "${RUN_PREFIX[@]}" true || skip "no seccomp filter can be set here"
}

@test "a seccomp filter that forbids ptrace is named" {
    start_victim victim_busy 2
    denying 101
    refused_untouched "$VICTIM" "the kernel refuses to trace process $VICTIM \(victim_busy\): Operation not permitted" \
        'hint: .*seccomp.*SYS_PTRACE'
    assert_progress
}

@test "a seccomp filter that forbids process_vm_readv: the core is the same, byte for byte" {
    local error
    start_victim victim_mem
    stop_process "$VICTIM"
    dump "$VICTIM" --all
    mv core without
    for error in 1 38 13; do # EPERM, ENOSYS, EACCES
        denying 310 "$error"
        dump "$VICTIM" --all
        cmp core without
        check truth "$(victim_out)" '*=full'
    done
}

@test "a seccomp filter that forbids what is not needed is not noticed" {
    local call error
    start_victim victim_mem
    # openat2, statx, renameat2, sched_setscheduler, flock, fallocate, prctl, capget, capset,
    # ioctl (PAGEMAP_SCAN: /proc/PID/pagemap serves in its place)
    for call in 437 332 316 144 73 285 157 125 126 16; do
        for error in 1 38; do
            denying "$call" "$error"
            dump "$VICTIM" --all
            check truth "$(victim_out)" '*=full'
        done
    done
}

# ---- other tracers ------------------------------------------------------------------------------

@test "already traced by strace: its PID and name" {
    need_tool strace
    start_victim victim_busy 2
    start strace -q -f -o /dev/null -p "$VICTIM"
    wait_for 10 is_traced "$VICTIM"
    remember "$VICTIM" loose
    refused 2 "$VICTIM" "process $VICTIM \(victim_busy\) is already traced, by process $STARTED \(strace\)" \
        "hint: .*one tracer.*end process $STARTED"
    assert_untouched "$VICTIM" loose
    assert_progress
}

@test "already traced by gdb, and stopped by it" {
    need_tool gdb
    start_victim victim_busy 2
    mkfifo commands
    gdb -nx -q -p "$VICTIM" <commands >gdb.out 2>&1 3>&- &
    local gdb=$!
    OTHERS+=("$gdb")
    exec {fd}>commands
    # It is not done with the process before it reads its commands.
    printf '%s\n' 'echo attached\n' >&"$fd"
    wait_for 20 grep -q '^attached\|) attached' gdb.out
    all_have_state "$VICTIM" t
    refused_untouched "$VICTIM" "process $VICTIM \(victim_busy\) is already traced, by process $gdb \(gdb\)" \
        "hint: .*end process $gdb"
    printf 'detach\nquit\n' >&"$fd"
    exec {fd}>&-
    wait "$gdb" || true
    assert_progress
    # And then it can be dumped.
    dump "$VICTIM"
}

@test "already being dumped by another livecore: its PID and name" {
    start_victim victim_busy 2
    remember "$VICTIM"
    hold_dump "$VICTIM"
    refused 2 "$VICTIM" "process $VICTIM \(victim_busy\) is .*already.*, by process $HOLDER \(livecore\)" "hint: .*"
    finish_dump
    expect_status 0
    check sane
    assert_untouched "$VICTIM"
    assert_progress
}

# ---- what happens during the dump ---------------------------------------------------------------

# delayed CALL WHEN PID: starts a dump to out/core that waits 4 s before that system call, and waits
# until it has opened what it needs of the process. Sets DUMP, to be waited for, and DUMPER: livecore.
delayed() {
    need_tool strace
    without_leak_check
    mkdir -p -m 0777 out
    strace -q -f -o strace.log -e trace="$1" --inject="$1:delay_enter=4000000:when=$2" \
        "$LIVECORE" -p "$3" -o out/core >dump.out 2>dump.err 3>&- &
    DUMP=$!
    OTHERS+=("$DUMP")
    wait_for 20 has_opened_pagemap || fail "the dump did not begin" "$(cat dump.err)"
}

has_opened_pagemap() {
    DUMPER=$(cut -d ' ' -f 1 "/proc/$DUMP/task/$DUMP/children")
    [ -n "$DUMPER" ] && find "/proc/$DUMPER/fd" -lname '*/pagemap' 2>/dev/null | grep -q .
}

has_ended() {
    [ ! -e "/proc/$1" ] || has_state "$1" Z
}

# dump_fails REGEX...: of a dump that delayed() began.
dump_fails() {
    wait_for 20 has_ended "$DUMPER" || {
        kill -KILL "$DUMPER"
        fail "the dump hangs" "$(cat strace.log)"
    }
    status=0
    wait "$DUMP" || status=$?
    stderr=$(cat dump.err)
    expect_status 2
    expect_stderr "$@"
    [ -z "$(ls -A out)" ] || fail "left behind: $(ls -A out)"
}

@test "the process is killed before it is stopped" {
    start_victim victim_busy 3
    delayed ptrace 1 "$VICTIM"
    end_process "$VICTIM"
    dump_fails "process $VICTIM( \(victim_busy\))? (ended|has ended|is exiting|has no memory)|there is no process $VICTIM"
}

@test "the process is killed while its threads are seized" {
    start_victim victim_busy 3
    delayed ptrace 3 "$VICTIM"
    end_process "$VICTIM"
    dump_fails "process $VICTIM \(victim_busy\) (ended|has ended)|there is no process $VICTIM|process $VICTIM .*exiting" 'hint: '
}

@test "the process is killed while its memory is copied to a file" {
    start_victim victim_clock -m 1024 # whose end takes a while
    delayed process_vm_readv 1 "$VICTIM"
    wait_for 20 has_state "$VICTIM" t || true
    end_process "$VICTIM"
    dump_fails "process $VICTIM \(victim_clock\) (ended|has ended)" 'hint: '
}

@test "the process is killed while its memory is copied to a pipe" {
    start_victim victim_clock -m 64
    hold_dump "$VICTIM"
    kill -KILL "$VICTIM"
    finish_dump
    expect_status 2
    expect_stderr "process $VICTIM \(victim_clock\) (ended|has ended)" 'hint: '
}

# start_exec COMMAND...: a shell that executes another program on the first line of its input; sets
# STARTED. Feed it by FEED.
start_exec() {
    mkfifo feed
    exec {FEED}<>feed
    "$@" bash -c 'echo >started; read -r _; exec "$@"' _ "${NEXT[@]}" <feed >/dev/null 3>&- &
    STARTED=$!
    OTHERS+=("$STARTED")
    wait_for 10 test -e started
    wait_for 10 has_state "$STARTED" S
}

@test "the process executes another program before it is stopped" {
    local NEXT=(sleep 600)
    start_exec env
    delayed ptrace 1 "$STARTED"
    echo >&"$FEED"
    wait_for 10 is_running_program "$STARTED" "$(command -v sleep)"
    dump_fails "process $STARTED \(bash\) executed another program during the dump" 'hint: .*again'
    [ "$(tracer_of "$STARTED")" = 0 ]
    wait_for 10 has_state "$STARTED" S
}

@test "the process executes another program after it is seized" {
    local NEXT=(sleep 600)
    start_exec env
    delayed ptrace 2 "$STARTED"
    wait_for 10 is_traced "$STARTED"
    echo >&"$FEED"
    wait_for 10 is_running_program "$STARTED" "$(command -v sleep)"
    dump_fails "process $STARTED \(bash\) executed another program during the dump" 'hint: .*again'
    [ "$(tracer_of "$STARTED")" = 0 ]
    wait_for 10 has_state "$STARTED" S
}

@test "the process executes itself, at the same addresses" {
    need_tool setarch
    setarch -R true 2>/dev/null || skip "addresses cannot be fixed here"
    # The same program with the same arguments: only the memory is another.
    cat >again.py <<'PYTHON'
import os, sys
open("started", "w").close()
sys.stdin.readline()
os.execv(sys.executable, [sys.executable, "again.py"])
PYTHON
    mkfifo feed
    exec {FEED}<>feed
    setarch -R "$PYTHON" again.py <feed >/dev/null 3>&- &
    STARTED=$!
    OTHERS+=("$STARTED")
    wait_for 10 test -e started
    wait_for 10 has_state "$STARTED" S
    rm -f started
    echo >&"$FEED" # now it is as every later one
    wait_for 10 test -e started
    wait_for 10 has_state "$STARTED" S
    delayed ptrace 1 "$STARTED"
    rm -f started
    echo >&"$FEED"
    wait_for 10 test -e started
    dump_fails "process $STARTED \(python3.*\) executed another program during the dump" 'hint: .*again'
    [ "$(tracer_of "$STARTED")" = 0 ]
}

@test "a thread executes another program: all the others are gone" {
    need_tool "$PYTHON"
    cat >threads.py <<'PYTHON'
import os, sys, threading, time
for _ in range(8):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
def go():
    sys.stdin.readline()
    os.execv("/bin/sleep", ["sleep", "600"])
threading.Thread(target=go).start()
open("started", "w").close()
time.sleep(600)
PYTHON
    mkfifo feed
    exec {FEED}<>feed
    "$PYTHON" threads.py <feed >/dev/null 3>&- &
    STARTED=$!
    OTHERS+=("$STARTED")
    wait_for 10 test -e started
    delayed ptrace 4 "$STARTED"
    wait_for 10 is_traced "$STARTED"
    echo >&"$FEED"
    dump_fails "process $STARTED \(python3.*\) (executed another program|ended) during the dump" 'hint: '
    wait_for 10 is_running_program "$STARTED" /bin/sleep
    [ "$(tracer_of "$STARTED")" = 0 ]
    wait_for 10 has_state "$STARTED" S
}

# ---- outputs ------------------------------------------------------------------------------------

# cannot_write OUTPUT REGEX...: refused before the process is touched.
cannot_write() {
    livecore -p "$VICTIM" -o "$1"
    shift
    expect_status 2
    [ -z "$output" ] || fail "unexpected: $output"
    expect_stderr "$@"
    assert_untouched "$VICTIM"
}

@test "outputs that cannot be written" {
    start_victim victim_busy 2
    remember "$VICTIM"
    mkdir directory
    echo precious >file
    ln -s file link
    ln -s nowhere dangling
    cannot_write missing/core 'cannot write missing/core: there is no such directory' 'hint: '
    cannot_write directory 'cannot write directory: it is a directory' 'hint: '
    cannot_write file 'cannot write file: it exists already' 'hint: .*--force'
    cannot_write link 'cannot write link: it is a symbolic link|cannot write link: it exists already' 'hint: '
    cannot_write dangling 'cannot write dangling: it is a symbolic link' 'hint: '
    cannot_write file/core 'cannot write file/core: a part of its path is not a directory' 'hint: '
    [ "$(cat file)" = precious ]
    assert_files directory file link dangling
    assert_progress
}

@test "a directory that may not be written to" {
    need_root
    need_tool setpriv
    publish
    mkdir -m 0755 shut
    VICTIM_PREFIX=("${AS_USER[@]}")
    start_victim victim_busy 2
    remember "$VICTIM"
    RUN_PREFIX=("${AS_USER[@]}")
    cannot_write shut/core 'cannot write shut/core: its directory is not writable' 'hint: '
    cannot_write /proc/core 'cannot write /proc/core: ' 'hint: '
    [ -z "$(ls -A shut)" ]
    assert_progress
}

@test "a terminal" {
    need_tool script
    start_victim victim_busy 2
    remember "$VICTIM"
    run script -qec "'$LIVECORE' -o - -p $VICTIM" /dev/null
    expect_status 64
    expect_output 'standard output is a terminal'
    assert_untouched "$VICTIM"
    assert_progress
}
