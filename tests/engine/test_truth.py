# SPDX-License-Identifier: GPL-2.0-only
"""Do operations tell the truth?

Search, memory models and detectors believe what an operation declares.  Three questions are put to
all of kernel code here.  Does an effect touch what its operation declares, and nothing else?  Do two
steps that do not conflict commute?  Is a word the same word in every schedule?

``make test`` asks a sample, ``make slow`` asks them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mmsim.run import Runner
from mmsim.scenarios.api import Scenario, Variant
from mmsim.scenarios.registry import scenarios
from tests.engine.spy import Spy

CPUS = 4
SEED = 11


def _ids(variants: Sequence[Variant]) -> list[str]:
    return [variant.id for variant in variants]


ALL_VARIANTS = [variant for scenario in scenarios() for variant in scenario.variants]


# -- an effect touches what its operation declares ------------------------------------------------


def _spied(variant: Variant, runs: int) -> Spy:
    spy = Spy()
    with Runner(variant, cpus=CPUS, seed=SEED, engine="green", policy="random-walk") as runner:
        with spy.at_work():
            for index in range(runs):
                runner.run(index, instruments=[spy])
    return spy


def _complaints(spy: Spy) -> list[str]:
    return [
        f"{op} {how} {kind}.{attribute} ({n} times)"
        for (op, kind, attribute, how), n in sorted(spy.undeclared.items())
    ]


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda s: s.id)
def test_effects_touch_what_they_declare_in_a_sample(scenario: Scenario) -> None:
    for variant in scenario.variants[:: max(1, len(scenario.variants) // 6)]:
        spy = _spied(variant, 1)
        assert _complaints(spy) == [], variant.id
        assert spy.touches > spy.effects > 0


@pytest.mark.slow
@pytest.mark.parametrize("variant", ALL_VARIANTS, ids=_ids(ALL_VARIANTS))
def test_effects_touch_what_they_declare(variant: Variant) -> None:
    spy = _spied(variant, 20)
    assert _complaints(spy) == []
    assert spy.touches > spy.effects > 0
