# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: the victims, the options and the goals of each case, as data."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Goal:
    """A figure of livecore's over a reference's, or over a number of MiB."""
    figure: str     # "wall", "frozen", "disk" or "rss"
    over: str       # "gcore", "cp", "resident", "MiB"
    at_most: float


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    text: str
    victim: tuple                # the first word: a key of tools.Bench.victims
    options: tuple = ()          # livecore's
    goals: tuple = ()
    everywhere: bool = False     # in every directory, not in the first only
    cp: bool = False
    # A new victim for each run: gcore's reading maps pages that were not there, and the next
    # dumper would find another process.
    fresh: bool = True


RSS = Goal("rss", "MiB", 16)  # in every case
FAST_FREEZE = (Goal("frozen", "gcore", 0.1),)
MORE_MAPPED = (Goal("wall", "gcore", 0.2), Goal("frozen", "gcore", 0.2),
               Goal("disk", "resident", 1.05))

CASES = (
    Case("dense", "1 GiB without a zero page", ("bench", "-m", "1024"), everywhere=True, cp=True,
         fresh=False, goals=(Goal("wall", "gcore", 0.85), Goal("wall", "cp", 1.15))),
    Case("half", "1 GiB, half of it zero in runs of 64 KiB", ("bench", "-m", "1024", "-z", "16"),
         everywhere=True, fresh=False),
    Case("scattered", "1 GiB, every other page zero at random", ("bench", "-m", "1024", "-z", "1"),
         everywhere=True, fresh=False),
    Case("big", "4.5 GiB without a zero page", ("bench", "-m", "4608"), fresh=False),
    Case("threads", "1000 threads", ("bench", "-t", "1000")),
    Case("threads-minimal", "1000 threads, --minimal", ("bench", "-t", "1000"), ("--minimal",),
         goals=FAST_FREEZE),
    Case("maps-10000", "10,000 mappings", ("bench", "-p", "10000"), goals=FAST_FREEZE),
    Case("maps-40000", "40,000 mappings", ("bench", "-p", "40000"), goals=FAST_FREEZE),
    Case("small", "a small process", ("bench-static",), goals=(Goal("wall", "gcore", 0.1),)),
    Case("small-minimal", "a small process, --minimal", ("bench-static",), ("--minimal",),
         goals=(Goal("wall", "gcore", 0.1),)),
    Case("java", "an idle JVM, -Xmx2g", ("java",), goals=MORE_MAPPED),
    Case("node", "an idle node", ("node",), goals=MORE_MAPPED),
    Case("go", "an idle Go program", ("go",), goals=MORE_MAPPED),
    Case("python", "an idle Python", ("python",), goals=MORE_MAPPED),
)
