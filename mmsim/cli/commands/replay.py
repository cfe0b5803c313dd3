# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim replay VARIANT SCHEDULE`: one run again, exactly, and told in full."""

from __future__ import annotations

import argparse
import json
import shlex
from contextlib import nullcontext
from dataclasses import asdict

from mmsim.ablation.flipped import turned
from mmsim.cli import explain, pictures
from mmsim.cli.calls import recorded
from mmsim.engine.memory.orders import NAMES as MEMORIES
from mmsim.engine.memory.without import Barrier, Barriers
from mmsim.errors import UsageError
from mmsim.report.calltree import call_tree
from mmsim.report.locksets import lockset_table
from mmsim.scenarios.cast import with_cast
from mmsim.stress import endless
from mmsim.stress.source import Library, find_variant
from mmsim.stress.store import reproduce

HELP = "one recorded run again, exactly, with its report"
DESCRIPTION = """\
Replay the schedule that mmsim.stress printed on a `Reproduce:` line, and print the report of what
went wrong in it. The exit code is 0 if what was recorded occurred again, and 2 if the schedule no
longer fits the code (it is stale) or is no schedule at all. A schedule is data: nothing
in it is executed. A FILE.py is a program, and is.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variant", help="the variant's id, such as 002.flawed")
    parser.add_argument("schedule", help="the schedule, a word that begins with mm1: or mm2:")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")
    parser.add_argument("--cast", metavar="NAME", help="it was recorded with this cast")
    parser.add_argument(
        "--memory",
        choices=MEMORIES,
        help="the same order of effects, every load with the newest value, under this memory; "
        "default: what the schedule says (mm1 is sc)",
    )
    parser.add_argument(
        "--without",
        metavar="BARRIER",
        help="it was recorded with this barrier off, as `barriers` prints it: KIND/FUNCTION, and "
        "/WORD of an atomic",
    )
    parser.add_argument(
        "--turn",
        metavar="HUNK",
        help="it was recorded with this hunk turned over, as `ablate --prove` prints it: "
        "GATE@FUNCTION",
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "--keep-going",
        action="store_true",
        help="go on after the first finding, to see what follows from it",
    )
    end.add_argument(
        "--first", action="store_true", help="stop at the first finding (what happens anyway)"
    )
    parser.add_argument(
        "--decode",
        nargs="?",
        const="kernel",
        default="",
        choices=("kernel", "python"),
        metavar="WHAT",
        help="frames as symbol (file) of the kernel, which is what ksymoops or "
        "decode_stacktrace.sh do; with 'python' as symbol (file:line) of mmsim",
    )
    parser.add_argument(
        "--calls",
        action="store_true",
        help="print who called whom on which CPU, in the form of ftrace's function_graph",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        dest="whole",
        help="the columns show everything that was done to anything, from the first step",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    pictures.arguments(parser)


def run(options: argparse.Namespace) -> int:
    if not isinstance(options.schedule, str):  # what argparse makes of a second "--"
        raise UsageError("there is no schedule: give the word that begins with mm1: or mm2:")
    pictures.check(options)
    variant = find_variant(Library(options.file), options.variant)
    if options.cast:
        variant = with_cast(variant, options.cast)
    recording = recorded() if options.calls else nullcontext()
    with endless.watched(options.file), recording as recorder:
        told = explain.replay(
            variant,
            options.schedule,
            keep_going=options.keep_going,
            memory=options.memory,
            barriers=off(options.without),
            gates=turned(variant.gates, options.turn, options.file),
        )
    command = reproduce(variant.id, options.schedule, options.file)
    if options.cast:
        command += f" --cast {shlex.quote(options.cast)}"
    if options.without:
        command += f" --without {shlex.quote(options.without)}"
    if options.turn:
        command += f" --turn {shlex.quote(options.turn)}"
    findings = told.result.findings
    pictures.write(told, command, options)
    if options.json:
        data = {
            "variant": variant.id,
            "schedule": options.schedule,
            "reproduce": command,
            "steps": told.result.steps,
            "findings": [{"fingerprint": f.fingerprint, **asdict(f)} for f in findings],
        }
        if recorder is not None:
            data["calls"] = [asdict(call) for call in recorder.calls]
        print(json.dumps(data, indent=2))
        return 0
    if recorder is not None:
        print("\n".join(call_tree(recorder.calls)))
    for text in told.reports(command, options.decode, whole=options.whole):
        print(text.rstrip("\n"))
    if options.locksets:
        print(lockset_table(told.story, whole=options.whole))
    for finding in findings:
        print(f"fingerprint {finding.fingerprint}  {finding.title}")
    if not findings:
        print(f"{variant.id}: no finding in {told.result.steps} steps")
    return 0


def off(text: str | None) -> Barriers | None:
    """The barrier that `--without` names."""
    if not text:
        return None
    try:
        return Barriers(Barrier.parse(text))
    except ValueError as error:
        raise UsageError(str(error)) from error
