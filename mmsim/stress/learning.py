# SPDX-License-Identifier: GPL-2.0-only
"""How `stress/odds` comes about: a race is run until it is clear which policy finds it best.

A bandit's rounds, as in `odds`: some runs of every policy, then always of the one that could be the
best, until that one has shown enough findings to be trusted, or has cost too much. The runs have a
seed of their own, so that no campaign meets runs again that its shares were chosen by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsim.engine.policy.portfolio import MEMBERS
from mmsim.stress.odds import Odds, cost_of

if TYPE_CHECKING:
    from mmsim.run import Runner
    from mmsim.scenarios.api import Variant

SEED = 1_000_003
CPUS = 8
ROUND = 16
"""Runs of one policy at a time."""
TRUSTED = 20
"""Findings of the best policy that are enough."""
EFFORT = 8_000.0
"""What learning one race may cost, in runs that never hand over."""


def learn(variant: Variant, effort: float = EFFORT) -> Odds:
    """The odds of each policy of the portfolio on one variant's race."""
    from mmsim.run import Runner

    odds = Odds()
    spent = 0.0
    runners = {
        name: Runner(variant, cpus=CPUS, seed=SEED, engine="green", policy=name) for name in MEMBERS
    }
    try:
        for name in MEMBERS:
            spent += _round(runners[name], odds, name)
        while spent < effort:
            name = odds.promising()
            if name == odds.best() and odds.findings[name] >= TRUSTED:
                break
            spent += _round(runners[name], odds, name)
    finally:
        for runner in runners.values():
            runner.close()
    return odds


def _round(runner: Runner, odds: Odds, name: str) -> float:
    """Some more runs of one policy; what they cost."""
    for _ in range(ROUND):
        result = runner.run(odds.runs[name])
        cost = cost_of(name, result.steps, result.handovers)
        odds.add(name, bool(result.findings), cost=cost)
    return ROUND * odds.cost(name)
