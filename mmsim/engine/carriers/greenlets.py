# SPDX-License-Identifier: GPL-2.0-only
"""Greenlets that take turns: the same decisions as with threads, and cheaper switches.

Every host is a greenlet of the calling thread.  Exploration and shrinking, which run a machine
thousands of times, use them; the stress runner stays with OS threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from greenlet import getcurrent, greenlet

from mmsim.engine.context import Host
from mmsim.engine.door import RunAborted
from mmsim.engine.execution import Serve, Token
from mmsim.engine.machine import Machine


class Greenlet(Host):
    """A host; ``stack`` is its greenlet."""

    __slots__ = ("stack",)

    def __init__(self, main: Callable[[Greenlet], Any]) -> None:
        super().__init__()
        self.stack = greenlet(lambda: main(self))

    def frame(self) -> FrameType | None:
        frame: FrameType | None = self.stack.gr_frame
        return frame


class Greenlets:
    """The carrier.  Its greenlets belong to the thread that called ``assign`` first."""

    name = "greenlets"

    def __init__(self) -> None:
        self._hosts: list[Greenlet] = []
        self._used = 0

    def assign(self, machine: Machine, serve: Serve) -> None:
        self._serve = serve
        self._control = getcurrent()
        self._used = 0
        for cpu in machine.cpus:
            if cpu.tasks:
                for task in cpu.tasks:
                    task.host = self.lend()
                cpu.host = cpu.tasks[0].host
            elif cpu.lines:
                cpu.host = self.lend()

    def lend(self) -> Host:
        used = self._used
        if used == len(self._hosts):
            self._hosts.append(Greenlet(self._main))
        self._used = used + 1
        return self._hosts[used]

    def hosts(self) -> Sequence[Host]:
        return self._hosts[: self._used]

    def start(self, host: Host) -> None:
        assert isinstance(host, Greenlet)
        host.stack.switch()

    def switch(self, here: Host, there: Host | None) -> None:
        if there is None:
            self._control.switch()
        else:
            there.stack.switch()  # type: ignore[attr-defined]

    def _main(self, host: Greenlet) -> None:
        while True:
            there = self._serve(host)
            self.switch(host, there)

    def close(self, push: Callable[[], None]) -> None:
        hosts, self._hosts, self._used = self._hosts, [], 0
        push()
        for host in hosts:
            while host.stack and host.stack is not getcurrent():
                with suppress(RunAborted):
                    host.stack.throw(RunAborted)


def greenlets() -> Token:
    """An execution with a token on greenlets."""
    return Token(Greenlets())
