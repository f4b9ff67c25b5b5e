# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the helpers, starts the victims, runs the dumpers, and leaves nothing behind."""
import dataclasses
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20


@dataclasses.dataclass
class Sample:
    """One run. Times in ns, sizes in bytes."""
    wall: int
    frozen: int
    rss: int
    size: int
    disk: int
    resident: int


@dataclasses.dataclass
class Result:
    case: object
    directory: str
    skipped: str = ""  # why: a program is missing
    failed: str = ""   # why: a tool did not do its work
    samples: dict = dataclasses.field(default_factory=dict)  # by tool

    def median(self, tool, figure):
        return statistics.median(getattr(sample, figure) for sample in self.samples[tool])

    def worst(self, tool, figure):
        return max(getattr(sample, figure) for sample in self.samples[tool])


class Failure(Exception):
    pass


class Victim:
    """A process that says "ready", answers "reset" and "gap", and ends with its input."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, bufsize=1)
        try:
            if self.process.stdout.readline() != "ready\n":
                raise Failure(f"{command[0]} did not start")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self):
        return self.process.pid

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        return self.process.stdout.readline().strip()

    def resident(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def close(self):
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Bench:
    """The work directories and helpers of one run of the benchmarks."""

    def __init__(self, here, livecore, directories):
        self.here = here
        self.livecore = livecore
        self.parents = directories
        self.directories = []
        self.work = None
        self.command = None  # the dumper that runs, if one does

    def __enter__(self):
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._end_command()
        for path in [self.work, *self.directories]:
            if path:
                shutil.rmtree(path, ignore_errors=True)

    def _set_up(self):
        if not os.access(self.livecore, os.X_OK):
            raise SystemExit(f"{self.livecore}: no such program; build it or give --livecore")
        if not shutil.which("gcore"):
            raise SystemExit("gcore (of gdb) is not installed: nothing to compare with")
        self.work = tempfile.mkdtemp(prefix="livecore-bench.")
        for parent in self.parents:
            self.directories.append(tempfile.mkdtemp(prefix="livecore-bench.", dir=parent))
        self.measure = self._compile("measure")
        self.victims = {
            "bench": [self._compile("victim_bench")],
            # Without libraries, its memory is about 64 KiB.
            "bench-static": [self._compile("victim_bench", "-static")],
            "java": self._java(),
            "node": self._script("node", "idle.js"),
            "go": self._go(),
            "python": [sys.executable, os.path.join(self.here, "idle", "idle.py")],
        }

    def _compile(self, name, *flags):
        output = os.path.join(self.work, name + "".join(flags))
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2",
                        "-pthread", *flags, os.path.join(self.here, name + ".c"), "-o", output],
                       check=True)
        return output

    def _script(self, interpreter, name):
        if not shutil.which(interpreter):
            return None
        return [interpreter, os.path.join(self.here, "idle", name)]

    def _java(self):
        if not shutil.which("javac"):
            return None
        subprocess.run(["javac", "-d", self.work, os.path.join(self.here, "idle", "Idle.java")],
                       check=True)
        return ["java", "-Xmx2g", "-cp", self.work, "Idle"]

    def _go(self):
        if not shutil.which("go"):
            return None
        output = os.path.join(self.work, "idle-go")
        cache = os.path.join(self.work, "go-cache")
        subprocess.run(["go", "build", "-o", output, os.path.join(self.here, "idle", "idle.go")],
                       check=True, env=dict(os.environ, GOCACHE=cache, GO111MODULE="off"))
        return [output]

    def _end_command(self):
        for signum in (signal.SIGTERM, signal.SIGKILL):
            if self.command and self.command.poll() is None:
                os.killpg(self.command.pid, signum)  # the group was made for this command
                try:
                    self.command.wait(10)
                except subprocess.TimeoutExpired:
                    pass

    def _measure(self, command, directory, warm_mib, accept=("0",), seconds=None):
        """Runs a command that is to end with one of these statuses, within that time.

        Returns its wall time in ns, its maximal resident size in bytes, and what it printed.
        """
        report_r, report_w = os.pipe()
        # measure reports on descriptor 3, whatever number the pipe has here.
        shell = ["sh", "-c", f'exec "$@" 3>&{report_w}', "sh"]
        try:
            self.command = subprocess.Popen(
                [*shell, self.measure, "-w", f"{directory}:{warm_mib}", *command],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                pass_fds=[report_w], start_new_session=True, text=True)
            os.close(report_w)
            report_w = -1
            output, errors = self.command.communicate(timeout=seconds)
            with os.fdopen(report_r, encoding="ascii") as report:
                report_r = -1
                words = report.read().split()
        except subprocess.TimeoutExpired:
            raise Failure(f"{os.path.basename(command[0])} was not through after {seconds} s") from None
        finally:
            self._end_command()
            self.command = None
            for fd in (report_r, report_w):
                if fd >= 0:
                    os.close(fd)
        if len(words) != 3 or words[2] not in accept:
            raise Failure(f"{os.path.basename(command[0])} failed: {errors.strip()}")
        return int(words[0]), int(words[1]) * 1024, output

    def _commands(self, case, directory):
        """Tool -> (command for a PID, the file that it writes)."""
        core = os.path.join(directory, "core.{pid}")
        return {
            "gcore": (["gcore", "-o", os.path.join(directory, "core"), "{pid}"], core),
            "livecore": ([self.livecore, "-q", *case.options, "-o", core, "{pid}"], core),
        }

    def _dump(self, victim, command, directory, warm_mib):
        words, path = command
        words = [word.format(pid=victim.pid) for word in words]
        path = path.format(pid=victim.pid)
        resident = victim.resident()
        victim.ask("reset")
        wall, rss, _ = self._measure(words, directory, warm_mib)
        frozen = int(victim.ask("gap"))
        status = os.stat(path)
        return Sample(wall, frozen, rss, status.st_size, status.st_blocks * 512, resident), path

    def _copy(self, core, directory, warm_mib):
        copy = core + ".copy"
        wall, rss, _ = self._measure(["cp", core, copy], directory, warm_mib)
        status = os.stat(copy)
        os.unlink(copy)
        return Sample(wall, 0, rss, status.st_size, status.st_blocks * 512, 0)

    def jitter(self):
        """The longest gap in ns that a victim sees in a second in which nobody dumps it."""
        victim = Victim(self.victims["bench"])
        try:
            victim.ask("reset")
            time.sleep(1)
            return int(victim.ask("gap"))
        finally:
            victim.close()

    def run(self, case, directory, rounds):
        result = Result(case, os.path.dirname(directory))
        command = self.victims[case.victim[0]]
        if not command:
            result.skipped = f"{case.victim[0]} is not installed"
            return result
        print(f"{case.name} in {result.directory} ...", file=sys.stderr, flush=True)
        try:
            self._rounds(case, directory, rounds, [*command, *case.victim[1:]], result)
        except Failure as failure:
            result.failed = str(failure)
        return result

    def _rounds(self, case, directory, rounds, victim_command, result):
        """Round 0 is not counted: it tells how much each tool writes, so how much to warm."""
        tools = list(self._commands(case, directory).items())
        warm = {}
        victim = None
        try:
            for i in range(rounds + 1):
                # Who is first changes from round to round.
                for tool, command in tools if i % 2 else tools[::-1]:
                    victim = victim or Victim(victim_command)
                    sample, path = self._dump(victim, command, directory, warm.get(tool, 8))
                    samples = {tool: sample}
                    if case.cp and tool == "livecore":
                        samples["cp"] = self._copy(path, directory, warm.get(tool, 8))
                    os.unlink(path)
                    warm[tool] = sample.disk // MIB * 9 // 8 + 16
                    for name in samples if i else ():
                        result.samples.setdefault(name, []).append(samples[name])
                    if case.fresh:
                        victim.close()
                        victim = None
        finally:
            if victim:
                victim.close()
