# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2016,SC2030,SC2031,SC2034
# livecore with more privileges than its caller, by file capabilities or a set-uid bit: it gives
# nobody what they do not own. Every refusal names the check and leaves the process as it was.

load helpers

OTHER_USER=(setpriv --reuid 12346 --regid 12346 --clear-groups)
# Not one of a user's home, which other users may not reach.
PYTHON=/usr/bin/python3

# What the binary is given; each is tried with each kind of target.
KINDS=(ptrace ptrace+read every setuid setuid+setgid setuid-other setgid)

setup() {
    chmod 0711 "$BATS_RUN_TMPDIR"
    cd "$BATS_TEST_TMPDIR" || return 1
    need_root
    need_tool setpriv setcap
    [ -z "$SANITIZED" ] || skip "sanitizers read /proc/self as it is for who is not privileged"
    ! findmnt -no OPTIONS -T . | grep -qw nosuid || skip "$PWD is on a file system without set-uid"
    FLIP=$VICTIMS/victim_flip
    publish
    mkdir bin
    chmod 0755 bin
    install_kinds
    mkdir -m 0777 out
    RUN_PREFIX=("${AS_USER[@]}")
    VICTIM_PREFIX=("${AS_USER[@]}")
}

MANY=cap_sys_ptrace,cap_dac_read_search,cap_dac_override,cap_fowner,cap_setuid,cap_setgid,cap_kill

install_kinds() {
    local kind
    for kind in "${KINDS[@]}"; do
        cp "$LIVECORE" "bin/$kind"
    done
    chown 12346 bin/setuid-other
    chmod u+s bin/setuid bin/setuid-other
    chmod g+s bin/setgid
    chmod u+s,g+s bin/setuid+setgid
    setcap cap_sys_ptrace=ep bin/ptrace || skip "this file system holds no file capabilities"
    setcap cap_sys_ptrace,cap_dac_read_search=ep bin/ptrace+read
    # Not really every one: which those are depends on where this runs.
    setcap "$MANY=ep" bin/every
    "${AS_USER[@]}" bin/every --version >/dev/null || skip "file capabilities are not honoured here"
}

# start COMMAND...: a process that is no victim; sets STARTED.
start() {
    "$@" 3>&- </dev/null &
    STARTED=$!
    OTHERS+=("$STARTED")
}

# each_refused PID REGEX...: by every kind, with a core and in a dry run.
each_refused() {
    local pid=$1 kind
    shift
    remember "$pid"
    for kind in "${KINDS[@]}"; do
        refused "bin/$kind" "$pid" "$@"
    done
    assert_untouched "$pid"
}

# refused BINARY PID REGEX...
refused() {
    local LIVECORE=$1 pid=$2
    shift 2
    livecore -p "$pid" -o out/core --force
    expect_status 2
    [ -z "$output" ] || fail "unexpected: $output"
    expect_stderr "$@" '^livecore: hint: .'
    [ -z "$(ls -A out)" ] || fail "left behind: $(ls -A out)"
    # Nor is anything told of it.
    livecore --dry-run "$pid"
    expect_status 2
    [ -z "$output" ] || fail "unexpected: $output"
}

@test "one's own process: a core that is the caller's" {
    local kind
    start_victim victim_busy 3
    for kind in "${KINDS[@]}"; do
        LIVECORE=$PWD/bin/$kind
        remember "$VICTIM"
        livecore -p "$VICTIM" -o "out/$kind" --verify
        expect_status 0
        assert_untouched "$VICTIM"
        [ "$(stat -c '%u %g %a' "out/$kind")" = '12345 12345 600' ] || fail "$kind: $(stat -c '%u %g %a' "out/$kind")"
        "$CORECHECK" "out/$kind" sane
        [ "$("$CORECHECK" "out/$kind" threads)" = "$(ls "/proc/$VICTIM/task")" ]
        livecore -n "$VICTIM"
        expect_status 0
        expect_output "^livecore: $VICTIM \(victim_busy\) would give "
    done
    assert_progress
}

@test "another user's process" {
    VICTIM_PREFIX=("${OTHER_USER[@]}")
    start_victim victim_busy 2
    each_refused "$VICTIM" "process $VICTIM \(victim_busy\) runs as uid 12346 gid 12346 .*, you as 12345, 12345$"
    assert_progress
}

@test "root's process" {
    VICTIM_PREFIX=()
    start_victim victim_busy 2
    each_refused "$VICTIM" "process $VICTIM \(victim_busy\) runs as uid 0 gid 0 .*, you as 12345, 12345$"
    assert_progress
}

@test "one's own uid, another group" {
    VICTIM_PREFIX=(setpriv --reuid 12345 --regid 54321 --clear-groups)
    start_victim victim_busy 2
    each_refused "$VICTIM" 'runs as uid 12345 gid 54321 .*, you as 12345, 12345$'
}

@test "a set-uid program that one started" {
    cp "$VICTIMS/victim_busy" bin/victim_busy
    chmod u+s bin/victim_busy
    VICTIMS=$PWD/bin
    start_victim victim_busy 2
    grep -qP '^Uid:\t12345\t0\t0\t0$' "/proc/$VICTIM/status" || fail "$(cat "/proc/$VICTIM/status")"
    each_refused "$VICTIM" "process $VICTIM \(victim_busy\) runs as uid 12345 gid 12345 \(effective 0, 12345\), you as 12345, 12345$"
    assert_progress
}

@test "a set-gid program that one started" {
    cp "$VICTIMS/victim_busy" bin/victim_busy
    chgrp 54321 bin/victim_busy
    chmod g+s bin/victim_busy
    VICTIMS=$PWD/bin
    start_victim victim_busy 2
    each_refused "$VICTIM" "runs as uid 12345 gid 12345 \(effective 12345, 54321\), you as 12345, 12345$"
}

@test "only the saved id is another's, and the process is dumpable" {
    start "$PYTHON" -c '
import ctypes, os, time
os.setgroups([])
os.setresgid(12345, 12345, 12345)
os.setresuid(12345, 12345, 0)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) # PR_SET_DUMPABLE
time.sleep(600)'
    is_ready() {
        grep -qP '^Uid:\t12345\t12345\t0\t12345$' "/proc/$STARTED/status" &&
            [ "$(stat -c %u "/proc/$STARTED/status")" = 12345 ] && has_state "$STARTED" S
    }
    wait_for 20 is_ready
    each_refused "$STARTED" "runs as uid 12345 gid 12345 .*, you as 12345, 12345$"
}

@test "one's own process, but for a thread that is root's" {
    local kind
    start_two_users
    remember "$TWO_USERS"
    # A dry run without privileges left is what the caller can read of the leader all the same.
    for kind in ptrace ptrace+read every; do
        refused "bin/$kind" "$TWO_USERS" "thread $ROOTS_THREAD of process $TWO_USERS \(python3.*\) runs as uid 0 gid 0 .*, you as 12345, 12345$"
    done
    LIVECORE=$PWD/bin/setuid
    livecore -p "$TWO_USERS" -o out/core
    expect_status 2
    expect_stderr "thread $ROOTS_THREAD of process $TWO_USERS .* runs as uid 0 gid 0"
    assert_untouched "$TWO_USERS"
}

@test "not dumpable: it asked for that" {
    start "${AS_USER[@]}" "$PYTHON" -c '
import ctypes, time
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) # PR_SET_DUMPABLE
time.sleep(600)'
    is_ready() {
        [ "$(stat -c %u "/proc/$STARTED/status" 2>/dev/null)" = 0 ] && grep -q '^Uid:.12345' "/proc/$STARTED/status" && has_state "$STARTED" S
    }
    wait_for 20 is_ready
    each_refused "$STARTED" "process $STARTED \(python3.*\) is not dumpable$"
}

@test "not dumpable: its executable may not be read" {
    chmod 0711 "$VICTIMS/victim_busy"
    # setpriv itself has its capabilities until it executes something: not the victim
    VICTIM_PREFIX+=(env)
    start_victim victim_busy 2
    [ "$(stat -c %u "/proc/$VICTIM/status")" = 0 ]
    each_refused "$VICTIM" "process $VICTIM \(victim_busy\) is not dumpable$"
    assert_progress
}

@test "a process with capabilities, also with the one that livecore has" {
    local cap
    for cap in net_bind_service sys_ptrace; do
        VICTIM_PREFIX=("${AS_USER[@]}" --inh-caps="+$cap" --ambient-caps="+$cap")
        "${VICTIM_PREFIX[@]}" true 2>/dev/null || skip "no capability can be handed on here"
        start_victim victim_busy 2
        each_refused "$VICTIM" "process $VICTIM \(victim_busy\) has capabilities that you lack \(0x(400|80000)\)$"
    done
}

@test "one's own user namespace: no more than the caller's own rights" {
    need_tool unshare
    VICTIM_PREFIX=("${AS_USER[@]}" unshare -U)
    "${VICTIM_PREFIX[@]}" true 2>/dev/null || skip "plain users can make no user namespace here"
    start_victim victim_busy 2
    # Whoever made the namespace may trace in it; a capability on top of that is for nobody.
    LIVECORE=$PWD/bin/setuid
    remember "$VICTIM"
    livecore -p "$VICTIM" -o out/core
    expect_status 0
    rm out/core
    for kind in ptrace ptrace+read every; do
        refused "bin/$kind" "$VICTIM" "process $VICTIM \(victim_busy\) (is in another user namespace|has capabilities that you lack)"
    done
    assert_untouched "$VICTIM"
    assert_progress
}

@test "the output is opened with the caller's rights" {
    local kind name
    start_victim victim_busy 2
    remember "$VICTIM"
    mkdir -m 0755 shut
    mkdir -m 1777 sticky
    mkdir -m 0700 secret
    mkfifo -m 0600 fifo
    echo precious >shut/file
    echo precious >sticky/file
    for kind in "${KINDS[@]}"; do
        LIVECORE=$PWD/bin/$kind
        for name in shut/core shut/file sticky/file secret/core fifo /etc/core "/proc/$$/fd/0"; do
            livecore -p "$VICTIM" -o "$name" --force
            expect_status 2
            expect_stderr "cannot write $name: "
        done
        [ "$(cat shut/file sticky/file)" = precious$'\n'precious ]
        [ "$(stat -c %u sticky/file)" = 0 ]
        [ "$(find shut sticky secret -mindepth 1 | sort | tr '\n' ' ')" = 'shut/file sticky/file ' ] || fail "$(ls -A shut sticky secret)"
    done
    assert_untouched "$VICTIM"
}

# caps_of SET: of every thread of the dump that is held, each value once.
caps_of() {
    sed -n "s/^$1:\t0*//p" "/proc/$HOLDER/task"/*/status | sort -u | xargs
}

@test "no privilege is in effect while a process is held" {
    local kind want
    start_victim victim_mem # larger than a pipe
    for kind in "${KINDS[@]}"; do
        LIVECORE=$PWD/bin/$kind
        hold_dump "$VICTIM"
        case $kind in
        set*) want= ;;
        *) want=80000 ;; # CAP_SYS_PTRACE
        esac
        [ "$(caps_of CapPrm)" = "$want" ] || fail "$kind: permitted: $(caps_of CapPrm)"
        [ -z "$(caps_of CapEff)" ] || fail "$kind: in effect: $(caps_of CapEff)"
        [ "$(sed -n 's/^[UG]id:\t//p' "/proc/$HOLDER/task"/*/status | sort -u)" = $'12345\t12345\t12345\t12345' ]
        end_dump TERM
        wait_for 10 has_state "$VICTIM" S
    done
}

@test "the capability is raised to open the memory and to seize, and for nothing else" {
    need_tool strace
    start_victim victim_busy 3
    remember "$VICTIM"
    strace -f -q -o log -e trace=capset,openat,linkat,ptrace,process_vm_readv,execve,clone,clone3 \
        "${AS_USER[@]}" bin/ptrace -p "$VICTIM" -o out/core
    assert_untouched "$VICTIM"
    "$CORECHECK" out/core sane
    awk '
        /execve\(/ && /bin\/ptrace/ { ours = 1 }
        !ours || /resumed>|--- SIG/ { next }
        /capset\(/ { raised[$1] = /effective=1<<CAP_SYS_PTRACE/; n_raised += raised[$1]; next }
        /PTRACE_SEIZE/ { n_seized++; if (!raised[$1]) { print "not raised: " $0; bad = 1 } next }
        /openat\(.*"mem"/ { n_mem++; if (!raised[$1]) { print "not raised: " $0; bad = 1 } next }
        raised[$1] && !/PTRACE_(INTERRUPT|GETREGSET|SETREGSET)|"task|status"/ { print "raised: " $0; bad = 1 }
        END { exit bad || n_raised != 3 || n_mem != 2 || n_seized != 4 }' log >wrong || fail "$(cat wrong)" "$(grep -E 'capset|"mem"|SEIZE' log)"
}

@test "root needs no privilege of the file, and keeps its own" {
    local kind
    start_victim victim_busy 2
    RUN_PREFIX=()
    for kind in "${KINDS[@]}"; do
        LIVECORE=$PWD/bin/$kind
        remember "$VICTIM"
        livecore -p "$VICTIM" -o "out/$kind"
        expect_status 0
        [ "$(stat -c '%u %g' "out/$kind")" = '0 0' ]
        assert_untouched "$VICTIM"
    done
}

# The moments between the look at the process, opening its memory, seizing it and stopping it are all
# chances to become somebody else in.
@test "a process that executes a set-uid program again and again: never a core of that one" {
    local kind round n_refused=0
    cp "$FLIP" bin/flip
    cp bin/flip bin/flip-setuid
    chmod u+s bin/flip-setuid
    VICTIMS=$PWD/bin
    start_victim flip "$PWD/bin/flip-setuid"
    wait_for 20 grep -qP '^Uid:\t12345\t0\t' "/proc/$VICTIM/status"
    for kind in ptrace setuid; do
        LIVECORE=$PWD/bin/$kind
        for round in {1..40}; do # run sets i
            rm -f out/core
            livecore -p "$VICTIM" -o out/core
            case $status in
            0 | 1)
                has_no_secret || fail "$kind: a core of the set-uid program"
                ;;
            2)
                [ ! -e out/core ]
                n_refused=$((n_refused + 1))
                ;;
            *) fail "status $status" "$stderr" ;;
            esac
        done
    done
    [ "$n_refused" -gt 0 ]
    kill -0 "$VICTIM" # and it goes on
    wait_for 20 grep -qP '^Uid:\t12345\t0\t' "/proc/$VICTIM/status"
    wait_for 20 grep -qP '^Uid:\t12345\t12345\t' "/proc/$VICTIM/status"
}

# No word of what victim_flip has in memory as a set-uid program.
has_no_secret() {
    "$PYTHON" - out/core <<'PYTHON'
import struct, sys
word = lambda i: (0x5EC4E7 * 0x9E3779B97F4A7C15 + i * 0xD1342543DE82EF95 + 1) & (1 << 64) - 1
core = open(sys.argv[1], "rb").read()
sys.exit(any(struct.pack("<Q", word(i)) in core for i in (0, 1, 511, 512, 4096, 8191)))
PYTHON
}
