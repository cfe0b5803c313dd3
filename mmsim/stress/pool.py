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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from mmsim.errors import InternalError
from mmsim.stress import interrupts, worker
from mmsim.stress.crew import POLL_SECONDS, Crew, Observer
from mmsim.stress.plan import Campaign
from mmsim.stress.pulse import Pulse
from mmsim.stress.tally import Block
from mmsim.stress.worker import Beat, Setting

SILENCE_SECONDS = 60.0
"""A worker that says nothing for so long is stuck (see `pulse`); a run takes milliseconds."""

DEATHS_IN_A_ROW = 6


@dataclass
class _Seat:
    """A place for one worker, whoever sits there now."""

    number: int
    process: BaseProcess
    pipe: Connection
    pulse: Pulse
    block: Block | None = None
    beat: Beat = field(default_factory=lambda: Beat(0, 0))


class Pool(Crew):
    """The workers of one campaign."""

    def __init__(
        self, jobs: int, setting: Setting, *, pin: bool = True, silence: float = SILENCE_SECONDS
    ) -> None:
        super().__init__(setting)
        self._context = multiprocessing.get_context("spawn")
        self._cores = worker.cores() if pin else ()
        self._silence = silence
        self._deaths_in_a_row = 0
        self._seats: list[_Seat] = []
        for number in range(jobs):
            if interrupts.heard():  # sixteen workers take a while to start
                break
            self._seats.append(self._start(number))

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
        with deaf_child():
            process.start()
        theirs.close()
        return _Seat(number, process, ours, Pulse(process.pid, self._silence))

    def _hand_out(self, campaign: Campaign, observer: Observer) -> bool:
        for seat in self._seats:
            if seat.block is None:
                self._feed(seat, campaign, observer)
        return any(seat.block is not None for seat in self._seats)

    def _listen(self, bell: Sequence[int], campaign: Campaign, observer: Observer) -> None:
        busy = [seat for seat in self._seats if seat.block is not None]
        ready = wait([*bell, *(seat.pipe for seat in busy)], POLL_SECONDS)
        for seat in busy:
            if interrupts.heard():  # a worker may have died of the same signal
                break
            if seat.pipe in ready:
                self._hear(seat, campaign, observer)
            elif seat.pulse.stopped():
                seat.process.kill()
                self._bury(seat, campaign, observer, f"was silent for {self._silence:.0f} s")

    def _under_way(self) -> list[Beat]:
        return [seat.beat for seat in self._seats if seat.block is not None]

    def _feed(self, seat: _Seat, campaign: Campaign, observer: Observer) -> None:
        block = self._next(campaign)
        if block is None:
            return
        seat.block, seat.beat = block, Beat(0, 0)
        seat.pulse.heard()
        try:
            seat.pipe.send(block)
        except OSError:
            self._bury(seat, campaign, observer, "died")

    def _hear(self, seat: _Seat, campaign: Campaign, observer: Observer) -> None:
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
        self._take(block, message, campaign, observer)

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

    def close(self, *, patient: bool = True) -> None:
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
def deaf_child() -> Iterator[None]:
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
