# SPDX-License-Identifier: GPL-2.0-only
"""What two campaigns say of each other: no more false alarms than promised, and few misses."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from numpy.random import Generator

from mmsim.stress.changes import (
    GONE,
    LIKELIER,
    NEW,
    RARER,
    Change,
    Outcome,
    adjusted,
    changes,
    rates_differ,
)
from mmsim.stress.statistics import fisher

KINDS = {"a": 0.7, "b": 0.25, "c": 0.05}


def campaign(
    rng: Generator, rate: float, most: int, stop_after: int | None, kinds: dict[str, float]
) -> Outcome:
    """One variant, run until so many findings or so many runs."""
    runs = most
    if rate == 0.0:
        findings = 0
    elif stop_after is None:
        findings = int(rng.binomial(most, rate))
    else:
        ends = np.cumsum(rng.geometric(rate, stop_after))
        findings = int((ends <= most).sum())
        runs = int(ends[-1]) if findings == stop_after else most
    drawn = rng.choice(list(kinds), size=findings, p=list(kinds.values()))
    return Outcome(
        runs=runs,
        findings=findings,
        stopped=findings == stop_after,
        may_stop=stop_after is not None,
        kinds=Counter(str(kind) for kind in drawn),
    )


@pytest.mark.parametrize(
    ("rate", "first", "second"),
    [
        (0.02, (20_000, 8), (20_000, 8)),  # both stop at a finding
        (0.001, (2000, 8), (2000, 8)),  # hardly ever
        (0.004, (2000, 8), (2000, 8)),  # now and then
        (0.01, (3000, 3), (500, None)),  # two plans
        (0.3, (20_000, 30), (20_000, 8)),
    ],
)
def test_equal_rates_are_called_different_in_5_of_100_cases_at_most(
    rate: float, first: tuple[int, int | None], second: tuple[int, int | None]
) -> None:
    """Of 800 pairs 40 are allowed in the mean; more than 60 have a chance below 0.001."""
    rng = np.random.default_rng(1)
    low = sum(
        rates_differ(campaign(rng, rate, *first, KINDS), campaign(rng, rate, *second, KINDS))
        <= 0.05
        for _ in range(800)
    )
    assert low <= 60


def test_the_test_is_fishers_where_the_plan_fixed_the_runs() -> None:
    one, two = Outcome(1000, 3, False, False), Outcome(800, 14, False, False)
    assert rates_differ(one, two) == fisher(3, 1000, 14, 800)


def test_it_sees_what_is_there() -> None:
    clean = Outcome(1000, 0, False, True)
    assert rates_differ(clean, Outcome(20, 3, True, True)) < 1e-4
    assert rates_differ(Outcome(20, 3, True, True), clean) < 1e-4
    assert rates_differ(Outcome(400, 8, True, True), Outcome(4000, 8, True, True)) < 1e-3
    assert rates_differ(Outcome(400, 8, True, True), Outcome(500, 8, True, True)) == 1.0 or (
        rates_differ(Outcome(400, 8, True, True), Outcome(500, 8, True, True)) > 0.3
    )
    assert rates_differ(clean, clean) == 1.0
    assert rates_differ(Outcome(30, 30, False, True), Outcome(30, 30, False, True)) == 1.0
    assert rates_differ(Outcome(50_000, 0, False, True), Outcome(2000, 2000, True, True)) < 1e-100


def test_benjamini_and_hochberg() -> None:
    """Their own example of 1995: fifteen tests of which the four smallest are taken at 5 %."""
    ps = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    ps += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    found = [Change(str(p), RARER, (1, 2), (1, 3), p) for p in reversed(ps)]
    done = adjusted(found)
    assert [change.p for change in done] == ps
    assert [change.significant for change in done] == [True] * 4 + [False] * 11
    assert done[3].q == pytest.approx(0.0095 * 15 / 4)
    assert all(one.q <= two.q for one, two in itertools.pairwise(done))


def test_words() -> None:
    def word(before: tuple[int, int], after: tuple[int, int]) -> str:
        one, two = (Outcome(n, k, False, False, {"a": k}) for k, n in (before, after))
        (change,) = changes({"v": one}, {"v": two})
        return change.what

    assert word((0, 100), (5, 100)) == NEW
    assert word((5, 100), (0, 100)) == GONE
    assert word((5, 100), (9, 100)) == LIKELIER
    assert word((5, 100), (5, 900)) == RARER
    assert changes({"v": Outcome(100, 0, False, False)}, {"w": Outcome(9, 9, False, False)}) == []


def night(rng: Generator, size: int, removed: str | None = None) -> dict[str, Outcome]:
    """A campaign of the profile `nightly`: ``size`` wrong variants and as many right ones.

    If the fix is ``removed`` from a right variant, that one fails at the rate of its twin.
    """
    found = {}
    for i, rate in enumerate(map(float, np.geomspace(3e-3, 0.9, size))):
        found[f"wrong-{i}"] = campaign(rng, rate, 20_000, 2000, KINDS)
        twin = rate if removed == f"right-{i}" else 0.0
        found[f"right-{i}"] = campaign(rng, twin, 50_000, 10, KINDS)
    return found


def pairs(count: int, size: int) -> tuple[int, int]:
    """Of so many pairs of campaigns: a fix that was removed is found; equal ones raise an alarm."""
    rng = np.random.default_rng(7)
    found = alarms = 0
    for pair in range(count):
        removed = f"right-{pair % size}"
        before = night(rng, size)
        worse = [c for c in changes(before, night(rng, size, removed)) if c.significant and c.worse]
        found += removed in {change.variant for change in worse}
        alarms += any(change.significant for change in changes(before, night(rng, size)))
    return found, alarms


def test_a_fix_that_was_removed_is_found_and_equal_campaigns_raise_no_alarm() -> None:
    """Whatever is called changed in equal campaigns is false, so one pair in twenty may have some;
    of 15, more than 3 have a chance of 0.005.
    """
    found, alarms = pairs(15, 6)
    assert found == 15
    assert alarms <= 3


@pytest.mark.slow
def test_it_is_found_in_99_of_100_pairs_and_at_most_5_of_100_raise_an_alarm() -> None:
    """At the size of the profile `nightly`, with as many variants as there are."""
    found, alarms = pairs(100, 75)
    assert found >= 99
    assert alarms <= 5
