# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2016,SC2030,SC2031,SC2034
# Processes that make it hard: names that lead elsewhere or act on a terminal, text of /proc that changes
# between two reads, mappings that come and go, and whoever meddles with what livecore does. No crash,
# nothing of it on the terminal, no path outside of the output's directory, and the core is right.

load helpers

# nothing_acts_on_a_terminal FILE...: C0 but the newline, C1, and marks that turn the text round.
nothing_acts_on_a_terminal() {
    ! LC_ALL=C grep -anP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]' "$@" ||
        fail "see above"
}

# says_cleanly: what livecore printed last.
says_cleanly() {
    printf '%s\n' "$output" "$stderr" >said
    nothing_acts_on_a_terminal said
    rm said
}

# named COMM COMMAND...: starts the command under that name; sets NAMED.
named() {
    /usr/bin/python3 -c '
import ctypes, os, sys, time
ctypes.CDLL(None).prctl(15, os.fsencode(sys.argv[1]))
time.sleep(600)' "$@" 3>&- </dev/null &
    NAMED=$!
    OTHERS+=("$NAMED")
    wait_for 10 has_name "$NAMED" "$1"
}

has_name() {
    [ "$(cat "/proc/$1/comm" | head -c -1 | od -c)" = "$(printf %s "$2" | head -c 15 | od -c)" ] && has_state "$1" S
}

@test "names of the process: templates stay in their directory" {
    local name want
    mkdir out
    while IFS=' ' read -r name want; do
        name=$(printf '%b' "$name")
        want=$(printf '%b' "$want")
        named "$name" 'cmd \033[2J
line'
        livecore --minimal "$NAMED" -o 'out/%e'
        expect_status 0
        says_cleanly
        [ "$(find out -mindepth 1 -printf '%f')" = "$want" ] || fail "'$name' gives $(ls -lR out)"
        rm -r out && mkdir out
        livecore -n "$NAMED"
        expect_status 0
        says_cleanly
        livecore --minimal -v --verify --progress=always "$NAMED" -o 'out/.%e.%P'
        expect_status 0
        says_cleanly
        [ "$(find out -mindepth 1 -maxdepth 1 | wc -l)" = 1 ]
        rm -r out && mkdir out
        end_process "$NAMED"
    done <<'NAMES'
../../x ..!..!x
/etc/passwd !etc!passwd
. !
.. !.
... !..
\033[2J\033]0;x ![2J!]0;x
a)\0040R\00401 a)\0040R\00401
\nTgid:\t1 !Tgid:!1
%e%p%n %e%p%n
-rf -rf
\0377\0376 !!
\0302\02332J !2J
NAMES
    assert_files out
}

@test "a process without a name" {
    named ''
    livecore --minimal "$NAMED" -o '%e'
    expect_status 0
    assert_files '!'
}

@test "names of processes in messages and in JSON" {
    need_tool jq
    local name=$'\033[2J\n"\\'
    named "$name"
    livecore --json --minimal "$NAMED" -o x
    [ "$status" -ne 64 ] || skip "built without json-c"
    expect_status 0
    says_cleanly
    [ "$(json .comm)" = "$name" ]
    livecore --json -n "$NAMED"
    says_cleanly
    [ "$(json .comm)" = "$name" ]
    livecore --json --minimal "$NAMED" -o x
    expect_status 2
    says_cleanly
    [ "$(json .error.code)" = EEXIST ]
    # A tracer of that name.
    need_tool strace
    cp "$(command -v strace)" $'\033[31mtrace'
    $'./\033[31mtrace' -q -o /dev/null -p "$NAMED" 3>&- &
    OTHERS+=($!)
    wait_for 10 is_traced "$NAMED"
    livecore "$NAMED" -o y
    expect_status 2
    expect_stderr 'is already traced, by process [0-9]+ \(\\033\[31mtrace\)'
    says_cleanly
}

is_traced() {
    [ "$(awk '/^TracerPid:/ { print $2 }' "/proc/$1/status")" != 0 ]
}

@test "files of every kind of name, and of paths that no system call takes" {
    start_victim victim_hostile names
    dump "$VICTIM" --all --verify
    says_cleanly
    check truth "$(victim_out)" '*=full'
    check names >names
    # With the privilege for it, every name is what the kernel says; the deepest path it cannot say.
    if [ "$(id -u)" -eq 0 ]; then
        for file in /proc/"$VICTIM"/map_files/*; do
            readlink -n "$file" || true
            echo
        done >links
        grep -vxF -f names links >missing || true
        ! grep -av '^$' missing || fail "NT_FILE does not have these names"
    fi
    livecore -n --all "$VICTIM"
    expect_status 0
    says_cleanly
    [ "$(grep -c '^[0-9a-f]*-[0-9a-f]* ' <<<"$output")" = "$(grep -cE '^[0-9a-f]+-[0-9a-f]+ [r-][w-][x-][sp] [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [0-9]+' "/proc/$VICTIM/maps")" ]
    livecore -n --json "$VICTIM"
    if [ "$status" -ne 64 ]; then
        expect_status 0
        says_cleanly
        [ "$(jq '.mappings | length' <<<"$output")" = "$(jq .n_mappings <<<"$output")" ]
    fi
}

@test "the same, without privileges" {
    need_root
    need_tool setpriv
    local hostile=$VICTIMS/victim_hostile
    publish
    cp "$hostile" "$VICTIMS"
    chmod 0755 "$VICTIMS/victim_hostile"
    VICTIM_PREFIX=("${AS_USER[@]}")
    RUN_PREFIX=("${AS_USER[@]}")
    mkdir -m 0777 out
    start_victim victim_hostile names
    remember "$VICTIM"
    livecore -p "$VICTIM" -o out/core --all --verify
    expect_status 0
    says_cleanly
    assert_untouched "$VICTIM"
    "$CORECHECK" out/core truth "$(victim_out)" '*=full'
}

@test "names, arguments and files that change all the time" {
    local round
    mkdir out
    cp "$VICTIMS/victim_hostile" program
    VICTIMS=$PWD
    ln program victim_hostile
    start_victim program renames
    for round in {1..10}; do
        for how in --verify --minimal -n -v; do
            livecore "$how" -p "$VICTIM" -o 'out/%e.%E' --force
            expect_status 0
            says_cleanly
        done
        livecore --all -p "$VICTIM" -o out/core --force
        expect_status 0
        says_cleanly
        "$CORECHECK" out/core truth "$(victim_out)" mapped=full
    done
    "$CORECHECK" out/core sane
    [ -z "$(find out -mindepth 2)" ]
    [ -z "$(find out -type d -mindepth 1)" ]
    assert_files out program victim_hostile
    ask nothing
}

@test "mappings that come and go: the core is of one moment" {
    local round
    start_victim victim_hostile maps
    for round in {1..20}; do
        livecore -p "$VICTIM" -o core --force
        expect_status 0
        check moment "$(victim_out)"
    done
    ask nothing
}

@test "a process that is its own lock, and that cannot be dumped every other moment" {
    need_root
    need_tool setpriv
    local round n=0
    publish
    /usr/bin/python3 -c '
import fcntl, os
lock = os.open("/proc/self", os.O_RDONLY)
fcntl.flock(lock, fcntl.LOCK_EX)
import time; time.sleep(600)' 3>&- </dev/null &
    OTHERS+=($!)
    wait_for 10 is_locked $!
    remember $!
    livecore --minimal $! -o core
    expect_status 0
    assert_untouched $!
    mkdir -m 0777 out
    "${AS_USER[@]}" /usr/bin/python3 -c '
import ctypes
libc = ctypes.CDLL(None)
while True:
    libc.prctl(4, 0, 0, 0, 0) # PR_SET_DUMPABLE
    libc.prctl(4, 1, 0, 0, 0)' 3>&- </dev/null &
    OTHERS+=($!)
    RUN_PREFIX=("${AS_USER[@]}")
    for round in {1..20}; do
        livecore $! -o out/core --force
        case $status in
        0) "$CORECHECK" out/core sane ;;
        1) expect_stderr ' loss: ' ;;
        2) expect_stderr 'is not dumpable|the kernel refuses|Permission denied|executed another program' && n=$((n + 1)) ;;
        *) fail "status $status" "$stderr" ;;
        esac
    done
    kill -0 $!
    is_free() {
        ! is_traced "$1"
    }
    wait_for 10 is_free $!
}

is_locked() {
    ! flock -n "/proc/$1" true
}

# meddle NAME: whoever may write in the directory puts links to a precious file, files and directories
# under the name of the core, and takes away what he finds.
meddle() {
    "${AS_USER[@]}" /usr/bin/python3 -c '
import os, sys
name, precious = sys.argv[1:]
def attempt(call, *args):
    try:
        call(*args)
    except OSError:
        pass
while True:
    attempt(os.symlink, precious, name)
    attempt(os.unlink, name)
    attempt(os.link, precious, name)
    attempt(os.unlink, name)
    for other in os.listdir(os.path.dirname(name)):
        other = os.path.join(os.path.dirname(name), other)
        attempt(os.chmod, other, 0o666)
        attempt(os.rename, other, name + ".taken")
        attempt(os.symlink, precious, other)
        attempt(os.unlink, name + ".taken")' "$@" 3>&- </dev/null &
    OTHERS+=($!)
}

@test "somebody who meddles with the output directory" {
    need_root
    need_tool setpriv
    local round n=0
    echo precious >precious
    chmod 0644 precious
    mkdir -m 0777 theirs
    mkdir -m 1777 sticky
    start_victim victim_busy 2
    remember "$VICTIM"
    meddle "$PWD/theirs/core" "$PWD/precious"
    meddle "$PWD/sticky/core" "$PWD/precious"
    for round in {1..15}; do
        for dir in theirs sticky; do
            livecore --minimal "$VICTIM" -o "$dir/core" --force
            [ "$status" -eq 0 ] || [ "$status" -eq 2 ] || fail "status $status" "$stderr"
            n=$((n + (status == 0)))
            [ "$(cat precious)" = precious ]
            # Wherever it is by now, a core is root's alone.
            [ -z "$(find theirs sticky -type f -user 0 -perm /077 ! -samefile precious 2>/dev/null)" ]
        done
    done
    [ "$n" -gt 0 ]
    [ "$(stat -c '%a %U' precious)" = '644 root' ]
    assert_untouched "$VICTIM"
}

# start_endless_exec: a process one of whose threads executes a program whose file is on a FUSE file system
# that never answers a read. Sets ENDLESS.
start_endless_exec() {
    need_root
    [ -w /dev/fuse ] || skip "there is no /dev/fuse"
    mkdir fuse
    cat >endless.py <<'PYTHON'
import ctypes, os, struct, threading, time

libc = ctypes.CDLL(None, use_errno=True)
NEWNS, REC, PRIVATE = 0x20000, 0x4000, 0x40000

def check(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

check(libc.unshare(NEWNS))
check(libc.mount(b"none", b"/", None, REC | PRIVATE, None))
device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
check(libc.mount(b"none", b"fuse", b"fuse", 0, b"fd=%d,rootmode=40000,user_id=0,group_id=0" % device))

def attr(node):
    mode = 0o40755 if node == 1 else 0o100755
    return struct.pack("<6Q10I", node, 100000, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

def reply(unique, data=b"", error=0):
    os.write(device, struct.pack("<IiQ", 16 + len(data), error, unique) + data)

def serve():
    while True:
        _, call, unique, node = struct.unpack_from("<IIQQ", os.read(device, 1 << 17))
        if call == 26: # FUSE_INIT
            reply(unique, struct.pack("<6I", 7, 26, 0, 0, 0, 4096))
        elif call == 1: # FUSE_LOOKUP
            reply(unique, struct.pack("<4QII", 2, 0, 1000, 1000, 0, 0) + attr(2))
        elif call == 3: # FUSE_GETATTR
            reply(unique, struct.pack("<QII", 1000, 0, 0) + attr(node))
        elif call in (14, 27): # FUSE_OPEN, FUSE_OPENDIR
            reply(unique, struct.pack("<QII", 1, 0, 0))
        elif call == 15: # FUSE_READ
            open("reads", "w").close()
        elif call not in (2, 36, 42): # FUSE_FORGET, FUSE_INTERRUPT, FUSE_BATCH_FORGET
            reply(unique, b"", -38)

threading.Thread(target=serve, daemon=True).start()
pid = os.fork()
if pid == 0:
    libc.prctl(1, 9) # PR_SET_PDEATHSIG
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    threading.Thread(target=os.execv, args=("fuse/program", ["program"]), daemon=True).start()
    time.sleep(600)
open("pid", "w").write(str(pid))
os.waitpid(pid, 0)
PYTHON
    /usr/bin/python3 endless.py 3>&- </dev/null &
    OTHERS+=($!)
    wait_for 20 test -e reads -a -s pid
    ENDLESS=$(cat pid)
}

# PTRACE_SEIZE waits for the end of execve(), and goes on waiting after every signal.
@test "a process that executes a program whose file is never read to its end" {
    [ -z "$SANITIZED" ] || skip "AddressSanitizer takes the stack of a cancelled thread for one in use"
    start_endless_exec
    remember "$ENDLESS"
    mkdir out
    # The second one is tried as if the first had not been.
    livecore --minimal --timeout=0.5 "$ENDLESS" "$ENDLESS" -o out/core
    expect_status 2
    [ "$(grep -c "^livecore: process $ENDLESS (python3.*) is executing another program, which does not come to an end" <<<"$stderr")" = 2 ] ||
        fail "$stderr"
    assert_untouched "$ENDLESS"
    # An hour is not waited for, after SIGINT.
    timeout -k 60 -s INT 2 "$LIVECORE" --minimal --timeout=3600 "$ENDLESS" -o out/core 2>err && fail "it has dumped it"
    grep -q 'interrupted by a signal: the process was let go' err || fail "$(cat err)"
    assert_untouched "$ENDLESS"
    [ -z "$(ls out)" ]
}
