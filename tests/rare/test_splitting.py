# SPDX-License-Identifier: GPL-2.0-only
"""Is the estimate right?  Against a chance that is computed, and wrong estimators against it.

Seeds are fixed, so nothing here depends on luck when it runs; the bounds say how much luck there
was in choosing them.
"""

from __future__ import annotations

import math
from array import array

import pytest

from mmsim.errors import UsageError
from mmsim.rare.levels import Levels
from mmsim.rare.policies import Chosen, Draws
from mmsim.rare.splitting import Beginning, Estimate, Splitting
from mmsim.rare.summary import summary
from mmsim.run import Runner, RunResult
from tests.rare.ladder import Ladder, exact

WALK = Chosen("random-walk")
EASY = Ladder(rungs=6, tries=5)
HIGH = Ladder(rungs=22, tries=14)  # 8.6e-7 under a random walk


def runner(ladder):
    return Runner(ladder.variant, cpus=ladder.cpus, seed=0, engine="green")


def estimates(kind, ladder, *, policy=WALK, marked=None, effort, times=20, seed=1):
    with runner(ladder) as booted:
        marked = marked or ladder.levels.all
        splitting = kind(booted, marked, policy, seed=seed, effort=effort)
        return [splitting.estimate(number) for number in range(times)]


def sigmas(found, chance):
    """How many standard errors the mean of the estimates is off."""
    of = summary([estimate.window for estimate in found])
    return abs(of.mean - chance) / of.error if of.error else math.inf


# -- the chance that is known -----------------------------------------------------------------


def test_the_computed_chance_is_that_of_plain_runs():
    """400 runs: within three standard deviations of a binomial."""
    for policy, quantum in ((WALK, None), (Chosen("geometric", 4), 4)):
        ladder = Ladder(rungs=4, tries=5, idle=2)
        chance = exact(ladder, quantum)
        with runner(ladder) as booted:
            found = Splitting(booted, ladder.levels.all, policy, seed=3, effort=1).plainly(400)
        assert abs(found / 400 - chance) < 3 * math.sqrt(chance * (1 - chance) / 400)


def test_a_window_of_one_in_a_million_within_a_factor_of_two_from_a_hundredth_of_the_runs():
    """All twenty together have 1/100 of the runs in which plain sampling would see it once.

    Over the chance their mean is 0.72, 0.93, 0.58 with the seeds 1, 2, 3: estimates are skewed,
    and mostly too low.  About one seed in twenty misses the factor; the larger sample is nearer.
    """
    chance = exact(HIGH)
    assert 5e-7 < chance < 2e-6
    marked = HIGH.levels.only(tuple(range(2, 23, 2)))
    found = estimates(Splitting, HIGH, marked=marked, effort=48, seed=2)
    assert sum(estimate.runs for estimate in found) <= 1 / chance / 100
    assert chance / 2 < summary([e.window for e in found]).mean < chance * 2
    assert any(estimate.found for estimate in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ladder", "policy", "step", "effort"),
    [
        (HIGH, WALK, 2, 400),
        (Ladder(rungs=24, tries=40), WALK, 3, 300),
        (Ladder(rungs=6, tries=6, idle=3), Chosen("geometric", 16), 1, 1000),
    ],
)
def test_with_more_effort_median_and_mean_are_near(ladder, policy, step, effort):
    """The mean within four standard errors; both within a factor of two."""
    chance = exact(ladder, policy.quantum if policy.name == "geometric" else None)
    assert 5e-7 < chance < 2e-6
    marked = ladder.levels.only(tuple(range(step, ladder.rungs + 1, step)))
    found = estimates(Splitting, ladder, policy=policy, marked=marked, effort=effort)
    of = summary([estimate.window for estimate in found])
    assert sigmas(found, chance) < 4
    assert chance / 2 < of.median < chance * 2
    assert chance / 2 < of.mean < chance * 2


@pytest.mark.parametrize("quantum", [None, 4])
def test_it_is_unbiased(quantum):
    """The mean of 40 within three standard errors, and these a tenth of the chance or less."""
    policy = WALK if quantum is None else Chosen("geometric", quantum)
    ladder = Ladder(rungs=5, tries=5, idle=2)
    found = estimates(Splitting, ladder, policy=policy, effort=30, times=40)
    assert sigmas(found, exact(ladder, quantum)) < 3
    of = summary([estimate.window for estimate in found])
    assert of.error < of.mean / 5


# -- wrong estimators -------------------------------------------------------------------------


class ElderStreams(Splitting):
    """Who goes on draws again what the run drew that it goes on from."""

    def _go(self, beginning, fresh, target):
        return super()._go(beginning, beginning.setup, target)


class OneStream(Splitting):
    """All runs of a stage draw the same."""

    def _stream(self, number, stage, n):
        return super()._stream(number, stage, 0)


class FirstOnly(Splitting):
    """Everybody goes on from the first that came there."""

    def _elder(self, beginnings, number, stage):
        return beginnings[:1]


class WithoutTheLast(Splitting):
    """The beginning is cut before the last number: the step need not be taken at all."""

    def _go(self, beginning, fresh, target):
        cut = array("d", beginning.drawn[:-1])
        return super()._go(Beginning(beginning.setup, cut), fresh, target)


class Forgetful(Estimate):
    """The weight of a stage is forgotten."""

    @property
    def window(self):
        shares = [n / self.effort for n in self.passed[:-1]]
        return math.prod(shares) / (shares[2] or 1)


def forgetful(splitting):
    class kind(splitting):
        def estimate(self, number, tell=lambda: None):
            right = super().estimate(number, tell)
            return Forgetful(*(getattr(right, name) for name in Estimate.__dataclass_fields__))

    return kind


def is_right(kind, levels=None):
    """Does it pass as an estimator?  The same question as above, put to each."""
    ladder = Ladder(rungs=6, tries=6)
    marked = levels.all if levels is not None else None
    found = estimates(kind, ladder, marked=marked, effort=30, times=20)
    of = summary([estimate.window for estimate in found])
    chance = exact(ladder)
    near = of.error is not None and of.error < of.mean / 5 and chance / 2 < of.mean < chance * 2
    return near and sigmas(found, chance) < 3


def test_the_right_one_passes():
    assert is_right(Splitting)


@pytest.mark.parametrize(
    "kind", [ElderStreams, OneStream, FirstOnly, WithoutTheLast, forgetful(Splitting)]
)
def test_a_wrong_one_does_not(kind):
    assert not is_right(kind)


def test_levels_in_another_order_are_another_event():
    steps = Ladder(rungs=6, tries=6).levels.steps
    assert not is_right(Splitting, Levels(*reversed(steps)))


# -- going on ---------------------------------------------------------------------------------


def test_the_same_numbers_give_the_same_run():
    with runner(EASY) as booted:
        splitting = Splitting(booted, EASY.levels.all, WALK, seed=1, effort=1)
        begun = next(
            run
            for seed in range(100)
            if isinstance(run := splitting._go(Beginning(seed, array("d")), seed, 3), Beginning)
        )
        for fresh in range(20):
            splitting.arrived = [0] * 6
            splitting._go(begun, fresh, None)
            assert splitting.arrived[:3] == [1, 1, 1], "every heir has come as far"
        again = splitting._go(begun, 5, 4)
        if isinstance(again, Beginning):
            assert again.drawn[: len(begun.drawn)] == begun.drawn


def test_an_estimate_is_a_function_of_its_number():
    first = estimates(Splitting, EASY, effort=20, times=3)
    assert estimates(Splitting, EASY, effort=20, times=3) == first
    assert len(set(first)) == 3
    with runner(EASY) as booted:
        alone = Splitting(booted, EASY.levels.all, WALK, seed=1, effort=20).estimate(2)
    assert alone == first[2], "whatever was estimated before"


def test_findings_on_the_way_are_weighed_and_replay():
    """Any finding: as plain sampling would have it, also where the levels do not lead to it."""
    steps = EASY.levels.steps
    late = Levels(*steps[:3], steps[1], steps[2])  # down again: the BUG at rung 6 comes otherwise
    found = estimates(Splitting, EASY, marked=late.all, effort=60, times=12)
    assert any(sum(estimate.elsewhere) for estimate in found)
    of = summary([estimate.any_finding for estimate in found])
    assert abs(of.mean - exact(EASY)) < 3 * of.error
    line = next(kind.schedule for estimate in found for kind in estimate.found)
    with Runner(EASY.variant, cpus=2, seed=0, engine="green") as booted:
        result = booted.replay(line)
    assert isinstance(result, RunResult)
    assert "BUG" in result.findings[0].title


def test_nobody_comes_there():
    never = Levels(*EASY.levels.steps[:2], *EASY.levels.steps[:1] * 5)
    estimate = estimates(Splitting, EASY, marked=never.all, effort=5, times=1)[0]
    assert estimate.window == estimate.finding == 0
    assert estimate.passed[-1] == 0
    assert estimate.runs < 5 * 8, "what nobody came to is not gone on from"


def test_draws_repeat_and_then_go_on():
    from random import Random

    first = Draws(array("d"), Random(1))
    numbers = [first.random() for _ in range(4)]
    second = Draws(first.drawn, Random(2))
    assert [second.random() for _ in range(4)] == numbers
    assert second.random() == Random(2).random()
    assert len(first.drawn) == 4, "it has its own"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Chosen("pct"), "decides beforehand"),
        (Chosen("mix"), "decides beforehand"),
        (Chosen("surw"), "decides beforehand"),
        (Chosen("geometrical"), "geometric"),
        (Chosen("geometric", 1), "quantum is 1"),
    ],
)
def test_other_policies_are_refused(policy, said):
    with pytest.raises(UsageError, match=said):
        policy.check()


def test_a_summary():
    of = summary([1.0, 2.0, 4.0, 8.0])
    assert (of.mean, of.median, of.least, of.most, of.zeros) == (3.75, 3.0, 1.0, 8.0, 0)
    assert of.spread == pytest.approx(math.exp(math.log(2) * math.sqrt(5 / 3)))
    assert summary([0.0, 1.0]).spread is None
    assert summary([1.0]).error is None
    with pytest.raises(ValueError, match="no estimate"):
        summary([])
