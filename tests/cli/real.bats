# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154,SC2030,SC2031,SC2034
# Programs that people run: a server under load, interpreters, a JVM, a database.

load helpers
load programs

# dump_real PID: the process is stopped, dumped, compared, and goes on.
dump_real() {
    local pid=$1 resident disk
    stop_process "$pid"
    remember "$pid"
    resident=$(awk '/^VmRSS:/ { printf "%d", $2 * 1024 }' "/proc/$pid/status")
    livecore -p "$pid" -o core --force --verify
    expect_status 0
    [ -z "$stderr" ] || fail "unexpected: $stderr"
    # Resident memory and page tables of every mapping are in there.
    assert_untouched "$pid"
    check sane
    [ "$(check threads | sort -n)" = "$(tids "$pid")" ] || fail "not every thread is in the core"
    check auxv "/proc/$pid/auxv"
    check covers "/proc/$pid/maps"
    disk=$(($(stat -c %b core) * 512))
    [ "$disk" -le $((resident + resident / 20 + (1 << 20))) ] || fail "$disk bytes on disk, $resident resident"
    if command -v gdb >/dev/null; then
        [ "$(gdb_tids "$pid")" = "$(tids "$pid")" ] || fail "gdb lists: $(gdb_tids "$pid" | tr '\n' ' ')"
    fi
    same_stacks "$pid"
    kill -CONT "$pid"
}

# ---- redis --------------------------------------------------------------------------------------

@test "redis under load: ten dumps, and no client notices" {
    start_redis
    local load n
    redis-benchmark -s "$PWD/redis.sock" -q -l -c 8 -P 4 -d 200 -r 20000 -t set,get,lpush,lrange_100 >load.out 2>&1 3>&- &
    load=$!
    OTHERS+=("$load")
    # One client keeps its connection for the whole time.
    coproc CLIENT { redis-cli -s "$PWD/redis.sock" 3>&-; }
    OTHERS+=("$CLIENT_PID")
    remember "$PROGRAM" loose
    sleep 0.3
    for n in 1 2 3 4 5 6 7 8 9 10; do
        livecore -p "$PROGRAM" -o core --force --verify
        expect_status 0
        [ -z "$stderr" ] || fail "dump $n: $stderr"
        check sane
        [ "$(check threads | sort -n)" = "$(tids "$PROGRAM")" ]
        [ "$(redis-cli -s "$PWD/redis.sock" incr dumps)" = "$n" ]
        echo "incr kept" >&"${CLIENT[1]}"
        read -r -t 5 answer <&"${CLIENT[0]}" || fail "no answer"
        [ "$answer" = "$n" ] || fail "dump $n: the client got '$answer'"
    done
    assert_untouched "$PROGRAM" loose
    kill -0 "$load" || fail "the load ended" "$(tail -3 load.out)"
    run ! grep -iE 'error|refused|reset|broken|closed' load.out
    [ "$(redis-cli -s "$PWD/redis.sock" info clients | tr -d '\r' | sed -n 's/^blocked_clients://p')" = 0 ]
    end_process "$load"
    dump_real "$PROGRAM"
    redis_answers
}

@test "redis under load: what it holds is in the core" {
    start_redis
    # A value that is nowhere else.
    local value
    value=livecore-$RANDOM$RANDOM-$$-in-memory
    redis-cli -s "$PWD/redis.sock" set key "$value" >/dev/null
    dump_real "$PROGRAM"
    grep -qaF "$value" core
}

# ---- interpreters -------------------------------------------------------------------------------

@test "python3: threads and data" {
    need_tool python3
    cat >program.py <<'PYTHON'
import threading, time
data = {i: "value %d" % i for i in range(100000)}
for i in range(5):
    threading.Thread(target=time.sleep, args=(3600,), daemon=True, name="sleeper-%d" % i).start()
print("ready", flush=True)
n = 0
while True:
    n += 1
    time.sleep(0.01)
    if n % 10 == 0:
        print("tick", n, flush=True)
PYTHON
    start_program "$(python3 -c 'import sys; print(sys.executable)')" program.py
    program_ready
    dump_real "$PROGRAM"
    [ "$(check threads | wc -l)" -eq 6 ]
    grep -qaF 'value 99999' core
    goes_on
}

@test "node: an event loop and workers" {
    need_tool node
    cat >program.js <<'NODE'
const { Worker, isMainThread } = require('worker_threads');
if (isMainThread) {
    global.data = [];
    for (let i = 0; i < 50000; i++) data.push({ i, text: 'value ' + i });
    const worker = new Worker(__filename);
    worker.on('online', () => console.log('ready'));
    setInterval(() => console.log('tick'), 50);
} else {
    setInterval(() => {}, 1000);
}
NODE
    start_program node program.js
    program_ready
    dump_real "$PROGRAM"
    [ "$(check threads | wc -l)" -ge 7 ]
    goes_on
}

@test "a JVM: much mapped, little used" {
    need_tool java
    cat >Program.java <<'JAVA'
public class Program {
    static long[] data = new long[1 << 20];
    public static void main(String[] args) throws Exception {
        for (int i = 0; i < 4; i++) {
            Thread thread = new Thread(() -> { while (true) { try { Thread.sleep(20); } catch (Exception e) { } } });
            thread.setDaemon(true);
            thread.start();
        }
        System.out.println("ready");
        while (true) {
            Thread.sleep(50);
            System.out.println("tick");
        }
    }
}
JAVA
    start_program java -Xms64m -Xmx512m -XX:TieredStopAtLevel=1 Program.java
    wait_for 60 java_is_ready || skip "this java runs no source files: $(head -1 program.err)"
    dump_real "$PROGRAM"
    local mapped size
    mapped=$(awk '/^VmSize:/ { printf "%d", $2 * 1024 }' "/proc/$PROGRAM/status")
    size=$(($(stat -c %b core) * 512))
    [ "$size" -lt $((mapped / 5)) ] || fail "$size bytes on disk of $mapped mapped"
    goes_on
}

# ---- a database ---------------------------------------------------------------------------------

@test "postgres: a backend in a query, and the one that listens" {
    need_root
    need_tool setpriv
    id postgres >/dev/null 2>&1 || skip "there is no user postgres"
    local as=(setpriv --reuid postgres --regid postgres --clear-groups) bin data=$BATS_TEST_TMPDIR/public/data backend query
    bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
    [ -x "$bin/postgres" ] || skip "postgres is not installed"
    mkdir -m 0777 "$BATS_TEST_TMPDIR/public"
    "${as[@]}" "$bin/initdb" -D "$data" -A trust -U livecore --no-sync >initdb.out 2>&1 || skip "initdb: $(tail -1 initdb.out)"
    start_program "${as[@]}" "$bin/postgres" -D "$data" -k "$data" \
        -c listen_addresses= -c fsync=off
    wait_for 30 postgres_answers "$bin" "$data" || fail "$(tail -5 program.err)"
    "$bin/psql" -h "$data" -U livecore -Atc "select 6 * 7, pg_sleep(2)" postgres >query.out 2>query.err 3>&- &
    query=$!
    OTHERS+=("$query")
    wait_for 10 backend_sleeps "$bin" "$data" || fail "no backend"
    backend=$(backend_pid "$bin" "$data")
    remember "$backend"
    livecore -p "$backend" -o core --verify
    expect_status 0
    assert_untouched "$backend"
    check sane
    grep -qaF 'select 6 * 7, pg_sleep(2)' core
    livecore -p "$PROGRAM" -o listener --verify
    expect_status 0
    "$CORECHECK" listener sane
    wait "$query"
    [ "$(cat query.out)" = '42|' ] || fail "$(cat query.out query.err)"
    "$bin/psql" -h "$data" -U livecore -Atc 'select 1' postgres
    kill -QUIT "$PROGRAM"
    wait "$PROGRAM" || true
}

backend_pid() {
    "$1/psql" -h "$2" -U livecore -Atc "select pid from pg_stat_activity where wait_event = 'PgSleep'" postgres
}

backend_sleeps() {
    [ -n "$(backend_pid "$1" "$2")" ]
}
