# SPDX-License-Identifier: GPL-3.0-or-later
#
# Letting go before all is read: --max-freeze, --yield; and one dump of a process at a time: --wait.

load helpers

is_free() {
    [ "$(awk '/^TracerPid:/ { print $2 }' "/proc/$1/status")" = 0 ]
}

# cut_short: the held dump is finished, the target long since free; what is missing is said.
cut_short() {
    kill -0 "$HOLDER" || fail "livecore has ended" "$(cat held.err)"
    finish_dump
    expect_status 1
    expect_stderr 'loss: memory .* not read before the process was let go.*; in a stream it reads as zero'
    expect_stderr 'wrote to standard output'
}

@test "--max-freeze lets the process go although the output stands still" {
    start_victim victim_clock -m 64
    remember "$VICTIM"
    hold_dump "$VICTIM" --max-freeze=1500
    wait_for 20 is_free "$VICTIM" || fail "still held"
    cut_short
    assert_untouched "$VICTIM"
}

@test "an output that stands still keeps the process for half a minute at most" {
    start_victim victim_clock -m 64
    remember "$VICTIM"
    hold_dump "$VICTIM"
    wait_for 120 is_free "$VICTIM" || fail "still held"
    cut_short
    expect_stderr 'loss: memory .* let go, as the output took nothing for 30 s; in a stream'
    assert_untouched "$VICTIM"
}

@test "--max-freeze into a file: registers and stacks come first, nothing covers the rest" {
    need_tool python3
    need_tool jq
    start_victim victim_clock -m 1024
    remember "$VICTIM"
    run --separate-stderr "$LIVECORE" -p "$VICTIM" -o core --max-freeze=60 --verify --json
    expect_status 1
    assert_untouched "$VICTIM"
    [ "$(jq -r '[.losses[] | select(.kind == "memory")] | length > 0' <<<"$output")" = true ]
    [ "$(jq -r '[.losses[] | select(.kind == "thread")] | length' <<<"$output")" = 0 ]
    # Every thread is there, with the registers that it had.
    [ "$(check threads | sort -n)" = "$(find "/proc/$VICTIM/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n)" ]
    # What was lost is in no segment.
    local start end
    read -r start end < <(jq -r '[.losses[] | select(.kind == "memory")][-1] | "\(.start) \(.end)"' <<<"$output")
    python3 - core "$start" "$end" <<'EOF'
import struct, sys
data = open(sys.argv[1], "rb").read(1 << 20)
core = open(sys.argv[1], "rb")
start, end = int(sys.argv[2], 16), int(sys.argv[3], 16)
phoff, n = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
core.seek(phoff)
table = core.read(56 * n)
for i in range(n):
    kind, _, _, vaddr, _, _, memsz, _ = struct.unpack_from("<IIQQQQQQ", table, 56 * i)
    assert kind != 1 or vaddr >= end or vaddr + memsz <= start, "covered: %#x" % vaddr
EOF
}

@test "--max-freeze that is long enough: the core is whole" {
    start_victim victim_mem
    dump "$VICTIM" --max-freeze=60000 --verify
    expect_status 0
}

@test "--max-freeze that is too short for the list of mappings: registers only" {
    need_tool jq
    start_victim victim_many_maps 30000
    remember "$VICTIM"
    livecore -p "$VICTIM" -o core --max-freeze=1 --json --verify
    expect_status 1
    assert_untouched "$VICTIM"
    # There is time for the registers, or not even for all of them: it is said.
    [ "$(json '[.losses[] | select(.kind == "memory")] | length > 0')" = true ]
    [ "$(check threads)" = "$VICTIM" ]
    [ "$(($(check prstatus "$VICTIM" | awk '$1 == "rip" { print $2 }')))" -ne 0 ]
}

@test "--max-freeze wants a number of milliseconds above 0" {
    local bad
    for bad in 0 -1 x 1e3 '' 1s; do
        run --separate-stderr "$LIVECORE" -p $$ "--max-freeze=$bad"
        expect_status 64
    done
}

# A process that catches SIGUSR1 and says so.
start_catcher() {
    need_tool python3
    python3 -u -c '
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: print("caught"))
memory = bytearray(b"x" * (32 << 20))
print("ready")
while True:
    time.sleep(1000)' >catcher.out 3>&- &
    VICTIM=$!
    OTHERS+=("$VICTIM")
    wait_for 20 grep -q ready catcher.out
}

@test "--yield: a signal for the process ends the freeze, one that it ignores does not" {
    start_catcher
    hold_dump "$VICTIM" --yield
    kill -WINCH "$VICTIM"
    sleep 0.3
    ! is_free "$VICTIM" || fail "SIGWINCH let it go"
    kill -USR1 "$VICTIM"
    wait_for 20 is_free "$VICTIM" || fail "still held"
    wait_for 20 grep -q caught catcher.out || fail "the signal was lost"
    cut_short
}

@test "without --yield a signal waits until the dump is through" {
    start_catcher
    hold_dump "$VICTIM"
    kill -USR1 "$VICTIM"
    sleep 0.3
    ! is_free "$VICTIM" || fail "let go"
    finish_dump
    expect_status 0
    wait_for 20 grep -q caught catcher.out || fail "the signal was lost"
}

@test "--yield: a signal to one thread counts" {
    start_catcher
    hold_dump "$VICTIM" --yield
    python3 -c 'import ctypes, sys; pid = int(sys.argv[1]); sys.exit(ctypes.CDLL(None).syscall(234, pid, pid, 10))' "$VICTIM"
    wait_for 20 is_free "$VICTIM" || fail "still held"
    cut_short
}

@test "--wait waits its turn" {
    start_victim victim_clock -m 16
    hold_dump "$VICTIM"
    run --separate-stderr "$LIVECORE" -p "$VICTIM" -o second
    expect_status 2
    expect_stderr "process $VICTIM \(victim_clock\) is being dumped already, by process $HOLDER \(livecore\)"
    run --separate-stderr "$LIVECORE" -p "$VICTIM" -o second --wait=0.2
    expect_status 2
    "$LIVECORE" -p "$VICTIM" -o second --wait >second.out 2>&1 3>&- &
    local second=$! result=0
    OTHERS+=("$second")
    sleep 0.3
    [ ! -e second ]
    finish_dump
    expect_status 0
    wait "$second" || result=$?
    [ "$result" -eq 0 ] || fail "$(cat second.out)"
    [ -s second ]
}

@test "a lock on /proc/PID that is a stranger's keeps nobody away" {
    need_root
    need_tool setpriv
    need_tool flock
    start_victim victim_clock -m 1
    setpriv --reuid 12345 --regid 12345 --clear-groups \
        flock "/proc/$VICTIM" sh -c 'echo locked; exec sleep 1000' >locker.out 3>&- &
    OTHERS+=("$!")
    wait_for 20 grep -q locked locker.out
    # flock(1) has a child: both hold the lock
    OTHERS+=("$(pgrep -P "$!")")
    dump "$VICTIM"
    expect_status 0
}
