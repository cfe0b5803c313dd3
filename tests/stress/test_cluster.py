# SPDX-License-Identifier: GPL-2.0-only
"""A cluster comes to the numbers of one machine, whatever happens to its workers."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmsim.errors import InternalError, UsageError
from mmsim.stress import cli, cluster, clusterspec
from mmsim.stress.cluster import Cluster
from mmsim.stress.clusterspec import parse
from mmsim.stress.plan import Campaign
from mmsim.stress.profile import Budget
from mmsim.stress.stored.file import Store
from tests.stress.cluster_driver import Ear, Watched, pids, setting, spec
from tests.stress.driver import GOOD
from tests.stress.fake import FakeVariant, Verdict, source

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]
QUIET = FakeVariant("900.quiet", Verdict.NEVER)
NOISY = FakeVariant("900.noisy", Verdict.SOMETIMES, chance=0.05, titles=("a", "b"))
SOURCE = source(QUIET, NOISY)
BUDGETS = ((QUIET, Budget(3000)), (NOISY, Budget(20_000, 150)))


def numbers(campaign: Campaign) -> list[Any]:
    return [
        (t.variant.id, t.runs, t.findings, t.first_run, sorted(t.kinds), t.metrics["draw"].mean)
        for t in campaign.tallies
    ]


@pytest.fixture(scope="module")
def alone() -> list[Any]:
    """The same campaign in this process."""
    from tests.stress.store_driver import work

    campaign = Campaign(BUDGETS)
    work(campaign, 1, of=SOURCE)
    return numbers(campaign)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler and two workers, which are threads of this process: quick, and deaf to kill."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as local:
        yield local.scheduler_address


def test_same_numbers_as_alone(address: str, alone: list[Any]) -> None:
    ear, campaign = Ear(), Watched(BUDGETS)
    with Cluster(spec(address, workers=2), setting(SOURCE)) as crew:
        crew.run(campaign, ear)
        assert len(crew._able()) == 2
    assert numbers(campaign) == alone
    assert (ear.troubles, sorted(ear.done)) == ([], [NOISY.id, QUIET.id])
    assert all(address.partition("://")[0] in row.worker for row in campaign.rows)


def test_leaves_the_cluster_as_it_was(address: str, alone: list[Any]) -> None:
    """After an interrupt, too: nothing of ours is left, and the next campaign runs."""
    campaign = Watched(BUDGETS)

    def interrupt() -> None:
        raise KeyboardInterrupt

    campaign.at, campaign.then = 5, interrupt
    with (
        pytest.raises(KeyboardInterrupt),
        Cluster(spec(address), setting(SOURCE)) as crew,
    ):
        crew.run(campaign, Ear())
    with distributed.Client(address) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        tasks = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
        assert tasks == []
    campaign = Watched(BUDGETS)
    with Cluster(spec(address), setting(SOURCE)) as crew:
        crew.run(campaign, Ear())
    assert numbers(campaign) == alone


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("code", "0" * 12, "has other code ("), ("python", "CPython 2.7", "has another Python (")],
)
def test_a_worker_that_would_compute_otherwise_is_refused(
    field: str, value: str, words: str, address: str
) -> None:
    ear = Ear()
    with Cluster(spec(address, wait=1.5), setting(SOURCE)) as crew:
        crew._us = dataclasses.replace(crew._us, **{field: value})
        with pytest.raises(UsageError, match=r"no worker in 1\.5 s, all were refused: inproc://"):
            crew.run(Watched(BUDGETS), ear)
    assert len(ear.troubles) == 2
    assert all(
        text.startswith("worker inproc://") and words in text and text.endswith(": refused")
        for text in ear.troubles
    )
    assert value in ear.troubles[0]


def test_a_worker_without_mmsim_is_refused_and_one_that_dies_is_asked_again(address: str) -> None:
    campaign, ear = Watched(BUDGETS), Ear()
    with Cluster(spec(address, workers=2), setting(SOURCE)) as crew:
        crew._look(campaign, ear)
        one, two = crew._seats.values()
        crew._welcome(one, ModuleNotFoundError("No module named 'mmsim'"), ear)
        assert ear.troubles[0].endswith("(ModuleNotFoundError: No module named 'mmsim'): refused")
        crew._welcome(two, TimeoutError("no answer"), ear)
        crew._next_look = 0.0
        crew._look(campaign, ear)
        assert crew._seats[one.address] is one
        again = crew._seats[two.address]
        assert again is not two
        assert again.greeting is not None
    assert len(ear.troubles) == 1


def test_a_block_that_costs_every_worker_its_life_is_lost(address: str) -> None:
    """A worker that is said to be gone comes back at the next look; its block goes round."""
    ear, campaign = Ear(), Watched(((QUIET, Budget(32)),))
    with Cluster(spec(address, workers=2), setting(SOURCE)) as crew:
        for _ in range(200):
            crew._next_look = 0.0
            if not crew._hand_out(campaign, ear):
                break
            for seat in list(crew._able()):
                if seat.tasks:
                    crew._bury(seat, "is gone", campaign, ear)
            crew._listen((), campaign, ear)
    assert campaign.tallies[0].runs == 0
    assert campaign.lost == [ear.troubles[-1]]
    assert campaign.lost[0].endswith("is gone; lost after 4 tries: 900.quiet runs 0..31")
    assert len(ear.troubles) == 4


def test_fewer_workers_than_wanted_go_on_by_themselves(address: str, alone: list[Any]) -> None:
    ear, campaign = Ear(), Watched(BUDGETS)
    with Cluster(spec(address, workers=3, wait=1.5), setting(SOURCE)) as crew:
        crew.run(campaign, ear)
    assert numbers(campaign) == alone
    assert [text.partition(": ")[2] for text in ear.troubles] == [
        "2 of 3 workers came in 1.5 s; going on with them"
    ]


def test_workers_that_nobody_brings_back_end_the_campaign() -> None:
    """Killed ones that dask starts again slowly, or never, are waited for as long as was said."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as local:
        campaign = Watched(BUDGETS)
        campaign.at, campaign.then = 3, lambda: local.scale(0)
        with (
            Cluster(spec(local.scheduler_address, wait=2.0), setting(SOURCE)) as crew,
            pytest.raises(InternalError, match=r"no worker in 2 s, none came"),
        ):
            crew.run(campaign, Ear())
        assert campaign.runs > 0


def test_a_scheduler_that_does_not_answer_is_not_waited_for_ever(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    with (
        Cluster(spec(address, silence=0.5), setting(SOURCE)) as crew,
        monkeypatch.context() as patched,
        pytest.raises(InternalError, match=r"the scheduler was silent for 0\.5 s"),
    ):
        patched.setattr(cluster, "workers_of", lambda client: answers.wait())
        crew.run(Watched(BUDGETS), Ear())
    answers.set()


def test_workers_are_not_taken_from_what_dask_keeps(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is overwritten every other second with one that names none: here, always at once."""
    with distributed.Client(address) as client:
        update = client._update_scheduler_info

        async def overwritten(**options: Any) -> None:
            await update(**options)
            await update(n_workers=0)

        monkeypatch.setattr(client, "_update_scheduler_info", overwritten)
        assert client.scheduler_info(n_workers=-1)["workers"] == {}
        assert len(cluster.workers_of(client)) == 2


def test_what_is_queued_of_a_variant_that_is_through_is_taken_back(address: str) -> None:
    sure = FakeVariant("900.sure", Verdict.ALWAYS, chance=1.0)
    campaign, ear = Watched(((sure, Budget(100_000, 10)),)), Ear()
    with Cluster(spec(address, workers=2), setting(source(sure))) as crew:
        while crew._hand_out(campaign, ear) and not crew._begun:
            crew._listen((), campaign, ear)
        seats = crew._able()
        assert [len(seat.tasks) for seat in seats] == [2, 2]
        first, queued = seats[0].tasks[0], [seat.tasks[1] for seat in seats]
        assert first.block.number == 0
        crew._answered(seats[0], first, first.future.result(), campaign, ear)
        assert [len(seat.tasks) for seat in seats] == [1, 1]  # one moved up, one was not begun
        assert sum(task.future.cancelled() for task in queued) == 1
        crew.run(campaign, ear)
    assert campaign.tallies[0].runs == 10
    assert campaign.lost == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nowhere", "is no cluster; allowed are local, local:N, tcp://"),
        ("local:0", "N from 1 to"),
        ("local:many", "N from 1 to"),
        ("tcp://head", "the address of a scheduler is tcp://HOST:PORT"),
        ("no.toml", "No such file"),
    ],
)
def test_what_is_no_cluster(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scheduler = ", "not valid TOML"),
        ("workers = 3", r"one of scheduler, \[ssh\] and \[slurm\] says where"),
        ('scheduler = "tcp://a:1"\n[ssh]\nhosts = []', "one of scheduler"),
        ('scheduler = "tcp://a:1"\nworkers = 0', "workers = 0 is not a number above 0"),
        ('scheduler = "tcp://a:1"\nspeed = 3', "unknown key 'speed'; allowed: scheduler, work"),
        ("scheduler = 3", "scheduler is an address"),
        ("slurm = 3", r"slurm is a table, written \[slurm\]"),
    ],
)
def test_a_file_that_says_nothing_useful(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        parse(str(tmp_path / "c.toml"))


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'scheduler = "tls://head:8786"\nworkers = 4\nsilence_seconds = 20\n[tls]\nca = "ca.pem"\n'
    )
    found = parse(str(tmp_path / "c.toml"))
    assert (found.scheduler, found.workers, found.silence) == ("tls://head:8786", 4, 20.0)
    assert found.tls == {"ca": "ca.pem"}
    assert parse("local:3").local == 3


def test_nobody_answers() -> None:
    with pytest.raises(UsageError, match="nobody answers"):
        Cluster(spec("tcp://127.0.0.1:9", wait=0.5), setting(SOURCE))


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main(["--cluster", "local:2", "--runs", "10"], GOOD) == 2
    assert capsys.readouterr().err == f"mmsim.stress: {clusterspec.INSTALL}\n"


# real worker processes, which can be killed


def watching(dask_worker: Any) -> list[str]:
    """On a worker: what it does now and then to look at its tasks."""
    return [name for name in dask_worker.periodic_callbacks if name.startswith("profile")]


def test_nobody_looks_over_the_shoulder_of_our_workers() -> None:
    """Dask's profiler would make every run a fifth slower."""
    connection = clusterspec.connect(parse("local:1"))
    try:
        assert list(connection.client.run(watching).values()) == [[]]
    finally:
        connection.close()


@pytest.fixture
def processes() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    ) as local:
        yield local


@pytest.mark.slow
def test_kill_a_worker_at_twenty_moments(alone: list[Any]) -> None:
    """Twenty campaigns, each of which loses a worker at a block of its own.

    Each has a cluster of its own: dask's nannies do not always bring back what is killed while it
    starts.
    """
    rng = random.Random(3)
    again = 0
    for number in range(20):
        ear, campaign = Ear(), Watched(BUDGETS)
        with Cluster(parse("local:3"), setting(SOURCE)) as crew:

            def kill(crew: Cluster = crew) -> None:
                os.kill(rng.choice(pids(crew)), signal.SIGKILL)

            campaign.at, campaign.then = rng.randrange(1, 20), kill
            crew.run(campaign, ear)
        assert numbers(campaign) == alone, number
        assert campaign.lost == []
        rows = [row for row in campaign.rows if row.tries > 1]
        again += len(rows)
        assert all(" is gone" in row.note or "did not answer" in row.note for row in rows)
    assert again > 0


@pytest.mark.slow
def test_a_worker_that_is_cut_off(processes: Any, alone: list[Any]) -> None:
    """Stopped, as one without a network is for us: its blocks run elsewhere; later it is back."""
    ear, campaign = Ear(), Watched(BUDGETS)
    stopped: list[int] = []
    with Cluster(
        spec(processes.scheduler_address, workers=3, silence=5.0), setting(SOURCE)
    ) as crew:

        def stop() -> None:
            stopped.append(pids(crew)[0])
            os.kill(stopped[0], signal.SIGSTOP)

        campaign.at, campaign.then = 4, stop
        try:
            crew.run(campaign, ear)
        finally:
            os.kill(stopped[0], signal.SIGCONT)
    assert numbers(campaign) == alone
    assert any("was silent for 5 s; run again elsewhere: 900." in text for text in ear.troubles)
    assert any(row.tries == 2 and "was silent for 5 s" in row.note for row in campaign.rows)


@pytest.mark.slow
def test_one_seed_one_document(tmp_path: Path) -> None:
    """With jobs, and with clusters of one and three; the store says who computed what."""
    argv = ("--seed", "5", "--runs", "3000", "--stop-after", "60", "--reports", "none")
    documents = []
    for name, how in (("1", "--jobs=1"), ("2", "--jobs=2"), ("3", "--cluster=local:1"),
                      ("4", "--cluster=local:3")):  # fmt: skip
        target = tmp_path / name
        store = ("--store", str(tmp_path / f"{name}.sqlite"))
        command = [sys.executable, "-m", "tests.stress.driver", *argv, how, *store, "--json"]
        assert subprocess.run([*command, str(target)], cwd=ROOT, check=False).returncode == 0
        data = json.loads(target.read_text())
        del data["times"]
        for variant in data["variants"]:
            del variant["seconds"], variant["first_seconds"]
        documents.append(data)
    assert documents[0] == documents[1] == documents[2] == documents[3]
    with Store(tmp_path / "4.sqlite") as store_:
        assert len(store_.rows("SELECT DISTINCT worker FROM block")) == 3
        assert store_.rows("SELECT workers FROM session")[0][0] == "cluster local:3"


@pytest.mark.slow
def test_an_interrupt_ends_the_campaign_and_its_workers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.stress.driver", "--runs", "1000000"]
    process = subprocess.Popen(
        [*command, "--cluster", "local:2", "--json", str(tmp_path / "out")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if " runs, " in line and " 0 runs, " not in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "INCOMPLETE" in out
    data = json.loads((tmp_path / "out").read_text())
    assert not data["complete"]
    assert sum(variant["runs"] for variant in data["variants"]) > 0
    until = time.monotonic() + 10.0  # what was killed takes a moment to be gone
    while (alive := alive_in_group(process.pid)) and time.monotonic() < until:
        pass  # to ask takes a moment, too
    assert alive == []


def alive_in_group(group: int) -> list[str]:
    """Processes of a group, but for those that are dead and that nobody has asked about yet."""
    command = ["ps", "-e", "-o", "pgid=,stat=,args="]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in out.splitlines()]
    return [row[2] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_campaign_and_not_the_numbers() -> None:
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as local:
        crew = Cluster(spec(local.scheduler_address), setting(SOURCE))
        campaign = Watched(BUDGETS)
        campaign.at, campaign.then = 3, local.close
        with crew, pytest.raises(InternalError, match=r"the scheduler is gone|no worker in"):
            crew._spec = dataclasses.replace(crew._spec, wait=2.0)
            crew.run(campaign, Ear())
        assert campaign.runs > 0
