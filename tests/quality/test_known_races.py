# SPDX-License-Identifier: GPL-2.0-only
"""The races of the mailing lists, found by the default search within a stated number of schedules.

``chance`` is what a run of eight CPUs is held to have at least; ``schedules`` are so many that a
search with that chance misses once in 1,000 times.  Seeds are fixed, so a test that is red has not
had bad luck: either the race has become rarer than that, or the engine no longer finds it.
"""

from __future__ import annotations

import re

import pytest

from mmsim.run import Runner
from mmsim.scenarios.registry import find_variant

RACES = [  # variant, chance per run, schedules
    ("002.flawed", 0.01, 690),
    ("000.get-from-zero", 0.05, 135),
    ("003.unlock-first", 0.01, 690),
    ("004.base", 0.5, 10),
    ("001.419-dbg", 0.01, 690),
]


@pytest.mark.parametrize(("name", "chance", "schedules"), RACES)
def test_found_within(name: str, chance: float, schedules: int) -> None:
    variant = find_variant(name)
    assert (1 - chance) ** schedules <= 1e-3
    with Runner(variant, cpus=8, seed=20) as runner:
        result = next((r for r in map(runner.run, range(schedules)) if r.findings), None)
        assert result is not None, f"not found in {schedules} schedules"
        title = result.findings[0].title
        assert any(re.search(pattern, title) for pattern in variant.findings), title
        again = runner.replay(result.schedule)
    assert again.findings[0].fingerprint == result.findings[0].fingerprint


@pytest.mark.parametrize("name", ["002.flawed", "000.get-from-zero", "003.unlock-first"])
def test_found_by_free_running_threads_and_replayed_by_the_token(name: str) -> None:
    """How often depends on the machine; the first of many runs that hit is replayed."""
    variant = find_variant(name)
    with Runner(variant, cpus=8, seed=20, engine="free") as runner:
        result = next((r for r in map(runner.run, range(2_000)) if r.findings), None)
    assert result is not None
    with Runner(variant, cpus=8, seed=1) as token:
        again = token.replay(result.schedule)
    assert again.findings[0].fingerprint == result.findings[0].fingerprint
    assert again.findings[0].step == result.findings[0].step


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, _, _ in RACES])
@pytest.mark.parametrize("cpus", [2, 32])
def test_found_at_few_and_many_cpus(name: str, cpus: int) -> None:
    with Runner(find_variant(name), cpus=cpus, seed=20) as runner:
        assert any(runner.run(index).findings for index in range(3_000))
