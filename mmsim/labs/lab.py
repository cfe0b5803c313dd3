# SPDX-License-Identifier: GPL-2.0-only
"""What a lab is: questions, numbers drawn for a student, reference answers, tests with points."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from mmsim.labs.rules import Rules

Answers = dict[str, dict[str, Any]]
"""The tables of ``answers.toml``."""

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Score:
    """What a test came to.  ``share`` is from 0 to 1, of its points."""

    share: float
    message: str = ""

    @property
    def passed(self) -> bool:
        return self.share >= 1


def right(message: str = "") -> Score:
    """All points."""
    return Score(1.0, message)


def wrong(message: str) -> Score:
    """None; ``message`` says what was expected and what came."""
    return Score(0.0, message)


def partly(share: float, message: str) -> Score:
    """Some."""
    return Score(share, message)


@dataclass(frozen=True)
class Work:
    """What a test looks at: a student's folder, read.

    ``drawn`` are the numbers of this student, ``hidden`` the seed nobody knew before, ``quick`` is
    true for a check while working: fewer runs, and no hidden ones.  ``functions`` are those of the
    student, in a boxed test.
    """

    number: int
    folder: Path
    student: str
    drawn: Mapping[str, Any]
    answers: Answers
    predictions: Mapping[str, Any]
    hidden: int
    quick: bool = False
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def answer(self, name: str) -> Any:
        """An answer, None if there is none."""
        return self.answers.get("answers", {}).get(name)

    def text(self, name: str) -> str:
        """An answer that is a text, without space around it; "" if there is none."""
        value = self.answer(name)
        return " ".join(value.split()) if isinstance(value, str) else ""

    def amount(self, name: str) -> float | None:
        """An answer that is a number; None if there is none."""
        value = self.answer(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            return None
        return None if value < 0 else float(value)


@dataclass(frozen=True)
class Test:
    """``judge`` says what a folder deserves for one thing.

    ``boxed``: it runs code of the student's, and has a process of its own with ``seconds`` of
    time.  ``bonus``: its points come on top.  ``graded``: only grading runs it, since it takes
    longer than one likes to wait for while working.
    """

    __test__: ClassVar[bool] = False  # none of pytest's

    name: str
    points: int
    judge: Callable[[Work], Score]
    boxed: bool = False
    seconds: int = 20
    bonus: bool = False
    graded: bool = False


@dataclass(frozen=True)
class Lab:
    """One lab.

    ``draw(rng)`` makes a student's numbers, which texts name as ``$name``; ``solve(drawn)`` the
    reference answers, for the teacher and for the tests of the lab itself.  ``predict`` names the
    predictions to be made before anything runs.  ``code`` is the student's Python file, if there is
    one: it has the functions that ``defines`` names, and may say what ``rules`` allow.
    ``replaces`` are the kernel functions, as ``module.function``, in whose place they are put.
    ``base`` is the variant whose kernel that is, ``casts`` who may play on it.
    ``play`` are the arguments of `python -m mmsim play`.  ``least`` is what an untouched skeleton
    gets.
    """

    number: int
    title: str
    thread: str
    minutes: int
    about: str
    predict: tuple[str, ...]
    tests: tuple[Test, ...]
    draw: Callable[[random.Random], dict[str, Any]]
    solve: Callable[[Mapping[str, Any]], dict[str, Any]]
    code: str = ""
    defines: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    rules: Rules = field(default_factory=lambda: Rules(()))
    base: str = ""
    casts: tuple[str, ...] = ()
    play: Callable[[Mapping[str, Any]], list[str]] = lambda _: []
    least: int = 0
    more: tuple[str, ...] = ()
    """Further files of the student's, texts with TODO marks like the others."""
    write: Callable[[str, Mapping[str, Any], bool], str | None] = lambda name, drawn, solution: None
    """A file that is not simply cut from its solution: (name, drawn, solution) -> its text."""
    corpus: str = "corpus.txt"

    @property
    def folder(self) -> Path:
        """Where its texts are."""
        return FOLDER / f"lab{self.number}"

    @property
    def points(self) -> int:
        """What there is to be had, without what comes on top."""
        return sum(test.points for test in self.tests if not test.bonus)

    def drawn(self, student: str) -> dict[str, Any]:
        """The numbers of one student: the same on every machine."""
        return self.draw(random.Random(f"mmsim lab {self.number}: {student}"))


def predicted(work: Work) -> Score:
    """Predictions count for having been made and explained, whatever came of them."""
    if not work.predictions:
        return wrong("no prediction was recorded before the first run: `lab check` records it")
    return right("recorded before the first run")


def essay(name: str, least: int, *about: str) -> Callable[[Work], Score]:
    """An answer in words: long enough, and about what was asked.

    ``about``: each is a word that has to occur, or several with ``|`` between them of which one
    has to.  What the words are worth is for a reader to say; the message hands them on.
    """

    def judge(work: Work) -> Score:
        text = work.text(name)
        n = len(text.split())
        if n < least:
            return wrong(f"{name}: {n} words; say it in at least {least}")
        lower = text.lower()
        missing = [words for words in about if not any(w in lower for w in words.split("|"))]
        if missing:
            said = ", ".join(words.replace("|", " or ") for words in missing)
            return partly(0.5, f"{name}: says nothing about {said}")
        return right(f"for the reader: {text[:400]}")

    return judge
