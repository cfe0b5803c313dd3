# SPDX-License-Identifier: GPL-2.0-only
"""Folders, skeletons, predictions, hints, and the command line from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmsim.cli import main
from mmsim.errors import UsageError
from mmsim.labs import workspace
from mmsim.labs.catalogue import find, labs, numbers
from mmsim.labs.lint import RULES, lint
from mmsim.labs.skeleton import skeleton, todos, whole

SOLUTION = """\
before
    # TODO 1: what is missing?
    # | it is short
    #= pass
    answer
    # DONE 1
after
# TODO 2: and here?
two
# DONE 2
"""


def test_a_skeleton_has_the_question_and_not_the_answer() -> None:
    assert skeleton(SOLUTION) == (
        "before\n    # TODO 1: what is missing?\n    # it is short\n    pass\nafter\n"
        "# TODO 2: and here?\n"
    )
    assert skeleton(SOLUTION, given=1).splitlines()[1:3] == ["    # it is short", "    answer"]
    assert whole(SOLUTION) == "before\n    # it is short\n    answer\nafter\ntwo\n"
    assert todos(SOLUTION) == [1, 2]


@pytest.mark.parametrize(
    "text", ["# TODO 1: a\n", "# DONE 1\n", "# TODO 1: a\n# TODO 2: b\n# DONE 2\n", "#= pass\n"]
)
def test_marks_that_do_not_pair_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="TODO"):
        whole(text)


def test_there_are_eight_labs_with_all_their_texts() -> None:
    assert numbers() == tuple(range(1, 9))
    for lab in labs():
        for student in ("", "ada", "bob", "eve"):
            for name in (*workspace.names(lab), "teach.md", "hints.md"):
                assert "$" not in workspace.text(lab, name, student), (lab.number, name)
        assert len(workspace.hints(lab, "ada")) == 4
        assert len({test.name for test in lab.tests}) == len(lab.tests)


def test_the_rubric_says_how_many_points_there_are() -> None:
    for lab in labs():
        assert f"Rubric ({lab.points} points" in workspace.text(lab, "teach.md", "ada")


def test_every_prediction_and_answer_has_its_place_in_the_file(tmp_path: Path) -> None:
    """Answers that are asked for are those that the reference gives: lab 1 stands for all here."""
    lab = find(1)
    workspace.start(lab, tmp_path, "ada")
    asked = workspace.read_answers(tmp_path)
    assert set(asked["predict"]) == set(lab.predict)
    assert set(asked["answers"]) == set(lab.solve(lab.drawn("ada")))


def test_students_get_numbers_of_their_own() -> None:
    for lab in labs():
        drawn = {json.dumps(lab.drawn(f"student{n}"), sort_keys=True) for n in range(20)}
        assert len(drawn) > 1
        assert lab.drawn("ada") == lab.drawn("ada")


def test_start_keeps_what_is_there(tmp_path: Path) -> None:
    lab = find(3)
    assert set(workspace.start(lab, tmp_path, "ada")) == set(workspace.names(lab))
    (tmp_path / "kernel.py").write_text("mine")
    (tmp_path / "README.md").unlink()
    assert workspace.start(lab, tmp_path, "") == ["README.md"]
    assert (tmp_path / "kernel.py").read_text() == "mine"
    assert workspace.start(lab, tmp_path, "", given=2) == ["kernel.py"]
    assert (tmp_path / "kernel.py.1").read_text() == "mine"
    assert todos((tmp_path / "kernel.py").read_text()) == [3]
    with pytest.raises(UsageError, match="was started for the student 'ada'"):
        workspace.start(lab, tmp_path, "bob")


def test_predictions_come_before_runs_and_stay(tmp_path: Path) -> None:
    lab = find(1)
    workspace.start(lab, tmp_path, "ada")
    with pytest.raises(UsageError, match="predict first, then run: happens, why"):
        workspace.record_predictions(lab, tmp_path)
    answers = tmp_path / "answers.toml"
    text = answers.read_text()
    text = text.replace('happens = ""', 'happens = "in every tenth run"')
    answers.write_text(text.replace('why = ""', 'why = "two believe the same"'))
    assert workspace.record_predictions(lab, tmp_path).predictions["why"] == "two believe the same"
    answers.write_text(answers.read_text().replace("two believe the same", "I knew it all along"))
    assert workspace.record_predictions(lab, tmp_path).predictions["why"] == "two believe the same"


def test_the_command_line_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "lab1")
    for argv, says in (
        (["lab", "start", "99"], "there is no lab 99"),
        (["lab"], "which verb?"),
        (["lab", "grade", "1", folder], "holds no lab"),
        (["lab", "start", "1", folder, "--given", "1"], "lab 1 has 0 TODOs"),
        (["lab", "lint-report", folder], "No such file"),
    ):
        assert main(argv) == 2
        assert says in capsys.readouterr().err
    assert main(["lab", "start", "1", folder, "--student", "ada"]) == 0
    assert main(["lab", "check", "1", folder]) == 2
    assert "predict first" in capsys.readouterr().err
    assert main(["lab", "start", "2", folder]) == 2
    assert "holds lab 1, not lab 2" in capsys.readouterr().err
    Path(folder, "answers.toml").write_text("line = oops\n")
    assert main(["lab", "check", "1", folder]) == 2
    assert "answers.toml: Invalid value (at line 1" in capsys.readouterr().err


def test_who_has_changed_into_the_folder_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "start", "1"]) == 0
    assert capsys.readouterr().out.endswith("Then: python -m mmsim lab play 1\n")
    monkeypatch.chdir(tmp_path / "lab1")
    assert main(["lab", "hint", "1"]) == 0
    assert "(hint 1 of 4)" in capsys.readouterr().out
    assert main(["lab", "hint", "2"]) == 2
    assert "lab2 holds no lab" in capsys.readouterr().err


def test_machines_can_read_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "list", "--json"]) == 0
    assert [row["lab"] for row in json.loads(capsys.readouterr().out)] == list(numbers())
    folder = tmp_path / "lab1"
    workspace.start(find(1), folder, "ada")
    results = tmp_path / "results.json"
    argv = ["lab", "grade", "1", str(folder), "--json", "--gradescope", str(results)]
    assert main(argv) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["points"] == 0
    assert told["of"] == find(1).points
    assert set(told["tests"][0]) >= {"name", "points", "of", "passed", "message"}
    scope = json.loads(results.read_text())
    assert scope["score"] == 0
    assert sum(test["max_score"] for test in scope["tests"]) == find(1).points


def test_hints_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.start(find(1), tmp_path, "ada")
    assert [main(["lab", "hint", "1", str(tmp_path)]) for _ in range(5)] == [0, 0, 0, 0, 1]
    out = capsys.readouterr().out
    assert "(hint 4 of 4)" in out
    assert "All 4 hints were given" in out
    assert workspace.read_journal(find(1), tmp_path).hints == 4


def test_lint_names_what_a_mail_lacks() -> None:
    trouble = lint("it crashes\n")
    assert len(trouble) > len(RULES) / 2
    assert any(line.startswith("subject:") for line in trouble)
