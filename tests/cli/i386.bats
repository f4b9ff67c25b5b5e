# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034,SC2016,SC2094
# 32-bit processes on a 64-bit kernel.

load helpers

word() {
    printf '%#x' $(($1 * 0x9e3779b97f4a7c15 + $2 * 0xd1342543de82ef95 + 1))
}

# The lower half of a word, as a 32-bit register holds it.
low_word() {
    printf '%#x' $(($(word "$1" "$2") & 0xffffffff))
}

address_of() {
    awk -v name="$1" '($1 == "fill" || $1 == "zero") && $2 == name { print $3; exit }' "$(victim_out)"
}

# dump32 PID [ARG...]: as dump(). Looking at the vdso costs a 32-bit process a page that counts as a
# file's; nothing else may change.
dump32() {
    local pid=$1
    shift
    remember "$pid"
    livecore -p "$pid" -o core --force --verify "$@"
    expect_status 0
    [ -z "$stderr" ] || fail "unexpected: $stderr"
    assert_untouched "$pid"
    check sane
}

gdb_says() {
    local program=$1 args=() command
    shift
    for command; do
        args+=(-ex "$command")
    done
    gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set width 0' -iex 'set height 0' \
        "$program" core -ex 'echo ----\n' "${args[@]}" 2>gdb.err | sed '1,/^----$/d'
}

expect_equal() {
    [ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

@test "i386: ELF32 of machine 3" {
    need_victim32
    start_victim victim_mem32
    dump32 "$VICTIM"
    check ehdr >said.ehdr
    grep -qx 'bits 32' said.ehdr
    grep -qx 'machine 3' said.ehdr
    grep -qx 'flags 0x0' said.ehdr
    run readelf -h core
    [[ $output == *ELF32*"CORE (Core file)"*"Intel 80386"* ]] || fail "$output"
}

@test "i386: the notes, their order and their sizes" {
    need_victim32
    start_victim victim_regs32 2
    dump32 "$VICTIM"
    expect_equal threads "$(check threads | sort -n)" "$(find "/proc/$VICTIM/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n)"
    expect_equal "the first thread" "$(check threads | head -1)" "$VICTIM"
    check notes process >process
    grep -qx 'CORE NT_PRPSINFO 124' process
    grep -qx "CORE NT_AUXV $(wc -c <"/proc/$VICTIM/auxv")" process
    grep -q '^CORE NT_FILE ' process
    check auxv "/proc/$VICTIM/auxv"
    check files "/proc/$VICTIM/maps"
    check covers "/proc/$VICTIM/maps"
    local tid
    for tid in $(check threads); do
        check notes "$tid" >notes
        expect_equal "the first note of $tid" "$(head -1 notes)" 'CORE NT_PRSTATUS 144'
        expect_equal "the register sets of $tid" "$(grep -E 'NT_(FPREGSET|PRXFPREG|386_TLS)' notes | tr '\n' ' ')" \
            'CORE NT_FPREGSET 108 LINUX NT_PRXFPREG 512 LINUX NT_386_TLS 48 '
        [ "$(grep -c . notes)" -le 7 ]
    done
    check siginfo | grep -qx 'signo 0'
}

@test "i386: PRSTATUS and PRPSINFO say what /proc says" {
    need_victim32
    start_victim victim_signals32
    dump32 "$VICTIM"
    check prstatus "$VICTIM" >prstatus
    grep -qx "pid $VICTIM" prstatus
    grep -qx "ppid $$" prstatus || grep -qx "ppid $(awk '/^PPid:/ { print $2 }' "/proc/$VICTIM/status")" prstatus || fail "$(cat prstatus)"
    local pgrp sid
    read -r pgrp sid < <(sed 's/.*) //' "/proc/$VICTIM/stat" | cut -d ' ' -f 3,4)
    grep -qx "pgrp $pgrp" prstatus || fail "$(cat prstatus)"
    grep -qx "sid $sid" prstatus || fail "$(cat prstatus)"
    grep -qx 'signo 0' prstatus
    check prpsinfo >prpsinfo
    grep -qx 'fname victim_signals3' prpsinfo
    grep -qE "^psargs $VICTIMS/victim_signals32 ?$" prpsinfo || fail "$(cat prpsinfo)"
    grep -qx "uid $(id -u)" prpsinfo
}

@test "i386: registers of threads that spin and that sleep" {
    need_victim32
    start_victim victim_regs32 4
    dump32 "$VICTIM"
    check registers "$(victim_out)"
}

@test "i386: memory is what the process says" {
    need_victim32
    start_victim victim_mem32
    dump32 "$VICTIM"
    check truth "$(victim_out)" heap=full data=full bss=full tls=full stack=full anon_dirty=full \
        anon_partial=full anon_zeroed=full sparse=full anon_untouched=full anon_shared=full dontdump=absent \
        none_touched=full write_only=full read_only=full read_exec=full deleted_private=absent \
        deleted_shared=full memfd_shared=full sysv_shm=full file_private_clean=left
    dump32 "$VICTIM" --all
    check truth "$(victim_out)" '*=full'
}

@test "i386: many mappings" {
    need_victim32
    start_victim victim_many_maps32 2000
    dump32 "$VICTIM"
    check maps "$(victim_out)"
}

@test "i386: registers only" {
    need_victim32
    start_victim victim_regs32 2
    dump32 "$VICTIM" --minimal
    check registers "$(victim_out)" || true # needs memory for those that sleep
    expect_equal "number of threads" "$(check threads | wc -l)" "$(find "/proc/$VICTIM/task" -mindepth 1 -maxdepth 1 | wc -l)"
    [ -z "$(check segments | awk '$3 != "0x0"')" ] || fail "$(check segments)"
}

@test "i386: no system call comes back" {
    need_victim32
    start_victim victim_syscalls32
    local before
    before=$(ask any)
    grep -q '^waiting ' <<<"$before"
    dump32 "$VICTIM"
    dump32 "$VICTIM"
    sleep 0.2
    expect_equal "state of the calls" "$(ask any)" "$before"
    # Two of them are served, and come back as if nothing had been.
    ask wake >woken
    grep -q '^returned read_pipe 1 0 ' woken || fail "$(cat woken)"
    grep -q '^returned futex 0 0 ' woken || fail "$(cat woken)"
    expect_equal "calls that came back" "$(grep -c '^returned' woken)" 2
}

@test "i386: a process that works goes on" {
    need_victim32
    start_victim victim_busy32 4
    dump32 "$VICTIM"
    assert_progress
    local n
    for n in 1 2 3 4 5; do
        livecore -p "$VICTIM" -o core --force
        expect_status 0
    done
    check sane
    assert_progress
}

@test "i386: a stopped process stays stopped" {
    need_victim32
    start_victim victim_busy32 2
    stop_process "$VICTIM"
    dump32 "$VICTIM"
    all_have_state "$VICTIM" T
    kill -CONT "$VICTIM"
    assert_progress
}

@test "i386: the leader has exited" {
    need_victim32
    start_victim victim_leader_exited32
    livecore -p "$VICTIM" -o core
    expect_status 0
    check sane
    check threads | grep -qvx "$VICTIM"
}

@test "i386: gdb shows threads, functions and variables" {
    need_victim32
    need_tool gdb
    start_victim victim_regs32 3
    dump32 "$VICTIM"
    gdb_says "$VICTIMS/victim_regs32" 'info threads' >threads
    expect_equal "number of threads" "$(grep -c LWP threads)" "$(find "/proc/$VICTIM/task" -mindepth 1 -maxdepth 1 | wc -l)"
    local tid seed said
    while read -r _ tid seed _; do
        grep -qE "\(LWP $tid\)\)? .*\bspin \(" threads || fail "thread $tid" "$(cat threads)"
        said=$(gdb_says "$VICTIMS/victim_regs32" \
            "python [t.switch() for t in gdb.selected_inferior().threads() if t.ptid[1] == $tid]" \
            'output/x $eax' 'echo \n' 'output/x $edi' 'echo \n' 'output/x $xmm3.v2_int64' 'echo \n')
        # Where gdb cannot read the processor's NT_X86_XSTATE, it has no xmm registers.
        local xmm
        xmm="{$(word $((seed + 1)) 24), $(word $((seed + 1)) 25)}"
        ! grep -q 'reg-xstate.* too small' gdb.err || xmm='<unavailable>'
        expect_equal "eax, edi, xmm3 of $tid" "$said" "$(low_word "$seed" 0)"$'\n'"$(low_word "$seed" 5)"$'\n'"$xmm"
    done < <(grep '^spin ' "$(victim_out)")
    gdb_says "$VICTIMS/victim_regs32" 'thread apply all -q bt' >traces
    [ "$(grep -cE '^#[0-9]+ .*\bspin_start \(' traces)" -eq 3 ] || fail "$(cat traces)"
    grep -qE '^#[0-9]+ .*\bmain \(' traces || fail "$(cat traces)"
}

@test "i386: gdb reads data, .bss, heap, stack and thread-local variables" {
    need_victim32
    need_tool gdb
    start_victim victim_mem32
    dump32 "$VICTIM"
    expect_equal variables "$(gdb_says "$VICTIMS/victim_mem32" 'output data_point' 'echo \n' 'output const_point' \
        'echo \n' 'output/x data_words[7]' 'echo \n' 'output/x bss_words[511]' 'echo \n' 'output/x tls_words[5]' \
        'echo \n' 'output tls_number' 'echo \n' "output/x *(unsigned long long *)$(address_of heap)" 'echo \n' \
        "output/x *(unsigned long long *)$(address_of stack)" 'echo \n' \
        "output/x *(unsigned long long *)$(address_of anon_untouched)" 'echo \n')" \
        "{x = 42, y = -43}
{x = 1234, y = -5678}
$(word 0x51 7)
$(word 0x52 511)
$(word 0x53 5)
7
$(word 0x50 0)
$(word 0x54 0)
0x0"
    gdb_says "$VICTIMS/victim_mem32" "output/x *(int *)$(address_of dontdump)" >said
    [ ! -s said ] && grep -q 'Cannot access memory' gdb.err || fail "$(cat said gdb.err)"
}

@test "i386: elfutils: no complaint, the stacks of the living process" {
    need_victim32
    need_tool eu-readelf eu-stack
    start_victim victim_regs32 2
    stop_process "$VICTIM"
    dump32 "$VICTIM"
    eu-readelf -hln core >said 2>complaints || fail "$(cat complaints)"
    [ ! -s complaints ] || fail "$(cat complaints)"
    expect_equal "number of PRSTATUS" "$(grep -cE '^ +CORE +144 +PRSTATUS' said)" "$(check threads | wc -l)"
    eu-stack -p "$VICTIM" >of-process 2>/dev/null || true
    eu-stack --core core >of-core 2>core.err || true
    expect_equal "threads in eu-stack" "$(grep -c '^TID ' of-core)" "$(check threads | wc -l)"
    # Of the process it gives up earlier: it reads 64-bit words of the stack.
    grep -q '#0 .*\bread$\|#0 .*__kernel_vsyscall' of-core || fail "$(cat of-core core.err)"
    run ! grep -vxFf <(tail -n +2 of-core) <(tail -n +2 of-process)
}

# compare_with_kernel VICTIM: sets status, output and stderr of the comparison.
compare_with_kernel() {
    start_victim "$1"
    # What is left out of shared huge pages is in the kernel's NT_FILE alone.
    echo 0x73 >"/proc/$VICTIM/coredump_filter"
    stop_process "$VICTIM"
    dump32 "$VICTIM"
    cp "/proc/$VICTIM/maps" maps
    prlimit --pid "$VICTIM" --core=unlimited
    kill -ABRT "$VICTIM"
    kill -CONT "$VICTIM"
    wait "$VICTIM" 2>/dev/null || true
    run --separate-stderr "$CORECHECK" core diff "$(echo "${VICTIM_DIR[$VICTIM]}"/core*)" loose maps
}

@test "i386: the kernel's own core, at the same instant" {
    need_victim32
    need_tool prlimit
    [ "$(cat /proc/sys/kernel/core_pattern)" = core ] || skip "the kernel writes no core here (core_pattern)"
    local name tries
    for name in victim_mem32 victim_regs32; do
        # Its threads run for an instant before they die, and may come further: that is of chance, what
        # is wrong is wrong each time.
        for tries in 1 2 3 4 5; do
            compare_with_kernel "$name"
            [ "$status" -ne 0 ] || break
        done
        expect_status 0
        expect_output '^compared [0-9]+ bytes of memory, [0-9]+ notes$'
    done
}
