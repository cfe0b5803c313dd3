# SPDX-License-Identifier: GPL-2.0-only
"""Few delays, few preemptions: random ones among the schedules that a bounded search would run.

Emmi, Qadeer, Rakamaric, "Delay-Bounded Scheduling" (POPL'11); Musuvathi, Qadeer, "Iterative Context
Bounding for Systematic Testing of Multithreaded Programs" (PLDI'07).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mmsim.engine.context import Context
from mmsim.engine.policy.base import FOREVER, Policy


class Delays(Policy):
    """Contexts run in turn, each until it cannot; ``delays`` times somebody loses the turn early.

    The places are drawn among ``steps`` effects.  Whoever is next in turn goes on, so that the
    number of schedules does not depend on the number of contexts.
    """

    def __init__(self, rng: Random, delays: int, steps: int) -> None:
        self._places = sorted(rng.randrange(max(steps, 1)) for _ in range(delays))
        self._step = 0

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        skips = 0
        while self._places and self._places[0] <= self._step:
            self._places.pop(0)
            skips += 1
        last = -1 if current is None else current.id
        in_turn = sorted(enabled, key=lambda ctx: (ctx.id < last, ctx.id))
        return in_turn[skips % len(in_turn)]

    def quantum(self, ctx: Context) -> int:
        return max(self._places[0] - self._step, 1) if self._places else FOREVER

    def ran(self, ctx: Context, n: int) -> None:
        self._step += n

    def kicked(self) -> int | None:
        return None


class Preemptions(Delays):
    """The same with ``preemptions``: to anybody; and whoever cannot go on is followed by anybody.

    An interrupt comes in as a preemption does.
    """

    def __init__(self, rng: Random, preemptions: int, steps: int) -> None:
        super().__init__(rng, preemptions, steps)
        self._rng = rng

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        preempted = False
        while self._places and self._places[0] <= self._step:
            self._places.pop(0)
            preempted = True
        if current is not None and current in enabled and not preempted:
            return current
        others = [ctx for ctx in enabled if ctx is not current] or enabled
        return others[int(self._rng.random() * len(others))]
