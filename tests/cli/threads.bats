# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154
# Every thread, with every register, and what the notes say of threads and process.

load helpers

tids_of() {
    find "/proc/$1/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n
}

# status_of TID KEY: a field of /proc/TID/status.
status_of() {
    awk -v key="$2:" '$1 == key { print $2 }' "/proc/$VICTIM/task/$1/status"
}

# stat_of TID N: field N of /proc/TID/stat, counted as in proc(5).
stat_of() {
    sed 's/.*) //' "/proc/$VICTIM/task/$1/stat" | awk -v n=$(($2 - 2)) '{ print $n }'
}

# prstatus TID KEY
prstatus() {
    check prstatus "$1" | awk -v key="$2" '$1 == key { print $2 }'
}

@test "general, x87, SSE, AVX and AVX-512 registers of threads that run and that sleep" {
    start_victim victim_regs 4
    dump "$VICTIM" --verify
    check registers "$(victim_out)"
    # The second core sees the same threads, in system calls that were restarted or not.
    [ "$(grep -c ^returned "$(victim_out)")" -eq 0 ]
}

@test "registers survive: the threads have the same ones after several dumps" {
    start_victim victim_regs 4
    local i
    for i in 1 2 3 4 5; do
        dump "$VICTIM"
    done
    grep -v '^sleep' "$(victim_out)" >spinning
    grep '^sleep' "$(victim_out)" | awk '{ print $2 }' | while read -r tid; do
        check prstatus "$tid" >/dev/null
    done
    # Only those that spin are at the same place for sure.
    check registers spinning 2>err || grep -qE '^corecheck: core: 4 threads checked of' err || fail "$(cat err)"
    [ "$(grep -c ^returned "$(victim_out)")" -eq 0 ]
}

@test "the leader comes first, and no thread is missing" {
    start_victim victim_many_threads 300
    dump "$VICTIM" --verify
    [ "$(check threads | head -1)" = "$VICTIM" ]
    [ "$(check threads | sort -n)" = "$(tids_of "$VICTIM")" ]
    [ "$(check threads | wc -l)" -eq 300 ]
}

@test "the notes are in the kernel's order" {
    start_victim victim_busy 2
    dump "$VICTIM"
    local first second
    first=$(check notes | awk '{ print $2 }' | tr '\n' ' ')
    [[ $first == "NT_PRSTATUS NT_PRPSINFO NT_SIGINFO NT_AUXV NT_FILE NT_FPREGSET NT_X86_XSTATE "* ]] || fail "$first"
    second=$(check threads | sed -n 2p)
    [[ $(check notes "$second" | awk '{ print $1, $2; exit }') == "CORE NT_PRSTATUS" ]]
    check notes "$second" | grep -q '^CORE NT_FPREGSET 512$'
}

@test "NT_PRSTATUS: ids, masks and times are the thread's" {
    start_victim victim_signals
    dump "$VICTIM"
    local tid
    for tid in $(tids_of "$VICTIM"); do
        [ "$(prstatus "$tid" pid)" = "$tid" ]
        [ "$(prstatus "$tid" ppid)" = "$(stat_of "$VICTIM" 4)" ]
        [ "$(prstatus "$tid" pgrp)" = "$(stat_of "$VICTIM" 5)" ]
        [ "$(prstatus "$tid" sid)" = "$(stat_of "$VICTIM" 6)" ]
        [ "$(($(prstatus "$tid" sighold)))" -eq $((0x$(status_of "$tid" SigBlk))) ] || fail "sighold of $tid"
        [ "$(($(prstatus "$tid" sigpend)))" -eq $((0x$(status_of "$tid" SigPnd))) ] || fail "sigpend of $tid"
        # It was not killed.
        [ "$(prstatus "$tid" signo)" = 0 ]
        [ "$(prstatus "$tid" cursig)" = 0 ]
        [ "$(prstatus "$tid" fpvalid)" = 1 ]
    done
    # A worker with a pending signal of its own, the leader without.
    [ "$(($(prstatus "$(truth worker)" sigpend)))" -ne 0 ]
}

@test "NT_PRSTATUS: times of the thread and of waited-for children" {
    start_victim victim_busy 1
    local tid before after value
    tid=$(tids_of "$VICTIM" | tail -1)
    sleep 0.3
    # In ticks of 10 ms; the note is in microseconds.
    before=$(stat_of "$tid" 14)
    dump "$VICTIM"
    after=$(stat_of "$tid" 14)
    value=$(($(prstatus "$tid" utime) / 10000))
    [ "$value" -ge "$((before - 1))" ] && [ "$value" -le "$((after + 1))" ] || fail "$before <= $value <= $after"
    [ "$(prstatus "$tid" cutime)" = 0 ]
}

@test "NT_PRPSINFO: name, arguments, state, niceness, ids" {
    start_victim victim_busy 1 'two  words' --option=x
    renice -n 7 -p "$VICTIM" >/dev/null
    dump "$VICTIM"
    check prpsinfo >info
    grep -qx 'fname victim_busy' info
    grep -qxF "psargs $VICTIMS/victim_busy 1 two  words --option=x" <(sed 's/ *$//' info) ||
        [ "$(awk '/^psargs/' info | wc -c)" -ge 79 ] || fail "$(cat info)"
    grep -qx 'nice 7' info
    grep -qx "uid $(id -u)" info
    grep -qx "gid $(id -g)" info
    grep -qx "pid $VICTIM" info
    grep -qx "ppid $(stat_of "$VICTIM" 4)" info
    grep -qx 'zomb 0' info
    grep -qxE 'sname [SR]' info
    rm info
    stop_process "$VICTIM"
    dump "$VICTIM"
    check prpsinfo | grep -qx 'sname T'
}

@test "NT_PRPSINFO: a long name and arguments that change themselves" {
    local long=a.name.longer.than.15
    cp "$VICTIMS/victim_busy" "$long"
    VICTIMS=$BATS_TEST_TMPDIR start_victim "$long" 1 "$(printf 'x%.0s' {1..200})"
    dump "$VICTIM"
    check prpsinfo | grep -qx "fname ${long:0:15}"
    [ "$(check prpsinfo | sed -n 's/^psargs //p' | wc -c)" -eq 80 ]
}

@test "NT_SIGINFO: no signal, since it was not killed" {
    start_victim victim_busy 1
    dump "$VICTIM"
    check siginfo | grep -qx 'signo 0'
    [[ $(check notes | grep -c NT_SIGINFO) -ge 1 ]]
}

@test "threads that come and go all the time: each core is whole" {
    start_victim victim_many_threads 30 churn
    local i
    remember "$VICTIM" loose
    for i in 1 2 3 4 5 6 7 8; do
        livecore -p "$VICTIM" -o core --force --verify
        expect_status 0
        check sane
        [ "$(check threads | wc -l)" -ge 31 ]
        [ "$(check threads | head -1)" = "$VICTIM" ]
    done
    assert_untouched "$VICTIM" loose
    local first second
    first=$(ask started | grep ^started)
    sleep 0.1
    second=$(ask started | grep ^started)
    [ "${second#started }" -gt "${first#started }" ] || fail "$first, then $second"
}

@test "threads that work all the time go on, all of them" {
    start_victim victim_busy 8
    local i
    for i in 1 2 3 4 5; do
        dump "$VICTIM"
        assert_progress
    done
    [ "$(check threads | sort -n)" = "$(tids_of "$VICTIM")" ]
}

@test "a leader that has exited: the first living thread comes first, memory and maps are there" {
    start_victim victim_leader_exited
    remember "$VICTIM"
    livecore -p "$VICTIM" -o core
    expect_status 0
    assert_untouched "$VICTIM"
    check sane
    [ "$(check threads | head -1)" = "$(truth worker)" ]
    check threads | grep -qx "$VICTIM" && fail "the dead leader is in the core"
    [ "$(check threads | wc -l)" -eq 2 ]
    check truth "$(victim_out)" words=full
    cat "/proc/$VICTIM/task/$(truth worker)/maps" >maps
    check files maps
    check covers maps
    check auxv "/proc/$VICTIM/task/$(truth worker)/auxv"
    check prpsinfo | grep -qx "pid $VICTIM"
    ask anything
}

@test "a thread in vfork() does not hold up the rest" {
    start_victim victim_vfork
    local tid began
    tid=$(truth vfork)
    has_state "$tid" D || skip "vfork() does not sleep in D state here"
    remember "$VICTIM"
    began=$SECONDS
    livecore -p "$VICTIM" -o core --timeout=1
    expect_status 1
    [ $((SECONDS - began)) -lt 30 ]
    expect_stderr "loss: thread $tid: vforker did not stop in time \(state D.*\): its registers are zero but for PC, SP and"
    assert_untouched "$VICTIM"
    check sane
    # All threads, all registers but its own, all memory.
    [ "$(check threads | sort -n)" = "$(tids_of "$VICTIM")" ]
    local words word
    read -ra words <<<"$(sed -n 's/^syscall //p' "$(victim_out)")"
    for word in orig_rax:0 rdi:1 rsi:2 rdx:3 r10:4 r8:5 r9:6 rsp:7 rip:8; do
        [ "$(($(prstatus "$tid" "${word%:*}")))" -eq "$((${words[${word#*:}]}))" ] || fail "${word%:*}"
    done
    [ "$(($(prstatus "$tid" rbx) + $(prstatus "$tid" r15)))" -eq 0 ]
    [ "$(prstatus "$tid" ppid)" = "$(stat_of "$VICTIM" 4)" ]
    local other
    for other in $(tids_of "$VICTIM"); do
        [ "$other" = "$tid" ] || [ "$(($(prstatus "$other" rip)))" -ne 0 ] || fail "no registers of $other"
    done
    # It is free again, and so is its child.
    [ "$(ask release)" = "vforked 1" ]
}

@test "a thread in vfork(): the loss is in the JSON" {
    need_tool jq
    start_victim victim_vfork
    has_state "$(truth vfork)" D || skip "vfork() does not sleep in D state here"
    livecore -p "$VICTIM" -o core --timeout=0.5 --json
    expect_status 1
    [ "$(json '.losses | length')" -ge 1 ]
    [ "$(json '.losses[0].kind')" = thread ]
    [ "$(json '.losses[0].tid')" = "$(truth vfork)" ]
    [ "$(json '.losses[0].reason | length > 0')" = true ]
    [ "$(json .status)" = 1 ]
    [ "$(ask release)" = "vforked 1" ]
}

# named PID: whether the report names it as one that shares the memory.
named() {
    grep -qE "^livecore: note: process $1 \(.*\) has the same memory; it was not stopped" <<<"$stderr"
}

@test "processes that share the memory and are no threads are named" {
    need_tool jq
    start_victim victim_clonevm vfork
    local name pid
    remember "$VICTIM"
    livecore -p "$VICTIM" -o core --timeout=1
    expect_status 1
    assert_untouched "$VICTIM"
    for name in plain files grandchild vfork; do
        pid=$(truth_of sharer $name 3)
        named "$pid" || fail "$name, process $pid, is not named" "$stderr"
        [ "$(awk '/^TracerPid:/ { print $2 }' "/proc/$pid/status")" = 0 ]
    done
    [ "$(grep -c 'note: process' <<<"$stderr")" -eq 4 ]
    # No thread of the process, none in the core.
    [ "$(check threads | sort -n)" = "$(tids_of "$VICTIM")" ]
    livecore -p "$VICTIM" -o core --force --timeout=1 --json
    [ "$(json '.sharers | map(.pid) | sort | @text')" = "$(awk '$1 == "sharer" { print $3 }' "$(victim_out)" | jq -sc sort)" ]
    [ "$(json '.sharers[0].comm')" = "$(json .comm)" ]
    # From their side it is the same.
    livecore -p "$(truth_of sharer plain 3)" -o other
    expect_status 0
    named "$VICTIM"
    livecore -q -p "$(truth_of sharer plain 3)" -o other --force
    expect_status 0
    [ -z "$stderr" ]
    [ "$(ask release)" = "released 1" ]
}

@test "1000 threads" {
    start_victim victim_many_threads 1000
    dump "$VICTIM" --verify
    [ "$(check threads | sort -n)" = "$(tids_of "$VICTIM")" ]
}

@test "a freeze that takes long: no stop is lost between the threads of livecore" {
    need_tool strace
    without_leak_check
    start_victim victim_many_threads 30
    remember "$VICTIM"
    # A tracer's waiting is one for all threads of its process: who looks for the dead in the
    # meantime must leave the stops to the one that waits for them.
    run --separate-stderr strace -q -f -o strace.log -e trace=ptrace --inject=ptrace:delay_exit=3000 \
        "$LIVECORE" -p "$VICTIM" -o core --timeout=3
    expect_status 0
    rm strace.log
    [ "$(check threads | wc -l)" -eq 30 ]
    assert_untouched "$VICTIM"
}
