# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints results as markdown tables."""
import os
import platform
import subprocess

MIB = 1 << 20
FIGURES = {
    "wall": "wall time",
    "frozen": "frozen time",
    "disk": "core on disk",
    "rss": "livecore's resident memory",
}


def _first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0]
    except OSError:
        return "unknown"


def header(rounds):
    gdb = _first_line(["gdb", "--version"])
    print(f"Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} processors; {gdb}; "
          f"medians of {rounds} rounds.\n")


def _ms(ns):
    return f"{ns / 1e6:,.1f}" if ns < 1e8 else f"{ns / 1e6:,.0f}"


def _mib(size):
    return f"{size / MIB:,.1f}" if size < 100 * MIB else f"{size / MIB:,.0f}"


def _name(result):
    return result.case.text + (f", to {result.directory}" if result.case.everywhere else "")


def _times(result, figure):
    ours, theirs = result.median("livecore", figure), result.median("gcore", figure)
    return f"{_ms(ours)} / {_ms(theirs)} | {ours / theirs:.2f}"


def _sizes(result, tool):
    return f"{_mib(result.median(tool, 'size'))} ({_mib(result.median(tool, 'disk'))})"


def measured(results):
    print("Each pair is livecore / gcore. Times are in ms; frozen is the longest gap that the "
          "victim saw;\nsizes are in MiB, on disk in parentheses; RSS is livecore's own, "
          "at its largest.\n")
    print("| Victim | resident | wall | ratio | frozen | ratio | core: livecore | core: gcore | RSS |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for result in results:
        if result.skipped:
            print(f"| {_name(result)} | skipped: {result.skipped} ||||||||")
            continue
        print(f"| {_name(result)} | {_mib(result.median('livecore', 'resident'))} "
              f"| {_times(result, 'wall')} | {_times(result, 'frozen')} "
              f"| {_sizes(result, 'livecore')} | {_sizes(result, 'gcore')} "
              f"| {_mib(result.worst('livecore', 'rss'))} |")
    print()


def _value(result, goal):
    if goal.over == "MiB":
        return result.worst("livecore", goal.figure) / MIB
    if goal.over == "resident":
        reference = result.median("livecore", "resident")
    else:
        reference = result.median(goal.over, goal.figure)
    return result.median("livecore", goal.figure) / reference


def goals(results):
    """Prints each figure that has a goal; returns whether all were reached."""
    reached_all = True
    print("| Victim | Figure | goal, at most | measured | reached |")
    print("|---|---|--:|--:|---|")
    for result in results:
        for goal in () if result.skipped else result.case.goals:
            value = _value(result, goal)
            reached = value <= goal.at_most
            reached_all = reached_all and reached
            unit = " MiB" if goal.over == "MiB" else f" of {goal.over}"
            if goal.over in ("gcore", "cp"):
                unit += "'s"
            digits = 1 if goal.over == "MiB" else 3
            print(f"| {_name(result)} | {FIGURES[goal.figure]} | {goal.at_most:g}{unit} "
                  f"| {value:.{digits}f} | {'yes' if reached else '**no**'} |")
    return reached_all
