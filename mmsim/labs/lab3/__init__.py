# SPDX-License-Identifier: GPL-2.0-only
"""Lab 3: Hugh's bit.  From pre9's deadlock to the protocol of 12 February 2002, and its barrier."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from mmsim.labs import fix, trials
from mmsim.labs.catalogue import find
from mmsim.labs.lab import Lab, Score, Test, Work, essay, partly, predicted, right, wrong
from mmsim.labs.rules import Rules
from mmsim.litmus import parser
from mmsim.litmus.explorer import TooManyStates, explore
from mmsim.litmus.output import Report

STOCK = ("002.pre9-irq-smp", "002.base2417-irq")
LITMUS = "barrier.litmus"
BARRIER = re.compile(r"\bsmp_\w+\s*\(\s*\)\s*;")


def draw(rng: random.Random) -> dict[str, Any]:
    """Which kernel hangs first: the last one without the patch, or the one before."""
    return {"stock": rng.choice(STOCK), "cast": "tv-on-reclaim"}


def deadlock(work: Work) -> Score:
    """The stock kernel first: a line that hangs in an interrupt."""
    line = work.text("deadlock")
    if not line:
        return wrong("answers.toml: deadlock is empty")
    found = trials.replayed(trials.variant(work.drawn["stock"], work.drawn["cast"]), line)
    if found.title != "deadlock on pagemap_lru_lock":
        return wrong(f"it ends in: {found.title}")
    return right(found.title)


def barrier(work: Work) -> Score:
    """The mail's question, on a machine that reorders loads."""
    file = work.folder / LITMUS
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return wrong(f"{LITMUS} is missing, or no text")
    original = (find(work.number).folder / LITMUS).read_text(encoding="utf-8")
    if _without_barriers(text) != _without_barriers(original):
        return wrong(f"{LITMUS}: put barriers in, and leave the rest as it is")
    try:
        litmus = parser.parse(text, LITMUS)
        report = Report(litmus, "weak", explore(litmus, limit=100_000), 0.0)
    except TooManyStates:
        return wrong(f"{LITMUS}: too many barriers to go through")
    put, reclaim = (
        len(BARRIER.findall(part)) for part in re.split(r"P1\(", _code(text), maxsplit=1)
    )
    if report.verdict != "Never":
        return wrong(f"observation {report.verdict}: count 0 and locked are still seen together")
    if put or reclaim > 1:
        return partly(0.75, "it holds, but one barrier is enough: which is not needed?")
    if "smp_rmb" not in text:
        return partly(0.75, "it holds; a barrier that orders less would do")
    return right("Never, with one read barrier")


def _code(text: str) -> str:
    return re.sub(r"\(\*.*?\*\)|//[^\n]*", "", text, flags=re.DOTALL)


def _without_barriers(text: str) -> str:
    return "".join(BARRIER.sub("", _code(text)).split())


def solve(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The reference answers."""
    found = trials.every_order(
        trials.variant(drawn["stock"], drawn["cast"]), title="^deadlock", bound=2
    )
    return {
        "deadlock": found.line,
        "message": "Count 0 and PG_locked together say: the one who made the count 0 has finished "
        "with the page. With count 0 nobody else can lock it, since whoever locks a page holds a "
        "reference; so shrink_cache, which holds pagemap_lru_lock, is the only one to take it.",
        "barrier": "In shrink_cache, between the load of the count and the load of the flags: "
        "without a read barrier the flags may be loaded early, when the page was still locked by "
        "an ordinary holder, and the count late, when he has unlocked and dropped it. The put "
        "needs none, since its second store depends on the result of the first.",
    }


SMALL = ("packets", "tv", "exit-alone")

LAB = Lab(
    number=3,
    title="Hugh's bit",
    thread="002",
    minutes=110,
    about="A page must not be taken off a list in an interrupt. Write the protocol that leaves it "
    "there with a message, from the mail's prose; then answer the mail's question on barriers.",
    predict=("deadlock", "order"),
    draw=draw,
    solve=solve,
    code="kernel.py",
    defines=("__free_pages_ok", "shrink_cache"),
    replaces=("mmsim.v2_4.page_alloc.__free_pages_ok", "mmsim.v2_4.vmscan.shrink_cache"),
    base="002.pagelocked",
    casts=(
        "packets", "tv", "tv-on-reclaim", "exit-alone", "tv-routed", "everybody-twice", "swappers",
    ),
    rules=Rules(
        packages=("mmsim.linux", "mmsim.v2_4"),
        fields=("mmsim.v2_4",),
        also=(
            "mmsim.model.era.kernel",
            "mmsim.labs.kit.student_kernel",
            "mmsim.labs.zone.free_to_zone",
        ),
    ),
    more=(LITMUS,),
    play=lambda drawn: [drawn["stock"], "--cast", drawn["cast"], "--cpus", "2"],
    tests=(
        Test("predicted, then ran", 2, predicted),
        Test("the stock kernel: a line that hangs", 3, deadlock),
        Test("lines of old findings", 4, fix.survives, boxed=True),
        Test("no lock of the LRU in an interrupt", 2,
             fix.not_in_interrupts(".*pagemap_lru_lock", ("everybody-twice", 4), ("tv-routed", 4)),
             boxed=True),
        Test("random runs, seeds that everybody has", 3,
             fix.at_random(("everybody-twice", 4), ("swappers", 8), ("tv-routed", 8), runs=200),
             boxed=True),
        Test("random runs, hidden seeds", 3,
             fix.at_random(("everybody-twice", 4), ("swappers", 8), ("tv-routed", 8), runs=200,
                           hidden=True),
             boxed=True, graded=True),
        Test("every order: two packets and kswapd", 3, fix.every_order("packets"), boxed=True),
        Test("every order: an exit, a TV card, kswapd", 3, fix.every_order("tv"), boxed=True),
        Test("every order: an exit with swap, and kswapd", 3,
             fix.every_order("exit-alone", seconds=40), boxed=True, graded=True, seconds=50),
        Test("still several CPUs", 3, fix.several_cpus("everybody-twice", cpus=4), boxed=True),
        Test("the message, in your words", 3,
             essay("message", 25, "count", "lock", "reference")),
        Test("the barrier, on a weak machine", 5, barrier),
        Test("the barrier, in your words", 3, essay("barrier", 25, "load|read", "shrink_cache")),
    ),
)  # fmt: skip
