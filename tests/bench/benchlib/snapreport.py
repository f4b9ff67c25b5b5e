# SPDX-License-Identifier: GPL-3.0-or-later
"""Markdown tables of what snapshots cost: per victim, the fit over all sizes, and the goals."""
import json
import statistics

from benchlib import snapload

MIB = 1 << 20
GIB = 1 << 30
NAMES = {
    "none": "*left alone*",
    "writer": "*a file written beside*",
    "gcore": "gcore",
    "off": "livecore, plain",
    "copy": "livecore, copy",
    "fork": "livecore, fork",
    "precopy": "livecore, precopy",
}


def ms(ns):
    if ns is None:
        return ""
    return f"{ns / 1e6:,.2f}" if ns < 1e7 else f"{ns / 1e6:,.1f}" if ns < 1e8 else f"{ns / 1e6:,.0f}"


def mib(size):
    return "" if size is None else f"{size / MIB:,.1f}" if size < 100 * MIB else f"{size / MIB:,.0f}"


def _percent(part, whole):
    return f"{100 * part / whole:.0f} %" if whole else ""


def stops_text(samples):
    """Each stop of the dump with the median sum."""
    samples = sorted((sample for sample in samples if sample.dump.frozen is not None),
                     key=lambda sample: sample.dump.frozen)
    if not samples:
        return ""
    stops = samples[len(samples) // 2].dump.stops
    text = " + ".join(ms(stop) for stop in stops[:3])
    return text + (f" + {len(stops) - 3} more" if len(stops) > 3 else "")


# ---- one victim ---------------------------------------------------------------------------------

def _remarks(result):
    for strategy, why in result.left_out.items():
        print(f"- {NAMES.get(strategy, strategy)} was left out: {why}.")
    for strategy, remark in sorted({(sample.strategy, remark) for sample in result.samples
                                    for remark in sample.dump.remarks}):
        print(f"- {NAMES[strategy]}: {remark}.")
    print(flush=True)


COLUMNS = ("wall", "frozen", "each stop", "gap", "none ran", "stolen", "fault", "mmap", "write", "work",
           "written to", "passes", "copied inside", "dumper", "growth", "core (on disk)")


def _row(result, strategy):
    def victim(figure):
        return result.median(strategy, lambda sample: sample.victim.get(figure, 0))

    def dump(figure):
        return result.median(strategy, lambda sample: getattr(sample.dump, figure))

    def share(figure):
        quiet = result.median("none", lambda sample: sample.rate(figure))
        return _percent(result.median(strategy, lambda sample: sample.rate(figure)), quiet)

    is_dump = strategy not in snapload.CONTROLS
    samples = result.of(strategy)
    says = is_dump and strategy != "gcore"
    return [ms(dump("wall")), ms(dump("frozen")) if says else "", stops_text(samples),
            *(ms(victim(figure)) for figure in ("gap", "all")),
            ms(result.median(strategy, lambda sample: sample.stolen)),
            *(ms(victim(figure)) for figure in ("fault", "mmap")),
            ms(victim("write")) if result.rate else "", share("work"), share("dirtied"),
            f"{dump('passes'):g}" if strategy == "precopy" else "",
            mib(dump("inside")) if says else "",
            *([mib(dump("rss")), mib(dump("grown")), f"{mib(dump('size'))} ({mib(dump('disk'))})"]
              if is_dump else ["", "", ""])]


def victim_table(result):
    load = (f"{result.rate} MiB/s of its pages written to, one thread that reads" if result.rate
            else "idle")
    where = f", cores to {result.directory}" if result.directory else ""
    print(f"### {result.size:g} GiB, {load}{where}\n")
    if result.forks:
        print(f"A bare fork() of this process: {ms(statistics.median(result.forks))} ms "
              f"({ms(min(result.forks))} to {ms(max(result.forks))}).\n")
    print("| | " + " | ".join(COLUMNS) + " |")
    print("|---" + "|--:" * len(COLUMNS) + "|")
    for strategy, name in NAMES.items():
        if result.of(strategy):
            print(f"| {name} | " + " | ".join(_row(result, strategy)) + " |")
    print()
    _remarks(result)


# ---- the fit ------------------------------------------------------------------------------------


def _solve(matrix, vector):
    """Gauss with pivots; None where there is no single answer."""
    n = len(vector)
    rows = [[*row, value] for row, value in zip(matrix, vector)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda j: abs(rows[j][i]))
        if abs(rows[pivot][i]) < 1e-6:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for j in range(n):
            if j != i:
                factor = rows[j][i] / rows[i][i]
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i])]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def least_squares(points, values):
    columns = list(zip(*points))
    matrix = [[sum(a * b for a, b in zip(one, other)) for other in columns] for one in columns]
    return _solve(matrix, [sum(a * value for a, value in zip(column, values)) for column in columns])


def _worst_error(points, values, fit):
    return max(abs(sum(a * b for a, b in zip(point, fit)) - value)
               for point, value in zip(points, values))


def _fit_row(strategy, samples):
    """samples: (size in GiB, sample)."""
    megabytes = [sample.dump.inside / 1e6 for _, sample in samples]
    # Less than some megabytes is lost in the noise.
    with_dirty = strategy == "precopy" and max(megabytes) - min(megabytes) > 4
    points = [(1, size, inside)[:3 if with_dirty else 2]
              for (size, _), inside in zip(samples, megabytes)]
    values = [sample.frozen() / 1e6 for _, sample in samples]
    fit = least_squares(points, values)
    if not fit:
        return f"| {NAMES[strategy]} | {len(samples)} | too few sizes, or rates, for a fit ||||"
    dirty = f"{1 / fit[2]:,.2f}" if with_dirty and fit[2] else ""
    return (f"| {NAMES[strategy]} | {len(samples)} | {fit[0]:,.2f} | {fit[1]:,.2f} | {dirty} "
            f"| {_worst_error(points, values, fit):,.1f} |")


def fits(results):
    print("### Frozen = a + b * GiB + bytes copied inside / c, by least squares\n")
    print("gcore's time is the longest gap that the process saw; the others' the sum of all stops, as "
          "reported.\n")
    print("| | dumps | a, ms | b, ms per GiB | c, GB/s | farthest off, ms |")
    print("|---|--:|--:|--:|--:|--:|")
    for strategy in snapload.STRATEGIES:
        samples = [(result.size, sample) for result in results for sample in result.of(strategy)]
        if samples:
            print(_fit_row(strategy, samples))
    print(flush=True)


# ---- the goals ----------------------------------------------------------------------------------

# The figures that the strategies are held to.
PRECOPY_MS, PRECOPY_MS_PER_GIB, PRECOPY_BYTES_PER_MS = 2.0, 0.5, 4e6
IDLE_MS, GCORE_TIMES = 3.0, 300
FORK_TIMES = 1.5
COPY_MS_PER_GIB = 200.0
GAP_MS, GAP_FROM_GIB = 10.0, 4


def _frozen_ms(result, strategy):
    ns = result.median(strategy, lambda sample: sample.frozen())
    return None if ns is None else ns / 1e6


def _precopy_goals(result):
    frozen = _frozen_ms(result, "precopy")
    if frozen is None:
        return
    inside = result.median("precopy", lambda sample: sample.dump.inside)
    yield ("precopy: frozen, ms", frozen,
           PRECOPY_MS + PRECOPY_MS_PER_GIB * result.size + inside / PRECOPY_BYTES_PER_MS)
    gcore = _frozen_ms(result, "gcore")
    if result.size == 1 and not result.rate:
        yield "precopy: frozen, ms, idle", frozen, IDLE_MS
        if gcore:
            yield "precopy: frozen, of gcore's", frozen / gcore, 1 / GCORE_TIMES
    if result.size >= GAP_FROM_GIB:
        yield "precopy: longest gap, ms", result.quiet_gap("precopy") / 1e6, GAP_MS


def _goals(result):
    yield from _precopy_goals(result)
    fork, copy = _frozen_ms(result, "fork"), _frozen_ms(result, "copy")
    if fork is not None and result.forks:
        yield "fork: frozen, of a bare fork()", fork / (statistics.median(result.forks) / 1e6), FORK_TIMES
    if copy is not None:
        yield "copy: frozen, ms per GiB", copy / result.size, COPY_MS_PER_GIB


def goals(results):
    print("### Goals, of medians\n")
    print("| Victim | Figure | at most | measured | |")
    print("|---|---|--:|--:|---|")
    for result in results:
        for name, value, at_most in _goals(result):
            print(f"| {result.size:g} GiB, {result.rate} MiB/s | {name} | {at_most:,.4g} "
                  f"| {value:,.4g} | {'reached' if value <= at_most else '**not reached**'} |")
    print(flush=True)


# ---- servers ------------------------------------------------------------------------------------


def server_table(server, result):
    print(f"### {server.text}, cores to {result.directory}\n")
    print("| | wall | frozen | each stop | worst seen | in the worst round | copied inside | dumper | growth "
          "| core (on disk) |")
    print("|---" + "|--:" * 9 + "|")
    for strategy, name in NAMES.items():
        samples = result.of(strategy)
        if not samples:
            continue

        def median(figure):
            return result.median(strategy, lambda sample: getattr(sample.dump, figure))

        cells = [ms(median("wall")), "", "",
                 ms(result.median(strategy, lambda sample: sample.victim["gap"])),
                 ms(max(sample.victim["gap"] for sample in samples)), "", "", "", ""]
        if strategy not in snapload.CONTROLS:
            cells[6:] = [mib(median("rss")), mib(median("grown")),
                         f"{mib(median('size'))} ({mib(median('disk'))})"]
            if strategy != "gcore":
                cells[1:3] = [ms(median("frozen")), stops_text(samples)]
                cells[5] = mib(median("inside"))
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()
    _remarks(result)


def raw(file, name, result):
    """One line of JSON for each dump."""
    for sample in result.samples:
        json.dump({"victim": name, "strategy": sample.strategy, **vars(sample.dump),
                   "seen": sample.victim, "stolen": sample.stolen}, file)
        file.write("\n")
    file.flush()
