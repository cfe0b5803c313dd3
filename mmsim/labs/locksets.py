# SPDX-License-Identifier: GPL-2.0-only
"""Which lock protects this field, at this moment?  Measured, over random runs.

A row is an access: a kernel function, what it does (reads or changes) and to which word or bit.
For each it is counted which locks the context held.  A lock is told by its class, so that the
lock of every node is `&pgdat->lru_lock` and the lock bit of every page `PG_locked`.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmsim.engine.context import Context
from mmsim.engine.instruments import Instrument, accessor
from mmsim.engine.op import Op
from mmsim.model.cite import plain
from mmsim.run import Runner
from mmsim.scenarios.api import Variant

ALWAYS, SOMETIMES, NEVER = "always", "sometimes", "never"


class Access(NamedTuple):
    """``what`` is "reads" or "changes"."""

    function: str
    what: str
    word: str


Table = Mapping[Access, Counter[frozenset[str]]]


class Locksets(Instrument):
    """Counts, for accesses to the words that are asked for."""

    def __init__(self, words: frozenset[str]) -> None:
        self._words = words
        self.table: defaultdict[Access, Counter[frozenset[str]]] = defaultdict(Counter)

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        if op.label in self._words:
            function, _, _ = accessor(sys._getframe(1))
            what = "changes" if op.writes else "reads"
            held = frozenset(str(lock.name).partition("#")[0] for lock in ctx.locks)
            self.table[Access(plain(function), what, op.label)][held] += 1


def measure(which: Variant, *words: str, cpus: int, seed: int, runs: int) -> Table:
    """The table of some random runs."""
    listener = Locksets(frozenset(words))
    with Runner(which, cpus=cpus, seed=seed, engine="green") as runner:
        for index in range(runs):
            runner.run(index, instruments=[listener])
    return listener.table


def held(table: Table, access: Access, lock: str) -> str:
    """How often a lock is held at an access: always, sometimes, never; "" if it never happens."""
    counted = table.get(access)
    if not counted:
        return ""
    with_it = sum(n for locks, n in counted.items() if lock in locks)
    if with_it == counted.total():
        return ALWAYS
    return SOMETIMES if with_it else NEVER
