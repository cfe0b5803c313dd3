# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim rare VARIANT`: the chance of a run that plain sampling would not see."""

from __future__ import annotations

import argparse
import shlex
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsim.errors import UsageError, nearest
from mmsim.rare.known import find_levels
from mmsim.rare.levels import Marked
from mmsim.rare.policies import QUANTUM, Chosen
from mmsim.rare.splitting import Estimate, Found, Splitting
from mmsim.rare.summary import Summary, summary
from mmsim.run import MAX_CPUS, Runner
from mmsim.scenarios.api import Variant, Verdict
from mmsim.scenarios.cast import with_cast
from mmsim.stress import endless, store
from mmsim.stress.parser import MOST_SEED, whole
from mmsim.stress.source import Library, find_variant

HELP = "how likely a rare window is, step by step: importance splitting"
DESCRIPTION = """\
Estimate how likely a run is in which the steps of the thread's story are taken in their order, and
how likely one that then fails. Runs that have come as far as a step are gone on with, many times
each, and the shares that come one step further are multiplied. So a chance of one in a million is
told from some thousand runs, and where the way is narrow is told with it.

  python -m mmsim rare 001.419-dbg --quantum 1024     the chance, step by step
  python -m mmsim rare 001.419-dbg --list-levels      the steps, and how far plain runs come
  python -m mmsim rare 001.419-dbg --policy random-walk
  python -m mmsim rare 001.419-dbg --levels 2,4       split runs at these steps only
  python -m mmsim rare 910.mine --file mine.py        a race of your own, with LEVELS = {...}

`geometric` lets a context go on for --quantum effects on average; `random-walk` draws at every
effect who goes on. Other policies decide beforehand, so that runs gone on with would not differ.

Each estimate is unbiased, and there are --estimates of them, with random numbers of their own: how
far they lie apart is what you know of the error. If it is too far, raise --effort, the runs at each
level. docs/rare.md says how to read the outcome and how to declare levels.

It is the policy's chance per run. It is no rate of any hardware.

Exit code: 0 if there is an estimate, or none above 0 for a variant declared Never; 1 if no run
came through, so that nothing is known, or if a variant declared Never failed; 2 for a request that
makes no sense; 3 if interrupted, with what there was.
"""
NOTE = (
    "This is the policy's probability, per run of this cast. It is not the hardware's: "
    "no CPU draws lots for who goes on, and no run here lasts a known time."
)
TELL = 2.0  # seconds between lines of progress
MOST_FOUND = 5  # findings that are printed


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variant", help="the variant's id, such as 001.419-dbg")
    parser.add_argument("--cast", metavar="NAME", help="who takes part (default: the variant's)")
    parser.add_argument(
        "--cpus",
        type=whole(1, MAX_CPUS),
        metavar="N",
        help="CPUs (default 8; of a small cast, as many as it has)",
    )
    parser.add_argument(
        "--policy", default="geometric", metavar="NAME", help="geometric (default) or random-walk"
    )
    parser.add_argument(
        "--quantum",
        type=whole(2),
        metavar="N",
        help=f"of geometric: effects between two switches, on average (default {QUANTUM})",
    )
    parser.add_argument(
        "--effort", type=whole(2), default=100, metavar="N", help="runs at each level (100)"
    )
    parser.add_argument(
        "--estimates", type=whole(1), default=20, metavar="N", help="independent estimates (20)"
    )
    parser.add_argument(
        "--levels", metavar="N,N", help="split only at these steps (default: at all of them)"
    )
    parser.add_argument(
        "--list-levels",
        action="store_true",
        help="print the steps, and how far so many (--effort) runs from the beginning come",
    )
    parser.add_argument("--seed", type=whole(0, MOST_SEED), default=1, metavar="N", help="(1)")
    parser.add_argument("--json", metavar="FILE", help="write the outcome there")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")


@dataclass
class Question:
    """What was asked."""

    variant: Variant
    marked: Marked
    policy: Chosen
    cpus: int
    options: argparse.Namespace

    @property
    def says(self) -> list[str]:
        """What each stage is to come to: the levels at which runs are split, and a finding."""
        steps = self.marked.levels.steps
        return [steps[number - 1].says for number in self.marked.numbers] + ["a finding"]

    def reproduce(self, found: Found) -> str:
        """A command that shows the run again."""
        command = store.reproduce(self.options.variant, found.schedule, self.options.file)
        if self.options.cast:
            command += f" --cast {shlex.quote(self.options.cast)}"
        return command


@dataclass
class Outcome:
    """What is known, at any moment."""

    question: Question
    estimates: list[Estimate] = field(default_factory=list)
    interrupted: bool = False
    runs: int = 0
    effects: int = 0
    seconds: float = 0.0

    @property
    def found(self) -> dict[str, Found]:
        """Every kind of finding that was met on the way."""
        kinds: dict[str, Found] = {}
        for estimate in self.estimates:
            for found in estimate.found:
                kinds.setdefault(found.fingerprint, found)
        return kinds

    def shares(self) -> list[float | None]:
        """Of the runs of each stage, how many came further; None if there were none."""
        shares: list[float | None] = []
        for stage in range(len(self.question.says)):
            ran = [e for e in self.estimates if not stage or e.passed[stage - 1]]
            runs = sum(e.effort for e in ran)
            shares.append(sum(e.passed[stage] for e in ran) / runs if runs else None)
        return shares


def run(options: argparse.Namespace) -> int:
    question = _question(options)
    with (
        endless.watched(options.file),
        Runner(question.variant, cpus=question.cpus, seed=options.seed, engine="green") as runner,
    ):
        question.cpus = runner.cpus
        splitting = Splitting(
            runner,
            question.marked,
            question.policy,
            seed=options.seed,
            effort=options.effort,
        )
        if options.list_levels:
            return _list_levels(question, splitting)
        outcome = _estimate(question, splitting)
        unheard = [
            level.says
            for level, n in zip(question.marked.levels.steps, splitting.seen, strict=True)
            if not n
        ]
    kept = options.json is None or store.keep(options.json, _document(outcome))
    for line in _told(outcome, unheard):
        print(line)
    if outcome.interrupted or not kept:
        return 3
    never = question.variant.expect is Verdict.NEVER
    failed = any(estimate.any_finding for estimate in outcome.estimates)
    through = any(estimate.window for estimate in outcome.estimates)
    return int(failed) if never else int(not through)


def _question(options: argparse.Namespace) -> Question:
    policy = Chosen(options.policy, options.quantum or QUANTUM).check()
    if options.quantum and policy.name != "geometric":
        raise UsageError(f"--quantum is for geometric: {policy.name} draws at every effect")
    if options.json and not Path(options.json).resolve().parent.is_dir():
        raise UsageError(f"--json: there is no directory {Path(options.json).parent}")
    source = Library(options.file)
    variant = find_variant(source, options.variant)
    levels = find_levels(variant, source)
    try:
        marked = levels.only(_numbers(options.levels)) if options.levels else levels.all
    except UsageError as error:
        raise UsageError(f"--levels: {error}") from error
    cpus = options.cpus or 8
    if options.cast:
        small = variant.scenario.casts
        known = {*small, *(v.cast for v in variant.scenario.variants if v.cast)}
        if options.cast not in known:
            hint = nearest(options.cast, known)
            raise UsageError(f"scenario {variant.scenario.id} has no cast {options.cast!r}{hint}")
        cpus = options.cpus or getattr(small.get(options.cast), "cpus", 8)
        variant = with_cast(variant, options.cast)
    return Question(variant, marked, policy, cpus, options)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"{text!r} are no numbers with commas between them") from None


def _estimate(question: Question, splitting: Splitting) -> Outcome:
    options = question.options
    outcome = Outcome(question)
    begun = told = time.monotonic()
    planned = options.estimates * options.effort * len(question.says)

    def tell() -> None:
        nonlocal told
        now = time.monotonic()
        if now - told < TELL:
            return
        told = now
        done = len(outcome.estimates)
        skipped = sum(options.effort * len(question.says) - e.runs for e in outcome.estimates)
        left = (now - begun) / splitting.runs * (planned - skipped - splitting.runs)
        _progress(
            f"{question.variant.id}: estimate {done + 1} of {options.estimates}, "
            f"{splitting.runs:,} runs in {now - begun:.0f} s, at most {left:.0f} s left"
        )

    try:
        for number in range(options.estimates):
            outcome.estimates.append(splitting.estimate(number, tell))
    except KeyboardInterrupt:
        outcome.interrupted = True
    outcome.seconds = time.monotonic() - begun
    outcome.runs, outcome.effects = splitting.runs, splitting.effects
    return outcome


def _progress(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{text:<79}" if end == "\r" else text, end=end, file=sys.stderr, flush=True)


def _list_levels(question: Question, splitting: Splitting) -> int:
    """The steps, and how far plain runs come."""
    runs = question.options.effort
    told = time.monotonic()

    def tell() -> None:
        nonlocal told
        if time.monotonic() - told > TELL:
            told = time.monotonic()
            _progress(f"{question.variant.id}: {splitting.runs:,} of {runs:,} runs")

    findings = splitting.plainly(runs, tell)
    for line in _head(question):
        print(line)
    print(f"\n  level{'runs that came there':>73}")
    steps = question.marked.levels.steps
    for number, (level, arrived) in enumerate(zip(steps, splitting.arrived, strict=True), 1):
        for line in _row(str(number), level.says, f"{arrived} of {runs}"):
            print(line)
        for line in textwrap.wrap(
            _named(level), 76, initial_indent=" " * 7, subsequent_indent=" " * 9
        ):
            print(line)
    for line in _row("", "a finding", f"{findings} of {runs}"):
        print(line)
    unheard = [level.says for level, n in zip(steps, splitting.seen, strict=True) if not n]
    for line in _unheard(unheard):
        print(line)
    return 0


def _named(level: Any) -> str:
    """A level as it is declared."""
    said = [repr(level.does)] if level.does else []
    said += [
        f"{name}={getattr(level, name)!r}"
        for name in ("function", "party", "thing")
        if getattr(level, name)
    ]
    if callable(level.value):
        said.append("a value that it chooses")
    elif level.value is not ...:
        said.append(f"value={level.value!r}")
    return ", ".join(said)


def _head(question: Question) -> list[str]:
    lines = [question.variant.id]
    lines += textwrap.wrap(
        question.variant.summary, 78, initial_indent="  ", subsequent_indent="  "
    )
    cast = question.variant.cast or "own set-up"
    lines.append(f"  policy       {question.policy}")
    lines.append(f"  cast         {cast}, {question.cpus} CPUs, seed {question.options.seed}")
    return lines


def _row(number: str, says: str, value: str) -> list[str]:
    """A level and a number, in 80 columns."""
    lines = textwrap.wrap(says, 58) or [""]
    first = f"  {number:>2}  {lines[0]:<58} {value:>14}"
    return [first.rstrip(), *(f"      {line}" for line in lines[1:])]


def _told(outcome: Outcome, unheard: list[str]) -> list[str]:
    question = outcome.question
    options = question.options
    done = len(outcome.estimates)
    lines = _head(question)
    lines.append(f"  effort       {options.effort} runs a level, {options.estimates} estimates")
    lines.append(
        f"  cost         {outcome.runs:,} runs, {outcome.effects:,} effects, "
        f"{outcome.seconds:.0f} s"
    )
    if outcome.interrupted:
        lines.append(f"\nnot complete: {done} of {options.estimates} estimates")
    if not done:
        return lines
    lines.append(f"\n  level{'of those before it':>73}")
    numbers = [*map(str, question.marked.numbers), ""]
    for number, says, share in zip(numbers, question.says, outcome.shares(), strict=True):
        lines += _row(number, says, "-" if share is None else f"{share:.3g}")
    lines.append("")
    for what, estimates in _chances(outcome).items():
        lines += _spread(what, summary(estimates))
    lines.append("")
    lines += textwrap.wrap(NOTE, 78, initial_indent="  ", subsequent_indent="  ")
    lines += _conclusion(outcome)
    lines += _unheard(unheard)
    for found in list(outcome.found.values())[:MOST_FOUND]:
        lines += [f"  {found.title}  ({found.fingerprint})"]
        lines += [f"    Reproduce: {question.reproduce(found)}"]
    more = len(outcome.found) - MOST_FOUND
    if more > 0:
        lines.append(f"  and {more} more kinds of findings")
    return lines


def _chances(outcome: Outcome) -> dict[str, list[float]]:
    return {
        "all steps": [e.window for e in outcome.estimates],
        "then a finding": [e.finding for e in outcome.estimates],
        "any finding": [e.any_finding for e in outcome.estimates],
    }


def _spread(what: str, of: Summary) -> list[str]:
    error = "" if of.error is None else f" +- {of.error:.1g}"
    spread = "" if of.spread is None else f", spread x{of.spread:.2g}"
    zeros = f", {of.zeros} of them 0" if of.zeros else ""
    return [
        f"  {what:<16} {of.mean:.3g}{error} a run (mean)",
        f"  {'':<16} median {of.median:.3g}, quartiles {of.low:.3g} to {of.high:.3g}"
        f"{spread}{zeros}",
    ]


def _conclusion(outcome: Outcome) -> list[str]:
    """What the numbers are good for."""
    whole = summary([e.window for e in outcome.estimates])
    if whole.mean == 0:
        shares = outcome.shares()
        stage = next((n for n, share in enumerate(shares) if not share), len(shares) - 1)
        said = (
            f'No run came through: none came to "{outcome.question.says[stage]}". That is no '
            "bound: a larger --effort may come further, and a window that is closed stays closed."
        )
    else:
        plain = 1 / whole.mean
        said = (
            f"Plain sampling would take about {plain:,.0f} runs to see it once; "
            f"these were {outcome.runs:,}."
        )
        wide = whole.zeros or (whole.spread or 1) > 2
        if len(outcome.estimates) > 1 and wide:
            said += " The estimates lie far apart: raise --effort before you rely on them."
    return textwrap.wrap(said, 78, initial_indent="  ", subsequent_indent="  ")


def _unheard(levels: list[str]) -> list[str]:
    lines: list[str] = []
    for says in levels:
        said = f'No operation of any run has the name of the step "{says}".'
        lines += textwrap.wrap(said, 78, initial_indent="  ", subsequent_indent="  ")
    return lines


def _document(outcome: Outcome) -> dict[str, Any]:
    question = outcome.question
    options = question.options
    done = outcome.estimates
    return {
        "variant": options.variant,
        "cast": question.variant.cast or None,
        "file": options.file,
        "cpus": question.cpus,
        "policy": question.policy.name,
        "quantum": question.policy.quantum if question.policy.name == "geometric" else None,
        "seed": options.seed,
        "effort": options.effort,
        "estimates": options.estimates,
        "complete": not outcome.interrupted,
        "note": NOTE,
        "levels": [
            {"number": number, "says": says, "share": share}
            for number, says, share in zip(
                (*question.marked.numbers, None), question.says, outcome.shares(), strict=True
            )
        ],
        "chances": {
            what.replace(" ", "-"): {**summary(chances)._asdict(), "estimates": chances}
            for what, chances in (_chances(outcome) if done else {}).items()
        },
        "runs": outcome.runs,
        "effects": outcome.effects,
        "seconds": round(outcome.seconds, 3),
        "findings": [
            {
                "title": found.title,
                "fingerprint": found.fingerprint,
                "reproduce": question.reproduce(found),
            }
            for found in outcome.found.values()
        ],
    }
