# SPDX-License-Identifier: GPL-2.0-only
"""Real worker processes: they share the work, they die, they are replaced."""

from __future__ import annotations

import signal
import time

import pytest

from mmsim.errors import InternalError, UsageError
from mmsim.stress import cli, pool
from mmsim.stress.plan import Campaign, cut
from mmsim.stress.profile import Budget
from mmsim.stress.settings import Settings
from mmsim.stress.tally import Tally
from mmsim.stress.worker import Setting, cores
from tests.stress.fake import FakeSource, FakeVariant, Verdict, source
from tests.stress.in_threads import use_threads

QUIET = FakeVariant("900.quiet", Verdict.NEVER)
NOISY = FakeVariant("900.noisy", Verdict.SOMETIMES, chance=0.05)


class Ear:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.troubles: list[str] = []
        self.most_runs = 0

    def progress(self, campaign: Campaign, runs: int, findings: int) -> None:
        self.most_runs = max(self.most_runs, runs)

    def variant_done(self, tally: Tally) -> None:
        self.done.append(tally.variant.id)

    def trouble(self, message: str) -> None:
        self.troubles.append(message)


def setting(of: FakeSource, deadline: float | None = None) -> Setting:
    return Setting(of, cpus=2, seed=1, engine="threads", policy="mix", deadline=deadline)


def campaign_of(*variants: FakeVariant, runs: int | None = 300) -> Campaign:
    return Campaign((v, Budget(runs, None)) for v in variants)


def test_a_campaign_runs_to_its_end() -> None:
    ear, campaign = Ear(), campaign_of(QUIET, NOISY)
    with pool.Pool(2, setting(source(QUIET, NOISY))) as workers:
        assert len(set(workers.pids)) == 2
        workers.run(campaign, ear)
    assert [t.runs for t in campaign.tallies] == [300, 300]
    assert sorted(ear.done) == [NOISY.id, QUIET.id]
    assert (ear.troubles, campaign.lost, ear.most_runs) == ([], [], 600)


@pytest.mark.parametrize(
    ("trouble", "words"), [("kill", "was killed by SIGKILL"), ("exit", "exited with code 7")]
)
def test_a_worker_that_dies_costs_its_block_and_is_replaced(trouble: str, words: str) -> None:
    bad = FakeVariant("900.bad", Verdict.NEVER, trouble=trouble, at=40)
    ear, campaign = Ear(), campaign_of(bad, QUIET)
    with pool.Pool(2, setting(source(bad, QUIET))) as workers:
        before = set(workers.pids)
        workers.run(campaign, ear)
        assert len(set(workers.pids) - before) == 1
    block = cut(1)
    assert [t.runs for t in campaign.tallies] == [300 - block[1], 300]
    assert len(campaign.lost) == 1
    assert words in campaign.lost[0]
    assert f"900.bad runs {block[0]}..{sum(block) - 1}" in campaign.lost[0]
    assert ear.troubles == campaign.lost


def test_an_internal_error_costs_its_block_and_shows_where() -> None:
    bad = FakeVariant("900.bad", Verdict.NEVER, trouble="raise", at=5)
    ear, campaign = Ear(), campaign_of(bad)
    with pool.Pool(1, setting(source(bad))) as workers:
        before = workers.pids
        workers.run(campaign, ear)
        assert workers.pids == before
    assert campaign.tallies[0].runs == 300 - cut(0)[1]
    assert "the engine lost its token" in campaign.lost[0]
    assert "Traceback" in campaign.lost[0]
    assert "in run 5 of 900.bad" in campaign.lost[0]


def test_a_worker_that_falls_silent_is_ended_and_its_block_given_up() -> None:
    bad = FakeVariant("900.bad", Verdict.NEVER, trouble="hang", at=0)
    ear, campaign = Ear(), campaign_of(bad, runs=64)
    with pool.Pool(1, setting(source(bad)), silence=1.0) as workers:
        workers.run(campaign, ear)
    assert campaign.tallies[0].runs == 64 - cut(0)[1]
    assert "was silent for 1 s" in campaign.lost[0]


def test_workers_that_all_die_end_the_campaign_and_not_the_patience() -> None:
    bad = [FakeVariant(f"900.bad{i}", Verdict.NEVER, trouble="kill", at=0) for i in range(8)]
    workers = pool.Pool(2, setting(source(*bad)))
    with workers, pytest.raises(InternalError, match="in a row"):
        workers.run(campaign_of(*bad, runs=10), Ear())


def test_no_worker_outlives_the_pool() -> None:
    with pool.Pool(2, setting(source(QUIET))) as workers:
        processes = [seat.process for seat in workers._seats]
        workers.run(campaign_of(QUIET), Ear())
    # out by the door, or, on a machine too busy to let it finish, shown out
    assert {p.exitcode for p in processes} <= {0, -signal.SIGKILL}
    with pytest.raises(UsageError), pool.Pool(2, setting(source(QUIET))) as workers:
        processes = [seat.process for seat in workers._seats]
        raise UsageError("stop")
    assert not any(p.is_alive() for p in processes)


def test_a_deadline_ends_a_campaign_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    use_threads(monkeypatch)  # which are there at once, however busy the machine is
    campaign = campaign_of(QUIET, NOISY, runs=None)
    with pool.Pool(2, setting(source(QUIET, NOISY), time.monotonic() + 1.0)) as workers:
        workers.run(campaign, Ear())
    assert all(tally.runs > 0 for tally in campaign.tallies)
    assert campaign.lost == []


def test_workers_are_pinned_to_the_cores_there_are() -> None:
    from mmsim.stress.worker import core_of

    here = cores()
    assert [core_of(n, here) for n in range(len(here))] == list(here)
    assert core_of(len(here), here) == here[0]


def test_an_outcome_is_incomplete_if_a_block_was_lost() -> None:
    bad = FakeVariant("900.bad", Verdict.NEVER, trouble="kill", at=0)
    settings = Settings(
        variants=((bad, Budget(64)), (QUIET, Budget(64))),
        cpus=2,
        seed=1,
        engine="threads",
        policy="mix",
        jobs=1,
        seconds=None,
        profile="default",
        file=None,
    )
    outcome = cli.run(settings, source(bad, QUIET))
    assert (outcome.complete, outcome.code) == (False, cli.BROKEN)
