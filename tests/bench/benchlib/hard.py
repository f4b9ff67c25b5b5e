# SPDX-License-Identifier: GPL-3.0-or-later
"""One dump of a hard target: what became of the core, and of the process."""
import collections
import importlib.machinery
import importlib.util
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TOOLS = ("gcore", "livecore")
MIB = 1 << 20
PAGE = 4096
HERE = os.path.dirname(os.path.realpath(__file__))


def _load_corecheck():
    path = os.path.join(HERE, "../../compare/corecheck")
    loader = importlib.machinery.SourceFileLoader("corecheck", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("corecheck", loader))
    loader.exec_module(module)
    return module


corecheck = _load_corecheck()


def size_text(size):
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", MIB)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size // 1024:,} KiB"


def time_text(ns):
    return f"{ns / 1e9:,.1f} s" if ns >= 1e9 else f"{ns / 1e6:,.0f} ms"


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# ---- the process --------------------------------------------------------------------------------


def status_of(pid, tid=None):
    """The fields of /proc/PID/status; empty if it is gone."""
    path = f"/proc/{pid}/status" if tid is None else f"/proc/{pid}/task/{tid}/status"
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return {}


def _state(pid, tid):
    return status_of(pid, tid).get("State", "?")[0]


def tids_of(pid):
    """The threads that live."""
    try:
        tids = sorted(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return []
    return [tid for tid in tids if _state(pid, tid) not in "ZX?"]


def states_of(pid):
    """How many threads are in which state; T: stopped, t: by a tracer."""
    return collections.Counter(_state(pid, tid) for tid in tids_of(pid))


class Victim:
    """A program of tests/victim in a directory of its own."""

    def __init__(self, command, directory, set_up=None):
        self.directory = directory
        self.out = os.path.join(directory, "victim.out")
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out,
                                            stderr=subprocess.STDOUT, cwd=directory)
        try:
            self._wait_for("ready", 120)
            self._settle()
            if set_up:
                set_up(self)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self):
        return self.process.pid

    def lines(self):
        with open(self.out, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def truth(self, key):
        """The fields of each line that begins with the key."""
        return [line.split()[1:] for line in self.lines() if line.split()[:1] == [key]]

    def _settle(self):
        """Threads that were just started still come to their stacks."""
        last = None
        for _ in range(20):
            now = status_of(self.pid).get("VmRSS")
            if now == last:
                break
            last = now
            time.sleep(0.2)

    def _count(self, word):
        return self.lines().count(word)

    def _wait_for(self, word, seconds, before=0):
        if not wait_until(lambda: self._count(word) > before or self.process.poll() is not None,
                          seconds) or self._count(word) <= before:
            raise RuntimeError("the victim does not say " + word)

    def ask(self, question):
        before, n_lines = self._count("answered"), len(self.lines())
        self.process.stdin.write(question.encode() + b"\n")
        self.process.stdin.flush()
        self._wait_for("answered", 30, before)
        return self.lines()[n_lines:-1]

    def end(self):
        """Ends it, also if something has stopped it."""
        if self.process.poll() is None:
            self.process.kill()
            os.kill(self.pid, signal.SIGCONT)

    def close(self):
        self.end()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            print(f"process {self.pid} does not end", file=sys.stderr)
        self.process.stdin.close()


class Snapshot:
    """What a dump should not change."""

    def __init__(self, victim):
        status = status_of(victim.pid)
        self.alive = bool(tids_of(victim.pid))
        self.states = states_of(victim.pid)
        self.tracer = int(status.get("TracerPid", 0))
        self.rss = int(status.get("VmRSS", "0").split()[0]) * 1024
        self.page_tables = int(status.get("VmPTE", "0").split()[0]) * 1024
        self.blocks = sum(self._blocks(victim, path) for path, in victim.truth("file"))

    @staticmethod
    def _blocks(victim, path):
        try:
            return os.stat(os.path.join(victim.directory, path)).st_blocks * 512
        except OSError:
            return 0

    def stopped(self):
        return self.states["T"] + self.states["t"]


def changes(before, after, case):
    """The differences in words."""
    if not after.alive:
        return [] if case.ends else ["**the process is gone**"]
    out = []
    if after.stopped() > before.stopped() and not case.stops and not case.traced:
        out.append(f"**{after.stopped() - before.stopped()} threads left stopped**")
    if after.stopped() < before.stopped():
        out.append("**a stopped process runs**")
    if after.tracer and not case.traced:
        out.append("**left traced**")
    if after.rss - before.rss >= MIB and case.still:
        out.append(f"**the process grew by {size_text(after.rss - before.rss)}**")
    if after.page_tables - before.page_tables >= 256 * 1024 and case.still:
        out.append(f"its page tables grew by {size_text(after.page_tables - before.page_tables)}")
    if after.blocks - before.blocks >= MIB:
        out.append(f"**its file grew by {size_text(after.blocks - before.blocks)}**")
    return out


# ---- the core -----------------------------------------------------------------------------------


def _is_zero(core, off, length):
    for at in range(off, off + length, MIB):
        if core.data[at:min(at + MIB, off + length)].strip(b"\0"):
            return False
    return True


def _is_left_to_file(core, addr):
    """Named in NT_FILE, and the file is not to be seen from here: another mount namespace, say."""
    return any(start <= addr < end and not os.path.exists(name)
               for start, end, _, name in core.files())


def _look(core, addr, length, seed):
    """Bytes of a range that holds pattern(seed), or zeros: right, missing, wrong."""
    found = collections.Counter()
    for kind, start, end, off in core.runs(addr, length):
        if kind == "none" or (kind == "file" and off + end - start > core.size):
            found["missing"] += end - start
        elif kind == "memsz" and _is_left_to_file(core, start):
            found["left"] += end - start
        elif seed is None:
            right = kind == "memsz" or _is_zero(core, off, end - start)
            found["right" if right else "wrong"] += end - start
        else:
            seen = core.seen(start, end - start)
            want = corecheck.pattern(seed, (start - addr) // 8, (end - start) // 8)
            for at in range(0, end - start, PAGE):
                found["right" if seen[at:at + PAGE] == want[at:at + PAGE] else "wrong"] += PAGE
    return found


def _ranges(victim, left_out):
    """(state, address, length, seed) of what the victim told; seed None: zeros.

    The state is the first part of a name such as "absent/x": what a reader may hope for. "never" and
    "poisoned" can be read by nobody, "absent" only by who asks the frozen process, "shadowed" may
    show a file.
    """
    for kind in ("fill", "zero"):
        for name, addr, length, *seed in victim.truth(kind):
            if name in left_out:
                continue
            state = name.split("/")[0] if "/" in name else "present"
            yield state, int(addr, 16), int(length, 16), int(seed[0], 16) if seed else None
    for start, n, first_seed in victim.truth("many"):
        for i in range(int(n)):
            yield "present", int(start, 16) + i * PAGE, PAGE, int(first_seed, 0) + i


def judge_memory(core, victim, left_out):
    """What the core says of the ranges that the victim told."""
    all_found, n_ghosts = collections.Counter(), 0
    for state, addr, length, seed in _ranges(victim, left_out):
        if state == "shadowed":
            continue
        found = _look(core, addr, length, seed)
        if state in ("never", "poisoned"):
            n_ghosts += found["right"] + found["wrong"]
        else:
            all_found += found
    out = []
    if all_found["wrong"]:
        out.append(f"**{size_text(all_found['wrong'])} wrong**")
    if all_found["missing"]:
        out.append(f"{size_text(all_found['missing'])} missing")
    if all_found["left"]:
        out.append(f"{size_text(all_found['left'])} left to its file")
    if n_ghosts:
        out.append(f"**{size_text(n_ghosts)} that nobody can read**")
    return out


def judge_threads(core, tids, case):
    found = sorted(core.tids())
    out = []
    if case.threads and found != tids:
        out.append(f"**{len(set(tids) - set(found)):,} of {len(tids):,} threads missing**")
    blank = sum(1 for tid in found if not core.prstatus(tid).get("rip", 1))
    if blank:
        out.append(f"{blank} without registers")
    return out


def judge_core(path, victim, tids, case):
    try:
        core = corecheck.Core(path)
        out = judge_memory(core, victim, case.left_out) + judge_threads(core, tids, case)
        if case.moment:
            corecheck.check_moment(core, victim.out)
        return out
    except (corecheck.Bad, OSError, ValueError) as error:
        return [f"**no good core: {error}**"]


# ---- a dump -------------------------------------------------------------------------------------


class Outcome:
    def __init__(self):
        self.wall = 0
        self.disk = None
        self.words = []  # what is remarkable
        self.hung = False

    def remark(self, words):
        self.words += [word for word in words if word not in self.words]

    def killed(self):
        """Neither the time nor the core counts."""
        self.hung = True
        self.words = [word for word in self.words if word.startswith("**")] or ["the process goes on"]


class Bench:
    def __init__(self, build, parent):
        self.build = build
        self.parent = parent
        self.directory = None
        self.tool = None

    def __enter__(self):
        if not os.access(os.path.join(self.build, "livecore"), os.X_OK):
            raise SystemExit(f"{self.build}/livecore: no such program; build it or give --build")
        if not shutil.which("gcore"):
            raise SystemExit("gcore (of gdb) is not installed: nothing to compare with")
        self.directory = tempfile.mkdtemp(prefix="livecore-hard.", dir=self.parent)
        return self

    def __exit__(self, *_):
        self._kill_tool()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _kill_tool(self):
        if self.tool and self.tool.poll() is None:
            os.killpg(self.tool.pid, signal.SIGKILL)  # the group was made for this command
            self.tool.wait()

    def _command(self, tool, case, pid):
        core = os.path.join(self.directory, f"core.{pid}")
        if tool == "gcore":
            return ["gcore", "-o", os.path.join(self.directory, "core"), str(pid)], core
        return [os.path.join(self.build, "livecore"), "--json", *case.options, "-o", core, str(pid)], core

    def _wait_for_tool(self, case, victim, outcome):
        try:
            return self.tool.communicate(timeout=case.timeout)
        except subprocess.TimeoutExpired:
            outcome.hung = True
            stopped = states_of(victim.pid)
            outcome.remark([f"**not through after {case.timeout} s**, {stopped['t'] + stopped['T']} of "
                            f"{sum(stopped.values())} threads stopped meanwhile"])
            self._kill_tool()
            try:
                return self.tool.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                # It waits for an answer of the process, which it holds itself.
                outcome.remark(["**cannot be killed before the process is**"])
                victim.end()
                return self.tool.communicate()

    def _dump(self, tool, case, victim):
        outcome = Outcome()
        before, tids = Snapshot(victim), tids_of(victim.pid)
        command, core = self._command(tool, case, victim.pid)
        begun = time.monotonic_ns()
        self.tool = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, start_new_session=True, text=True,
                                     errors="replace")
        if case.meanwhile:
            case.meanwhile(victim, self.tool)
        output, errors = self._wait_for_tool(case, victim, outcome)
        outcome.wall = time.monotonic_ns() - begun
        self._look_at_core(tool, case, victim, tids, core, output, errors, outcome)
        wait_until(lambda: states_of(victim.pid) == before.states, 2)
        outcome.remark(changes(before, Snapshot(victim), case))
        if case.afterwards and not outcome.hung and (case.stops or not states_of(victim.pid)["T"]):
            outcome.remark(case.afterwards(victim))
        if case.kills:
            outcome.killed()
            os.kill(victim.pid, signal.SIGCONT)
        return outcome

    def _look_at_core(self, tool, case, victim, tids, path, output, errors, outcome):
        said = {}
        if tool == "livecore" and output.strip():
            said = json.loads(output)
        if case.kills:
            if os.path.exists(path):
                os.unlink(path)
            return
        if not os.path.exists(path):
            if not outcome.hung:
                words = said.get("error", {}).get("text") or (errors.strip().splitlines() or ["?"])[-1]
                outcome.remark(["no core: " + words.replace(str(victim.pid), "PID")])
            return
        outcome.disk = os.stat(path).st_blocks * 512
        if not outcome.hung:
            outcome.remark(judge_core(path, victim, tids, case))
        lost = sum(int(loss["end"], 16) - int(loss["start"], 16)
                   for loss in said.get("losses", []) if "end" in loss)
        if lost:
            outcome.remark([f"{size_text(lost)} a stated loss"])
        if any(loss["kind"] == "thread" for loss in said.get("losses", [])):
            outcome.remark(["a stated loss of registers"])
        os.unlink(path)

    def _once(self, tool, case):
        directory = tempfile.mkdtemp(dir=self.directory)
        command = [os.path.join(self.build, "tests", case.victim[0]), *case.victim[1:]]
        victim = Victim(command, directory, case.set_up)
        try:
            outcomes = [self._dump(tool, case, victim) for _ in range(case.dumps)]
        finally:
            victim.close()
            shutil.rmtree(directory, ignore_errors=True)
        for outcome in outcomes[1:]:
            outcomes[0].remark(outcome.words)
            outcomes[0].hung |= outcome.hung
        if case.kills and len(outcomes[0].words) > 1:
            outcomes[0].words = [word for word in outcomes[0].words if word.startswith("**")]
        outcomes[0].wall = statistics.median(outcome.wall for outcome in outcomes)
        return outcomes[0]

    def run(self, case, tool, rounds):
        """One cell of the table."""
        print(f"{case.name}, {tool} ...", file=sys.stderr, flush=True)
        try:
            with case.setting() if case.setting else _nothing():
                outcomes = []
                for _ in range(rounds):
                    outcomes.append(self._once(tool, case))
                    if outcomes[-1].hung:
                        break
        except RuntimeError as error:
            return f"(not here: {error})"
        first = outcomes[0]
        for outcome in outcomes[1:]:
            first.remark(outcome.words)
        words = []
        if not first.hung:
            words.append(time_text(statistics.median(outcome.wall for outcome in outcomes)))
        if first.disk is not None and not first.hung:
            words.append(f"{size_text(first.disk)} on disk")
        return ", ".join(words) + ("; " if words and first.words else "") + "; ".join(first.words)


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False
