# SPDX-License-Identifier: GPL-2.0-only
"""What is shown while a campaign runs: a line now and then, or rows that fill in place."""

from __future__ import annotations

import io

from rich.console import Console

from mmsim.stress.plan import Campaign
from mmsim.stress.profile import Budget
from mmsim.stress.progress import Live, Plain, clock, seconds_left
from mmsim.stress.worker import Setting, run_block
from tests.stress.fake import FakeVariant, Verdict, source

SURE = FakeVariant("900.sure", Verdict.ALWAYS, chance=1.0)
QUIET = FakeVariant("900.quiet", Verdict.NEVER)
SETTING = Setting(source(SURE, QUIET), cpus=2, seed=1, engine="threads", policy="mix")


def half_way() -> Campaign:
    """One of two variants is through."""
    campaign = Campaign([(SURE, Budget(32)), (QUIET, Budget(320))])
    for _ in range(2):
        block = campaign.next_block()
        assert block is not None
        campaign.put(block, run_block(SETTING, block, lambda beat: None))
    return campaign


def test_a_log_gets_a_line_every_ten_seconds_and_no_more() -> None:
    times = iter([0.0, 4.0, 10.0, 15.0, 19.9, 20.0])
    file = io.StringIO()
    plain = Plain(file, now=lambda: next(times))
    campaign = half_way()
    for _ in range(5):
        plain.progress(campaign, 64, 32)
    lines = file.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["0:10", "0:20"]
    assert "1 of 2 variants, 64 runs, 32 findings" in lines[0]


def test_what_is_left_goes_by_the_runs_that_are_still_to_come() -> None:
    campaign = half_way()
    sure, quiet = campaign.tallies
    sure.seconds, quiet.seconds = 1.0, 3.2  # of a core; half of that on the clock
    assert seconds_left(campaign, 2.1) == 288 * 0.1 / 2
    assert seconds_left(Campaign([(QUIET, Budget(10))]), 1.0) is None
    assert (clock(None), clock(65.4)) == ("-:--", "1:05")


def test_a_terminal_gets_a_row_for_each_thread() -> None:
    file = io.StringIO()
    Console(file=file, width=80).print(Live(io.StringIO()).rows(half_way(), 64, 32, 3.0))
    rows = file.getvalue().splitlines()
    assert len(rows) == 3
    assert "1/2" in rows[1]
    assert all(len(row) <= 80 for row in rows)
