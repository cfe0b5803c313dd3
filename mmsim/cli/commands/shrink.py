# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim shrink VARIANT SCHEDULE`: the same finding, small enough to read."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from functools import partial

from mmsim.cli.commands.replay import off
from mmsim.engine.explore.shrink import Attempt, Plan, Turning, Turns, shrink
from mmsim.engine.memory.orders import NAMES as MEMORIES
from mmsim.engine.memory.weak import Planned, planned
from mmsim.engine.schedule import WEAK, BadSchedule, Schedule
from mmsim.errors import StaleSchedule, UsageError
from mmsim.run import NO_FINDING, Runner
from mmsim.scenarios.cast import with_cast
from mmsim.stress.source import Library, find_variant

HELP = "a recorded schedule with as few preemptions as possible"
DESCRIPTION = """\
Take a line that ends in a finding, and look for another that ends in the same finding (the same
fingerprint) with fewer preemptions, then with fewer turns and effects. A preemption is a switch
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
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")


def run(options: argparse.Namespace) -> int:
    if not options.seconds > 0:
        raise UsageError(f"--seconds is {options.seconds}: it has to be more than 0")
    variant = find_variant(Library(options.file), options.variant)
    if options.cast:
        variant = with_cast(variant, options.cast)
    try:
        recorded = Schedule.parse(options.schedule)
    except BadSchedule as error:
        raise UsageError(str(error)) from error
    begun = told = time.monotonic()
    runs = 0
    boots = partial(Runner, variant, cpus=recorded.cpus, seed=0, barriers=off(options.without))
    with boots(engine="green") as runner:
        runner.replay(options.schedule)
    if recorded.fingerprint == NO_FINDING:
        raise UsageError("the schedule ends without a finding: there is nothing to shrink")
    memory = options.memory or recorded.memory
    with boots(engine="green", memory=memory) as runner:

        def attempt(turns: Turns, plan: Plan) -> Attempt:
            nonlocal runs, told
            runs += 1
            if time.monotonic() - told > 2:
                told = time.monotonic()
                print(f"{variant.id}: {runs} runs", file=sys.stderr, flush=True)
            policy = Turning(turns)
            result = runner.run_with(policy, recorded.seed, reads=Planned(dict(plan)))
            if not result.findings:
                return Attempt(NO_FINDING, 0, 0, (), "")
            happened = Schedule.parse(result.schedule)
            return Attempt(
                result.findings[0].fingerprint,
                policy.preemptions,
                result.steps,
                happened.segments,
                result.schedule,
                tuple(planned(happened.segments, happened.reads).items()),
            )

        wanted = tuple(planned(recorded.segments, recorded.reads).items())
        first = attempt(recorded.segments, wanted)
        if first.fingerprint != recorded.fingerprint:
            if memory != recorded.memory:
                raise UsageError(
                    f"under memory {memory} this order of effects does not come to the finding"
                )
            raise StaleSchedule("the schedule cannot be followed by turns to its finding")
        best = shrink(first, attempt, lambda: time.monotonic() - begun > options.seconds)
    with boots() as runner:
        title = runner.replay(best.line).findings[0].title  # under threads, as it will be read
    print(f"{title}  ({best.fingerprint})")
    for what, one in (("recorded", first), ("shrunk", best)):
        print(
            f"  {what:<9}{one.preemptions:>4} preemptions {len(one.turns):>5} turns "
            f"{one.effects:>6} effects{_old(one)}"
        )
    print(f"  {runs} runs in {time.monotonic() - begun:.1f} s")
    command = ["python", "-m", "mmsim", "replay", options.variant, best.line]
    for option in ("cast", "without", "file"):
        if getattr(options, option):
            command += [f"--{option}", getattr(options, option)]
    print(f"  {shlex.join(command)}")
    return 0


def _old(attempt: Attempt) -> str:
    """How many loads did not take the newest value, where that can be."""
    return f" {len(attempt.plan):>4} old values" if attempt.line.startswith(WEAK) else ""
