# SPDX-License-Identifier: GPL-2.0-only
"""The OS threads of a carrier, kept across runs.

Starting a thread costs more than a short run, so a thread is started once and lends its stack to
one task after the other.  It waits for its own lock; whoever wants it to go on releases that.

Threads are daemons, but nobody relies on it: ``end`` gets every one of them out, from wherever it
is, because Ctrl-C arrives in the middle of a run and an interpreter with stuck threads is no place
to print results from.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable

from mmsim.engine.context import Host, tls
from mmsim.engine.door import RunAborted
from mmsim.engine.machine import Machine

WATCH = 0.2  # seconds for which the control thread is deaf: a signal may come as it starts to wait
MOMENT = 0.01  # seconds between two attempts to get a thread out
PATIENCE = 200  # attempts before a context that never comes to a point is ended from outside


class Hosts:
    """``serve(host)`` is called in a host's thread each time its lock is released.

    Once it is ``closing`` it is of no use any more: the carrier takes a new one.

    ``batch`` asks the operating system not to let a thread that is woken push its waker off the
    core.  Where one thread hands on to another and then waits itself, that saves two of three
    switches: a woken thread could do nothing but wait for the interpreter's lock.
    """

    def __init__(
        self,
        name: str,
        serve: Callable[[Host], None],
        pin: int | None = None,
        batch: bool = False,
    ) -> None:
        self._name = name
        self._serve = serve
        self._pin = pin
        self._batch = batch
        self._hosts: list[Host] = []
        self.closing = False
        self.control = _taken()  # the control thread waits for it while a run goes on

    def __getitem__(self, i: int) -> Host:
        """Host number ``i``, started if need be."""
        while len(self._hosts) <= i:
            self._start()
        return self._hosts[i]

    def __len__(self) -> int:
        return len(self._hosts)

    def first(self, n: int) -> list[Host]:
        """The first ``n`` hosts, all of which exist."""
        return self._hosts[:n]

    def assign(self, machine: Machine) -> list[Host]:
        """Give every task a host, and every CPU one that serves its interrupts when idle."""
        n = 0
        for cpu in machine.cpus:
            if cpu.tasks or cpu.lines:
                cpu.host = self[n]
                for task in cpu.tasks:
                    task.host = self[n]
                    n += 1
                n += not cpu.tasks
        return self.first(n)

    def _start(self) -> None:
        host = Host(self)
        host.lock = _taken()
        name = f"{self._name}-{len(self._hosts)}"
        host.thread = threading.Thread(target=self._main, args=(host,), name=name, daemon=True)
        self._hosts.append(host)
        host.thread.start()

    def _main(self, host: Host) -> None:
        tls.host = host
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
                self._serve(host)

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
            hosts[0].thread.join(MOMENT)
            hosts = [host for host in hosts if host.thread.is_alive()]
            tries += 1
            if tries >= PATIENCE:
                for host in hosts:
                    _interrupt(host.thread)


def _taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


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
