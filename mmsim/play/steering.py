# SPDX-License-Identifier: GPL-2.0-only
"""A policy that follows moves, goes on as it was asked to, and then stops the run.

A move names a context.  It performs the effect that it stands before and goes on to its next point;
one that has not begun, or was woken, goes to its first point and performs none.  While nobody can
do anything the engine comes to its own conclusion, which is a deadlock, or the end.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from mmsim.engine.context import (
    DONE,
    FRESH,
    READY,
    SLEEPING,
    SPINNING,
    TASK,
    Context,
)
from mmsim.engine.door import door
from mmsim.engine.machine import Machine
from mmsim.engine.op import DOWN, LOCK, TRYLOCK
from mmsim.engine.policy import Policy, Replay
from mmsim.engine.schedule import Diverged
from mmsim.report.record import chunks_of, function_of, who_is
from mmsim.report.sentence import intention
from mmsim.report.story import Place, Who

LOCKS = frozenset({LOCK, TRYLOCK, DOWN})
UNTIL = ("step", "lock", "function", "blocked", "end")
MOST = 20_000  # moves of one run-until: a loop has to end

CAN, BLOCKED, ENDED, AWAY = "can", "blocked", "ended", "away"


class Paused(Diverged):
    """The moves are at their end, and it is a person's turn."""


@dataclass(frozen=True)
class Standing:
    """Where a context stands.

    ``state`` is CAN (it can be chosen), BLOCKED (``reason`` says by what), AWAY (it is not on its
    CPU, or no interrupt that would be let in now) or ENDED.  ``next`` says what it does if it is
    chosen; ``fresh``, that it has not begun; ``preempts``, that choosing it is a preemption.
    """

    who: Who
    state: str
    reason: str
    next: str
    stack: tuple[Place, ...]
    fresh: bool
    preempts: bool


@dataclass(frozen=True)
class Ask:
    """After the moves, ``ctx`` goes on; ``until`` is one of UNTIL, ``times`` how many steps.

    "end": whoever ran last goes on, and when it cannot, somebody else, until nobody is left.
    """

    ctx: int
    until: str = "step"
    times: int = 1


class Steering(Policy):
    """Follows ``moves``, then ``ask``.  Afterwards ``done`` are the moves that were made.

    ``standing`` is filled in when the run stops for a person; it stays empty if the run ended.
    ``watch`` is called then, while the machine still stands.
    """

    fair = True  # a person may take as long as the machine's budget allows

    def __init__(
        self, moves: Sequence[int], ask: Ask | None = None, watch: Callable[[], None] | None = None
    ) -> None:
        self._moves = list(moves)
        self._ask = ask
        self._watch = watch
        self._quantum = 0
        self._last: Context | None = None
        self._depth = 0
        self.done: list[int] = []
        self.effects: list[int] = []  # of each move: 1, or 0
        self.preemptions = 0
        self.asked_from = len(moves)
        self.standing: tuple[Standing, ...] = ()

    @property
    def directed(self) -> bool:
        return True

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        able = [ctx for ctx in enabled if not _waits(ctx)]
        able = [ctx for ctx in able if not ctx.relaxed] or able
        chosen = self._next(enabled, able, current)
        last = self._last
        if last is not None and chosen is not last and last in able:
            self.preemptions += 1
        self._last = chosen
        self.done.append(chosen.id)
        self._quantum = 1 if chosen.at_point else 0
        self.effects.append(self._quantum)
        return chosen

    def _next(
        self, enabled: Sequence[Context], able: Sequence[Context], current: Context | None
    ) -> Context:
        here = len(self.done)
        if here < len(self._moves):
            for ctx in enabled:
                if ctx.id == self._moves[here]:
                    return ctx
            raise Diverged(f"move {here + 1}: context {self._moves[here]} cannot go on here")
        if not able:
            return enabled[0]  # it finds out for itself that it cannot
        wanted = self._wanted(able, current)
        if wanted is not None:
            return wanted
        self.standing = stand(door.machine, enabled, able, self._last, current)
        if self._watch is not None:
            self._watch()
        raise Paused("it is a person's turn")

    def _wanted(self, able: Sequence[Context], current: Context | None) -> Context | None:
        """The context that was asked to go on, while it is to."""
        ask = self._ask
        if ask is None:
            return None
        if ask.until == "end":
            return self._last if self._last in able else able[0]
        ctx = next((c for c in able if c.id == ask.ctx), None)
        made = len(self.done) - self.asked_from
        if ctx is None:
            if not made:
                raise Diverged(f"context {ask.ctx} cannot be chosen here")
            return None
        if not made:
            self._depth = len(stack_of(ctx, current))
            return ctx
        if made >= MOST:
            return None
        if ask.until == "step":
            return ctx if made < ask.times else None
        if ask.until == "lock" and ctx.at_point and ctx.pending[0].kind in LOCKS:
            return None
        if ask.until == "function":
            depth = len(stack_of(ctx, current))
            self._depth = self._depth or depth
            return ctx if depth >= self._depth else None
        return ctx

    def quantum(self, ctx: Context) -> int:
        return self._quantum

    def kicked(self) -> int | None:
        return None


class Following(Replay):
    """Follows a recording move by move; ``done`` are the moves.  Stops where the recording does."""

    def __init__(self, segments: Sequence[tuple[int, int]]) -> None:
        super().__init__(segments)
        self.done: list[int] = []
        self._one = 0

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        if self.finished and any(not _waits(ctx) for ctx in enabled):
            raise Paused("the recording is at its end")
        chosen = super().pick(enabled, current)
        self.done.append(chosen.id)
        self._one = 1 if chosen.at_point else 0
        return chosen

    def quantum(self, ctx: Context) -> int:
        return self._one


def _waits(ctx: Context) -> bool:
    """Would it only find a lock taken?"""
    op, obj, _ = ctx.pending
    return op.kind is LOCK and bool(obj.locked)


def stand(
    machine: Machine,
    enabled: Sequence[Context],
    able: Sequence[Context],
    last: Context | None,
    current: Context | None,
) -> tuple[Standing, ...]:
    """Where every context of the machine stands."""
    return tuple(
        _standing(ctx, ctx in able, last is not None and ctx is not last and last in able, current)
        for ctx in machine.contexts
    )


def _standing(ctx: Context, can: bool, preempts: bool, current: Context | None) -> Standing:
    state, reason = (CAN, "") if can else _why(ctx)
    fresh = ctx.state == FRESH
    if fresh:
        what = "begins" if ctx.kind is TASK else "comes in"
    elif ctx.at_point or ctx.state == SPINNING:
        what = intention(*ctx.pending)
    else:
        what = "goes on"
    stack = () if state == ENDED else stack_of(ctx, current)
    return Standing(who_is(ctx), state, reason, what, stack, fresh, preempts)


def _why(ctx: Context) -> tuple[str, str]:
    """The state of a context that cannot be chosen, and the reason in words."""
    if ctx.state == DONE:
        return ENDED, "has died of the oops" if ctx.died else "has ended"
    if ctx.state == SPINNING or _waits(ctx):
        lock = ctx.spin if ctx.state == SPINNING else ctx.pending[1]
        return BLOCKED, f"spins on {lock.name}, held by {_owner(lock)}"
    if ctx.state == SLEEPING:
        if ctx.blocked_on is None:
            return BLOCKED, "sleeps until it is woken"
        return BLOCKED, f"sleeps for {ctx.blocked_on.name}, held by {_owner(ctx.blocked_on)}"
    cpu = ctx.cpu
    if ctx.kind is not TASK and ctx.state == FRESH:
        if not ctx.armed:
            return AWAY, "not raised"
        if cpu.irqs_off:
            return AWAY, "kept out: interrupts are off"
        return AWAY, "kept out by an interrupt" if cpu.stack else "kept out: softirqs are off"
    top = cpu.top()
    if top is not None and top is not ctx:
        return AWAY, f"CPU{cpu.id} runs {who_is(top)}"
    if ctx.relaxed:
        return BLOCKED, "has called cpu_relax(): it waits for somebody to do something"
    return BLOCKED, "cannot go on"


def _owner(lock: Any) -> str:
    owners = lock.holders() if hasattr(lock, "holders") else [getattr(lock, "owner", None)]
    names = [f"{who_is(o)}{', who has ended' * (o.state == DONE)}" for o in owners if o is not None]
    return " and ".join(names) or "nobody"


def stack_of(ctx: Context, current: Context | None) -> tuple[Place, ...]:
    """The kernel stack of a context that does not run, innermost first.

    ``current`` is the one whose Python stack this is called on.  An interrupt shares the stack of
    what it interrupted; before the first point a stack is the function that will be called.
    """
    host = ctx.host
    if ctx.state != FRESH and host is not None:
        frame: FrameType | None = host.frame()
        if frame is None and current is not None and current.host is host:
            frame = sys._getframe(1)
        on_top = ctx.cpu.stack
        place = on_top.index(ctx) + 1 if ctx in on_top else 0
        above = sum(irq.host is host for irq in on_top[place:])
        for n, chunk in enumerate(chunks_of(frame)):
            if n == above:
                return chunk
    code = getattr(inspect.unwrap(_function(ctx.fn)), "__code__", None)
    if code is None or ctx.state not in (FRESH, READY):
        return ()
    return (Place(function_of(code), code.co_firstlineno),)


def _function(fn: Any) -> Any:
    return getattr(fn, "func", fn)  # a partial's
