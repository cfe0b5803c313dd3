# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim explore VARIANT`: every execution of a small cast, up to equivalence."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsim.engine.context import TASK
from mmsim.engine.explore import Bounded, Dpor, NotQuiet, Search, Stopped
from mmsim.engine.instruments import Instrument
from mmsim.engine.memory.orders import SC
from mmsim.engine.policy import Geometric
from mmsim.engine.seeds import run_seed, stream
from mmsim.errors import UsageError
from mmsim.run import MAX_CPUS, Runner
from mmsim.scenarios.api import Variant, Verdict
from mmsim.scenarios.cast import with_cast
from mmsim.stress.source import Library, find_variant

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

Exit code: 0 if the question is settled as the variant declares, 1 if it is open or settled
otherwise, 2 for a request that makes no sense, 3 if interrupted.
"""
LEARN = 40  # executions at random, to learn which words are shared
TELL = 2.0  # seconds between lines of progress


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variant", help="the variant's id, such as 002.flawed")
    parser.add_argument("--cast", metavar="NAME", help="who takes part (default: the variant's)")
    parser.add_argument("--cpus", type=int, default=2, metavar="N", help="CPUs (default 2)")
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
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the set-up's draws")
    parser.add_argument("--json", metavar="FILE", help="write the outcome there")
    parser.add_argument("--file", metavar="FILE.py", help="the variant is in a file of your own")


@dataclass
class Outcome:
    """What is known when the exploration ends."""

    variant: Variant
    cast: str
    cpus: int
    bound: int | None
    search: Search
    drawn: bool = False  # the set-up drew random numbers
    seconds: float = 0.0
    complete: bool = False
    interrupted: bool = False
    first: int | None = None  # executions up to the first finding
    findings: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.findings:
            return "found"
        if not self.complete or self.search.cut:
            return "incomplete"
        return "never-exhaustive" if self.bound is None else "never-bounded"

    def interrupts(self) -> list[str]:
        return [
            f"{c.comm} ({c.kind} on CPU{c.cpu.id})"
            for c in self.search.cast()
            if c.kind is not TASK
        ]

    def tasks(self) -> list[str]:
        return [f"{c.comm} (CPU{c.cpu.id})" for c in self.search.cast() if c.kind is TASK]


class _Draws(Instrument):
    """Remembers whether the set-up drew random numbers."""

    def __init__(self) -> None:
        self.drawn = False

    def before(self, ctx: Any, step: int, op: Any, obj: Any, args: tuple[Any, ...]) -> None:
        from mmsim.engine.door import door

        self.drawn = self.drawn or door.machine._rng is not None


def run(options: argparse.Namespace) -> int:
    _check(options)
    variant = find_variant(Library(options.file), options.variant)
    if variant.memory not in ("", SC):
        raise UsageError(
            f"{variant.id} runs under memory {variant.memory}: what is explored is in order; "
            "`python -m mmsim litmus` knows all executions of a few lines"
        )
    if options.cast:
        variant = with_cast(variant, options.cast)
    search: Search = Dpor() if options.bound is None else Bounded(options.bound)
    outcome = Outcome(variant, variant.cast or "own set-up", options.cpus, options.bound, search)
    try:
        _explore(outcome, options)
    except ValueError as error:
        if options.cast and options.cast in str(error):
            raise UsageError(str(error)) from error
        raise
    except KeyboardInterrupt:
        outcome.interrupted = True
    if options.json:
        _write(outcome, options.json)
    for line in _told(outcome):
        print(line)
    if outcome.interrupted:
        return 3
    never = variant.expect is Verdict.NEVER
    right = {"found": not never, "incomplete": False}.get(outcome.verdict, never)
    return 0 if right else 1


def _check(options: argparse.Namespace) -> None:
    if not 1 <= options.cpus <= MAX_CPUS:
        raise UsageError(f"--cpus is {options.cpus}: it has to be 1 to {MAX_CPUS}")
    if options.bound is not None and options.bound < 0:
        raise UsageError(f"--bound is {options.bound}: it has to be 0 or more")
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit is {options.limit}: it has to be 1 or more")
    if not options.seconds >= 0:
        raise UsageError(f"--seconds is {options.seconds}: it has to be 0 or more")
    if options.json and not Path(options.json).resolve().parent.is_dir():
        raise UsageError(f"--json: there is no directory {Path(options.json).parent}")


def _explore(outcome: Outcome, options: argparse.Namespace) -> None:
    search, variant = outcome.search, outcome.variant
    begun = told = time.monotonic()
    seed = run_seed(options.seed, variant.id, 0)
    with Runner(
        variant, cpus=options.cpus, seed=options.seed, engine="green", memory="sc"
    ) as runner:
        draws = _Draws()
        for n in range(LEARN):
            walk = Geometric(stream(n, "learn"), (0.5, 0.1, 0.02)[n % 3])
            runner.run_with(walk, seed, instruments=[search.learner(), draws])
        outcome.drawn = draws.drawn
        search.words.settle()
        try:
            while search.more():
                try:
                    result = runner.run_with(search, seed)
                except (Stopped, NotQuiet):
                    search.done()
                else:
                    search.done()
                    for found in result.findings[:1]:
                        if outcome.first is None:
                            outcome.first = search.executions
                        command = _reproduce(options, result.schedule)
                        outcome.findings.setdefault(
                            found.title, (found.title, found.fingerprint, command)
                        )
                now = time.monotonic()
                outcome.seconds = now - begun
                if now - told > TELL:
                    told = now
                    _progress(outcome)
                if options.first and outcome.findings:
                    return
                if options.seconds and outcome.seconds > options.seconds:
                    return
                if options.limit and search.executions >= options.limit:
                    # that nothing is left after the last one is no limit reached
                    break
            outcome.complete = not search.more()
        finally:
            outcome.seconds = time.monotonic() - begun


def _reproduce(options: argparse.Namespace, schedule: str) -> str:
    command = ["python", "-m", "mmsim", "replay", options.variant, schedule]
    if options.cast:
        command += ["--cast", options.cast]
    if options.file:
        command += ["--file", options.file]
    return shlex.join(command)


def _progress(outcome: Outcome) -> None:
    search = outcome.search
    text = (
        f"{outcome.variant.id}: {search.executions} executions in {outcome.seconds:.0f} s, "
        f"{len(outcome.findings)} kinds of findings, at most {search.explored():.0%} explored"
    )
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{text:<79}", end=end, file=sys.stderr, flush=True)


def _told(outcome: Outcome) -> Sequence[str]:
    search = outcome.search
    lines = [outcome.variant.id]
    lines += textwrap.wrap(outcome.variant.summary, 78, initial_indent="  ", subsequent_indent="  ")
    for what, names in (
        ("cast", [f"{outcome.cast}:", *outcome.tasks()]),
        ("interrupts", outcome.interrupts() or ["none"]),
    ):
        lines += textwrap.wrap(
            " ".join(names), 78, initial_indent=f"  {what:<13}", subsequent_indent=" " * 15
        )
    if outcome.drawn:
        lines.append("  set-up       draws at random: what is said holds for this draw (--seed)")
    shared, words = search.words.count()
    lines.append(f"  words        {shared} shared of {words} touched")
    rate = search.executions / outcome.seconds if outcome.seconds else 0
    lines.append(
        f"  executions   {search.executions} in {outcome.seconds:.1f} s ({rate:.0f} a second), "
        f"{search.blocked} more cut short"
    )
    lines.append("")
    lines += _verdict(outcome)
    for title, fingerprint, command in outcome.findings.values():
        lines += [f"  {title}  ({fingerprint})", f"    {command}"]
    return lines


def _verdict(outcome: Outcome) -> list[str]:
    search, n = outcome.search, outcome.search.executions
    if outcome.verdict == "found":
        whole = "all of them were run" if outcome.complete and not search.cut else "there are more"
        return [f"found, first in execution {outcome.first}; {n} executions, {whole}"]
    irqs = ", ".join(c.comm for c in search.cast() if c.kind is not TASK) or "none"
    if outcome.verdict == "never-exhaustive":
        return [f"Never (exhaustive: cast {outcome.cast}, interrupts {irqs}, {n} executions)"]
    if outcome.verdict == "never-bounded":
        return [f"Never up to {outcome.bound} preemptions (cast {outcome.cast}, {n} executions)"]
    why = (
        "interrupted"
        if outcome.interrupted
        else f"{search.cut} executions had more than {search.longest} effects"
        if outcome.complete
        else "a limit was reached"
    )
    return [f"incomplete: {why}; no finding in the {n} executions that were run"]


def _write(outcome: Outcome, file: str) -> None:
    search = outcome.search
    data = {
        "variant": outcome.variant.id,
        "cast": outcome.cast,
        "cpus": outcome.cpus,
        "tasks": outcome.tasks(),
        "interrupts": outcome.interrupts(),
        "verdict": outcome.verdict,
        "bound": outcome.bound,
        "executions": search.executions,
        "blocked": search.blocked,
        "cut": search.cut,
        "longest": search.longest,
        "complete": outcome.complete and not search.cut,
        "first": outcome.first,
        "seconds": round(outcome.seconds, 3),
        "findings": [
            {"title": title, "fingerprint": fingerprint, "reproduce": command}
            for title, fingerprint, command in outcome.findings.values()
        ],
    }
    Path(file).write_text(json.dumps(data, indent=2) + "\n")
