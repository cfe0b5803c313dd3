# SPDX-License-Identifier: GPL-2.0-only
"""Tests of a student's kernel.  They run in a box, with the student's functions in place.

A kernel is followed along lines on which other kernels failed, run at random with fixed and with
hidden seeds, run in every order with the small casts, and looked at for room.  What it gets for
later things (hidden seeds, room) it gets only if it survives the lines: a kernel that was left as
it was is none that keeps its CPUs busy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from mmsim.engine.context import TASK, Context
from mmsim.engine.instruments import Instrument
from mmsim.engine.op import LOCK, Op
from mmsim.engine.policy import RandomWalk
from mmsim.engine.seeds import run_seed, stream
from mmsim.labs import room, trials
from mmsim.labs.catalogue import find
from mmsim.labs.kernel import load, replaced
from mmsim.labs.lab import Lab, Score, Work, right, wrong
from mmsim.labs.skeleton import whole
from mmsim.run import Runner
from mmsim.scenarios.api import Variant

Judge = Callable[[Work], Score]
FIXED = 7
"""The seed that everybody has."""


def kernel(work: Work, cast: str) -> Variant:
    """The lab's kernel, which has the student's functions in it by now, with a cast."""
    return trials.variant(find(work.number).base, cast)


def _told(work: Work, outcome: trials.Outcome, cast: str) -> str:
    return outcome.told(work.number, kernel(work, cast), find(work.number).code)


@lru_cache(maxsize=8)
def corpus(number: int) -> tuple[tuple[str, str], ...]:
    """(cast, line) of runs in which some other kernel failed: the lab's corpus."""
    lab = find(number)
    text = (lab.folder / lab.corpus).read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line.strip() and line[0] != "#"]
    return tuple((row[0], row[1]) for row in rows)


def survives(work: Work) -> Score:
    """Old findings: lines on which other kernels failed, followed as far as they go."""
    lines = corpus(work.number)
    good = 0
    first = ""
    for cast, line in lines:
        outcome = trials.follow(kernel(work, cast), [line])
        good += outcome.clean
        first = first or ("" if outcome.clean else _told(work, outcome, cast))
    if first:
        return wrong(f"fails on {len(lines) - good} of {len(lines)}: {first}")
    return right(f"{len(lines)} lines")


def _if_it_survives(judge: Judge) -> Judge:
    """No points for a kernel that fails on old findings."""

    def judged(work: Work) -> Score:
        if not survives(work).passed:
            return wrong("counts once the lines of old findings hold")
        return judge(work)

    return judged


def at_random(*casts: tuple[str, int], runs: int, hidden: bool = False) -> Judge:
    """Random runs with (cast, CPUs), with the seed that everybody has or with a hidden one."""

    def judge(work: Work) -> Score:
        for cast, cpus in casts:
            which = kernel(work, cast)
            seed = work.hidden if hidden else FIXED
            n = runs // 4 if work.quick else runs
            outcome = trials.at_random(which, cpus=cpus, seed=seed, runs=n, first=True)
            if not outcome.clean:
                return wrong(f"run {outcome.runs}: {_told(work, outcome, cast)}")
        return right(f"{len(casts)} casts, {runs} runs each")

    return _if_it_survives(judge)


def every_order(cast: str, *, seconds: float = 15.0, bound: int | None = None) -> Judge:
    """Every order of events of a small cast: proved, or a line."""

    def judge(work: Work) -> Score:
        outcome = trials.every_order(kernel(work, cast), seconds=seconds, bound=bound)
        if not outcome.clean:
            return wrong(_told(work, outcome, cast))
        if not outcome.complete:
            return wrong(f"not settled: {outcome.runs} executions in {seconds:.0f} s, no finding")
        how = "exhaustive" if bound is None else f"up to {bound} preemptions"
        return right(f"Never ({how}: cast {cast}, {outcome.runs} executions)")

    return _if_it_survives(judge)


def several_cpus(cast: str, *, cpus: int, runs: int = 20) -> Judge:
    """The fix does not serialise: it leaves as much room as the reference does."""

    def judge(work: Work) -> Score:
        which = kernel(work, cast)
        mine = room.measure(which, cpus=cpus, seed=FIXED, runs=runs)
        with _reference(work):
            theirs = room.measure(which, cpus=cpus, seed=FIXED, runs=runs)
        refused = room.serial(mine, theirs)
        if refused:
            return wrong(f"refused, it serialises: {refused}")
        return right(
            f"on average {mine.able:.2f} CPUs can go on; with the reference {theirs.able:.2f}"
        )

    return _if_it_survives(judge)


def _reference(work: Work) -> AbstractContextManager[None]:
    """The reference solution in place of the student's functions."""
    lab = find(work.number)
    source = solution_of(lab, work.drawn)
    return replaced(lab, load(lab, source))


def solution_of(lab: Lab, drawn: Mapping[str, Any]) -> str:
    """The reference solution's code."""
    written = lab.write(lab.code, drawn, True)
    return written or whole((lab.folder / lab.code).read_text(encoding="utf-8"))


class _TakenInInterrupts(Instrument):
    """Whoever takes a lock of that name in an interrupt."""

    def __init__(self, lock: str) -> None:
        self._lock = lock
        self.by: set[str] = set()

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        if op.kind is LOCK and ctx.kind is not TASK and re.fullmatch(self._lock, str(obj.name)):
            self.by.add(ctx.comm)


def not_in_interrupts(lock: str, *casts: tuple[str, int], runs: int = 20) -> Judge:
    """Nobody takes that lock in an interrupt."""

    def judge(work: Work) -> Score:
        for cast, cpus in casts:
            which = kernel(work, cast)
            taken = _TakenInInterrupts(lock)
            with Runner(which, cpus=cpus, seed=FIXED, engine="green") as runner:
                for index in range(runs):
                    seed = run_seed(FIXED, which.id, index)
                    policy = RandomWalk(stream(seed, "policy"))
                    runner.run_with(policy, seed, instruments=[taken])
            if taken.by:
                return wrong(f"taken in interrupts, by {', '.join(sorted(taken.by))}")
        return right("taken by tasks only")

    return _if_it_survives(judge)
