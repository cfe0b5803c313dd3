# SPDX-License-Identifier: GPL-2.0-only
"""Is each barrier needed?  A run under weak memory in which one of them orders nothing.

A barrier is told by the function that it stands in and by its kind, and what an atomic orders by
the word as well.  An atomic whose order is taken away is still atomic and still gives its value; it
is the _relaxed one.  Spinlocks and sleeping locks keep theirs: without it they lock nothing.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Final, NamedTuple

from mmsim.engine import op as kinds
from mmsim.engine.context import Context
from mmsim.engine.memory.orders import RMW, Order, Orders
from mmsim.engine.memory.weak import Args, Effect, Reads, WeakMemory
from mmsim.engine.op import Op

_WEAKER: Final = {
    kinds.MB: kinds.RESCHED,  # which orders nothing either
    kinds.RMB: kinds.RESCHED,
    kinds.WMB: kinds.RESCHED,
    kinds.ACQUIRE: kinds.READ_ONCE,
    kinds.RELEASE: kinds.WRITE_ONCE,
    kinds.STORE_MB: kinds.WRITE_ONCE,
    kinds.RMW: kinds.RMW_RELAXED,
    kinds.RMW_ACQUIRE: kinds.RMW_RELAXED,
    kinds.RMW_RELEASE: kinds.RMW_RELAXED,
}
ATOMICS: Final = frozenset({kinds.RMW, kinds.RMW_ACQUIRE, kinds.RMW_RELEASE})
KINDS: Final = tuple(_WEAKER)
_INLINE: Final = (
    "mmsim.engine.",
    "mmsim.linux.atomic",
    "mmsim.linux.bitops",
    "mmsim.linux.sched",
    "mmsim.model.",
)
_MACROS: Final = ("mmsim.page", "mmsim.v2_4.page")
"""They make functions such as TestClearPageLRU(), which are in line, too."""


class Barrier(NamedTuple):
    """A barrier of kernel code; `kind` is an operation's (`mmsim.engine.op`).

    `word` is what an atomic changes, such as "flags:lru", and empty for the others.
    """

    function: str
    kind: str
    word: str = ""

    def __str__(self) -> str:
        """The way `parse` takes it."""
        return "/".join((self.kind, self.function, self.word)).rstrip("/")

    @classmethod
    def parse(cls, text: str) -> Barrier:
        """KIND/FUNCTION, or KIND/FUNCTION/WORD of an atomic.  Raises ValueError."""
        kind, _, rest = text.partition("/")
        function, _, word = rest.partition("/")
        if kind not in _WEAKER:
            raise ValueError(f"{kind!r} is no barrier: one of {', '.join(KINDS)}")
        if not function or (kind in ATOMICS) is not bool(word):
            what = "KIND/FUNCTION/WORD" if kind in ATOMICS else "KIND/FUNCTION"
            raise ValueError(f"{text!r} names no barrier: it has to be {what}")
        return cls(function, kind, word)


class Barriers:
    """What to take away, and what runs came by: the same for all runs of a series."""

    def __init__(self, off: Barrier | None = None) -> None:
        self.off = off
        self.met: set[Barrier] = set()


class WithoutBarrier(WeakMemory):
    """Weak memory in which ``barriers.off`` orders nothing."""

    def __init__(self, cpus: int, orders: Orders, reads: Reads, barriers: Barriers) -> None:
        super().__init__(cpus, orders, reads)
        self._barriers = barriers

    def perform(self, ctx: Context, step: int, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        if op.kind in _WEAKER:
            word = op.label if op.kind in ATOMICS else ""
            barrier = Barrier(_function(sys._getframe(1)), op.kind, word)
            self._barriers.met.add(barrier)
            if barrier == self._barriers.off:
                op = _weaker(op)
                if op.kind is kinds.RMW_RELAXED:
                    self._orders.setdefault(op, Order(RMW))
        return super().perform(ctx, step, op, obj, effect, args)


_made: dict[Op, Op] = {}


def _weaker(op: Op) -> Op:
    """The same operation without its order."""
    known = _made.get(op)
    if known is None:
        known = _made[op] = Op(
            _WEAKER[op.kind],
            *op.words,
            reads=op.reads,
            writes=op.writes,
            label=op.label,
            verb=op.verb,
            unchanged=op.unchanged,
            also=op.also,
            fails=op.fails,
            fails_on=op.fails_on,
            leads=op.leads,
        )
    return known


def _function(frame: FrameType | None) -> str:
    """The function of the kernel that the barrier stands in."""
    while frame is not None and _in_line(frame):
        frame = frame.f_back
    return "" if frame is None else frame.f_code.co_name


def _in_line(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    if module in _MACROS:
        return "<locals>" in frame.f_code.co_qualname
    return module.startswith(_INLINE)
