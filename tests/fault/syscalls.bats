# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2034
# The Nth system call of a kind fails, for N = 1, 2, ... until a run has no Nth: whatever it was for, the
# process is as it was, nothing half-written is left, and the exit status says the truth.
#
# FAULT_SWEEP=full tries every N; otherwise the steps grow. FAULT_LOG=FILE gets a line about each failure.

load ../cli/helpers

setup() {
    need_tool strace
    cd "$BATS_TEST_TMPDIR" || return 1
    strace -qq -o probe -e trace=uname -e inject=uname:error=EPERM uname >/dev/null 2>&1 || true
    grep -q INJECTED probe || skip "strace cannot inject errors here"
    rm -f probe
    # Files, shared memory, pages of its own; and several threads.
    start_reference victim_mem
    MEM=$VICTIM
    start_reference victim_many_threads 6
    MANY=$VICTIM
}

# start_reference VICTIM [ARG...]: both sleep, so that every later core is the same as ./ref.PID.
start_reference() {
    start_victim "$@"
    livecore -p "$VICTIM" -o "ref.$VICTIM"
    expect_status 0
    "$CORECHECK" "ref.$VICTIM" sane
    remember "$VICTIM"
}

# What the dumps of faulty() are like.
OPTIONS=()  # further options
REPLACES=   # not empty: ./core is there already
STREAM=     # not empty: through a pipe
ALWAYS=()   # an injection that each dump has besides

# faulty PID CALL ERROR WHEN: one dump under strace. Sets status, output and stderr.
faulty() {
    local command
    rm -f core injected
    [ -z "$REPLACES" ] || echo old >core
    status=0
    command=(timeout -s KILL 20 strace -f -qq --seccomp-bpf -o injected -e "trace=$2" "${ALWAYS[@]}"
        -e "inject=$2:error=$3:when=$4" "$LIVECORE" -p "$1" --timeout=1 "${OPTIONS[@]}")
    if [ -n "$STREAM" ]; then
        { "${command[@]}" -o - 2>err 3>&- || echo $? >failed; } | cat >core 3>&-
        [ ! -e failed ] || status=$(cat failed)
        rm -f failed
        : >out
    else
        "${command[@]}" -o core >out 2>err 3>&- || status=$?
    fi
    output=$(cat out)
    stderr=$(cat err)
    rm -f out err
    # What a reader of a stream has got of a core that was given up is no core.
    [ -z "$STREAM" ] || [ "$status" -ne 2 ] || rm -f core
}

was_injected() {
    grep -qE "^[0-9]+ +(<\.\.\. )?$1(\(| resumed>).*\(INJECTED\)" injected
}

# note WHAT
note() {
    [ -z "${FAULT_LOG:-}" ] || printf '%s: status %s: %s\n' "$1" "$status" "${stderr//$'\n'/ | }" >>"$FAULT_LOG"
}

# n_loaders CALL: how many of them the dynamic loader makes, before livecore is there.
n_loaders() {
    strace -qq -o loader -e "trace=$1,openat" "$LIVECORE" -p "$MEM" --dry-run >/dev/null
    awk -v call="$1(" '/"\/proc"/ { exit } index($0, call) == 1 { n++ } END { print n + 0 }' loader
    rm -f loader
}

# What livecore says of a call that cost it the core.
declare -A NAMED=([ptrace]='trace' [pwrite64]='\(write\)$' [write]='\(write\)$' [writev]='\(write\)$|closed'
    [fsync]='\(fsync\)$|fsync of the directory' [renameat]='\(rename\)$' [linkat]='\(link\)$' [ftruncate]='\(ftruncate\)$'
    [openat]='/proc|list the threads|there is no process|cannot write core' [read]='/proc' [getdents64]='thread'
    [mmap]='out of memory|cannot start a thread' [clone3]='cannot start a thread')

# names_call WHAT: the error names the call that failed.
names_call() {
    local call=${1%% *}
    [ "$call" != every ] || call=$(cut -d ' ' -f 2 <<<"$1")
    [ -n "${NAMED[$call]:-}" ] || return 0
    grep -qE -- "^livecore: .*(${NAMED[$call]})" <<<"$stderr" || fail "$1: the error does not name it: $stderr"
}

# judge PID WHAT: the run of faulty().
judge() {
    local pid=$1 what=$2
    VICTIM=$pid
    note "$what"
    is_untouched "$pid" || assert_untouched "$pid" || fail "$what"
    case $status in
    0 | 1)
        assert_files core injected "ref.$MEM" "ref.$MANY" || fail "$what"
        if [ "$status" -eq 1 ]; then
            grep -q '^livecore: loss: ' <<<"$stderr" || fail "$what: status 1 and no loss: $stderr"
            if [[ $stderr == *'did not stop'* ]]; then
                [[ $stderr == *'PTRACE_INTERRUPT: '* ]] || fail "$what: the loss does not name the call: $stderr"
            fi
            # A note may be what was lost.
            check sane 2>sane.err || grep -q ': no NT_' sane.err || fail "$what: $(cat sane.err)"
            rm -f sane.err
        else
            check sane || fail "$what"
            [ -z "$stderr" ] || fail "$what: status 0 and $stderr"
            is_complete || fail "$what: status 0, and not everything is there"
        fi
        ;;
    2)
        if [ -n "$REPLACES" ]; then
            [ "$(cat core)" = old ] || fail "$what: what was there is gone"
            rm -f core
        fi
        assert_files injected "ref.$MEM" "ref.$MANY" || fail "$what"
        grep -q '^livecore: ' <<<"$stderr" || fail "$what: status 2 without a word: $stderr"
        names_call "$what"
        ;;
    137) fail "$what: hangs" ;;
    *) fail "$what: status $status" "$stderr" ;;
    esac
}

is_complete() {
    check diff "ref.$VICTIM" exact >/dev/null
}

# sweep CALL ERROR...: for both processes.
sweep() {
    local pid
    HITS=0
    for pid in "$MEM" "$MANY"; do
        sweep_of "$pid" "$@"
    done
    [ "$HITS" -gt 0 ] || fail "$1 is never called"
}

sweep_of() {
    local pid=$1 call=$2 error n first
    shift 2
    first=$(($(n_loaders "$call") + 1))
    for error; do
        n=$first
        while :; do
            faulty "$pid" "$call" "$error" "$n"
            was_injected "$call" || break
            HITS=$((HITS + 1))
            judge "$pid" "$call number $n fails with $error"
            if [ "${FAULT_SWEEP:-}" = full ]; then
                n=$((n + 1))
            else
                n=$((n + 1 + (n - first) / 2))
            fi
        done
        # The last one is a run without an error.
        expect_status 0
        judge "$pid" "nothing fails"
    done
}

# always CALL ERROR: each call of the kind fails. Sets the status of the last process that has such a call.
always() {
    local pid first last=
    first=$(($(n_loaders "$1") + 1))
    for pid in "$MEM" "$MANY"; do
        faulty "$pid" "$1" "$2" "$first+"
        was_injected "$1" || continue
        judge "$pid" "every $1 fails with $2"
        last=$status
    done
    [ -n "$last" ] || fail "$1 is never called"
    status=$last
}

@test "process_vm_readv() is denied: /proc/PID/mem does it, and the core is whole" {
    local error pid
    for error in EPERM ENOSYS; do
        for pid in "$MEM" "$MANY"; do
            faulty "$pid" process_vm_readv "$error" 1+
            was_injected process_vm_readv
            judge "$pid" "process_vm_readv fails with $error"
            expect_status 0
        done
    done
}

@test "process_vm_readv() fails once" {
    sweep process_vm_readv EPERM EFAULT ENOMEM
}

@test "ptrace() fails" {
    sweep ptrace ESRCH EPERM EIO
    always ptrace EPERM
    expect_status 2
    # A thread that is not there any more.
    always ptrace ESRCH
}

@test "waitid() fails" {
    sweep waitid ECHILD EINTR
}

@test "reading at an offset fails: pagemap, memory, files" {
    sweep pread64 EIO ENOMEM
    always pread64 EIO
}

@test "read() fails: the texts of /proc" {
    sweep read EIO EINTR
}

@test "openat() fails" {
    sweep openat EMFILE EACCES ENOENT
}

@test "writing fails" {
    sweep pwrite64 EIO ENOSPC EDQUOT EINTR
    always pwrite64 ENOSPC
    expect_status 2
    expect_stderr 'core.*no space'
    always pwrite64 EDQUOT
    expect_status 2
    expect_stderr 'quota'
}

@test "writing is interrupted, and goes on" {
    faulty "$MEM" pwrite64 EINTR 2
    was_injected pwrite64
    judge "$MEM" "pwrite64 is interrupted"
    expect_status 0
}

@test "giving the file its name fails" {
    sweep linkat EIO ENOSPC EPERM
    sweep linkat EEXIST
}

@test "replacing a file fails: the old one is still there" {
    REPLACES=yes
    OPTIONS=(--force)
    sweep renameat EIO ENOSPC EDQUOT EACCES
    sweep linkat EIO EPERM ENOSPC
    sweep pwrite64 EIO ENOSPC
    # Where the kernel gives no file without a name.
    ALWAYS=(-e inject=linkat:error=ENOENT)
    sweep openat EACCES EMFILE EINTR
    sweep renameat EROFS
}

@test "waiting for stable storage fails" {
    OPTIONS=(--fsync)
    sweep fsync EIO ENOSPC EDQUOT
    # The second one is the directory's: the core has its name.
    faulty "$MEM" fsync EIO 2
    was_injected fsync
    expect_status 1
    expect_stderr 'fsync of the directory failed'
    judge "$MEM" "fsync number 2 fails with EIO"
    faulty "$MEM" fsync EINTR 1
    was_injected fsync
    expect_status 0
    judge "$MEM" "fsync is interrupted"
}

@test "writing to a pipe fails" {
    STREAM=yes
    OPTIONS=(-q)
    sweep writev EIO EPIPE EINTR
}

@test "setting the length fails" {
    sweep ftruncate EIO EFBIG
}

@test "mapping memory fails" {
    sweep mmap ENOMEM
}

@test "ioctl() fails: the kernel has no PAGEMAP_SCAN" {
    sweep ioctl ENOTTY EPERM
    always ioctl ENOTTY
    expect_status 0
}

@test "getdents64() fails: the list of threads" {
    sweep getdents64 EIO ENOENT
}

@test "no thread can be started" {
    sweep clone3 EAGAIN
    always clone3 EAGAIN
}

@test "looking at files fails" {
    sweep_of "$MANY" newfstatat EACCES
    sweep lseek EINVAL
    sweep fcntl EINVAL
}

@test "calls of a kind that may all fail" {
    local call
    for call in madvise fstatfs fchmod readlinkat faccessat2 munmap uname prlimit64; do
        faulty "$MEM" "$call" EPERM "$(($(n_loaders "$call") + 1))+"
        if was_injected "$call"; then
            judge "$MEM" "every $call fails"
        fi
    done
}
