# SPDX-License-Identifier: GPL-2.0-only
"""A student's folder: what is in it, and what has been done there.

``answers.toml`` and the code are the student's.  ``journal.json`` is ours: who it is for, the
predictions as they were before the first run, hints taken.  It is an honest note and no seal: who
edits it deceives a teacher, not a program.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from mmsim.errors import UsageError, one_line
from mmsim.labs.lab import Answers, Lab
from mmsim.labs.skeleton import skeleton, whole

JOURNAL = "journal.json"
ANSWERS = "answers.toml"
LEAST_WORDS = 3
"""Of a prediction."""
_LONGEST = 200_000


@dataclass
class Journal:
    """What has been done in a folder.  ``given`` TODOs came with their answers."""

    lab: int
    student: str = ""
    predictions: dict[str, Any] = field(default_factory=dict)
    hints: int = 0
    checks: int = 0
    given: int = 0


def text(lab: Lab, name: str, student: str, *, solution: bool = False, given: int = 0) -> str:
    """A text of the lab with the student's numbers in it."""
    source = lab.write(name, lab.drawn(student), solution)
    if source is not None:
        return source
    source = (lab.folder / name).read_text(encoding="utf-8")
    if name in (ANSWERS, lab.code, *lab.more):
        source = whole(source) if solution else skeleton(source, given)
    drawn = {"student": student or "nobody", **lab.drawn(student)}
    return Template(source).safe_substitute({k: str(v) for k, v in drawn.items()})


def start(lab: Lab, folder: Path, student: str, given: int = 0) -> list[str]:
    """Write what is not there yet; what was written.  Files that are there stay as they are.

    Raises UsageError for a folder of another lab or another student.
    """
    if (folder / JOURNAL).is_file():
        journal = read_journal(lab, folder)
        if student and journal.student != student:
            raise UsageError(
                f"{folder} was started for the student {journal.student!r}, not {student!r}"
            )
        student = journal.student
    elif folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a lab needs a folder")
    else:
        journal = Journal(lab.number, student, given=given)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if given > journal.given:
            _keep_aside(lab, folder)
            journal.given = given
        written = []
        for name in names(lab):
            if not (folder / name).exists():
                content = text(lab, name, student, given=journal.given)
                (folder / name).write_text(content, encoding="utf-8")
                written.append(name)
        write_journal(folder, journal)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from error
    return written


def names(lab: Lab) -> list[str]:
    """Files of a folder, besides the journal."""
    return ["README.md", ANSWERS, *([lab.code] if lab.code else []), *lab.more]


def _keep_aside(lab: Lab, folder: Path) -> None:
    """The code so far, before one with more answers in it takes its place."""
    if lab.code and (folder / lab.code).exists():
        n = 1
        while (folder / f"{lab.code}.{n}").exists():
            n += 1
        shutil.move(folder / lab.code, folder / f"{lab.code}.{n}")


def solved(lab: Lab, folder: Path, student: str) -> None:
    """Write the reference solution, predictions recorded: for teachers, and for tests."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names(lab):
        if name != ANSWERS:
            content = text(lab, name, student, solution=True)
            (folder / name).write_text(content, encoding="utf-8")
    answers = lab.solve(lab.drawn(student))
    predictions = dict.fromkeys(lab.predict, "as the answer key says, for the reason it gives")
    (folder / ANSWERS).write_text(_toml({"predict": predictions, "answers": answers}), "utf-8")
    write_journal(folder, Journal(lab.number, student, predictions))


def _toml(tables: Answers) -> str:
    lines = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        # a JSON text, number or list is a TOML one
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def read_journal(lab: Lab, folder: Path) -> Journal:
    """Raises UsageError if the folder is none of this lab."""
    try:
        data = json.loads(_read(folder / JOURNAL))
        journal = Journal(**data)
    except FileNotFoundError:
        begin = f"`python -m mmsim lab start {lab.number} {folder}` begins one"
        raise UsageError(f"{folder} holds no lab: {begin}") from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{folder / JOURNAL}: {one_line(error)}") from error
    if journal.lab != lab.number:
        raise UsageError(f"{folder} holds lab {journal.lab}, not lab {lab.number}")
    if not isinstance(journal.student, str) or not isinstance(journal.predictions, dict):
        raise UsageError(f"{folder / JOURNAL}: student or predictions is of the wrong kind")
    return journal


def is_of(lab: Lab, folder: Path) -> bool:
    """Is it a folder of this lab?"""
    try:
        read_journal(lab, folder)
    except UsageError:
        return False
    return True


def write_journal(folder: Path, journal: Journal) -> None:
    """Keep it."""
    content = json.dumps(vars(journal), indent=2) + "\n"
    (folder / JOURNAL).write_text(content, encoding="utf-8")


def read_answers(folder: Path) -> Answers:
    """Raises UsageError with the line if it is no TOML, or is missing."""
    try:
        found = tomllib.loads(_read(folder / ANSWERS))
    except FileNotFoundError:
        raise UsageError(f"{folder / ANSWERS} is missing; `lab start` writes it anew") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{folder / ANSWERS}: {one_line(error)}") from error
    return {name: table for name, table in found.items() if isinstance(table, dict)}


def read_code(lab: Lab, folder: Path) -> str:
    """The student's file.  Raises UsageError."""
    try:
        return _read(folder / lab.code)
    except FileNotFoundError:
        raise UsageError(f"{folder / lab.code} is missing; `lab start` writes it anew") from None


def _read(file: Path) -> str:
    """A file of a student's, if it is one of a size that a student writes."""
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise UsageError(f"{file} is not an ordinary file")
    if file.exists() and file.stat().st_size > _LONGEST:
        raise UsageError(f"{file} has more than {_LONGEST} bytes")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error.reason}") from error


def record_predictions(lab: Lab, folder: Path) -> Journal:
    """The gate before the first run: predictions are taken down as they stand.

    Raises UsageError, naming those that are missing.  Later changes of the file change nothing.
    """
    journal = read_journal(lab, folder)
    if journal.predictions:
        return journal
    made = read_answers(folder).get("predict", {})
    missing = [name for name in lab.predict if len(str(made.get(name, "")).split()) < LEAST_WORDS]
    if missing:
        raise UsageError(
            f"predict first, then run: {', '.join(missing)} in {folder / ANSWERS} "
            f"{'needs' if len(missing) == 1 else 'need'} at least {LEAST_WORDS} words"
        )
    journal.predictions = {name: str(made[name]) for name in lab.predict}
    write_journal(folder, journal)
    return journal


def hints(lab: Lab, student: str) -> list[str]:
    """The four hints: where to look, which window, the interleaving, the idea of the patch."""
    parts = re.split(r"(?m)^## ", text(lab, "hints.md", student))
    return ["## " + part.strip() for part in parts[1:]]
