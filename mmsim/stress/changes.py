# SPDX-License-Identifier: GPL-2.0-only
"""Two campaigns of the same variants: what became likelier, rarer, new, gone.

*Rates.* Counting stops by a rule: after so many runs, or at the K-th finding. The test has to hold
under either, on each side. For a given rate r, the chance a(r) that the one side shows as many
findings in as few runs as it did, and the chance b(r) that the other shows as few in as many, are
each a p-value under the side's own rule (`statistics.exact` and `inverse` invert the same tails),
and independent. Their product is below x with a chance of at most x(1 - ln x) (Fisher's combination
of two). Nobody knows r, so the largest product over all r counts. That is exact, whatever the rule,
and costs some power beside Fisher's test, which is used where the plan fixed both numbers of runs.

*Kinds.* Given how many findings there are, how many of them are of a kind is a matter of shares,
and nothing of the stopping rule is left in it: Fisher's exact test.

*Many at once.* Benjamini and Hochberg's procedure: of what is called changed, 5 % are luck in the
mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mmsim.engine.policy.portfolio import Portfolio
from mmsim.stress.statistics import fisher

FALSE = 0.05
"""The share of false discoveries among what is called changed."""
LIKELIER, RARER, NEW, GONE = "likelier", "rarer", "new", "gone"


@dataclass(frozen=True)
class Outcome:
    """What a campaign says of one variant."""

    runs: int
    findings: int
    stopped: bool
    """Counting stopped at a finding that was the last one wanted."""
    may_stop: bool
    """It would have stopped, had there been enough findings."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """Findings of each fingerprint."""
    titles: Mapping[str, str] = field(default_factory=dict)
    verdict: str = ""
    portfolio: Portfolio | None = None
    """How its runs were shared among policies; a rate is one with these shares."""


@dataclass(frozen=True)
class Change:
    """One comparison."""

    variant: str
    what: str
    """likelier, rarer, new or gone."""
    before: tuple[int, int]
    """Findings and runs; of a kind, findings of the kind and all findings."""
    after: tuple[int, int]
    p: float
    q: float = 1.0
    """The smallest share of false discoveries at which it is called changed."""
    kind: str = ""
    """Fingerprint; empty: the variant's rate."""
    title: str = ""

    @property
    def significant(self) -> bool:
        return self.q <= FALSE

    @property
    def worse(self) -> bool:
        return self.what in (LIKELIER, NEW)


def changes(before: Mapping[str, Outcome], after: Mapping[str, Outcome]) -> list[Change]:
    """Every comparison of the variants that both have, the surest first.

    Not of those whose runs were shared among policies in another way.
    """
    found: list[Change] = []
    for variant, one in before.items():
        two = after.get(variant)
        if two is None or not one.runs or not two.runs or one.portfolio != two.portfolio:
            continue
        found += _of_rate(variant, one, two)
        found += _of_kinds(variant, one, two)
    return adjusted(found)


def adjusted(found: Sequence[Change]) -> list[Change]:
    """Benjamini and Hochberg: q of the i-th smallest of m is the least p*m/j over all j >= i."""
    ordered = sorted(found, key=lambda change: change.p)
    q = 1.0
    done = []
    for place in range(len(ordered), 0, -1):
        change = ordered[place - 1]
        q = min(q, change.p * len(ordered) / place)
        done.append(replace(change, q=q))
    return done[::-1]


def _word(before: tuple[int, int], after: tuple[int, int]) -> str:
    if not before[0]:
        return NEW
    if not after[0]:
        return GONE
    return LIKELIER if after[0] * before[1] > before[0] * after[1] else RARER


def _of_rate(variant: str, one: Outcome, two: Outcome) -> Iterator[Change]:
    if not one.findings and not two.findings:
        return
    before, after = (one.findings, one.runs), (two.findings, two.runs)
    yield Change(variant, _word(before, after), before, after, rates_differ(one, two))


def _of_kinds(variant: str, one: Outcome, two: Outcome) -> Iterator[Change]:
    if not one.findings or not two.findings:
        return  # all of them came or went with the rate
    if len({*one.kinds, *two.kinds}) < 2:
        return
    for kind in sorted({*one.kinds, *two.kinds}):
        before = (one.kinds.get(kind, 0), one.findings)
        after = (two.kinds.get(kind, 0), two.findings)
        title = two.titles.get(kind) or one.titles.get(kind, "")
        p = fisher(*before, *after)
        yield Change(variant, _word(before, after), before, after, p, kind=kind, title=title)


def rates_differ(one: Outcome, two: Outcome) -> float:
    """p of the hypothesis that both fail equally often, two-sided."""
    if not one.may_stop and not two.may_stop:
        return fisher(one.findings, one.runs, two.findings, two.runs)
    return min(1.0, 2.0 * min(_apart(one, two), _apart(two, one)))


def _apart(often: Outcome, seldom: Outcome) -> float:
    """p, one-sided, of ``often`` failing no more often than ``seldom``."""
    from scipy.optimize import minimize_scalar

    high, low = often.findings / often.runs, max(seldom.findings, 0.2) / seldom.runs
    if not often.findings or high <= seldom.findings / seldom.runs:
        return 1.0

    def product(log_rate: float) -> float:
        return -(_as_often(often, log_rate) + _as_seldom(seldom, log_rate))

    # Below what the one has shown its tail falls faster than the other's rises, and above what the
    # other has shown it is the same the other way round; the logarithms are concave in between.
    bounds = (math.log(min(low, high) / 2.0), min(0.0, math.log(high * 1.5)))
    best = minimize_scalar(product, bounds=bounds, method="bounded")
    x = -float(best.fun)
    return min(1.0, math.exp(x) * (1.0 - x))


def _as_often(side: Outcome, log_rate: float) -> float:
    """Log of the chance of so many findings in so few runs at most, whatever the rule."""
    from scipy.special import betainc

    value = float(betainc(side.findings, side.runs - side.findings + 1, math.exp(log_rate)))
    return math.log(max(value, 1e-300))


def _as_seldom(side: Outcome, log_rate: float) -> float:
    """Log of the chance of so few findings, or of so late a last one."""
    from scipy.special import betaincc

    k, n = side.findings, side.runs
    if side.stopped:  # the runs before the last one brought all but that one
        k, n = k - 1, n - 1
    if k >= n:
        return 0.0
    value = float(betaincc(k + 1, n - k, math.exp(log_rate)))
    return math.log(max(value, 1e-300))
