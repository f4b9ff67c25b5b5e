# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2016,SC2030,SC2031,SC2034
# The command line, and what is refused before a process is touched.

load helpers

# start_sleep: a process that nothing should happen to; sets SLEEP.
start_sleep() {
    sleep 600 3>&- &
    SLEEP=$!
    OTHERS+=("$SLEEP")
    remember "$SLEEP"
}

# refused STATUS REGEX... -- ARG...: with that status and message, nothing on standard output,
# nothing written, the process as it was.
refused() {
    local want=$1 regexes=()
    shift
    while [ "$1" != -- ]; do
        regexes+=("$1")
        shift
    done
    shift
    livecore "$@"
    expect_status "$want"
    [ -z "$output" ] || fail "unexpected: $output"
    expect_stderr "${regexes[@]}"
    [ -z "${SLEEP:-}" ] || assert_untouched "$SLEEP"
}

# The names that the filter knows, from its own error.
kinds_of_mappings() {
    { "$LIVECORE" 1 -f nonsense 2>&1 || true; } | sed -n 's/.*known are \(.*\), or.*/\1/p' | tr -d ','
}

@test "no process is a usage error" {
    refused 64 'which process' 'livecore --help' --
    refused 64 'which process' -- --minimal
}

@test "what is no process ID is a usage error that says why" {
    refused 64 "'abc'.*not a number" -- abc
    refused 64 "'12x'.*not a number" -- -p 12x
    refused 64 "''.*not a number" -- -p ''
    refused 64 "'-5'.*negative" -- -p -5
    refused 64 "'-5'.*negative" -- -- -5
    refused 64 '0 is out of range.*1 to 4194304' -- 0
    refused 64 '4194305 is out of range' -- 4194305
    refused 64 '99999999999999999999 is out of range' -- 99999999999999999999
}

@test "a wrong ID among right ones is found before any of them is touched" {
    start_sleep
    refused 64 'not a number' -- "$SLEEP" x
    assert_files
}

@test "unknown options and missing values are usage errors" {
    refused 64 "unrecognized option '--nonsense'" -- 1 --nonsense
    refused 64 "invalid option -- 'z'" -- 1 -z
    refused 64 'requires an argument' -- 1 --timeout
    refused 64 'requires an argument' -- 1 --buffer
}

@test "options that contradict each other are usage errors that name both" {
    refused 64 -- 1 --all --minimal
    expect_stderr '--minimal and --all exclude each other'
    refused 64 '--all and --filter' -- 1 -a -f 0x1
    refused 64 '--minimal and --filter' -- 1 --minimal -f +anon-private
    refused 64 '--quiet and --verbose' -- 1 -q -v
    refused 64 '--quiet and --progress=always' -- 1 -q --progress=always
    refused 64 '--quiet and --dry-run' -- 1 -q -n
    refused 64 '--verify and --dry-run' -- 1 --verify -n
    refused 64 '--fsync and --dry-run' -- 1 --fsync -n
}

@test "values that make no sense are usage errors" {
    refused 64 "time-out '0' is out of range" -- 1 --timeout=0
    refused 64 "time-out '1e9' is not a number" -- 1 --timeout=1e9
    refused 64 "time-out '-1' is not a number" -- 1 --timeout=-1
    refused 64 "time-out '90000' is out of range" -- 1 --timeout=90000
    refused 64 'auto, always or never' -- 1 --progress=sometimes
    refused 64 "'nonsense' is no kind of mapping" 'anon-private.*dax-shared' -- 1 -f nonsense
    refused 64 'empty' -- 1 -o ''
}

@test "modes and bounds of snapshots that make no sense are usage errors" {
    start_sleep
    refused 64 'auto, precopy, fork, copy or off' "not 'always'" -- "$SLEEP" --snapshot=always
    refused 64 "'fork' is not a process ID" -- "$SLEEP" --snapshot fork
    refused 64 '0 passes are out of range.*1 to 1000' -- "$SLEEP" --snapshot --passes=0
    refused 64 "'all' is not a number of passes" -- "$SLEEP" --snapshot --passes=all
    refused 64 "time of precopy '0' is out of range" -- "$SLEEP" --snapshot --precopy-time=0
    refused 64 "'512MiB' is not a size.*as 512M" -- "$SLEEP" --snapshot --buffer=512MiB
    refused 64 "'0x10' is not a size" -- "$SLEEP" --snapshot --buffer=0x10
    refused 64 "'-1' is not a size" -- "$SLEEP" --snapshot --buffer=-1
    refused 64 "size '0' is out of range" -- "$SLEEP" --snapshot --buffer=0
    refused 64 "size '16777217T' is out of range.*below 8388608T" -- "$SLEEP" --snapshot --buffer=16777217T
    assert_files
}

@test "bounds of a snapshot without a snapshot are usage errors" {
    start_sleep
    local option
    for option in --passes=3 --precopy-time=1 --buffer=1G; do
        livecore "$SLEEP" "$option"
        expect_status 64
        expect_stderr "^livecore: ${option%=*} goes with --snapshot\$"
    done
    assert_untouched "$SLEEP"
    assert_files
    # What a script sets for all of its modes.
    for option in '' =auto =precopy =fork =copy =off; do
        livecore "$SLEEP" -n "--snapshot$option" --passes=3 --precopy-time=1 --buffer=1G
        expect_status 0
    done
}

@test "an unknown template is found before the process is touched" {
    start_sleep
    refused 64 "unknown '%s'.*%p %P %e %E %t %h %u %g %i %I %%" -- "$SLEEP" -o 'x.%s'
    refused 64 "ends in '%'" -- "$SLEEP" -o 'x%'
    assert_files
}

@test "every kind of mapping that the filter knows is in --help" {
    local name names
    names=$(kinds_of_mappings)
    [ "$(wc -w <<<"$names")" -eq 9 ]
    for name in $names; do
        "$LIVECORE" --help | grep -q -- "$name" || fail "$name is not in --help"
    done
}

@test "--help, --usage and --version go to standard output" {
    local option
    for option in --help '-?' --usage --version -V; do
        livecore "$option"
        expect_status 0
        [ -n "$output" ] || fail "$option prints nothing"
        [ -z "$stderr" ] || fail "$option: $stderr"
    done
    expect_output '^livecore [0-9]+\.[0-9]+'
    livecore --help
    expect_output 'Exit status: 0 .*1 .*'
    expect_output '2 nothing was written; 64 wrong usage'
}

@test "escape sequences of the command line do not reach the terminal" {
    refused 64 "'.033\[31mx'" -- $'\e[31mx'
    refused 64 "unknown '%.033'" -- 1 -o $'%\e'
    refused 64 "'.033c' is no kind" -- 1 -f $'\ec'
    refused 64 "not '.033c'" -- 1 --snapshot=$'\ec'
    refused 64 "'.033c' is not a size" -- 1 --snapshot --buffer=$'\ec'
}

@test "an existing output is refused before the process is touched" {
    start_sleep
    echo precious >file
    refused 2 'cannot write file: it exists already' 'hint: --force' -- "$SLEEP" -o file
    [ "$(cat file)" = precious ]
    assert_files file
}

@test "outputs that cannot be: each with its cause" {
    start_sleep
    mkdir dir
    ln -s nowhere link
    : >file
    refused 2 'cannot write dir: it is a directory' 'hint' -- "$SLEEP" -o dir
    refused 2 'cannot write no/x: there is no such directory' 'hint' -- "$SLEEP" -o no/x
    refused 2 'cannot write file/x: a part of its path is not a directory' 'hint' -- "$SLEEP" -o file/x
    refused 2 'cannot write link: it is a symbolic link' 'hint' -- "$SLEEP" -o link
    refused 2 'its name is too long' 'hint' -- "$SLEEP" -o "$(printf 'x%.0s' {1..300})"
    refused 2 'its name is too long' 'hint' -- "$SLEEP" -o "$(printf 'x%.0s' {1..5000})"
    assert_files dir file link
}

@test "a directory that is not writable" {
    need_root
    need_tool setpriv
    publish
    mkdir shut
    chmod 0755 shut
    RUN_PREFIX=("${AS_USER[@]}")
    "${AS_USER[@]}" sleep 600 3>&- &
    OTHERS+=($!)
    wait_for 5 test "$(readlink /proc/$!/exe)" = "$(readlink -f "$(command -v sleep)")" || true
    sleep 0.1
    refused 2 'cannot write shut/x: its directory is not writable' 'hint' -- $! -o shut/x
}

@test "descriptors: only what is open for writing" {
    start_sleep
    refused 2 'descriptor 7 is not open for writing' 'hint: .*7>' -- "$SLEEP" -o /dev/fd/7
    refused 64 'standard input is no output' -- "$SLEEP" -o /dev/stdin
    refused 64 'cannot go to standard error' -- "$SLEEP" -o /dev/stderr
    refused 64 'a file each' -- "$SLEEP" 1 -o -
    refused 64 '--fsync needs a file' -- "$SLEEP" -o - --fsync
}

@test "a closed standard output is not taken for an output" {
    start_sleep
    run bash -c '"$1" -o - "$2" >&- 2>err' _ "$LIVECORE" "$SLEEP"
    expect_status 2
    grep -q 'standard output is not open for writing' err
    assert_untouched "$SLEEP"
}

@test "a core and messages into the same pipe are refused" {
    start_sleep
    run bash -c '"$1" -o - "$2" 2>&1 | cat; exit "${PIPESTATUS[0]}"' _ "$LIVECORE" "$SLEEP"
    expect_status 64
    expect_output 'standard output and standard error are the same'
    assert_untouched "$SLEEP"
}

@test "a terminal is refused as an output" {
    need_tool script
    start_sleep
    run script -qec "'$LIVECORE' -o - $SLEEP" /dev/null
    expect_status 64
    expect_output 'standard output is a terminal'
    run script -qec "'$LIVECORE' -o /dev/tty $SLEEP" /dev/null
    expect_status 64
    expect_output '/dev/tty is a terminal'
    assert_untouched "$SLEEP"
}

@test "a pipe cannot be verified" {
    start_sleep
    run bash -c '"$1" --verify -o - "$2" 2>err | cat; exit "${PIPESTATUS[0]}"' _ "$LIVECORE" "$SLEEP"
    expect_status 64
    [ -z "$output" ]
    grep -q 'cannot be verified' err
    assert_untouched "$SLEEP"
}

@test "gcore: wrong usage" {
    ln -s "$LIVECORE" gcore
    LIVECORE=./gcore
    livecore
    expect_status 2
    expect_output '^usage:  gcore '
    livecore -x 1
    expect_status 2
    expect_output '^usage:  gcore '
    livecore --snapshot 1
    expect_status 2
    expect_output '^usage:  gcore '
    livecore --help
    expect_status 0
    expect_output '^usage:  gcore '
    livecore --version
    expect_status 0
    livecore abc
    expect_status 1
    expect_stderr "gcore: 'abc'.*not a number"
}

@test "gcore: a process that does not exist" {
    ln -s "$LIVECORE" gcore
    LIVECORE=./gcore
    livecore -o pre%x 4194304
    expect_status 1
    expect_output '^gcore: failed to create pre%x.4194304$'
    expect_stderr '^gcore: there is no process 4194304$'
    assert_files gcore
}

@test "--json tells of a failure, too" {
    need_tool python3
    "$LIVECORE" --help >/dev/null
    livecore --json 4194304
    [ "$status" -ne 64 ] || skip "built without json-c"
    expect_status 2
    python3 -c '
import json, sys
line = json.loads(sys.argv[1])
assert line["pid"] == 4194304 and line["status"] == 2 and line["comm"] is None, line
assert line["error"]["code"] == "ESRCH" and line["error"]["stage"] == "target", line
assert "bytes" not in line and line["losses"] == [], line
' "$output"
}

@test "a report that cannot be written is said and shows in the status" {
    start_sleep
    run bash -c '"$1" -n "$2" >/dev/full 2>err' _ "$LIVECORE" "$SLEEP"
    expect_status 2
    grep -q 'cannot write the report to standard output: No space left' err
    assert_untouched "$SLEEP"
}
