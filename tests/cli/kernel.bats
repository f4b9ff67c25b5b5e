# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034,SC2094
# Held against the kernel's own core of the same process at the same instant: it is stopped, dumped,
# and then killed by a signal that dumps core. tests/compare/kerneldiff says what may differ.

load helpers

KERNELDIFF=$TESTS/compare/kerneldiff
CORE_PATTERN=/proc/sys/kernel/core_pattern
MAX_MAP_COUNT=/proc/sys/vm/max_map_count
NOTE_SIZE=/proc/sys/kernel/core_file_note_size_limit
OVERCOMMIT=/proc/sys/vm/nr_overcommit_hugepages

# set_until_the_end FILE VALUE: teardown_file puts back what was there.
set_until_the_end() {
    [ -w "$1" ] || return 1
    cat "$1" >"$BATS_FILE_TMPDIR/${1##*/}"
    echo "$2" >"$1"
}

setup_file() {
    local pattern
    pattern=$(cat "$CORE_PATTERN")
    # A file in the working directory; else for the time of this suite.
    if [[ $pattern != core* || $pattern == */* ]]; then
        set_until_the_end "$CORE_PATTERN" core || skip "core_pattern is '$pattern', and may not be set here"
    fi
}

teardown_file() {
    local file
    for file in "$CORE_PATTERN" "$MAX_MAP_COUNT" "$NOTE_SIZE" "$OVERCOMMIT"; do
        [ ! -e "$BATS_FILE_TMPDIR/${file##*/}" ] || cat "$BATS_FILE_TMPDIR/${file##*/}" >"$file"
    done
}

setup() {
    chmod 0711 "$BATS_RUN_TMPDIR"
    cd "$BATS_TEST_TMPDIR" || return 1
    ulimit -c unlimited 2>/dev/null || skip "cores are limited here, and the limit cannot be raised"
}

# stop PID: a first thread that has exited stays what it is.
stop() {
    kill -STOP "$1"
    wait_for 10 all_stopped "$1"
}

all_stopped() {
    local task
    for task in "/proc/$1/task"/*; do
        has_state "${task##*/}" T || has_state "${task##*/}" Z || return 1
    done
}

# start_sleepers NAME [ARG...]: a victim whose threads all sleep, and until they do: one that has not got
# there yet would go on a little between the two cores.
start_sleepers() {
    start_victim "$@"
    wait_for 10 all_sleep "$VICTIM"
}

all_sleep() {
    local task
    for task in "/proc/$1/task"/*; do
        has_state "${task##*/}" S || has_state "${task##*/}" Z || return 1
    done
}

# kernels_core PID: kills it and waits for the kernel's core, ./kernel.
kernels_core() {
    local dir=${VICTIM_DIR[$1]}
    "$TESTS/compare/abort" "$1"
    # Collected only when the dump is complete.
    wait "$1" 2>/dev/null || true
    mv "$dir"/core* kernel || fail "the kernel wrote no core"
}

# same_as_kernel PID FILTER: both cores of the process with that coredump_filter.
same_as_kernel() {
    # Where the first thread has exited, the filter cannot be set any more.
    [ "$2" = 0x33 ] || echo "$2" >"/proc/$1/coredump_filter"
    stop "$1"
    dump "$1"
    "$KERNELDIFF" snapshot "$1" >snapshot
    kernels_core "$1"
    "$KERNELDIFF" compare core kernel snapshot "$2" || fail "filter $2"
}

@test "a mapping of each kind, the kernel's default filter" {
    start_victim victim_mem
    same_as_kernel "$VICTIM" 0x33
}

@test "a mapping of each kind, nothing chosen" {
    start_victim victim_mem
    same_as_kernel "$VICTIM" 0x0
}

@test "a mapping of each kind, all but DAX" {
    start_victim victim_mem
    same_as_kernel "$VICTIM" 0x7f
}

@test "a mapping of each kind, everything" {
    start_victim victim_mem beyond
    same_as_kernel "$VICTIM" 0x1ff
}

@test "one bit of the filter after the other" {
    local bit
    for bit in 0 1 2 3 4; do
        start_victim victim_mem
        same_as_kernel "$VICTIM" "$(printf '%#x' $((1 << bit)))"
    done
}

@test "huge pages, private and shared" {
    local filter
    set_until_the_end "$OVERCOMMIT" 8 || skip "no huge pages may be had here"
    for filter in 0x20 0x40 0x33 0x1f; do
        start_victim victim_mem
        ! grep -q '^skip huge' "$(victim_out)" || skip "there are no huge pages"
        same_as_kernel "$VICTIM" "$filter"
    done
}

@test "registers of threads that work and of threads that sleep" {
    start_victim victim_regs
    same_as_kernel "$VICTIM" 0x33
    check registers "$(victim_out)"
}

@test "every kind of system call that sleeps" {
    start_victim victim_syscalls
    same_as_kernel "$VICTIM" 0x33
}

@test "pending and blocked signals" {
    start_sleepers victim_signals
    same_as_kernel "$VICTIM" 0x33
}

@test "50 threads" {
    start_sleepers victim_many_threads 50
    same_as_kernel "$VICTIM" 0x33
    [ "$(check threads | wc -l)" -eq 50 ]
}

@test "the first thread has exited" {
    start_sleepers victim_leader_exited
    same_as_kernel "$VICTIM" 0x33
}

@test "a name, arguments and a niceness that are unusual" {
    local name="a name of more than 15 (bytes) x"
    cp "$VICTIMS/victim_busy" "$name"
    VICTIM_PREFIX=(nice -n 7)
    VICTIMS=$PWD start_victim "$name" 2 "two  words" "" $'new\nline' "$(printf 'long%.0s' {1..50})"
    same_as_kernel "$VICTIM" 0x33
    check prpsinfo | grep -qx 'nice 7'
}

@test "3,000 mappings" {
    start_victim victim_many_maps 3000
    same_as_kernel "$VICTIM" 0x33
}

@test "more segments than e_phnum counts" {
    set_until_the_end "$MAX_MAP_COUNT" 80000 || skip "vm.max_map_count may not be raised here"
    # The kernel reserves 64 bytes of NT_FILE for each mapping, and leaves the note out above a limit.
    set_until_the_end "$NOTE_SIZE" 8388608 || skip "kernel.core_file_note_size_limit may not be raised here"
    start_victim victim_many_maps 65600
    stop "$VICTIM"
    # Without a look at the state of 65,600 mappings before and after.
    livecore -p "$VICTIM" -o core
    expect_status 0
    "$KERNELDIFF" snapshot "$VICTIM" >snapshot
    kernels_core "$VICTIM"
    "$KERNELDIFF" compare core kernel snapshot 0x33
    check ehdr | grep -qx 'phnum 65535'
}

@test "32 bits: a mapping of each kind" {
    need_victim32
    local filter
    for filter in 0x33 0x0 0x7f 0x1ff; do
        start_victim victim_mem32
        same_as_kernel "$VICTIM" "$filter"
    done
}

@test "32 bits: registers" {
    need_victim32
    start_victim victim_regs32
    same_as_kernel "$VICTIM" 0x33
}

@test "32 bits: 50 threads, and without the first" {
    need_victim32
    start_sleepers victim_many_threads32 50
    same_as_kernel "$VICTIM" 0x33
    start_sleepers victim_leader_exited32
    same_as_kernel "$VICTIM" 0x33
}

@test "a process that crashes: its core is the kernel's to write, and whole" {
    local before name=$PWD/handler
    need_root
    [ ${#name} -lt 60 ] || skip "core_pattern holds no name as long as $name"
    printf '#!/bin/sh\n: >%s/begun\nread -r _ <%s/go\nexec cat >%s/kernel\n' "$PWD" "$PWD" "$PWD" >handler
    chmod 0755 handler
    mkfifo go
    before=$(cat "$CORE_PATTERN")
    start_victim victim_busy 4
    [ -e "$BATS_FILE_TMPDIR/core_pattern" ] || cp "$CORE_PATTERN" "$BATS_FILE_TMPDIR/core_pattern"
    echo "|$name" >"$CORE_PATTERN"
    kill -SEGV "$VICTIM"
    wait_for 10 test -e begun || fail "the kernel does not call $name"
    echo "$before" >"$CORE_PATTERN"
    grep -q '^CoreDumping:.1' "/proc/$VICTIM/status" || skip "this kernel does not tell that it writes a core"
    livecore -p "$VICTIM" -o core --timeout=1
    expect_status 2
    expect_stderr "^livecore: process $VICTIM \(victim_busy\) has crashed, and the kernel is writing its core" 'hint: '
    livecore -p "$VICTIM" -n
    expect_status 2
    # The handler reads on: not a byte is missing.
    echo >go
    wait "$VICTIM" 2>/dev/null || true
    wait_for 20 is_complete_core kernel || fail "$("$CORECHECK" kernel sane 2>&1)"
    [ "$("$CORECHECK" kernel threads | wc -l)" -eq 5 ]
}

is_complete_core() {
    "$CORECHECK" "$1" sane 2>/dev/null
}
