# SPDX-License-Identifier: GPL-2.0-only
"""Lab 1: be the scheduler.  The patch of 7 February 2002, until it frees a page twice."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from mmsim.engine.context import Context
from mmsim.engine.instruments import Instrument
from mmsim.engine.op import WRITE, Op
from mmsim.errors import UsageError
from mmsim.labs import trials
from mmsim.labs.lab import Lab, Score, Test, Work, essay, partly, predicted, right, wrong
from mmsim.run import Runner
from mmsim.scenarios.api import Variant

VARIANT = "002.flawed"
TITLE = "^double free"
FEW = 3
CASTS = {
    "packets": "two packets (ksoftirqd) have the last two references of the page",
    "tv": "xawtv unmaps the page; the interrupt of its TV card (bttv) drops a pin",
}


def draw(rng: random.Random) -> dict[str, Any]:
    """Who has the last reference."""
    cast = rng.choice(sorted(CASTS))
    return {"cast": cast, "who": CASTS[cast], "variant": VARIANT}


class _Frees(Instrument):
    """Who gave a page to the zone, in order, and who last took one that had no references."""

    def __init__(self) -> None:
        self.by: list[str] = []
        self.taken_by = ""
        self._count: int | None = None

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        self._count = getattr(obj, "v_count", None)

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        if op.kind is WRITE and "free_pages" in op.words:
            self.by.append(ctx.comm)
        if self._count == 0 and obj.v_count == 1:
            self.taken_by = ctx.comm


def _replayed(work: Work, name: str) -> trials.Replayed:
    line = work.text(name)
    if not line:
        raise UsageError(f"answers.toml: {name} is empty")
    found = trials.replayed(trials.variant(VARIANT, work.drawn["cast"]), line)
    if found.cpus != 2:
        raise UsageError(f"{name}: recorded with {found.cpus} CPUs; the lab's kernel has 2")
    return found


def double_free(work: Work) -> Score:
    """The line replays to a double free."""
    found = _replayed(work, "line")
    if not found.title.startswith("double free"):
        return wrong(f"it ends in: {found.title}")
    return right(f"{found.title}; {found.preemptions} preemptions")


def few(work: Work) -> Score:
    """At most three preemptions."""
    found = _replayed(work, "short")
    if not found.title.startswith("double free"):
        return wrong(f"short ends in: {found.title}")
    if found.preemptions > FEW:
        return wrong(f"short has {found.preemptions} preemptions; at most {FEW} are wanted")
    return right(f"{found.preemptions} preemptions")


def fewest(work: Work) -> Score:
    """Nobody can do with fewer: every schedule with one preemption less is tried."""
    found = _replayed(work, "short")
    if not found.title.startswith("double free"):
        return wrong(f"short ends in: {found.title}")
    least, _ = trials.smallest(VARIANT, work.drawn["cast"], TITLE)
    if found.preemptions > least:
        return wrong(f"{found.preemptions} preemptions; it can be done with fewer")
    return right(f"{least}: an exhaustive search finds none with fewer")


def who(work: Work) -> Score:
    """Who freed first, who second, in the student's own line."""
    _replayed(work, "line")
    which = trials.variant(VARIANT, work.drawn["cast"])
    first, second = freers(which, work.text("line"))
    asked = {"freed_first_by": first, "freed_second_by": second}
    bad = [name for name, comm in asked.items() if work.text(name) != comm]
    if bad:
        return partly(1 - len(bad) / 2, f"not so in your line: {', '.join(bad)}")
    return right(f"{first}, then {second}")


def freers(which: Variant, line: str) -> tuple[str, str]:
    """Who freed the page first, and who tried to a second time.

    The run ends at the second attempt.  If the first one is still under way then, it is that of
    whoever has taken the page in order to free it.
    """
    frees = _Frees()
    with Runner(which, cpus=2, seed=0, engine="green") as runner:
        result = runner.replay(trials.line_in(line), instruments=[frees])
    return (frees.by[0] if frees.by else frees.taken_by, result.findings[0].comm)


def locks(work: Work) -> Score:
    """Which lock protects this field, at this moment?"""
    wanted = {
        "count_at_the_look": "0",
        "lock_of_count": "none",
        "lock_of_list": "pagemap_lru_lock",
    }
    bad = [
        name for name, value in wanted.items() if str(work.answer(name)).strip().lower() != value
    ]
    return partly(1 - len(bad) / len(wanted), f"look again: {', '.join(bad)}") if bad else right()


def solve(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The reference answers, found by search."""
    which = trials.variant(VARIANT, drawn["cast"])
    found = trials.every_order(which, title=TITLE)
    _, short = trials.smallest(VARIANT, drawn["cast"], TITLE)
    first, second = freers(which, found.line)
    return {
        "line": found.line,
        "short": short,
        "freed_first_by": first,
        "freed_second_by": second,
        "count_at_the_look": 0,
        "lock_of_count": "none",
        "lock_of_list": "pagemap_lru_lock",
        "explain": "The last put makes page->count 0 and has not looked at PG_lru yet. "
        "shrink_cache holds pagemap_lru_lock, meets the page on the inactive list with count 0 "
        "and takes that for leave to free it. The put then finds PG_lru clear and frees the page "
        "again, since the count of 0 told both of them that the page was theirs.",
    }


LAB = Lab(
    number=1,
    title="Be the scheduler",
    thread="002",
    minutes=50,
    about="The patch of 7 February 2002 frees a page twice. You decide who runs, until it does.",
    predict=("happens", "why"),
    draw=draw,
    solve=solve,
    play=lambda drawn: [VARIANT, "--cast", drawn["cast"], "--cpus", "2"],
    tests=(
        Test("predicted, then ran", 2, predicted),
        Test("a line that frees the page twice", 6, double_free),
        Test("at most three preemptions", 4, few),
        Test("who freed it first, who second", 2, who),
        Test("which lock protects what, at that moment", 3, locks),
        Test("in your words", 3, essay("explain", 25, "count", "lru", "shrink_cache|kswapd")),
        Test("as few preemptions as can be", 2, fewest, bonus=True, graded=True),
    ),
)
