# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim explore VARIANT`: every execution of a small cast, up to equivalence."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mmsim.engine.explore.search import LONGEST
from mmsim.errors import UsageError
from mmsim.exploration import checkpoint
from mmsim.exploration.checkpoint import Checkpoint
from mmsim.exploration.crew import Crew
from mmsim.exploration.estimate import Estimate, in_words
from mmsim.exploration.explorer import Explorer, Question
from mmsim.exploration.tree import Tree
from mmsim.run import MAX_CPUS
from mmsim.scenarios.api import Verdict
from mmsim.stress.parser import MOST_JOBS, whole

HELP = "every execution of a small cast: proof that a variant cannot fail, or a schedule"
DESCRIPTION = """\
Run a variant in every order of events that could make a difference, each once (source-DPOR with
sleep sets). If that comes to an end without a finding, the variant cannot fail with this cast and
these interrupts:

  Never (exhaustive: ...)       every execution was run, up to the order of independent events
  Never up to k preemptions     with --bound k: every schedule with so few switches
  found                         with a line that `python -m mmsim replay` shows again
  incomplete                    a limit was reached first: this says nothing about what was not run

A cast is part of the claim: two or three actors are explored in seconds, eight never. `--cast`
names one; without it the variant's own set-up is run with `--cpus` CPUs. An interrupt that comes in
counts as a preemption. A finding ends its execution, so there may be more behind it.

`--jobs` splits the tree over processes, with the same counts as one would come to. Ctrl-C saves
the search, and so does a limit with `--save`; `--resume` goes on with it, with any number of jobs,
and comes to the same counts as if it had never stopped.

Exit code: 0 if the question is settled as the variant declares, 1 if it is open or settled
otherwise, 2 for a request that makes no sense, 3 if interrupted.
"""
TELL = 2.0  # seconds between lines of progress
MOST_RACES = 40  # lines that --races prints


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "variant",
        nargs="?",
        help="the variant's id, such as 002.flawed (with --resume: not needed)",
    )
    parser.add_argument("--cast", metavar="NAME", help="who takes part (default: the variant's)")
    parser.add_argument("--cpus", type=int, metavar="N", help="CPUs (default 2)")
    parser.add_argument(
        "--bound", type=int, metavar="K", help="only schedules with at most K preemptions"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N executions")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        metavar="S",
        help="stop after so long (default 60; 0: no limit)",
    )
    parser.add_argument("--first", action="store_true", help="stop at the first finding")
    parser.add_argument(
        "--jobs", type=whole(1, MOST_JOBS), default=1, metavar="N", help="processes (1)"
    )
    parser.add_argument(
        "--save", metavar="FILE", help="where to keep a search that stops before its end"
    )
    parser.add_argument("--resume", metavar="FILE", help="go on with a search that was kept")
    parser.add_argument("--races", action="store_true", help="print what was reversed, how often")
    parser.add_argument("--seed", type=int, metavar="N", help="of the set-up's draws (default 1)")
    parser.add_argument("--json", metavar="FILE", help="write the outcome there")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")


@dataclass
class Outcome:
    """What is known of the question, at any moment."""

    explorer: Explorer
    tree: Tree
    before: float = 0.0
    """Seconds that were spent before this search was gone on with."""
    begun: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    interrupted: bool = False
    saved: Path | None = None
    estimate: Estimate = field(default_factory=Estimate)
    told: float = field(default_factory=time.monotonic)

    @property
    def question(self) -> Question:
        return self.explorer.question

    @property
    def cast(self) -> str:
        return self.explorer.variant.cast or "own set-up"

    @property
    def complete(self) -> bool:
        return self.tree.complete and not self.tree.cut

    @property
    def verdict(self) -> str:
        if self.tree.findings:
            return "found"
        if not self.complete:
            return "incomplete"
        return "never-exhaustive" if self.question.bound is None else "never-bounded"

    def reproduce(self, schedule: str) -> str:
        """A command that shows the schedule again."""
        question = self.question
        command = ["python", "-m", "mmsim", "replay", question.variant, schedule]
        if question.cast:
            command += ["--cast", question.cast]
        if question.file:
            command += ["--file", question.file]
        return shlex.join(command)


def run(options: argparse.Namespace) -> int:
    _check(options)
    question, tree, kept = _question(options)
    try:
        explorer = Explorer(question)
        if kept is not None and kept.code != explorer.code:
            raise UsageError(
                f"--resume: {options.resume} was saved by other code ({kept.code}, this is "
                f"{explorer.code}): its choices may lead elsewhere now; explore anew"
            )
        outcome = Outcome(explorer, tree, kept.seconds if kept is not None else 0.0)
        with explorer, _kept(outcome, options):
            _explore(outcome, options)
    except ValueError as error:
        if question.cast and question.cast in str(error):
            raise UsageError(str(error)) from error
        raise
    if options.json:
        _write(outcome, options)
    for line in _told(outcome, options):
        print(line)
    if outcome.interrupted:
        return 3
    never = outcome.explorer.variant.expect is Verdict.NEVER
    right = {"found": not never, "incomplete": False}.get(outcome.verdict, never)
    return 0 if right else 1


def _question(options: argparse.Namespace) -> tuple[Question, Tree, Checkpoint | None]:
    asked = {
        "variant": options.variant,
        "cast": options.cast,
        "cpus": options.cpus,
        "seed": options.seed,
        "bound": options.bound,
        "file": options.file,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    if not options.resume:
        if not options.variant:
            raise UsageError("explore needs a variant, such as 002.flawed, or --resume FILE")
        return Question(**given, races=options.races), Tree(), None
    kept = checkpoint.load(Path(options.resume))
    for name, value in given.items():
        if getattr(kept.question, name) != value:
            what = "the variant" if name == "variant" else f"--{name}"
            raise UsageError(
                f"{options.resume} was saved with {name} {getattr(kept.question, name)!r}: "
                f"{what} cannot be {value!r} when it goes on"
            )
    if options.races and not kept.question.races:
        raise UsageError(f"{options.resume} was begun without --races, and cannot tell them")
    return kept.question, kept.tree, kept


@contextmanager
def _kept(outcome: Outcome, options: argparse.Namespace) -> Iterator[None]:
    """See to it that a search which stops early can go on."""
    try:
        yield
    except KeyboardInterrupt:
        outcome.interrupted = True
    outcome.seconds = outcome.before + time.monotonic() - outcome.begun
    if outcome.tree.complete or not (outcome.interrupted or options.save or options.resume):
        return
    question = outcome.question
    name = "-".join(filter(None, ("explore", question.variant, question.cast)))
    file = Path(options.save or options.resume or f"{name.replace('/', '_')}.json")
    Checkpoint(question, outcome.explorer.code, outcome.tree, outcome.seconds).save(file)
    outcome.saved = file


def _check(options: argparse.Namespace) -> None:
    if options.cpus is not None and not 1 <= options.cpus <= MAX_CPUS:
        raise UsageError(f"--cpus is {options.cpus}: it has to be 1 to {MAX_CPUS}")
    if options.bound is not None and options.bound < 0:
        raise UsageError(f"--bound is {options.bound}: it has to be 0 or more")
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit is {options.limit}: it has to be 1 or more")
    if not options.seconds >= 0:
        raise UsageError(f"--seconds is {options.seconds}: it has to be 0 or more")
    for name, file in (("json", options.json), ("save", options.save)):
        if file and not Path(file).resolve().parent.is_dir():
            raise UsageError(f"--{name}: there is no directory {Path(file).parent}")


def _explore(outcome: Outcome, options: argparse.Namespace) -> None:
    tree = outcome.tree

    def enough(executions: int, found: bool, explored: float) -> bool:
        now = time.monotonic()
        if now - outcome.told > TELL:
            outcome.told = now
            _progress(outcome, executions, explored)
        return (
            (options.first and found)
            or (options.seconds > 0 and now - outcome.begun > options.seconds)
            or (options.limit is not None and executions >= options.limit)
        )

    if options.jobs > 1:
        with Crew(outcome.question, tree, options.jobs) as crew:
            crew.explore(
                lambda: enough(tree.executions, bool(tree.findings), tree.explored()),
            )
        return
    explorer, search = outcome.explorer, outcome.explorer.search
    while not tree.complete:
        explorer.load(tree.frames, 0, tree.knowledge)
        part = None
        try:
            part = explorer.part(
                0,
                lambda: enough(
                    tree.executions + search.executions,
                    bool(tree.findings or explorer.findings),
                    search.explored(),
                ),
            )
        finally:
            if part is None:
                part = explorer.so_far(0)
            if part.again is None:
                tree.frames = []
                tree.take(part)
        if part.again is None:
            return
        tree.start_again(part.again)


def _progress(outcome: Outcome, executions: int, explored: float) -> None:
    outcome.estimate.add(executions, explored)
    seconds = outcome.before + time.monotonic() - outcome.begun
    text = (
        f"{outcome.question.variant}: {executions:,} executions in {seconds:.0f} s, "
        f"{in_words(outcome.estimate.guess(), executions)}"
    )
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{text:<79}", end=end, file=sys.stderr, flush=True)


def _told(outcome: Outcome, options: argparse.Namespace) -> list[str]:
    tree, explorer = outcome.tree, outcome.explorer
    lines = [outcome.question.variant]
    lines += textwrap.wrap(
        explorer.variant.summary, 78, initial_indent="  ", subsequent_indent="  "
    )
    for what, names in (
        ("cast", [f"{outcome.cast}:", *explorer.cast.tasks]),
        ("interrupts", explorer.cast.interrupts or ["none"]),
    ):
        lines += textwrap.wrap(
            " ".join(names), 78, initial_indent=f"  {what:<13}", subsequent_indent=" " * 15
        )
    if explorer.draws:
        lines.append("  set-up       draws at random: what is said holds for this draw (--seed)")
    shared, words = explorer.search.words.count()
    lines.append(f"  words        {shared} shared of {words} touched")
    rate = tree.executions / outcome.seconds if outcome.seconds else 0
    lines.append(
        f"  executions   {tree.executions} in {outcome.seconds:.1f} s ({rate:.0f} a second), "
        f"{tree.blocked} more cut short"
    )
    guess = outcome.estimate.guess()
    if not tree.complete and guess is not None:
        lines.append(f"  estimate     {in_words(guess, tree.executions)}")
    if options.races:
        lines += _races(tree)
    lines.append("")
    lines += _verdict(outcome)
    for found in tree.findings.values():
        command = outcome.reproduce(found.schedule)
        lines += [f"  {found.title}  ({found.fingerprint})", f"    {command}"]
    if outcome.saved is not None:
        lines.append(
            f"  go on: {shlex.join(('python', '-m', 'mmsim', 'explore', '--resume'))} "
            f"{shlex.quote(str(outcome.saved))}"
        )
    return lines


def _races(tree: Tree) -> list[str]:
    lines = ["  reversed     times, what came first, and what was then made to come before it"]
    counted = tree.reversed.most_common()
    for (one, other), n in counted[:MOST_RACES]:
        lines += textwrap.wrap(
            f"{one} <- {other}", 78, initial_indent=f"  {n:>11}  ", subsequent_indent=" " * 17
        )
    if len(counted) > MOST_RACES:
        lines.append(f"  {'':>11}  and {len(counted) - MOST_RACES} more")
    return lines


def _verdict(outcome: Outcome) -> list[str]:
    tree = outcome.tree
    n = tree.executions
    if outcome.verdict == "found":
        whole = "all of them were run" if outcome.complete else "there are more"
        return [f"found, first in execution {tree.first}; {n} executions, {whole}"]
    irqs = ", ".join(outcome.explorer.cast.lines) or "none"
    if outcome.verdict == "never-exhaustive":
        return [f"Never (exhaustive: cast {outcome.cast}, interrupts {irqs}, {n} executions)"]
    if outcome.verdict == "never-bounded":
        bound = outcome.question.bound
        return [f"Never up to {bound} preemptions (cast {outcome.cast}, {n} executions)"]
    why = (
        "interrupted"
        if outcome.interrupted
        else f"{tree.cut} executions had more than {LONGEST} effects"
        if tree.complete
        else "a limit was reached"
    )
    return [f"incomplete: {why}; no finding in the {n} executions that were run"]


def _write(outcome: Outcome, options: argparse.Namespace) -> None:
    tree, explorer = outcome.tree, outcome.explorer
    guess = outcome.estimate.guess()
    data = {
        "variant": outcome.question.variant,
        "cast": outcome.cast,
        "cpus": outcome.question.cpus,
        "tasks": explorer.cast.tasks,
        "interrupts": explorer.cast.interrupts,
        "verdict": outcome.verdict,
        "bound": outcome.question.bound,
        "executions": tree.executions,
        "blocked": tree.blocked,
        "cut": tree.cut,
        "longest": LONGEST,
        "complete": outcome.complete,
        "estimate": None if tree.complete or guess is None else guess._asdict(),
        "restarts": tree.restarts,
        "first": tree.first,
        "jobs": options.jobs,
        "seconds": round(outcome.seconds, 3),
        "findings": [
            {
                "title": found.title,
                "fingerprint": found.fingerprint,
                "reproduce": outcome.reproduce(found.schedule),
            }
            for found in tree.findings.values()
        ],
    }
    Path(options.json).write_text(json.dumps(data, indent=2) + "\n")
