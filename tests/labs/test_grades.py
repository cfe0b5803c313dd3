# SPDX-License-Identifier: GPL-2.0-only
"""What a reference solution, an untouched skeleton and known wrong answers get."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmsim.labs import workspace
from mmsim.labs.catalogue import find, numbers
from mmsim.labs.grading import Grade, grade
from tests.labs.wrong import WRONG, Wrong

HIDDEN = 20_260
"""Any seed will do: what is right is proved, and what is wrong fails on recorded lines."""
STUDENTS = ("ada", "bob")


def solution(number: int, student: str, tmp: Path) -> Path:
    folder = tmp / f"lab{number}-{student}"
    if not folder.exists():
        workspace.solved(find(number), folder, student)
    return folder


def graded(number: int, folder: Path) -> Grade:
    return grade(find(number), folder, hidden=HIDDEN)


def slow(number: int, student: str = "ada") -> object:
    """Lab 1 is graded in a second, and stands for the others in the quick suite."""
    marks = () if (number, student) == (1, "ada") else (pytest.mark.slow,)
    return pytest.param(number, student, marks=marks)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("number", "student"), [slow(number, student) for number in numbers() for student in STUDENTS]
)
def test_the_reference_solution_gets_everything(number: int, student: str, tmp_path: Path) -> None:
    got = graded(number, solution(number, student, tmp_path))
    assert [mark for mark in got.marks if not mark.passed] == []
    assert got.points == sum(mark.of for mark in got.marks)
    assert got.of == find(number).points


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("number", "student"), [slow(number) for number in numbers()])
def test_an_untouched_skeleton_gets_what_is_stated(
    number: int, student: str, tmp_path: Path
) -> None:
    workspace.start(find(number), tmp_path / "lab", student)
    got = graded(number, tmp_path / "lab")
    assert got.points == find(number).least


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.lab}: {wrong.name}")
def test_a_wrong_answer_gets_what_the_rubric_says(wrong: Wrong, tmp_path: Path) -> None:
    folder = solution(wrong.lab, "ada", tmp_path)
    wrong.edit(folder)
    marks = {mark.name: mark for mark in graded(wrong.lab, folder).marks}
    lost = {name: mark.points for name, mark in marks.items() if mark.points < mark.of}
    assert lost == wrong.points
    for name, pattern in wrong.says.items():
        assert re.search(pattern, marks[name].message), marks[name].message
    for name in wrong.points:
        assert marks[name].message


def test_every_lab_has_five_wrong_answers() -> None:
    for number in numbers():
        assert sum(wrong.lab == number for wrong in WRONG) >= 5
