# SPDX-License-Identifier: GPL-2.0-only
"""Per-CPU variables (include/linux/percpu.h).

A variable is declared by a function that makes one CPU's instance; instances are made when first
looked at.  Looking at one's own needs preemption off, as in C, and nothing here checks that.
"""

import itertools

from mmsim.engine.door import current, door


class DEFINE_PER_CPU:
    """``make(cpu_number)`` builds one CPU's instance."""

    _numbers = itertools.count()

    def __init__(self, make):
        self.make = make
        self.number = next(self._numbers)


def per_cpu(var, cpu):
    """CPU number ``cpu``'s instance."""
    return _instance(door.machine.cpus[cpu], var)


def this_cpu_ptr(var):
    """The local CPU's instance."""
    return _instance(current().cpu, var)


def _instance(cpu, var):
    instance = cpu.data.get(var)
    if instance is None:  # two CPUs may look at once: one instance wins
        with door.making(("per-cpu", cpu.id, var.number)):
            instance = cpu.data.setdefault(var, var.make(cpu.id))
    return instance
