# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python that measures from inside for how long it was stopped; speaks as victim_bench does.

Idle, or with the argument "busy" one that allocates, and keeps the last 100 MiB or so.
"""
import collections
import itertools
import sys
import threading
import time


class Clock:
    longest = 0
    ticks = 0
    reset = False

    def watch(self):
        last = time.monotonic_ns()
        while True:
            time.sleep(50e-6)
            now = time.monotonic_ns()
            if self.reset:
                self.longest = 0
                self.reset = False
            else:
                self.longest = max(self.longest, now - last)
            last = now
            self.ticks += 1

    def wait_ticks(self):
        start = self.ticks
        while self.ticks - start < 2:
            time.sleep(50e-6)


def allocate():
    kept = collections.deque(maxlen=100_000)
    for number in itertools.count():
        kept.append([str(number), [number] * 100])
        if number % 200 == 0:
            time.sleep(0.001)


clock = Clock()
if sys.argv[1:] == ["busy"]:
    threading.Thread(target=allocate, daemon=True).start()
threading.Thread(target=clock.watch, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    if line == "reset\n":
        clock.reset = True
    clock.wait_ticks()
    print("ok" if line == "reset\n" else clock.longest, flush=True)
