# SPDX-License-Identifier: GPL-2.0-only
"""A random walk: uniform among the enabled at every point."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mmsim.engine.context import Context
from mmsim.engine.policy.base import Policy


class RandomWalk(Policy):
    """Uniform among the enabled at every point."""

    memoryless = True
    fair = True

    def __init__(self, rng: Random) -> None:
        self._random = rng.random

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        random = self._random
        return enabled[int(random() * len(enabled))]
