# SPDX-License-Identifier: GPL-2.0-only
"""Wrong answers to the labs that classes give, as edits of the reference solution.

Each names the tests that it fails, with what the message has to say; all other tests give full
points.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsim.labs import workspace
from mmsim.labs.catalogue import find

Edit = Callable[[Path], None]


@dataclass(frozen=True)
class Wrong:
    """``points`` are those of the tests that do not get all; ``says`` what one of them says."""

    lab: int
    name: str
    edit: Edit
    points: Mapping[str, float]
    says: Mapping[str, str] = field(default_factory=dict)


def code(*changes: tuple[str, str], file: str = "kernel.py") -> Edit:
    """Replace texts, each of which occurs exactly once."""

    def edit(folder: Path) -> None:
        text = (folder / file).read_text()
        for old, new in changes:
            assert text.count(old) == 1, (text.count(old), old)
            text = text.replace(old, new)
        (folder / file).write_text(text)

    return edit


def answers(**changes: Any) -> Edit:
    """Other answers."""

    def edit(folder: Path) -> None:
        tables = tomllib.loads((folder / "answers.toml").read_text())
        lines = []
        for table, values in tables.items():
            lines.append(f"[{table}]")
            values = {**values, **(changes if table == "answers" else {})}
            lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        (folder / "answers.toml").write_text("\n".join(lines) + "\n")

    return edit


def unpredicted(folder: Path) -> None:
    """A folder in which everything was run before anything was predicted."""
    journal = json.loads((folder / "journal.json").read_text())
    (folder / "journal.json").write_text(json.dumps({**journal, "predictions": {}}))


def without(line: str, file: str = "report.md") -> Edit:
    """Leave out the lines that begin so."""

    def edit(folder: Path) -> None:
        lines = (folder / file).read_text().splitlines()
        kept = [text for text in lines if not text.lstrip().startswith(line)]
        assert len(kept) < len(lines)
        (folder / file).write_text("\n".join(kept) + "\n")

    return edit


def copied(answer: str, source: str) -> Edit:
    """One answer given for another, too."""

    def edit(folder: Path) -> None:
        given = tomllib.loads((folder / "answers.toml").read_text())["answers"]
        answers(**{answer: given[source]})(folder)

    return edit


def both(*edits: Edit) -> Edit:
    """One after the other."""

    def edit(folder: Path) -> None:
        for one in edits:
            one(folder)

    return edit


def handed_out(folder: Path) -> None:
    """The kernel of lab 8 as it was before anybody mended it."""
    (folder / "kernel.py").write_text(workspace.text(find(8), "kernel.py", "ada"))


KERNEL = (
    "no lock of the LRU in an interrupt",
    "random runs, seeds that everybody has",
    "random runs, hidden seeds",
    "every order: two packets and kswapd",
    "every order: an exit, a TV card, kswapd",
    "every order: an exit with swap, and kswapd",
    "still several CPUs",
)
NOTHING = {"lines of old findings": 0, **dict.fromkeys(KERNEL, 0)}
OLD = "lines of old findings"

WRONG = (
    Wrong(1, "ran before he predicted", unpredicted, {"predicted, then ran": 0}),
    Wrong(
        1,
        "no line",
        answers(line="mm1:2:rubbish:00000000"),
        {"a line that frees the page twice": 0, "who freed it first, who second": 0},
        {"a line that frees the page twice": "checksum is wrong"},
    ),
    Wrong(
        1,
        "the lock of the list taken for the count's",
        answers(lock_of_count="pagemap_lru_lock"),
        {"which lock protects what, at that moment": 2},
        {"which lock protects what, at that moment": "lock_of_count"},
    ),
    Wrong(
        1,
        "the two freers the wrong way round",
        answers(freed_first_by="bttv", freed_second_by="kswapd"),
        {"who freed it first, who second": 0},
        {"who freed it first, who second": "freed_first_by, freed_second_by"},
    ),
    Wrong(
        1,
        "an explanation that names nobody",
        answers(explain="There is a race between two processors and so it crashes. " * 4),
        {"in your words": 1.5},
        {"in your words": "count, lru"},
    ),
    Wrong(
        3,
        "reclaim does not look at the bit",
        code(
            (
                "            if PageLocked(page):\n                page_cache_get(page)",
                "            if True:\n                page_cache_get(page)",
            )
        ),
        NOTHING,
        {OLD: r"double free|filemap\.c:802"},
    ),
    Wrong(
        3,
        "reclaim unlocks after it has dropped the page",
        code(
            (
                "                UnlockPage(page)\n                page_cache_release(page)\n"
                "                nr_pages -= 1\n                if not",
                "                page_cache_release(page)\n                UnlockPage(page)\n"
                "                nr_pages -= 1\n                if not",
            )
        ),
        NOTHING,
        {OLD: r"kernel BUG at page_alloc\.c:82"},
    ),
    Wrong(
        3,
        "7 February: no message at all",
        code(
            (
                '        if TryLockPage(page):\n            BUG("page_alloc.c:93", page)\n'
                "        return",
                "        return",
            ),
            (
                "            if PageLocked(page):\n                page_cache_get(page)",
                "            if True:\n                page_cache_get(page)",
            ),
            (
                "                UnlockPage(page)\n                page_cache_release(page)\n"
                "                nr_pages -= 1\n                if not",
                "                page_cache_release(page)\n"
                "                nr_pages -= 1\n                if not",
            ),
        ),
        NOTHING,
        {OLD: r"double free|filemap\.c:802"},
    ),
    Wrong(
        3,
        "the message is left and never read",
        code(
            (
                "            if PageLocked(page):\n                page_cache_get(page)",
                "            if False:\n                page_cache_get(page)",
            )
        ),
        NOTHING,
        {OLD: "parked page is not freed by reclaim"},
    ),
    Wrong(
        3,
        "a trylock of the list's lock in the put",
        code(
            (
                "    if PageLRU(page):\n        if TryLockPage(page):\n"
                '            BUG("page_alloc.c:93", page)\n        return',
                "    if PageLRU(page):\n        if not spin_trylock(vm.pagemap_lru_lock):\n"
                "            return\n        __lru_cache_del(page)\n"
                "        spin_unlock(vm.pagemap_lru_lock)",
            ),
            (
                '    if page.buffers is not None:\n        BUG("page_alloc.c:74"',
                "    vm = kernel()\n"
                '    if page.buffers is not None:\n        BUG("page_alloc.c:74"',
            ),
            ("import spin_lock, spin_unlock", "import spin_lock, spin_trylock, spin_unlock"),
        ),
        NOTHING,
        {OLD: "page without references was never freed"},
    ),
    Wrong(
        3,
        "serialises: interrupts off all the way",
        code(
            (
                "    spin_lock(vm.pagemap_lru_lock)\n    while max_scan",
                "    local_irq_disable()\n    spin_lock(vm.pagemap_lru_lock)\n    while max_scan",
            ),
            (
                "    spin_unlock(vm.pagemap_lru_lock)\n    return nr_pages",
                "    spin_unlock(vm.pagemap_lru_lock)\n    local_irq_enable()\n    return nr_pages",
            ),
            (
                "from mmsim.linux.list import",
                "from mmsim.linux.irqflags import local_irq_disable, local_irq_enable\n"
                "from mmsim.linux.list import",
            ),
        ),
        {"still several CPUs": 0},
        {"still several CPUs": "refused, it serialises: interrupts are off in"},
    ),
    Wrong(
        3,
        "serialises: one lock over every last put",
        code(
            (
                '    if page.buffers is not None:\n        BUG("page_alloc.c:74"',
                "    vm = kernel()\n    flags = spin_lock_irqsave(vm.deferred_lock)\n"
                '    if page.buffers is not None:\n        BUG("page_alloc.c:74"',
            ),
            (
                "        return\n    free_to_zone(page, order)\n",
                "        spin_unlock_irqrestore(vm.deferred_lock, flags)\n        return\n"
                "    free_to_zone(page, order)\n"
                "    spin_unlock_irqrestore(vm.deferred_lock, flags)\n",
            ),
            (
                "import spin_lock, spin_unlock",
                "import (\n    spin_lock, spin_lock_irqsave, spin_unlock,\n"
                "    spin_unlock_irqrestore,\n)",
            ),
        ),
        {"still several CPUs": 0},
        {"still several CPUs": "takes deferred_lock, which the reference does not take"},
    ),
    Wrong(
        3,
        "a lock of its own",
        code(
            (
                "SCENARIO = student_kernel(3,",
                'BIG = spin_lock_init("big")\nSCENARIO = student_kernel(3,',
            ),
            ("import spin_lock, spin_unlock", "import spin_lock, spin_lock_init, spin_unlock"),
        ),
        NOTHING,
        {OLD: "has no 'spin_lock_init' for a fix to use"},
    ),
    Wrong(
        3,
        "a barrier on the wrong side",
        code(
            ("smp_rmb();\n\tl", "l"),
            ("\tlast = atomic", "\tsmp_wmb();\n\tlast = atomic"),
            file="barrier.litmus",
        ),
        {"the barrier, on a weak machine": 0},
        {"the barrier, on a weak machine": "observation Sometimes"},
    ),
    Wrong(
        3,
        "barriers everywhere",
        code(
            ("smp_rmb();\n\tl", "smp_mb();\n\tl"),
            ("\tlast = atomic", "\tsmp_mb();\n\tlast = atomic"),
            file="barrier.litmus",
        ),
        {"the barrier, on a weak machine": 3.75},
        {"the barrier, on a weak machine": "one barrier is enough"},
    ),
    Wrong(
        2,
        "a rate far from the truth",
        answers(failed=200),
        {"a rate": 0, "its interval": 0},
        {"a rate": r"200 of 300; the rate is between"},
    ),
    Wrong(
        2,
        "an interval that begins at nought",
        answers(low=0),
        {"its interval": 1.5},
    ),
    Wrong(
        2,
        "nothing of 3,000 is never",
        answers(at_most=0),
        {"nothing of 3,000": 0},
        {"nothing of 3,000": "one case of twenty"},
    ),
    Wrong(
        2,
        "a statement that nobody else can see",
        code(("        page_count(page)\n", "        order = order + 0\n")),
        {"a statement in the window": 0, "the rate with it": 0},
        {"a statement in the window": "touches nothing shared"},
    ),
    Wrong(
        2,
        "a statement that repairs the bug",
        code(
            (
                "        page_count(page)\n",
                "        if page_count(page) or not PageLRU(page):\n            return\n",
            )
        ),
        {"a statement in the window": 0, "the rate with it": 0},
        {"a statement in the window": "changed otherwise"},
    ),
    Wrong(
        2,
        "no line for the rare kernel",
        answers(rare="python -m mmsim explore"),
        {"what random runs missed": 0},
        {"what random runs missed": "there is no line in it"},
    ),
    Wrong(4, "a NULL pointer", answers(r2_is="NULL"), {"the report, decoded": 3}),
    Wrong(
        4,
        "the same address in every kernel",
        answers(address_elsewhere="0x104"),
        {"the address in another kernel": 0},
    ),
    Wrong(
        4,
        "the lock is always held",
        answers(test_in_release="always", test_in_activate="always"),
        {"which lock, when": 4},
        {"which lock, when": "test_in_release, test_in_activate"},
    ),
    Wrong(
        4,
        "release_pages is guilty",
        answers(can_fail="yes"),
        {"can the lock swap fail?": 0},
        {"can the lock swap fail?": "what did the search say"},
    ),
    Wrong(
        4,
        "one cause twice",
        both(copied("oops2", "oops"), copied("oops2_variant", "oops_variant")),
        {"and from a second cause": 0},
        {"and from a second cause": "breaks the same thing"},
    ),
    Wrong(5, "no line", answers(line=""), {"a line of the report": 0}),
    Wrong(
        5,
        "a test just before the call closes the window",
        answers(failed_closer=0),
        {"shorter is not closed: two rates": 2},
        {"shorter is not closed: two rates": "failed_closer: 0; the rate is between"},
    ),
    Wrong(
        5,
        "what does not crash does no harm",
        answers(one_harm="none", three_harm="none"),
        {"the harm of each candidate": 2},
        {"the harm of each candidate": "one_harm, three_harm"},
    ),
    Wrong(
        5,
        "all of them move everything",
        answers(three_moves_anonymous="yes"),
        {"the table: what is still moved": 5},
    ),
    Wrong(
        5,
        "buffers hold no reference",
        answers(references=1),
        {"the arithmetic of a page with buffers": 1},
    ),
    Wrong(
        5,
        "a review of two candidates",
        answers(
            review="001.check-under-lock takes the lock too often, get-first-norecheck dies. " * 9
        ),
        {"the review": 3},
        {"the review": "001.get-first-no-minus-one"},
    ),
    Wrong(
        6,
        "a sentence that says nothing",
        code(
            ("    return all(page.v_flags", "    return True or all(page.v_flags"),
            file="protocol.py",
        ),
        {
            "the check is quiet where all is well": 0,
            "the check sees each break, at its first step": 0,
        },
        {"the check is quiet where all is well": "it is never False"},
    ),
    Wrong(
        6,
        "the waiter is taken to hold a reference",
        code(
            ("page.m_locked for", "page.m_locked and page.v__refcount > 2 for"), file="protocol.py"
        ),
        {
            "the check is quiet where all is well": 0,
            "the check sees each break, at its first step": 0,
        },
        {
            "the check is quiet where all is well": r"003.base is right; yours is False in run",
            "the check sees each break, at its first step": "False too often",
        },
    ),
    Wrong(
        6,
        "only if somebody waits",
        code(
            ("in entries(vm))", "in entries(vm) if page.v_flags & page.m_waiters)"),
            file="protocol.py",
        ),
        {"the check sees each break, at its first step": 0},
        {"the check sees each break, at its first step": "misses, or sees late"},
    ),
    Wrong(
        6,
        "a check that locks the page itself",
        code(
            (
                "    return all(page.v_flags",
                "    for page in entries(vm):\n        page.v_flags = page.m_locked\n"
                "    return all(page.v_flags",
            ),
            file="protocol.py",
        ),
        {
            "the check is quiet where all is well": 0,
            "the check sees each break, at its first step": 0,
        },
        {"the check is quiet where all is well": "line 28: .v_flags may be read, and not written"},
    ),
    Wrong(
        6,
        "the false alarm taken for the break",
        answers(breaks="003.stale-pte", false_alarm="003.lost-bit-no-debug"),
        {
            "which of the five breaks it": 0,
            "a line in which it is broken": 0,
            "which only seems to": 0,
        },
        {"a line in which it is broken": "stale schedule"},
    ),
    Wrong(
        7,
        "PG_mlocked changes under the page lock",
        answers(munlock_many_page_lock="always", unmap_page_lock="always", common="PG_locked"),
        {"who changes PG_mlocked, under what": 5},
        {"who changes PG_mlocked, under what": "munlock_many_page_lock, unmap_page_lock, common"},
    ),
    Wrong(
        7,
        "a line of another kernel",
        copied("crash", "report"),
        {"a line for it": 0},
    ),
    Wrong(7, "no line", answers(report=""), {"the report needs no race": 0}),
    Wrong(
        7,
        "the patch closes Torvalds's case",
        answers(missed_one_lock="no"),
        {"a harm that is no crash": 3},
        {"a harm that is no crash": "missed_one_lock"},
    ),
    Wrong(
        7,
        "whatever sleeps for a lock crashes, whatever tries does not",
        answers(one_crashes="no", two_crashes="yes"),
        {"which candidate crashes": 1},
    ),
    Wrong(8, "the kernel as it was handed out", handed_out, NOTHING, {OLD: "fails on"}),
    Wrong(
        8,
        "reclaim frees nothing that was left to it",
        code(
            (
                "            if PageLocked(page):\n                page_cache_get(page)",
                "            if False:\n                page_cache_get(page)",
            )
        ),
        NOTHING,
        {OLD: "parked page is not freed by reclaim"},
    ),
    Wrong(
        8,
        "the wrong function blamed",
        answers(function="page_cache_release"),
        {"which function is wrong": 0},
        {"which function is wrong": "need not be the one who did it"},
    ),
    Wrong(
        8,
        "nobody signs",
        without("Reported-by"),
        {"the report has the form of a mail": 4.55},
        {"the report has the form of a mail": "sign-off"},
    ),
    Wrong(
        8,
        "nobody can see it again",
        without("python -m mmsim replay"),
        {"the report has the form of a mail": 4.55, "the report has the line": 0},
        {"the report has the form of a mail": "reproduce: give a line"},
    ),
)
