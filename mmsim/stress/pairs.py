# SPDX-License-Identifier: GPL-2.0-only
"""A right variant beside its wrong twin: how many clean runs are worth something.

"No finding in 200 runs" is said as truly of an unfixed kernel whose race shows once in 800. So a
right variant names the wrong one that it is compared with, and gets so many runs that what fails
at the twin's rate (the lower end of its interval, to be on the safe side) would have failed once
with a chance of 99 %. The p of a pair is what is left: the chance that so many runs of the twin
are clean.

The two must have the same cast. Where the set-up gives them different ones, the right variant's
kernel runs with the twin's people, under an id of its own, `002.pagelocked@002.flawed`: the *arm*
of the pair. Where it does not, the right variant's own runs are as good.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmsim.stress.statistics import MISS, clean_by_luck, runs_needed
from mmsim.stress.tally import Tally

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant
    from mmsim.stress.source import Source


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


def pairs(
    variants: Iterable[Variant], source: Source, cpus: int, *, shares: bool = False
) -> tuple[Pair, ...]:
    """A pair for each twin that one of these variants names.

    ``shares``: runs are shared among policies, twin by twin. A variant's own runs can have the
    shares of one twin only, of the first with its cast; beside the others it is an arm.
    """
    from mmsim.scenarios.cast import on_cast_of

    known = {v.id: v for scenario in source.scenarios() for v in scenario.variants}
    found: list[Pair] = []
    for right in variants:
        taken = False
        for twin in right.twins:
            one = pair(right, known[twin], cpus)
            if one.own_cast and taken and shares:
                one = replace(one, arm=on_cast_of(right, one.wrong))
            taken |= one.own_cast
            found.append(one)
    return tuple(found)


def pair(right: Variant, wrong: Variant, cpus: int) -> Pair:
    """Two variants, and on whose cast the right one has to run."""
    from mmsim.scenarios.cast import on_cast_of, same_cast

    same = same_cast(right, wrong, cpus)
    return Pair(right, wrong, right if same else on_cast_of(right, wrong))
