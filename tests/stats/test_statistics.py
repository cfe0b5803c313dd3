# SPDX-License-Identifier: GPL-2.0-only
"""Intervals: against published values, and against the coverage they promise."""

from __future__ import annotations

import math
import random
import statistics as stdlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsim.stress.statistics import Moments, exact, rate, upper_bound


def test_wilson_and_clopper_pearson_of_a_known_count() -> None:
    # 35 of 5,000, the worked example that every table of these two intervals can check.
    assert exact(35, 5000).low == pytest.approx(0.0049, abs=5e-5)
    assert exact(35, 5000).high == pytest.approx(0.0097, abs=5e-5)
    # 17 of 1,000 by Wilson's formula, written out.
    k, n, z = 17, 1000, 1.959963984540054
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert rate(k, n).low == pytest.approx(centre - half)
    assert rate(k, n).high == pytest.approx(centre + half)


def test_nothing_seen_is_an_upper_bound_and_not_a_rate_of_nought() -> None:
    assert upper_bound(4000) == pytest.approx(7.5e-4, rel=0.01)
    assert upper_bound(20000) == pytest.approx(1.5e-4, rel=0.01)
    seen = rate(0, 100)
    assert (seen.value, seen.low) == (0.0, 0.0)
    assert (1 - seen.high) ** 100 == pytest.approx(0.05)
    assert rate(0, 0).high == 1.0


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_hold_their_estimate(counts: tuple[int, int]) -> None:
    k, n = counts
    for interval in (rate(k, n), exact(k, n)):
        assert 0.0 <= interval.low <= k / n <= interval.high <= 1.0


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))))
def test_the_exact_interval_leaves_a_fortieth_in_each_tail(counts: tuple[int, int]) -> None:
    k, n = counts
    low = exact(k, n).low
    at_least_k = sum(math.comb(n, i) * low**i * (1 - low) ** (n - i) for i in range(k, n + 1))
    assert at_least_k == pytest.approx(0.025, rel=1e-6)


def test_wilson_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = random.Random(2002)
    truth, runs, trials = 0.03, 400, 600
    held = 0
    for _ in range(trials):
        k = sum(rng.random() < truth for _ in range(runs))
        held += rate(k, runs).low <= truth <= rate(k, runs).high
    assert 0.92 <= held / trials <= 0.99


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
