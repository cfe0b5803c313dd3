# SPDX-License-Identifier: GPL-2.0-only
"""Taking turns: fair, and no randomness."""

from __future__ import annotations

from collections.abc import Sequence

from mmsim.engine.context import Context
from mmsim.engine.policy.base import Policy


class RoundRobin(Policy):
    """The next id after the current one, every ``slice`` effects: fair, and no randomness."""

    fair = True

    def __init__(self, slice: int = 1) -> None:
        self._slice = slice

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        last = -1 if current is None else current.id
        return min(enabled, key=lambda c: (c.id <= last, c.id))

    def quantum(self, ctx: Context) -> int:
        return self._slice
