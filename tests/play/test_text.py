# SPDX-License-Identifier: GPL-2.0-only
"""The game in a terminal: a file of commands is a played game."""

from __future__ import annotations

import io
import sys

import pytest

from mmsim.cli import main
from mmsim.play.known import Known
from mmsim.play.text import Game
from tests.play.games import DOUBLE_FREE, flawed


def said(*commands: str, known: Known | None = None) -> list[str]:
    with flawed() as session:
        game = Game(session, known, lambda line, over: f"{'replay' if over else 'play'} {line}")
        lines = list(game.play(commands))
    return lines[lines.index("Type ? for help.") + 1 :]


def test_the_double_free_with_an_undo_in_the_middle() -> None:
    lines = said(*DOUBLE_FREE[:-1], "u", "r", DOUBLE_FREE[-1])
    assert "back at step 5" in lines
    assert "*** double free: the page has another owner" in lines
    assert lines[-1].startswith("replay mm1:2:")
    assert any("last put" in line for line in lines)


def test_every_step_is_said() -> None:
    lines = said("1 8")
    steps = [line for line in lines if line[:5].strip().isdigit()]
    assert [int(line[:5]) for line in steps] == list(range(1, 8))


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("7", "there is no CPU7: 0 to 1"),
        ("0", "on CPU0 nobody can go on"),
        ("i1", "on CPU1 no interrupt would be let in"),
        ("1 x", "'x' is no number of steps"),
        ("1 2 3", "what is '2 3'?"),
        ("#99", "context 99 cannot be chosen here"),
        ("nonsense", "'nonsense' is no CPU"),
        ("show", "no run that fails is known here"),
        ("w w", "w stands alone"),
    ],
)
def test_what_makes_no_sense_is_answered_and_nothing_happens(command: str, complaint: str) -> None:
    lines = said(command, "w")
    assert any(line.startswith("? ") and complaint in line for line in lines)
    assert "step 0, preemptions 0" in lines


def test_code_and_pages() -> None:
    lines = said("1 12", "c", "p")
    assert any("shrink_cache < shrink_caches" in line for line in lines)
    assert any(line.startswith("  >") for line in lines)
    assert any("pfn:00011 count:2 flags:uptodate|lru on inactive_list" in line for line in lines)
    assert not any("steering.py" in line or "pick" in line.split() for line in lines)


def test_a_serial_console_can_show_it() -> None:
    assert "\n".join(said("?", *DOUBLE_FREE, "w", "c", "p", "goal")).isascii()


def test_lines_fit() -> None:
    long = [line for line in said("?", *DOUBLE_FREE, "w", "goal") if len(line) > 80]
    assert not [line for line in long if not line.startswith("replay mm1:")]


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*DOUBLE_FREE, "line"])))
    assert main(["play", "002.flawed", "--text"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Fewest preemptions known: 2" in out
    command = out.splitlines()[-1].split()
    assert command[:4] == ["python", "-m", "mmsim", "replay"]
    assert main(command[3:]) == 0
    assert "double free: the page has another owner" in capsys.readouterr().out


def test_giving_up(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("show\nr 2\nu\nr 1000\n"))
    assert main(["play", "002.flawed", "--text", "--cpus", "2"]) == 0
    assert "*** double free" in capsys.readouterr().out


def test_not_won_is_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("e\n"))
    assert main(["play", "002.flawed", "--text", "--cpus", "2"]) == 1
    assert "nothing is wrong" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["002.flawd"], "no variant '002.flawd'"),
        (["002.flawed", "mm1:2:xx"], "the schedule is truncated"),
        (["002.flawed", "--at", "3"], "--at belongs to a schedule"),
        (["002.flawed", "mm1:2:x:y", "--cpus", "2"], "the schedule says how many"),
    ],
)
def test_bad_input(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["play", *arguments, "--text"]) == 2
    assert complaint in capsys.readouterr().err
