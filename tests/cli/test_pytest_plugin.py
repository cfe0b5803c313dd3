# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin, in pytest sessions of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RACE = ROOT / "tests" / "stress" / "lost_update.py"

TESTS = f"""
FILE = {str(RACE)!r}

def test_plain(mmsim_run):
    results = mmsim_run("900.plain", runs=200, cpus=2, stop_after=3, file=FILE).check()
    print("first run", results.first_run, "seed", results.seed)

def test_locked(mmsim_run):
    assert mmsim_run("900.locked", runs=50, cpus=2, file=FILE).check().mean("lost") == 0

def test_wrong_hope(mmsim_run):
    results = mmsim_run("900.plain", runs=200, cpus=2, file=FILE)
    object.__setattr__(results.variant, "expect", type(results.variant.expect).NEVER)
    try:
        results.check()
    finally:
        object.__setattr__(results.variant, "expect", type(results.variant.expect).SOMETIMES)
"""


def session(tmp_path: Path, *argv: str) -> str:
    """The output of a pytest session over TESTS, run as a user would."""
    (tmp_path / "test_race.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "-s", *argv]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=100
    ).stdout


def test_a_check_that_fails_shows_the_report_and_how_to_replay_it(tmp_path: Path) -> None:
    out = session(tmp_path, "--mmsim-seed", "7")
    assert re.search(r"mmsim \d+\.\d+\.\d+, python \S+, gil (on|off), seed 7", out)
    assert "2 passed" in out
    assert "1 failed" in out
    assert "declared Never" in out
    assert "---[ mmsim ]---" in out
    hint = re.search(r'pytest --mmsim-replay "(900\.plain mm1:\S+)"', out)
    assert hint is not None
    again = session(tmp_path, "--mmsim-replay", hint[1])
    # Of the two tests of that variant one hopes wrongly; both had this one run.
    assert "1 failed, 1 passed, 1 skipped" in again
    assert "seen once in 1 run\n" in again
    assert "--mmsim-replay is for 900.plain" in again


def test_the_seed_decides(tmp_path: Path) -> None:
    lines = [
        re.findall(r"first run \d+ seed \d+", session(tmp_path, "--mmsim-seed", s, "-k", "plain"))
        for s in ("7", "7", "8")
    ]
    assert lines[0] == lines[1] != lines[2]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--mmsim-seed", "x"), "'x' is not a whole number"),
        (("--mmsim-replay", "900.plain"), "is not a variant and a schedule"),
        (("--mmsim-replay", "900.plain mm1:nonsense"), "mmsim: "),
    ],
)
def test_bad_options_are_said_in_one_line(
    tmp_path: Path, argv: tuple[str, ...], words: str
) -> None:
    (tmp_path / "test_race.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *argv],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_name_nobody_knows_fails_the_test_in_one_line(mmsim_run: Callable[..., Any]) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"mmsim: no variant '900\.plane'"):
        mmsim_run("900.plane", file=str(RACE))
