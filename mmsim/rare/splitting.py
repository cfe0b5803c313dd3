# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-effort splitting: one estimate, of a chance that plain sampling would wait for too long.

At every stage there are the beginnings of runs that reached the level before; ``effort`` runs go on
from them, each beginning as often as any other (the rest is drawn).  Those that come to the next
level are the beginnings of the next stage.  The product of the shares is the chance: of the levels
in their order, and with the last stage, of a finding after them.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

from mmsim.detect.finding import Finding
from mmsim.engine.door import door
from mmsim.engine.schedule import Diverged
from mmsim.engine.seeds import run_seed, stream
from mmsim.rare.levels import Marked
from mmsim.rare.policies import Chosen, Draws
from mmsim.rare.watch import Watch
from mmsim.run import Runner, RunResult

MOST_KINDS = 20  # kinds of findings that an estimate keeps a line of


class Beginning(NamedTuple):
    """A run up to a level: the seed of its set-up, and the numbers that its policy had drawn."""

    setup: int
    drawn: array[float]


class Found(NamedTuple):
    """A kind of finding, and the line of the first run that came to it."""

    title: str
    fingerprint: str
    schedule: str


@dataclass(frozen=True)
class Estimate:
    """What ``effort`` runs a stage came to.

    ``passed`` are, stage by stage, the runs that reached the next level, and of the last stage
    those with a finding that the variant is declared to have; stages after one that nobody passed
    were not run and have 0.  ``elsewhere`` are those that had a finding before the next level, and
    of the last stage those with another.
    """

    effort: int
    passed: tuple[int, ...]
    elsewhere: tuple[int, ...]
    runs: int
    effects: int
    found: tuple[Found, ...] = field(default=(), compare=False)

    @property
    def window(self) -> float:
        """The chance that a run takes all steps in their order."""
        return self._until(len(self.passed) - 1)

    @property
    def finding(self) -> float:
        """The chance that it does, and ends in a finding."""
        return self._until(len(self.passed))

    @property
    def any_finding(self) -> float:
        """The chance that it ends in a finding, whether by these steps or otherwise."""
        others = (
            self._until(stage) * n / self.effort for stage, n in enumerate(self.elsewhere) if n
        )
        return self.finding + sum(others)

    def _until(self, stage: int) -> float:
        return prod(n / self.effort for n in self.passed[:stage])


class _Reached(Diverged):
    """The run stands at the level that was asked for: it need not go on."""


class Splitting:
    """Estimates for the variant of ``runner``, one after the other.

    An estimate is a function of (code, variant, cast, CPUs, levels, policy, seed, effort, number).
    """

    def __init__(
        self, runner: Runner, marked: Marked, policy: Chosen, *, seed: int, effort: int
    ) -> None:
        self._runner = runner
        self._policy = policy.check()
        self._targets = marked.numbers
        self._seed = seed
        self._effort = effort
        self._watch = Watch(marked.levels, self._level)
        self._target: int | None = None
        self._draws: Draws
        self.runs = 0
        self.effects = 0
        self.arrived = [0] * len(marked.levels)
        """Of each level, how many runs came there."""

    @property
    def seen(self) -> Sequence[int]:
        """Of each level, how many operations were called so, in all runs."""
        return self._watch.seen

    def estimate(self, number: int, tell: Callable[[], None] = lambda: None) -> Estimate:
        """Estimate ``number``, which shares no random number with another.

        ``tell`` is called after every run.  What is interrupted raises KeyboardInterrupt.
        """
        effort = self._effort
        runs, effects = self.runs, self.effects
        found: dict[str, Found] = {}
        passed, elsewhere = [], []
        stages: list[int | None] = [*self._targets, None]
        beginnings: list[Beginning] = []
        for stage, target in enumerate(stages):
            elder = self._elder(beginnings, number, stage)
            reached: list[Beginning] = []
            findings = beyond = 0
            for n in range(effort if elder or not stage else 0):
                fresh = self._stream(number, stage, n)
                beginning = elder[n % len(elder)] if elder else Beginning(fresh, array("d"))
                result = self._go(beginning, fresh, target)
                if isinstance(result, Beginning):
                    reached.append(result)
                elif result.findings:
                    first = result.findings[0]
                    findings += 1
                    beyond += not self._is_declared(first)
                    if len(found) < MOST_KINDS:
                        kind = Found(first.title, first.fingerprint, result.schedule)
                        found.setdefault(first.fingerprint, kind)
                tell()
            last = target is None
            passed.append(findings - beyond if last else len(reached))
            elsewhere.append(beyond if last else findings)
            beginnings = reached
        return Estimate(
            effort,
            tuple(passed),
            tuple(elsewhere),
            self.runs - runs,
            self.effects - effects,
            tuple(found.values()),
        )

    def plainly(self, runs: int, tell: Callable[[], None] = lambda: None) -> int:
        """So many runs from beginning to end; how many had a finding.

        How far they came is in ``arrived``, what they met in ``seen``.
        """
        findings = 0
        for n in range(runs):
            fresh = run_seed(self._seed, f"{self._runner.variant.id}/rare", n)
            result = self._go(Beginning(fresh, array("d")), fresh, None)
            findings += isinstance(result, RunResult) and bool(result.findings)
            tell()
        return findings

    def _elder(
        self, beginnings: Sequence[Beginning], number: int, stage: int
    ) -> Sequence[Beginning]:
        """The beginnings in the order in which they are gone on with, round and round."""
        order = list(beginnings)
        stream(run_seed(self._seed, self._label(number, stage), 0), "order").shuffle(order)
        return order

    def _stream(self, number: int, stage: int, n: int) -> int:
        """The seed of what run ``n`` of a stage draws."""
        return run_seed(self._seed, self._label(number, stage), n)

    def _label(self, number: int, stage: int) -> str:
        return f"{self._runner.variant.id}/rare/{number}/{stage}"

    def _go(self, beginning: Beginning, fresh: int, target: int | None) -> Beginning | RunResult:
        """One run: where it stood when it reached ``target``, or what it came to without."""
        self._target = target
        self._draws = Draws(beginning.drawn, stream(fresh, "policy"))
        self._watch.begin()
        self.runs += 1
        try:
            return self._runner.run_with(
                self._policy.make(self._draws), beginning.setup, instruments=[self._watch]
            )
        except _Reached:
            return Beginning(beginning.setup, self._draws.drawn)
        finally:
            self.effects += self._watch.step

    def _level(self, level: int) -> None:
        """The run stands there for the first time, just after an effect."""
        self.arrived[level - 1] += 1
        if self._target is not None and level >= self._target:
            raise _Reached(f"level {level}")
        if level in self._targets:
            execution, ctx = door.execution, door.running
            assert execution is not None and ctx is not None
            execution.opened(ctx.cpu)  # what is left of the quantum is drawn again

    def _is_declared(self, finding: Finding) -> bool:
        """Is it what the variant is declared to come to?  Without a declaration anything is."""
        patterns = self._runner.variant.findings
        return not patterns or any(re.search(pattern, finding.title) for pattern in patterns)
