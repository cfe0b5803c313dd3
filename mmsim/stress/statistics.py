# SPDX-License-Identifier: GPL-2.0-only
"""How sure one can be of a rate after n runs.

A rate from few runs needs an interval that behaves at its ends, since most rates here are near
0 or near 1: Wilson's for the eye, Clopper and Pearson's where a claim hangs on it. None seen in
n runs is not a rate of nought: what can be said is an upper bound, 1 - 0.05**(1/n), about 3/n.

scipy knows the formulae. It takes a second to load, so it is asked for only when the workers are
already busy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def upper_bound(n: int) -> float:
    """The largest rate that shows nothing in n runs with a chance of 5 %."""
    return 1.0 if n == 0 else float(1.0 - (1.0 - CONFIDENCE) ** (1.0 / n))


def rate(k: int, n: int) -> Interval:
    """k of n for display: Wilson's interval, or for 0 of n the upper bound."""
    if n == 0:
        return Interval(0.0, 0.0, 1.0)
    if k == 0:
        return Interval(0.0, 0.0, upper_bound(n))
    low, high = _binomial(k, n, "wilson")
    return Interval(k / n, low, high)


def exact(k: int, n: int) -> Interval:
    """k of n for a claim: the interval of Clopper and Pearson, which never promises too much."""
    if n == 0:
        return Interval(0.0, 0.0, 1.0)
    low, high = _binomial(k, n, "exact")
    return Interval(k / n, low, high)


@lru_cache(maxsize=4096)
def _binomial(k: int, n: int, method: str) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(CONFIDENCE, method=method)
    return float(interval.low), float(interval.high)


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
