# SPDX-License-Identifier: GPL-2.0-only
"""Every pair of the plan, explored again and compared with the record."""

from __future__ import annotations

from statistics import median

import pytest

from mmsim.cli.commands import prove as command
from mmsim.proofs import record
from mmsim.proofs.prove import EXHAUSTIVE, Pair, Proof, in_order, pairs, pairs_of, prove
from mmsim.scenarios.api import Variant, Verdict
from mmsim.scenarios.registry import scenarios

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pair", list(pairs(scenarios())), ids=lambda p: f"{p.variant.id}-{p.cast}")
def test_the_same_verdict(pair: Pair) -> None:
    never = pair.variant.expect is Verdict.NEVER
    now = prove(
        pair,
        seconds=4 * command.SECONDS,
        executions=None if never else command.EXECUTIONS,
        first=not never,
    )
    assert command.declared(pair, now)
    before = record.read().get(pair.key)
    assert before is not None, "not on record: python -m mmsim prove --write"
    fresh = not record.stale(before, pair.variant.scenario)
    assert command.differs(before, now, fresh) == "" or not fresh
    assert before.verdict == now.verdict


NEVER = [v for s in scenarios() for v in s.variants if v.expect is Verdict.NEVER and in_order(v)]


def proofs(variant: Variant) -> list[Proof]:
    """What is on record of it: without a bound, and exhausted."""
    planned = record.planned(pairs_of(variant), record.read())
    return [proof for proof in planned if proof.verdict == EXHAUSTIVE]


def test_nine_of_ten_that_cannot_fail_are_proved_without_a_bound() -> None:
    assert sum(bool(proofs(v)) for v in NEVER) >= 0.9 * len(NEVER)


def test_a_third_of_them_with_a_third_task() -> None:
    whole = [v for v in NEVER if any(len(proof.tasks) > 2 for proof in proofs(v))]
    assert len(whole) >= len(NEVER) / 3


def test_all_that_can_fail_are_found_half_of_them_within_300_executions() -> None:
    on_record = record.read()
    firsts = {
        v.id: [proof.first for proof in record.planned(pairs_of(v), on_record)]
        for s in scenarios()
        for v in s.variants
        if v.expect is not Verdict.NEVER and in_order(v)
    }
    assert all(first[:1] and first[0] for first in firsts.values()), firsts
    assert median(min(filter(None, first)) for first in firsts.values()) < 300
