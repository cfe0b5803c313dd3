# SPDX-License-Identifier: GPL-2.0-only
"""How sure one can be of a rate after n runs, and of a difference between two rates.

An interval belongs to the rule by which counting stopped. n runs that were fixed beforehand give
Clopper and Pearson's (`exact`). Counting that stops at the K-th finding gives another one
(`inverse`): its last run always fails, so K/n is too high. Where one stops whenever one has seen
enough, only a confidence sequence holds (`anytime`). None seen in n runs is not a rate of nought:
what can be said is an upper bound, 1 - 0.05**(1/n), about 3/n.

scipy knows the formulae. It takes a second to load, so it is asked for only when the workers are
already busy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

CONFIDENCE = 0.95
MISS = 0.01
"""The chance that is left for a fix to look clean without being one."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def upper_bound(n: int) -> float:
    """The largest rate that shows nothing in n runs with a chance of 5 %."""
    return 1.0 if n == 0 else float(1.0 - (1.0 - CONFIDENCE) ** (1.0 / n))


def exact(k: int, n: int) -> Interval:
    """k of n runs, n fixed beforehand: the interval of Clopper and Pearson; for 0 the bound."""
    if n == 0:
        return Interval(0.0, 0.0, 1.0)
    if k == 0:
        return Interval(0.0, 0.0, upper_bound(n))
    return Interval(k / n, _at_least(k, n), _at_most(k, n))


def inverse(k: int, n: int) -> Interval:
    """The k-th finding came in run n, and counting stopped there (inverse sampling).

    The estimate is (k-1)/(n-1), which is right in the mean; one finding alone allows none, and
    gets 1/n. The limits are exact: at the lower one, k findings in n runs are as rare as 2.5 %;
    at the upper one, it is as rare that n-1 runs did not bring them. They hold as well if n was
    the most that there could have been.
    """
    value = 1.0 / n if k == 1 else (k - 1) / (n - 1)
    return Interval(value, _at_least(k, n), 1.0 if k == n else _at_most(k - 1, n - 1))


def anytime(k: int, n: int) -> Interval:
    """k of n runs, whenever one looks and for whatever reason one stops: a confidence sequence.

    All rates under which k of n is not too unlikely beside a rate drawn evenly from [0, 1]. That
    ratio is a martingale, so by Ville's inequality the true rate is ever outside with a chance of
    at most 5 % (Robbins 1970).
    """
    if n == 0:
        return Interval(0.0, 0.0, 1.0)
    from scipy.optimize import brentq
    from scipy.special import betaln, xlog1py, xlogy

    floor = betaln(k + 1, n - k + 1) + math.log(1.0 - CONFIDENCE)

    def above(rate: float) -> float:
        return float(xlogy(k, rate) + xlog1py(n - k, -rate) - floor)

    mode, edge = k / n, 1e-15
    low = 0.0 if k == 0 else float(brentq(above, edge, mode))
    high = 1.0 if k == n else float(brentq(above, mode, 1.0 - edge))
    return Interval(mode, low, high)


@lru_cache(maxsize=4096)
def _at_least(k: int, n: int, tail: float = (1.0 - CONFIDENCE) / 2) -> float:
    """The rate at which k or more of n have the chance `tail`."""
    from scipy.stats import beta

    return 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))


@lru_cache(maxsize=4096)
def _at_most(k: int, n: int, tail: float = (1.0 - CONFIDENCE) / 2) -> float:
    """The rate at which k or fewer of n have the chance `tail`."""
    from scipy.stats import beta

    return 1.0 if k == n else float(beta.ppf(1.0 - tail, k + 1, n - k))


def clean_by_luck(n: int, rate: float) -> float:
    """The chance that n runs show nothing, at this rate."""
    return float((1.0 - rate) ** n)


def runs_needed(rate: float, miss: float = MISS) -> int | None:
    """So many runs show something with a chance of 1 - miss at this rate; None: no number does."""
    if rate <= 0.0:
        return None
    if rate >= 1.0:
        return 1
    n = math.ceil(math.log(miss) / math.log1p(-rate))
    return n if clean_by_luck(n, rate) <= miss else n + 1


def fisher(k: int, n: int, other_k: int, other_n: int, alternative: str = "two-sided") -> float:
    """p of Fisher's exact test for k of n against other_k of other_n; `less`: k/n is smaller."""
    from scipy.stats import fisher_exact

    table = [(k, n - k), (other_k, other_n - other_k)]
    return float(fisher_exact(table, alternative=alternative).pvalue)


def rate_ratio(k: int, n: int, other_k: int, other_n: int) -> Interval:
    """How many times as often one fails as the other, numbers of runs fixed beforehand.

    Of all findings of the two, a share fell on the first; Clopper and Pearson's interval of that
    share gives the interval of the ratio (Przyborowski and Wilenski 1940). Exact for rare
    findings, and wider than need be for frequent ones.
    """
    both = k + other_k
    if both == 0:
        return Interval(1.0, 0.0, math.inf)
    scale = other_n / n
    return Interval(
        _odds(k / both) * scale,
        _odds(_at_least(k, both)) * scale,
        _odds(_at_most(k, both)) * scale,
    )


def _odds(share: float) -> float:
    return math.inf if share >= 1.0 else share / (1.0 - share)


@dataclass
class Sequential:
    """Wald's test of two rates, pair by pair of runs (1947: double dichotomies).

    Pairs in which both fail or both are clean say nothing. Among the others, those in which only
    the first fails are half if the rates are equal, and odds/(1+odds) if its odds of failing are
    `odds` times as high. Either answer is wrong with a chance of at most `error`.
    """

    odds: float = 10.0
    error: float = MISS
    first_only: int = 0
    second_only: int = 0

    def add(self, first: bool, second: bool) -> None:
        self.first_only += first and not second
        self.second_only += second and not first

    @property
    def evidence(self) -> float:
        """The logarithm of the likelihood ratio: above 0 it speaks for a difference."""
        ahead, behind = math.log(2 * self.odds / (1 + self.odds)), math.log(2 / (1 + self.odds))
        return self.first_only * ahead + self.second_only * behind

    @property
    def decided(self) -> bool | None:
        """True: the first fails more often; False: it does not; None: go on."""
        bound = math.log((1 - self.error) / self.error)
        if self.evidence >= bound:
            return True
        return False if self.evidence <= -bound else None

    @property
    def odds_ratio(self) -> Interval:
        """How many times as high the first one's odds are, whenever one stops."""
        told = self.first_only + self.second_only
        share = anytime(self.first_only, told)
        value = _odds(share.value) if told else 1.0
        return Interval(value, _odds(share.low), _odds(share.high))

    @property
    def p(self) -> float:
        """Equal rates come to so much evidence at any time with at most this chance (Ville)."""
        return min(1.0, math.exp(-self.evidence))


@lru_cache(maxsize=4096)
def _student(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + CONFIDENCE / 2, freedom))


@dataclass
class Moments:
    """Mean and spread of a number that every run reports, taken in one run at a time (Welford).

    The order of the runs is fixed, so the last digit is too.
    """

    n: int = 0
    mean: float = 0.0
    _m2: float = 0.0

    def add(self, value: float) -> None:
        self.n += 1
        delta = value - self.mean
        self.mean += delta / self.n
        self._m2 += delta * (value - self.mean)

    def extend(self, values: Iterable[float]) -> None:
        for value in values:
            self.add(value)

    @property
    def deviation(self) -> float:
        """The standard deviation of the sample."""
        return math.sqrt(self._m2 / (self.n - 1)) if self.n > 1 else 0.0

    def interval(self) -> Interval:
        """The mean with Student's interval; a single run says nothing about the spread."""
        if self.n < 2 or self._m2 == 0.0:
            return Interval(self.mean, self.mean, self.mean)
        half = _student(self.n - 1) * self.deviation / math.sqrt(self.n)
        return Interval(self.mean, self.mean - half, self.mean + half)


def welch(one: Moments, other: Moments) -> float:
    """p of Welch's test for two means; two constants differ or they do not."""
    if one.n < 2 or other.n < 2:
        return 1.0
    if one.deviation == 0.0 and other.deviation == 0.0:
        return 1.0 if one.mean == other.mean else 0.0
    from scipy.stats import ttest_ind_from_stats

    return float(
        ttest_ind_from_stats(
            one.mean, one.deviation, one.n, other.mean, other.deviation, other.n, equal_var=False
        ).pvalue
    )
