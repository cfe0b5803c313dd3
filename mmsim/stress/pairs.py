# SPDX-License-Identifier: GPL-2.0-only
"""A right variant beside its wrong twin: how many clean runs are worth something.

"No finding in 200 runs" is said as truly of an unfixed kernel whose race shows once in 800. So a
right variant names the wrong one that it is compared with, and gets so many runs that what fails
at the twin's rate (the lower end of its interval, to be on the safe side) would have failed once
with a chance of 99 %. The p of a pair is what is left: the chance that so many runs of the twin
are clean.

The two must have the same cast. Where the set-up gives them different ones, the right variant's
kernel runs with the twin's people, under an id of its own, `002.pagelocked@002.flawed`: the *arm*
of the pair. Whether it does is found out by watching what the set-up asks of the variant: if both
variants give it the same answers, the right variant's own runs are as good.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmsim.stress.statistics import MISS, clean_by_luck, runs_needed
from mmsim.stress.tally import Tally

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant
    from mmsim.stress.source import Source

LOOKS = 8
"""Boots that are watched; what a set-up asks may depend on what it has drawn."""


@dataclass(frozen=True)
class Pair:
    """A right variant, its wrong twin, and what runs for the right one on the twin's cast."""

    right: Variant
    wrong: Variant
    arm: Variant

    @property
    def own_cast(self) -> bool:
        """The right variant's own runs are on the twin's cast."""
        return self.arm.id == self.right.id


@dataclass(frozen=True)
class Evidence:
    """What the runs say of a pair."""

    pair: Pair
    right: Tally
    """Of the arm."""
    wrong: Tally

    @property
    def needed(self) -> int | None:
        """Clean runs that mean something; None while the twin has not failed."""
        return runs_needed(self.wrong.rate.low) if self.wrong.findings else None

    @property
    def p(self) -> float:
        """The chance that the twin would have looked as clean; 1 where it is not clean."""
        if self.right.findings:
            return 1.0
        return clean_by_luck(self.right.runs, self.wrong.rate.low)

    @property
    def decided(self) -> bool:
        return self.p <= MISS


def pairs(variants: Iterable[Variant], source: Source, cpus: int) -> tuple[Pair, ...]:
    """A pair for each twin that one of these variants names."""
    known = {v.id: v for scenario in source.scenarios() for v in scenario.variants}
    return tuple(pair(right, known[twin], cpus) for right in variants for twin in right.twins)


def pair(right: Variant, wrong: Variant, cpus: int) -> Pair:
    """Two variants, and on whose cast the right one has to run."""
    from mmsim.scenarios.api import on_cast_of

    same = same_cast(right, wrong, cpus)
    return Pair(right, wrong, right if same else on_cast_of(right, wrong))


def same_cast(one: Variant, other: Variant, cpus: int) -> bool:
    """Does the set-up get the same answers from both, whatever it asks?

    The set-up is a function of the machine and of these answers. A set-up that raises is nothing to
    rely on; the workers will tell.
    """
    from mmsim.engine.machine import Machine

    if one.scenario.setup is not other.scenario.setup:
        return False
    for seed in range(LOOKS):
        machine = Machine(
            one.effective_cpus(cpus),
            preempt=one.preempt,
            smp=one.smp,
            seed=seed,
            config=one.config,
            gates=frozenset(one.gates),
            era=one.era,
        )
        asked = Asked(one)
        try:
            one.scenario.setup(machine, asked)  # type: ignore[arg-type]
        except KeyboardInterrupt:
            raise
        except BaseException:
            return False
        if any(question(one) != question(other) for question in asked.questions):
            return False
    return True


class Asked:
    """A variant that remembers what it was asked."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant
        self.questions: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name == "config":
            return _Options(self._variant.config, self.questions)
        self.questions.append(lambda variant: getattr(variant, name))
        return getattr(self._variant, name)


class _Options(Mapping[str, Any]):
    """Its configuration, option by option: a set-up that asks for one does not see the others."""

    def __init__(self, options: Mapping[str, Any], questions: list[Any]) -> None:
        self._options = options
        self._questions = questions

    def __getitem__(self, name: str) -> Any:
        self._questions.append(lambda variant: variant.config.get(name))
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        self._questions.append(lambda variant: variant.config)
        return iter(self._options)

    def __len__(self) -> int:
        self._questions.append(lambda variant: len(variant.config))
        return len(self._options)
