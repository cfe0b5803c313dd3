# SPDX-License-Identifier: GPL-2.0-only
"""What is shown while a campaign runs, on standard error.

On a terminal one live line; elsewhere (a log, a pipe) a plain line now and then, because a log
of ten thousand carriage returns helps nobody. Results never come through here.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from mmsim.stress.output import console
from mmsim.stress.plan import Campaign
from mmsim.stress.tally import Tally

PLAIN_SECONDS = 10.0


class Plain:
    """A line for every variant that is through, and one every ten seconds."""

    def __init__(self, file: TextIO, interval: float = PLAIN_SECONDS) -> None:
        self._file = file
        self._interval = interval
        self._start = time.monotonic()
        self._next = self._start + interval

    def __enter__(self) -> Plain:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.flush()

    def _line(self, text: str) -> None:
        print(f"mmsim.stress: {text}", file=self._file, flush=True)

    def progress(self, campaign: Campaign, runs: int, findings: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._interval
        of = f" of at most {campaign.wanted:,}" if campaign.wanted is not None else ""
        self._line(f"{runs:,}{of} runs, {findings:,} findings, {now - self._start:.0f} s")

    def variant_done(self, tally: Tally) -> None:
        self._line(f"{tally.variant.id} done: {tally.findings:,} findings in {tally.runs:,} runs")

    def trouble(self, message: str) -> None:
        self._line(message)


class Live:
    """One line that moves."""

    def __init__(self, file: TextIO) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[runs]} runs  {task.fields[findings]} findings"),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            console=console(file),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(
            "starting", total=None, runs="0", findings="0", speed=""
        )
        self._start = time.monotonic()
        self._done = 0

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def progress(self, campaign: Campaign, runs: int, findings: int) -> None:
        seconds = max(time.monotonic() - self._start, 1e-3)
        self._progress.update(
            self._task,
            description=f"{self._done}/{len(campaign.lanes)} variants",
            total=campaign.wanted,
            completed=runs,
            runs=f"{runs:,}",
            findings=f"{findings:,}",
            speed=f"{runs / seconds:,.0f}/s",
        )

    def variant_done(self, tally: Tally) -> None:
        self._done += 1

    def trouble(self, message: str) -> None:
        self._progress.console.out(f"mmsim.stress: {message}", highlight=False)


def watcher(file: TextIO) -> Plain | Live:
    """What suits the place that progress goes to."""
    return Live(file) if file.isatty() else Plain(file)
