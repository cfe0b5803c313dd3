# SPDX-License-Identifier: GPL-2.0-only
"""All tests of a lab on a student's folder.

The tests are those of the installed package, whatever lies in the folder.  A test that runs the
student's code has a process of its own, so what goes wrong there costs its points and no others.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsim.errors import InternalError, UsageError, one_line
from mmsim.labs.box import Limits, end_all, judged
from mmsim.labs.lab import Lab, Score, Test, Work, wrong
from mmsim.labs.workspace import read_answers, read_code, read_journal

BOXES = 2
"""Processes at a time."""


@dataclass(frozen=True)
class Mark:
    """What one test gave."""

    name: str
    points: float
    of: int
    passed: bool
    message: str
    bonus: bool = False


@dataclass(frozen=True)
class Grade:
    """What a folder got.  ``of`` leaves out what comes on top."""

    lab: int
    student: str
    marks: tuple[Mark, ...]
    of: int
    hints: int
    given: int
    hidden: int
    seconds: float

    @property
    def points(self) -> float:
        total = sum(mark.points for mark in self.marks)
        return round(total, 2)

    def as_json(self) -> dict[str, Any]:
        """For machines: points, of, tests."""
        return {
            "lab": self.lab,
            "student": self.student,
            "points": self.points,
            "of": self.of,
            "hints": self.hints,
            "given": self.given,
            "hidden": self.hidden,
            "seconds": round(self.seconds, 1),
            "tests": [vars(mark) for mark in self.marks],
        }

    def as_gradescope(self) -> dict[str, Any]:
        """Gradescope's results.json.  What comes on top has a maximum of 0, as extra credit has."""
        notes = [f"lab {self.lab}, student {self.student or '-'}, hints taken: {self.hints}"]
        if self.given:
            notes.append(f"TODO 1 to {self.given} came with their answers")
        return {
            "score": self.points,
            "execution_time": round(self.seconds),
            "output": "\n".join(notes),
            "visibility": "visible",
            "tests": [
                {
                    "name": mark.name,
                    "score": mark.points,
                    "max_score": 0 if mark.bonus else mark.of,
                    "status": "passed" if mark.passed else "failed",
                    "output": mark.message,
                }
                for mark in self.marks
            ],
        }


def grade(
    lab: Lab,
    folder: Path,
    *,
    student: str | None = None,
    hidden: int | None = None,
    quick: bool = False,
    told: Callable[[Mark], None] = lambda _: None,
) -> Grade:
    """Run the tests.  ``student`` if the teacher knows better than the folder whose it is;
    ``hidden`` to have a grading again; ``quick`` leaves out hidden seeds and what takes long.

    Raises UsageError if the folder is none of this lab.
    """
    begun = time.monotonic()
    journal = read_journal(lab, folder)
    who = journal.student if student is None else student
    trouble = ""
    try:
        answers = read_answers(folder)
    except UsageError as error:
        answers, trouble = {}, one_line(error)
    seed = secrets.randbits(32) if hidden is None else hidden
    work = Work(lab.number, folder, who, lab.drawn(who), answers, journal.predictions, seed, quick)
    tests = [test for test in lab.tests if not (quick and test.graded)]
    marks = []
    pool = ThreadPoolExecutor(max_workers=min(BOXES, os.cpu_count() or 1))
    try:
        boxes = {test.name: pool.submit(_score, lab, test, work) for test in tests if test.boxed}
        for test in tests:
            score = boxes[test.name].result() if test.boxed else _score(lab, test, work)
            message = score.message if score.passed or not trouble else trouble
            mark = Mark(
                test.name,
                round(test.points * min(max(score.share, 0.0), 1.0), 2),
                test.points,
                score.passed,
                message,
                test.bonus,
            )
            marks.append(mark)
            told(mark)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        end_all()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return Grade(
        lab.number, who, tuple(marks), lab.points, journal.hints, journal.given, seed,
        time.monotonic() - begun,
    )  # fmt: skip


def _score(lab: Lab, test: Test, work: Work) -> Score:
    try:
        if test.boxed:
            return boxed(lab, test, work, read_code(lab, work.folder))
        return test.judge(work)
    except (UsageError, InternalError, ValueError) as error:  # a cast that there is not, and so on
        return wrong(one_line(error))


def boxed(lab: Lab, test: Test, work: Work, source: str, *, unchecked: bool = False) -> Score:
    """One test in a process of its own.  ``unchecked`` skips the rules about the file."""
    job = {
        "lab": lab.number,
        "test": test.name,
        "work": _plain(work),
        "source": source,
        "unchecked": unchecked,
    }
    verdict = judged(job, Limits(seconds=test.seconds))
    return Score(verdict.share, verdict.message)


def _plain(work: Work) -> dict[str, Any]:
    values = {name: getattr(work, name) for name in Work.__dataclass_fields__}
    del values["functions"]
    return {**values, "folder": str(work.folder), "answers": _without_dates(work.answers)}


def _without_dates(answers: Mapping[str, Any]) -> Any:
    """TOML has dates, JSON has none."""
    return json.loads(json.dumps(answers, default=str))
