# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154
#
# What the suites of real programs share. To be loaded after helpers.bash.

# start_program COMMAND...: sets PROGRAM, its PID; its output goes to ./program.out.
start_program() {
    : >program.out
    "$@" >program.out 2>program.err 3>&- </dev/null &
    PROGRAM=$!
    OTHERS+=("$PROGRAM")
}

is_ready() {
    grep -q '^ready' program.out
}

program_ready() {
    wait_for 60 is_ready || fail "the program is not ready" "$(tail -5 program.out program.err)"
}

tids() {
    find "/proc/$1/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n
}

gdb_tids() {
    gdb -nx -batch --readnever -iex 'set debuginfod enabled off' -iex 'set auto-load no' -iex 'set width 0' \
        "$(readlink "/proc/$1/exe")" core -ex 'info threads' 2>/dev/null |
        sed -nE 's/^[* ] [0-9]+ .*\(LWP ([0-9]+)\).*/\1/p; s/^[* ] [0-9]+ +LWP ([0-9]+) .*/\1/p' | sort -n
}

# same_stacks PID: elfutils unwinds the core as the process.
same_stacks() {
    command -v eu-stack >/dev/null || return 0
    timeout 60 eu-stack -p "$1" >of-process 2>/dev/null || true
    timeout 60 eu-stack --core core >of-core 2>/dev/null || true
    [ "$(grep -c '^TID ' of-core)" -eq "$(tids "$1" | wc -l)" ] || fail "eu-stack shows $(grep -c '^TID ' of-core) threads"
    diff <(tail -n +2 of-process) <(tail -n +2 of-core) >stacks.diff || fail "the stacks differ" "$(head -40 stacks.diff)"
}

# It works on, and dies of nothing.
goes_on() {
    local before
    before=$(wc -l <program.out)
    wait_for 10 has_more "$before" || fail "the program does not go on" "$(tail -3 program.out program.err)"
}

has_more() {
    [ "$(wc -l <program.out)" -gt "$1" ]
}

# ---- each of them ------------------------------------------------------------------------------

redis_answers() {
    [ "$(redis-cli -s "$PWD/redis.sock" ping 2>/dev/null)" = PONG ]
}

start_redis() {
    need_tool redis-server redis-cli redis-benchmark
    start_program redis-server --port 0 --unixsocket "$PWD/redis.sock" --save '' --appendonly no --dir "$PWD"
    wait_for 20 redis_answers || fail "redis does not answer" "$(cat program.out program.err)"
}

java_is_ready() {
    is_ready || ! kill -0 "$PROGRAM" 2>/dev/null
    is_ready
}

postgres_answers() {
    "$1/pg_isready" -q -h "$2"
}
