# SPDX-License-Identifier: GPL-2.0-only
"""Lab 5: once a year.  A rare assertion, three candidate fixes, and their harm that is no crash."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mmsim.labs import trials
from mmsim.labs.lab import Lab, Score, Test, Work, partly, predicted, right, wrong

BASE = "001.419-dbg"
CLOSER = "001.pageslab-precheck"
SLAB = r"^VM_BUG_ON_PAGE\(PageSlab\(page\)\)"
RUNS = 300
CPUS = 4
QUIET = ("001.v1-opencoded", "001.get-first-no-minus-one")
CRASH = ("001.pageslab-precheck", "001.get-first-norecheck")
REST = ("001.check-under-lock", "001.remove-vm-bug", "001.get-first")
NAMES = ("one", "two", "three")
OFTEN = 2.5  # times that lru_lock is taken in a run; 1.5 to 2 in the kernel as it was


def draw(rng: random.Random) -> dict[str, Any]:
    """Three candidates in some order, and a seed."""
    three = [rng.choice(QUIET), rng.choice(CRASH), rng.choice(REST)]
    rng.shuffle(three)
    return {**dict(zip(NAMES, three, strict=True)), "seed": rng.randint(2, 999), "runs": RUNS}


def window(work: Work) -> Score:
    """A line that ends in the report of the mail."""
    if not work.text("line"):
        return wrong("answers.toml: line is empty")
    found = trials.replayed(trials.variant(BASE), work.text("line"))
    if not re.search(SLAB, found.title):
        return wrong(f"it ends in: {found.title}")
    return right(found.title)


@lru_cache(maxsize=32)
def _runs(name: str, seed: int, runs: int) -> trials.Outcome:
    return trials.at_random(trials.variant(name), cpus=CPUS, seed=seed, runs=runs)


def rates(work: Work) -> Score:
    """How often, with and without a test just before the call."""
    bad = []
    seed = work.drawn["seed"] if work.quick else work.hidden
    for answer, name in (("failed", BASE), ("failed_closer", CLOSER)):
        value = work.amount(answer)
        theirs = _runs(name, seed, 500)
        if value is None or value > RUNS or value != int(value):
            bad.append(f"{answer} has to be a whole number from 0 to {RUNS}")
        elif trials.differ((int(value), RUNS), (theirs.failed, 500)):
            low, high = trials.interval(theirs.failed, 500)
            bad.append(f"{answer}: {value:g}; the rate is between {low:.1%} and {high:.1%}")
    return partly(1 - len(bad) / 2, "\n".join(bad)) if bad else right()


@lru_cache(maxsize=16)
def measured(name: str) -> dict[str, str]:
    """Crashes, what is still moved, and the harm: measured, with a seed that everybody has."""
    found = _runs(name, 1, RUNS)
    buffers = found.metric("isolated_with_buffers") > 0
    anonymous = found.metric("isolated_anon") > 0
    locks = found.metric("lru_lock_holds") / RUNS > OFTEN
    harm = (
        "crash" if found.failed
        else "buffers" if not buffers
        else "anonymous" if not anonymous
        else "lock" if locks
        else "none"
    )  # fmt: skip
    yes = {True: "yes", False: "no"}
    return {"moves_buffers": yes[buffers], "moves_anonymous": yes[anonymous], "harm": harm}


def _cells(work: Work, *whats: str) -> list[str]:
    """Those cells of the table that are not so."""
    return [
        f"{which}_{what}"
        for which in NAMES
        for what in whats
        if work.text(f"{which}_{what}").lower() != measured(work.drawn[which])[what]
    ]


def table(work: Work) -> Score:
    """What does each candidate still move?"""
    bad = _cells(work, "moves_buffers", "moves_anonymous")
    return partly(1 - len(bad) / 6, f"not so: {', '.join(bad)}") if bad else right()


def harm(work: Work) -> Score:
    """The harm of each."""
    bad = _cells(work, "harm")
    return partly(1 - len(bad) / 3, f"not so: {', '.join(bad)}") if bad else right()


def arithmetic(work: Work) -> Score:
    """Why a page with buffers is taken for pinned."""
    bad = [
        name for name, value in (("references", 2), ("expected", 1)) if work.amount(name) != value
    ]
    if bad:
        return partly(1 - len(bad) / 2, f"count again: {', '.join(bad)}")
    return right("2 > 1: pinned, says the patch")


def solve(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The reference answers, measured."""
    found = trials.at_random(trials.variant(BASE), cpus=CPUS, seed=1, runs=1000, first=True)
    cells = {
        f"{which}_{what}": value
        for which in NAMES
        for what, value in measured(drawn[which]).items()
    }
    said = {
        "crash": "still crashes, since its test and the call are two moments",
        "buffers": "never crashes, and quietly refuses every page of the page cache with buffers, "
        "which are very good to migrate",
        "anonymous": "never crashes, and quietly refuses every anonymous page, since its own "
        "reference counts as somebody else's",
        "lock": "neither crashes nor refuses anything, and takes lru_lock once for each page, "
        "where others on the CPU wait for it",
        "none": "does no harm that these runs can show",
    }
    return {
        "line": found.line,
        "failed": _runs(BASE, drawn["seed"], RUNS).failed,
        "failed_closer": _runs(CLOSER, drawn["seed"], RUNS).failed,
        **cells,
        "references": 2,
        "expected": 1,
        "review": "Thanks for looking at this. "
        + " ".join(f"{drawn[n]} {said[measured(drawn[n])['harm']]}." for n in NAMES)
        + " The racy look itself is right: a stale answer makes compaction skip a page or try one "
        "in vain, and what decides is decided later under the lock. So I would drop the assertion "
        "and say so in a comment.",
    }


def review(work: Work) -> Score:
    """A review that speaks of each candidate and of its harm."""
    text = work.text("review")
    n = len(text.split())
    if n < 60:
        return wrong(f"review: {n} words; say it in at least 60")
    missing = [
        work.drawn[which] for which in NAMES if work.drawn[which].partition(".")[2] not in text
    ]
    if missing:
        return partly(0.5, f"review: says nothing of {', '.join(missing)}")
    return right(f"for the reader: {text[:400]}")


LAB = Lab(
    number=5,
    title="Once a year",
    thread="001",
    minutes=110,
    about="An assertion that fires once a year. Three candidates that mend it, and no test suite "
    "would notice what they break. Write the review.",
    predict=("best", "why"),
    draw=draw,
    solve=solve,
    play=lambda _: [BASE],
    tests=(
        Test("predicted, then ran", 2, predicted),
        Test("a line of the report", 4, window),
        Test("shorter is not closed: two rates", 4, rates),
        Test("the table: what is still moved", 6, table),
        Test("the harm of each candidate", 6, harm),
        Test("the arithmetic of a page with buffers", 2, arithmetic),
        Test("the review", 6, review),
    ),
)
