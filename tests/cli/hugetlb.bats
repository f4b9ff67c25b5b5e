# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034
# Huge pages: of a pool, private, shared, of a file, half of them touched; transparent ones.

load helpers

# As many as the victim touches, one more for each hole that a mistake would fill.
setup_file() {
    HUGE=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
    if [ -w "$HUGE" ]; then
        HUGE_BEFORE=$(cat "$HUGE")
        echo $((HUGE_BEFORE + 16)) >"$HUGE" || true
        export HUGE HUGE_BEFORE
    fi
}

teardown_file() {
    [ -z "${HUGE_BEFORE:-}" ] || echo "$HUGE_BEFORE" >"$HUGE"
}

start_huge() {
    need_root
    [ -x "$VICTIMS/victim_hard" ] || skip "for 64-bit machines"
    [ "$(cat "${HUGE:-/dev/null}")" -ge 16 ] 2>/dev/null || skip "16 huge pages cannot be had"
    start_victim victim_hard huge
    ! victim_says "$VICTIM" '^skip' || skip "$(awk '/^skip/ { $1 = ""; print; exit }' "$(victim_out)")"
    wait_for 10 has_state "$VICTIM" S
}

# What the process has of them, and what is left in the pool.
huge_pages() {
    grep -E '^(Rss|AnonHugePages|Shared_Hugetlb|Private_Hugetlb):' "/proc/$VICTIM/smaps_rollup"
    cat /sys/kernel/mm/hugepages/hugepages-2048kB/{free,resv,surplus}_hugepages
}

@test "huge pages: each is right, no hole is filled, none is split" {
    start_huge
    local options before
    before=$(huge_pages)
    for options in --filter=0x7f --all; do
        dump "$VICTIM" "$options"
        check truth "$(victim_out)" present/*=full hole/*=full behind/*=full
        [ "$before" = "$(huge_pages)" ] || fail "$(diff <(echo "$before") <(huge_pages))"
    done
    dump "$VICTIM" --filter=0x33
    check truth "$(victim_out)" present/*=full behind/huge_file_private=full hole/huge_private=full \
        present/huge_shared=absent present/huge_file_shared=absent behind/huge_file_shared=absent
    [ "$before" = "$(huge_pages)" ] || fail "$(diff <(echo "$before") <(huge_pages))"
}

@test "huge pages of files that may not be opened: a loss, never a zero" {
    need_tool setpriv
    start_huge
    local before
    before=$(huge_pages)
    remember "$VICTIM"
    RUN_PREFIX=(setpriv "--bounding-set=-sys_admin,-checkpoint_restore" "--inh-caps=-sys_admin,-checkpoint_restore")
    livecore -p "$VICTIM" -o core --force --all
    RUN_PREFIX=()
    expect_status 1
    assert_untouched "$VICTIM"
    check sane
    check truth "$(victim_out)" present/*=full behind/*=absent
    [ "$before" = "$(huge_pages)" ] || fail "$(diff <(echo "$before") <(huge_pages))"
}
