# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034
# livecore's core against gdb's gcore of the same stopped process: threads, registers, auxiliary vector,
# and every byte that gdb has.
#
# Differences that are allowed, each with its reason, here or in compare/gdbdiff:
# - gdb groups the notes otherwise, and its NT_X86_XSTATE has a layout of its own: the x87 and SSE
#   registers are compared.
# - gdb gives every thread the signal mask of the process, and no parent, group or session.
# - gdb knows the program and not its arguments.
# - gdb writes whole what the process never touched or left as in its file; here that has no contents
#   and reads the same.
# - Deleted files that are mapped privately are anonymous to gdb. To the kernel, and so here, they are
#   files, and need file-private in the filter.
# - Mappings with changed pages that the filter leaves out are in gdb's NT_FILE, and readers take the
#   file's bytes for the process's.
# - Shared huge pages are left out by the default filter.
# - The ring of io_setup() is a deleted file to gdb, and to the kernel a file that is still linked.

load helpers

setup() {
    local script
    need_tool gdb gcore
    script=$(head -c 200 "$(command -v gcore)" | tr -d '\0')
    [[ $script == '#!'* ]] || skip "gcore in PATH is not gdb's script"
    cd "$BATS_TEST_TMPDIR" || return 1
}

# compare_with_gdb [OMITTED...]: the victim is stopped and dumped by both.
compare_with_gdb() {
    stop_process "$VICTIM"
    cp "/proc/$VICTIM/maps" maps
    dump "$VICTIM" --verify
    gdb_gcore
    run --separate-stderr "$TESTS/compare/gdbdiff" core "gdb.$VICTIM" maps "$@"
    expect_status 0
    expect_output '^compared [0-9]{4,} bytes of memory, [0-9]+ threads$'
}

gdb_gcore() {
    timeout -s KILL 60 gcore -o gdb "$VICTIM" >gdb.out 2>&1 || fail "gcore failed" "$(cat gdb.out)"
    [ -s "gdb.$VICTIM" ] || fail "$(cat gdb.out)"
}

@test "gcore: threads, registers and memory of threads that spin and that sleep" {
    start_victim victim_regs 4
    compare_with_gdb
    [ "$(check threads | sort)" = "$("$CORECHECK" "gdb.$VICTIM" threads | sort)" ]
    check registers "$(victim_out)"
}

@test "gcore: memory of each kind" {
    start_victim victim_mem
    compare_with_gdb deleted_private memfd:victim anon_hugepage
    # gdb took as much: nothing of what it has is only in its core.
    "$CORECHECK" "gdb.$VICTIM" truth "$(victim_out)" heap=full data=full bss=full anon_dirty=full
    check truth "$(victim_out)" heap=full data=full bss=full anon_dirty=full
}

@test "gcore: AUXV is the same to the byte, and /proc's" {
    start_victim victim_busy 2
    compare_with_gdb
    cp "/proc/$VICTIM/auxv" auxv
    check auxv auxv
    "$CORECHECK" "gdb.$VICTIM" auxv auxv
}

@test "gcore: many threads" {
    start_victim victim_many_threads 40
    compare_with_gdb
    [ "$(check threads | wc -l)" -eq 40 ]
}

@test "gcore: many mappings" {
    start_victim victim_many_maps 500
    compare_with_gdb
    check maps "$(victim_out)"
    "$CORECHECK" "gdb.$VICTIM" maps "$(victim_out)"
}

@test "gcore: a process in every system call that sleeps" {
    start_victim victim_syscalls
    compare_with_gdb '[aio]'
    # What no file holds and is left out is not covered.
    local ring
    ring=$(awk '/\[aio\]/ { print "0x" $1 }' maps | cut -d - -f 1)
    [ -z "$ring" ] || [ "$(check where "$ring" 4096 | cut -d ' ' -f 1)" = none ] || fail "the ring is covered"
}

@test "gcore: a filter that leaves anonymous memory out" {
    start_victim victim_mem
    echo 0x12 >"/proc/$VICTIM/coredump_filter"
    compare_with_gdb victim_mem libc.so ld-linux deleted_private memfd:victim file_private anon_hugepage
    check truth "$(victim_out)" anon_dirty=absent heap=absent anon_shared=full
    "$CORECHECK" "gdb.$VICTIM" truth "$(victim_out)" anon_shared=full
}

@test "gcore: the core is smaller than gdb's" {
    start_victim victim_mem
    stop_process "$VICTIM"
    dump "$VICTIM"
    gdb_gcore
    # A gigabyte that was hardly touched: gdb writes it whole.
    local ours theirs
    ours=$(stat -c %s core)
    theirs=$(stat -c %s "gdb.$VICTIM")
    [ "$theirs" -gt $((1 << 30)) ] || skip "this gdb leaves out what was never touched"
    [ "$ours" -lt $((theirs / 50)) ] || fail "$ours bytes, gdb's core has $theirs"
}

@test "gcore: 32 bits" {
    need_victim32
    start_victim victim_regs32 3
    compare_with_gdb
}
