# SPDX-License-Identifier: GPL-2.0-only
"""Every pair of the plan, explored again and compared with the record."""

from __future__ import annotations

import pytest

from mmsim.cli.commands import prove as command
from mmsim.proofs import record
from mmsim.proofs.prove import EXHAUSTIVE, Pair, pairs, prove
from mmsim.scenarios.api import Verdict
from mmsim.scenarios.registry import scenarios

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pair", pairs(scenarios()), ids=lambda p: f"{p.variant.id}-{p.cast}")
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


def test_nine_of_ten_that_cannot_fail_are_proved_without_a_bound() -> None:
    on_record = record.read()
    proved = {
        pair.variant.id: on_record[pair.key].verdict == EXHAUSTIVE
        for pair in pairs(scenarios())
        if pair.variant.expect is Verdict.NEVER and pair.bound is None and pair.key in on_record
    }
    never = [v for s in scenarios() for v in s.variants if v.expect is Verdict.NEVER]
    assert sum(proved.values()) >= 0.9 * len(never)
