# SPDX-License-Identifier: GPL-2.0-only
"""Injected yields at geometrically distributed points.

As in the survey of J. Zhao et al. (ASPLOS'25).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from mmsim.engine.context import Context
from mmsim.engine.policy.base import Policy


class Geometric(Policy):
    """At each point, with probability ``q``, go on with a uniform other: injected yields."""

    memoryless = True
    fair = True

    def __init__(self, rng: Random, q: float) -> None:
        self._random = rng.random
        self._scale = 1.0 / math.log1p(-q)

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        others = [c for c in enabled if c is not current] or enabled
        return others[int(self._random() * len(others))]

    def quantum(self, ctx: Context) -> int:
        return int(math.log(1.0 - self._random()) * self._scale) + 1

    def kicked(self) -> int | None:
        return int(math.log(1.0 - self._random()) * self._scale)
