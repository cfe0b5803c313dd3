# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim ablate`, over the small scenario."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmsim.cli import main

ROOT = Path(__file__).resolve().parents[2]
RACE = str(ROOT / "tests" / "stress" / "lost_update.py")
FEW = ("--file", RACE, "--cpus", "8", "--runs", "100", "--jobs", "1")

pytestmark = pytest.mark.usefixtures("workers_are_threads")


def test_a_hunk_left_out_of_a_variant(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "effects.json"
    assert main(["ablate", "900.locked", *FEW, "--json", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "900.locked: under a lock"
    assert lines[1].split() == [
        *("900-lock:", "increment", f"({RACE})"),
        *("left", "out", "of", "900.locked"),
    ]
    assert lines[2].strip().startswith("Never -> Sometimes (0 of 100 runs, ")
    (effect,) = json.loads(file.read_text())["effects"]
    assert (effect["gate"], effect["function"], effect["turned"]) == (
        "900-lock",
        "increment",
        "off",
    )
    assert effect["differences"]
    assert effect["verdict"] == "differs"
    assert effect["p"] < 1e-5
    assert ", p = " in lines[2]


def test_a_gate_is_tried_where_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", "900-twice", *FEW]) == 0
    out = capsys.readouterr().out
    assert "900-twice (mutation): count twice" in out
    assert "left out of 900.twice" in out
    assert "1 hunks, 1 of them make a difference" in out


def test_a_variant_without_gates(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", "900.plain", *FEW]) == 0
    assert "it has no gates that its runs come to" in capsys.readouterr().out


def test_what_is_no_variant_and_no_gate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", "900-twixe", *FEW]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mmsim: no variant or gate '900-twixe' (nearest: 900-twice")
    assert err.count("\n") == 1
