# SPDX-License-Identifier: GPL-2.0-only
"""Injected yields at geometrically distributed points.

As in the survey of J. Zhao et al. (ASPLOS'25).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log1p
from random import Random

from mmsim.engine.context import Context
from mmsim.engine.policy.base import Policy


class Geometric(Policy):
    """At each point, with probability ``q``, go on with a uniform other: injected yields."""

    memoryless = True
    fair = True

    def __init__(self, rng: Random, q: float) -> None:
        self._random = rng.random
        self._scale = 1.0 / log1p(-q)

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        n, random = len(enabled), self._random
        if n == 1 or current not in enabled:
            return enabled[int(random() * n)]
        nth = int(random() * (n - 1))  # of the others
        return enabled[nth + (current in enabled[: nth + 1])]

    def quantum(self, ctx: Context) -> int:
        return int(log(1.0 - self._random()) * self._scale) + 1

    def kicked(self) -> int | None:
        return int(log(1.0 - self._random()) * self._scale)
