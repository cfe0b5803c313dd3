# SPDX-License-Identifier: GPL-2.0-only
"""Selectively uniform random walk, and the uniform one.

Zhao, Wolff, Mathur, Roychoudhury, "Selectively Uniform Concurrency Testing" (ASPLOS'25).  A random
walk favours orders in which everybody is about equally far.  Here the orders of the *selected*
effects, those that touch one object, are about equally likely: whoever is *intended* goes first
among those who are about to touch it, and a context is intended the more often the more such
effects it has before it.  How many is known from a run before (:class:`Profile`); it is exact only
if the runs are alike and nobody waits for another, so that departures from it are counted.  What is
shared in one run may not be so in the next, and an object that nobody shared is never drawn. So
whoever makes many runs has several profiles, and draws one for each.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

from mmsim.engine.context import DONE, Context
from mmsim.engine.door import door
from mmsim.engine.instruments import Instrument
from mmsim.engine.op import Op, footprint
from mmsim.engine.policy.base import Policy


class Profile(Instrument):
    """How many effects each context had in a run, in all and on each object."""

    def __init__(self) -> None:
        self.all: Counter[int] = Counter()
        self._of: defaultdict[Any, Counter[int]] = defaultdict(Counter)
        self._written: set[Any] = set()

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        self.all[ctx.id] += 1
        for touched, what in footprint((op, obj, args)):
            name = name_of(touched)
            self._of[name][ctx.id] += 1
            if what.writes:
                self._written.add(name)

    def shared(self) -> list[tuple[Any, Counter[int]]]:
        """Objects that several contexts touched and somebody wrote, with the effects of each."""
        return [
            (name, counts)
            for name, counts in self._of.items()
            if len(counts) > 1 and name in self._written
        ]


def name_of(obj: Any) -> Any:
    """The same for the same object in every run."""
    identity = getattr(obj, "identity", None)
    return (type(obj).__name__, getattr(obj, "id", None)) if identity is None else identity()


class URW(Policy):
    """Uniform over the orders of all effects, as far as ``counts`` of them are right."""

    def __init__(self, rng: Random, counts: Counter[int]) -> None:
        self._rng = rng
        self._left = Counter(counts)
        self._intended = -1
        self.deviations = 0
        """Choices that could not be as intended."""

    def selected(self, ctx: Context) -> bool:
        """Is what it does next one of the effects whose order is to be uniform?"""
        return ctx.at_point

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        selected = [ctx for ctx in enabled if self.selected(ctx)]
        if len(selected) < len(enabled):
            others = [ctx for ctx in enabled if ctx not in selected]
            return others[int(self._rng.random() * len(others))]
        if not self._alive(self._intended):
            self._intend(selected)
        chosen = next((ctx for ctx in selected if ctx.id == self._intended), None)
        if chosen is None:  # it waits for somebody
            self.deviations += 1
            chosen = selected[int(self._rng.random() * len(selected))]
        self._left[chosen.id] -= 1
        if chosen.id == self._intended:
            self._intended = -1
        return chosen

    def quantum(self, ctx: Context) -> int:
        return 1 if ctx.at_point else 0  # who begins shows what it does before it does it

    def _alive(self, id: int) -> bool:
        contexts = door.machine.contexts
        return 0 <= id < len(contexts) and contexts[id].state != DONE

    def _intend(self, selected: Sequence[Context]) -> None:
        for ctx in selected:
            if self._left[ctx.id] < 1:  # it has more of them than in the run before
                self._left[ctx.id] = 1
                self.deviations += 1
        ids = [id for id, left in self._left.items() if left > 0 and self._alive(id)]
        self._intended = self._rng.choices(ids, [self._left[id] for id in ids])[0]


class SURW(URW):
    """Uniform over the orders of the effects on one object, drawn from ``profile`` for the run.

    An object is drawn the more likely the more effects can conflict on it.
    """

    def __init__(self, rng: Random, profile: Profile) -> None:
        shared = profile.shared()
        weights = [sum(counts.values()) - max(counts.values()) for _, counts in shared]
        self.object: Any = None
        counts = profile.all
        if shared:
            self.object, counts = rng.choices(shared, weights)[0]
        super().__init__(rng, counts)

    def selected(self, ctx: Context) -> bool:
        if self.object is None:
            return ctx.at_point
        return ctx.at_point and any(
            name_of(touched) == self.object for touched, _ in footprint(ctx.pending)
        )
