# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim compare`: the rule comes first, then figures that belong to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmsim.cli import main
from mmsim.stress.duel import Duel
from mmsim.stress.profile import Budget
from mmsim.stress.statistics import Sequential, exact, fisher, runs_needed
from mmsim.stress.worker import Setting, run_block
from tests.stress.fake import FakeVariant, Verdict, draw, source

RACE = str(Path(__file__).resolve().parents[1] / "stress" / "lost_update.py")
OWN = ("--file", RACE, "--cpus", "4", "--jobs", "1")

pytestmark = pytest.mark.usefixtures("workers_are_threads")


def compare(tmp_path: Path, *argv: str) -> tuple[int, dict[str, Any]]:
    target = tmp_path / "out.json"
    code = main(["compare", *argv, "--json", str(target)])
    return code, json.loads(target.read_text())


def test_a_fixed_number_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, data = compare(tmp_path, "900.plain", "900.locked", *OWN, "--runs", "150")
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    rule = next(i for i, line in enumerate(lines) if line.startswith("rule   150 runs of each"))
    figures = next(i for i, line in enumerate(lines) if line.startswith("BUGGY  150 runs"))
    assert rule < figures
    k = data["buggy"]["findings"]
    assert (data["buggy"]["runs"], data["fixed"]["runs"], data["fixed"]["findings"]) == (
        150,
        150,
        0,
    )
    assert data["p"] == pytest.approx(fisher(k, 150, 0, 150, "greater"))
    assert data["runs_needed"] == runs_needed(exact(k, 150).low)
    assert (data["ratio"]["value"], data["ratio"]["high"]) == (None, None)  # infinite
    assert data["ratio"]["low"] > 1
    needs = f"this fix needs {data['runs_needed']:,} clean runs to be believed at 99 %; it has 150"
    assert needs in " ".join(lines)
    assert all(len(line) <= 80 for line in lines)


def test_a_sequential_test_stops_early(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, data = compare(tmp_path, "900.plain", "900.locked", *OWN, "--sprt")
    assert code == 0
    assert data["buggy"]["runs"] == data["fixed"]["runs"] < 150
    assert data["buggy"]["findings"] == 8  # pairs in which only the first fails, at odds of ten
    assert data["p"] <= 0.01
    assert data["ratio"]["low"] > 1
    assert "Wald's test" in capsys.readouterr().out


def test_the_wrong_way_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, data = compare(tmp_path, "900.locked", "900.plain", *OWN, "--runs", "40")
    assert code == 3
    assert data["runs_needed"] is None
    assert "nothing to compare with" in capsys.readouterr().out
    code, data = compare(tmp_path, "900.plain", "900.twice", *OWN, "--runs", "40")
    assert code == 1
    assert not data["shown"]


def test_the_fix_runs_with_the_people_of_the_bug(tmp_path: Path) -> None:
    argv = ("002.flawed", "002.pagelocked", "--runs", "5", "--jobs", "1")
    _, data = compare(tmp_path, *argv)
    assert (data["buggy"]["id"], data["fixed"]["id"]) == (
        "002.flawed",
        "002.pagelocked@002.flawed",
    )
    _, data = compare(tmp_path, *argv, "--cast", "fixed")
    assert (data["buggy"]["id"], data["fixed"]["id"]) == (
        "002.flawed@002.pagelocked",
        "002.pagelocked",
    )


BAD = {
    "002.flawed 002.flawed": "with itself",
    "002.flawed 003.base": "of two scenarios",
    "002.flawed 002.pagelockd": "nearest: 002.pagelocked",
    "002.flawed 002.pagelocked --runs 5 --sprt": "not allowed with",
    "002.flawed 002.pagelocked --policy mixx": "no policy 'mixx'",
}


@pytest.mark.parametrize("argv", BAD)
def test_bad_input_is_one_line(argv: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *argv.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert BAD[argv] in err


@pytest.mark.parametrize("place", [0, -1])
def test_the_pair_that_decides_does_not_depend_on_who_is_faster(place: int) -> None:
    often = FakeVariant("900.often", Verdict.SOMETIMES, chance=0.5)
    rarely = FakeVariant("900.rarely", Verdict.SOMETIMES, chance=0.01)
    setting = Setting(source(often, rarely), cpus=2, seed=4, engine="threads", policy="mix")
    duel = Duel(often, rarely, Sequential(), Budget(4_000))
    given = []
    while True:
        while len(given) < 5 and (block := duel.next_block()) is not None:
            given.append(block)
        if not given:
            break
        block = given.pop(place)
        duel.put(block, run_block(setting, block, lambda beat: None))
    test, runs = Sequential(), 0
    while test.decided is None:
        test.add(*(draw(4, v.id, runs) < v.chance for v in (often, rarely)))
        runs += 1
    assert test.decided is True
    assert [tally.runs for tally in duel.tallies] == [runs, runs]
    assert (duel.test.first_only, duel.test.second_only) == (test.first_only, test.second_only)
