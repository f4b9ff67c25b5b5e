# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2030,SC2031,SC2034
# Snapshots of programs that people run, at work: readers open the core, and the program goes on with the
# right data.
#
# REALSNAP_ROUNDS=N: so many snapshots by each strategy (2).

load helpers
load snapshots
load programs

: "${REALSNAP_ROUNDS:=2}"

setup() {
    need_tool jq
    [ "$STRATEGIES" = plain ] || need_snapshot
    cd "$BATS_TEST_TMPDIR" || return 1
    chmod 0711 "$BATS_RUN_TMPDIR"
}

# readers_open PID STRATEGY: ./core of that process, while it runs on.
readers_open() {
    check sane
    eu-readelf -n core >/dev/null 2>readelf.err || fail "$2: $(cat readelf.err)"
    timeout 60 eu-stack --core core >stack.out 2>stack.err || [ -s stack.out ] || fail "$2: $(cat stack.err)"
    # As many as the core has, each with a frame at least.
    [ "$(grep -c '^TID ' stack.out)" -eq "$(check threads | wc -l)" ] || fail "$2: $(cat stack.out)"
    [ "$(grep -c '^#0 ' stack.out)" -eq "$(check threads | wc -l)" ] || fail "$2: $(cat stack.out)"
    if command -v gdb >/dev/null; then
        [ "$(gdb_tids "$1" | wc -l)" -eq "$(check threads | wc -l)" ] || fail "$2: gdb lists $(gdb_tids "$1" | tr '\n' ' ')"
    fi
}

# snapshots_of PID [COMMAND...]: by each strategy, at work; the command says after each that all is well.
snapshots_of() {
    local pid=$1 strategy n
    shift
    remember_marks "$pid"
    for strategy in $STRATEGIES; do
        for ((n = 1; n <= REALSNAP_ROUNDS; n++)); do
            snapshot "$pid" "$strategy" --verify
            readers_open "$pid" "$strategy"
            [ $# -eq 0 ] || "$@" "$strategy" "$n" || fail "$strategy, snapshot $n"
        done
        wait_for 5 no_traces "$pid" || fail "$strategy: something is left" "$(marks "$pid")"
        # And of a process that stands still, the same backtraces as of itself.
        stop_process "$pid"
        remember "$pid"
        snapshot_of_stopped "$pid" "$strategy"
        wait_for 3 is_as_it_was "$pid" || assert_untouched "$pid" || fail "$strategy"
        same_stacks "$pid" || fail "$strategy"
        [ "$(check threads | sort -n)" = "$(tids "$pid")" ] || fail "$strategy: not every thread is in the core"
        kill -CONT "$pid"
        [ $# -eq 0 ] || "$@" "$strategy" last || fail "$strategy, after all"
    done
}

# is_as_it_was PID: but for signals of its own timers.
is_as_it_was() {
    local strip='s/(Sig|Shd)Pnd [0-9a-f]+//g'
    is_untouched "$1" || cmp -s <(sed -E "$strip" "$BATS_TEST_TMPDIR/before.$1") <(sed -E "$strip" "$BATS_TEST_TMPDIR/after.$1")
}

# no_traces PID: descriptors and children of such a program come and go; what a snapshot would leave does not.
no_traces() {
    [ "$(grep -hcE '^VmFlags:.* (uw|um|ui)( |$)' "/proc/$1/smaps")" = 0 ] &&
        ! find "/proc/$1/fd" -printf '%l\n' 2>/dev/null | grep -q userfaultfd &&
        ! grep -hqE '^TracerPid:[[:space:]]+[1-9]' "/proc/$1/task"/*/status &&
        ! grep -hqE '^State:[[:space:]]*[tTZX]' "/proc/$1/task"/*/status
}

# ---- redis --------------------------------------------------------------------------------------

# One client writes pairs of keys that are equal at every instant, and keeps its connection.
redis_load() {
    python3 - "$PWD/redis.sock" <<'PYTHON'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rb")
def ask(*words):
    s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
    return f.readline()
n = 0
while True:
    n += 1
    value = b"%d-" % n + b"x" * (n % 3000)
    key = b"key:%d" % (n % 2000)
    for answer in ask(b"mset", b"a:" + key, value, b"b:" + key, value), ask(b"set", b"last", b"%d" % n):
        if answer != b"+OK\r\n":
            sys.exit("redis says %r" % answer)
PYTHON
}

redis_is_right() {
    kill -0 "$LOAD" || fail "the load has ended" "$(cat load.err)"
    [ "$(redis-cli -s "$PWD/redis.sock" incr dumps)" -gt 0 ]
    local before
    before=$(redis-cli -s "$PWD/redis.sock" get last)
    wait_for 10 redis_beyond "$before"
}

redis_beyond() {
    [ "$(redis-cli -s "$PWD/redis.sock" get last)" -gt "$1" ]
}

@test "redis under load: its data is right, and its clients notice nothing" {
    need_tool python3
    start_redis
    redis_load >load.out 2>load.err 3>&- &
    LOAD=$!
    OTHERS+=("$LOAD")
    redis-benchmark -s "$PWD/redis.sock" -q -l -c 4 -P 4 -d 200 -r 20000 -t set,get,lpush,lrange_100 >bench.out 2>&1 3>&- &
    OTHERS+=("$!")
    sleep 0.5
    snapshots_of "$PROGRAM" redis_is_right
    end_process "$LOAD"
    run ! grep -iE 'error|refused|reset|broken|closed' bench.out
    # Both of each pair.
    redis-cli -s "$PWD/redis.sock" eval '
        local n = 0
        for i = 0, 1999 do
            local a, b = redis.call("get", "a:key:" .. i), redis.call("get", "b:key:" .. i)
            if a ~= b then return "pair " .. i .. " differs" end
            if a then n = n + 1 end
        end
        return n' 0 >pairs
    [ "$(cat pairs)" -gt 10 ] || fail "$(cat pairs)"
    grep -qaF 'b:key:17' core
}

# ---- interpreters -------------------------------------------------------------------------------

program_is_right() {
    goes_on
    ! grep -qi 'wrong' program.out || fail "$(grep -i wrong program.out)"
    [ ! -s program.err ] || fail "$(tail -3 program.err)"
}

@test "python3: threads that compute and keep sums" {
    need_tool python3
    cat >program.py <<'PYTHON'
import hashlib, threading, time
lock, data, total = threading.Lock(), {}, 0
def work(seed):
    global total
    n = seed
    while True:
        n = (n * 1103515245 + 12345) & 0x7FFFFFFF
        with lock:
            old = data.get(n % 5000)
            total += n - (old[0] if old else 0)
            data[n % 5000] = (n, hashlib.sha1(b"%d" % n).hexdigest(), bytes(n % 2000))
        if n % 64 == 0:
            time.sleep(0.002)
for i in range(4):
    threading.Thread(target=work, args=(i + 1,), daemon=True).start()
for i in range(3):
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
print("ready", flush=True)
while True:
    time.sleep(0.05)
    with lock:
        if sum(v[0] for v in data.values()) != total:
            print("wrong sum", flush=True)
        for k, v in list(data.items())[:50]:
            if v[0] % 5000 != k or v[1] != hashlib.sha1(b"%d" % v[0]).hexdigest() or len(v[2]) != v[0] % 2000:
                print("wrong value", flush=True)
    print("tick", flush=True)
PYTHON
    start_program "$(python3 -c 'import sys; print(sys.executable)')" program.py
    program_ready
    snapshots_of "$PROGRAM" program_is_right
    [ "$(check threads | wc -l)" -eq 8 ]
}

@test "node: an event loop, workers, and garbage" {
    need_tool node
    cat >program.js <<'NODE'
const { Worker, isMainThread, parentPort } = require('worker_threads');
const crypto = require('crypto');
function work(report) {
    const map = new Map();
    let n = 1;
    setInterval(() => {
        for (let i = 0; i < 500; i++) {
            n = (n * 1103515245 + 12345) % 2147483647;
            map.set(n % 3000, { n, text: 'value ' + n, junk: new Array(n % 100).fill(n) });
        }
        for (const [key, v] of map)
            if (v.n % 3000 !== key || v.text !== 'value ' + v.n || (v.junk.length && v.junk[0] !== v.n))
                report('wrong');
        report('tick');
    }, 20);
}
if (isMainThread) {
    for (let i = 0; i < 2; i++) {
        const worker = new Worker(__filename);
        worker.on('online', () => console.log('ready'));
        worker.on('message', (text) => console.log(text));
        worker.on('error', (error) => console.log('wrong: ' + error));
    }
    work((text) => console.log(text));
} else {
    work((text) => parentPort.postMessage(text));
}
NODE
    start_program node program.js
    program_ready
    sleep 1
    snapshots_of "$PROGRAM" program_is_right
}

@test "a JVM that allocates and collects" {
    need_tool java
    cat >Program.java <<'JAVA'
import java.util.*;
public class Program {
    static volatile boolean wrong;
    static void work(int seed) {
        Map<Integer, long[]> map = new HashMap<>();
        int n = seed;
        while (true) {
            for (int i = 0; i < 200; i++) {
                n = n * 1103515245 + 12345;
                long[] values = new long[(n & 255) + 1];
                Arrays.fill(values, n);
                map.put(n & 4095, values);
            }
            for (Map.Entry<Integer, long[]> e : map.entrySet()) {
                long[] v = e.getValue();
                if (((int) v[0] & 4095) != e.getKey() || v[v.length - 1] != v[0])
                    wrong = true;
            }
            try { Thread.sleep(2); } catch (Exception e) { }
        }
    }
    public static void main(String[] args) throws Exception {
        for (int i = 1; i <= 4; i++) {
            final int seed = i;
            Thread thread = new Thread(() -> work(seed));
            thread.setDaemon(true);
            thread.start();
        }
        Thread.sleep(500);
        System.out.println("ready");
        while (true) {
            Thread.sleep(50);
            System.out.println(wrong ? "wrong" : "tick");
        }
    }
}
JAVA
    start_program java -Xms64m -Xmx256m -XX:TieredStopAtLevel=1 Program.java
    wait_for 60 java_is_ready || skip "this java runs no source files: $(head -1 program.err)"
    snapshots_of "$PROGRAM" program_is_right
}

# ---- a database ---------------------------------------------------------------------------------

sql() {
    "$BIN/psql" -h "$DATA" -U livecore -Atc "$1" postgres
}

postgres_is_right() {
    kill -0 "$LOAD" || fail "the load has ended" "$(cat load.err)"
    # Money goes from one account to another.
    [ "$(sql 'select sum(money), count(*) from account')" = '100000|1000' ] || fail "$(sql 'select sum(money), count(*) from account')"
}

postgres_backend() {
    sql "select pid from pg_stat_activity where application_name = 'load'"
}

has_backend() {
    BACKEND=$(postgres_backend) && [ -n "$BACKEND" ]
}

postgres_load() {
    local n=0
    while [ "$n" -lt 1000000 ]; do
        n=$((n + 1))
        echo "begin; update account set money = money - 1 where id = $((RANDOM % 1000)); update account set money = money + 1 where id = $((RANDOM % 1000)); commit;"
    done
}

@test "postgres: a backend that transfers money, and the one that listens" {
    need_root
    need_tool setpriv
    id postgres >/dev/null 2>&1 || skip "there is no user postgres"
    local as=(setpriv --reuid postgres --regid postgres --clear-groups)
    DATA=$BATS_TEST_TMPDIR/public/data
    BIN=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
    [ -x "$BIN/postgres" ] || skip "postgres is not installed"
    mkdir -m 0777 "$BATS_TEST_TMPDIR/public"
    "${as[@]}" "$BIN/initdb" -D "$DATA" -A trust -U livecore --no-sync >initdb.out 2>&1 || skip "initdb: $(tail -1 initdb.out)"
    start_program "${as[@]}" "$BIN/postgres" -D "$DATA" -k "$DATA" -c listen_addresses= -c fsync=off
    wait_for 30 postgres_answers "$BIN" "$DATA" || fail "$(tail -5 program.err)"
    sql 'create table account (id int primary key, money int)' >/dev/null
    sql 'insert into account select i, 100 from generate_series(0, 999) i' >/dev/null
    # bash's RANDOM is less than 32768: both accounts are there.
    postgres_load | PGAPPNAME=load "$BIN/psql" -h "$DATA" -U livecore -q postgres >load.out 2>load.err 3>&- &
    LOAD=$!
    OTHERS+=("$LOAD")
    wait_for 10 has_backend || fail "no backend"
    snapshots_of "$BACKEND" postgres_is_right
    snapshots_of "$PROGRAM" postgres_is_right
    [ "$(sql "select count(*) from pg_stat_activity where pid = $BACKEND")" = 1 ] || fail "the backend has ended"
    ! grep -iE 'error|fatal|panic' load.err || fail "$(head -3 load.err)"
    end_process "$LOAD"
    kill -QUIT "$PROGRAM"
    wait "$PROGRAM" || true
    ! grep -E 'PANIC|was terminated by' program.err || fail "$(grep -E 'PANIC|was terminated' program.err)"
}
