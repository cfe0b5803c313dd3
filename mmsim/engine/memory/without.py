# SPDX-License-Identifier: GPL-2.0-only
"""Is each barrier needed?  A run under weak memory in which one of them orders nothing.

A barrier is told by the function that it stands in and by its kind.  What an atomic or a lock
orders is not taken away: those are there for something else.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Final, NamedTuple

from mmsim.engine import op as kinds
from mmsim.engine.context import Context
from mmsim.engine.memory.orders import Orders
from mmsim.engine.memory.weak import Args, Effect, Reads, WeakMemory
from mmsim.engine.op import Op

_WEAKER: Final = {
    kinds.MB: kinds.RESCHED,  # which orders nothing either
    kinds.RMB: kinds.RESCHED,
    kinds.WMB: kinds.RESCHED,
    kinds.ACQUIRE: kinds.READ_ONCE,
    kinds.RELEASE: kinds.WRITE_ONCE,
    kinds.STORE_MB: kinds.WRITE_ONCE,
}
_INLINE: Final = ("mmsim.engine.", "mmsim.linux.atomic", "mmsim.linux.sched", "mmsim.model.")


class Barrier(NamedTuple):
    """A barrier of kernel code; `kind` is an operation's (`mmsim.engine.op`)."""

    function: str
    kind: str


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
            barrier = Barrier(_function(sys._getframe(1)), op.kind)
            self._barriers.met.add(barrier)
            if barrier == self._barriers.off:
                op = _weaker(op)
        return super().perform(ctx, step, op, obj, effect, args)


_made: dict[Op, Op] = {}


def _weaker(op: Op) -> Op:
    """The same operation without its order."""
    known = _made.get(op)
    if known is None:
        known = Op(_WEAKER[op.kind], *op.words, reads=op.reads, writes=op.writes, leads=op.leads)
        _made[op] = known
    return known


def _function(frame: FrameType | None) -> str:
    """The function of the kernel that the barrier stands in."""
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_INLINE):
        frame = frame.f_back
    return "" if frame is None else frame.f_code.co_name
