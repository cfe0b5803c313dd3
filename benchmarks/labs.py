# SPDX-License-Identifier: GPL-2.0-only
"""What a player and a grader wait for.

    python benchmarks/labs.py                  both
    python benchmarks/labs.py game [VARIANT…]  of all that fail, or of these
    python benchmarks/labs.py grade [LAB…]

game   a step of a game as the browser gets it (the move, and the answer as JSON), at moves spread
       over the first failing run with eight CPUs of a variant; the size of its page
grade  grading the reference solution of every lab: seconds on the clock, and of CPU

All figures are seconds of this machine, and of CPU where it says so: a machine that is busy with
something else does not change those much.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from mmsim.labs import workspace
from mmsim.labs.catalogue import labs
from mmsim.labs.grading import grade
from mmsim.play.session import Session
from mmsim.play.web import Table
from mmsim.report.page import Cover, page
from mmsim.report.record import Recorder
from mmsim.run import Runner
from mmsim.scenarios.api import NEVER, Variant
from mmsim.stress.source import Library

RUNS = 300
PLAYABLE = 4_000
MOVES = 7
CPUS = 8


def lines(variant: Variant) -> tuple[str, str]:
    """Of the first run that fails, and of the first that one would play to its end; "" for none."""
    first = ""
    with Runner(variant, cpus=CPUS, seed=1, engine="green") as runner:
        for n in range(RUNS):
            result = runner.run(n)
            if result.findings:
                first = first or result.schedule
                if result.steps < PLAYABLE:
                    return first, result.schedule
    return first, ""


def size(variant: Variant, line: str) -> tuple[int, int]:
    """Bytes of the page, and steps of the run."""
    recorder = Recorder()
    with Runner(variant, cpus=CPUS, seed=1, engine="green") as runner:
        findings = runner.replay(line, instruments=[recorder]).findings
    story = recorder.story(findings)
    return len(page(story, Cover(variant.id, variant.summary, "")).encode()), len(story.steps)


def waits(variant: Variant, line: str) -> list[float]:
    """CPU seconds of moves at the beginning, at the end and in between."""
    took = []
    with Session.of_line(variant, line) as session:
        table = Table(session, None, lambda line, over: line)
        moves = [move for (move,) in reversed(session.undone)]
        for n in range(MOVES):
            session.offer(moves)
            session.redo(1 + n * (len(moves) - 2) // (MOVES - 1))
            begun = time.process_time()
            json.dumps(table.move({"do": "redo"}))
            took.append(time.process_time() - begun)
    return took


def game(wanted: list[str]) -> None:
    every = defaultdict(list)
    medians, sizes = {}, {}
    for scenario in Library().scenarios():
        for variant in scenario.variants:
            if variant.expect is NEVER or (wanted and variant.id not in wanted):
                continue
            first, playable = lines(variant)
            if first:
                sizes[variant.id] = size(variant, first)
            if playable:
                took = waits(variant, playable)
                every[variant.id[:3]] += took
                medians[variant.id] = statistics.median(took)
    print("a step, CPU milliseconds, eight CPUs")
    print("  thread  variants   median   slowest median of a variant")
    for thread, took in sorted(every.items()):
        own = {id: median for id, median in medians.items() if id.startswith(thread)}
        worst = max(own, key=own.__getitem__)
        print(
            f"  {thread:<7} {len(own):>8} {1000 * statistics.median(took):>8.1f}   "
            f"{1000 * own[worst]:.1f} ({worst})"
        )
    print("\nthe largest pages")
    for id in sorted(sizes, key=lambda id: sizes[id][0])[:-4:-1]:
        print(f"  {sizes[id][0] / 1e6:.2f} MB  {id}, {sizes[id][1]:,} steps")


def grading(wanted: list[str]) -> None:
    print("grading the reference solution")
    print("  lab    clock      CPU")
    for lab in labs():
        if wanted and str(lab.number) not in wanted:
            continue
        with tempfile.TemporaryDirectory() as directory:
            workspace.solved(lab, Path(directory), "ada")
            before, begun = cpu(), time.monotonic()
            got = grade(lab, Path(directory), hidden=1)
            clock, spent = time.monotonic() - begun, cpu() - before
            print(f"  {lab.number:<3} {clock:7.1f} s {spent:6.1f} s  {got.points:g} of {got.of}")


def cpu() -> float:
    """Of this process and its children, seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    parts = {"game": game, "grade": grading}
    if len(sys.argv) > 1 and sys.argv[1] not in parts:
        sys.exit(__doc__)
    for name, part in parts.items():
        if sys.argv[1:2] in ([], [name]):
            part(sys.argv[2:])
