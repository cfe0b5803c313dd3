# SPDX-License-Identifier: GPL-2.0-only
"""A failing run, told: replay its schedule with somebody listening.

Searching is done without instruments, since they cost time; one run is then replayed with one,
since the schedule brings it back exactly. What comes out is what the search could not afford to
keep: who touched the page, in which order, on which CPU.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass

from mmsim import report
from mmsim.detect.finding import Finding
from mmsim.engine.memory.without import Barriers
from mmsim.engine.schedule import SEQUENTIAL, BadSchedule, Schedule
from mmsim.errors import UsageError
from mmsim.report.lanes import TOTAL_WIDTH
from mmsim.report.record import Recorder
from mmsim.report.story import Story
from mmsim.run import Runner, RunResult
from mmsim.scenarios.api import Variant

LINES = 40  # of the columns, unless all are asked for


def _width() -> int:
    """Columns fit the terminal; where there is none they have a width of their own."""
    if not sys.stdout.isatty():
        return TOTAL_WIDTH
    return max(60, min(TOTAL_WIDTH, shutil.get_terminal_size().columns))


@dataclass(frozen=True)
class Told:
    """A replayed run and everything that happened in it."""

    variant: Variant
    schedule: str
    result: RunResult
    story: Story

    def reports(self, reproduce: str, decode: str = "", *, whole: bool = False) -> list[str]:
        """The report of each finding, in the order they came; ``decode`` as in mmsim.report.

        ``whole``: what every CPU did to every object, from the start.
        """
        findings = self.result.findings
        events = self.story.events
        return [
            report.render(
                finding,
                variant=self.variant,
                reproduce=reproduce,
                lanes=report.lanes(
                    [event for event in events if event.step <= finding.step],
                    focus=None if whole else self._focus(finding),
                    limit=None if whole else LINES,
                    width=_width(),
                ),
                earlier=findings[:place],
                decode=decode,
                run={"engine": "threads", "policy": "replay", **self._memory()},
            )
            for place, finding in enumerate(findings)
        ]

    def _memory(self) -> dict[str, str]:
        name = Schedule.parse(self.schedule).memory
        return {} if name == SEQUENTIAL else {"memory": name}

    def _focus(self, finding: Finding) -> str | None:
        """The name that events have for the page of a finding."""
        if finding.page is None:
            return None
        name = f"pfn:{finding.page.pfn:05x}"
        return name if any(event.obj == name for event in self.story.events) else None


def replay(
    variant: Variant,
    schedule: str,
    *,
    keep_going: bool = False,
    memory: str | None = None,
    barriers: Barriers | None = None,
    gates: frozenset[str] | None = None,
) -> Told:
    """Replay a schedule with its own number of CPUs. Raises UsageError or StaleSchedule.

    With another ``memory`` than its own: the same order of effects, and what comes of it there.
    ``barriers`` takes away the one that it was recorded without; ``gates`` are booted in place of
    the variant's own.
    """
    try:
        recorded = Schedule.parse(schedule)
    except BadSchedule as error:
        raise UsageError(str(error)) from error
    recorder = Recorder()
    with Runner(variant, cpus=recorded.cpus, seed=0, barriers=barriers, gates=gates) as runner:
        result = runner.replay(
            recorded, instruments=[recorder], keep_going=keep_going, memory=memory
        )
    return Told(variant, schedule, result, recorder.story(result.findings))
