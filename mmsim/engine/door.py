# SPDX-License-Identifier: GPL-2.0-only
"""The one door: every shared access of simulated kernel code passes here.

A *point* is the moment before a shared access takes effect.  The policy has said how many
points may pass before it wants to be asked again; the door counts them down.  A point that does
not switch therefore costs one decrement and one compare, and the effect follows at once:

    door.left -= 1
    if door.left < 0: hand the access to the execution, which decides and then performs it
    otherwise:        perform it

An access is handed over whole: its operation (a static value that says which words it touches), the
object, and the effect, a plain function of raw values.  So an execution without a token (``free``)
can perform the effect atomically and write down in which order effects really happened; that record
is what makes a failure of free-running threads replayable.

``left`` has three regimes.  With a token it is a small int.  While nothing runs (set-up, checks at
quiescence) it is ``inf``: points pass silently.  Without a token, or when an instrument listens, it
is ``-inf`` or kept at 0: every access takes the slow way.  Concurrent decrements of ``-inf`` lose
nothing, so no atomicity is asked of this counter.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from mmsim.engine.context import Context, Cpu
from mmsim.engine.op import Op

SILENT: Final = float("inf")  # the countdown while nothing runs


class RunAborted(BaseException):
    """Unwinds a context's stack when its run is over early.  Not an Exception on purpose."""


class Execution(Protocol):
    """What the door and ``mmsim.linux`` ask of the thing that executes contexts."""

    name: str

    def slow(self, op: Op, obj: Any, effect: Callable[..., Any], *args: Any) -> Any: ...

    def spin(self, ctx: Context, lock: Any) -> None: ...

    def relax(self, ctx: Context) -> None: ...

    def sleep(self, ctx: Context) -> None: ...

    def woken(self, ctx: Context) -> None: ...

    def irq_raised(self, ctx: Context) -> None: ...

    def spawned(self, ctx: Context) -> None: ...

    def opened(self, cpu: Cpu) -> None: ...

    def lock_freed(self, lock: Any) -> None: ...

    def abort(self) -> None: ...

    def position(self) -> int: ...

    def still(self) -> AbstractContextManager[Any]: ...


class Door:
    """Countdown, the execution under way and the booted machine.  There is one, :data:`door`.

    ``running`` is the context that executes; None when only its OS thread knows (``find``), and
    while nothing runs until somebody asks.
    ``born`` numbers objects by who makes them: see :meth:`mmsim.model.struct.Struct.identity`.
    """

    __slots__ = ("born", "born_at_rest", "execution", "find", "left", "machine", "running", "slow")

    def __init__(self) -> None:
        self.left: Any = SILENT  # an int with a token, else one of the infinities
        self.execution: Execution | None = None
        self.machine: Any = None
        self.running: Context | None = None
        self.find: Callable[[], Context | None] = self._at_rest
        self.slow: Callable[..., Any] = _perform
        self.born_at_rest: Callable[[], Any] = itertools.count().__next__
        self.born: Callable[[], Any] = self.born_at_rest

    def boot(self, machine: Any) -> None:
        """Kernel code now sees ``machine``; whatever ran before is over."""
        self.close()
        self.machine = machine
        self.born = self.born_at_rest = itertools.count().__next__

    def open(self, execution: Execution) -> None:
        """A run begins: accesses that use up the countdown go to ``execution``."""
        self.execution = execution
        self.slow = execution.slow
        self.born = _born_in_run

    def close(self) -> None:
        """The run is over: points pass silently again, and the boot context looks round."""
        self.left = SILENT
        self.execution = None
        self.slow = _perform
        self.running = None
        self.find = self._at_rest
        self.born = self.born_at_rest  # goes on: a check makes objects of its own

    def _at_rest(self) -> Context | None:
        if self.machine is not None:
            self.running = self.machine.boot
        return self.running

    def allow(self, accesses: int) -> None:
        """Nothing runs, and points pass silently: so many, until ``close()``.

        A check walks what a race has left behind, perhaps with the kernel's own functions.  A list
        that leads in a circle is not to keep it there for ever.
        """
        self.left = accesses
        self.slow = _endless

    def making(self, whole: Any) -> AbstractContextManager[None]:
        """What is made meanwhile is part of ``whole``, whoever makes it.

        For parts that are made when they are first looked at: their identity must not depend on
        who looks first.  Two contexts that look at once wait for each other.
        """
        return _Making(whole)


_making = threading.RLock()


class _Making:
    """A class, since parts are made in every run and ``contextmanager`` costs more than they do."""

    __slots__ = ("_before", "_count", "_whole")

    def __init__(self, whole: Any) -> None:
        self._whole = whole
        self._count = -1

    def __enter__(self) -> None:
        _making.acquire()
        self._before = door.born
        door.born = self._next

    def __exit__(self, *raised: object) -> None:
        door.born = self._before
        _making.release()

    def _next(self) -> Any:
        self._count += 1
        return self._whole, self._count


def _perform(op: Op, obj: Any, effect: Callable[..., Any], *args: Any) -> Any:
    return effect(*args)


def _endless(*args: Any) -> Any:
    raise RuntimeError("a check at quiescence does not come to an end")


def _born_in_run() -> Any:
    ctx = current()
    ctx.births += 1
    return ctx.id, ctx.births


door = Door()


def current() -> Context:
    """The context that is executing (``current`` of the kernel)."""
    ctx = door.running or door.find()
    assert ctx is not None, "nobody runs: there is no current"
    return ctx


def access(op: Op, obj: Any, effect: Callable[..., Any], *args: Any) -> Any:
    """Pass one point, then perform ``effect(*args)`` and return its value.

    ``op`` says what the effect does to ``obj``, and must not leave anything out.
    """
    left = door.left = door.left - 1
    if left < 0:
        return door.slow(op, obj, effect, *args)
    return effect(*args)


def touch(op: Op, obj: Any, effect: Callable[..., Any], value: Any) -> Any:
    """The same for an ``effect(obj, value)``, the commonest: star arguments cost as much again."""
    left = door.left = door.left - 1
    if left < 0:
        return door.slow(op, obj, effect, obj, value)
    return effect(obj, value)
