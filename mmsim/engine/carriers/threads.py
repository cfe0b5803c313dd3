# SPDX-License-Identifier: GPL-2.0-only
"""OS threads that take turns.

Every host is a thread that sleeps on a lock of its own.  Giving control to another is releasing the
other's lock and taking one's own, so a hand-over costs one wake-up, and a run as many as its
schedule has switches.  Threads are kept across runs: starting one costs more than a short run.

Threads are daemons, but nobody relies on it: ``close`` gets every one of them out, from wherever it
is, because Ctrl-C arrives in the middle of a run and an interpreter with stuck threads is no place
to print results from.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable
from types import FrameType

from mmsim.engine.context import Host
from mmsim.engine.door import RunAborted
from mmsim.engine.execution import Serve, Token
from mmsim.engine.machine import Machine

WATCH = 0.2  # seconds for which the control thread is deaf: a signal may come as it starts to wait
MOMENT = 0.01  # seconds between two attempts to get a thread out
TRIES = 200  # attempts before a context that never comes to a point is ended from outside


class Thread(Host):
    """A host whose ``lock`` is its baton: it waits to take it."""

    __slots__ = ("lock", "pool", "thread")

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.lock = _taken()
        self.thread: threading.Thread | None = None

    def frame(self) -> FrameType | None:
        thread = self.thread
        if thread is None or thread.ident is None:
            return None
        return sys._current_frames().get(thread.ident)


class Pool:
    """Threads that call ``main(host)`` each time their lock is released.

    Once it is ``closing`` it is of no use any more: the carrier takes a new one.

    ``batch`` asks the operating system not to let a thread that is woken push its waker off the
    core.  Where one thread hands on to another and then waits itself, that saves two of three
    switches: a woken thread could do nothing but wait for the interpreter's lock.
    """

    def __init__(
        self,
        name: str,
        main: Callable[[Thread], None],
        pin: int | None = None,
        batch: bool = False,
    ) -> None:
        self._name = name
        self._main = main
        self._pin = pin
        self._batch = batch
        self._hosts: list[Thread] = []
        self.used = 0
        self.closing = False
        self.control = _taken()  # the control thread waits for it while a run goes on

    def __len__(self) -> int:
        return len(self._hosts)

    def assign(self, machine: Machine) -> None:
        """Give every task a host, and every CPU one that serves its interrupts when idle."""
        self.used = 0
        for cpu in machine.cpus:
            if cpu.tasks or cpu.lines:
                for task in cpu.tasks:
                    task.host = self.lend()
                cpu.host = cpu.tasks[0].host if cpu.tasks else self.lend()

    def lend(self) -> Thread:
        """One more, started if need be."""
        if self.used == len(self._hosts):
            self._start()
        self.used += 1
        return self._hosts[self.used - 1]

    def lent(self) -> list[Host]:
        """Those of this run."""
        return list(self._hosts[: self.used])

    def _start(self) -> None:
        host = Thread(self)
        name = f"{self._name}-{len(self._hosts)}"
        host.thread = threading.Thread(target=self._live, args=(host,), name=name, daemon=True)
        self._hosts.append(host)
        host.thread.start()

    def _live(self, host: Thread) -> None:
        with contextlib.suppress(OSError, AttributeError):  # not every system lets us
            if self._batch:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            if self._pin is not None:
                os.sched_setaffinity(0, {self._pin})
        with contextlib.suppress(RunAborted):  # from _interrupt, which may come late
            while True:
                host.lock.acquire()
                if self.closing:
                    return
                self._main(host)

    def done(self) -> None:
        """Let the control thread go on.  Once closing it is gone, and another run may be on."""
        if not self.closing:
            self.control.release()

    def end(self, push: Callable[[], None]) -> None:
        """End every thread.  ``push()`` makes a context that runs leave at its next point."""
        self.closing = True
        hosts = self._hosts
        tries = 0
        while hosts:
            push()
            for host in hosts:
                with contextlib.suppress(RuntimeError):  # it is not locked: it was told already
                    host.lock.release()
            _thread(hosts[0]).join(MOMENT)
            hosts = [host for host in hosts if _thread(host).is_alive()]
            tries += 1
            if tries >= TRIES:
                for host in hosts:
                    _interrupt(_thread(host))


class Threads:
    """The carrier.  ``pin`` keeps its threads on one core, where a hand-over is cheaper by far."""

    name = "threads"

    def __init__(self, pin: int | None = None) -> None:
        self._pin = pin
        self._renew()

    def _renew(self) -> None:
        self._pool = Pool("mmsim", self._main, self._pin, batch=True)

    def assign(self, machine: Machine, serve: Serve) -> None:
        self._serve = serve
        self._pool.assign(machine)

    def lend(self) -> Host:
        return self._pool.lend()

    def hosts(self) -> list[Host]:
        return self._pool.lent()

    def start(self, host: Host) -> None:
        assert isinstance(host, Thread)
        control = host.pool.control
        host.lock.release()
        while not control.acquire(timeout=WATCH):
            pass

    def switch(self, here: Host, there: Host | None) -> None:
        if there is None:
            here.pool.done()  # type: ignore[attr-defined]
        else:
            there.lock.release()  # type: ignore[attr-defined]
        here.lock.acquire()  # type: ignore[attr-defined]

    def _main(self, host: Thread) -> None:
        there = self._serve(host)
        if there is None:
            host.pool.done()
        else:
            there.lock.release()  # type: ignore[attr-defined]

    def close(self, push: Callable[[], None]) -> None:
        pool = self._pool
        pool.closing = True
        self._renew()
        pool.end(push)


def threads(pin: int | None = None) -> Token:
    """An execution with a token on OS threads."""
    return Token(Threads(pin))


def _taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _thread(host: Thread) -> threading.Thread:
    assert host.thread is not None
    return host.thread


def present_core() -> int | None:
    """The core the caller is on, which is as good as any to keep the threads of a run together."""
    try:
        core = int(ctypes.CDLL(None).sched_getcpu())
        return core if core in os.sched_getaffinity(0) else None
    except (AttributeError, OSError):  # not Linux
        return None


def _interrupt(thread: threading.Thread) -> None:
    """Raise RunAborted in a thread that runs Python without ever passing a point."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(RunAborted)
        )
