# SPDX-License-Identifier: GPL-2.0-only
"""Operations: what a context is about to do at a point.

An operation is a static value, made once, and passed with every access.  It says which words of
the object the effect touches, and where a word is made of bits, which of them.  Search, memory
models, detectors and reports all stand on it, so a declaration that leaves a word out makes a proof
wrong without a sound; ``tests/engine/test_truth.py`` compares every declaration with what effects
really do.

A *word* is a memory location: an object and the name of one of its words.  All flags of a page are
one word.  Bits are named, since their numbers differ from kernel to kernel.  A *label* is for
people and decides nothing.

The *kind* tells which ordering the programmer asked for (Documentation/memory-barriers.txt and
atomic_t.txt, Linux 5.17).  It is an interned string: it is compared with ``is`` and prints as
itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

READ: Final = "read"  # plain C load
WRITE: Final = "write"  # plain C store
READ_ONCE: Final = "read-once"
WRITE_ONCE: Final = "write-once"
ACQUIRE: Final = "load-acquire"
RELEASE: Final = "store-release"
STORE_MB: Final = "store-mb"  # a store and a full barrier: set_current_state()
RMW: Final = "rmw"  # value-returning atomic or test_and_*_bit: fully ordered
RMW_RELAXED: Final = "rmw-relaxed"  # atomic_inc, set_bit: atomic, no ordering
RMW_ACQUIRE: Final = "rmw-acquire"
RMW_RELEASE: Final = "rmw-release"
MB: Final = "smp_mb"
RMB: Final = "smp_rmb"
WMB: Final = "smp_wmb"
LOCK: Final = "lock"  # may have to wait: a failed attempt is not a step
TRYLOCK: Final = "trylock"
UNLOCK: Final = "unlock"
IRQ_OFF: Final = "irq-off"
IRQ_ON: Final = "irq-on"
BH_OFF: Final = "bh-off"
BH_ON: Final = "bh-on"
DOWN: Final = "down"  # take a sleeping lock, or queue for it
UP: Final = "up"
SLEEP: Final = "sleep"
WAKE: Final = "wake"
RESCHED: Final = "cond_resched"  # a voluntary preemption point
RAISE: Final = "raise-irq"
SPAWN: Final = "spawn"
START: Final = "start"  # a context begins, or goes on after it was woken: no effect of its own
RELAX: Final = "relax"  # one turn of a busy-wait loop: no effect of its own
BLOCKED: Final = "blocked"  # asleep: it does nothing until somebody wakes it

# Compiled code has copies of them: only of an interned string is there one object.
for _name, _kind in list(globals().items()):
    if _name.isupper() and isinstance(_kind, str):
        globals()[_name] = sys.intern(_kind)

READS: Final = frozenset({READ, READ_ONCE, ACQUIRE})
WRITES: Final = frozenset({WRITE, WRITE_ONCE, RELEASE, STORE_MB})
PLAIN: Final = frozenset({READ, WRITE})
WITHOUT_EFFECT: Final = frozenset({START, RELAX, BLOCKED})

ALL: Final = frozenset({"*"})  # every bit of the word
NONE: Final = frozenset[str]()

Bits = frozenset[str]
Also = Callable[..., Iterable[tuple[Any, "Op"]]]


class Op:
    """One static operation.

    ``words`` are names of words of the object it is done to; ``reads`` and ``writes`` the bits of
    them that the effect may look at and change: :data:`ALL`, :data:`NONE` or names of bits.  By
    default they follow from the kind.  ``label`` and ``verb`` ("test_and_clear") are for people.
    ``unchanged`` is a result that says that the effect has changed nothing, as a failed trylock's
    False does.

    ``also(obj, *args)``, if given, tells before the effect what it touches besides: pairs of an
    object and an operation on that.

    ``fails(obj, *args)``, if given, tells before the effect whether it would only look: a trylock
    of what is taken writes nothing.

    ``fails_on(value, *args)``, of an atomic that may change nothing, says whether it would on this
    value of the word, with the effect's arguments.  One that fails is a load, and orders nothing.

    ``leads(value)`` is the object that a loaded number names, as a page table entry does a page:
    what is read of that object is read after the number.

    ``raw`` is the attribute that holds the word's value (see :mod:`mmsim.model.struct`).
    """

    __slots__ = (
        "_conflicts",
        "also",
        "fails",
        "fails_on",
        "kind",
        "label",
        "leads",
        "raw",
        "reads",
        "unchanged",
        "verb",
        "words",
        "writes",
    )

    def __init__(
        self,
        kind: str,
        *words: str,
        reads: Bits | None = None,
        writes: Bits | None = None,
        label: str = "",
        verb: str = "",
        unchanged: Any = Ellipsis,
        also: Also | None = None,
        fails: Callable[..., bool] | None = None,
        fails_on: Callable[..., bool] | None = None,
        leads: Callable[[Any], Any] | None = None,
    ) -> None:
        self.kind = kind
        self.words = words
        self.reads = (NONE if kind in WRITES or not words else ALL) if reads is None else reads
        self.writes = (NONE if kind in READS or not words else ALL) if writes is None else writes
        self.label = label or "/".join(words)
        self.verb = verb
        self.unchanged = unchanged
        self.also = also
        self.fails = fails
        self.fails_on = fails_on
        self.leads = leads
        self.raw = f"v_{words[0]}" if words else ""
        self._conflicts: dict[Op, bool] = {}

    def __repr__(self) -> str:
        return f"<{self.kind} {self.label}>" if self.label else f"<{self.kind}>"

    def conflicts(self, other: Op) -> bool:
        """Done to the same object, does the order of the two matter?

        It does if they share a word, and one of them writes a bit of it that the other touches.
        """
        known = self._conflicts.get(other)
        if known is None:
            known = not set(self.words).isdisjoint(other.words) and (
                _meet(self.writes, other.reads)
                or _meet(self.writes, other.writes)
                or _meet(self.reads, other.writes)
            )
            self._conflicts[other] = known
        return known


def _meet(some: Bits, others: Bits) -> bool:
    if not some or not others:
        return False
    return some is ALL or others is ALL or not some.isdisjoint(others)


class Ops(dict[str, Op]):
    """Operations of one kind on a word given by name, each made when it is first named."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self._kind = kind
        self._options = options

    def __missing__(self, word: str) -> Op:
        op = self[word] = Op(self._kind, word, **self._options)
        return op


Pending = tuple[Op, Any, tuple[Any, ...]]
"""An operation, the object it will be done to, and the effect's arguments."""


def footprint(pending: Pending) -> list[tuple[Any, Op]]:
    """Every object that a pending operation will touch, with what it does to it."""
    op, obj, args = pending
    touched = [(obj, op)] if op.words else []
    if op.also is not None:
        touched += op.also(obj, *args)
    return touched


def depends(one: Pending, other: Pending) -> bool:
    """Does the order of two pending operations of different contexts matter?"""
    theirs = footprint(other)
    return any(a is b and mine.conflicts(op) for a, mine in footprint(one) for b, op in theirs)


BEGIN: Final = Op(START)
STANDS_BACK: Final = Op(RELAX)
ASLEEP: Final = Op(BLOCKED)
