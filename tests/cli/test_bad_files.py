# SPDX-License-Identifier: GPL-2.0-only
"""A scenario file with a mistake in it: one line that says where, exit code 2, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsim.cli import main as look
from mmsim.pytest_plugin import run_variant
from mmsim.stress.cli import main as stress

ROOT = Path(__file__).resolve().parents[2]
GOOD = (ROOT / "tests" / "stress" / "lost_update.py").read_text()

AT_ONCE = {
    "raises while it is read": ("SCENARIO = ", "1 / 0\nSCENARIO = ", "ZeroDivisionError"),
    "is no Python": ("SCENARIO = ", "def (\nSCENARIO = ", "SyntaxError"),
    "leaves": ("SCENARIO = ", "raise SystemExit(3)\nSCENARIO = ", "SystemExit"),
    "has no scenario": ("SCENARIO = ", "OTHER = ", "it has to define SCENARIO"),
    "has a wrong pattern": ('findings=("', 'findings=("(((', "is no regular expression"),
    "forgets a comma": ('findings=("', 'findings=("x") or ("', "has to be a tuple of texts"),
    "invents a verdict": (
        'store", SOMETIMES',
        'store", "Often"',
        "one of NEVER, SOMETIMES, ALWAYS",
    ),
    "compares with nothing": ('"== 0"', '"none"', "is not a comparison and a number"),
}
IN_A_RUN = {
    "raises in setup": "def setup(m",
    "raises in an actor": "def increment(",
    "raises in check": "def check(m",
}


def broken(tmp_path: Path, old: str, new: str) -> str:
    assert old in GOOD, f"the good file has no {old!r} any more"
    file = tmp_path / "race.py"
    file.write_text(GOOD.replace(old, new, 1))
    return str(file)


def raising(tmp_path: Path, head: str) -> str:
    lines = GOOD.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(head))
    end = next(i for i in range(start, len(lines)) if lines[i].endswith(":"))
    lines.insert(end + 1, "    1 / 0")
    file = tmp_path / "race.py"
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def complaint(capsys: pytest.CaptureFixture[str], code: int) -> str:
    err = capsys.readouterr().err
    assert code == 2, err
    last = err.splitlines()[-1]
    assert "Traceback" not in err
    assert "race.py" in last or "variant 900" in last
    return str(last)


@pytest.mark.parametrize("case", AT_ONCE)
def test_what_is_wrong_with_the_file_is_told_by_every_command(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, said = AT_ONCE[case]
    file = broken(tmp_path, old, new)
    for command in (["list"], ["show", "900.plain"], ["replay", "900.plain", "mm1:x"]):
        assert said in complaint(capsys, look([*command, "--file", file]))
    assert said in complaint(capsys, stress(["--file", file, "--runs", "2", "--jobs", "1"]))


@pytest.mark.parametrize("case", IN_A_RUN)
def test_what_is_wrong_in_a_run_names_the_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = raising(tmp_path, IN_A_RUN[case])
    said = complaint(capsys, stress(["--file", file, "--runs", "2", "--jobs", "1"]))
    assert said.endswith("ZeroDivisionError: division by zero")
    assert ", line " in said


def test_show_and_replay_boot_a_machine_and_say_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good.py"
    good.write_text(GOOD)
    schedule = run_variant("900.plain", runs=500, cpus=2, stop_after=1, file=str(good)).samples[0]
    file = raising(tmp_path, "def setup(m")
    look(["show", "900.plain", "--file", file])
    assert capsys.readouterr().err.endswith("ZeroDivisionError: division by zero\n")
    code = look(["replay", "900.plain", schedule.schedule, "--file", file])
    assert complaint(capsys, code).endswith("ZeroDivisionError: division by zero")
