# SPDX-License-Identifier: GPL-3.0-or-later
"""Well-known programs in use while they are dumped, and the worst that their users saw.

Each is started by hand, with its data in a directory of its own and on a Unix socket, and is ended by
its process ID. No service of the system is touched.
"""
import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from benchlib import snapload, tools

MIB = 1 << 20
START_SECONDS = 60
REDIS_KEYS = 900_000     # of 1000 bytes: about a gigabyte
PGBENCH_SCALE = 10
PGBENCH_RATE = 300       # transactions per second


def _tied(command, *flags):
    """A command that dies with this process, however that ends."""
    return ["setpriv", *flags, "--pdeathsig", "KILL", "--", *command]


def _wait_until(condition, what):
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise tools.Failure(f"{what} takes more than {START_SECONDS} s")
        time.sleep(0.05)


def _end(process, seconds=10):
    if process and process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Program:
    """One that watches itself: says "ready", answers "reset" and "gap"."""
    text = ""
    needs = ()

    def __init__(self, bench):
        self.victim = None
        self.directory = tempfile.mkdtemp(prefix="livecore-bench.")
        try:
            self.set_up(bench)
        except BaseException:
            self.close()
            raise

    def command(self, bench):
        raise NotImplementedError

    def set_up(self, bench):
        self.victim = tools.Victim(_tied(self.command(bench)))
        time.sleep(5)  # until it has its memory, and has compiled what it runs

    @property
    def pid(self):
        return self.victim.pid

    def ask(self, question):
        answer = self.victim.ask("gap" if question == "report" else question)
        if not answer:
            raise snapload.Gone
        return {"gap": int(answer)} if question == "report" else None

    def close(self):
        if self.victim:
            self.victim.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Node(Program):
    text = "node, allocating"
    needs = ("node",)

    def command(self, bench):
        return ["node", os.path.join(bench.here, "idle", "idle.js"), "busy"]


class Python(Program):
    text = "Python, allocating"

    def command(self, bench):
        return [sys.executable, os.path.join(bench.here, "idle", "idle.py"), "busy"]


class Java(Program):
    text = "a JVM, -Xmx1g, allocating"
    needs = ("java", "javac")

    def command(self, bench):
        subprocess.run(["javac", "-d", self.directory, os.path.join(bench.here, "idle", "Idle.java")],
                       check=True)
        return ["java", "-Xmx1g", "-cp", self.directory, "Idle", "busy"]


class Redis(Program):
    text = "redis, about 1 GiB, 16,000 SETs of 1000 bytes per second"
    needs = ("redis-server",)

    def set_up(self, bench):
        self.server = None
        path = os.path.join(self.directory, "socket")
        self.server = subprocess.Popen(
            _tied(["redis-server", "--port", "0", "--unixsocket", path, "--dir", self.directory,
                   "--save", "", "--appendonly", "no", "--enable-debug-command", "yes",
                   "--loglevel", "warning", "--daemonize", "no"]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=self.directory)
        _wait_until(lambda: os.path.exists(path) or self.server.poll() is not None, "redis")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(START_SECONDS)
            connection.connect(path)
            connection.sendall(b"DEBUG POPULATE %d key 1000\r\n" % REDIS_KEYS)
            if not connection.recv(64).startswith(b"+OK"):
                raise tools.Failure("redis could not be filled")
        client = os.path.join(bench.here, "benchlib", "redis_client.py")
        self.victim = tools.Victim(_tied([sys.executable, client, path, str(REDIS_KEYS)]))
        time.sleep(2)

    @property
    def pid(self):
        return self.server.pid

    def close(self):
        if self.victim:
            self.victim.close()
        _end(self.server)
        shutil.rmtree(self.directory, ignore_errors=True)


class Postgres(Program):
    """The process that serves pgbench's one connection; pgbench's log has what each took."""
    text = f"a postgres backend, {PGBENCH_RATE} transactions of pgbench per second"
    needs = ("postgres", "initdb", "psql", "pgbench")

    def _run(self, *command):
        return subprocess.run(_tied(command, *self.user), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=self.directory,
                              text=True, check=True).stdout

    def _start(self, *command):
        return subprocess.Popen(_tied(command, *self.user), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                cwd=self.directory)

    def _become(self):
        """postgres does not run as root."""
        self.user = []
        if os.getuid() == 0:
            name = "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"
            entry = pwd.getpwnam(name)
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)
            self.user = ["--reuid", name, "--regid", str(entry.pw_gid), "--clear-groups"]

    def set_up(self, _bench):
        self.server = self.client = None
        self._become()
        data, at = os.path.join(self.directory, "data"), ["-h", self.directory, "-U", "bench"]
        self._run(_program("initdb"), "-D", data, "-U", "bench", "-A", "trust", "-N")
        self.server = self._start(
            _program("postgres"), "-D", data, "-k", self.directory, "-c", "listen_addresses=",
            "-c", "fsync=off", "-c", "shared_buffers=256MB", "-c", "autovacuum=off")
        _wait_until(lambda: os.path.exists(os.path.join(self.directory, ".s.PGSQL.5432")), "postgres")
        time.sleep(1)
        self._run("pgbench", *at, "-i", "-q", "-s", str(PGBENCH_SCALE), "postgres")
        self.client = self._start("pgbench", *at, "-n", "-c", "1", "-R", str(PGBENCH_RATE), "-T", "86400",
                                  "--log", "--log-prefix", os.path.join(self.directory, "log"),
                                  "postgres")
        time.sleep(3)
        self.backend = int(self._run(
            "psql", *at, "-Atc", "select pid from pg_stat_activity where application_name = 'pgbench'",
            "postgres"))
        self.log = os.path.join(self.directory, f"log.{self.client.pid}")
        self.since = self.offset = 0

    @property
    def pid(self):
        return self.backend

    def _lines(self):
        """(when it ended, how long it took), in microseconds, of what was logged since the reset."""
        with open(self.log, "rb") as file:
            file.seek(self.offset)
            for line in file:
                words = line.split()
                if line.endswith(b"\n") and len(words) >= 6:
                    yield int(words[4]) * 1_000_000 + int(words[5]), int(words[2])

    def ask(self, question):
        now = time.time_ns() // 1000
        if question == "reset":
            self.since, self.offset = now, os.stat(self.log).st_size
            # Lines come in whole blocks: the rest of the last line is not one.
            return None
        _wait_until(lambda: max((end for end, _ in self._lines()), default=0) > now + 200_000,
                    "pgbench's next transaction")
        return {"gap": 1000 * max((took for end, took in self._lines()
                                   if end >= self.since and end - took <= now), default=0)}

    def close(self):
        _end(self.client)
        _end(self.server)
        shutil.rmtree(self.directory, ignore_errors=True)


def _program(name):
    """postgres and initdb are not always in PATH."""
    found = [shutil.which(name), *sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))[::-1]]
    return next((path for path in found if path), None)


SERVERS = {"redis": Redis, "node": Node, "python": Python, "java": Java, "postgres": Postgres}


def _resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def _run_group(bench, kind, strategies, n_rounds, result):
    server = rounds = None
    try:
        server = kind(bench)
        rounds = snapload.Rounds(bench, bench.directories[0], _resident(server.pid) // MIB, result)
        rounds.run(strategies, n_rounds, server.pid, server.ask)
    except snapload.Gone:
        result.left_out[snapload.REST] = f"the victim was gone after {rounds.last}"
    except (tools.Failure, OSError, subprocess.SubprocessError, ValueError) as error:
        result.left_out[snapload.REST] = f"failed: {error!r}"
    finally:
        if server:
            server.close()


def run(bench, kind, strategies, n_rounds):
    """gcore comes last, and has a process of its own: its reading maps pages that were not there, and
    the others would find another process."""
    result = snapload.Result(directory=os.path.dirname(bench.directories[0]))
    missing = [name for name in kind.needs if not _program(name)]
    if missing:
        result.left_out[snapload.REST] = f"not installed: {', '.join(missing)}"
        return result
    print(f"{kind.text}, to {result.directory} ...", file=sys.stderr, flush=True)
    for strategy in strategies:
        if bench.why_not(strategy):
            result.left_out[strategy] = bench.why_not(strategy)
    others = [strategy for strategy in strategies if strategy != "gcore"]
    _run_group(bench, kind, [*snapload.CONTROLS, *others], n_rounds, result)
    if "gcore" in strategies:
        _run_group(bench, kind, ["gcore"], n_rounds, result)
    return result
