# SPDX-License-Identifier: GPL-3.0-or-later
"""Sourced by gdb after a core: reads what a victim printed, as gdb sees it, and compares.

Names are STATE/NAME: what never was there cannot be accessed, the rest is what the victim says. OUT is
the convenience variable $out, the states to look at are in $states.
"""

import struct

import gdb

MASK = (1 << 64) - 1


def pattern(seed, at, n_bytes):
    first = at // 8
    return struct.pack("<%dQ" % (n_bytes // 8), *(
        (seed * 0x9E3779B97F4A7C15 + 1 + i * 0xD1342543DE82EF95) & MASK
        for i in range(first, first + n_bytes // 8)))


def seen(addr, length):
    try:
        return gdb.selected_inferior().read_memory(addr, length).tobytes()
    except gdb.MemoryError:
        return None


def truth(path, states):
    for line in open(path):
        fields = line.split()
        if len(fields) < 4 or fields[0] not in ("fill", "zero"):
            continue
        state, addr, length = fields[1].split("/")[0], int(fields[2], 16), int(fields[3], 16)
        if state not in states:
            continue
        # gdb is slow: of long ranges the ends.
        for at in {0, length // 2 & ~4095, max(0, length - 1) & ~4095}:
            n_bytes = min(4096, length - at)
            want = bytes(n_bytes) if fields[0] == "zero" else pattern(int(fields[4], 16), at, n_bytes)
            yield fields[1], addr + at, n_bytes, None if state == "never" else want


def compare():
    states = gdb.convenience_variable("states").string().split()
    pages = list(truth(gdb.convenience_variable("out").string(), states))
    pages = pages[::len(pages) // 500 + 1]
    bad = [page for page in pages if seen(page[1], page[2]) != page[3]]
    for name, addr, _, _ in bad[:20]:
        print("gdb: %s at %#x is not as the victim says" % (name, addr))
    print("gdb: %d pages, %d bad" % (len(pages), len(bad)))


compare()
