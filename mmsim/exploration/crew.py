# SPDX-License-Identifier: GPL-2.0-only
"""Several processes explore one tree, and come to the same totals as one would.

What a search does below a node depends on the path to it and on who is asleep there, and on nothing
that other branches come to: so branches that are known to be needed can be explored anywhere, and
at any time.  What a branch finds out about nodes *above* it (races whose other order has to be
explored, too) is not acted upon where it is found, but handed back; and it is taken in, like the
counts, in the order in which one process would have come to the branches.  A branch that takes long
is broken off: its nodes then stand in the common tree, and are split like all others.

The processes are spawned, never forked.  One that dies harms no other: its branch is given to
another.  When a word turns out not to be quiet all begin anew, with what is known then.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import NamedTuple

from mmsim.engine.explore import Frame, Knowledge
from mmsim.errors import InternalError
from mmsim.exploration.explorer import Explorer, Part, Question
from mmsim.exploration.tree import Key, Tree, key

SLICE = 0.4  # seconds after which a branch is broken off
FIRST = 0.05  # of the first one, so that there is something to share soon
POLL = 0.25
AHEAD = 3  # branches given out in advance, for each process
DEATHS = 3  # of processes with the same branch


class Task(NamedTuple):
    """A branch: the last frame's ``cur``, and what is known."""

    key: Key | None
    frames: list[Frame]
    knowledge: Knowledge
    seconds: float


@dataclass
class _Seat:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None


@dataclass
class _Account:
    """What became of the branches that were given out."""

    done: dict[Key, Part] = field(default_factory=dict)
    deaths: dict[Key | None, int] = field(default_factory=dict)


class Crew:
    """``jobs`` processes and the tree that they share.  A context manager."""

    def __init__(self, question: Question, tree: Tree, jobs: int) -> None:
        self._question = question
        self._tree = tree
        self._jobs = jobs
        self._seats: list[_Seat] = []
        self._account = _Account()
        self._context = multiprocessing.get_context("spawn")

    def __enter__(self) -> Crew:
        for _ in range(self._jobs):
            self._seats.append(self._hire())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for seat in self._seats:
            seat.process.terminate()
        for seat in self._seats:
            seat.process.join()
            seat.pipe.close()

    def _hire(self) -> _Seat:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work, args=(theirs, self._question), name="mmsim-explore", daemon=True
        )
        # It inherits the mask, so that Ctrl-C, which goes to everybody, is ours alone to handle.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        return _Seat(process, ours)

    def explore(self, enough: Callable[[], bool]) -> None:
        """Until nothing of the tree is left, or it is ``enough``, which is asked often."""
        while not self._tree.complete and not enough():
            part = self._account.done.pop(self._tree.key, None)
            if part is None:
                self._wait()
            else:
                self._tree.take(part)

    def _wait(self) -> None:
        """Give out what is known to be needed, and hear from somebody."""
        self._share()
        pipes = {seat.pipe: seat for seat in self._seats}
        for pipe in wait(list(pipes), POLL):
            assert isinstance(pipe, Connection)
            seat = pipes[pipe]
            try:
                part = pipe.recv()
            except (EOFError, OSError):
                self._bury(seat)
                continue
            task, seat.task = seat.task, None
            if isinstance(part, BaseException):
                raise part
            if part.again is not None:
                self._start_again(part.again)
            elif task is not None and task.key is not None:
                self._account.done[task.key] = part
        self._share()

    def _start_again(self, knowledge: Knowledge) -> None:
        if self._tree.knowledge.covers(knowledge):
            return  # it was asked before somebody else had found out
        self._tree.start_again(knowledge)
        self._account = _Account()
        for seat in self._seats:
            seat.task = seat.task and seat.task._replace(key=None)  # of no use any more

    def _share(self) -> None:
        idle = [seat for seat in self._seats if seat.task is None]
        if not idle:
            return
        account = self._account
        known = {*account.done, *(seat.task.key for seat in self._seats if seat.task is not None)}
        tree = self._tree
        wanted = tree.branches(self._jobs * AHEAD + len(known))
        for seat in idle:
            for frames in wanted:
                name = key(frames)
                if name in known:
                    continue
                known.add(name)
                seconds = SLICE if tree.frames else FIRST
                seat.task = Task(name, frames, tree.knowledge, seconds)
                try:
                    seat.pipe.send(seat.task)
                except OSError:
                    self._bury(seat)
                break

    def _bury(self, seat: _Seat) -> None:
        """A process has died: another takes its place, and somebody gets its branch."""
        name = seat.task.key if seat.task is not None else None
        deaths = self._account.deaths
        deaths[name] = deaths.get(name, 0) + 1
        if deaths[name] >= DEATHS:
            raise InternalError(
                f"{self._question.variant}: {DEATHS} processes died exploring one branch"
            )
        seat.pipe.close()
        seat.process.join()
        self._seats[self._seats.index(seat)] = self._hire()


def work(pipe: Connection, question: Question) -> None:
    """What a process of the crew does, until its pipe is closed."""
    try:
        with Explorer(question) as explorer:
            while True:
                task: Task = pipe.recv()
                explorer.load(task.frames, len(task.frames), task.knowledge)
                pipe.send(explorer.part(len(task.frames), after(task.seconds)))
    except (EOFError, OSError):
        return
    except BaseException as error:
        pipe.send(InternalError(f"{question.variant}: {type(error).__name__}: {error}"))


def after(seconds: float) -> Callable[[], bool]:
    """Have so many seconds passed?"""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
