# SPDX-License-Identifier: GPL-2.0-only
"""Lab 7: crazy ugly lock design.  What protects PG_mlocked, and what harm is real."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mmsim.labs import locksets, trials
from mmsim.labs.lab import Lab, Score, Test, Work, essay, partly, predicted, right, wrong
from mmsim.labs.locksets import Access, held

KERNEL = "004.merged"
BASE = "004.base"
BUG = r"^kernel BUG at mm/mlock\.c:82!$"
CRASHES = ("004.lock-page", "004.unlock-checkpage")
CLEAN = (("004.no-bug-on", "004.wanpeng"), ("004.merged", "004.kosaki"))
ORDER = {
    "missed_no_lock": "004.order-no-lock",
    "missed_one_lock": "004.order-merged",
    "missed_both_lock": "004.order-both",
}
SETS = Access("_test_set_mlocked", "changes", "flags:mlocked")
MANY = Access("__munlock_pagevec", "changes", "flags:mlocked")
ONE = Access("munlock_vma_page", "changes", "flags:mlocked")
UNMAP = Access("clear_page_mlock", "changes", "flags:mlocked")
CELLS = {
    "mlock_page_lock": (SETS, "PG_locked"),
    "mlock_lru_lock": (SETS, "&zone->lru_lock"),
    "munlock_many_page_lock": (MANY, "PG_locked"),
    "munlock_many_lru_lock": (MANY, "&zone->lru_lock"),
    "munlock_many_mmap_sem": (MANY, "&mm->mmap_sem"),
    "munlock_one_page_lock": (ONE, "PG_locked"),
    "unmap_page_lock": (UNMAP, "PG_locked"),
}


def draw(rng: random.Random) -> dict[str, Any]:
    """Three candidates, of which one crashes, in some order."""
    three = [rng.choice(CRASHES), rng.choice(CLEAN[0]), rng.choice(CLEAN[1])]
    rng.shuffle(three)
    return dict(zip(("one", "two", "three"), three, strict=True))


@lru_cache(maxsize=1)
def _table() -> dict[str, str]:
    """The cells, measured on the merged kernel."""
    table = locksets.measure(trials.variant(KERNEL), "flags:mlocked", cpus=4, seed=1, runs=150)
    return {name: held(table, access, lock) for name, (access, lock) in CELLS.items()}


def table(work: Work) -> Score:
    """Who sets and clears it, under what?"""
    wanted = {**_table(), "common": "none"}
    bad = [name for name, value in wanted.items() if work.text(name).lower() != value]
    if bad:
        return partly(1 - len(bad) / len(wanted), f"not so: {', '.join(bad)}")
    return right()


def no_race(work: Work) -> Score:
    """The report needs no race at all."""
    found = trials.replayed(trials.variant(BASE), work.text("report"))
    if not re.search(BUG, found.title):
        return wrong(f"report ends in: {found.title}")
    if found.preemptions:
        return partly(0.5, f"report has {found.preemptions} preemptions; it needs none")
    return right("no preemption: it is no race")


@lru_cache(maxsize=8)
def _crashes(name: str) -> bool:
    return not trials.at_random(trials.variant(name), cpus=4, seed=1, runs=200, first=True).clean


def candidates(work: Work) -> Score:
    """Which of the three crashes?"""
    bad = []
    for which in ("one", "two", "three"):
        wanted = "yes" if _crashes(work.drawn[which]) else "no"
        if work.text(f"{which}_crashes").lower() != wanted:
            bad.append(f"{which}_crashes")
    if bad:
        return partly(1 - len(bad) / 3, f"not so: {', '.join(bad)}")
    return right()


def crash(work: Work) -> Score:
    """A line for the one that does."""
    (which,) = (work.drawn[n] for n in ("one", "two", "three") if work.drawn[n] in CRASHES)
    if not work.text("crash"):
        return wrong("answers.toml: crash is empty")
    found = trials.replayed(trials.variant(which), work.text("crash"))
    return right(f"{which}: {found.title}")


@lru_cache(maxsize=4)
def _missed(name: str) -> tuple[bool, bool]:
    """Are mlocks missed; and is any left after reclaim has been over all pages once more?"""
    outcome = trials.at_random(trials.variant(name), cpus=4, seed=1, runs=200)
    return outcome.metric("undone_missed") > 0, outcome.metric("missed_after_rescan") > 0


def harm(work: Work) -> Score:
    """A harm that is no crash, and what repairs it."""
    bad = [
        name
        for name, which in ORDER.items()
        if work.text(name).lower() != ("yes" if _missed(which)[0] else "no")
    ]
    left = any(_missed(which)[1] for which in ORDER.values())
    if work.text("left_after_one_scan").lower() != ("yes" if left else "no"):
        bad.append("left_after_one_scan")
    if bad:
        return partly(1 - len(bad) / 4, f"not so: {', '.join(bad)}")
    return right("missed, and repaired by the next scan")


def solve(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The reference answers, measured."""
    report = trials.at_random(trials.variant(BASE), cpus=2, seed=1, runs=1)
    (crasher,) = (drawn[n] for n in ("one", "two", "three") if drawn[n] in CRASHES)
    found = trials.at_random(trials.variant(crasher), cpus=4, seed=1, runs=500, first=True)
    return {
        **_table(),
        "common": "none",
        "report": trials.shrunk(trials.variant(BASE), report.line),
        **{
            f"{which}_crashes": "yes" if _crashes(drawn[which]) else "no"
            for which in ("one", "two", "three")
        },
        "crash": found.line,
        **{name: "yes" if _missed(which)[0] else "no" for name, which in ORDER.items()},
        "left_after_one_scan": "no",
        "lazy": "A page may lie unmarked for a while although a vma has it locked: reclaim that "
        "meets it finds the locked vma by its page tables, marks it then, and does not reclaim "
        "it. So a missed mlock costs one more scan and no page.",
        "protects": "No lock: the pages of the cluster are mapped, with the page table lock held, "
        "so each has a reference for its pte, and migration cannot get past its count of "
        "references. Neither the page lock nor isolation keeps them in place.",
    }


LAB = Lab(
    number=7,
    title="Crazy ugly lock design",
    thread="004",
    minutes=110,
    about="An assertion asks for a lock. Find out who changes the flag under what, and whether the "
    "lock protects anything; weigh three candidates by harm that is no crash.",
    predict=("lock", "worst"),
    draw=draw,
    solve=solve,
    play=lambda _: [BASE],
    tests=(
        Test("predicted, then ran", 2, predicted),
        Test("who changes PG_mlocked, under what", 8, table),
        Test("the report needs no race", 3, no_race),
        Test("which candidate crashes", 3, candidates),
        Test("a line for it", 3, crash),
        Test("a harm that is no crash", 4, harm),
        Test("lazy, in your words", 3, essay("lazy", 25, "reclaim|scan", "mark|unmarked")),
        Test("what protects, in your words", 4, essay("protects", 25, "reference|count")),
    ),
)
