# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim shrink VARIANT SCHEDULE`: the same finding, small enough to read."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from functools import partial

from mmsim.ablation.flipped import turned
from mmsim.cli.commands.replay import off
from mmsim.engine.memory.orders import NAMES as MEMORIES
from mmsim.errors import UsageError
from mmsim.run import Runner
from mmsim.scenarios.cast import with_cast
from mmsim.stress.shrinking import Shrinking
from mmsim.stress.source import Library, find_variant
from mmsim.stress.tally import Measure

HELP = "a recorded schedule with as few preemptions as possible"
DESCRIPTION = """\
Take a line that ends in a finding, and look for another that ends in the same finding (the same
fingerprint) with fewer preemptions, then with fewer turns and points. A preemption is a switch
away from a context that could have gone on; an interrupt that comes in counts as one. In a run
under weak memory (mm2) the loads of old values are made fewer before anything else.

With --memory the candidates run under another memory than the line: --memory sc tells whether a
finding under weak memory comes about in order, too. Loads take the old values of the line as far as
they may there.

What is left is no proof that fewer would not do. The exit code is 2 if the line is no schedule, is
stale, has no finding, or does not come to it under the memory that was asked for.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variant", help="the variant's id, such as 002.flawed")
    parser.add_argument("schedule", help="the schedule, a word that begins with mm1: or mm2:")
    parser.add_argument("--cast", metavar="NAME", help="it was recorded with this cast")
    parser.add_argument(
        "--seconds", type=float, default=30.0, metavar="S", help="stop after so long (default 30)"
    )
    parser.add_argument(
        "--memory", choices=MEMORIES, help="shrink under this memory; default: the schedule's"
    )
    parser.add_argument("--without", metavar="BARRIER", help="with this barrier off, as for replay")
    parser.add_argument("--turn", metavar="HUNK", help="with this hunk turned over, as for replay")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")


def run(options: argparse.Namespace) -> int:
    if not options.seconds > 0:
        raise UsageError(f"--seconds is {options.seconds}: it has to be more than 0")
    source = Library(options.file)
    variant = find_variant(source, options.variant)
    if options.cast:
        variant = with_cast(variant, options.cast)
    begun = told = time.monotonic()

    def tell(runs: int) -> None:
        nonlocal told
        if time.monotonic() - told > 2:
            told = time.monotonic()
            print(f"{variant.id}: {runs} runs", file=sys.stderr, flush=True)

    boots = partial(
        Runner,
        barriers=off(options.without),
        gates=turned(variant.gates, options.turn, options.file),
    )
    shrinking = Shrinking(
        variant, options.schedule, source, tell, memory=options.memory, boots=boots
    )
    shrunk = shrinking(lambda _: time.monotonic() - begun > options.seconds)
    line = shrunk.sample.schedule
    with boots(variant, cpus=shrinking.recorded.cpus, seed=0) as runner:
        finding = runner.replay(line).findings[0]  # under threads, as it will be read
    print(f"{finding.title}  ({finding.fingerprint})")
    for what, measure in (("recorded", shrunk.before), ("shrunk", shrunk.size)):
        print(f"  {what:<9}{_row(measure)}")
    stopped = "" if shrunk.complete else "; --seconds was over before everything was tried"
    print(f"  {shrinking.runs} runs in {time.monotonic() - begun:.1f} s{stopped}")
    command = ["python", "-m", "mmsim", "replay", options.variant, line]
    for option in ("cast", "without", "turn", "file"):
        if getattr(options, option):
            command += [f"--{option}", getattr(options, option)]
    print(f"  {shlex.join(command)}")
    return 0


def _row(measure: Measure) -> str:
    old = "" if measure.old_values is None else f" {measure.old_values:>4} old values"
    return (
        f"{measure.preemptions:>4} preemptions {measure.turns:>5} turns "
        f"{measure.points:>6} points{old}"
    )
