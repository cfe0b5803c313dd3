# SPDX-License-Identifier: GPL-2.0-only
"""A program whose window has a chance that can be computed, and the computation.

Two climbers go up a ladder.  They have to take turns; who steps out of turn sends both back:

    even:  tries times   x = x + 1 if x is even, else 0
    odd:   tries times   x = x + 1 if x is odd, else 0
    idle:  does so much of nothing

Each try is one effect.  The window is that x comes to ``rungs``: as in a kernel's, it opens often,
and mostly closes again before anybody has gone through it.

The state is (tries left of each, x, who ran last): a Markov chain, under a policy without memory.
:func:`exact` goes through it backwards.  It knows the ladder and the policy, and nothing of mmsim.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mmsim.engine.door import access
from mmsim.engine.op import RMW, Op
from mmsim.rare.levels import Level, Levels
from mmsim.scenarios.api import BUG_ON, SOMETIMES, Scenario, Struct, Variant, shared

TREAD = Op(RMW, "x", label="x", verb="tread")
PASS = Op(RMW, "passed", label="passed", verb="pass")


@dataclass(frozen=True)
class Ladder:
    """Its size: ``idle`` are the effects of a third who has nothing to do with it."""

    rungs: int
    tries: int
    idle: int = 0

    @property
    def scenario(self) -> Scenario:
        """The ladder as a scenario."""

        class ladder(Struct):
            x = shared(0)
            passed = shared(0)
            name = "ladder"

        def climb(obj, parity):
            def tread():
                obj.v_x = obj.v_x + 1 if obj.v_x % 2 == parity else 0
                return obj.v_x

            for _ in range(self.tries):
                if access(TREAD, obj, tread) == self.rungs:
                    BUG_ON(True, "ladder.c")

        def stand(obj):
            for _ in range(self.idle):
                access(PASS, obj, lambda: None)

        def setup(machine, variant):
            obj = ladder()
            machine.spawn(climb, obj, 0, comm="even", cpu=0)
            machine.spawn(climb, obj, 1, comm="odd", cpu=1)
            if self.idle:
                machine.spawn(stand, obj, comm="idle", cpu=2)

        return Scenario(
            id="990",
            name="ladder",
            title="Two climbers",
            story=__doc__,
            era="5.17",
            setup=setup,
            variants=(Variant("990.up", "they take turns", SOMETIMES),),
            file=__file__,
        )

    @property
    def variant(self) -> Variant:
        return self.scenario.variants[0]

    @property
    def cpus(self) -> int:
        return 3 if self.idle else 2

    @property
    def levels(self) -> Levels:
        """A rung, a level."""
        return Levels(
            *(
                Level(f"rung {rung}", "tread x", party=("odd", "even")[rung % 2], value=rung)
                for rung in range(1, self.rungs + 1)
            )
        )


def exact(ladder: Ladder, quantum: int | None = None) -> float:
    """The chance that x comes to ``rungs``; under a random walk, or geometric with a quantum."""
    switch = None if quantum is None else 1.0 / quantum

    @cache
    def after(left: tuple[int, ...], x: int, last: int) -> float:
        if x == ladder.rungs:
            return 1.0
        able = [who for who, n in enumerate(left) if n]
        if not able:
            return 0.0
        others = [who for who in able if who != last]
        if switch is None:
            chances = {who: 1 / len(able) for who in able}
        elif not others:
            chances = {last: 1.0}
        elif last not in able:
            chances = {who: 1 / len(others) for who in others}
        else:
            chances = {who: switch / len(others) for who in others}
            chances[last] = 1 - switch
        total = 0.0
        for who, chance in chances.items():
            rest = tuple(n - (one == who) for one, n in enumerate(left))
            there = x if who == 2 else x + 1 if x % 2 == who else 0
            total += chance * after(rest, there, who)
        return total

    return after((ladder.tries, ladder.tries, ladder.idle), 0, -1)
