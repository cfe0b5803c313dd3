# SPDX-License-Identifier: GPL-2.0-only
"""The cutting of runs into blocks, and the counting of blocks in the order of the runs."""

from __future__ import annotations

import random

import pytest

from mmsim.stress.plan import LARGEST, Campaign, cut
from mmsim.stress.profile import Budget
from mmsim.stress.source import all_variants
from mmsim.stress.tally import Block, BlockResult, Tally
from mmsim.stress.worker import Setting, run_block
from tests.stress.fake import FakeVariant, Verdict, draw, source

SEED = 11
NOISY = FakeVariant("900.noisy", Verdict.SOMETIMES, chance=0.03, titles=("a", "b"), extra="then")
QUIET = FakeVariant("900.quiet", Verdict.NEVER)
SURE = FakeVariant("900.sure", Verdict.ALWAYS, chance=1.0)
SOURCE = source(NOISY, QUIET, SURE)
SETTING = Setting(SOURCE, cpus=2, seed=SEED, engine="threads", policy="mix")


def run(block: Block) -> BlockResult:
    return run_block(SETTING, block, lambda beat: None)


def test_blocks_follow_each_other_without_gap_or_overlap() -> None:
    expected = 0
    for number in range(20):
        first, count = cut(number)
        assert first == expected
        assert 0 < count <= LARGEST
        expected += count


def test_a_lane_ends_at_exactly_its_number_of_runs() -> None:
    campaign = Campaign([(QUIET, Budget(runs=333))])
    blocks = list(iter(campaign.next_block, None))
    assert sum(block.count for block in blocks) == 333
    for block in blocks:
        campaign.put(block, run(block))
    assert campaign.lanes[QUIET.id].finished
    assert campaign.tallies[0].runs == 333


def summary_of(campaign: Campaign) -> list[object]:
    return [
        (
            t.variant.id,
            t.runs,
            t.findings,
            t.first_run,
            [(f, k.count, k.sample.schedule, k.sample.finding.step) for f, k in t.kinds.items()],
            sorted(t.extra.items()),
            [(name, m.n, m.mean) for name, m in t.metrics.items()],
        )
        for t in campaign.tallies
    ]


def simulate(workers: int, order: random.Random, stop_after: int) -> list[object]:
    """A campaign whose blocks come back in any order."""
    campaign = Campaign(
        [
            (NOISY, Budget(5000, stop_after)),
            (QUIET, Budget(700, 10)),
            (SURE, Budget(100, None)),
        ]
    )
    open_blocks: list[Block] = []
    while True:
        while len(open_blocks) < workers and (block := campaign.next_block()):
            open_blocks.append(block)
        if not open_blocks:
            return summary_of(campaign)
        block = open_blocks.pop(order.randrange(len(open_blocks)))
        campaign.put(block, run(block))


@pytest.mark.parametrize("stop_after", [1, 7, 40])
def test_the_outcome_does_not_depend_on_workers_or_order_of_arrival(stop_after: int) -> None:
    alone = simulate(1, random.Random(0), stop_after)
    for workers, shuffle in ((2, 1), (3, 2), (8, 3), (40, 4)):
        assert simulate(workers, random.Random(shuffle), stop_after) == alone


def test_counting_stops_at_the_run_that_brought_the_last_finding_wanted() -> None:
    failing = [i for i in range(5000) if draw(SEED, NOISY.id, i) < NOISY.chance]
    _, runs, findings, first, kinds, extra, metrics = simulate(4, random.Random(9), 7)[0]
    assert (findings, runs, first) == (7, failing[6] + 1, failing[0] + 1)
    assert sum(count for _, count, _, _ in kinds) == 7
    assert extra == [("then", 7)]
    assert metrics == [("draw", runs, pytest.approx(sum_of(runs) / runs))]


def sum_of(runs: int) -> float:
    return sum(draw(SEED, NOISY.id, i) for i in range(runs))


def test_no_block_is_given_ahead_of_time_while_others_can_go() -> None:
    campaign = Campaign([(v, Budget(1000, 1)) for v in (NOISY, QUIET, SURE)])
    first_three = [campaign.next_block() for _ in range(3)]
    assert [block.variant for block in first_three if block] == [NOISY.id, QUIET.id, SURE.id]
    campaign.put(first_three[1], run(first_three[1]))
    following = campaign.next_block()
    assert following is not None
    assert (following.variant, following.number) == (QUIET.id, 1)


def test_a_lost_block_costs_its_own_runs_only() -> None:
    campaign = Campaign([(QUIET, Budget(runs=333))])
    blocks = list(iter(campaign.next_block, None))
    for block in reversed(blocks):
        campaign.put(block, None if block.number == 1 else run(block))
    assert campaign.tallies[0].runs == 333 - blocks[1].count
    assert campaign.lanes[QUIET.id].finished


def test_progress_knows_how_many_runs_there_will_be_at_most() -> None:
    campaign = Campaign([(SURE, Budget(1000, 5)), (QUIET, Budget(100, None))])
    assert campaign.wanted == 1100
    block = campaign.next_block()
    assert block is not None
    assert block.variant == SURE.id
    campaign.put(block, run(block))
    assert campaign.wanted == 105
    assert Campaign([(SURE, Budget(None, None))]).wanted is None
    assert list(all_variants(SOURCE)) == [NOISY.id, QUIET.id, SURE.id]


def test_a_run_that_does_not_mention_a_metric_counts_as_nought_in_it() -> None:
    tally = Tally(QUIET)
    rows = ({}, {"parked": 2.0}, {}, {"parked": 4.0, "late": 6.0})
    tally.take(BlockResult(Block(QUIET.id, 0, 0, 4), 4, 0.1, metrics=rows))
    assert (tally.metrics["parked"].n, tally.metrics["parked"].mean) == (4, 1.5)
    assert (tally.metrics["late"].n, tally.metrics["late"].mean) == (4, 1.5)
    assert tally.metrics["late"].deviation == pytest.approx(3.0)
