# SPDX-License-Identifier: GPL-2.0-only
"""Is it still a kernel of several CPUs?

A race goes away, too, if one CPU at a time does everything: one lock held all the way, interrupts
off all the way.  That is no fix, and it is measured, never guessed.  At each step of a run it is
asked how many CPUs have somebody who could go on now, besides the one that runs and those that
wait for a lock.  A kernel that lets nobody in leaves one.  Lock names, the longest hold and the
share of steps with interrupts off are kept as well, since they say how it was done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsim.engine.context import HARDIRQ, Context
from mmsim.engine.instruments import Instrument
from mmsim.engine.op import Op
from mmsim.engine.policy import Policy, RandomWalk
from mmsim.engine.seeds import run_seed, stream
from mmsim.run import Runner
from mmsim.scenarios.api import Variant

LESS = 0.8
"""A kernel has to leave so much of the room that the reference leaves."""
LONGER = 2.0
"""A hold, or a stretch with interrupts off, may be so many times as long."""


class _Asks(Policy):
    """Another policy, and how many CPUs could go on each time it was asked."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.asked = 0
        self.able = 0

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        self.asked += 1
        self.able += len({ctx.cpu.id for ctx in enabled})
        return self._policy.pick(enabled, current)

    def quantum(self, ctx: Context) -> int:
        return 1


@dataclass
class Room:
    """``able``: CPUs that could go on, on average.  ``holds``: of each lock the longest hold, in
    effects of its holder; ``off``: share of the effects of tasks with interrupts off."""

    able: float = 0.0
    holds: dict[str, int] = field(default_factory=dict)
    off: float = 0.0


class _Holds(Instrument):
    def __init__(self) -> None:
        self.now: dict[tuple[int, int], int] = {}
        self.longest: dict[str, int] = {}
        self.effects = 0
        self.off = 0

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        held = {(ctx.id, id(lock)): lock for lock in ctx.locks}
        for key in [key for key in self.now if key[0] == ctx.id and key not in held]:
            del self.now[key]
        for key, lock in held.items():
            self.now[key] = self.now.get(key, 0) + 1
            name = str(lock.name)
            self.longest[name] = max(self.longest.get(name, 0), self.now[key])
        if ctx.kind is not HARDIRQ:
            self.effects += 1
            self.off += ctx.cpu.irqs_off


def measure(which: Variant, *, cpus: int, seed: int, runs: int) -> Room:
    """The room that a kernel leaves, over some random runs."""
    asked = able = effects = off = 0
    longest: dict[str, int] = {}
    with Runner(which, cpus=cpus, seed=seed, engine="green") as runner:
        for index in range(runs):
            drawn = run_seed(seed, which.id, index)
            policy, holds = _Asks(RandomWalk(stream(drawn, "policy"))), _Holds()
            runner.run_with(policy, drawn, instruments=[holds])
            asked, able = asked + policy.asked, able + policy.able
            effects, off = effects + holds.effects, off + holds.off
            for name, n in holds.longest.items():
                longest[name] = max(longest.get(name, 0), n)
    return Room(able / max(asked, 1), longest, off / max(effects, 1))


def serial(mine: Room, reference: Room) -> str:
    """Why a kernel is refused for serialising, with the measure; "" if it is not."""
    new = sorted(set(mine.holds) - set(reference.holds))
    if new:
        return f"takes {', '.join(new)}, which the reference does not take"
    for name, n in sorted(mine.holds.items()):
        allowed = max(LONGER * reference.holds[name], reference.holds[name] + 20)
        if n > allowed:
            return f"holds {name} for up to {n} effects; the reference for {reference.holds[name]}"
    if mine.off > LONGER * reference.off + 0.1:
        return (
            f"interrupts are off in {mine.off:.0%} of its effects; with the reference in "
            f"{reference.off:.0%}"
        )
    if mine.able < LESS * reference.able:
        return f"on average {mine.able:.2f} CPUs can go on; with the reference {reference.able:.2f}"
    return ""
