# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2030,SC2031,SC2034
# Under the name gcore: what the programs that call gdb's script rely on.

load helpers

setup_file() {
    mkdir "$BATS_FILE_TMPDIR/bin"
    ln -s "$(realpath "$LIVECORE")" "$BATS_FILE_TMPDIR/bin/gcore"
}

# gcore ARG...: as found in PATH. Sets status, output and stderr.
gcore() {
    PATH=$BATS_FILE_TMPDIR/bin:$PATH run --separate-stderr timeout -s KILL 120 "${RUN_PREFIX[@]}" gcore "$@"
}

expect_saved() {
    expect_status 0
    [ "$output" = "Saved corefile $1" ] || fail "standard output: $output"
    [ -z "$stderr" ] || fail "standard error: $stderr"
}

expect_usage() {
    expect_status 2
    [[ $output == "usage:  gcore "*"[-a] [-o prefix]"*"pid1 [pid2...pidN]" ]] || fail "standard output: $output"
    assert_files
}

@test "core.PID by default, in the working directory" {
    start_victim victim_mem
    remember "$VICTIM"
    gcore "$VICTIM"
    expect_saved "core.$VICTIM"
    assert_untouched "$VICTIM"
    assert_files "core.$VICTIM"
    [ "$(stat -c %a "core.$VICTIM")" = 600 ]
    mv "core.$VICTIM" core
    check sane
    check truth "$(victim_out)" heap=full data=full bss=full tls=full stack=full anon_dirty=full \
        anon_partial=full sparse=full dontdump=absent
}

@test "-o PREFIX: a path, and no template" {
    start_victim victim_busy 2
    mkdir dir
    remember "$VICTIM"
    gcore -o "dir/%p of %e" "$VICTIM"
    expect_saved "dir/%p of %e.$VICTIM"
    assert_untouched "$VICTIM"
    [ "$(ls dir)" = "%p of %e.$VICTIM" ]
    "$CORECHECK" "dir/%p of %e.$VICTIM" sane
    [ "$("$CORECHECK" "dir/%p of %e.$VICTIM" threads | wc -l)" -eq 3 ]
    gcore -o"$PWD/glued" "$VICTIM"
    expect_saved "$PWD/glued.$VICTIM"
    gcore -o "$PWD/first" -o last -- "$VICTIM"
    expect_saved "last.$VICTIM"
    assert_files dir "glued.$VICTIM" "last.$VICTIM"
}

@test "a prefix of '-' is a file" {
    start_victim victim_busy 1
    gcore -o - "$VICTIM"
    expect_saved "-.$VICTIM"
    "$CORECHECK" "./-.$VICTIM" sane
}

@test "-a takes what MADV_DONTDUMP and the filter leave out" {
    start_victim victim_mem
    echo 0x33 >"/proc/$VICTIM/coredump_filter"
    remember "$VICTIM"
    gcore -o plain "$VICTIM"
    expect_saved "plain.$VICTIM"
    gcore -a -o all "$VICTIM"
    expect_saved "all.$VICTIM"
    gcore -ao cluster "$VICTIM"
    expect_saved "cluster.$VICTIM"
    assert_untouched "$VICTIM"
    "$CORECHECK" "plain.$VICTIM" truth "$(victim_out)" dontdump=absent file_private_clean=left
    "$CORECHECK" "all.$VICTIM" truth "$(victim_out)" dontdump=full file_private_clean=full file_shared=full '*=full'
    "$CORECHECK" "cluster.$VICTIM" truth "$(victim_out)" dontdump=full
}

@test "the process's own filter counts" {
    start_victim victim_mem
    echo 0x32 >"/proc/$VICTIM/coredump_filter"
    gcore -o core "$VICTIM"
    expect_saved "core.$VICTIM"
    "$CORECHECK" "core.$VICTIM" truth "$(victim_out)" anon_dirty=absent heap=absent anon_shared=full
}

@test "-d and -g are taken and not needed" {
    start_victim victim_busy 1
    gcore -d /nonexistent/data -g /nonexistent/gdb -o named "$VICTIM"
    expect_saved "named.$VICTIM"
    "$CORECHECK" "named.$VICTIM" sane
}

@test "no gdb in PATH is no failure" {
    start_victim victim_busy 1
    run env PATH=/nonexistent "$BATS_FILE_TMPDIR/bin/gcore" "$VICTIM"
    expect_status 0
    [ "$output" = "Saved corefile core.$VICTIM" ]
}

@test "what is there is replaced, a link instead of what it points to" {
    start_victim victim_busy 1
    echo old >"core.$VICTIM"
    gcore "$VICTIM"
    expect_saved "core.$VICTIM"
    "$CORECHECK" "core.$VICTIM" sane
    echo precious >target
    ln -s target "link.$VICTIM"
    gcore -o link "$VICTIM"
    expect_saved "link.$VICTIM"
    [ ! -L "link.$VICTIM" ]
    [ "$(cat target)" = precious ]
    "$CORECHECK" "link.$VICTIM" sane
}

@test "what is there survives a dump that fails" {
    start_victim victim_busy 1
    echo precious >core.4194304
    gcore 4194304
    expect_status 1
    [ "$(cat core.4194304)" = precious ]
    # An output that cannot be: the process is never touched.
    mkdir "core.$VICTIM"
    remember "$VICTIM"
    gcore "$VICTIM"
    expect_status 1
    expect_stderr "^gcore: .*core\\.$VICTIM"
    expect_output "^gcore: failed to create core\\.$VICTIM\$"
    assert_untouched "$VICTIM"
    gcore -o no/such/dir "$VICTIM"
    expect_status 1
    expect_output "^gcore: failed to create no/such/dir\\.$VICTIM\$"
    assert_files "core.$VICTIM" core.4194304
}

@test "several processes, each under its own PID" {
    start_victim victim_busy 1
    local first=$VICTIM
    start_victim victim_busy 3
    remember "$first"
    remember "$VICTIM"
    gcore -o two "$first" "$VICTIM"
    expect_status 0
    [ "$output" = "Saved corefile two.$first"$'\n'"Saved corefile two.$VICTIM" ] || fail "$output"
    assert_untouched "$first"
    assert_untouched "$VICTIM"
    assert_files "two.$first" "two.$VICTIM"
    [ "$("$CORECHECK" "two.$first" threads | wc -l)" -eq 2 ]
    [ "$("$CORECHECK" "two.$VICTIM" threads | wc -l)" -eq 4 ]
}

@test "one of several that is not there: status 1, the line of gdb's script" {
    start_victim victim_busy 1
    gcore 4194304 "$VICTIM"
    expect_status 1
    expect_stderr '^gcore: .*4194304'
    expect_output '^gcore: failed to create core\.4194304$'
    assert_files "core.$VICTIM"
    gcore "$VICTIM" 4194304
    expect_status 1
    assert_files "core.$VICTIM"
}

@test "wrong usage: the usage line on standard output, status 2" {
    gcore
    expect_usage
    gcore -x 1
    expect_usage
    gcore --verify 1
    expect_usage
    gcore -o
    expect_usage
    gcore -a
    expect_usage
}

@test "no PID at all: status 1" {
    gcore nonsense
    expect_status 1
    expect_stderr '^gcore: .*nonsense'
    gcore 0
    expect_status 1
    # Options after the PID are PIDs to the script.
    start_victim victim_busy 1
    gcore "$VICTIM" -o late
    expect_status 1
    [ ! -e "late.$VICTIM" ]
}

@test "-h and -v, as a version check expects" {
    gcore -h
    expect_status 0
    [[ $output == "usage:  gcore "* ]]
    gcore --help
    expect_status 0
    gcore -v
    expect_status 0
    [[ $output == *gcore* ]]
    gcore --version
    expect_status 0
}

@test "losses are warnings; the core counts as saved" {
    need_root
    need_tool setpriv
    publish
    VICTIM_PREFIX=("${AS_USER[@]}")
    mkdir own
    chmod 0777 own
    start_victim victim_mem
    remember "$VICTIM"
    mkdir "$VICTIMS/bin"
    ln -s ../livecore "$VICTIMS/bin/gcore"
    run --separate-stderr "${AS_USER[@]}" "$VICTIMS/bin/gcore" -o own/core "$VICTIM"
    expect_status 0
    [ "$output" = "Saved corefile own/core.$VICTIM" ]
    expect_stderr '^gcore: warning: '
    [[ $stderr != *"gcore: loss"* ]]
    assert_untouched "$VICTIM"
    "$CORECHECK" "own/core.$VICTIM" sane
}

@test "a caller without standard streams" {
    start_victim victim_busy 1
    (PATH=$BATS_FILE_TMPDIR/bin:$PATH && exec gcore -o quiet "$VICTIM" <&- >&- 2>&-)
    "$CORECHECK" "quiet.$VICTIM" sane
    (PATH=$BATS_FILE_TMPDIR/bin:$PATH && exec gcore -o null "$VICTIM" </dev/null >/dev/null 2>&1)
    "$CORECHECK" "null.$VICTIM" sane
}

@test "a Python program that calls it, and reads what it says" {
    need_tool python3
    start_victim victim_busy 2
    PATH=$BATS_FILE_TMPDIR/bin:$PATH run --separate-stderr python3 - "$VICTIM" <<'PYTHON'
import os, subprocess, sys
pid = sys.argv[1]
out = subprocess.run(["gcore", "-o", os.path.abspath("called"), pid], stdin=subprocess.DEVNULL,
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
names = [line.split(None, 2)[2] for line in out.splitlines() if line.startswith("Saved corefile ")]
assert names == [os.path.abspath("called.") + pid], out
assert os.path.getsize(names[0]) > 4096
assert subprocess.run(["gcore", "4194304"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 1
PYTHON
    expect_status 0
    "$CORECHECK" "called.$VICTIM" sane
}

@test "a signal lets the process go, and leaves nothing" {
    start_victim victim_mem
    remember "$VICTIM"
    # Before it begins, in the middle, or when it has just finished.
    local n
    for n in 1 2 3 4 5; do
        PATH=$BATS_FILE_TMPDIR/bin:$PATH env --default-signal=INT gcore -o sig "$VICTIM" >out 2>err 3>&- &
        sleep "0.00$n"
        kill -INT $! || true
        status=0
        wait $! || status=$?
        [ "$status" -eq 130 ] || [ "$status" -eq 0 ] || fail "status $status" "$(cat err)"
        if [ "$status" -eq 0 ]; then
            "$CORECHECK" "sig.$VICTIM" sane
        else
            [ ! -e "sig.$VICTIM" ] || fail "interrupted, and there is a core"
        fi
        rm -f "sig.$VICTIM"
    done
    assert_untouched "$VICTIM"
    assert_files out err
}

@test "the installed link runs, where it shadows nothing" {
    need_tool meson
    local build root=$BATS_TEST_TMPDIR/public
    build=$(dirname "$(realpath "$LIVECORE")")
    [ -e "$build/build.ninja" ] || skip "no build directory around $LIVECORE"
    DESTDIR=$root meson install -C "$build" --no-rebuild --quiet >meson.log 2>&1 || fail "$(cat meson.log)"
    local link target
    link=$(find "$root" -path '*/livecore/gcore')
    [ -L "$link" ] || fail "no link" "$(find "$root")"
    [[ $link == */libexec/livecore/gcore ]] || fail "$link"
    [ -z "$(find "$root" -path '*/bin/gcore')" ]
    target=$(readlink "$link")
    [ "$target" = "${link#"$root"}" ] && fail "a link to itself"
    [ -x "$root$target" ] || fail "$target is not installed"
    # In its place, the link would find its program.
    ln -sf "$root$target" "$link"
    start_victim victim_busy 1
    remember "$VICTIM"
    PATH=$(dirname "$link"):$PATH run --separate-stderr env gcore "$VICTIM"
    expect_saved "core.$VICTIM"
    assert_untouched "$VICTIM"
    "$CORECHECK" "core.$VICTIM" sane
}
