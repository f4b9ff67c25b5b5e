# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154
# --minimal: every note of every thread and of the process, and no memory.

load helpers

@test "every note, no memory" {
    start_victim victim_regs 3
    dump "$VICTIM"
    check notes | awk '{ print $1, $2 }' | sort >whole
    dump "$VICTIM" --minimal --verify
    check notes | awk '{ print $1, $2 }' | sort >minimal
    cmp whole minimal
    [ -z "$(check segments | awk '$3 != "0x0"')" ] || fail "there is memory: $(check segments)"
    [ "$(stat -c %s core)" -lt $((300 * 1024)) ] || fail "$(stat -c %s core) bytes"
    check auxv "/proc/$VICTIM/auxv"
}

@test "the registers of every thread" {
    start_victim victim_regs 4
    remember "$VICTIM"
    livecore -p "$VICTIM" -o core --minimal
    expect_status 0
    assert_untouched "$VICTIM"
    # Those that spin; the checker looks at the stacks of the others.
    grep -v '^sleep' "$(victim_out)" >spinning
    check registers spinning 2>err || grep -qE '^corecheck: core: 4 threads checked of 12' err || fail "$(cat err)"
}

@test "what the process changed is in no file: nothing is covered that a file does not hold" {
    start_victim victim_mem
    dump "$VICTIM" --minimal
    check truth "$(victim_out)" '*=absent' file_private_clean=any file_shared=any file_private_modified=any \
        anon_read=any anon_untouched=any anon_partial=any anon_zeroed=any sparse=any none_untouched=any \
        anon_shared=any
    local start
    for start in $(awk '$1 == "fill" && $2 ~ /anon_partial|anon_zeroed|sparse|anon_shared/ { print $3 }' "$(victim_out)"); do
        [ "$(check where "$start" 4096 | awk '{ print $1 }')" = none ] || fail "$start is covered"
    done
    start=$(truth_of fill file_private_modified 3)
    [ "$(check where $((start + 4096)) 4096 | awk '{ print $1 }')" = none ]
}

@test "gdb shows every thread, its registers and the function of frame 0" {
    need_tool gdb
    start_victim victim_regs 3
    dump "$VICTIM" --minimal
    run --separate-stderr gdb -nx -batch -ex 'info threads' -ex 'thread apply all -q print $pc' \
        "$VICTIMS/victim_regs" core
    [ "$status" -eq 0 ]
    [ "$(grep -cE '^(\*| ) +[0-9]+ +(Thread|LWP)' <<<"$output")" -eq "$(check threads | wc -l)" ] || fail "$output"
    [ "$(grep -cE ' spin \(' <<<"$output")" -eq 3 ] || fail "$output"
    [ "$(grep -cE ' call \(' <<<"$output")" -ge 6 ] || fail "$output"
}

@test "a large process: no memory is read, the core is small" {
    need_tool strace
    start_victim victim_clock -m 256 -t 10
    remember "$VICTIM"
    run --separate-stderr env ASAN_OPTIONS=detect_leaks=0 strace -f -o trace -e trace=process_vm_readv "$LIVECORE" -p "$VICTIM" -o core --minimal
    expect_status 0
    assert_untouched "$VICTIM"
    [ "$(awk '/process_vm_readv/ { bytes += $NF } END { print bytes + 0 }' trace)" -lt 65536 ]
    [ "$(stat -c %s core)" -lt $((300 * 1024)) ]
    [ "$(check threads | wc -l)" -eq 12 ]
}

@test "more mappings than a core can count in 16 bits" {
    start_victim victim_many_maps 20000
    dump "$VICTIM" --minimal --verify
    [ "$(stat -c %s core)" -lt $((2 << 20)) ]
}
