# SPDX-License-Identifier: GPL-2.0-only
"""Lab 6: nobody sees an unlocked page.  An invariant, a proof, and its assumptions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmsim.engine.context import Context
from mmsim.engine.door import door
from mmsim.engine.instruments import Instrument
from mmsim.engine.op import Op
from mmsim.errors import UsageError
from mmsim.labs import trials
from mmsim.labs.catalogue import find
from mmsim.labs.kernel import load
from mmsim.labs.lab import Lab, Score, Test, Work, essay, predicted, right, wrong
from mmsim.labs.rules import Rules
from mmsim.labs.skeleton import whole
from mmsim.run import Runner

BASE = "003.base"
BREAK = ("003.unlock-first", "003.rmap-miss", "003.lost-bit-no-debug")
KEEP = (
    "003.lock-under-ptl",
    "003.drop-ptl-early",
    "003.lost-waiters",
    "003.async-lock",
    "003.newpage-blocking-lock",
)
FALSE_ALARM = "003.stale-pte"
BUG = "kernel BUG at include/linux/swapops.h"
CPUS = 6
RUNS = 25
MUTANT_RUNS = 60
POLICY = "pos"  # under which each of BREAK is seen in some of so many runs

Protocol = Callable[[Any], bool]


def draw(rng: random.Random) -> dict[str, Any]:
    """Five mutants: one breaks the protocol, one only seems to."""
    five = [rng.choice(BREAK), FALSE_ALARM, *rng.sample(KEEP, 3)]
    rng.shuffle(five)
    return {"mutants": "\n".join(f"    {name}" for name in five), "five": " ".join(five)}


class Watch(Instrument):
    """Asks ``protocol`` after every effect on a pte or a flag; ``broken`` is the first bad step."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self.broken = 0

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        if not self.broken and op.writes and ("flags" in op.words or "pte" in op.words):
            holds = self._protocol(door.machine.vm)
            if not isinstance(holds, bool | int):
                raise UsageError("protocol() has to say True or False")
            self.broken = 0 if holds else step


def reference() -> Protocol:
    """The protocol of the solution."""
    lab = find(6)
    source = whole((lab.folder / lab.code).read_text(encoding="utf-8"))
    protocol: Protocol = load(lab, source)["protocol"]
    return protocol


def watched(
    name: str, protocol: Protocol, seeds: Sequence[int], runs: int
) -> list[tuple[int, int, int]]:
    """(seed, run, first step at which the protocol does not hold, 0 if it always does)."""
    found = []
    for seed in seeds:
        with Runner(
            trials.variant(name), cpus=CPUS, seed=seed, engine="green", policy=POLICY
        ) as runner:
            for index in range(runs):
                watch = Watch(protocol)
                runner.run(index, instruments=[watch])
                found.append((seed, index, watch.broken))
    return found


def quiet(work: Work) -> Score:
    """No alarm on the kernel as it is."""
    protocol = work.functions["protocol"]
    if all(not broken for _, _, broken in watched(BREAK[0], protocol, (1,), 10)):
        return wrong(f"it is never False, not even in {BREAK[0]}: it states nothing")
    seeds = (7,) if work.quick else (7, work.hidden)
    for seed, index, broken in watched(BASE, protocol, seeds, RUNS):
        if broken:
            return wrong(
                f"{BASE} is right; yours is False in run {index}, seed {seed}, step {broken}"
            )
    return right(f"{len(seeds) * RUNS} runs of {BASE}, at every step")


def sharp(work: Work) -> Score:
    """It sees each break, and where the reference sees it."""
    protocol, theirs = work.functions["protocol"], reference()
    missed: set[str] = set()
    early: set[str] = set()
    for name in BREAK:
        pairs = zip(
            watched(name, protocol, (1,), MUTANT_RUNS),
            watched(name, theirs, (1,), MUTANT_RUNS),
            strict=True,
        )
        for (_, _, mine), (_, _, due) in pairs:
            if mine != due:
                (early if mine and (not due or mine < due) else missed).add(name)
    if missed:
        return wrong(f"it misses, or sees late, breaks in {', '.join(sorted(missed))}")
    if early:
        return wrong(f"it is False too often, in {', '.join(sorted(early))}: what else is allowed?")
    return right(f"{3 * MUTANT_RUNS} runs of three mutants, each break at its first step")


def mutant(work: Work) -> Score:
    """Which of the five breaks it?"""
    (wanted,) = set(work.drawn["five"].split()) & set(BREAK)
    if work.text("breaks") != wanted:
        return wrong(
            f"breaks: {work.text('breaks') or 'empty'}; run your protocol on each of the five"
        )
    return right(wanted)


def line(work: Work) -> Score:
    """A run in which it is broken, and seen."""
    name = work.text("breaks")
    if name not in work.drawn["five"].split():
        return wrong("breaks comes first")
    if not work.text("line"):
        return wrong("answers.toml: line is empty")
    watch = Watch(reference())
    which = trials.variant(name)
    found = trials.replayed(which, work.text("line"))
    with Runner(which, cpus=found.cpus, seed=0, engine="green") as runner:
        runner.replay(trials.line_in(work.text("line")), instruments=[watch])
    if not watch.broken:
        return wrong(f"the protocol holds in every step of it; it ends in: {found.title}")
    return right(f"broken at step {watch.broken}; {found.title}")


def alarm(work: Work) -> Score:
    """The assertion fires, and the protocol holds."""
    if work.text("false_alarm") != FALSE_ALARM:
        return wrong(
            "false_alarm: which of the five says BUG in swapops.h, and the protocol holds?"
        )
    return right(FALSE_ALARM)


def solve(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The reference answers, found by runs."""
    (name,) = set(drawn["five"].split()) & set(BREAK)
    protocol = reference()
    schedule = ""
    with Runner(trials.variant(name), cpus=CPUS, seed=1, engine="green") as runner:
        for index in range(3000):
            watch = Watch(protocol)
            result = runner.run(index, instruments=[watch])
            if watch.broken and result.findings:
                schedule = result.schedule
                break
    return {
        "breaks": name,
        "line": schedule,
        "false_alarm": FALSE_ALARM,
        "proof": "Both pages are locked before the first entry is installed, and unlocked only "
        "after the last one has been removed; entries come and go under the page table lock. Who "
        "holds the page table lock and sees an entry is between these two, so the page is locked.",
        "assumptions": "That removal finds every entry which installation left, wherever it has "
        "been moved meanwhile, and that nobody else touches the lock bit, not even by storing "
        "another flag of the same word without atomicity.",
    }


LAB = Lab(
    number=6,
    title="Nobody sees an unlocked page",
    thread="003",
    minutes=110,
    about="There is a proof that it cannot happen, and it happened. State the protocol as a check, "
    "argue it, and find which of five mutants breaks it and which only seems to.",
    predict=("which", "why"),
    draw=draw,
    solve=solve,
    code="protocol.py",
    defines=("protocol",),
    rules=Rules(
        packages=("mmsim.memory_model", "mmsim.mm_types", "mmsim.swapops", "mmsim.page"),
        fields=("mmsim.mm_types", "mmsim.page", "mmsim.swapops", "mmsim.mmzone", "mmsim.rmap",
                "mmsim.scenarios.s003_migration_entry"),
        masks=("m_locked", "m_lru", "m_uptodate", "m_waiters", "m_active"),
        raw=True,
    ),
    play=lambda _: [BREAK[0]],
    tests=(
        Test("predicted, then ran", 2, predicted),
        Test("the check is quiet where all is well", 5, quiet, boxed=True, seconds=30),
        Test("the check sees each break, at its first step", 5, sharp, boxed=True, seconds=40),
        Test("which of the five breaks it", 3, mutant),
        Test("a line in which it is broken", 5, line),
        Test("which only seems to", 3, alarm),
        Test("the proof, in your words", 4,
             essay("proof", 30, "lock", "page table|ptl", "before|after")),
        Test("what the proof takes for granted", 3,
             essay("assumptions", 20, "remov|find", "bit|flag")),
    ),
)  # fmt: skip
