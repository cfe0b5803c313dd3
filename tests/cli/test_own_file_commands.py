# SPDX-License-Identifier: GPL-2.0-only
"""`claims` and `where` with a file of one's own, `policies`, and what they say to mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mmsim.claims.model import Metric
from mmsim.cli import main
from mmsim.engine.policy import NAMES

ROOT = Path(__file__).resolve().parents[2]
RACE = (ROOT / "tests" / "stress" / "lost_update.py").read_text()
CLAIMS = """
from mmsim.claims.model import Claim, Clean, Fails, Metric
from mmsim.model.cite import cite
from mmsim.model.era import by_version

CLAIMS = (
    Claim("900.1", "you", "an increment is lost", (Fails("900.plain", "was lost"),)),
    Claim("900.2", "you", "the lock is not needed", (Clean("900.plain"),)),
    Claim("900.3", "you", "it loses all", (Fails("900.plain", always=True), Clean("900.locked"))),
)


@cite("mm/mine.c", "5.17")
def mine():
    pass
"""

pytestmark = pytest.mark.usefixtures("workers_are_threads")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "race.py"
    path.write_text(RACE + CLAIMS)
    return path


def test_claims_of_ones_own_are_settled(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "claims.json"
    argv = ["claims", "--file", str(file), "--runs", "60", "--cpus", "2", "--jobs", "1"]
    assert main([*argv, "--json", str(target)]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^(900\.\d)  (\w+)", out, re.MULTILINE) == [
        ("900.1", "CONFIRMED"),
        ("900.2", "REFUTED"),
        ("900.3", "HALF"),
    ]
    assert "3 claims: 1 confirmed, 1 refuted, 1 half, 0 open" in out
    assert [claim["verdict"] for claim in json.loads(target.read_text())["claims"]] == [
        "confirmed",
        "refuted",
        "half",
    ]


WRONG = {
    "none": ("CLAIMS = (", "OTHER = (", "it claims nothing"),
    "a text": ("CLAIMS = (", 'CLAIMS = ("x",', "'x' stands in CLAIMS and is none"),
    "no tuple": ("CLAIMS = (", "CLAIMS = 5 or (", "CLAIMS has to be a tuple"),
    "another thread": ('"900.1"', '"901.1"', "its id has to begin with a scenario's"),
    "two of one id": ('"900.2"', '"900.1"', "2 claims have the id '900.1'"),
    "no such variant": ('Clean("900.plain")', 'Clean("900.plane")', "nearest: 900.plain"),
    "no pattern": ('"900.plain", "was lost"', '"900.plain", "((("', "claim '900.1': "),
    "no condition": ('(Clean("900.plain"),)', '("900.plain",)', "'sees' is a tuple of conditions"),
    "no comparison": (
        '(Clean("900.plain"),)',
        '(Metric("900.plain", "lost", "=>"),)',
        "comparison '=>': it has to be one of ==, >, <",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_claim_is_told_before_anything_is_run(
    case: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, said = WRONG[case]
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    assert main(["claims", "--file", str(file), "--runs", "2", "--jobs", "1"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert "race.py" in err


def test_a_thread_that_the_file_does_not_have(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claims", "002", "--file", str(file)]) == 2
    assert "no thread '002'" in capsys.readouterr().err


def test_a_comparison_is_looked_at_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="one of =="):
        Metric("900.plain", "lost", "!=")


@pytest.mark.parametrize(
    ("symbol", "rows"),
    [
        ("increment", ["race.py:increment -"]),
        ("race.py:setup", ["race.py:setup -"]),
        ("mine", ["mm/mine.c:mine 5.17"]),
        ("mm/mine.c", ["mm/mine.c:mine 5.17"]),
        (
            "race.py",
            ["mm/mine.c:mine 5.17", *(f"race.py:{n} -" for n in ("increment", "setup", "check"))],
        ),
    ],
)
def test_where_ones_own_functions_are(
    symbol: str, rows: list[str], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["where", symbol, "--file", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()[:2]) for line in lines] == rows
    assert all("race.py:" in line for line in lines)


def test_where_names_the_nearest_of_both(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["where", "incremnt", "--file", str(file)]) == 2
    assert "nearest: increment" in capsys.readouterr().err
    assert main(["where", "shrink_cache", "--file", str(file)]) == 0


def test_one_variant_under_each_policy(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["policies", "900.plain", "--file", str(file), "--runs", "20", "--cpus", "2"]
    assert main([*argv, "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    rows = re.findall(r"^(\S+) +20 +(\d+) +(?:< )?\S+ %", out, re.MULTILINE)
    assert [name for name, _ in rows] == list(NAMES)
    assert len({found for _, found in rows}) > 1
    counted = out.split("in a run")[1].splitlines()
    assert counted[0].split() == ["lost"]
    assert [row.split()[0] for row in counted[1:]] == list(NAMES)
    assert max(map(len, out.splitlines())) <= 80


def test_policies_of_what_does_not_exist(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies", "900.plane", "--file", str(file)]) == 2
    assert "nearest: 900.plain" in capsys.readouterr().err
