# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# What the suites of --snapshot share. To be loaded after helpers.bash.

RULECHECK=$TESTS/compare/rulecheck

# Those to test; "plain" is a dump without --snapshot, which must hold the same rules.
: "${STRATEGIES:=precopy fork copy off}"

# of_strategies NAME: skips the test where it is not among them.
of_strategies() {
    [[ " $STRATEGIES " == *" $1 "* ]] || skip "not asked for"
    [ "$1" = plain ] || need_snapshot
}

need_snapshot() {
    "$LIVECORE" --help | grep -q -- '--snapshot' || skip "this livecore has no --snapshot"
}

# options_of STRATEGY: sets SNAPSHOT.
options_of() {
    SNAPSHOT=("--snapshot=$1")
    [ "$1" != plain ] || SNAPSHOT=()
}

# snapshot PID STRATEGY [ARG...]: a complete one to ./core, of that strategy. What the process was like before
# is the caller's to compare.
snapshot() {
    local pid=$1 strategy=$2
    shift 2
    options_of "$strategy"
    livecore -p "$pid" -o core --force --json "${SNAPSHOT[@]}" "$@"
    expect_status 0
    [ -z "$stderr" ] || fail "$strategy: unexpected: $stderr"
    is_strategy "$strategy"
}

# snapshot_of_stopped PID STRATEGY: what makes its threads work may not be to be had of threads that are
# stopped; then it is said, and --snapshot alone takes another.
snapshot_of_stopped() {
    options_of "$2"
    livecore -p "$1" -o core --force --json "${SNAPSHOT[@]}"
    if [ "$status" -eq 2 ] && [[ $2 = @(fork|precopy) ]]; then
        [[ $(json .error.text) == *stopped* ]] || fail "$2: $output"
        livecore -p "$1" -o core --force --json --snapshot
    fi
    expect_status 0
    [ -z "$stderr" ] || [[ $stderr == *' was not to be had: '* ]] || fail "$2: unexpected: $stderr"
}

# is_strategy STRATEGY: says the JSON of the dump.
is_strategy() {
    local taken
    taken=$(json .strategy)
    case $1 in
    plain) ;;
    off) [ "$taken" = off ] || fail "it took $taken, not $1" ;;
    auto)
        [ "$(json .snapshot.strategy)" = "$taken" ] || fail "$output"
        ;;
    *)
        [ "$taken" = "$1" ] && [ "$(json .snapshot.strategy)" = "$1" ] || fail "it took $taken, not $1" "$output"
        [ "$(json '.snapshot.passed_over | length')" = 0 ] || fail "$output"
        [ "$(json '.snapshot.n_freezes >= 1 and .snapshot.longest_freeze_ns > 0 and .frozen_ns > 0')" = true ] || fail "$output"
        ;;
    esac
}

# ---- nothing is left --------------------------------------------------------------------------

# children_of PID: of each of its threads.
children_of() {
    cat "/proc/$1/task"/*/children 2>/dev/null | tr ' ' '\n' | sed '/^$/d' | sort -n
}

# marks PID: what a snapshot could leave behind in a process that works: who traces it, threads that do not
# run, memory that is registered with a userfaultfd, descriptors, children.
marks() {
    local task
    for task in "/proc/$1/task"/*; do
        sed -nE 's/^(TracerPid|Seccomp|SigIgn|SigCgt):[[:space:]]*/\1 /p; s/^State:[[:space:]]*([TtZX]).*/state \1/p' "$task/status" 2>/dev/null
    done | sort -u
    grep -cE '^VmFlags:.* (uw|um|ui)( |$)' "/proc/$1/smaps"
    # what the churn of a victim has open at the moment is its own affair
    find "/proc/$1/fd" -mindepth 1 ! -lname '*memfd:churn*' -printf '%f %l\n' | sort -n
    children_of "$1"
}

# remember_marks PID; and when all is over: assert_nothing_left PID.
remember_marks() {
    marks "$1" >"$BATS_TEST_TMPDIR/before.marks.$1" || true
}

assert_nothing_left() {
    wait_for 5 has_same_marks "$1" ||
        fail "something is left" "$(diff -u "$BATS_TEST_TMPDIR/before.marks.$1" "$BATS_TEST_TMPDIR/after.marks.$1")"
}

has_same_marks() {
    marks "$1" >"$BATS_TEST_TMPDIR/after.marks.$1" || true
    cmp -s "$BATS_TEST_TMPDIR/before.marks.$1" "$BATS_TEST_TMPDIR/after.marks.$1"
}

# ---- victim_rule ------------------------------------------------------------------------------

# start_rule ARG...: with its marks remembered.
start_rule() {
    need_tool jq python3
    start_victim victim_rule "$@"
    remember_marks "$VICTIM"
}

# obeys: ./core is the process at one instant.
obeys() {
    "$RULECHECK" core brief >rule.out 2>&1 || fail "$1: the core is of no instant" "$(cat rule.out)"
    rm rule.out
}

# assert_rule_goes_on: its threads work on, and what each of them left in memory is there.
assert_rule_goes_on() {
    local before
    before=$(ask counts)
    [ "$(ask verify)" = verified ] || fail "$(tail -2 "$(victim_out)")"
    wait_for 20 counts_beyond "$before" || fail "not every thread goes on" "$before" "$(ask counts)"
    ! victim_says "$VICTIM" '^broken' || fail "its memory was changed" "$(grep ^broken "$(victim_out)")"
}

counts_beyond() {
    ask counts | paste -d ' ' <(printf '%s\n' "$1") - |
        awk '$1 == "count" && $6 <= $3 && $3 > 0 { bad = 1 } $1 != "count" && $4 <= $2 { bad = 1 } END { exit bad }'
}

# ---- victim_watchful --------------------------------------------------------------------------

start_watchful() {
    need_tool jq
    start_victim victim_watchful "$@"
    remember_marks "$VICTIM"
    remember "$VICTIM" loose
}

# assert_noticed_nothing [killed]: none of its threads has. Of a livecore that was killed nobody makes
# epoll_pwait(2) go on.
assert_noticed_nothing() {
    local answer
    answer=$(ask look) || fail "it is not alive" "$(tail -2 "$(victim_out)")"
    ! grep -E '^(returned|child [^n]|signals [^0])' <<<"$answer" || fail "it has noticed" "$answer"
    [ -n "${1:-}" ] || grep -qx 'interrupted 0' <<<"$answer" || fail "it has noticed" "$answer"
    [ "$(grep -c '^waiting ' <<<"$answer")" -eq 8 ] || fail "$answer"
    ! victim_says "$VICTIM" '^broken' || fail "$(grep ^broken "$(victim_out)")"
}

# assert_watchful_goes_on: and those that sleep can be woken, with the masks that they had.
assert_watchful_goes_on() {
    local before
    assert_noticed_nothing "$@"
    before=$(ask look | grep ^loops)
    wait_for 20 loops_beyond "$before" || fail "not every thread goes on" "$before" "$(ask look)"
    [ "$(ask wake | grep -c '^mask .* same$')" -eq 7 ] || fail "$(tail -12 "$(victim_out)")"
}

loops_beyond() {
    ask look | grep ^loops | paste -d ' ' <(printf '%s\n' "$1") - | awk '$6 <= $3 { bad = 1 } END { exit bad || NR != 4 }'
}
