# SPDX-License-Identifier: GPL-2.0-only
"""A campaign that is kept comes to the numbers of one that is not, whatever happens on the way."""

from __future__ import annotations

import dataclasses
import json
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmsim.cli import main as look
from mmsim.errors import UsageError
from mmsim.stress import cli
from mmsim.stress import store as written
from mmsim.stress.plan import Campaign
from mmsim.stress.stored.file import Store, StoreFull
from mmsim.stress.stored.merge import merge
from mmsim.stress.stored.recount import complaints, recount
from tests.stress.driver import GOOD
from tests.stress.store_driver import SEED, WHO, WRONG, begin, finish, settings, work

ROOT = Path(__file__).resolve().parents[2]


def numbers(campaign: Campaign) -> dict[str, Any]:
    """Everything that the campaign says, but for clocks."""
    data = written.document(campaign, settings(), complete=True, wall=0.0)
    del data["times"]
    for variant in data["variants"]:
        del variant["seconds"], variant["first_seconds"]
    return data


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    plan = settings()
    campaign = Campaign(plan.variants, plan.pairs, plan.beside)
    work(campaign)
    right, wrong, often = campaign.tallies
    assert (wrong.findings, often.runs) == (8, 500)
    assert right.runs > 500  # it got what its twin's rate asks for
    return numbers(campaign)


def whole(path: Path, undisturbed: dict[str, Any]) -> None:
    """The store has the campaign, in order."""
    with Store(path) as store:
        assert list(complaints(store)) == []
        counted = recount(store)
        assert counted.complete
        assert numbers(counted.campaign) == undisturbed
        rows = store.rows("SELECT * FROM variant ORDER BY place")
        assert [row["runs"] for row in rows] == [v["runs"] for v in undisturbed["variants"]]
        assert [row["verdict"] for row in rows] == [v["verdict"] for v in undisturbed["variants"]]


@pytest.mark.parametrize("workers", [1, 3, 40])
def test_a_kept_campaign_says_what_any_other_says(
    workers: int, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    with Store(tmp_path / "s", write=True) as store:
        campaign = begin(store)
        work(campaign, workers=workers, order=workers)
        assert numbers(campaign) == undisturbed
        finish(campaign)
    whole(tmp_path / "s", undisturbed)


def test_what_is_there_is_not_run_again(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    with Store(tmp_path / "s", write=True) as store:
        campaign = begin(store)
        work(campaign)
        finish(campaign)
        again = begin(store, resume=True)
        assert again.id == campaign.id
        assert again.next_block() is None
        assert numbers(again) == undisturbed


def die(path: Path, moment: int, *limit: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.stress.store_driver", str(path), str(moment), *limit]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_kill_at_any_moment_and_resume(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    """Of one campaign, killed three times, the last time with blocks behind a gap."""
    path = tmp_path / "s"
    for moment in random.Random(SEED).sample(range(15, 60), 3):
        assert die(path, moment).returncode == -signal.SIGKILL
        with Store(path) as store:
            assert list(complaints(store)) == []
            assert not recount(store).complete
    with Store(path, write=True) as store:
        campaign = begin(store, resume=True)
        assert campaign.there > 0
        work(campaign, order=9)
        finish(campaign)
    whole(path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("moment", random.Random(20).sample(range(1, 102), 20))
def test_kill_at_twenty_moments(moment: int, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    path = tmp_path / "s"
    assert die(path, moment).returncode == -signal.SIGKILL
    with Store(path) as store:
        assert list(complaints(store)) == []
    assert die(path, 10**6).returncode == 0
    whole(path, undisturbed)


@pytest.mark.slow
def test_kill_the_program_at_twenty_times(tmp_path: Path) -> None:
    """The whole command with its workers, at twenty points of its time on the clock."""
    argv = ("--runs", "20000", "--seed", "5", "--stop-after", "400", "--reports", "none")
    rng = random.Random(4)

    def program(name: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.stress.driver", *argv, "--jobs", "2"]
        keep = ["--store", str(tmp_path / f"{name}.sqlite"), "--json", str(tmp_path / name)]
        return subprocess.Popen(
            [*command, *keep, *more], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    assert program("whole").wait() == 0
    expected = json.loads((tmp_path / "whole").read_text())
    killed = 0
    for number in range(20):
        for _ in range(2):
            process = program(str(number), "--resume")
            try:
                process.wait(rng.uniform(0.3, 4.0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed += 1
            if (tmp_path / f"{number}.sqlite").exists():
                assert look(["store", "check", str(tmp_path / f"{number}.sqlite")]) in (0, 2)
        assert program(str(number), "--resume").wait() == 0
        assert look(["store", "check", str(tmp_path / f"{number}.sqlite")]) == 0
        data = json.loads((tmp_path / str(number)).read_text())
        for document in (data, expected):
            document.pop("times", None)
            for variant in document["variants"]:
                variant.pop("seconds", None)
                variant.pop("first_seconds", None)
        assert data == expected
    assert killed >= 20


def test_a_block_that_was_lost_is_run_again_on_resume(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    def lose(block: Any) -> bool:
        return (block.variant, block.number) in {(WRONG.id, 1), ("900.often", 2)}

    with Store(tmp_path / "s", write=True) as store:
        campaign = begin(store)
        work(campaign, lose=lose)
        finish(campaign)
        assert list(complaints(store)) == []
        counted = recount(store)
        assert counted.campaign.lost == campaign.lost
        assert numbers(counted.campaign) == numbers(campaign) != undisturbed
        campaign = begin(store, resume=True)
        work(campaign)
        finish(campaign)
    whole(tmp_path / "s", undisturbed)


def test_a_full_disk_loses_the_block_in_flight_and_says_so(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    with Store(tmp_path / "s", write=True) as store:
        campaign = begin(store)
        pages = store.rows("PRAGMA page_count")[0][0]
        store.rows(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(
            StoreFull, match=r"cannot write to store .*full; not in it: 900\.\w+ ru"
        ):
            work(campaign)
        kept = store.rows("SELECT sum(runs), count(*) FROM block")[0]
        assert kept[0] > 0
        assert list(complaints(store)) == []
        counted = recount(store).campaign
        assert [t.runs for t in counted.tallies] == [t.runs for t in campaign.tallies]
        store.rows("PRAGMA max_page_count = 1000000")
        campaign = begin(store, resume=True)
        assert campaign.there == kept[0]
        work(campaign)
        finish(campaign)
    whole(tmp_path / "s", undisturbed)


def test_a_file_that_may_not_grow(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    """The operating system says no, in the middle of a transaction or not."""
    path = tmp_path / "s"
    done = die(path, 10**6, "200000")
    assert done.returncode == 1
    assert "StoreFull: cannot write to store" in done.stderr
    with Store(path) as store:
        assert list(complaints(store)) == []
        assert store.rows("SELECT count(*) FROM block")[0][0] > 0
    assert die(path, 10**6).returncode == 0
    whole(path, undisturbed)


# who may write, and go on with what


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path / "s", write=True):
        with pytest.raises(UsageError, match=r"is being written to by process \d+ on "):
            Store(tmp_path / "s", write=True)
        with Store(tmp_path / "s") as reader:
            assert reader.campaigns() == []
    Store(tmp_path / "s", write=True).close()
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_only_the_same_plan_and_code_is_gone_on_with(tmp_path: Path) -> None:
    with Store(tmp_path / "s", write=True) as store:
        begin(store, resume=True)  # an empty store: there is nothing to go on with yet
        with pytest.raises(UsageError, match=r"has seed 11 \(now 12\), and was started as: pyth"):
            begin(store, 12, resume=True)
        with pytest.raises(UsageError, match=r"has code c0de \(now beef\)"):
            begin(store, resume=True, who=dataclasses.replace(WHO, code="beef"))
        with pytest.raises(UsageError, match=r"has Python CPython 3.12 \(now CPython 3.13\)"):
            begin(store, resume=True, who=dataclasses.replace(WHO, python="CPython 3.13"))
        assert begin(store).id == 2
        assert begin(store, resume=True).id == 2


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a database, " * 100)
    other = tmp_path / "other"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    for path, words in (
        (text, "is no SQLite file"),
        (other, "is a SQLite file, but no store of mmsim"),
        (tmp_path, "is a directory"),
        (tmp_path / "no" / "s", "there is no directory"),
    ):
        with pytest.raises(UsageError, match=words):
            Store(path, write=True)
    with pytest.raises(UsageError, match="there is no such file"):
        Store(tmp_path / "nowhere")
    with Store(tmp_path / "s", write=True) as store:
        store.db.execute("PRAGMA user_version = 7")
    with pytest.raises(UsageError, match="has format 7; this mmsim reads 1"):
        Store(tmp_path / "s")


# the command line


def test_the_program_keeps_its_campaign_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, first, second = (str(tmp_path / name) for name in ("s.sqlite", "1.json", "2.json"))
    argv = ["--runs", "300", "--seed", "3", "--jobs", "1", "--store", path]
    assert cli.main([*argv, "--json", first], GOOD) == 0
    assert cli.main([*argv, "--json", second, "--resume"], GOOD) == 0
    assert "going on with campaign 1 in" in capsys.readouterr().err
    one, two = (json.loads(Path(name).read_text()) for name in (first, second))
    assert look(["store", "export", path]) == 0
    three = json.loads(capsys.readouterr().out)
    for data in (one, two, three):
        del data["times"]
        for variant in data["variants"]:
            del variant["seconds"], variant["first_seconds"]
    assert one == two == three
    assert look(["store", "info", path]) == 0
    out = capsys.readouterr().out
    assert "as declared" in out
    assert "--runs 300 --seed 3" in out
    assert all(len(line) <= 80 for line in out.splitlines()[:2])
    assert look(["store", "check", path]) == 0
    assert "is in order: 1 campaigns" in capsys.readouterr().out


def test_resume_needs_a_store(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--resume", "--runs", "1"], GOOD) == 2
    assert "give --store FILE.sqlite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE block SET findings = findings + 1 WHERE id = 2", "failing runs, recorded"),
        ("UPDATE variant SET findings = 7 WHERE id = '900.wrong'", "recorded 7 of"),
        ("UPDATE block SET first = first - 1 WHERE first = 32", "two blocks hold runs 31..31"),
        ("UPDATE campaign SET seed = '12'", "its plan is"),
        ("DELETE FROM finding WHERE variant = '900.often'", "no report of"),
    ],
)
def test_check_finds_what_was_changed(
    damage: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(tmp_path / "s", write=True) as store:
        campaign = begin(store)
        work(campaign)
        finish(campaign)
        store.db.execute(damage)
    code = look(["store", "check", str(tmp_path / "s")])
    assert code == 1
    assert words in capsys.readouterr().out


# merge


def part(path: Path, blocks: set[int], seed: int = SEED, **who: str) -> Path:
    """A store of somebody who computed these blocks only."""
    with Store(path, write=True) as store:
        campaign = begin(store, seed, who=dataclasses.replace(WHO, **who))
        work(campaign, seed, lose=lambda block: block.number not in blocks)
        finish(campaign)
    return path


def test_two_halves_make_a_whole(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    one = part(tmp_path / "1", {0, 2, 4, 6, 8, 10})
    two = part(tmp_path / "2", {0, 1, 3, 5, 7, 9})
    with Store(one, write=True) as into, Store(two) as other:
        done = merge(into, other)
        assert (done.campaigns, done.joined) == (0, 1)
        assert done.equal >= 3 * 32  # the first blocks, which both had
        blocks = into.rows("SELECT count(*) FROM block")[0][0]
        assert merge(into, other).blocks == 0
        assert into.rows("SELECT count(*) FROM block")[0][0] == blocks
        assert list(complaints(into)) == []
        campaign = begin(into, resume=True)  # what neither had, as the twin came late
        work(campaign)
        finish(campaign)
    whole(one, undisturbed)


def test_merge_refuses_what_does_not_belong_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = part(tmp_path / "mine", {0})
    for name, flag, store in (
        ("code", "--other-code", part(tmp_path / "code", {0}, code="beef")),
        ("plan", "--other-plan", part(tmp_path / "plan", {0}, 12)),
    ):
        assert look(["store", "merge", str(mine), str(store)]) == 2
        assert flag in capsys.readouterr().err
        assert look(["store", "merge", str(mine), str(store), flag]) == 0
        assert "1 new campaigns" in capsys.readouterr().out, name
    with Store(mine) as store:
        assert len(store.campaigns()) == 3
        assert list(complaints(store)) == []
    assert look(["store", "merge", str(mine), str(mine)]) == 2


def test_merge_refuses_runs_that_differ(tmp_path: Path) -> None:
    one, two = part(tmp_path / "1", {0}), part(tmp_path / "2", {0})
    with Store(two, write=True) as store:
        data = store.rows("SELECT min(block) AS id, name, each FROM metric")[0]
        each = store._unpacked(data["each"])
        from mmsim.stress.stored.schema import pack

        store.db.execute("UPDATE metric SET each = ? WHERE block = ?", (pack([0.5, *each[1:]]), 1))
    with Store(one, write=True) as into, Store(two) as other:
        with pytest.raises(UsageError, match="disagree on 900"):
            merge(into, other)
        assert into.rows("SELECT count(*) FROM block")[0][0] == 3
