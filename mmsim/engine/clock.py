# SPDX-License-Identifier: GPL-2.0-only
"""Virtual time.

Nothing in mmsim ever waits for real time.  The clock stands still while anybody can run and
jumps to the next timer when nobody can: every CPU idle or asleep.  Seconds, starting at 0.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsim.engine.context import Context


class Clock:
    """A heap of timers, each of which wakes one sleeping context."""

    now = 0.0
    jumps = 0  # timers that have come
    _timers: list[tuple[float, int, Context]] | None = None  # most runs have none

    def arm(self, ctx: Context, seconds: float) -> None:
        """Wake ``ctx`` ``seconds`` from now, unless something else does so earlier."""
        if self._timers is None:
            self._timers = []
        ctx.timeout = self.now + seconds
        heapq.heappush(self._timers, (ctx.timeout, ctx.id, ctx))

    def jump(self) -> Context | None:
        """Go to the next timer that still matters; return its context, or None if there is none."""
        while self._timers:
            when, _, ctx = heapq.heappop(self._timers)
            if ctx.timeout == when:
                self.now = max(self.now, when)
                ctx.timeout = None
                self.jumps += 1
                return ctx
        return None
