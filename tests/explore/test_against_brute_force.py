# SPDX-License-Identifier: GPL-2.0-only
"""Random programs: the search comes to the same final states and findings as all orders do."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from mmsim.engine.execution import Token
from tests.engine.lab import every_order
from tests.explore.programs import explore
from tests.explore.random_programs import FLAVOURS, final, program
from tests.explore.thorough import Thorough

QUICK, MANY = 600, 3_000  # orders that a program may have


def compare(token: Token, seed: int, flavour: str, orders: int) -> tuple[int, int]:
    """(executions, blocked); (0, 0) for a program with more orders than can be tried."""
    build = program(seed, flavour)
    brute = [final(m) for m in islice(every_order(token, build), orders)]
    if len(brute) == orders:
        return 0, 0
    search, outcomes = explore(token, build, final, learn=3)
    text: Any = build.text  # type: ignore[attr-defined]
    assert set(outcomes) == set(brute), f"{flavour} {seed}: {text}"
    assert not search.cut
    assert explore(token, build, final, search=Thorough(), learn=3)[1] == outcomes
    return search.executions, search.blocked


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_few(green: Token, flavour: str) -> None:
    done = [compare(green, seed, flavour, QUICK) for seed in range(14)]
    assert sum(executions > 0 for executions, _ in done) >= 2


def test_raised_while_it_is_handled(green: Token) -> None:
    """What is left of the handler may come before the raise: a state was lost once."""
    assert compare(green, 1_163, "interrupts", MANY) == (31, 0)


@pytest.mark.slow
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_many(green: Token, flavour: str) -> None:
    done = [compare(green, seed, flavour, MANY) for seed in range(1_000, 1_160)]
    assert sum(executions > 0 for executions, _ in done) >= 60
    executions, blocked = (sum(counts) for counts in zip(*done, strict=True))
    assert not blocked, f"beside {executions}"
