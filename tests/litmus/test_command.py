# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim litmus` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmsim.cli import main

DATA = Path(__file__).parent / "data"
MP = """\
C MP
{}
P0(int *x, int *y) { WRITE_ONCE(*x, 1); WRITE_ONCE(*y, 1); }
P1(int *x, int *y) { int r0 = READ_ONCE(*y); int r1 = READ_ONCE(*x); }
exists (1:r0=1 /\\ 1:r1=0)
"""


def test_the_output_is_herds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["litmus", str(DATA / "SB+mb+mb.litmus")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [
        "Test SB+mb+mb Allowed",
        "States 3",
        "0:r0=0; 1:r0=1;",
        "0:r0=1; 1:r0=0;",
        "0:r0=1; 1:r0=1;",
        "No",
        "Witnesses",
        "Positive: 0 Negative: 3",
        r"Condition exists (0:r0=0 /\ 1:r0=0)",
        "Histogram (3 states)",
        "1 :>0:r0=0; 1:r0=1;",
        "1 :>0:r0=1; 1:r0=0;",
        "1 :>0:r0=1; 1:r0=1;",
        "Observation SB+mb+mb Never 0 3",
    ]
    assert lines[-1].startswith("Time SB+mb+mb ")


def test_the_quantifiers(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(DATA / f"{name}.litmus") for name in ("locked+inc", "inc+inc")]
    assert main(["litmus", *files]) == 0
    out = capsys.readouterr().out
    assert "Test locked+inc Forbidden" in out
    assert "Positive: 2 Negative: 0\nCondition ~exists (x=1)" in out
    assert "Observation locked+inc Never 0 2" in out
    assert "Test inc+inc Required" in out
    assert "Observation inc+inc Always 2 0" in out


def test_json_and_sequential_consistency(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, result = tmp_path / "mp.litmus", tmp_path / "out.json"
    file.write_text(MP)
    assert main(["litmus", str(file), "--json", str(result)]) == 0
    weak = json.loads(result.read_text())
    assert weak["complete"] is True
    (test,) = weak["tests"]
    assert (test["verdict"], test["observed"], test["others"]) == ("Sometimes", 1, 3)
    assert {"values": {"1:r0": 1, "1:r1": 0}, "executions": 1, "condition": True} in test["states"]
    assert main(["litmus", str(file), "--memory", "sc", "--json", str(result)]) == 0
    assert json.loads(result.read_text())["tests"][0]["verdict"] == "Never"
    capsys.readouterr()


def test_check_compares_with_the_comment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mp.litmus"
    file.write_text("(* Result: Never *)\n" + MP)
    assert main(["litmus", str(file)]) == 0
    assert main(["litmus", "--check", str(file)]) == 1
    assert "Unexpected: the file says Result: Never" in capsys.readouterr().out
    assert main(["litmus", "--check", "--memory", "sc", str(file)]) == 0


def test_a_search_that_is_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mp.litmus"
    file.write_text(MP)
    assert main(["litmus", str(file), "--limit", "3"]) == 3
    assert "given up after more than 3 states" in capsys.readouterr().err


def test_plain_accesses_and_deadlocks_are_flagged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "abba.litmus"
    file.write_text(
        "C abba\n{}\n"
        "P0(spinlock_t *a, spinlock_t *b, int *x) { spin_lock(a); spin_lock(b); *x = 1;\n"
        "spin_unlock(b); spin_unlock(a); }\n"
        "P1(spinlock_t *a, spinlock_t *b) { spin_lock(b); spin_lock(a);\n"
        "spin_unlock(a); spin_unlock(b); }\n"
        "exists (x=1)\n"
    )
    assert main(["litmus", str(file)]) == 0
    out = capsys.readouterr().out
    assert "Flag plain accesses" in out
    assert "Flag deadlock" in out


BAD = {
    "kind": ("AArch64 MP\n{}\n", 1, "allowed: C"),
    "empty": ("", 1, "expected 'C'"),
    "function": (MP.replace("READ_ONCE(*y)", "READ_ONCe(*y)"), 4, "nearest: READ_ONCE"),
    "arguments": (MP.replace("READ_ONCE(*y)", "READ_ONCE(*y, 1)"), 4, "1 argument(s)"),
    "object": (MP.replace("READ_ONCE(*y)", "READ_ONCE(y)"), 4, "READ_ONCE(*x)"),
    "parameter": (MP.replace("P1(int *x, int *y)", "P1(int *x)"), 4, "neither a parameter"),
    "by value": (MP.replace("P1(int *x,", "P1(int x,"), 4, "int *x"),
    "loop": (MP.replace("int r0", "while (1) ; int r0"), 4, "loops are not supported"),
    "structure": (MP.replace("int r0", "struct s r0"), 4, "structures are not supported"),
    "srcu": (MP.replace("int r0", "srcu_read_lock(x); int r0"), 4, "RCU is"),
    "semicolon": (MP.replace("(*x, 1);", "(*x, 1)"), 3, "expected ';'"),
    "brace": (MP.replace("READ_ONCE(*x); }", "READ_ONCE(*x);"), 4, ""),
    "number": (MP.replace("P1(", "P2("), 4, "expected P1"),
    "register": (MP.replace("1:r1=0", "1:r2=0"), 5, "no local variable r2"),
    "process": (MP.replace("1:r1=0", "4:r1=0"), 5, "there is no P4"),
    "variable": (MP.replace("1:r1=0", "q=0"), 5, "no shared variable q"),
    "condition": (MP.replace("exists", "perhaps"), 5, "exists"),
    "no condition": (MP[: MP.index("exists")], 5, "no condition"),
    "comment": (MP.replace("{}", "{} (* here"), 2, "has no *)"),
    "letter": (MP.replace("{}", "{ x=@; }"), 2, "'@'"),
    "unlock": (MP.replace("int r0", "spin_unlock(x); int r0"), 4, "which nobody holds"),
    "rcu": (MP.replace("int r0", "rcu_read_unlock(); int r0"), 4, "without rcu_read_lock"),
    "address": (MP.replace("READ_ONCE(*y)", "READ_ONCE(*5)"), 4, "not an address"),
    "division": (MP.replace("(*x, 1)", "(*x, 1 / 0)"), 3, "division by 0"),
    "deep": (MP.replace("(1:r0=1", "(" * 5000 + "1:r0=1"), 5, "nested too deeply"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_mistake_is_one_line_and_exit_code_2(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, line, says = BAD[what]
    bad, good = tmp_path / "bad.litmus", tmp_path / "good.litmus"
    bad.write_text(text)
    good.write_text(MP)
    assert main(["litmus", str(bad), str(good)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"mmsim: {bad}:{line}: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err
    # The other file is not lost.
    assert "Observation MP Sometimes 1 3" in captured.out


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["litmus", "no-such.litmus"]) == 2
    assert capsys.readouterr().err == (
        "mmsim: cannot read 'no-such.litmus': No such file or directory\n"
    )


def test_comments_and_the_lines_that_generators_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mp.litmus"
    text = MP.replace("{}", '"Rfe Fre"\n(* outer (* inner *) *)\nCycle=Rfe Fre\n{ /* none */ }')
    file.write_text(text.replace("int r0", "// a read\n int r0"))
    assert main(["litmus", str(file)]) == 0
    assert "Observation MP Sometimes 1 3" in capsys.readouterr().out
