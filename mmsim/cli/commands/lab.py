# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim lab`: eight labs for a class, from `start` to `grade`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import sys
import textwrap
from pathlib import Path

from mmsim.errors import UsageError
from mmsim.labs import workspace
from mmsim.labs.catalogue import find, labs
from mmsim.labs.grading import Mark, grade
from mmsim.labs.lab import Lab
from mmsim.labs.lint import RULES, lint
from mmsim.labs.skeleton import todos

HELP = "labs: break a kernel, explain it, fix it, be graded"
DESCRIPTION = """\
Eight labs on five races of Linux memory management. Each is a folder with a README, questions in
answers.toml, and sometimes a kernel file to complete.

  python -m mmsim lab list                    what there is
  python -m mmsim lab start 1                 write the folder lab1
  python -m mmsim lab play 1                  be the scheduler
  python -m mmsim lab check 1                 how far am I? (as often as you like)
  python -m mmsim lab hint 1                  the next of four hints
  python -m mmsim lab grade 1                 points, test by test

Predictions come first: check and play want them in answers.toml before anything runs. For
teachers: `lab teach 1` prints the guide, docs/teaching.md says how to plan.

Exit code: 0 if all went well (grade: all points), 1 if something is missing, 2 for a request that
makes no sense, 3 if interrupted.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(metavar="verb", title="verbs", dest="verb")
    every = verbs.add_parser("list", help="the labs, with the time they take")
    every.add_argument("--json", action="store_true", help="for machines")

    start = _verb(verbs, "start", "write a lab's folder; what is there already stays")
    start.add_argument("--student", default="", metavar="ID", help="numbers of one's own")
    start.add_argument(
        "--given", type=int, default=0, metavar="N", help="with the answers to TODO 1 to N"
    )

    play = _verb(verbs, "play", "be the scheduler of the lab's kernel")
    play.add_argument("--text", action="store_true", help="in this terminal, not in a browser")

    _verb(verbs, "check", "what holds so far, without points")

    hint = _verb(verbs, "hint", "the next of four hints; they are counted, not punished")
    hint.add_argument("--again", action="store_true", help="those that were given already")

    grading = _verb(verbs, "grade", "points, test by test")
    grading.add_argument("--student", metavar="ID", help="whose it is, if the folder may lie")
    grading.add_argument("--hidden", type=int, metavar="SEED", help="the same hidden runs again")
    grading.add_argument("--json", action="store_true", help="for machines")
    grading.add_argument("--gradescope", metavar="FILE", help="write Gradescope's results.json")

    teach = verbs.add_parser("teach", help="for teachers: the guide to a lab, with its answers")
    teach.add_argument("number", type=int, metavar="N", help="the lab")
    teach.add_argument("--student", default="", metavar="ID", help="with the numbers of this one")
    teach.add_argument("--solution", metavar="DIR", help="write the reference solution there")

    report = verbs.add_parser("lint-report", help="does a report look like a mail to a list?")
    report.add_argument("file", metavar="FILE", help="report.md")


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=about)
    parser.add_argument("number", type=int, metavar="N", help="the lab")
    parser.add_argument(
        "folder", nargs="?", metavar="DIR", help="its folder (default: labN, or where you are)"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    if options.verb is None:
        raise UsageError("which verb? list, start, play, check, hint, grade, teach or lint-report")
    if options.verb == "list":
        return _list(options)
    if options.verb == "lint-report":
        return _lint(options)
    lab = find(options.number)
    if options.verb == "teach":
        return _teach(lab, options)
    folder = Path(options.folder) if options.folder else _folder(lab)
    verb = {"start": _start, "play": _play, "check": _check, "hint": _hint, "grade": _grade}
    return verb[options.verb](lab, folder, options)


def _folder(lab: Lab) -> Path:
    """labN, or where we are if that is a folder of this lab: people change into it."""
    usual = Path(f"lab{lab.number}")
    return Path() if not usual.exists() and workspace.is_of(lab, Path()) else usual


def _list(options: argparse.Namespace) -> int:
    if options.json:
        rows = [
            {
                "lab": lab.number,
                "title": lab.title,
                "thread": lab.thread,
                "minutes": lab.minutes,
                "points": lab.points,
                "code": lab.code,
                "about": lab.about,
            }
            for lab in labs()
        ]
        print(json.dumps(rows, indent=2))
        return 0
    for lab in labs():
        title = f"{lab.number}  {lab.title}"
        print(f"{title:<44} thread {lab.thread:<5} {lab.minutes:>4} min {lab.points:>3} points")
        print(textwrap.fill(lab.about, 76, initial_indent="   ", subsequent_indent="   "))
    print("\npython -m mmsim lab start 1")
    return 0


def _start(lab: Lab, folder: Path, options: argparse.Namespace) -> int:
    if options.given:
        known = todos((lab.folder / lab.code).read_text(encoding="utf-8")) if lab.code else []
        if options.given not in known:
            raise UsageError(f"--given {options.given}: lab {lab.number} has {len(known)} TODOs")
    written = workspace.start(lab, folder, options.student, options.given)
    if written:
        print(f"{folder}: {', '.join(written)}")
    else:
        print(f"{folder}: everything was there, and stays as it is")
    print(
        f"Read {folder / 'README.md'}, then write your predictions into {folder / 'answers.toml'}."
    )
    verb = "play" if lab.play(lab.drawn(options.student)) else "check"
    where = f" {shlex.quote(options.folder)}" if options.folder else ""
    print(f"Then: python -m mmsim lab {verb} {lab.number}{where}")
    return 0


def _play(lab: Lab, folder: Path, options: argparse.Namespace) -> int:
    journal = workspace.record_predictions(lab, folder)
    words = lab.play(lab.drawn(journal.student))
    if not words:
        raise UsageError(f"lab {lab.number} has nothing to play; its README says what to do")
    if options.text:
        words = [*words, "--text"]
    if importlib.util.find_spec("mmsim.cli.commands.play") is None:
        raise UsageError(
            f"this mmsim has no `play`; `python -m mmsim explore {shlex.join(words)}` finds such a "
            "run by itself"
        )
    from mmsim.cli import main

    return main(["play", *words])


def _check(lab: Lab, folder: Path, options: argparse.Namespace) -> int:
    first = not workspace.read_journal(lab, folder).predictions
    journal = workspace.record_predictions(lab, folder)
    if first:
        print("Your predictions are recorded; changing them now changes nothing.\n")
    journal.checks += 1
    workspace.write_journal(folder, journal)
    result = grade(lab, folder, quick=True, told=lambda mark: print(_line(mark, points=False)))
    done = sum(mark.passed for mark in result.marks)
    later = len(lab.tests) - len(result.marks)
    print(f"\n{done} of {len(result.marks)} hold", end="")
    print(f"; {later} more are looked at by `lab grade`" if later else "")
    return 0 if done == len(result.marks) else 1


def _hint(lab: Lab, folder: Path, options: argparse.Namespace) -> int:
    journal = workspace.read_journal(lab, folder)
    known = workspace.hints(lab, journal.student)
    if options.again:
        if not journal.hints:
            print("No hint was taken yet.")
        print("\n\n".join(known[: journal.hints]))
        return 0
    if journal.hints >= len(known):
        print(f"All {len(known)} hints were given; `lab hint {lab.number} --again` shows them.")
        return 1
    print(known[journal.hints])
    journal.hints += 1
    workspace.write_journal(folder, journal)
    print(f"\n(hint {journal.hints} of {len(known)})")
    return 0


def _grade(lab: Lab, folder: Path, options: argparse.Namespace) -> int:
    place = options.gradescope
    if place and not Path(place).resolve().parent.is_dir():
        raise UsageError(f"--gradescope: there is no directory {Path(place).parent}")

    def told(mark: Mark) -> None:
        if not options.json:
            print(_line(mark, points=True), flush=True)
        elif sys.stderr.isatty():
            print(f"{mark.points:g} of {mark.of}  {mark.name}", file=sys.stderr, flush=True)

    result = grade(lab, folder, student=options.student, hidden=options.hidden, told=told)
    if place:
        Path(place).write_text(json.dumps(result.as_gradescope(), indent=2) + "\n", "utf-8")
    if options.json:
        print(json.dumps(result.as_json(), indent=2))
    else:
        print(f"\n{result.points:g} of {result.of} points", end="")
        print(f", hints taken: {result.hints}; hidden runs: --hidden {result.hidden}")
    return 0 if result.points >= result.of else 1


def _line(mark: Mark, *, points: bool) -> str:
    sign = "ok  " if mark.passed else "part" if mark.points else "no  "
    sign = f"{mark.points:>4g} of {mark.of:<3}" if points else sign
    top = "  on top" if mark.bonus and points else ""
    lines = [f"{sign} {mark.name}{top}"]
    for part in mark.message.splitlines():
        if part.startswith("python -m"):  # to be pasted
            lines.append(part)
            continue
        pad = " " * (12 if points else 5)
        lines.append(textwrap.fill(
            part, 78, initial_indent=pad, subsequent_indent=pad,
            break_long_words=False, break_on_hyphens=False,
        ))  # fmt: skip
    return "\n".join(lines)


def _teach(lab: Lab, options: argparse.Namespace) -> int:
    print(workspace.text(lab, "teach.md", options.student).rstrip())
    if options.solution:
        print("\nlooking for the reference answers ...", file=sys.stderr)
        workspace.solved(lab, Path(options.solution), options.student)
        print(f"\nThe reference solution is in {options.solution}.")
    return 0


def _lint(options: argparse.Namespace) -> int:
    file = Path(options.file)
    try:
        trouble = lint(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{file}: {what}") from error
    for line in trouble:
        print(line)
    print(f"{len(RULES) - len(trouble)} of {len(RULES)} rules hold")
    return 1 if trouble else 0
