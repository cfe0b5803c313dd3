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
        {OLD: "double free"},
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
                "        if TryLockPage(page):\n            BUG(\"page_alloc.c:93\", page)\n"
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
        {OLD: "double free"},
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
                "            BUG(\"page_alloc.c:93\", page)\n        return",
                "    if PageLRU(page):\n        if not spin_trylock(vm.pagemap_lru_lock):\n"
                "            return\n        __lru_cache_del(page)\n"
                "        spin_unlock(vm.pagemap_lru_lock)",
            ),
            ("    if page.buffers is not None:\n        BUG(\"page_alloc.c:74\"",
             "    vm = kernel()\n    if page.buffers is not None:\n        BUG(\"page_alloc.c:74\""),
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
                "    spin_unlock(vm.pagemap_lru_lock)\n    local_irq_enable()\n"
                "    return nr_pages",
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
        "a lock of its own",
        code(
            ("SCENARIO = student_kernel(3,", "BIG = spin_lock_init(\"big\")\nSCENARIO = student_kernel(3,"),
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
)
