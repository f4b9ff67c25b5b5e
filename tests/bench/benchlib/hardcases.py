# SPDX-License-Identifier: GPL-3.0-or-later
"""The hard targets, as data."""
import contextlib
import dataclasses
import os
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
    timeout: int = 30         # seconds, then the dumper is killed
    threads: bool = True      # the core should have the threads that there were before
    still: bool = True        # the process does nothing by itself that needs memory
    ends: bool = False        # the process ends meanwhile
    kills: bool = False       # the dumper is killed: what matters is the process
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


def _kill_dumper(victim, tool):
    """In the middle of it: when the process is traced, and a bit later."""
    end = time.monotonic() + 20
    while time.monotonic() < end and tool.poll() is None:
        with open(f"/proc/{victim.pid}/status", encoding="utf-8", errors="replace") as status:
            if "\nTracerPid:\t0\n" not in status.read():
                break
    time.sleep(0.02)
    os.killpg(tool.pid, signal.SIGKILL)


def _stop(victim):
    os.kill(victim.pid, signal.SIGSTOP)
    time.sleep(0.2)


CASES = (
    # threads
    Case("vfork", "a thread in vfork(2)", ("victim_vfork",), ("--timeout=1",)),
    Case("clone-vm", "processes that share the memory", ("victim_clonevm",)),
    Case("churn", "threads that start and end at full speed, 5 dumps", ("victim_many_threads", "8", "churn"),
         dumps=5, threads=False, still=False),
    Case("bomb", "threads that create, join, and exit at full speed, 10 dumps", ("victim_bomb",), dumps=10,
         threads=False, still=False),
    Case("threads-5000", "5,000 threads", ("victim_many_threads", "5000"), timeout=120),
    Case("leader-exited", "the first thread has exited", ("victim_leader_exited",)),
    Case("stopped", "stopped by SIGSTOP", ("victim_clock", "-m", "64"), set_up=_stop),
    Case("calls", "blocked in each system call that sleeps, 3 dumps", ("victim_syscalls",), dumps=3,
         afterwards=_returned, still=False),
    Case("flood", "signals at full speed, 10 dumps", ("victim_flood",), dumps=10, still=False,
         afterwards=_flooded),
    Case("timer", "timers of 200 us in every thread, 10 dumps", ("victim_timer",), dumps=10, still=False,
         afterwards=_timed),
    Case("dying", "a thread is caught in its exit, another in close()", ("victim_dying",), ("--timeout=1",),
         threads=False),
    Case("killed", "the dumper is killed in the middle (SIGKILL)", ("victim_flood", "4", "512"),
         meanwhile=_kill_dumper, kills=True, still=False, afterwards=_flooded),
    # memory
    Case("guard", "guard pages (MADV_GUARD_INSTALL)", ("victim_hard", "guard")),
    Case("truncated", "mappings that go on behind the end of their file", ("victim_hard", "truncated"),
         ("--filter=+file-private,+file-shared",)),
    Case("protected", "PROT_NONE of many GiB, write-only, execute-only", ("victim_hard", "protected"),
         timeout=60),
    Case("reserve", "a reservation of 16 TiB, as a sanitizer makes", ("victim_hard", "reserve")),
    Case("holes", "shared memory and files of 8 GiB with some pages", ("victim_hard", "holes"), timeout=60,
         options=("--filter=+file-shared",)),
    Case("huge", "huge pages", ("victim_hard", "huge"), ("--filter=+hugetlb-shared",), setting=_huge_pages),
    Case("excluded", "memfd_secret, MADV_DONTDUMP", ("victim_hard", "excluded")),
    Case("six-gib", "one mapping of 6 GiB", ("victim_hard", "six_gib"), timeout=60),
    Case("edges", "the first and the last page of the address space", ("victim_edges",)),
    Case("uffd", "userfaultfd, its handler in the process", ("victim_uffd",)),
    Case("fuse", "files on FUSE, its server in the process", ("victim_fuse",)),
    Case("fuse-hung", "the same, and the server answers nobody", ("victim_fuse", "hung")),
    Case("fanotify", "an on-access scanner (fanotify)", ("victim_fanotify",), ("--all",)),
    Case("maps-7000", "7,000 mappings", ("victim_many_maps", "7000"), setting=_many_maps),
    Case("maps-70000", "70,000 mappings", ("victim_many_maps", "70000"), setting=_many_maps, timeout=120),
)
