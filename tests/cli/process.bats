# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154
# The process is left as it was: its system calls, its signals, its job control, its parent.

load helpers

@test "no system call comes back because of a dump, and the threads still wake up" {
    local i
    start_victim victim_syscalls
    ask status | grep ^returned >before || true
    [ ! -s before ] || fail "came back before: $(cat before)"
    for i in 1 2 3; do
        dump "$VICTIM"
        dump "$VICTIM" --minimal
    done
    ask status >answer
    [ "$(grep -c ^waiting answer)" -ge 50 ] || fail "$(cat "$(victim_out)")"
    ! grep ^returned answer || fail "came back: $(grep ^returned answer)"
    ask wake >answer
    [ "$(grep -c ^returned answer)" -eq 2 ] || fail "$(grep ^returned answer)"
    grep -q '^returned read_pipe 1 0 ' answer
    grep -q '^returned futex 0 0 ' answer
    rm before answer
}

@test "no system call comes back because livecore is killed" {
    start_victim victim_syscalls
    local i
    for i in 1 2 3; do
        hold_dump "$VICTIM"
        end_dump KILL
    done
    ! ask status | grep ^returned || fail "came back"
}

# Where the kernel keeps the time (nanosleep, poll, select, futex, ...) it is not lengthened by the dumps;
# where it does not (epoll_wait, a socket's time-out, ...), it starts anew with the last one. None ends early,
# and none with EINTR.
@test "time-outs end when they should, and as they should" {
    local began call value error ms pid state
    start_victim victim_syscalls 5
    pid=$VICTIM
    while [ "$(uptime_ms "$pid")" -lt 4000 ]; do
        livecore -p "$pid" -o core --force --minimal
        expect_status 0
        sleep 0.2
    done
    sleep 5.5
    ask status >answer
    for call in nanosleep clock_nanosleep clock_nanosleep_relative select:0 ppoll:0 ppoll_mask:0 poll:0 futex_timeout:110 \
        sem_timedwait:110 mq_timedreceive:110 read_timerfd epoll_wait_timeout epoll_pwait2 \
        semtimedop:11 sigtimedwait:11 read_sock_timeout:11 accept_timeout:11 recv_timeout:11 recvmsg_timeout:11 \
        recvmmsg_timeout:11 readv_timeout:11 preadv2_timeout:11 send_timeout:11 sendmsg_timeout:11 sendmmsg_timeout:11 \
        write_sock_timeout:11 writev_timeout:11 pwritev2_timeout:11 sendfile_timeout:11 splice_timeout:11 connect_timeout:11; do
        error=0
        [[ $call != *:* ]] || error=${call#*:}
        read -r state _ value got ms < <(grep "^[a-z]* ${call%:*}\( \|$\)" answer) || true
        [ "$state" != waiting ] || fail "${call%:*} has not returned" "$(cat answer)"
        [ -n "$state" ] || fail "no ${call%:*}"
        [ "$got" -eq "$error" ] || fail "${call%:*}: error $got, not $error"
        [ "$ms" -ge 4990 ] || fail "${call%:*} took $ms ms"
    done
    # The kernel's own time: anew, it would be nine seconds and more.
    for call in nanosleep clock_nanosleep clock_nanosleep_relative poll futex_timeout sem_timedwait mq_timedreceive read_timerfd; do
        ms=$(awk -v call="$call" '$2 == call { print $5 }' answer)
        [ "$ms" -lt 8900 ] || fail "$call took $ms ms"
    done
    # Without a time-out: still there.
    grep -qx 'waiting pause' answer
    ! grep -E '^returned [a-z_0-9]+ -1 4 ' answer || fail "EINTR"
    rm answer
}

# uptime_ms PID: since it was started.
uptime_ms() {
    awk -v ticks="$(getconf CLK_TCK)" -v start="$(sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 20)" \
        '{ printf "%d", ($1 - start / ticks) * 1000 }' /proc/uptime
}

@test "the system calls of a stopped process do not come back either" {
    start_victim victim_syscalls
    stop_process "$VICTIM"
    # A stop by itself ends some of them (signal(7)): what matters is what the dumps add.
    kill -CONT "$VICTIM"
    ask status | grep ^returned >before || true
    stop_process "$VICTIM"
    kill -CONT "$VICTIM"
    ask status | grep ^returned | awk '{ print $2 }' | sort >plain
    stop_victim "$VICTIM"
    start_victim victim_syscalls
    stop_process "$VICTIM"
    dump "$VICTIM"
    dump "$VICTIM" --minimal
    kill -CONT "$VICTIM"
    ask status | grep ^returned | awk '{ print $2 }' | sort >dumped
    [ -z "$(comm -13 plain dumped)" ] || fail "only with a dump: $(comm -13 plain dumped)"
    rm before plain dumped
}

@test "time-outs still end in time" {
    need_tool python3
    # A nanosleep() of 2 s, dumped in the middle, ends after about 2 s, not after 4, and not at once.
    python3 - <<'PYTHON' >out 2>&1 3>&- &
import time
began = time.monotonic()
time.sleep(2)
print(time.monotonic() - began, flush=True)
time.sleep(600)
PYTHON
    local pid=$!
    OTHERS+=("$pid")
    sleep 0.7
    livecore -p "$pid" -o core
    expect_status 0
    wait_for 30 test -s out
    awk '{ exit !($1 >= 2 && $1 < 12) }' out || fail "$(cat out)"
    rm out
}

@test "SIGSTOP: a stopped process stays stopped, and goes on when told" {
    start_victim victim_busy 4
    stop_process "$VICTIM"
    dump "$VICTIM" --verify
    all_have_state "$VICTIM" T
    sleep 0.3
    all_have_state "$VICTIM" T
    kill -CONT "$VICTIM"
    wait_for 10 has_state "$VICTIM" S
    assert_progress
}

@test "SIGTSTP: so does one that the terminal stopped" {
    # A group with a parent in the same session: not orphaned, or the kernel would ignore the signal.
    start_victim victim_busy 2
    kill -TSTP "$VICTIM"
    wait_for 3 all_have_state "$VICTIM" T || skip "the process group is orphaned here"
    dump "$VICTIM"
    all_have_state "$VICTIM" T
    kill -CONT "$VICTIM"
    assert_progress
}

@test "a process that is stopped while it is held ends stopped, one that is continued ends running" {
    start_victim victim_clock -m 16
    hold_dump "$VICTIM"
    kill -STOP "$VICTIM"
    finish_dump
    expect_status 0
    wait_for 10 all_have_state "$VICTIM" T
    check sane
    hold_dump "$VICTIM"
    kill -CONT "$VICTIM"
    finish_dump
    expect_status 0
    sleep 0.2
    [ "$(state_of "$VICTIM")" != T ] && [ "$(state_of "$VICTIM")" != t ]
    ask gap
}

@test "pending signals: all there, in order, with their values" {
    start_victim victim_signals
    local i
    for i in 1 2 3; do
        dump "$VICTIM"
    done
    ask take >answer
    diff -u - answer <<-EXPECTED
	got worker 12 0
	got worker 36 201
	got worker 36 202
	got worker 36 203
	got worker 15 0
	got worker 34 300
	got worker 35 101
	got worker 35 102
	got worker 35 103
	EXPECTED
    rm answer
}

@test "signals that arrive while it is held are delivered afterwards" {
    start_victim victim_signals
    hold_dump "$VICTIM"
    kill -USR1 "$VICTIM"
    finish_dump
    expect_status 0
    wait_for 10 handled 1
    local i
    for i in 2 3 4 5; do
        hold_dump "$VICTIM" --all
        kill -USR1 "$VICTIM"
        finish_dump
        wait_for 10 handled "$i"
    done
}

handled() {
    [ "$(ask handled)" = "handled $1" ]
}

@test "its parent notices nothing: no SIGCHLD, nothing to wait for" {
    need_tool python3
    cat >parent.py <<'PYTHON'
import os, signal, subprocess, sys
n_signals = 0
def count(*_):
    global n_signals
    n_signals += 1
child = subprocess.Popen(["sleep", "600"])
signal.signal(signal.SIGCHLD, count)
def dump():
    # A grandchild does it, so that its own end is not what we count.
    read, write = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os.close(read)
            os.write(write, b"%d" % subprocess.call([sys.argv[1], "-q", "-p", str(child.pid), "-o", "core", "--force"]))
        os._exit(0)
    os.wait()
    os.close(write)
    return os.read(read, 10)
statuses = {dump() for _ in range(5)}
own = n_signals
events = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WSTOPPED | os.WCONTINUED | os.WNOHANG | os.WNOWAIT)
print(statuses, own, events)
child.kill()
PYTHON
    run --separate-stderr python3 parent.py "$LIVECORE"
    [ "$output" = "{b'0'} 5 None" ] || fail "$output" "$stderr"
    rm parent.py
    assert_files core
}

@test "a process with a seccomp filter and no privileges to gain" {
    need_tool python3
    python3 - >out 2>&1 3>&- <<'PYTHON' &
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
# PR_SET_NO_NEW_PRIVS, then strict filtering of nothing: allow all (BPF_RET | SECCOMP_RET_ALLOW).
class Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(Filter))]
libc.prctl(38, 1, 0, 0, 0)
allow = Filter(0x06, 0, 0, 0x7fff0000)
program = Program(1, ctypes.pointer(allow))
print(libc.prctl(22, 2, ctypes.byref(program)), flush=True)
time.sleep(600)
PYTHON
    OTHERS+=($!)
    local pid=$!
    wait_for 10 test -s out
    [ "$(cat out)" = 0 ] || skip "no seccomp filter here"
    sleep 0.2
    rm out
    dump "$pid"
}

@test "a process that is traced by nobody before is traced by nobody after, also when it is held twice" {
    start_victim victim_busy 4
    remember "$VICTIM"
    hold_dump "$VICTIM"
    livecore -p "$VICTIM" -o second
    expect_status 2
    expect_stderr "already, by process $HOLDER"
    finish_dump
    expect_status 0
    assert_untouched "$VICTIM"
    assert_progress
    rm held held.err
    assert_files core
}

@test "a real-time thread keeps its policy" {
    need_root
    need_tool chrt
    VICTIM_PREFIX=(chrt --fifo 1)
    start_victim victim_many_threads 5
    dump "$VICTIM"
    [ "$(chrt -p "$VICTIM" | awk '/policy/ { print $NF; exit }')" = SCHED_FIFO ]
}
