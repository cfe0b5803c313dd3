# SPDX-License-Identifier: GPL-2.0-only
"""Lab 4: the innocent suspect.  An oops, a function that looks guilty, and who else may be."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from mmsim.errors import UsageError
from mmsim.labs import locksets, trials
from mmsim.labs.lab import Lab, Score, Test, Work, essay, partly, predicted, right, wrong
from mmsim.labs.locksets import Access, held
from mmsim.model.era import ERAS
from mmsim.run import Runner
from mmsim.scenarios.api import Variant

BASE = "000.54-base"
OOPS = "NULL pointer dereference at virtual address 00000104$"
LOCK = "&pgdat->lru_lock"
KERNELS = {
    "32-bit x86, LIST_POISON1 is 0x100": (0x100, 4),
    "32-bit ARM with LIST_POISON1 at 0x200": (0x200, 4),
    "64-bit x86, LIST_POISON1 is 0xdead000000000100": (0xDEAD000000000100, 8),
    "64-bit with LIST_POISON1 at 0x500": (0x500, 8),
}
ROWS = {
    "put_in_release": Access("release_pages", "changes", "_refcount"),
    "test_in_release": Access("release_pages", "reads", "flags:lru"),
    "clear_in_release": Access("release_pages", "changes", "flags:lru"),
    "clear_in_isolate": Access("__isolate_lru_page", "changes", "flags:lru"),
    "set_in_putback": Access("move_pages_to_lru", "changes", "flags:lru"),
    "test_in_activate": Access("activate_page", "reads", "flags:lru"),
}
CAUSES = ("000.get-from-zero-nodebug", "000.late-flag-realloc")


def draw(rng: random.Random) -> dict[str, Any]:
    """Another kernel to work the address out for, and who is searched."""
    kernel = rng.choice(sorted(KERNELS))
    return {"kernel": kernel, "cast": rng.choice(("rm-scanner", "exit-scanner"))}


def _number(work: Work, name: str) -> int | None:
    """A number, or a text such as 0x104."""
    value = work.answer(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return int(str(value).strip(), 0)
    except ValueError:
        return None


def decoded(work: Work) -> Score:
    """The registers of the report are poison."""
    poison = {ERAS["5.4"].poison1: "list_poison1", ERAS["5.4"].poison2: "list_poison2"}
    asked = {
        "r2_is": poison[0x100],
        "r3_is": poison[0x122],
    }
    bad = [name for name, value in asked.items() if work.text(name).lower() != value]
    if _number(work, "prev_is_at") != 4:
        bad.append("prev_is_at")
    if not re.search(r"bad.?page", work.text("tainted_b").lower()):
        bad.append("tainted_b")
    return partly(1 - len(bad) / 4, f"look again: {', '.join(bad)}") if bad else right()


def elsewhere(work: Work) -> Score:
    """The same list_del in another kernel."""
    poison, word = KERNELS[work.drawn["kernel"]]
    if _number(work, "address_elsewhere") != poison + word:
        return wrong("address_elsewhere: where LIST_POISON1 is, and how far from it `prev`?")
    return right(f"{poison + word:#x}")


def _oops(work: Work, name: str) -> tuple[trials.Replayed, Variant]:
    variant = work.text(f"{name}_variant")
    if not variant.startswith("000."):
        raise UsageError(f"{name}_variant has to be a variant of thread 000, such as {BASE}")
    which = trials.variant(variant, work.text(f"{name}_cast"))
    found = trials.replayed(which, work.text(name))
    if not re.search(OOPS, found.title):
        raise UsageError(f"{name} ends in: {found.title}")
    return found, which


def oops(work: Work) -> Score:
    """A broken reference elsewhere gives the same oops."""
    found, which = _oops(work, "oops")
    return right(f"{which.id}: {found.title}")


def another(work: Work) -> Score:
    """And so does another cause."""
    _, one = _oops(work, "oops")
    found, other = _oops(work, "oops2")
    if set(one.gates) == set(other.gates):
        return wrong(f"{other.id} breaks the same thing as {one.id}")
    return right(f"{other.id}: {found.title}")


@lru_cache(maxsize=4)
def _searched(cast: str) -> trials.Outcome:
    return trials.every_order(trials.variant(BASE, cast), seconds=60)


def verdict(work: Work) -> Score:
    """Can the lock swap fail while all counts are right?  No, and by which evidence."""
    if work.text("can_fail").lower() not in ("no", "never"):
        return wrong("can_fail: what did the search say?")
    searched = _searched(work.drawn["cast"])
    if not (searched.clean and searched.complete):
        return wrong("the search did not come to an end here; grade again on an idle machine")
    if _number(work, "executions") != searched.runs:
        return partly(0.5, "executions: how many did the search of your cast take?")
    return right(f"Never (exhaustive: cast {work.drawn['cast']}, {searched.runs} executions)")


@lru_cache(maxsize=2)
def _table(seed: int) -> dict[str, str]:
    """What the answers are: measured with the kernel as it is."""
    table = locksets.measure(
        trials.variant(BASE, "all"), "flags:lru", "_refcount", cpus=4, seed=seed, runs=25
    )
    return {name: held(table, access, LOCK) for name, access in ROWS.items()}


def table(work: Work) -> Score:
    """Which lock, when?"""
    wanted = _table(7)
    bad = [name for name, value in wanted.items() if work.text(name).lower() != value]
    if bad:
        return partly(1 - len(bad) / len(wanted), f"not so: {', '.join(bad)}")
    return right()


def _lines() -> Iterator[tuple[str, str]]:
    for name in CAUSES:
        with Runner(trials.variant(name), cpus=4, seed=1, engine="green") as runner:
            for index in range(2000):
                result = runner.run(index)
                if result.findings and re.search(OOPS, result.findings[0].title):
                    yield name, result.schedule
                    break


def solve(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The reference answers."""
    (first, line), (second, other) = _lines()
    poison, word = KERNELS[drawn["kernel"]]
    return {
        "r2_is": "LIST_POISON1",
        "r3_is": "LIST_POISON2",
        "prev_is_at": 4,
        "tainted_b": "a bad page had been seen before",
        "address_elsewhere": hex(poison + word),
        "can_fail": "no",
        "executions": _searched(drawn["cast"]).runs,
        **_table(7),
        "protects": "Not a lock but the reference count: the put that made the count 0 was the "
        "last, and whoever takes pages off the LRU takes a reference first, unless the count is "
        "0. So nobody can change PG_lru between the test and the lock.",
        "oops_variant": first,
        "oops_cast": "",
        "oops": line,
        "oops2_variant": second,
        "oops2_cast": "",
        "oops2": other,
        "verdict": "release_pages is innocent: with all counts right an exhaustive search finds "
        "nothing. But the very oops comes out of two other mistakes, so that the report alone "
        "convicts nobody; it only says that somebody had unlinked the page before.",
    }


LAB = Lab(
    number=4,
    title="The innocent suspect",
    thread="000",
    minutes=110,
    about="An oops in release_pages, which tests a flag without the lock. Decode the report, clear "
    "the suspect, and get the same oops from somebody else.",
    predict=("guilty", "why"),
    draw=draw,
    solve=solve,
    play=lambda drawn: [CAUSES[0], "--cast", drawn["cast"], "--cpus", "2"],
    tests=(
        Test("predicted, then ran", 2, predicted),
        Test("the report, decoded", 4, decoded),
        Test("the address in another kernel", 2, elsewhere),
        Test("which lock, when", 6, table),
        Test("what protects the flag, in your words", 3,
             essay("protects", 25, "reference|count", "last|zero|0")),
        Test("can the lock swap fail?", 4, verdict, graded=True),
        Test("the same oops from elsewhere", 4, oops),
        Test("and from a second cause", 3, another),
        Test("the verdict, with evidence both ways", 2,
             essay("verdict", 25, "search|exhaustive|executions", "other|else")),
    ),
)  # fmt: skip
