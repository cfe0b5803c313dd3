# SPDX-License-Identifier: GPL-2.0-only
"""Lab 2: how rare is rare?  Rates, intervals, nothing of 3,000, and what a search finds."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from mmsim.engine.context import Context
from mmsim.engine.instruments import Instrument
from mmsim.engine.op import RMW, Op
from mmsim.engine.policy import RandomWalk
from mmsim.engine.seeds import run_seed, stream
from mmsim.labs import fix, trials
from mmsim.labs.catalogue import find
from mmsim.labs.kernel import load, replaced
from mmsim.labs.lab import Lab, Score, Test, Work, essay, partly, predicted, right, wrong
from mmsim.labs.rules import Rules
from mmsim.labs.skeleton import skeleton, whole
from mmsim.run import Runner

VARIANT = "002.flawed"
RUNS = 300
MINE = 600  # of the grader's runs that an answer is compared with
RARE = {
    "002.pagelocked-swapoff": "swapoff-alone",
    "002.pagelocked-no-count-one": "exit-alone",
}
SWEEP = (1, 2, 8)
HOLE = r"^kernel BUG at page_alloc\.c:(82|93)!"


def draw(rng: random.Random) -> dict[str, Any]:
    """CPUs and seed of the campaign, and which rare kernel is searched."""
    rare = rng.choice(sorted(RARE))
    return {
        "cpus": rng.randint(3, 7),
        "seed": rng.randint(2, 999),
        "runs": RUNS,
        "variant": VARIANT,
        "rare": rare,
        "cast": RARE[rare],
    }


def _counted(work: Work, name: str) -> int | None:
    """A number of runs that failed, of RUNS; None for anything else."""
    value = work.amount(name)
    return None if value is None or value > RUNS or value != int(value) else int(value)


def _compare(work: Work, name: str, cpus: int) -> str:
    """What is wrong with a count; "" if it can come from the rate that the grader measures."""
    mine = _counted(work, name)
    if mine is None:
        return f"{name} has to be a whole number from 0 to {RUNS}"
    seed = work.drawn["seed"] if work.quick else work.hidden
    theirs = trials.at_random(trials.variant(VARIANT), cpus=cpus, seed=seed, runs=MINE)
    if trials.differ((mine, RUNS), (theirs.failed, MINE)):
        low, high = trials.interval(theirs.failed, MINE)
        return f"{name}: {mine} of {RUNS}; the rate is between {low:.1%} and {high:.1%}"
    return ""


def rate(work: Work) -> Score:
    """A count that fits the rate."""
    trouble = _compare(work, "failed", work.drawn["cpus"])
    return wrong(trouble) if trouble else right()


def interval(work: Work) -> Score:
    """The interval that belongs to the count."""
    failed = _counted(work, "failed")
    if failed is None:
        return wrong("failed comes first")
    low, high = (100 * end for end in trials.interval(failed, RUNS, 0.95))
    near = [
        (value := work.amount(name)) is not None and abs(value - end) < 0.1
        for name, end in (("low", low), ("high", high))
    ]
    if all(near):
        return right(f"{failed} of {RUNS}: {low:.2f} % to {high:.2f} %")
    return partly(sum(near) / 2, "the ends of the 95 % interval of your own count, in percent")


def sweep(work: Work) -> Score:
    """Counts with other numbers of CPUs."""
    found = [_compare(work, f"failed_{cpus}", cpus) for cpus in SWEEP]
    trouble = [text for text in found if text]
    if trouble:
        return partly(1 - len(trouble) / len(SWEEP), "\n".join(trouble))
    return right()


def nothing_of(work: Work) -> Score:
    """0 of 3,000 is an upper bound."""
    value = work.amount("at_most")
    _, high = trials.interval(0, 3000, 0.95)
    if value is None:
        return wrong("at_most is no number")
    # one-sided 1 - 0.05 ** (1 / 3000) and the rule of three say 0.0010, two-sided 0.0012
    if 0.00095 <= value <= high * 1.03:
        return right("the true rate may be as high, and 3,000 runs see nothing")
    return wrong(f"{value:g}: which rate would still give 0 of 3,000 in one case of twenty?")


class _Window(Instrument):
    """Accesses of a context between making the count 0 and its look at PG_lru."""

    def __init__(self) -> None:
        self.since: dict[int, int] = {}
        self.lengths: list[int] = []

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        if op.kind is RMW and op.label == "count" and value == 0:
            self.since[ctx.id] = 0
        elif ctx.id in self.since:
            if op.label == "flags:lru":
                self.lengths.append(self.since.pop(ctx.id))
            else:
                self.since[ctx.id] += 1


def _window() -> float:
    which = trials.variant(VARIANT)
    window = _Window()
    with Runner(which, cpus=4, seed=1, engine="green") as runner:
        for index in range(30):
            seed = run_seed(1, which.id, index)
            runner.run_with(RandomWalk(stream(seed, "p")), seed, instruments=[window])
    return sum(window.lengths) / max(len(window.lengths), 1)


def wider(work: Work) -> Score:
    """The statement stands in the window, and the kernel is otherwise the same."""
    mine = _window()
    lab = find(work.number)
    stock = skeleton((lab.folder / lab.code).read_text(encoding="utf-8"))
    with replaced(lab, load(lab, stock)):
        theirs = _window()
    if mine <= theirs:
        return wrong(
            f"between the put and the look at PG_lru are {mine:.1f} accesses, as before: a "
            "statement that touches nothing shared is none that anybody can interrupt"
        )
    outcome = trials.at_random(trials.variant(VARIANT), cpus=4, seed=fix.FIXED, runs=RUNS)
    if outcome.finding is None or not outcome.finding.title.startswith("double free"):
        said = outcome.finding.title if outcome.finding else "nothing any more"
        return wrong(f"the kernel has changed otherwise: it says {said}")
    return right(f"{mine:.1f} accesses in the window, {theirs:.1f} before")


def counted_again(work: Work) -> Score:
    """The count with the student's own kernel."""
    mine = _counted(work, "failed_wider")
    if mine is None:
        return wrong(f"failed_wider has to be a whole number from 0 to {RUNS}")
    cpus = work.drawn["cpus"]
    seed = work.drawn["seed"] if work.quick else work.hidden
    theirs = trials.at_random(trials.variant(VARIANT), cpus=cpus, seed=seed, runs=MINE)
    if trials.differ((mine, RUNS), (theirs.failed, MINE)):
        low, high = trials.interval(theirs.failed, MINE)
        return wrong(f"{mine} of {RUNS}; your kernel's rate is between {low:.1%} and {high:.1%}")
    return right()


def rare(work: Work) -> Score:
    """A line of the kernel that random runs call clean."""
    line = work.text("rare")
    if not line:
        return wrong("answers.toml: rare is empty")
    found = trials.replayed(trials.variant(work.drawn["rare"], work.drawn["cast"]), line)
    if not re.search(HOLE, found.title):
        return wrong(f"it ends in: {found.title}")
    return right(found.title)


def solve(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The reference answers, measured."""
    lab = find(2)
    which = trials.variant(VARIANT)

    def failed(cpus: int) -> int:
        return trials.at_random(which, cpus=cpus, seed=drawn["seed"], runs=RUNS).failed

    counted = failed(drawn["cpus"])
    low, high = trials.interval(counted, RUNS, 0.95)
    solution = whole((lab.folder / lab.code).read_text(encoding="utf-8"))
    with replaced(lab, load(lab, solution)):
        wide = failed(drawn["cpus"])
    hole = trials.every_order(trials.variant(drawn["rare"], drawn["cast"]), title=HOLE)
    return {
        "failed": counted,
        "low": round(100 * low, 2),
        "high": round(100 * high, 2),
        **{f"failed_{cpus}": failed(cpus) for cpus in SWEEP},
        "at_most": 0.001,
        "failed_wider": wide,
        "heisenbug": "A statement that only looks, such as a print, takes time, and where it "
        "stands decides: in the window it makes the window longer and the bug more frequent, "
        "before the window it may hold the other CPU's partner back, and the bug is gone.",
        "rare": hole.line,
        "search": "Random runs hit an order of events with a certain chance, and this order needs "
        "several switches at exact places. A search takes each order once and does not care how "
        "probable it is; so it needs a hundred executions where chance needs tens of thousands.",
    }


LAB = Lab(
    number=2,
    title="How rare is rare?",
    thread="002",
    minutes=80,
    about="Rates with their intervals, what 0 of 3,000 says, a statement that changes the rate, "
    "and a bug that random runs do not find and a search does.",
    predict=("rate", "cpus", "statement"),
    draw=draw,
    solve=solve,
    code="kernel.py",
    defines=("__free_pages_ok",),
    replaces=("mmsim.v2_4.page_alloc.__free_pages_ok",),
    base=VARIANT,
    casts=("packets",),
    rules=Rules(
        packages=("mmsim.linux", "mmsim.v2_4"),
        fields=("mmsim.v2_4",),
        also=("mmsim.labs.kit.student_kernel", "mmsim.labs.zone.free_to_zone"),
    ),
    play=lambda drawn: [drawn["rare"], "--cast", drawn["cast"], "--cpus", "2"],
    tests=(
        Test("predicted, then ran", 2, predicted),
        Test("a rate", 3, rate),
        Test("its interval", 3, interval),
        Test("other numbers of CPUs", 3, sweep),
        Test("nothing of 3,000", 3, nothing_of),
        Test("a statement in the window", 3, wider, boxed=True),
        Test("the rate with it", 3, counted_again, boxed=True),
        Test("Heisenbugs, in your words", 3, essay("heisenbug", 20, "window|time|slow|later")),
        Test("what random runs missed", 5, rare),
        Test("why a search finds it, in your words", 2, essay("search", 20, "order|execution")),
    ),
)
