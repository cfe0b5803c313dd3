# SPDX-License-Identifier: GPL-2.0-only
"""Who could go on, kept from one decision to the next.

A policy has to be told at every decision, and a run makes hundreds.  But since the last one only
one CPU has run, and what another CPU could do changes in few ways: a task of it was woken, one of
its interrupts raised, or the lock it spins for freed or taken.  So only those are looked at again;
mostly nothing has changed at all, and the same list is handed out.
"""

from __future__ import annotations

from itertools import chain

from mmsim.engine.context import READY, Context, Cpu
from mmsim.engine.machine import Machine

_joined = chain.from_iterable


class Choices:
    """The same as ``machine.enabled()`` at every decision of one run."""

    def __init__(self, machine: Machine) -> None:
        self._of = machine.choices
        self._parts = [self._part(cpu) for cpu in machine.cpus]
        self._all: list[Context] | None = None
        self._touched: list[Cpu] = []
        self.spinning: list[Context] = []  # what they wait for may change behind their backs

    def touch(self, cpu: Cpu) -> None:
        """Somebody else changed what ``cpu`` can do."""
        self._touched.append(cpu)

    def after(self, ran: Context | None) -> list[Context]:
        """The choices now that ``ran`` has.  Not to be changed by the caller."""
        if ran is not None and not (ran.cpu.lone and ran.state <= READY):
            self._look(ran.cpu)
        if self._touched:
            for cpu in self._touched:
                self._look(cpu)
            self._touched.clear()
        if self.spinning:
            for ctx in self.spinning:
                if ctx.spin.locked is not ctx.shut:
                    ctx.shut = ctx.spin.locked
                    self._look(ctx.cpu)
        if self._all is None:
            self._all = list(_joined(self._parts))
        return self._all

    def _look(self, cpu: Cpu) -> None:
        part = self._part(cpu)
        if part != self._parts[cpu.id]:
            self._parts[cpu.id] = part
            self._all = None

    def _part(self, cpu: Cpu) -> list[Context]:
        """What it can do; and whether that hangs on one task's state alone (``lone``)."""
        tasks = cpu.tasks
        simple = not cpu.lines and not cpu.stack and len(tasks) < 2
        cpu.lone = simple and len(tasks) == 1
        if simple and not (tasks and tasks[0].state > READY):
            return tasks.copy()  # the commonest: nobody, or one who can go on
        return self._of(cpu)
