# SPDX-License-Identifier: GPL-2.0-only
"""Probabilistic concurrency testing.

Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees
of Finding Bugs" (ASPLOS'10): each run has a chance of at least 1/(n * k**(d-1)) to hit a bug of
depth d with n contexts and k points.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mmsim.engine.context import Context
from mmsim.engine.policy.base import FOREVER, Policy


class PCT(Policy):
    """Random priorities, lowered at ``depth`` - 1 random steps out of ``steps``.

    A context seen for the first time, an interrupt included, gets a random place among the
    initial priorities.
    """

    def __init__(self, rng: Random, depth: int, steps: int) -> None:
        self._rng = rng
        self._priority: dict[int, float] = {}
        self._changes = sorted(rng.randrange(max(steps, 1)) for _ in range(depth - 1))
        self._low = [i / depth for i in range(1, depth)]
        rng.shuffle(self._low)
        self._step = 0

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        best = self._best(enabled)
        while self._changes and self._changes[0] <= self._step:
            self._changes.pop(0)
            self._priority[best.id] = self._low.pop()
            best = self._best(enabled)
        return best

    def _best(self, enabled: Sequence[Context]) -> Context:
        priority, best, highest = self._priority, enabled[0], -1.0
        for ctx in enabled:
            own = priority.get(ctx.id)
            if own is None:
                own = priority[ctx.id] = 1.0 + self._rng.random()
            if own > highest:
                best, highest = ctx, own
        return best

    def quantum(self, ctx: Context) -> int:
        return self._changes[0] - self._step if self._changes else FOREVER

    def ran(self, ctx: Context, n: int) -> None:
        self._step += n
