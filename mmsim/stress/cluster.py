# SPDX-License-Identifier: GPL-2.0-only
"""The workers of a cluster: dask.distributed brings blocks to them and results back.

Each worker of the cluster has a seat here and gets its blocks by name. Dask would move a task of a
dead worker by itself; we do it, because the row of the block has to say so, and because a worker
that is stopped or cut off is no news to dask for minutes. A block is a function of its seed, so it
may be computed twice, and only the first answer counts.

A worker is asked who it is before it gets its first block. One with other code or another Python
would compute other runs: it is refused, with its name.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from typing import Any

from mmsim.errors import InternalError, UsageError, one_line
from mmsim.stress import interrupts, worker
from mmsim.stress.clusterspec import Connection, Spec, connect
from mmsim.stress.crew import POLL_SECONDS, Crew, Observer
from mmsim.stress.identity import Identity, identity
from mmsim.stress.plan import Campaign
from mmsim.stress.tally import Block, BlockResult
from mmsim.stress.worker import Beat, Broken, Setting

AHEAD = 2
"""Blocks that a worker has at a time: the next one is there when it is through with the first."""
LOOK_SECONDS = 1.0
"""How often we ask which workers there are."""
MOST_TRIES = 4
"""A block that has cost so many workers their life is given up."""
GATHER_SECONDS = 30.0
GREETING_SECONDS = 300.0
"""A worker that is there and was asked who it is: on a busy machine imports alone take a minute."""
NO_MMSIM = (ImportError, AttributeError, FileNotFoundError)
"""What a worker raises when asked who it is, if it has no mmsim, an old one, or not the file."""
FETCHERS = 8
"""Results that are fetched at a time; a worker that dies meanwhile holds one up."""
NEW, READY, REFUSED, GONE = "new", "ready", "refused", "gone"


@dataclass
class _Task:
    """A block on its way."""

    block: Block
    future: Any
    tries: int
    note: str


@dataclass
class _Seat:
    """A worker of the cluster."""

    address: str
    name: str
    state: str = NEW
    who: Identity | None = None
    greeting: Any = None
    tasks: list[_Task] = field(default_factory=list)
    sign: float = 0.0
    """Its last sign of life, by the scheduler's clock."""
    seen: float = 0.0
    """When that changed, by ours."""
    since: float = field(default_factory=time.monotonic)
    """When it came."""


def workers_of(client: Any) -> dict[str, Any]:
    """The workers that the scheduler knows now, by address.

    Not what ``scheduler_info`` returns: dask keeps it in a place that it overwrites every other
    second, in another thread, with one that names no workers.
    """
    asked = inspect.signature(client.scheduler_info).parameters
    every = {"n_workers": -1} if "n_workers" in asked else {}  # before 2025, all and always
    there: dict[str, Any] = client.sync(client.scheduler.identity, **every)["workers"]
    return there


class _Asked:
    """The scheduler was asked which workers there are, in a thread: it may never answer."""

    def __init__(self, client: Any) -> None:
        self.since = time.monotonic()
        self._answer: Future[dict[str, Any]] = Future()
        threading.Thread(target=self._ask, args=(client,), name="mmsim-look", daemon=True).start()

    def _ask(self, client: Any) -> None:
        try:
            self._answer.set_result(workers_of(client))
        except BaseException as error:  # the same for whoever waits
            self._answer.set_exception(error)

    def answer(self) -> dict[str, Any] | None:
        """Workers by address, None if there is no answer yet.  Raises what the asking raised."""
        try:
            return self._answer.result(LOOK_SECONDS)
        except FutureTimeout:
            return self._answer.result() if self._answer.done() else None


def greet(file: str | None) -> Identity:
    """On a worker: who it is."""
    return identity(file)


def compute(setting: Setting, block: Block, place: int, left: float | None) -> BlockResult | Broken:
    """On a worker: one block. ``place`` is its number among the workers of its machine."""
    if left is not None:  # a deadline is a moment of one machine's clock
        setting = replace(setting, deadline=time.monotonic() + left)
    if hasattr(os, "sched_setaffinity") and (cores := _cores()):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {worker.core_of(place, cores)})
    return worker.attempt(setting, block, lambda beat: None, lambda: None)


_known_cores: tuple[int, ...] = ()


def _cores() -> tuple[int, ...]:
    """Those of this process, as they were before its first block."""
    global _known_cores
    _known_cores = _known_cores or worker.cores()
    return _known_cores


class Cluster(Crew):
    """The workers of the cluster that ``spec`` names.

    Raises UsageError if dask is not installed or the cluster cannot be reached.
    """

    def __init__(self, spec: Spec, setting: Setting) -> None:
        file = setting.source.file
        super().__init__(replace(setting, deadline=None))
        self._deadline = setting.deadline
        self._spec = spec
        self._us = identity(file)
        self._file = file
        self._seats: dict[str, _Seat] = {}
        self._again: list[tuple[Block, int, str]] = []
        """Blocks of workers that are gone, with tries and why."""
        self._ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._heard, self._ring = os.pipe()
        os.set_blocking(self._ring, False)
        os.set_blocking(self._heard, False)
        self._fetchers = ThreadPoolExecutor(FETCHERS, "mmsim-fetch")
        self._number = itertools.count()
        self._next_look = 0.0
        self._asked: _Asked | None = None
        self._begun = False
        self._connection: Connection = connect(spec)
        self._patience = time.monotonic() + spec.wait  # from now on: to connect takes a while
        self._client = self._connection.client

    def close(self, *, patient: bool = True) -> None:
        """Take back what is queued, and leave the cluster as it was."""
        with contextlib.suppress(Exception):
            futures = [task.future for seat in self._seats.values() for task in seat.tasks]
            self._client.cancel(futures, force=True)
        with contextlib.suppress(Exception):
            self._connection.close()
        self._fetchers.shutdown(wait=True, cancel_futures=True)
        os.close(self._heard)
        os.close(self._ring)

    # the loop's four questions

    def _hand_out(self, campaign: Campaign, observer: Observer) -> bool:
        self._look(campaign, observer)
        ready = self._able()
        if not self._begun:
            if len(ready) < self._spec.workers:
                if not ready or time.monotonic() < self._patience:
                    return self._wait_for_workers()
                observer.trouble(
                    f"cluster {self._spec.text}: {len(ready)} of {self._spec.workers} workers came "
                    f"in {self._spec.wait:g} s; going on with them"
                )
            self._begun = True
        for depth in range(1, AHEAD + 1):
            for seat in ready:
                if seat.state == READY and len(seat.tasks) < depth:
                    self._feed(seat, campaign)
        if any(seat.tasks for seat in self._seats.values()):
            self._patience = time.monotonic() + self._spec.wait
            return True
        if ready and not self._again:
            return False
        return self._wait_for_workers()

    def _listen(self, bell: Sequence[int], campaign: Campaign, observer: Observer) -> None:
        wait([*bell, self._heard], POLL_SECONDS)
        with contextlib.suppress(queue.Empty):
            while not interrupts.heard():
                future, answer = self._ready.get_nowait()
                with contextlib.suppress(BlockingIOError):
                    os.read(self._heard, 1)
                self._hear(future, answer, campaign, observer)

    def _under_way(self) -> list[Beat]:
        return []

    # workers come and go

    def _able(self) -> list[_Seat]:
        return [seat for seat in self._seats.values() if seat.state == READY]

    def _wait_for_workers(self) -> bool:
        """True while there is hope. Raises UsageError if nobody came at all."""
        now = time.monotonic()
        seats = self._seats.values()
        if any(seat.state == NEW and now - seat.since < GREETING_SECONDS for seat in seats):
            return True
        if now < self._patience:
            return True
        refused = [seat.name for seat in seats if seat.state == REFUSED]
        who = f"all were refused: {', '.join(refused)}" if refused else "none came"
        text = f"cluster {self._spec.text}: no worker in {self._spec.wait:g} s, {who}"
        if not self._begun:
            raise UsageError(text)
        raise InternalError(text)

    def _look(self, campaign: Campaign, observer: Observer) -> None:
        """Which workers are there, and which of them show signs of life?"""
        now = time.monotonic()
        if now < self._next_look:
            return
        if self._asked is None:
            self._asked = _Asked(self._client)
        try:
            there = self._asked.answer()
        except Exception as error:  # dask and tornado have a dozen ways to say it
            raise InternalError(
                f"cluster {self._spec.text}: the scheduler is gone: {one_line(error)}"
            ) from error
        if there is None:
            if now - self._asked.since > self._spec.silence:
                raise InternalError(
                    f"cluster {self._spec.text}: the scheduler was silent for "
                    f"{self._spec.silence:g} s"
                )
            return
        self._asked = None
        self._next_look = now + LOOK_SECONDS
        for address, info in there.items():
            seat = self._seats.get(address)
            if seat is None or seat.state == GONE:
                seat = self._seats[address] = _Seat(address, _name(address, info))
                seat.seen = now
                seat.greeting = self._submit(seat, greet, self._file)
            if info["last_seen"] != seat.sign:
                seat.sign, seat.seen = info["last_seen"], now
        for seat in list(self._seats.values()):
            if seat.state in (GONE, REFUSED):
                continue
            if seat.address not in there:
                self._bury(seat, "is gone", campaign, observer)
            elif now - seat.seen > self._spec.silence:
                self._bury(seat, f"was silent for {self._spec.silence:g} s", campaign, observer)

    def _bury(self, seat: _Seat, how: str, campaign: Campaign, observer: Observer) -> None:
        """Take a worker's blocks back, and have them run elsewhere."""
        seat.state = GONE
        tasks, seat.tasks = seat.tasks, []
        if seat.greeting is not None:
            seat.greeting.cancel(force=True)
        why = f"worker {seat.name} {how}"
        again = []
        for task in tasks:
            task.future.cancel(force=True)
            if task.tries >= MOST_TRIES:
                message = f"{why}; lost after {task.tries} tries: {task.block}"
                self._lose(task.block, campaign, observer, message)
                continue
            self._again.append((task.block, task.tries + 1, why))
            again.append(str(task.block))
        if again:
            observer.trouble(f"{why}; run again elsewhere: {', '.join(again)}")

    def _welcome(self, seat: _Seat, who: Identity | BaseException, observer: Observer) -> None:
        """Does it compute what we would?"""
        seat.greeting = None
        why: str | None
        if isinstance(who, BaseException) and not isinstance(who, NO_MMSIM):
            seat.state = GONE  # it died while it was asked; if it has not, it is asked again
            return
        if isinstance(who, BaseException):
            why = f"cannot run mmsim ({type(who).__name__}: {one_line(who)})"
        else:
            seat.who, why = who, self._us.refusal(who)
        if why is None:
            seat.state = READY
        else:
            seat.state = REFUSED
            observer.trouble(f"worker {seat.name} {why}: refused")

    # blocks go out and come back

    def _submit(self, seat: _Seat, function: Any, *args: Any) -> Any:
        future = self._client.submit(
            function,
            *args,
            key=f"mmsim-{os.getpid()}-{id(self):x}-{next(self._number)}",
            workers=[seat.address],
            allow_other_workers=False,
            retries=0,
            pure=False,
        )
        future.add_done_callback(self._done)
        return future

    def _done(self, future: Any) -> None:
        """In a thread of dask's: have the result fetched, which may take a while, or for ever if
        its worker has died since.
        """
        with contextlib.suppress(RuntimeError):  # we are closing
            self._fetchers.submit(self._fetch, future)

    def _fetch(self, future: Any) -> None:
        try:
            answer = future.result(timeout=GATHER_SECONDS)
        except BaseException as error:  # an answer, too: CancelledError is no Exception
            answer = error
        self._ready.put((future, answer))
        with contextlib.suppress(OSError):
            os.write(self._ring, b"!")

    def _feed(self, seat: _Seat, campaign: Campaign) -> None:
        tries, note = 1, ""
        if self._again:
            block, tries, note = self._again.pop(0)
        else:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            following = None if left is not None and left <= 0 else campaign.next_block()
            if following is None:
                return
            block = following
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        future = self._submit(seat, compute, self._setting, block, self._place(seat), left)
        seat.tasks.append(_Task(block, future, tries, note))

    def _place(self, seat: _Seat) -> int:
        """Its number among the workers of its machine, so that each has a core of its own."""
        host = seat.who.host if seat.who is not None else ""
        mates = [s for s in self._able() if s.who is not None and s.who.host == host]
        return mates.index(seat)

    def _hear(self, future: Any, answer: Any, campaign: Campaign, observer: Observer) -> None:
        for seat in self._seats.values():
            if seat.greeting is future:
                self._welcome(seat, answer, observer)
                return
            for task in seat.tasks:
                if task.future is future:
                    self._answered(seat, task, answer, campaign, observer)
                    return

    def _answered(
        self, seat: _Seat, task: _Task, answer: Any, campaign: Campaign, observer: Observer
    ) -> None:
        if isinstance(answer, BaseException):  # its worker died in between, or the result did
            how = f"did not answer ({type(answer).__name__})"
            self._bury(seat, how, campaign, observer)
            return
        seat.tasks.remove(task)
        if isinstance(answer, BlockResult):
            answer = replace(
                answer, worker=f"{answer.worker} {seat.name}", tries=task.tries, note=task.note
            )
        self._take(task.block, answer, campaign, observer)
        if campaign.lanes[task.block.variant].tally.enough:
            self._cancel(task.block.variant, campaign)

    def _cancel(self, variant: str, campaign: Campaign) -> None:
        """What is queued of a variant that has all that it needs is not run."""
        for seat in self._seats.values():
            for task in seat.tasks[1:]:
                if task.block.variant == variant and campaign.drop(task.block):
                    task.future.cancel(force=True)
                    seat.tasks.remove(task)
        self._again = [
            waiting
            for waiting in self._again
            if waiting[0].variant != variant or not campaign.drop(waiting[0])
        ]


def _name(address: str, info: Any) -> str:
    name = str(info.get("name", ""))
    return address if name in ("", address) else f"{address} ({name})"
