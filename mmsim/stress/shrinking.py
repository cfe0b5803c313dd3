# SPDX-License-Identifier: GPL-2.0-only
"""Recorded lines made small: one of them, and those of the findings that a campaign prints.

Runs are greenlets', in this process.  The limit is in effects and not in seconds, so that two
campaigns with one seed print the same lines; the limit in seconds is for files whose set-up takes
much longer than those of mmsim's own scenarios.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mmsim.engine.explore.shrink import Attempt, Plan, Turning, Turns, shrink
from mmsim.engine.memory.weak import Planned, planned
from mmsim.engine.schedule import WEAK, BadSchedule, Schedule
from mmsim.errors import StaleSchedule, UsageError, one_line
from mmsim.stress import endless, interrupts
from mmsim.stress.source import Source
from mmsim.stress.tally import Kind, Measure, Sample, Shrunk

if TYPE_CHECKING:
    from mmsim.run import Runner
    from mmsim.scenarios.api import Variant

ENGINE = "green"
BOOT = 3_000
"""Effects that take as long as to boot a machine and to check it, roughly."""
MOST_EFFECTS = 3_500_000
"""A line, boots included: some four seconds of one core."""
MOST_SECONDS = 20.0
"""Of this thread's own time, a line."""
TELL = 2.0


class Shrinking:
    """One recorded line of ``variant``, replayed and made small.

    ``memory``, if given, is what the candidates run under in place of the line's; ``boots`` makes
    their runners in place of the source.  Raises UsageError for a line that is none, has no finding
    or does not come to it under that memory, and StaleSchedule for one that does not come back.
    """

    def __init__(
        self,
        variant: Variant,
        line: str,
        source: Source,
        told: Callable[[int], None] = lambda runs: None,
        *,
        memory: str | None = None,
        boots: Callable[..., Runner] | None = None,
    ) -> None:
        from mmsim.run import NO_FINDING

        try:
            self.recorded = Schedule.parse(line)
        except BadSchedule as error:
            raise UsageError(str(error)) from error
        if self.recorded.fingerprint == NO_FINDING:
            raise UsageError("the schedule ends without a finding: there is nothing to shrink")
        self._none = Attempt(NO_FINDING, 0, 0, (), "")
        self._variant = variant
        self._memory = memory or self.recorded.memory
        self._boots = boots or source.runner
        self._line = line
        self._source = source
        self._told = told
        self.runs = 0
        self.effects = 0
        """Of all runs, boots included."""
        self._stopped = False
        self.first = self.best = self._none

    def __call__(self, enough: Callable[[Shrinking], bool]) -> Shrunk:
        """Make it as small as can be before ``enough(self)`` says to stop."""
        recorded = self.recorded
        with endless.watched(self._source.file), self._runner(recorded.memory) as runner:
            runner.replay(self._line)
        with endless.watched(self._source.file), self._runner(self._memory) as runner:
            self.first = self.best = self._attempt(
                runner,
                recorded.segments,
                tuple(planned(recorded.segments, recorded.reads).items()),
            )
            if self.first.fingerprint != recorded.fingerprint:
                if self._memory != recorded.memory:
                    raise UsageError(
                        f"under memory {self._memory} this order of effects does not come to the "
                        "finding"
                    )
                raise StaleSchedule("the schedule cannot be followed by turns to its finding")
            self.best = shrink(
                self.first, partial(self._attempt, runner), lambda: self._stop(enough)
            )
            found = runner.replay(self.best.line).findings[0]
        return Shrunk(
            Sample(found, self.best.line),
            _measured(self.best),
            _measured(self.first),
            complete=not self._stopped,
        )

    def _runner(self, memory: str) -> Runner:
        variant = replace(self._variant, memory=memory)
        return self._boots(variant, cpus=self.recorded.cpus, seed=0, engine=ENGINE, policy="mix")

    def _stop(self, enough: Callable[[Shrinking], bool]) -> bool:
        self._stopped = self._stopped or enough(self)
        return self._stopped

    def _attempt(self, runner: Runner, turns: Turns, plan: Plan) -> Attempt:
        self.runs += 1
        self._told(self.runs)
        policy = Turning(turns)
        result = runner.run_with(policy, self.recorded.seed, reads=Planned(dict(plan)))
        self.effects += BOOT + result.steps
        if not result.findings:
            return self._none
        happened = Schedule.parse(result.schedule)
        return Attempt(
            result.findings[0].fingerprint,
            policy.preemptions,
            result.steps,
            happened.segments,
            result.schedule,
            tuple(planned(happened.segments, happened.reads).items()),
        )


def _measured(attempt: Attempt) -> Measure:
    old = len(attempt.plan) if attempt.line.startswith(WEAK) else None
    return Measure(attempt.preemptions, len(attempt.turns), attempt.effects, old)


def limit() -> Callable[[Shrinking], bool]:
    """When a line has had its share."""
    begun = time.thread_time()
    return lambda shrinking: (
        shrinking.effects >= MOST_EFFECTS
        or time.thread_time() - begun > MOST_SECONDS
        or interrupts.heard()
    )


def shrink_kinds(kinds: Iterable[tuple[Variant, Kind]], source: Source) -> None:
    """Give each kind its shrunk line, or the reason why it has none.

    An interrupt ends it; kinds that it has not come to keep their lines.
    """
    if ENGINE not in source.engines():
        return
    wanted = [(variant, kind) for variant, kind in kinds if kind.shrunk is None]
    told = time.monotonic()

    def tell(place: int, runs: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL:
            told = time.monotonic()
            text = f"making lines small: {place} of {len(wanted)}, {runs} runs"
            print(f"mmsim.stress: {text}", file=sys.stderr, flush=True)

    with interrupts.gathered():
        for place, (variant, kind) in enumerate(wanted, 1):
            if interrupts.heard():
                kind.unshrunk = "interrupted"
                continue
            try:
                line, say = kind.sample.schedule, partial(tell, place)
                kind.shrunk = Shrinking(variant, line, source, say)(limit())
            except KeyboardInterrupt:
                kind.unshrunk = "interrupted"
            except Exception as error:  # a file may raise anything; what was counted is not lost
                kind.unshrunk = one_line(error)
