# SPDX-License-Identifier: GPL-2.0-only
"""The stress runner over the real engine, with a small scenario file as a user would write one."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmsim.stress.cli import main
from tests.stress.in_threads import use_threads

ROOT = Path(__file__).resolve().parents[2]
RACE = Path("tests/stress/lost_update.py")


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def stress(tmp_path: Path, *argv: str) -> tuple[int, dict[str, Any]]:
    target = tmp_path / "out.json"
    with pytest.MonkeyPatch.context() as patch:
        if argv[-2:] == ("--jobs", "1"):  # one worker may as well be a thread
            use_threads(patch)
        code = main([*argv, "--file", str(RACE), "--json", str(target)])
    return code, json.loads(target.read_text())


def without_times(data: dict[str, Any]) -> dict[str, Any]:
    del data["times"]
    for variant in data["variants"]:
        del variant["seconds"], variant["first_seconds"]
    return data


@pytest.mark.parametrize(("cpus", "jobs"), [("2", "3"), ("8", "2")])
def test_verdicts_are_as_declared_and_the_seed_decides_everything(
    tmp_path: Path, cpus: str, jobs: str
) -> None:
    code, one = stress(tmp_path, "--cpus", cpus, "--seed", "4", "--jobs", "1")
    assert code == 0
    _, two = stress(tmp_path, "--cpus", cpus, "--seed", "4", "--jobs", jobs)
    assert without_times(one) == without_times(two)
    metrics = {v["id"]: v["metrics"]["lost"]["mean"] for v in one["variants"]}
    assert metrics["900.locked"] == 0 < metrics["900.plain"]


@pytest.mark.parametrize("engine", ["threads", "free"])
def test_every_reproduce_line_shows_the_same_finding_in_a_new_process(
    tmp_path: Path, engine: str
) -> None:
    chosen = ("--cpus", "4", "--variant", "900.plain", "--jobs", "1")
    _, data = stress(tmp_path, "--engine", engine, *chosen)
    prints = data["variants"][0]["fingerprints"]
    assert prints
    for entry in prints:
        words = shlex.split(entry["reproduce"])
        assert words[:4] == ["python", "-m", "mmsim", "replay"]
        done = subprocess.run(
            [sys.executable, *words[1:]], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert f"fingerprint {entry['id']}  {entry['title']}" in done.stdout.splitlines()


HEAD = (
    "from mmsim.scenarios.api import *\n\n\ndef boom(*_):\n    raise ZeroDivisionError('oh no')\n"
)
TAIL = """
def setup(m, v):
    SETUP

VARIANTS = (Variant("901.x", "", NEVER),)
SCENARIO = Scenario("901", "bad", "a bad file", "", "5.17", setup, VARIANTSCHECK)
"""
RAISING = {
    "at import": ("boom()", "pass", "", "ZeroDivisionError: oh no"),
    "in setup": ("", "boom()", "", "line 5, in boom: ZeroDivisionError: oh no"),
    "in an actor": (
        "",
        "m.spawn(boom, comm='x')",
        "",
        "line 5, in boom: ZeroDivisionError: oh no",
    ),
    "in check": ("", "m.spawn(lambda: None, comm='x')", ", boom", "line 5, in boom"),
    "syntax": ("def", "pass", "", "SyntaxError"),
    "no scenario": ("", "pass", "", "SCENARIO"),
    "exit": ("raise SystemExit(9)", "pass", "", "SystemExit: 9"),
}


@pytest.mark.usefixtures("workers_are_threads")
@pytest.mark.parametrize("how", RAISING)
def test_a_scenario_file_that_raises_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    top, setup, check, words = RAISING[how]
    tail = "" if how == "no scenario" else TAIL.replace("SETUP", setup).replace("CHECK", check)
    file = tmp_path / "race.py"
    file.write_text(f"{HEAD}{top}\n{tail}")
    assert main(["--file", str(file), "--runs", "3", "--cpus", "2", "--jobs", "1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert "race.py" in err


def test_a_missing_scenario_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--file", "nowhere.py"]) == 2
    assert "nowhere.py" in capsys.readouterr().err
