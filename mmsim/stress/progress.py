# SPDX-License-Identifier: GPL-2.0-only
"""What is shown while a campaign runs, on standard error.

On a terminal a row for each mail thread, filled in place; elsewhere (a log, a pipe) a plain line
now and then, because a log of ten thousand carriage returns helps nobody. Results never come
through here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.table import Table

from mmsim.stress.output import by_thread, console
from mmsim.stress.plan import Campaign
from mmsim.stress.tally import Tally

PLAIN_SECONDS = 10.0
PER_SECOND = 4
BAR = 16


def seconds_left(campaign: Campaign, elapsed: float) -> float | None:
    """As fast as until now; None: nobody knows yet.

    A lane that stops at enough findings will need, at its rate so far, so many runs more; one that
    waits for its twin gets, as far as is known, what it has. So the figure moves, mostly down.
    """
    work = sum(lane.tally.seconds for lane in campaign.lanes.values())
    runs = campaign.runs
    if not work or not runs:
        return None
    left = 0.0
    for lane in campaign.lanes.values():
        if lane.finished:
            continue
        more = lane.left
        if more is None:
            return None
        tally = lane.tally
        left += more * (tally.seconds / tally.runs if tally.runs else work / runs)
    return left * elapsed / work


def clock(seconds: float | None) -> str:
    """`1:05`, or dashes."""
    return "-:--" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Plain:
    """A line every ten seconds."""

    def __init__(
        self,
        file: TextIO,
        interval: float = PLAIN_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._interval = interval
        self._now = now
        self._start = now()
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
        now = self._now()
        if now < self._next:
            return
        self._next = now + self._interval
        through = sum(campaign.through(tally.variant.id) for tally in campaign.tallies)
        elapsed = now - self._start
        self._line(
            f"{clock(elapsed)}  {through} of {len(campaign.tallies)} variants, {runs:,} runs, "
            f"{findings:,} findings; left {clock(seconds_left(campaign, elapsed))}"
        )

    def variant_done(self, tally: Tally) -> None:
        """Nothing to say: the next line counts it."""

    def trouble(self, message: str) -> None:
        self._line(message)


class Live:
    """A row for each mail thread, filled in place."""

    def __init__(self, file: TextIO) -> None:
        self._screen = Screen(
            console=console(file),
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._start = time.monotonic()
        self._next = 0.0

    def __enter__(self) -> Live:
        self._screen.start()
        self._screen.update("starting")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._screen.stop()

    def progress(self, campaign: Campaign, runs: int, findings: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1 / PER_SECOND
        self._screen.update(self.rows(campaign, runs, findings, now - self._start))

    def rows(self, campaign: Campaign, runs: int, findings: int, elapsed: float) -> Table:
        """What stands on the screen."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("thread", "variants", "", "runs", "findings", "left"):
            right = name in ("variants", "runs", "findings", "left")
            table.add_column(name, justify="right" if right else "left", no_wrap=True)
        for thread, tallies in by_thread(campaign.tallies):
            through = sum(campaign.through(tally.variant.id) for tally in tallies)
            table.add_row(
                thread,
                f"{through}/{len(tallies)}",
                ProgressBar(total=len(tallies), completed=through, width=BAR),
                f"{sum(tally.runs for tally in tallies):,}",
                f"{sum(tally.findings for tally in tallies):,}",
                "",
            )
        left = clock(seconds_left(campaign, elapsed))
        table.add_row("in all", "", clock(elapsed), f"{runs:,}", f"{findings:,}", left)
        return table

    def variant_done(self, tally: Tally) -> None:
        """Nothing to do: the next rows count it."""

    def trouble(self, message: str) -> None:
        self._screen.console.out(f"mmsim.stress: {message}", highlight=False)


def watcher(file: TextIO) -> Plain | Live:
    """What suits the place that progress goes to."""
    return Live(file) if file.isatty() else Plain(file)
