# SPDX-License-Identifier: GPL-2.0-only
"""Random programs: does the machine of views show what the axioms allow, and nothing else?"""

from __future__ import annotations

import pytest

from tests.litmus import breaks, compare

QUICK, CHUNK = 300, 25
THOROUGH, PART = 10_000, 250

NOTICED = {
    "smp_rmb": 30,
    "smp_wmb": 254,
    "smp_mb": 63,
    "acquire": 31,
    "release": 19,
    "grace period begins": 185,
    "grace period ends": 63,
    "unlock and lock": 65,
    "two reads of one word": 2138,
}
"""What is broken -> a seed whose program shows it."""


@pytest.mark.parametrize("first", range(0, QUICK, CHUNK))
def test_random_programs(first: int) -> None:
    found = [text for seed in range(first, first + CHUNK) if (text := compare.disagreement(seed))]
    assert not found, found[0]


@pytest.mark.parametrize("seed", sorted(NOTICED.values()))
def test_programs_that_notice_most(seed: int) -> None:
    assert not compare.disagreement(seed)


@pytest.mark.parametrize("seed", [2138])
def test_programs_that_have_disagreed(seed: int) -> None:
    """Of the many: what an earlier machine of views showed although it is forbidden."""
    assert not compare.disagreement(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(QUICK, QUICK + THOROUGH, PART))
def test_many_random_programs(first: int) -> None:
    found = [text for seed in range(first, first + PART) if (text := compare.disagreement(seed))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("what", NOTICED)
def test_a_broken_machine_is_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random programs are enough for these; the shapes notice the others."""
    breaks.apply(what, monkeypatch)
    assert compare.disagreement(NOTICED[what])
