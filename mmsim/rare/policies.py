# SPDX-License-Identifier: GPL-2.0-only
"""The policies under which a run may be split, and the numbers that they draw.

A run that goes on from a level is to differ from its brothers.  A policy that has drawn beforehand
what decides later (the priorities of PCT, the kind that `mix` draws, the counts of SURW) would let
all of them do the same: such an estimate is right on average and no better than plain sampling.
So it has to be one that draws as it goes and remembers nothing:

    random-walk      at every point anybody who can go on, all alike
    geometric        at a point, with chance 1/quantum, somebody else

`geometric` without a quantum draws one for each run, which is a memory too; here it is given.  What
is left of a quantum when a level is reached is drawn again, by the law that it had before: that is
what "geometric" means, and without it a run could only be held up where its elder brother was.
"""

from __future__ import annotations

from array import array
from random import Random
from typing import NamedTuple, cast

from mmsim.engine.policy import NAMES, Geometric, Policy, RandomWalk
from mmsim.errors import UsageError, nearest

MEMORYLESS = ("random-walk", "geometric")
QUANTUM = 32
MOST_QUANTUM = 1_000_000


class Chosen(NamedTuple):
    """A policy by name; ``quantum`` is the mean number of effects of a turn, of `geometric`."""

    name: str
    quantum: int = QUANTUM

    def __str__(self) -> str:
        return f"{self.name}, quantum {self.quantum}" if self.name == "geometric" else self.name

    def check(self) -> Chosen:
        """Itself.  Raises UsageError for a policy that cannot be split, or an unknown one."""
        allowed = " and ".join(MEMORYLESS)
        if self.name in MEMORYLESS:
            if not 2 <= self.quantum <= MOST_QUANTUM:
                raise UsageError(f"quantum is {self.quantum}: it has to be 2 to {MOST_QUANTUM}")
            return self
        if self.name in NAMES:
            raise UsageError(
                f"policy {self.name!r} decides beforehand what it does later, so that runs which "
                f"go on from a level would not differ: {allowed} can be split"
            )
        raise UsageError(
            f"unknown policy {self.name!r}{nearest(self.name, MEMORYLESS)}: {allowed} can be split"
        )

    def make(self, draws: Draws) -> Policy:
        """One for a run, which draws its numbers there."""
        rng = cast(Random, draws)  # they ask for random() and for nothing else
        if self.name == "geometric":
            return Geometric(rng, 1.0 / self.quantum)
        return RandomWalk(rng)


class Draws:
    """The numbers of a run: those that were drawn before, then new ones of a stream.

    The same numbers give the same run, to the last decision.  So a run goes on from where it stood
    after its n-th number: not only the effects up to there are the same, but also who spins, who
    has begun, and whatever else no schedule tells.
    """

    def __init__(self, drawn: array[float], fresh: Random) -> None:
        self.drawn = drawn[:]
        self._fresh = fresh.random
        self._count = 0

    def random(self) -> float:
        here = self._count
        self._count += 1
        if here < len(self.drawn):
            return self.drawn[here]
        number = self._fresh()
        self.drawn.append(number)
        return number
