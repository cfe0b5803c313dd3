# SPDX-License-Identifier: GPL-2.0-only
"""How the runs of a race are shared among policies, and how that is learnt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest

from mmsim.engine.policy.portfolio import EVEN, LEAST, MEMBERS, Portfolio, favouring
from mmsim.errors import UsageError
from mmsim.stress import odds
from mmsim.stress.odds import LEARNT, Odds
from mmsim.stress.pairs import Pair, pairs
from mmsim.stress.plan import SMALLEST, Campaign, Lane
from mmsim.stress.profile import Budget, Profile
from mmsim.stress.settings import Request, resolve
from mmsim.stress.source import Library, all_variants
from mmsim.stress.tally import Block, BlockResult, Failure, Sample
from tests.stress.fake import FakeVariant, Verdict, finding

WRONG = FakeVariant("900.wrong", Verdict.SOMETIMES)
RIGHT = FakeVariant("900.right", Verdict.NEVER, twins=(WRONG.id,))
CHANCES = {"pos": 0.2, "geometric-8": 0.02}
LEARNS = Budget(20_000, 8, portfolio=EVEN, learns=True)
SEEN = finding("kernel BUG", step=1)


def run(block: Block, seed: int, chances: Mapping[str, float] = CHANCES) -> BlockResult:
    """A block of runs in which a policy finds the race with its chance."""
    assert block.portfolio is not None
    failures, names = [], []
    for offset in range(block.count):
        rng = Random(f"{seed}/{block.variant}/{block.first + offset}")
        names.append(block.portfolio.draw(rng))
        if block.variant == WRONG.id and rng.random() < chances.get(names[-1], 0.0):
            failures.append(Failure(offset, 0.0, SEEN.fingerprint))
    samples = {SEEN.fingerprint: Sample(SEEN, "mm1:")} if failures else {}
    return BlockResult(block, block.count, 1.0, tuple(failures), samples, policies=tuple(names))


def campaign_of(seed: int, place: int = 0, lose: int | None = None) -> Campaign:
    """A pair of which the wrong one learns; ``place``: which of five blocks comes back first."""
    campaign = Campaign(
        [(WRONG, LEARNS), (RIGHT, Budget(50, 3, 20_000, EVEN))], [Pair(RIGHT, WRONG, RIGHT)]
    )
    given: list[Block] = []
    handed_out = 0
    while True:
        while len(given) < 5 and (block := campaign.next_block()) is not None:
            given.append(block)
        if not given:
            return campaign
        block = given.pop(place)
        campaign.put(block, None if handed_out == lose else run(block, seed))
        handed_out += 1


def summary(lane: Lane) -> tuple[object, ...]:
    tally = lane.tally
    counts = (tally.runs, tally.findings, tally.learnt_runs, tally.learnt_findings)
    return (*counts, lane.shares, tally.policies)


def test_runs_are_drawn_by_their_shares() -> None:
    portfolio = favouring("pos")
    drawn = Counter(portfolio.draw(Random(seed)) for seed in range(4_000))
    assert drawn.keys() == set(MEMBERS)
    for name, share in portfolio.by_name.items():  # five standard deviations
        assert abs(drawn[name] / 4_000 - share) < 5 * math.sqrt(share * (1 - share) / 4_000)


def test_nobody_falls_below_the_least_share_and_shares_add_up() -> None:
    for name in MEMBERS:
        assert min(favouring(name).shares) == LEAST
    with pytest.raises(ValueError, match="are no shares"):
        Portfolio((1.0,))
    with pytest.raises(ValueError, match="are no shares"):
        Portfolio((0.5,) * len(MEMBERS))


@pytest.mark.parametrize(("k", "n"), [(0, 16), (1, 400), (12, 16), (16, 16)])
def test_the_index_is_the_largest_rate_that_the_count_allows(k: int, n: int) -> None:
    high = odds.upper(k, n, 3.0)
    p = k / n
    assert p <= high <= 1.0
    if high < 1.0:  # the bound is reached: likelihood ratio e**-3
        ratio = (high / p) ** k if k else 1.0
        ratio *= ((1 - high) / (1 - p)) ** (n - k)
        assert math.log(ratio) == pytest.approx(-3.0, abs=1e-6)
    assert odds.upper(2 * k, 2 * n, 3.0) <= high


def test_the_best_is_who_finds_most_for_what_it_costs() -> None:
    known = Odds()
    known.add("surw", 20, 100, cost=10.0)
    known.add("pct", 10, 100, cost=1.0)
    for name in MEMBERS:
        known.add(name, 0, 100, cost=2.0)
    assert known.best() == "pct"
    assert known.portfolio() == favouring("pct")
    assert Odds().portfolio() == EVEN


@pytest.mark.parametrize("seed", range(4))
def test_a_lane_learns_who_finds_and_then_counts(seed: int) -> None:
    campaign = campaign_of(seed)
    lane = campaign.lanes[WRONG.id]
    tally = lane.tally
    assert lane.shares == favouring("pos")
    assert tally.learnt_runs >= SMALLEST
    assert tally.learnt_findings >= LEARNT
    assert tally.findings - tally.learnt_findings == 8
    assert sum(n for _, n in tally.policies.values()) == tally.runs
    assert sum(k for k, _ in tally.policies.values()) == tally.findings


@pytest.mark.parametrize("seed", range(4))
def test_the_counts_do_not_depend_on_who_is_faster(seed: int) -> None:
    one, other = campaign_of(seed), campaign_of(seed, place=-1)
    for id in (WRONG.id, RIGHT.id):
        assert summary(one.lanes[id]) == summary(other.lanes[id])


def test_the_right_one_runs_with_the_shares_of_its_twin() -> None:
    campaign = campaign_of(2)
    wrong, right = (campaign.lanes[id] for id in (WRONG.id, RIGHT.id))
    assert right.shares is wrong.shares
    runs = right.tally.runs
    pos = right.tally.policies["pos"][1]
    share = favouring("pos").by_name["pos"]  # of every run: none came before the twin had learnt
    assert abs(pos / runs - share) < 4 * math.sqrt(share * (1 - share) / runs)
    assert campaign.evidence(RIGHT.id)[0].decided


@pytest.mark.parametrize("lose", range(3))
def test_a_lost_block_holds_nobody_up(lose: int) -> None:
    campaign = campaign_of(1, lose=lose)
    assert all(lane.finished for lane in campaign.lanes.values())


def test_the_interval_holds_after_learning() -> None:
    """In 300 campaigns the true rate is outside of at most 5 %, and of 8 % by bad luck (2.4 sd)."""
    outside = 0
    for seed in range(300):
        campaign = Campaign([(WRONG, LEARNS)])
        while (block := campaign.next_block()) is not None:
            campaign.put(block, run(block, seed))
        lane = campaign.lanes[WRONG.id]
        assert lane.shares is not None
        true = sum(lane.shares.by_name[name] * chance for name, chance in CHANCES.items())
        rate = lane.tally.rate
        outside += not rate.low <= true <= rate.high
    assert outside <= 0.08 * 300


def test_fewer_findings_than_learning_takes_are_not_exceeded() -> None:
    wanted = Request(variants=("002.flawed",), stop_after=1)
    ((_, budget),) = resolve(wanted, Profile("test", pairs=False), Library()).variants
    assert budget.portfolio is not None
    assert not budget.learns


def test_every_race_of_ours_is_known() -> None:
    able = {id for id, v in all_variants(Library()).items() if v.expect.value == "Sometimes"}
    assert odds.learnt().keys() == able


def test_odds_are_written_and_read_back(tmp_path: Path) -> None:
    known = {"900.wrong": Odds()}
    for place, name in enumerate(MEMBERS):
        known["900.wrong"].add(name, place, 16, cost=1.5)
    file = tmp_path / "odds.toml"
    file.write_text(odds.text(known), encoding="utf-8")
    again = odds.read(file)["900.wrong"]
    assert again.findings == known["900.wrong"].findings
    assert again.runs == known["900.wrong"].runs
    assert again.best() == known["900.wrong"].best()


@pytest.mark.parametrize(
    "text",
    ["[", "x = 1", '["a"]\npos = 3', '["a"]\npos = [2, 1, 1.0]', '["a"]\nfast = [0, 1, 1.0]'],
)
def test_a_file_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "odds.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="no odds of policies"):
        odds.read(file)


def test_only_one_twin_with_the_same_cast_lends_its_shares() -> None:
    """Beside the others the right variant has an arm, with their shares."""
    library = Library()
    base = all_variants(library)["000.54-base"]
    plain = {p.wrong.id: p.arm.id for p in pairs([base], library, 8)}
    shared = {p.wrong.id: p.arm.id for p in pairs([base], library, 8, shares=True)}
    own = [wrong for wrong, arm in plain.items() if arm == base.id]
    assert len(own) == 2
    assert [wrong for wrong, arm in shared.items() if arm == base.id] == own[:1]
    assert shared[own[1]] == f"{base.id}@{own[1]}"
