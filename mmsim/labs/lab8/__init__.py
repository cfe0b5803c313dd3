# SPDX-License-Identifier: GPL-2.0-only
"""Lab 8: write the mail.  An unknown mutant: find it, shrink it, explain it, fix it, report it."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import lru_cache
from typing import Any

from mmsim.errors import UsageError
from mmsim.labs import fix, trials
from mmsim.labs.catalogue import find
from mmsim.labs.kernel import load, replaced
from mmsim.labs.lab import Lab, Score, Test, Work, partly, predicted, right, wrong
from mmsim.labs.lint import LEAST_WORDS, RULES, lint
from mmsim.labs.skeleton import whole

REPORT = "report.md"
FEW = 3
LOOK = "            if PageLocked(page):\n                page_cache_get(page)"
CONSUME = (
    "                page_cache_get(page)\n                __lru_cache_del(page)\n"
    "                UnlockPage(page)\n                page_cache_release(page)\n"
    "                nr_pages -= 1\n                if not nr_pages:"
)
PUT = (
    "    if PageLRU(page):\n        if TryLockPage(page):\n"
    '            BUG("page_alloc.c:93", page)\n        return\n'
)
TAIL = "                nr_pages -= 1\n                if not nr_pages:"


def _consume(*steps: str) -> str:
    return "".join(f"                {step}(page)\n" for step in steps) + TAIL


GET, DEL, UNLOCK, DROP = "page_cache_get", "__lru_cache_del", "UnlockPage", "page_cache_release"
MUTANTS: dict[str, tuple[str, str, str, str]] = {
    "look": ("shrink_cache", LOOK, LOOK.replace("PageLocked(page)", "page.buffers is None"),
             "shrink_cache frees a page with count 0 whether its last user has let go or not"),
    "late": ("shrink_cache", CONSUME, _consume(GET, DEL, DROP, UNLOCK),
             "shrink_cache drops its reference while the page is still locked"),
    "kept": ("shrink_cache", CONSUME, _consume(GET, DEL, DROP),
             "shrink_cache never takes the message off the page"),
    "bare": ("shrink_cache", CONSUME, _consume(DEL, UNLOCK, DROP),
             "shrink_cache drops a reference that it has not taken"),
    "mute": ("__free_pages_ok", PUT, "    if PageLRU(page):\n        return\n",
             "the last put leaves the page on the LRU without a message"),
    "both": ("__free_pages_ok", PUT, PUT.removesuffix("        return\n"),
             "the last put leaves its message and frees the page all the same"),
}  # fmt: skip
"""(function, text, text of the mutant, what is wrong)."""
SMALL = ("packets", "tv")


def draw(rng: random.Random) -> dict[str, Any]:
    """Which mutant."""
    return {"mutant": rng.choice(sorted(MUTANTS))}


def _right() -> str:
    """The kernel of lab 3, finished."""
    text = whole((find(3).folder / "kernel.py").read_text(encoding="utf-8"))
    head, _, rest = text.partition('"""Lab 3')
    _, _, rest = rest.partition('"""\n')
    about = (
        '"""Lab 8: two functions of the patch of 12 February 2002, in which one thing is wrong.\n\n'
        "    python -m mmsim.stress --file kernel.py --cpus 4 --runs 200\n"
        '    python -m mmsim explore lab8.packets --cast packets --file kernel.py\n"""\n'
    )
    return (head + about + rest).replace("student_kernel(3,", "student_kernel(8,")


def mutated(mutant: str) -> str:
    """The kernel with the mutation."""
    _, old, new, _ = MUTANTS[mutant]
    text = _right()
    if text.count(old) != 1:
        raise ValueError(f"mutant {mutant}: its text occurs {text.count(old)} times")
    return text.replace(old, new)


def write(name: str, drawn: Mapping[str, Any], solution: bool) -> str | None:
    """The kernel is the mutant's; the report of the reference is written from its answers."""
    if name == "kernel.py":
        return _right() if solution else mutated(drawn["mutant"])
    if name == REPORT and solution:
        return _report(drawn)
    return None


def _running(mutant: str) -> AbstractContextManager[None]:
    """The mutant runs, as it was handed out."""
    return replaced(LAB, load(LAB, mutated(mutant)))


def _replayed(work: Work, name: str) -> trials.Replayed:
    if not work.text(name):
        raise UsageError(f"answers.toml: {name} is empty")
    cast = work.text("cast")
    if cast not in LAB.casts:
        raise UsageError(f"cast has to be one of {', '.join(LAB.casts)}")
    with _running(work.drawn["mutant"]):
        return trials.replayed(trials.variant(LAB.base, cast), work.text(name))


def found(work: Work) -> Score:
    """A line on which the mutant fails."""
    return right(_replayed(work, "line").title)


def short(work: Work) -> Score:
    """The same with few preemptions."""
    got = _replayed(work, "short")
    if got.preemptions > FEW:
        return wrong(f"short has {got.preemptions} preemptions; `shrink` finds one with fewer")
    return right(f"{got.title}; {got.preemptions} preemptions")


def function(work: Work) -> Score:
    """Where is it?"""
    if work.text("function") != MUTANTS[work.drawn["mutant"]][0]:
        return wrong("function: the one who finds it need not be the one who did it")
    return right()


def _text(work: Work) -> str:
    try:
        return (work.folder / REPORT).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{REPORT} is missing, or no text") from error


def form(work: Work) -> Score:
    """The form of a mail to a list."""
    text = _text(work)
    trouble = lint(text)
    if len(text.split()) < LEAST_WORDS:
        return wrong("\n".join(trouble))
    if trouble:
        return partly(1 - len(trouble) / len(RULES), "\n".join(trouble))
    return right("for the reader, who says what it is worth")


def cited(work: Work) -> Score:
    """The report gives the line that is in the answers."""
    short_one = work.text("short")
    if not short_one or trials.line_in(short_one) not in _text(work):
        return wrong(f"{REPORT} does not have the line that is `short` in answers.toml")
    _replayed(work, "short")
    return right()


@lru_cache(maxsize=8)
def _answers(mutant: str) -> dict[str, Any]:
    with _running(mutant):
        for cast in SMALL:
            which = trials.variant(LAB.base, cast)
            got = trials.every_order(which, bound=2)
            if not got.clean:
                line = trials.shrunk(which, got.line)
                return {
                    "cast": cast,
                    "line": got.line,
                    "short": line,
                    "function": MUTANTS[mutant][0],
                }
    raise ValueError(f"mutant {mutant} is not found with {', '.join(SMALL)}")


def solve(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The reference answers, found by search."""
    return dict(_answers(drawn["mutant"]))


def _report(drawn: Mapping[str, Any]) -> str:
    answers = _answers(drawn["mutant"])
    with _running(drawn["mutant"]):
        which = trials.variant(LAB.base, answers["cast"])
        title = trials.replayed(which, answers["short"]).title
        first = trials.every_order(which, bound=2).runs
        failed = trials.at_random(which, cpus=4, seed=1, runs=200).failed
    text = (LAB.folder / "report-key.md").read_text(encoding="utf-8")
    told = {
        "function": answers["function"],
        "wrong": textwrap.fill(MUTANTS[drawn["mutant"]][3], 76, initial_indent=" " * 15).strip(),
        "title": title,
        "cast": answers["cast"],
        "line": answers["short"],
        "first": str(first),
        "failed": str(failed),
    }
    for name, value in told.items():
        text = text.replace(f"${name}", value)
    return text


RANDOM = (("everybody-twice", 4), ("swappers", 8))

LAB = Lab(
    number=8,
    title="Write the mail",
    thread="all",
    minutes=600,
    about="A kernel in which one thing is wrong, and nobody says what. Find it, shrink it, explain "
    "it, fix it, and write the mail to the list.",
    predict=("where", "how"),
    draw=draw,
    solve=solve,
    code="kernel.py",
    defines=("__free_pages_ok", "shrink_cache"),
    replaces=("mmsim.v2_4.page_alloc.__free_pages_ok", "mmsim.v2_4.vmscan.shrink_cache"),
    base="002.pagelocked",
    casts=find(3).casts,
    rules=replace(find(3).rules),
    more=(REPORT,),
    write=write,
    corpus="../lab3/corpus.txt",
    tests=(
        Test("predicted, then ran", 2, predicted),
        Test("a line on which it fails", 5, found),
        Test("at most three preemptions", 3, short),
        Test("which function is wrong", 2, function),
        Test("lines of old findings", 4, fix.survives, boxed=True),
        Test("no lock of the LRU in an interrupt", 2,
             fix.not_in_interrupts(".*pagemap_lru_lock", RANDOM[0]), boxed=True),
        Test("random runs, seeds that everybody has", 3, fix.at_random(*RANDOM, runs=150),
             boxed=True),
        Test("random runs, hidden seeds", 3, fix.at_random(*RANDOM, runs=150, hidden=True),
             boxed=True, graded=True),
        Test("every order: two packets and kswapd", 2, fix.every_order("packets"), boxed=True),
        Test("every order: an exit, a TV card, kswapd", 2, fix.every_order("tv"), boxed=True),
        Test("every order: an exit with swap, and kswapd", 2,
             fix.every_order("exit-alone", seconds=40), boxed=True, graded=True, seconds=50),
        Test("still several CPUs", 2, fix.several_cpus("everybody-twice", cpus=4), boxed=True),
        Test("the report has the form of a mail", 5, form),
        Test("the report has the line", 3, cited),
    ),
)  # fmt: skip
