# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# What the suites share: victims, livecore, the proof that a process is as it was.
#
# Set by tests/run: LIVECORE (the binary), VICTIMS (their directory), SANITIZED (not empty: the
# binary is instrumented).

bats_require_minimum_version 1.5.0

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${LIVECORE:=$TESTS/../build-test/gcc/livecore}"
: "${VICTIMS:=$(dirname "$LIVECORE")/tests}"
: "${SANITIZED:=}"
CORECHECK=$TESTS/compare/corecheck
PROCSTATE=$TESTS/compare/procstate

VICTIM=         # PID of the one that was started last
N_VICTIMS=0
VICTIM_PREFIX=() # command that runs the next victim, such as setpriv
declare -A VICTIM_DIR VICTIM_FD
OTHERS=() # further PIDs to end

setup() {
    # Other users must reach what is below, and every test has a directory of its own.
    chmod 0711 "$BATS_RUN_TMPDIR"
    cd "$BATS_TEST_TMPDIR" || return 1
}

teardown() {
    local pid
    # Dumps that are under way first: a victim that is traced cannot be collected when it is dead.
    for pid in "${OTHERS[@]}"; do
        end_process "$pid"
    done
    for pid in "${!VICTIM_DIR[@]}"; do
        stop_victim "$pid"
    done
}

fail() {
    printf '%s\n' "$@"
    return 1
}

# end_process PID: a child of this shell or not.
end_process() {
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# ---- victims ----------------------------------------------------------------------------------

# start_victim NAME [ARG...]: sets VICTIM.
start_victim() {
    local name=$1 dir=$BATS_TEST_TMPDIR/victim.$((++N_VICTIMS)) fd
    shift
    need_rights "$name"
    mkdir -p "$dir"
    chmod 0777 "$dir"
    mkfifo "$dir/in"
    : >"$dir/out"
    exec {fd}<>"$dir/in"
    (
        exec {fd}>&-
        cd "$dir" || exit 1
        exec "${VICTIM_PREFIX[@]}" "$VICTIMS/$name" "$@" <in >>out 2>err 3>&-
    ) &
    VICTIM=$!
    VICTIM_DIR[$VICTIM]=$dir
    VICTIM_FD[$VICTIM]=$fd
    wait_for 20 victim_says "$VICTIM" '^ready$' || fail "$name is not ready" "$(cat "$dir/out" "$dir/err")"
}

victim_says() {
    grep -qE -- "$2" "${VICTIM_DIR[$1]}/out"
}

# victim_out [PID]: the file with its truth.
victim_out() {
    echo "${VICTIM_DIR[${1:-$VICTIM}]}/out"
}

# truth KEY [FIELD]: of the victim's line KEY.
truth() {
    awk -v key="$1" -v n="${2:-2}" '$1 == key { print $n; exit }' "$(victim_out)"
}

# truth_of KIND NAME FIELD: of its line "KIND NAME ...".
truth_of() {
    awk -v kind="$1" -v name="$2" -v n="$3" '$1 == kind && $2 == name { print $n; exit }' "$(victim_out)"
}

# ask QUESTION [PID]: prints the answer.
ask() {
    local pid=${2:-$VICTIM} before out
    out=$(victim_out "$pid")
    before=$(grep -c '^answered$' "$out") || true
    printf '%s\n' "$1" >&"${VICTIM_FD[$pid]}"
    wait_for 20 answers "$out" $((before + 1)) || fail "the victim does not answer"
    awk -v n="$before" '/^(ready|answered)$/ { seen++; next } seen == n + 1' "$out"
}

answers() {
    [ "$(grep -c '^answered$' "$1")" -ge "$2" ]
}

# stop_victim PID: ends it and removes what it told of in the kernel's System V tables.
stop_victim() {
    local pid=$1 kind id fd=${VICTIM_FD[$1]}
    end_process "$pid"
    exec {fd}>&-
    while read -r kind id; do
        case $kind in
        sem) ipcrm -s "$id" ;;
        msq) ipcrm -q "$id" ;;
        esac
    done <"${VICTIM_DIR[$pid]}/out" 2>/dev/null || true
    unset "VICTIM_DIR[$pid]" "VICTIM_FD[$pid]"
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.02
    done
}

state_of() {
    awk '/^State:/ { print $2 }' "/proc/$1/status"
}

has_state() {
    [ "$(state_of "$1")" = "$2" ]
}

all_have_state() {
    local task
    for task in "/proc/$1/task"/*; do
        has_state "${task##*/}" "$2" || return 1
    done
}

# stop_process PID: SIGSTOP, and until every thread is stopped.
stop_process() {
    kill -STOP "$1"
    wait_for 10 all_have_state "$1" T
}

# ---- a process is as it was -------------------------------------------------------------------

# remember PID [loose]
remember() {
    "$PROCSTATE" "$@" >"$BATS_TEST_TMPDIR/before.$1"
}

# assert_untouched PID [loose]: as it was when remember() saw it. Called after every dump. The threads
# need a moment to be back in the system calls that they slept in.
assert_untouched() {
    wait_for 3 is_untouched "$@" || {
        diff -u "$BATS_TEST_TMPDIR/before.$1" "$BATS_TEST_TMPDIR/after.$1" || true
        fail "the process is not as it was"
    }
}

is_untouched() {
    "$PROCSTATE" "$@" >"$BATS_TEST_TMPDIR/after.$1" &&
        cmp -s "$BATS_TEST_TMPDIR/before.$1" "$BATS_TEST_TMPDIR/after.$1"
}

# assert_progress: every counter of victim_busy goes on.
assert_progress() {
    local first
    first=$(ask counts)
    wait_for 20 counters_beyond "$first" || fail "not every thread goes on" "$first" "$(ask counts)"
}

counters_beyond() {
    ask counts | paste -d ' ' <(printf '%s\n' "$1") - | awk '$8 <= $4 { bad = 1 } END { exit bad }'
}

# assert_no_signal_lost: of those that were sent to a victim_flood; and none came out of turn.
assert_no_signal_lost() {
    local answer who
    answer=$(ask stop)
    for who in process thread-a thread-b; do
        awk -v who="$who" '$2 == who { n[$1] = $3 }
            END { exit !(n["sent"] > 0 && n["got"] == n["sent"] && n["disorder"] == "0") }' <<<"$answer" ||
            fail "signals are lost or out of turn" "$answer"
    done
}

# ---- livecore ---------------------------------------------------------------------------------

# livecore ARG...: sets status, output (standard output) and stderr.
livecore() {
    run --separate-stderr timeout -s KILL 120 "${RUN_PREFIX[@]}" "$LIVECORE" "$@"
}

RUN_PREFIX=()

expect_status() {
    [ "$status" -eq "$1" ] || fail "exit status $status, not $1" "stdout: $output" "stderr: $stderr"
}

# expect_stderr REGEX... (extended): each matches a line.
expect_stderr() {
    local regex
    for regex in "$@"; do
        grep -qE -- "$regex" <<<"$stderr" || fail "standard error has no '$regex':" "$stderr"
    done
}

expect_output() {
    grep -qE -- "$1" <<<"$output" || fail "standard output has no '$1':" "$output"
}

# dump PID [ARG...]: a complete dump to ./core, sane, with the process as it was.
dump() {
    local pid=$1
    shift
    remember "$pid"
    livecore -p "$pid" -o core --force "$@"
    expect_status 0
    [ "$(stat -c %a core)" = 600 ] || fail "mode $(stat -c %a core)"
    assert_untouched "$pid"
    check sane
}

# check ARG...: corecheck on ./core.
check() {
    "$CORECHECK" core "$@"
}

# assert_files NAME...: the directory holds these (and victims' own), nothing else.
assert_files() {
    local found
    found=$(find . -mindepth 1 -maxdepth 1 ! -name 'victim.*' ! -name 'separate-stderr-*' ! -name 'before.*' ! -name 'after.*' ! -name public \
        -printf '%f\n' | sort | tr '\n' ' ')
    [ "$found" = "$(printf '%s\n' "$@" | sort | sed '/^$/d' | tr '\n' ' ')" ] ||
        fail "files: $found, expected: $*"
}

# ---- what may be missing ----------------------------------------------------------------------

# need_rights VICTIM: to dump it, completely.
need_rights() {
    [ "$(id -u)" -ne 0 ] || return 0
    [ "$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0)" = 0 ] ||
        skip "Yama's ptrace_scope leaves this to root"
    [[ $1 != victim_mem* ]] || skip "needs root: shared memory that the victim never touched"
}

need_root() {
    [ "$(id -u)" -eq 0 ] || skip "needs root"
}

need_tool() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

need_victim32() {
    [ -x "$VICTIMS/victim_mem32" ] || skip "32-bit programs cannot be built here (gcc-multilib)"
    "$VICTIMS/victim_many_maps32" 1 </dev/null >/dev/null 2>&1 &
    local pid=$!
    sleep 0.1
    kill -0 "$pid" 2>/dev/null || skip "32-bit programs do not run here"
    end_process "$pid"
}

# as_user COMMAND...: as a user who owns nothing.
as_user() {
    setpriv --reuid 12345 --regid 12345 --clear-groups "$@"
}
AS_USER=(setpriv --reuid 12345 --regid 12345 --clear-groups)

# start_two_users: a process whose leader is that user's and another thread root's, who share one memory
# that is dumpable. Sets TWO_USERS and ROOTS_THREAD.
start_two_users() {
    [ "$(uname -m)" = x86_64 ] || skip "the numbers of system calls are x86-64's"
    /usr/bin/python3 -c '
import ctypes, threading, time
libc = ctypes.CDLL(None)
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
# Not the wrappers of the C library, which do it in every thread.
libc.syscall(116, 0, None) # setgroups
libc.syscall(119, 12345, 12345, 12345) # setresgid
libc.syscall(117, 12345, 12345, 12345) # setresuid
libc.prctl(4, 1, 0, 0, 0) # PR_SET_DUMPABLE
time.sleep(600)' 3>&- </dev/null &
    TWO_USERS=$!
    OTHERS+=("$TWO_USERS")
    wait_for 20 has_two_users
    ROOTS_THREAD=$(find "/proc/$TWO_USERS/task" -mindepth 1 -maxdepth 1 ! -name "$TWO_USERS" -printf '%f\n')
}

has_two_users() {
    [ "$(stat -c %u "/proc/$TWO_USERS/status")" = 12345 ] && has_state "$TWO_USERS" S &&
        grep -hqP '^Uid:\t0\t' "/proc/$TWO_USERS/task"/*/status
}

# publish: copies of the binary and the victims where every user reaches them; LIVECORE and VICTIMS
# name them afterwards.
publish() {
    local dir=$BATS_TEST_TMPDIR/public
    mkdir -p "$dir"
    cp "$LIVECORE" "$VICTIMS"/victim_mem "$VICTIMS"/victim_busy "$dir"
    chmod 0755 "$dir" "$dir"/*
    LIVECORE=$dir/livecore
    VICTIMS=$dir
}

# ---- a dump that waits in the middle ----------------------------------------------------------

# hold_dump PID [ARG...]: starts a dump into a pipe that nobody reads yet, and waits until it holds
# the process. Sets HOLDER, its PID; its messages go to ./held.err.
hold_dump() {
    local pid=$1 victim_fd=${VICTIM_FD[$1]:-}
    shift
    rm -f held
    mkfifo held
    exec {HOLD_FD}<>held
    (
        exec {HOLD_FD}>&-
        [ -z "$victim_fd" ] || exec {victim_fd}>&-
        exec env --default-signal=INT,QUIT "${RUN_PREFIX[@]}" "$LIVECORE" -p "$pid" -o - "$@" >held 2>held.err 3>&-
    ) &
    HOLDER=$!
    OTHERS+=("$HOLDER")
    wait_for 20 is_held "$pid" || fail "the dump did not begin" "$(cat held.err)"
}

# Held, and the pipe is full: the writer sleeps.
is_held() {
    [ "$(awk '/^TracerPid:/ { print $2 }' "/proc/$1/status")" != 0 ] && has_state "$1" t && sleep 0.2
}

# finish_dump: reads the rest into ./core; sets status.
finish_dump() {
    local reader
    rm -f core
    (
        exec {HOLD_FD}>&-
        exec timeout -s KILL 60 cat <held >core 3>&-
    ) &
    reader=$!
    # Not before the other end is open: closing the last one would break the pipe.
    wait_for 10 test -s core
    exec {HOLD_FD}>&-
    status=0
    wait "$HOLDER" || status=$?
    wait "$reader"
    stderr=$(cat held.err)
    output=
}

# end_dump SIGNAL: ends the dump by a signal; sets status as the shell sees it.
end_dump() {
    kill "-$1" "$HOLDER"
    status=0
    wait "$HOLDER" || status=$?
    exec {HOLD_FD}>&-
    stderr=$(cat held.err)
    output=
}

# json FILTER: of what livecore printed with --json.
json() {
    jq -r "$1" <<<"$output"
}

# With strace around it, or without ptrace, LeakSanitizer cannot work.
without_leak_check() {
    export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
}
