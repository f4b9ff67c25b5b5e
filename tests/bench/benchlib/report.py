# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints results as markdown tables."""
import os
import platform
import subprocess

from benchlib import cases

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


def header(rounds, jitter):
    gdb = _first_line(["gdb", "--version"])
    print(f"Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} processors; {gdb}; "
          f"medians of {rounds} rounds. Left alone for a second, a victim saw gaps of up to "
          f"{_ms(jitter)} ms.\n")


def _ms(ns):
    return f"{ns / 1e6:,.1f}" if ns < 1e8 else f"{ns / 1e6:,.0f}"


def _mib(size):
    return f"{size / MIB:,.1f}" if size < 100 * MIB else f"{size / MIB:,.0f}"


def _is_whole(result):
    return not result.skipped and not result.failed


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
        if not _is_whole(result):
            why = f"failed: {result.failed}" if result.failed else f"skipped: {result.skipped}"
            print(f"| {_name(result)} | {why} ||||||||")
            continue
        print(f"| {_name(result)} | {_mib(result.median('livecore', 'resident'))} "
              f"| {_times(result, 'wall')} | {_times(result, 'frozen')} "
              f"| {_sizes(result, 'livecore')} | {_sizes(result, 'gcore')} "
              f"| {_mib(result.worst('livecore', 'rss'))} |")
        if result.case.cp:
            print(f"| cp of that core, to {result.directory} | "
                  f"| {_ms(result.median('cp', 'wall'))} |||||||")
    print()


def _value(result, goal):
    if goal.over == "MiB":
        return result.worst("livecore", goal.figure) / MIB
    if goal.over == "resident":
        reference = result.median("livecore", "resident")
    else:
        reference = result.median(goal.over, goal.figure)
    return result.median("livecore", goal.figure) / reference


def _goal(name, goal, value):
    """Prints one goal; returns whether it was reached."""
    unit = {"MiB": " MiB", "resident": " of resident"}.get(goal.over, f" of {goal.over}'s")
    digits = 1 if goal.over == "MiB" else 3
    reached = value <= goal.at_most
    print(f"| {name} | {FIGURES[goal.figure]} | {goal.at_most:g}{unit} "
          f"| {value:.{digits}f} | {'yes' if reached else '**no**'} |")
    return reached


def goals(results):
    """Prints each figure that has a goal; returns whether all were reached and nothing failed."""
    whole = [result for result in results if _is_whole(result)]
    print("| Victim | Figure | goal, at most | measured | reached |")
    print("|---|---|--:|--:|---|")
    reached = [_goal(_name(result), goal, _value(result, goal))
               for result in whole for goal in result.case.goals]
    if whole:
        reached.append(_goal("the largest of all", cases.RSS,
                             max(_value(result, cases.RSS) for result in whole)))
    return all(reached) and not any(result.failed for result in results)
