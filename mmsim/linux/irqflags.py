# SPDX-License-Identifier: GPL-2.0-only
"""Interrupt flags and bottom halves of the local CPU (include/linux/irqflags.h, bottom_half.h).

An interrupt that waits is let in at the first point after its CPU opens again.
"""

from mmsim.engine.access import BH_OFF, BH_ON, IRQ_OFF, IRQ_ON, RAISE
from mmsim.engine.context import current
from mmsim.engine.door import access, door, touch
from mmsim.linux.irqsoff import trace_hardirqs_off, trace_hardirqs_on
from mmsim.model.era import IS_ENABLED

__mmsim_primitive__ = True


def _irqs(cpu, off):
    before = cpu.irqs_off
    cpu.irqs_off = off
    return before


def local_irq_disable():
    """Interrupts off."""
    cpu = current().cpu
    before = touch(IRQ_OFF, cpu, "irqs", _irqs, True)
    if not before and IS_ENABLED("IRQSOFF_TRACER"):
        trace_hardirqs_off()


def local_irq_enable():
    """Interrupts on, whatever they were."""
    cpu = current().cpu
    if IS_ENABLED("IRQSOFF_TRACER"):
        trace_hardirqs_on()
    touch(IRQ_ON, cpu, "irqs", _irqs, False)
    _let_in(cpu)


def local_irq_save():
    """Interrupts off; the value says whether they were off before."""
    cpu = current().cpu
    flags = touch(IRQ_OFF, cpu, "irqs", _irqs, True)
    if not flags and IS_ENABLED("IRQSOFF_TRACER"):
        trace_hardirqs_off()
    return flags


def local_irq_restore(flags):
    """Interrupts as they were when ``flags`` was saved."""
    cpu = current().cpu
    if not flags and IS_ENABLED("IRQSOFF_TRACER"):
        trace_hardirqs_on()
    touch(IRQ_OFF if flags else IRQ_ON, cpu, "irqs", _irqs, flags)
    if not flags:
        _let_in(cpu)


def _bh(cpu, n):
    cpu.bh_off += n


def local_bh_disable():
    """No softirq on this CPU from here on."""
    cpu = current().cpu
    touch(BH_OFF, cpu, "bh", _bh, 1)


def local_bh_enable():
    """Undo one local_bh_disable()."""
    cpu = current().cpu
    touch(BH_ON, cpu, "bh", _bh, -1)
    _let_in(cpu)


def _arm(line):
    line.armed = True
    if door.carrier is not None:
        door.carrier.irq_raised(line)


def raise_irq(line):
    """A device raises an interrupt that was registered unarmed."""
    access(RAISE, line, "line", _arm, line)


def _let_in(cpu):
    if cpu.lines and door.carrier is not None:
        door.carrier.opened(cpu)
