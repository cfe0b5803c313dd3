# SPDX-License-Identifier: GPL-2.0-only
"""Partial order sampling.

Yuan, Yang, Gu, "Partial Order Aware Concurrency Sampling" (CAV'18): each pending *operation*, not
each context, has a random priority.  When one is performed, those pending that depend on it are
given new ones, so that after each race the next is drawn afresh.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mmsim.engine.context import Context
from mmsim.engine.op import Pending, depends
from mmsim.engine.policy.base import Policy


class POS(Policy):
    """The pending operation of highest priority goes first; no parameters."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._priority: dict[int, float] = {}
        self._last: Context | None = None
        self._performed: Pending | None = None

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        priority, rng = self._priority, self._rng
        performed, last = self._performed, self._last
        if last is not None:
            priority.pop(last.id, None)  # it has another pending operation now
        chosen, highest = enabled[0], -1.0
        for ctx in enabled:
            own = priority.get(ctx.id)
            if own is None or (performed is not None and depends(performed, ctx.pending)):
                own = priority[ctx.id] = rng.random()
            if own > highest:
                chosen, highest = ctx, own
        self._last, self._performed = chosen, chosen.pending
        return chosen
