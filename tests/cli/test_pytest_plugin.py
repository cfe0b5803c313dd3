# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin, in a pytest session of its own: one, since its start is what costs time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsim.pytest_plugin import run_variant
from mmsim.scenarios.api import BLOCKED, before, run

ROOT = Path(__file__).resolve().parents[2]
RACE = ROOT / "tests" / "stress" / "lost_update.py"
REPRODUCE = re.compile(r"^Reproduce: python -m mmsim replay 900\.plain mm1:\S+ --file \S+$", re.M)
RUNS = 60  # a fifth of them fail: 0.8**60 is one in 600,000, and the seeds are fixed

TESTS = f"""
from mmsim.scenarios.api import before, run

FILE = {str(RACE)!r}

def test_plain(mmsim_run):
    results = mmsim_run("900.plain", runs={RUNS}, cpus=2, stop_after=3, file=FILE).check()
    print("first run", results.first_run, "seed", results.seed)

def test_locked(mmsim_run):
    assert mmsim_run("900.locked", runs=20, cpus=2, file=FILE).check().mean("lost") == 0

def test_wrong_hope(mmsim_run):
    results = mmsim_run("900.plain", runs={RUNS}, cpus=2, file=FILE)
    object.__setattr__(results.variant, "expect", type(results.variant.expect).NEVER)
    try:
        results.check()
    finally:
        object.__setattr__(results.variant, "expect", type(results.variant.expect).SOMETIMES)

def test_bare_assertion(mmsim_run):
    assert not mmsim_run("900.plain", runs={RUNS}, cpus=2, file=FILE).findings

def test_order(mmsim_order):
    steps = run("adder0", until=before("write value")), run("adder1")
    assert not mmsim_order("900.plain", *steps, cpus=2, file=FILE).findings

def test_order_that_cannot_be(mmsim_order):
    mmsim_order("900.plain", run("adder0", until=before("write valu")), cpus=2, file=FILE)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with TESTS in it, as a user would have them."""
    path = tmp_path_factory.mktemp("suite")
    (path / "test_race.py").write_text(TESTS)
    (path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    return path


def session(place: Path, *argv: str) -> str:
    """What a pytest session says."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rsf", "-s", *argv]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=place, env=env, capture_output=True, text=True, check=False, timeout=100
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def seven(place: Path) -> str:
    """The output with seed 7."""
    return session(place, "--mmsim-seed", "7")


def failure(out: str, test: str) -> str:
    """The part about one failing test."""
    head = r"^(?:_{3,} \w+ _{3,}|=+ short test summary)"
    found = re.search(rf"^_+ {test} _+$(.*?){head}", out, re.MULTILINE | re.DOTALL)
    assert found is not None, out
    return found[1]


def test_a_check_that_fails_shows_the_report_and_how_to_replay_it(
    seven: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert re.search(r"mmsim \d+\.\d+\.\d+, python \S+, gil (on|off), seed 7", seven)
    assert "4 failed, 2 passed" in seven
    said = failure(seven, "test_wrong_hope")
    assert "declared Never" in said
    assert said.count("---[ mmsim ]---") == 1
    hint = re.search(r'pytest --mmsim-replay "(900\.plain) (mm1:\S+)"', said)
    assert hint is not None
    monkeypatch.setattr(request.config.option, "mmsim_replay", (hint[1], hint[2]))
    again = request.getfixturevalue("mmsim_run")
    results = again("900.plain", runs=RUNS, file=str(RACE))
    assert (results.runs, results.findings) == (1, 1)
    assert results.samples[0].schedule == hint[2]
    with pytest.raises(pytest.skip.Exception, match=r"--mmsim-replay is for 900\.plain"):
        again("900.locked", file=str(RACE))


def test_a_schedule_to_replay_that_is_none_is_one_line(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request.config.option, "mmsim_replay", ("900.plain", "mm1:nonsense"))
    for name in ("mmsim_run", "mmsim_order"):
        with pytest.raises(pytest.fail.Exception, match=r"^mmsim: ") as error:
            request.getfixturevalue(name)("900.plain", file=str(RACE))
        assert "\n" not in str(error.value)


def test_a_bare_assertion_shows_the_same(seven: str) -> None:
    said = failure(seven, "test_bare_assertion")
    assert re.search(r"where \d+ = <900\.plain: 60 runs, failed \d+ times>\.findings", said)
    assert said.count("---[ mmsim ]---") == 1
    assert re.search(
        r"^Reproduce: python -m mmsim replay 900\.plain mm1:\S+ --file \S+$", said, re.M
    )
    assert 'pytest --mmsim-replay "900.plain mm1:' in said


def test_an_order_by_hand_shows_what_it_led_to(seven: str) -> None:
    said = failure(seven, "test_order")
    assert "an increment was lost" in said
    assert "policy=sequencer" in said
    assert re.search(
        r"^Reproduce: python -m mmsim replay 900\.plain mm1:\S+ --file \S+$", said, re.M
    )


def test_an_order_that_cannot_be_is_one_line(seven: str) -> None:
    said = failure(seven, "test_order_that_cannot_be").strip()
    assert "\n" not in said
    assert said.startswith("mmsim: step 1 of 1, run('adder0', until=before('write valu')): adder0")
    assert "nearest: write value of counter in increment (lost_update.py:" in said


def test_the_seed_decides(seven: str) -> None:
    """A session runs what is run here with its seed, and another seed gives other runs."""
    first = {
        seed: run_variant(
            "900.plain", runs=RUNS, cpus=2, stop_after=3, seed=seed, file=str(RACE)
        ).first_run
        for seed in (7, 8)
    }
    assert first[7] != first[8]
    assert re.findall(r"first run (\d+) seed (\d+)", seven) == [(str(first[7]), "7")]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--mmsim-seed", "x"), "'x' is not a whole number"),
        (("--mmsim-replay", "900.plain"), "is not a variant and a schedule"),
    ],
)
def test_bad_options_are_said_in_one_line(
    place: Path, argv: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: such a session is over before it begins."""
    assert pytest.main([*argv, str(place)]) is pytest.ExitCode.USAGE_ERROR
    out, err = capsys.readouterr()
    assert words in err
    assert "Traceback" not in err
    assert not re.search(r"\d passed", out + err)


def test_a_name_nobody_knows_fails_the_test_in_one_line(
    mmsim_run: Callable[..., Any], mmsim_order: Callable[..., Any]
) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"mmsim: no variant '900\.plane'"):
        mmsim_run("900.plane", file=str(RACE))
    with pytest.raises(pytest.fail.Exception, match=r"mmsim: no variant '900\.plane'"):
        mmsim_order("900.plane", run("adder0"), file=str(RACE))


def test_an_order_runs_on_a_token(mmsim_order: Callable[..., Any]) -> None:
    steps = run("adder0", until=before("write value")), run("adder1"), run("adder0", until=BLOCKED)
    found = [
        mmsim_order("900.plain", *steps, cpus=2, file=str(RACE), engine=engine)
        for engine in ("threads", "green")
    ]
    assert {one.title for one in found} == {"an increment was lost"}
    assert found[0].schedule == found[1].schedule
    assert found[0].metrics == {"lost": 1}
    with pytest.raises(pytest.fail.Exception, match="threads or green"):
        mmsim_order("900.plain", *steps, file=str(RACE), engine="free")
