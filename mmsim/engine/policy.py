# SPDX-License-Identifier: GPL-2.0-only
"""Policies: who goes on, and for how many points before it wants to be asked again.

A policy answers two questions.  ``pick(enabled, current)`` names the context that goes on;
``enabled`` comes CPU by CPU and is never empty, ``current`` is the one that ran last.
``quantum(context)`` says how many effects may pass before the next decision; that number is what
makes most points free.  Two more methods have defaults: ``ran`` tells how many effects really
passed, ``kicked`` is asked when somebody became able to run in the middle of a quantum.

Sources: random walk and geometric injection as in the survey of J. Zhao et al. (ASPLOS'25);
PCT is Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic
Guarantees of Finding Bugs" (ASPLOS'10), which gives each run a chance of at least
1/(n * k**(d-1)) to hit a bug of depth d with n contexts and k points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from mmsim.engine.access import LOCK
from mmsim.engine.context import Context
from mmsim.engine.schedule import Diverged

FOREVER = 1 << 40
TURN = 64  # effects of a context's turn once a recording is at its end


class Policy:
    """Base of all policies.

    ``memoryless``: a context alone able to run need not be interrupted.  ``fair``: nobody able to
    run waits for ever, so that a loop which does not end under it is a livelock.
    """

    memoryless = False
    fair = False

    @property
    def directed(self) -> bool:
        """Does it know by name who goes on?  Then it is offered those in cpu_relax() as well."""
        return False

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        raise NotImplementedError

    def quantum(self, ctx: Context) -> int:
        """Effects until the next decision, at least 1."""
        return 1

    def ran(self, ctx: Context, n: int) -> None:
        """``ctx`` performed ``n`` effects."""

    def kicked(self) -> int | None:
        """A context became able to run: effects until the next decision; None leaves it."""
        return 0


class RandomWalk(Policy):
    """Uniform among the enabled at every point."""

    memoryless = True
    fair = True

    def __init__(self, rng: Random) -> None:
        self._random = rng.random

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        return enabled[int(self._random() * len(enabled))]


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
        priority = self._priority
        for ctx in enabled:
            if ctx.id not in priority:
                priority[ctx.id] = 1.0 + self._rng.random()
        best = max(enabled, key=lambda ctx: priority[ctx.id])
        while self._changes and self._changes[0] <= self._step:
            self._changes.pop(0)
            priority[best.id] = self._low.pop()
            best = max(enabled, key=lambda ctx: priority[ctx.id])
        return best

    def quantum(self, ctx: Context) -> int:
        return self._changes[0] - self._step if self._changes else FOREVER

    def ran(self, ctx: Context, n: int) -> None:
        self._step += n


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
        while self._left <= 0:
            if self.finished:
                self._quantum = TURN
                return self._then.pick(enabled, current)
            self._id, self._left = self._segments[self._next]
            self._next += 1
            if self._left == 0:
                self._quantum = 0
                for ctx in enabled:
                    if ctx.id == self._id and _without_effect(ctx):
                        return ctx
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
    return not ctx.at_point or (ctx.pending[0] is LOCK and ctx.pending[1].locked)


NAMES = ("mix", "random-walk", "geometric", "pct")


def make(name: str, rng: Random, steps: int) -> Policy:
    """A policy for one run.

    ``mix`` draws one per run: windows differ in kind, and no single policy finds them all (a
    starved CPU needs PCT, a ping-pong of flags needs a random walk).  ``geometric`` draws q from
    {1/2, 1/8, 1/32}, ``pct`` its depth from a geometric law.  ``steps`` is an estimate of the
    length of a run.  Raises ValueError for an unknown name.
    """
    if name == "mix":
        u = rng.random()
        name = "random-walk" if u < 0.2 else "geometric" if u < 0.6 else "pct"
    if name == "random-walk":
        return RandomWalk(rng)
    if name == "geometric":
        return Geometric(rng, (0.5, 0.125, 0.03125)[int(rng.random() * 3)])
    if name == "pct":
        depth = 1
        while depth < 8 and rng.random() < 0.6:
            depth += 1
        return PCT(rng, depth, steps)
    raise ValueError(f"unknown policy {name!r}: one of {', '.join(NAMES)}")
