# SPDX-License-Identifier: GPL-2.0-only
"""Per-CPU variables (include/linux/percpu.h).

A variable is declared by a function that makes one CPU's instance; instances are made when first
looked at.  Looking at one's own needs preemption off, as in C, and nothing here checks that.
"""

from mmsim.engine.context import current
from mmsim.engine.door import door


class DEFINE_PER_CPU:
    """``make(cpu_number)`` builds one CPU's instance."""

    def __init__(self, make):
        self.make = make


def per_cpu(var, cpu):
    """CPU number ``cpu``'s instance."""
    data = door.machine.cpus[cpu].data
    if var not in data:
        data[var] = var.make(cpu)
    return data[var]


def this_cpu_ptr(var):
    """The local CPU's instance."""
    cpu = current().cpu
    if var not in cpu.data:
        cpu.data[var] = var.make(cpu.id)
    return cpu.data[var]
