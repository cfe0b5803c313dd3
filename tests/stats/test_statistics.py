# SPDX-License-Identifier: GPL-2.0-only
"""Intervals: against published values, and against the coverage they promise."""

from __future__ import annotations

import math
import random
import statistics as stdlib
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsim.stress.statistics import (
    Moments,
    Sequential,
    anytime,
    clean_by_luck,
    exact,
    fisher,
    inverse,
    rate_ratio,
    runs_needed,
    upper_bound,
)

TRIALS = 20_000
SLACK = 4 * math.sqrt(0.05 * 0.95 / TRIALS)
"""Four standard errors: a simulated coverage of 95 % is below 95 % less this in 3 of 100,000."""


def test_clopper_pearson_of_a_known_count() -> None:
    # 35 of 5,000, the worked example that every table of this interval can check.
    assert exact(35, 5000).low == pytest.approx(0.0049, abs=5e-5)
    assert exact(35, 5000).high == pytest.approx(0.0097, abs=5e-5)


def test_nothing_seen_is_an_upper_bound_and_not_a_rate_of_nought() -> None:
    assert upper_bound(4000) == pytest.approx(7.5e-4, rel=0.01)
    assert upper_bound(20000) == pytest.approx(1.5e-4, rel=0.01)
    seen = exact(0, 100)
    assert (seen.value, seen.low) == (0.0, 0.0)
    assert (1 - seen.high) ** 100 == pytest.approx(0.05)
    assert exact(0, 0).high == 1.0


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_hold_their_estimate(counts: tuple[int, int]) -> None:
    k, n = counts
    for interval in (exact(k, n), anytime(k, n), *([inverse(k, n)] if k else [])):
        assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))))
def test_the_exact_interval_leaves_a_fortieth_in_each_tail(counts: tuple[int, int]) -> None:
    k, n = counts
    low = exact(k, n).low
    at_least_k = sum(math.comb(n, i) * low**i * (1 - low) ** (n - i) for i in range(k, n + 1))
    assert at_least_k == pytest.approx(0.025, rel=1e-6)


def test_three_of_four_when_counting_stopped_at_the_third_is_not_75_percent() -> None:
    seen = inverse(3, 4)
    assert seen.value == pytest.approx(2 / 3)
    # P(the third comes in run 4 or before) at the lower limit, in run 4 or later at the upper one
    low, high = seen.low, seen.high
    assert low**3 + 3 * low**3 * (1 - low) == pytest.approx(0.025)
    assert 1 - high**3 == pytest.approx(0.025)


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("rate", [0.5, 0.05, 0.001])
def test_inverse_sampling_covers_the_truth(k: int, rate: float) -> None:
    runs = np.random.default_rng(2002).negative_binomial(k, rate, TRIALS) + k
    counts = dict(zip(*np.unique(runs, return_counts=True), strict=True))
    held = 0
    for n, times in counts.items():
        interval = inverse(k, int(n))
        held += int(times) * (interval.low <= rate <= interval.high)
    assert held / TRIALS >= 0.95 - SLACK


def test_the_estimate_is_right_in_the_mean_and_k_of_n_is_not() -> None:
    runs = np.random.default_rng(3).negative_binomial(3, 0.02, TRIALS) + 3
    assert np.mean([inverse(3, int(n)).value for n in runs]) == pytest.approx(0.02, rel=0.05)
    assert np.mean([3 / n for n in runs]) > 1.3 * 0.02


@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_a_confidence_sequence_holds_whenever_one_looks(rate: float) -> None:
    rng = random.Random(1970)
    looked = cache(anytime)  # trials meet the same counts again
    lost, trials = 0, 300
    for _ in range(trials):
        k = 0
        for n in range(1, 200):
            k += rng.random() < rate
            if n % 5 == 0:
                seen = looked(k, n)
                if not seen.low <= rate <= seen.high:
                    lost += 1
                    break
    # Ville: 15 of 300 at most in the mean; 4 standard deviations (3.8 each) above that
    assert lost <= 30


@pytest.mark.parametrize("rates", [(0.02, 0.01), (0.3, 0.1), (0.05, 0.05)])
def test_the_rate_ratio_covers_the_truth(rates: tuple[float, float]) -> None:
    rng = np.random.default_rng(1940)
    trials, n = 2000, 400
    pairs = zip(*(rng.binomial(n, rate, trials) for rate in rates), strict=True)
    truth = rates[0] / rates[1]
    ratio = cache(rate_ratio)
    held = sum(r.low <= truth <= r.high for r in (ratio(int(a), n, int(b), n) for a, b in pairs))
    assert held / trials >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / trials)


def test_a_ratio_to_nothing_has_a_lower_limit() -> None:
    ratio = rate_ratio(30, 1000, 0, 1000)
    assert math.isinf(ratio.value)
    assert ratio.low == pytest.approx(exact(30, 30).low / (1 - exact(30, 30).low))
    assert (rate_ratio(0, 10, 0, 10).low, rate_ratio(0, 10, 0, 10).high) == (0.0, math.inf)


@given(st.floats(1e-5, 1.0))
def test_runs_needed_are_enough_and_one_fewer_is_not(rate: float) -> None:
    n = runs_needed(rate)
    assert n is not None
    assert clean_by_luck(n, rate) <= 0.01
    assert n == 1 or clean_by_luck(n - 1, rate) > 0.01


def test_no_number_of_runs_shows_what_does_not_happen() -> None:
    assert runs_needed(0.0) is None


@pytest.mark.parametrize(("first", "second", "answer"), [(0.2, 0.01, True), (0.2, 0.2, False)])
def test_walds_test_is_wrong_as_rarely_as_it_says(
    first: float, second: float, answer: bool
) -> None:
    rng = random.Random(1947)
    wrong, trials = 0, 400
    for _ in range(trials):
        test = Sequential()
        while test.decided is None:
            test.add(rng.random() < first, rng.random() < second)
        wrong += test.decided is not answer
        assert (test.p <= 0.011) is test.decided  # (1 - error)/error, a shade below 1/error
    assert wrong <= 12  # 1 % of 400 is 4; 12 or more have a chance of 1 in 1,000


def test_fisher_of_the_lady_tasting_tea() -> None:
    assert fisher(3, 4, 1, 4, "greater") == pytest.approx(17 / 70)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_moments_agree_with_the_standard_library(values: list[float]) -> None:
    moments = Moments()
    moments.extend(values)
    assert moments.n == len(values)
    assert moments.mean == pytest.approx(stdlib.fmean(values), rel=1e-9, abs=1e-6)
    assert moments.deviation == pytest.approx(stdlib.stdev(values), rel=1e-6, abs=1e-6)


def test_mean_interval_is_students() -> None:
    moments = Moments()
    moments.extend([1.0, 2.0, 3.0, 4.0, 5.0])
    # t(0.975, 4) = 2.776
    half = 2.7764451051977987 * math.sqrt(2.5) / math.sqrt(5)
    assert moments.interval().low == pytest.approx(3 - half)
    assert moments.interval().high == pytest.approx(3 + half)


def test_a_number_that_never_varies_has_no_spread() -> None:
    moments = Moments()
    moments.extend([0.0] * 500)
    assert (moments.interval().low, moments.interval().high) == (0.0, 0.0)
