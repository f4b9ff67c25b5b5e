# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps a process under load by each strategy in turn, and keeps what it cost the process."""
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from benchlib import tools

MIB = 1 << 20
GIB = 1 << 30
SNAPSHOTS = ("off", "copy", "fork", "precopy")
STRATEGIES = ("gcore", *SNAPSHOTS)
# Who dumps nothing: the process is left alone for as long as the longest dump of the round before
# took; as much as a core is written to a file beside it.
CONTROLS = ("none", "writer")
REST = "the rest"       # what is left out when the victim is no more
THREADS = 10
QUIET_SECONDS = (1, 10)  # at least, at most, of "none"
TIMEOUT_SECONDS = 900
SPARE = GIB              # of memory, for everything else
SLOW = GIB // 2          # bytes per second that a core is written at, at worst
SPACE_FACTOR = 1.05


def mem_info():
    """The fields of /proc/meminfo in bytes."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file}


def stolen_ns():
    """What the machine under this virtual one has kept from its processors, all of them together."""
    with open("/proc/stat", encoding="ascii") as file:
        return int(file.readline().split()[8]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def is_in_memory(directory):
    """Whether what is written there takes memory: a tmpfs."""
    path, found = os.path.realpath(directory), ("", "")
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, mount, kind, *_ = line.split()
            if os.path.commonpath([path, mount]) == mount and len(mount) >= len(found[0]):
                found = (mount, kind)
    return found[1] in ("tmpfs", "ramfs")


class Gone(Exception):
    """The victim."""


class Growth:
    """How much the anonymous memory and page tables of the machine grow, at their peak.

    That is the dumper's own memory, and what a copy-on-write child costs the process and itself:
    no figure of a single process tells this, as they share what neither has written to.
    """

    def __init__(self):
        self.first = self.peak = self._now()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    @staticmethod
    def _now():
        info = mem_info()
        return info["AnonPages"] + info["PageTables"]

    def _watch(self):
        while not self.ended.wait(0.01):
            self.peak = max(self.peak, self._now())

    def end(self):
        self.ended.set()
        self.thread.join()
        return self.peak - self.first


@dataclasses.dataclass
class Dump:
    """One dump, seen from outside. Times in ns, sizes in bytes."""
    wall: int = 0
    rss: int = 0
    grown: int = 0
    size: int = 0
    disk: int = 0
    frozen: int = None      # as livecore says, the sum of all stops
    stops: list = dataclasses.field(default_factory=list)
    inside: int = 0         # copied during the last stop
    passes: int = 0
    remarks: list = dataclasses.field(default_factory=list)
    report: dict = dataclasses.field(default_factory=dict)  # livecore's own, whole


@dataclasses.dataclass
class Sample:
    strategy: str
    dump: Dump
    victim: dict            # the victim's own figures
    stolen: int = 0         # ns of the machine's processors meanwhile

    def frozen(self):
        """gcore says nothing of the kind: there it is the gap that the process saw."""
        return self.victim.get("gap", 0) if self.dump.frozen is None else self.dump.frozen

    def rate(self, figure):
        return self.victim.get(figure, 0) * 1e9 / max(self.victim.get("elapsed", 0), 1)


@dataclasses.dataclass
class Result:
    """What came of one victim."""
    size: float = 0                     # GiB
    rate: int = 0                       # MiB per second
    directory: str = ""
    left_out: dict = dataclasses.field(default_factory=dict)  # strategy -> why
    samples: list = dataclasses.field(default_factory=list)
    forks: list = dataclasses.field(default_factory=list)     # bare ones, ns

    def of(self, strategy):
        return [sample for sample in self.samples if sample.strategy == strategy]

    def median(self, strategy, figure):
        """figure: from a sample to a number; None without samples."""
        values = [figure(sample) for sample in self.of(strategy)]
        return statistics.median(values) if values else None

    def quiet_gap(self, strategy):
        """The longest gap, a median of the dumps in which no time was stolen, if there are such."""
        samples = self.of(strategy)
        samples = [sample for sample in samples if not sample.stolen] or samples
        return statistics.median(sample.victim["gap"] for sample in samples) if samples else None


def read_report(text, strategy, dump):
    """livecore's --json."""
    report = json.loads(text)
    if report["strategy"] != strategy:
        raise tools.Failure(f"{report['strategy']} was taken")
    snapshot = report.get("snapshot", {})
    dump.report = report
    dump.frozen = report["frozen_ns"]
    dump.stops = snapshot.get("freezes_ns", [dump.frozen])
    dump.inside = snapshot.get("bytes_inside", 0)
    dump.passes = snapshot.get("passes", 0)
    if report["losses"]:
        dump.remarks.append(f"{len(report['losses'])} losses, the first: "
                            f"{report['losses'][0]['reason']}")


class Load(tools.Bench):
    """The helpers, and the dumpers."""

    def _set_up(self):
        if not os.access(self.livecore, os.X_OK):
            raise SystemExit(f"{self.livecore}: no such program; build it or give --livecore")
        self.work = tempfile.mkdtemp(prefix="livecore-bench.")
        for parent in self.parents:
            self.directories.append(
                tempfile.mkdtemp(prefix="livecore-bench.", dir=parent))
        self.measure = self._compile("measure")
        self.load = self._compile("victim_load")
        words = subprocess.run([self.livecore, "--help"], stdout=subprocess.PIPE, text=True,
                               check=True).stdout
        self.has_snapshots = "--snapshot" in words

    def why_not(self, strategy):
        """Whether a strategy is missing altogether, and why."""
        if strategy == "gcore" and not shutil.which("gcore"):
            return "gdb is not installed"
        if strategy in SNAPSHOTS and strategy != "off" and not self.has_snapshots:
            return "this livecore has no --snapshot"
        return ""

    def _command(self, strategy, pid, directory):
        core = os.path.join(directory, f"core.{pid}")
        if strategy == "gcore":
            return ["gcore", "-o", os.path.join(directory, "core"), str(pid)], core
        mode = [f"--snapshot={strategy}"] if self.has_snapshots else []
        return [self.livecore, "--json", "--progress=never", *mode, "-o", core, str(pid)], core

    def warm(self, directory, mib):
        self._measure(["true"], directory, mib)

    def dump(self, strategy, pid, directory):
        """Writes a core, and removes it."""
        command, core = self._command(strategy, pid, directory)
        out, growth = Dump(), Growth()
        try:
            accept = ("0",) if strategy == "gcore" else ("0", "1")
            out.wall, out.rss, text = self._measure(command, directory, 0, accept, TIMEOUT_SECONDS)
            status = os.stat(core)
            out.size, out.disk = status.st_size, status.st_blocks * 512
            if strategy != "gcore":
                read_report(text, strategy, out)
        except (OSError, ValueError, KeyError) as error:
            raise tools.Failure(f"{strategy}: {error!r}") from error
        finally:
            out.grown = growth.end()
            if os.path.exists(core):
                os.unlink(core)
        return out

    def control(self, strategy, directory, mib, seconds):
        start = time.monotonic_ns()
        if strategy == "none":
            time.sleep(seconds)
        else:
            self.warm(directory, mib)
        return Dump(wall=time.monotonic_ns() - start)


class Rounds:
    """The strategies in turns; who is first changes from round to round."""

    def __init__(self, bench, directory, mib, result):
        self.bench = bench
        self.directory = directory
        self.mib = mib  # of a core, about
        self.result = result
        self.longest = {}
        self.last = None

    def _one(self, strategy, pid, ask):
        """ask: what to call with "reset" and "report"."""
        warm_mib = self.mib * (2 if strategy == "copy" else 1) + 16
        if warm_mib * MIB <= mem_info()["MemAvailable"] // 2:
            self.bench.warm(self.directory, warm_mib)
        time.sleep(0.2)
        ask("reset")
        stolen = stolen_ns()
        if strategy in CONTROLS:
            seconds = max([QUIET_SECONDS[0], *self.longest.values()])
            dump = self.bench.control(strategy, self.directory, self.mib,
                                      min(seconds, QUIET_SECONDS[1]))
        else:
            dump = self.bench.dump(strategy, pid, self.directory)
            self.longest[strategy] = dump.wall / 1e9
        return Sample(strategy, dump, ask("report"), stolen_ns() - stolen)

    def run(self, strategies, n_rounds, pid, ask, uncounted=1, each_round=None):
        for i in range(-uncounted, n_rounds):
            first = i % len(strategies)
            for strategy in strategies[first:] + strategies[:first]:
                if strategy in self.result.left_out:
                    continue
                self.last = strategy
                try:
                    sample = self._one(strategy, pid, ask)
                except tools.Failure as failure:
                    self.result.left_out[strategy] = f"failed: {failure}"
                    continue
                if i >= 0:
                    self.result.samples.append(sample)
            if each_round and i >= 0:
                each_round()


def _numbers(line):
    return {key: int(value) for key, value in (word.split("=") for word in line.split())}


def _ask(victim, question):
    try:
        answer = victim.ask(question)
    except OSError:
        answer = ""
    if not answer:
        raise Gone
    return _numbers(answer) if question == "report" else answer


def _choose_directory(bench, size):
    """The first with room for a core of it, beside the process and a second copy of its memory."""
    available = mem_info()["MemAvailable"]
    for directory in bench.directories:
        if is_in_memory(directory) and size * 3 + SPARE > available:
            continue
        if shutil.disk_usage(directory).free > size * SPACE_FACTOR:
            return directory
    return None


def why_too_much(strategy, size, rate):
    """Why the memory does not suffice, if it does not; the process is there already."""
    seconds = size / SLOW
    need = {"copy": size, "fork": min(size, rate * MIB * seconds)}.get(strategy, 0)
    available = mem_info()["MemAvailable"]
    if need + SPARE <= available:
        return ""
    return (f"it may take {need / GIB:.1f} GiB of memory, "
            f"and {max(available - SPARE, 0) / GIB:.1f} GiB are to spare")


def run_victim(bench, gib, rate, strategies, n_rounds):
    size = int(gib * GIB)
    result = Result(gib, rate)
    directory = _choose_directory(bench, size)
    if not directory or size + SPARE > mem_info()["MemAvailable"]:
        result.left_out[REST] = "there is no room for the process and a core"
        return result
    result.directory = os.path.dirname(directory)
    print(f"{gib:g} GiB, {rate} MiB/s, to {result.directory} ...", file=sys.stderr, flush=True)
    victim = tools.Victim([bench.load, "-m", str(size // MIB), "-t", str(THREADS), "-r", str(rate),
                           "-w", "1" if rate else "0"])
    try:
        for strategy in strategies:
            why = bench.why_not(strategy) or why_too_much(strategy, size, rate)
            if why:
                result.left_out[strategy] = why

        def fork():
            result.forks += [int(word) for word in _ask(victim, "fork").split()]

        rounds = Rounds(bench, directory, size // MIB, result)
        try:
            rounds.run([*CONTROLS, *strategies], n_rounds, victim.pid,
                       lambda question: _ask(victim, question), 1 if gib < 4 else 0, fork)
        except Gone:
            result.left_out[REST] = f"the victim was gone after {rounds.last}"
    finally:
        victim.close()
    return result
