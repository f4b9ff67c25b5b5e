# SPDX-License-Identifier: GPL-3.0-or-later
"""The hard targets, as data."""
import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import time


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    text: str
    victim: tuple             # a program of tests/victim and its arguments
    options: tuple = ()       # livecore's
    dumps: int = 1            # of one victim
    # Seconds, then the dumper is killed. gcore fills holes with memory at up to 0.5 GiB/s.
    timeout: int = 30
    threads: bool = True      # the core should have the threads that there were before
    still: bool = True        # the process does nothing by itself that needs memory
    left_out: tuple = ()      # ranges that no core should have
    ends: bool = False        # the process ends meanwhile
    stops: bool = False       # it stops meanwhile
    traced: bool = False      # by somebody else, before and after
    kills: bool = False       # the dumper is killed: what matters is the process
    moment: bool = False      # the core must be of one moment: corecheck's "moment"
    set_up: object = None     # called with the victim before the dump
    meanwhile: object = None  # called with the victim and the dumper's Popen
    afterwards: object = None  # called with the victim: a list of remarks
    setting: object = None    # a context manager: what the machine must be set to


@contextlib.contextmanager
def _sysctl(path, value):
    try:
        with open(path, encoding="ascii") as file:
            before = file.read()
        with open(path, "w", encoding="ascii") as file:
            file.write(str(value))
    except OSError as error:
        raise RuntimeError(error) from error
    try:
        yield
    finally:
        with open(path, "w", encoding="ascii") as file:
            file.write(before)


def _many_maps():
    return _sysctl("/proc/sys/vm/max_map_count", 200000)


def _huge_pages():
    return _sysctl("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", 64)


# ---- system calls and signals -------------------------------------------------------------------


def _returned(victim):
    calls = [line.split() for line in victim.ask("status") if line.startswith("returned")]
    return [f"**{len(calls)} system calls failed with EINTR**"] if calls else []


def _flooded(victim):
    counts = {}
    for line in victim.ask("stop"):
        words = line.split()
        if len(words) == 3:
            counts.setdefault(words[1], {})[words[0]] = int(words[2])
    lost = sum(c["sent"] - c["got"] for c in counts.values() if "sent" in c)
    disorder = sum(c.get("disorder", 0) for c in counts.values())
    out = [f"**{lost} signals lost**"] if lost else []
    return out + ([f"**{disorder} out of order**"] if disorder else [])


def _timed(victim):
    missing = leaks = wrong = 0
    for line in victim.ask("check"):
        words = line.split()
        if words[0] == "thread":
            missing += max(0, int(words[4]) - 1)
            leaks += int(words[5])
            wrong += int(words[6])
    out = [f"**{missing} expiries lost**"] if missing else []
    out += [f"**{leaks} calls failed with EINTR**"] if leaks else []
    return out + ([f"**{wrong} results wrong**"] if wrong else [])


def _wait_until_traced(victim, tool):
    end = time.monotonic() + 20
    while time.monotonic() < end and tool.poll() is None:
        with open(f"/proc/{victim.pid}/status", encoding="utf-8", errors="replace") as status:
            if "\nTracerPid:\t0\n" not in status.read():
                break


def _completed(victim):
    words = victim.ask("any")[0].split()
    return [f"**a request of io_uring failed ({words[2]})**"] if words[1] != "0" else []


def _kill_dumper(victim, tool):
    """In the middle of it: when the process is traced, at once or a bit later."""
    _wait_until_traced(victim, tool)
    time.sleep(random.choice((0, 0.005, 0.02)))
    os.killpg(tool.pid, signal.SIGKILL)


def _stop(victim):
    os.kill(victim.pid, signal.SIGSTOP)
    time.sleep(0.2)


N_QUEUED = 500
FIRST_QUEUED = 100000  # the victim has some of its own


def _queue(victim):
    """Numbered real-time signals, all blocked; kill(1) sends them by sigqueue(3)."""
    for number in range(N_QUEUED):
        if subprocess.run(["/bin/kill", "-s", str(signal.SIGRTMIN + 1), "-q",
                           str(FIRST_QUEUED + number), str(victim.pid)],
                          check=False).returncode:
            raise RuntimeError("/bin/kill -q does not work")


def _take(victim):
    got = [line.split() for line in victim.ask("take")]
    numbers = [int(words[3]) - FIRST_QUEUED for words in got
               if words[:1] == ["got"] and int(words[3]) >= FIRST_QUEUED]
    if numbers == list(range(N_QUEUED)):
        return []
    return [f"**{N_QUEUED - len(numbers)} of {N_QUEUED} signals lost**" if len(numbers) < N_QUEUED
            else "**signals in disorder**"]


def _stop_and_continue(victim, tool):
    """Somebody wants it to stop, while it is held; and it does not go on by itself."""
    _wait_until_traced(victim, tool)
    os.kill(victim.pid, signal.SIGSTOP)


def _is_stopped(victim):
    time.sleep(0.2)
    with open(f"/proc/{victim.pid}/stat", encoding="utf-8", errors="replace") as file:
        state = file.read().rpartition(")")[2].split()[0]
    os.kill(victim.pid, signal.SIGCONT)
    return [] if state == "T" else ["**the SIGSTOP of somebody else is lost**"]


def _trace(victim):
    """strace, which ends with the victim."""
    tracer = subprocess.Popen(["strace", "-q", "-f", "-e", "trace=none", "-o", "/dev/null", "-p",
                               str(victim.pid)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    if tracer.poll() is not None:
        raise RuntimeError("strace does not trace")


CASES = (
    # threads
    Case("vfork", "a thread in vfork(2)", ("victim_vfork",), ("--timeout=1",)),
    Case("clone-vm", "processes that share the memory", ("victim_clonevm",)),
    Case("churn", "threads that start and end at full speed, 5 dumps", ("victim_many_threads", "8", "churn"),
         dumps=5, threads=False, still=False),
    Case("bomb", "threads that create, join, and exit at full speed, 10 dumps", ("victim_bomb",), dumps=10,
         threads=False, still=False),
    Case("exec", "a process that executes itself all the time, 5 dumps", ("victim_exec", "thread", "30"),
         dumps=5, threads=False, still=False),
    Case("threads-5000", "5,000 threads", ("victim_many_threads", "5000"), timeout=120),
    Case("leader-exited", "the first thread has exited", ("victim_leader_exited",)),
    Case("stopped", "stopped by SIGSTOP", ("victim_clock", "-m", "64"), set_up=_stop),
    Case("stop-meanwhile", "SIGSTOP while it is held", ("victim_clock", "-m", "512"),
         meanwhile=_stop_and_continue, afterwards=_is_stopped, stops=True, still=False),
    Case("traced", "already traced, by strace", ("victim_busy", "4"), set_up=_trace, still=False, traced=True),
    Case("queued", f"{N_QUEUED} real-time signals queued", ("victim_signals",), set_up=_queue, afterwards=_take),
    Case("calls", "blocked in each system call that sleeps, 3 dumps", ("victim_syscalls",), dumps=3,
         afterwards=_returned, still=False),
    Case("uring", "a worker of io_uring waits in a request", ("victim_uring",), afterwards=_completed),
    Case("flood", "signals at full speed, 10 dumps", ("victim_flood",), dumps=10, still=False,
         afterwards=_flooded),
    Case("timer", "timers of 200 us in every thread, 10 dumps", ("victim_timer",), dumps=10, still=False,
         afterwards=_timed),
    Case("dying", "a thread is caught in its exit, another in close()", ("victim_dying",), ("--timeout=1",),
         threads=False),
    Case("killed", "the dumper is killed in the middle (SIGKILL), 5 times", ("victim_flood", "4", "512"),
         dumps=5,
         meanwhile=_kill_dumper, kills=True, still=False, afterwards=_flooded),
    # memory
    Case("guard", "guard pages (MADV_GUARD_INSTALL)", ("victim_hard", "guard")),
    Case("truncated", "mappings that go on behind the end of their file", ("victim_hard", "truncated"),
         ("--filter=+file-private,+file-shared",)),
    Case("protected", "PROT_NONE of many GiB, write-only, execute-only", ("victim_hard", "protected"),
         timeout=15),
    Case("reserve", "a reservation of 16 TiB, as a sanitizer makes", ("victim_hard", "reserve"), timeout=15),
    Case("holes", "shared memory and files of 8 GiB with some pages", ("victim_hard", "holes"), timeout=15,
         options=("--filter=+file-shared",)),
    Case("huge", "huge pages", ("victim_hard", "huge"), ("--filter=+hugetlb-shared",), setting=_huge_pages),
    Case("excluded", "memfd_secret, MADV_DONTDUMP", ("victim_hard", "excluded"),
         left_out=("present/dontdump",)),
    Case("six-gib", "one mapping of 6 GiB", ("victim_hard", "six_gib"), timeout=60),
    Case("edges", "the first and the last page of the address space", ("victim_edges",)),
    Case("uffd", "userfaultfd, its handler in the process", ("victim_uffd",)),
    Case("fuse", "files on FUSE, its server in the process", ("victim_fuse",)),
    Case("fuse-hung", "the same, and the server answers nobody", ("victim_fuse", "hung")),
    Case("fanotify", "an on-access scanner (fanotify)", ("victim_fanotify",), ("--all",)),
    Case("maps-churn", "mappings that come and go at full speed, 5 dumps", ("victim_hostile", "maps"), dumps=5,
         still=False, moment=True),
    Case("maps-7000", "7,000 mappings", ("victim_many_maps", "7000"), setting=_many_maps),
    Case("maps-70000", "70,000 mappings", ("victim_many_maps", "70000"), setting=_many_maps, timeout=120),
)
