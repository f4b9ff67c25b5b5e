# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154
# Memory that the frozen process itself would have to fetch: userfaultfd ranges with their handler, and
# files of a FUSE file system with its server, both in the process. Nobody waits for it.

load helpers

# A request that waits for a server which is gone must not outlive the test.
teardown() {
    local pid number
    for pid in "${!VICTIM_DIR[@]}"; do
        number=$(awk '$1 == "connection" { print $2 }' "$(victim_out "$pid")")
        [ -z "$number" ] || abort_connection "$number"
        stop_victim "$pid"
    done
}

abort_connection() {
    local dir=$BATS_TEST_TMPDIR/fusectl
    mkdir -p "$dir"
    mount -t fusectl none "$dir" 2>/dev/null || return 0
    [ ! -e "$dir/$1" ] || echo 1 >"$dir/$1/abort"
    umount "$dir"
    rmdir "$dir"
}

# dump_served PID [ARG...]: in time, with losses, and the process is as it was. What waits for the
# process would take 2 s for each read that is given up, or for ever.
dump_served() {
    local pid=$1
    shift
    remember "$pid"
    livecore -p "$pid" -o core --force --json "$@"
    expect_status 1
    assert_untouched "$pid"
    check sane
    [ "$(json '.frozen_ns')" -lt 1500000000 ] || fail "frozen for $(json '.frozen_ns') ns"
}

# all_of STATE: "NAME=HOW" for each "STATE/..." of the victim.
all_of() {
    awk -v state="$1/" -v how="$2" '$1 == "fill" && index($2, state) == 1 && !seen[$2]++ { print $2 "=" how }' "$(victim_out)"
}

start_uffd() {
    need_root
    start_victim "$@"
    ! victim_says "$VICTIM" '^skip all' || skip "$(truth skip 3-)"
}

# lost_pages: of memory, in all losses.
lost_pages() {
    local start end sum=0
    while read -r start end; do
        sum=$((sum + (end - start) / 4096))
    done < <(json '.losses[] | select(.kind == "memory") | "\(.start) \(.end)"')
    echo "$sum"
}

@test "userfaultfd: what is there is right, what the frozen handler would give is lost" {
    need_tool jq
    start_uffd victim_uffd
    local options expected pages=$((27 * 4))
    for options in --filter=0x33 --all; do
        dump_served "$VICTIM" "$options"
        # Behind minor faults the page is in the file.
        mapfile -t expected < <(all_of present full; all_of absent absent; all_of poisoned absent)
        check truth "$(victim_out)" "${expected[@]}" absent/minor=full
    done
    victim_says "$VICTIM" '^skip poisoned' || pages=$((pages + 2))
    [ "$(lost_pages)" = "$pages" ]
    # The handler is at work: it gives what was not there.
    [ "$(ask touch | grep -c '^right')" = 5 ]
}

@test "userfaultfd in a 32-bit process" {
    need_tool jq
    need_victim32
    start_uffd victim_uffd32
    local expected
    dump_served "$VICTIM"
    mapfile -t expected < <(all_of present full; all_of absent absent)
    check truth "$(victim_out)" "${expected[@]}" absent/minor=full
    [ "$(ask touch | grep -c '^right')" = 5 ]
}

@test "userfaultfd, without the right to open its shared memory" {
    need_tool jq setpriv
    start_uffd victim_uffd
    local expected
    remember "$VICTIM"
    # As root without CAP_SYS_ADMIN and CAP_CHECKPOINT_RESTORE: map_files is shut.
    RUN_PREFIX=(setpriv "--bounding-set=-sys_admin,-checkpoint_restore" "--inh-caps=-sys_admin,-checkpoint_restore")
    livecore -p "$VICTIM" -o core --force
    RUN_PREFIX=()
    expect_status 1
    assert_untouched "$VICTIM"
    mapfile -t expected < <(all_of present full; all_of absent absent; all_of poisoned absent)
    check truth "$(victim_out)" "${expected[@]}"
}

start_fuse() {
    need_root
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    start_victim victim_fuse "$@"
}

@test "FUSE: the file system that the frozen process serves is not asked" {
    need_tool jq
    start_fuse
    local expected before
    dump_served "$VICTIM" --all
    mapfile -t expected < <(all_of present full; all_of absent absent)
    check truth "$(victim_out)" "${expected[@]}"
    [ "$(lost_pages)" = $((5 * 56 + 64)) ]
    # Of text and shared files the filter leaves the contents to the file.
    dump_served "$VICTIM" --filter=0x33
    mapfile -t expected < <(all_of absent any)
    check truth "$(victim_out)" "${expected[@]}" present/private=full present/deleted=any \
        present/shared=any present/cached=any present/text=any
    local start
    for name in shared text; do
        start=$(truth_of map fuse_$name 3)
        [ "$(check where $((start + 4096)) 0x3f000 | awk '{ print $1 }')" = memsz ]
    done
    # Not a single request came of all that, and the server is at work.
    before=$(ask requests)
    dump_served "$VICTIM" --all
    [ "$(ask requests)" = "$before" ] || fail "$before, then $(ask requests)"
    [ "$(ask touch | grep -c '^right')" = 6 ]
}

@test "FUSE: a server that never answers is not waited for, before the freeze either" {
    need_tool jq
    start_fuse hung
    local expected
    dump_served "$VICTIM" --all
    mapfile -t expected < <(all_of present full; all_of absent absent)
    check truth "$(victim_out)" "${expected[@]}"
    livecore -n "$VICTIM"
    expect_status 0
}

@test "FUSE: a file system that is mounted nowhere any more" {
    need_tool jq
    start_fuse detached
    local expected
    dump_served "$VICTIM" --all
    mapfile -t expected < <(all_of present full; all_of absent absent)
    check truth "$(victim_out)" "${expected[@]}"
    [ "$(ask touch | grep -c '^right')" = 6 ]
}
