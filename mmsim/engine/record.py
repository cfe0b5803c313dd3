# SPDX-License-Identifier: GPL-2.0-only
"""What free-running threads did, and a recorded schedule that they are to follow.

Both are needed for one thing only: the order of effects is the whole truth about a run, so what is
written down here by one carrier is what the other can be made to do again.  Everything is looked at
and changed under the free carrier's mutex.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmsim.engine.context import FRESH, READY, SPINNING, Context
from mmsim.engine.machine import Machine
from mmsim.engine.schedule import Diverged, join, merge


class Record:
    """Whose effect came after whose."""

    def __init__(self) -> None:
        self._effects: list[int] = []  # ids
        self._marks: list[tuple[int, int]] = []  # (effects before, id): a segment of no effects
        self._reporters: list[tuple[int, int]] = []  # (effects before, id) of what ended the run

    def __len__(self) -> int:
        return len(self._effects)

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """The schedule."""
        out: list[tuple[int, int]] = []
        start = 0
        for end, id in [*self._marks, (len(self), -1)]:
            out += merge(self._effects[start:end])
            out += [(id, 0)] * (id >= 0)
            start = end
        return join(out)

    def note(self, ctx: Context) -> None:
        """``ctx`` performed an effect."""
        self._effects.append(ctx.id)
        ctx.stamp = len(self._effects)

    def mark(self, ctx: Context) -> None:
        """``ctx`` has come this far, which no effect tells."""
        self._marks.append((len(self), ctx.id))

    def reported(self, ctx: Context) -> None:
        """``ctx`` has found something that ends the run."""
        self._reporters.append((self.position(ctx), ctx.id))

    def position(self, ctx: Context | None) -> int:
        """Effects of the run before what ``ctx`` does now.

        Between two effects it does nothing that others could see, so that is at once after its
        last effect, however late it comes to it; before its first effect it is now.
        """
        if ctx is None or ctx.id < 0:
            return len(self)
        if ctx.stamp < 0:
            ctx.stamp = len(self)
        return ctx.stamp

    def settle(self, machine: Machine, *, stuck: bool) -> None:
        """Put findings in the order of the effects they follow, which is that of a replay.

        Two contexts may find something at once; and others go on for a moment after a finding.
        """
        if stuck:
            self._marks += [(len(self), id) for id, _ in machine.seated()]
        machine.findings.sort(key=lambda finding: int(getattr(finding, "step", 0)))
        if not self._reporters:
            return
        if machine.stop_on_first:
            del machine.findings[1:]
        step, id = min(self._reporters, key=lambda reporter: reporter[0])
        del self._effects[step:]
        machine.steps = step
        self._marks = [mark for mark in self._marks if mark[0] <= step]
        if not self._effects or self._effects[-1] != id:
            self._marks.append((step, id))


class Lead:
    """The schedule to be followed: nobody performs an effect before it is its turn.

    False when nothing of it is left.  ``free`` if there never was one.
    """

    def __init__(self, machine: Machine, segments: Sequence[tuple[int, int]] | None) -> None:
        if any(id >= len(machine.contexts) for id, _ in segments or ()):
            raise Diverged("the recording knows contexts that this machine has not")
        self.free = segments is None
        self._contexts = machine.contexts
        self._left = [list(segment) for segment in reversed(segments or ())]

    def __bool__(self) -> bool:
        return bool(self._left)

    @property
    def followed(self) -> bool:
        """Has all of it been followed?"""
        return all(n == 0 for _, n in self._left)

    def next(self) -> Context:
        """Whose segment it is.  There has to be one."""
        return self._contexts[self._left[-1][0]]

    def turn(self) -> Context | None:
        """Who has to go on.

        None if that is anybody's choice, or if that context is waiting for something: then others
        may have to go on without an effect (a task that returns at once) before time can pass.
        """
        while self._left and self._left[-1][1] == 0:
            turn = self.next()
            if turn.state <= READY and turn.cpu.top() in (None, turn):
                return turn
            if turn.state == FRESH:
                return turn
            self._left.pop()  # it has its CPU already
        if not self._left:
            return None
        turn = self.next()
        able = turn.state <= READY or (turn.state == SPINNING and not turn.spin.locked)
        return turn if able else None

    def admits(self, ctx: Context) -> bool:
        """May ``ctx``, which is at a point, perform its effect now?"""
        if self._left and self._left[-1] == [ctx.id, 0]:
            self._left.pop()  # it was only to come this far
        return not self._left or self._left[-1][0] == ctx.id

    def took(self) -> None:
        """An effect was performed."""
        if self._left:
            self._left[-1][1] -= 1
            if self._left[-1][1] <= 0:
                self._left.pop()
