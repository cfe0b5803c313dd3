# SPDX-License-Identifier: GPL-2.0-only
"""Following a recorded schedule: the one place where that is done.

Whatever carrier recorded it, it is followed with the token.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmsim.engine.context import Context
from mmsim.engine.op import LOCK
from mmsim.engine.policy.base import Policy
from mmsim.engine.policy.round_robin import RoundRobin
from mmsim.engine.schedule import Diverged

TURN = 64  # effects of a context's turn once a recording is at its end


class Replay(Policy):
    """Follow recorded segments; then take turns, which ends every stuck run alike.

    A recording knows effects only.  Somebody may have gone on *without* one before the next
    recorded context could run: a task that returned at once, an interrupt that found nothing to
    do, an attempt at a taken lock.  So when the recorded context cannot run, those who can go on
    without an effect do; if that does not help, raises :class:`~mmsim.engine.schedule.Diverged`.
    """

    fair = True

    def __init__(self, segments: Sequence[tuple[int, int]]) -> None:
        self._segments = list(segments)
        self._next = 0
        self._id = -1
        self._left = 0
        self._quantum = 0
        self._then = RoundRobin(TURN)
        self.step = 0

    @property
    def finished(self) -> bool:
        """Has the whole recording been followed?"""
        return self._left <= 0 and self._next == len(self._segments)

    @property
    def directed(self) -> bool:
        return not self.finished

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        segments, refused = self._segments, set[int]()
        while self._left <= 0:
            if self._next == len(segments):
                self._quantum = TURN
                return self._then.pick(enabled, current)
            self._id, self._left = segments[self._next]
            self._next += 1
            if self._left == 0 and self._id not in refused:
                self._quantum = 0
                for ctx in enabled:
                    if ctx.id == self._id and _without_effect(ctx):
                        return ctx
                refused.add(self._id)  # nothing changes while segments are skipped
        self._quantum = self._left
        for ctx in enabled:
            if ctx.id == self._id:
                return ctx
        self._quantum = 0
        for ctx in enabled:
            if _without_effect(ctx):
                return ctx
        raise Diverged(f"step {self.step}: context {self._id} cannot run here")

    def quantum(self, ctx: Context) -> int:
        return self._quantum

    def ran(self, ctx: Context, n: int) -> None:
        self.step += n
        self._left -= n

    def kicked(self) -> int | None:
        return None if self.directed else 0


def _without_effect(ctx: Context) -> bool:
    """Can it go on without performing one?"""
    return not ctx.at_point or (ctx.pending[0].kind is LOCK and ctx.pending[1].locked)
