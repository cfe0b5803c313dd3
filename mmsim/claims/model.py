# SPDX-License-Identifier: GPL-2.0-only
"""Claims, and the conditions that settle them.

A condition looks at the tallies of variants and answers yes or no, with the figures that made it
say so.  Conditions are about what one would *see*: a variant that fails with this title, one
that stays clean in so many runs, a metric that is nought, a rate that is lower than another.

A clean variant is never proof; its figures give the upper bound of the failure rate.

Some conditions cannot fail: where a gate turns two statements round, the assertion between them
fires, and that tells nothing about a kernel.  A claim that rests on such conditions alone says
``by_construction``; if one condition of several is like that, ByConstruction marks it.  Neither is
counted as confirmed.  Both are run all the same: if what the model makes true is not seen, the
model is broken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from mmsim.stress.statistics import exact, fisher, upper_bound
from mmsim.stress.tally import Tally

Tallies = Mapping[str, Tally]


class Settled(Enum):
    """What the runs say to a claim."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    HALF = "half"
    OPEN = "open"
    BY_CONSTRUCTION = "by construction"


class Condition(Protocol):
    """Something one would see if the claim were right."""

    def variants(self) -> tuple[str, ...]:
        """The variants whose runs it looks at."""

    def holds(self, tallies: Tallies) -> bool:
        """Is it seen?"""

    def figures(self, tallies: Tallies) -> str:
        """The numbers behind the answer."""


@dataclass(frozen=True)
class Claim:
    """``text`` in our words; ``who`` said or asked it; ``sees`` what one would see if it is right.

    ``note`` says what no run can: where the statement was made obsolete, what stays open.
    ``rare``: variants that show what it speaks of so seldom that they get so many times the runs:
    enough that it is missed in less than one campaign of a thousand.
    ``by_construction``, if given, is the reason why its conditions cannot but hold in the model.
    """

    id: str
    who: str
    text: str
    sees: tuple[Condition, ...] = ()
    note: str = ""
    by_construction: str = ""
    rare: Mapping[str, int] = field(default_factory=dict)

    @property
    def thread(self) -> str:
        """The thread's number, "002"."""
        return self.id.split(".")[0]

    def variants(self) -> tuple[str, ...]:
        """Every variant it needs, once."""
        return tuple(dict.fromkeys(v for sight in self.sees for v in sight.variants()))

    def settle(self, tallies: Tallies) -> Settled:
        """The verdict these runs give.

        A condition that is true by construction does not count, unless it is not seen.
        """
        if not self.sees:
            return Settled.BY_CONSTRUCTION if self.by_construction else Settled.OPEN
        counted = [
            sight.holds(tallies)
            for sight in self.sees
            if not (isinstance(sight, ByConstruction) and sight.holds(tallies))
        ]
        if not counted:
            return Settled.BY_CONSTRUCTION
        if all(counted):
            return Settled.BY_CONSTRUCTION if self.by_construction else Settled.CONFIRMED
        return Settled.HALF if any(counted) else Settled.REFUTED

    def evidence(self, tallies: Tallies) -> tuple[str, ...]:
        """A line a condition and its figures: ``+`` seen, ``=`` seen by construction, ``-`` not."""
        lines = []
        for sight in self.sees:
            seen = "=" if self.by_construction or isinstance(sight, ByConstruction) else "+"
            mark = seen if sight.holds(tallies) else "-"
            lines.append(f"{mark} {sight.figures(tallies)}")
        return tuple(lines)


@dataclass(frozen=True)
class ByConstruction:
    """A condition that the model makes true, for ``reason``: shown, but it confirms nothing."""

    condition: Condition
    reason: str

    def variants(self) -> tuple[str, ...]:
        return self.condition.variants()

    def holds(self, tallies: Tallies) -> bool:
        return self.condition.holds(tallies)

    def figures(self, tallies: Tallies) -> str:
        return f"{self.condition.figures(tallies)}; by construction: {self.reason}"


def _count(tally: Tally) -> str:
    if tally.findings == 0:
        return f"{tally.variant.id}: 0 of {tally.runs} runs, rate < {upper_bound(tally.runs):.2%}"
    interval = exact(tally.findings, tally.runs)
    return (
        f"{tally.variant.id}: {tally.findings} of {tally.runs} runs, "
        f"{interval.value:.2%} [{interval.low:.2%}, {interval.high:.2%}]"
    )


def _titled(tally: Tally, pattern: str, function: str = "") -> list[tuple[str, int]]:
    """Titles that match, with their counts, most frequent first; only of ``function``, if given."""
    found = [
        (kind.sample.finding.title, kind.count)
        for kind in tally.kinds.values()
        if re.search(pattern, kind.sample.finding.title)
        and (not function or kind.sample.finding.where == function)
    ]
    return sorted(found, key=lambda item: (-item[1], item[0]))


@dataclass(frozen=True)
class Clean:
    """No run of the variant has a finding."""

    variant: str

    def variants(self) -> tuple[str, ...]:
        return (self.variant,)

    def holds(self, tallies: Tallies) -> bool:
        return tallies[self.variant].findings == 0

    def figures(self, tallies: Tallies) -> str:
        return _count(tallies[self.variant])


@dataclass(frozen=True)
class Fails:
    """Some run of the variant comes to a finding whose title matches; all runs if ``always``.

    With ``function`` only findings that fired there count.
    """

    variant: str
    title: str = ""
    always: bool = False
    function: str = ""

    def variants(self) -> tuple[str, ...]:
        return (self.variant,)

    def holds(self, tallies: Tallies) -> bool:
        tally = tallies[self.variant]
        matching = sum(count for _, count in _titled(tally, self.title, self.function))
        return matching == tally.runs if self.always else matching > 0

    def figures(self, tallies: Tallies) -> str:
        tally = tallies[self.variant]
        titles = _titled(tally, self.title, self.function)
        what = f"{titles[0][0]} ({titles[0][1]} times)" if titles else f"no {self.title!r}"
        if self.function:
            what += f" in {self.function}"
        return f"{_count(tally)}: {what}" if tally.findings else _count(tally)


@dataclass(frozen=True)
class FailsSomewhere:
    """Some run of some of these variants comes to a finding whose title matches.

    For what they have in common, where each by itself fails so rarely that it may not be seen.
    """

    ids: tuple[str, ...]
    title: str

    def variants(self) -> tuple[str, ...]:
        return self.ids

    def holds(self, tallies: Tallies) -> bool:
        return any(_titled(tallies[id], self.title) for id in self.ids)

    def figures(self, tallies: Tallies) -> str:
        return "; ".join(_count(tallies[id]) for id in self.ids)


@dataclass(frozen=True)
class NeverSays:
    """The variant fails, but no finding has a title that matches."""

    variant: str
    title: str

    def variants(self) -> tuple[str, ...]:
        return (self.variant,)

    def holds(self, tallies: Tallies) -> bool:
        tally = tallies[self.variant]
        return tally.findings > 0 and not _titled(tally, self.title)

    def figures(self, tallies: Tallies) -> str:
        tally = tallies[self.variant]
        n = sum(count for _, count in _titled(tally, self.title))
        return f"{_count(tally)}: {n} of them say {self.title!r}"


@dataclass(frozen=True)
class NoneSays:
    """No run of the variant comes to a finding whose title matches, whether it fails or not."""

    variant: str
    title: str

    def variants(self) -> tuple[str, ...]:
        return (self.variant,)

    def holds(self, tallies: Tallies) -> bool:
        return not _titled(tallies[self.variant], self.title)

    def figures(self, tallies: Tallies) -> str:
        tally = tallies[self.variant]
        n = sum(count for _, count in _titled(tally, self.title))
        return f"{self.variant}: {n} of {tally.runs} runs say {self.title!r}"


COMPARISONS = ("==", ">", "<")


@dataclass(frozen=True)
class Metric:
    """A metric's mean over runs compares so with a number.

    Raises ValueError for an ``op`` that is none of COMPARISONS.
    """

    variant: str
    name: str
    op: str
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.op not in COMPARISONS:
            raise ValueError(
                f"comparison {self.op!r}: it has to be one of {', '.join(COMPARISONS)}"
            )

    def variants(self) -> tuple[str, ...]:
        return (self.variant,)

    def holds(self, tallies: Tallies) -> bool:
        return _compare(_mean(tallies[self.variant], self.name)[0], self.op, self.value)

    def figures(self, tallies: Tallies) -> str:
        mean, low, high = _mean(tallies[self.variant], self.name)
        runs = tallies[self.variant].runs
        return f"{self.variant}: {self.name} {mean:.3g} [{low:.3g}, {high:.3g}] a run ({runs} runs)"


@dataclass(frozen=True)
class MoreOf:
    """A metric is larger in one variant than in another: its intervals do not overlap."""

    variant: str
    other: str
    name: str

    def variants(self) -> tuple[str, ...]:
        return (self.variant, self.other)

    def holds(self, tallies: Tallies) -> bool:
        _, low, _ = _mean(tallies[self.variant], self.name)
        _, _, high = _mean(tallies[self.other], self.name)
        return low > high

    def figures(self, tallies: Tallies) -> str:
        one, other = (Metric(v, self.name, ">").figures(tallies) for v in self.variants())
        return f"{one}; {other}"


@dataclass(frozen=True)
class NoMoreOf(MoreOf):
    """A metric is not seen to be larger in one variant than in another: the opposite of MoreOf."""

    def holds(self, tallies: Tallies) -> bool:
        return not super().holds(tallies)


@dataclass(frozen=True)
class Rarer:
    """One variant fails less often than another (Fisher's exact test, one-sided, 1 %)."""

    variant: str
    other: str

    def variants(self) -> tuple[str, ...]:
        return (self.variant, self.other)

    def holds(self, tallies: Tallies) -> bool:
        return self._p(tallies) < 0.01

    def _p(self, tallies: Tallies) -> float:
        one, other = tallies[self.variant], tallies[self.other]
        return fisher(one.findings, one.runs, other.findings, other.runs, "less")

    def figures(self, tallies: Tallies) -> str:
        one, other = (_count(tallies[v]) for v in self.variants())
        return f"{one}; {other}; p = {self._p(tallies):.2g}"


def _mean(tally: Tally, name: str) -> tuple[float, float, float]:
    if name not in tally.metrics:
        return (0.0, 0.0, 0.0)
    interval = tally.metrics[name].interval()
    return (interval.value, interval.low, interval.high)


def _compare(value: float, op: str, wanted: float) -> bool:
    if op == "==":
        return value == wanted
    if op == ">":
        return value > wanted
    return value < wanted
