# SPDX-License-Identifier: GPL-2.0-only
"""What a CPU would let in: an interrupt, or another of its tasks.

Whether it did, at some event in the past, decides whether a context of that CPU could have come
before an event of its CPU, so a search keeps it with each node.  Only CPUs that have interrupts or
several tasks have a choice of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mmsim.engine.context import DONE, HARDIRQ, SLEEPING, TASK, Context, Cpu
from mmsim.engine.machine import Machine
from mmsim.engine.op import START

DoorOf = tuple[Context | None, bool, bool, bool]
"""Of a CPU: who has it, and whether it lets in hardirqs, softirqs and another task."""
Doors = Mapping[int, DoorOf]
NO_DOORS: Doors = {}


def look_round(machine: Machine, choosy: Collection[int]) -> Doors:
    """Of the CPUs with these numbers."""
    if not choosy:
        return NO_DOORS
    return {cpu.id: _door_of(cpu, machine.preempt) for cpu in machine.cpus if cpu.id in choosy}


def look_again(doors: Doors, cpu: Cpu, preempt: bool) -> Doors:
    """The same, where only that CPU has changed."""
    now = _door_of(cpu, preempt)
    return doors if now == doors[cpu.id] else {**doors, cpu.id: now}


def _door_of(cpu: Cpu, preempt: bool) -> DoorOf:
    top = cpu.top()
    if top is not None and top.state in (SLEEPING, DONE):
        top = None
    return (
        top,
        not cpu.irqs_off,
        not cpu.irqs_off and cpu.bh_off == 0 and not cpu.stack,
        not cpu.stack and (top is None or cpu.preemptible(preempt)),
    )


def lets_in(door_of: DoorOf, ctx: Context) -> bool:
    """Could ``ctx`` have gone on there, for all that its CPU has to say?"""
    top, hard, soft, task = door_of
    if top is not None and top.id == ctx.id:
        return True
    if ctx.kind is TASK:
        return task
    if ctx.pending[0].kind is not START:
        return False
    return hard if ctx.kind is HARDIRQ else soft
