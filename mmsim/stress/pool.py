# SPDX-License-Identifier: GPL-2.0-only
"""Worker processes: start them, feed them, replace the ones that die, stop them all.

A process that simulates a crash may well have one (a bug in an extension module, the kernel's
own out-of-memory killer, somebody's `kill -9`). What it was running is then lost, and only
that: each worker has a pipe of its own, so a death is an end of file on that pipe and harms no
other. The block is given up and named, a new worker takes the place, and the campaign ends as
incomplete.

Workers are spawned and never forked: a fork copies locks that other threads hold.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Protocol

from mmsim.errors import InternalError, UsageError
from mmsim.stress import interrupts, worker
from mmsim.stress.plan import Campaign
from mmsim.stress.pulse import Pulse
from mmsim.stress.tally import Block, BlockResult, Tally
from mmsim.stress.worker import Beat, Broken, Setting

SILENCE_SECONDS = 60.0
"""A worker that says nothing for so long is stuck (see `pulse`); a run takes milliseconds."""

POLL_SECONDS = 0.25
DEATHS_IN_A_ROW = 6


class Observer(Protocol):
    """Whoever watches the campaign."""

    def progress(self, campaign: Campaign, runs: int, findings: int) -> None:
        """So many runs and findings, those of blocks under way included."""

    def variant_done(self, tally: Tally) -> None: ...
    def trouble(self, message: str) -> None: ...


@dataclass
class _Seat:
    """A place for one worker, whoever sits there now."""

    number: int
    process: BaseProcess
    pipe: Connection
    pulse: Pulse
    block: Block | None = None
    beat: Beat = field(default_factory=lambda: Beat(0, 0))


class Pool:
    """The workers of one campaign."""

    def __init__(
        self, jobs: int, setting: Setting, *, pin: bool = True, silence: float = SILENCE_SECONDS
    ) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._setting = setting
        self._cores = worker.cores() if pin else ()
        self._silence = silence
        self._deaths_in_a_row = 0
        self._seats: list[_Seat] = []
        for number in range(jobs):
            if interrupts.heard():  # sixteen workers take a while to start
                break
            self._seats.append(self._start(number))

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(patient=kind is None)

    @property
    def pids(self) -> list[int | None]:
        return [seat.process.pid for seat in self._seats]

    def _start(self, number: int) -> _Seat:
        ours, theirs = self._context.Pipe()
        core = worker.core_of(number, self._cores) if self._cores else None
        process = self._context.Process(
            target=worker.main,
            args=(theirs, self._setting, core),
            name=f"mmsim-worker-{number}",
            daemon=True,
        )
        with _deaf_child():
            process.start()
        theirs.close()
        return _Seat(number, process, ours, Pulse(process.pid, self._silence))

    def run(self, campaign: Campaign, observer: Observer, alarm: int | None = None) -> None:
        """Run the campaign to its end, or until its deadline.

        ``alarm`` is a descriptor that becomes readable when there is an interrupt; that, and
        nothing else, ends it with KeyboardInterrupt (see `interrupts.gathered`).
        """
        bell = [] if alarm is None else [alarm]
        while True:
            if interrupts.heard():
                raise KeyboardInterrupt
            for seat in self._seats:
                if seat.block is None:
                    self._feed(seat, campaign, observer)
            busy = [seat for seat in self._seats if seat.block is not None]
            if not busy:
                return
            ready = wait([*bell, *(seat.pipe for seat in busy)], POLL_SECONDS)
            for seat in busy:
                if interrupts.heard():  # a worker may have died of the same signal
                    break
                if seat.pipe in ready:
                    self._listen(seat, campaign, observer)
                elif seat.pulse.stopped():
                    seat.process.kill()
                    self._bury(seat, campaign, observer, f"was silent for {self._silence:.0f} s")
            under_way = [seat.beat for seat in self._seats if seat.block is not None]
            observer.progress(
                campaign,
                campaign.runs + sum(beat.runs for beat in under_way),
                campaign.findings + sum(beat.findings for beat in under_way),
            )

    def _feed(self, seat: _Seat, campaign: Campaign, observer: Observer) -> None:
        deadline = self._setting.deadline
        if deadline is not None and time.monotonic() >= deadline:
            return
        block = campaign.next_block()
        if block is None:
            return
        seat.block, seat.beat = block, Beat(0, 0)
        seat.pulse.heard()
        try:
            seat.pipe.send(block)
        except OSError:
            self._bury(seat, campaign, observer, "died")

    def _listen(self, seat: _Seat, campaign: Campaign, observer: Observer) -> None:
        try:
            message = seat.pipe.recv()
        except Exception:  # cut off in the middle of a message: any of a dozen unpickling errors
            self._bury(seat, campaign, observer, "died")
            return
        seat.pulse.heard()
        if isinstance(message, Beat):
            seat.beat = message
            return
        self._deaths_in_a_row = 0
        block, seat.block = seat.block, None
        assert block is not None
        if isinstance(message, Broken):
            if message.usage:
                raise UsageError(message.message)
            self._lose(block, campaign, observer, f"internal error in {block}\n{message.message}")
        else:
            self._keep(block, message, campaign, observer)

    def _bury(self, seat: _Seat, campaign: Campaign, observer: Observer, how: str) -> None:
        """Take a dead worker away, give its block up, and start another in its seat."""
        seat.process.join(5)
        where = f" (core {worker.core_of(seat.number, self._cores)})" if self._cores else ""
        if how == "died":
            how = _cause_of_death(seat.process.exitcode)
        message = f"worker {seat.number}{where} {how}; lost: {seat.block}"
        block = seat.block
        assert block is not None
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row >= DEATHS_IN_A_ROW:
            raise InternalError(f"{message}; {DEATHS_IN_A_ROW} workers in a row died, giving up")
        self._lose(block, campaign, observer, message)
        self._replace(seat)

    def _replace(self, seat: _Seat) -> None:
        seat.process.kill()
        seat.process.join()
        seat.pipe.close()
        self._seats[self._seats.index(seat)] = self._start(seat.number)

    def _lose(self, block: Block, campaign: Campaign, observer: Observer, message: str) -> None:
        campaign.lost.append(message)
        observer.trouble(message)
        self._keep(block, None, campaign, observer)

    def _keep(
        self, block: Block, result: BlockResult | None, campaign: Campaign, observer: Observer
    ) -> None:
        if campaign.put(block, result):
            observer.variant_done(campaign.lanes[block.variant].tally)

    def close(self, *, patient: bool = True) -> None:
        """Stop every worker; patient ones are let out by the door."""
        try:
            for seat in self._seats:
                seat.pipe.close()
                if not patient or seat.block is not None:
                    seat.process.kill()
            until = time.monotonic() + 2.0
            for seat in self._seats:
                seat.process.join(max(0.0, until - time.monotonic()))
        finally:  # workers are deaf to everything but this
            for seat in self._seats:
                seat.process.kill()
            for seat in self._seats:
                seat.process.join()
            self._seats.clear()


def _cause_of_death(code: int | None) -> str:
    if code is None:
        return "closed its pipe"
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


@contextlib.contextmanager
def _deaf_child() -> Iterator[None]:
    """A child started inside this hears no interrupt, from its first instruction on.

    The signals are held back and not ignored: one that comes meanwhile is ours, and is delivered
    afterwards. (The tracker of multiprocessing lets them through when it starts, hence before.)
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
