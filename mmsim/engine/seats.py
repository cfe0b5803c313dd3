# SPDX-License-Identifier: GPL-2.0-only
"""Who has which CPU when nobody holds a token.

Many threads run at once, so what the token carrier reads off its own state is written down here:
which host waits for a run, which waits in the middle of one, which task a CPU is given to, and
whether anybody is left who can go on.  All of it is looked at and changed under one mutex, which
the free carrier holds when it calls.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from random import Random

from mmsim.engine.context import DONE, FRESH, READY, SLEEPING, Context, Cpu, Host, tls
from mmsim.engine.machine import Machine
from mmsim.engine.record import Lead, Record
from mmsim.engine.seeds import stream


class Seats:
    """The state of one run that its threads share, mutex held."""

    def _seat(self, machine: Machine, gate: Sequence[tuple[int, int]] | None) -> None:
        self._machine = machine
        self._mutex = threading.Lock()
        self._ending = False  # nobody performs another effect
        self._lead = Lead(machine, gate)
        self._record = Record()
        self._rng: list[Random] = [stream(machine.seed, f"cpu{cpu.id}") for cpu in machine.cpus]
        self._pooled: set[Host] = set()  # hosts that wait for a run
        self._parked: set[Host] = set()  # hosts that wait in the middle of one
        self._cpu: dict[Host, Cpu] = {}
        self._working = 0  # hosts that do not wait for a run
        self._arriving: set[Host] = set()  # hosts of the start that are not there yet

    def _finish(self, stuck: str | None = None) -> None:
        raise NotImplementedError

    def woken(self, ctx: Context) -> None:
        """``ctx`` became READY.  Called from an effect, with the mutex held."""
        cpu = ctx.cpu
        if cpu.curr is None and not cpu.stack:
            self._next(cpu)

    def _retire(self, host: Host) -> None:
        """The host waits for another run, or for another task in this one."""
        self._pooled.add(host)
        self._working -= 1

    def _wake(self, host: Host) -> None:
        if host in self._pooled:
            self._pooled.discard(host)
            self._working += 1
        elif host in self._parked:
            self._parked.discard(host)
        else:
            return
        host.lock.release()

    def _next(self, cpu: Cpu) -> None:
        """The CPU has no task: give it one that can run."""
        if not self._give_next(cpu):
            self._check()

    def _give_next(self, cpu: Cpu) -> bool:
        ready = [t for t in cpu.tasks if t.state <= READY]
        turn = self._lead.turn()
        if turn is not None:
            ready = [t for t in ready if t is turn]
        if ready:
            self._give(cpu, ready[0] if len(ready) == 1 else self._rng[cpu.id].choice(ready))
        return bool(ready)

    def _give(self, cpu: Cpu, task: Context) -> None:
        cpu.curr = task
        cpu.host = task.host
        assert task.host is not None
        if task.host is not tls.host:
            self._wake(task.host)

    def _claim(self, cpu: Cpu) -> Context | None:
        """An interrupt to deliver now, if any: it owns the CPU from here on."""
        if not cpu.lines:
            return None
        lines = [line for line in cpu.lines if cpu.takes(line)]
        turn = self._lead.turn()
        if turn is not None:
            lines = [line for line in lines if line is turn]
        if not lines:
            return None
        line = lines[0] if len(lines) == 1 else self._rng[cpu.id].choice(lines)
        below = cpu.top()
        if below is not None and below.stamp < 0:
            self._record.mark(below)
        cpu.lines.remove(line)
        cpu.stack.append(line)
        line.state = READY
        return line

    def _check(self) -> None:
        """Is anybody left who can go on?  If not: next timer, the end, or stuck."""
        machine = self._machine
        while not any(map(machine.choices, machine.cpus)):
            late = machine.clock.jump()
            if late is None:
                alive = any(c.state not in (DONE, FRESH) for c in machine.contexts)
                self._finish("stuck" if alive else "")
                return
            if late.state == SLEEPING:
                late.state = READY
                late.task_state = 0
                self.woken(late)
