# SPDX-License-Identifier: GPL-2.0-only
"""Interrupt flags and bottom halves of the local CPU (include/linux/irqflags.h, bottom_half.h).

An interrupt that waits is let in at the first point after its CPU opens again.
"""

from mmsim.engine.door import access, current, door, touch
from mmsim.engine.op import BH_OFF, BH_ON, IRQ_OFF, IRQ_ON, RAISE, Op
from mmsim.linux.irqsoff import trace_hardirqs_off, trace_hardirqs_on
from mmsim.model.era import IS_ENABLED

__mmsim_primitive__ = True


_OFF, _ON = Op(IRQ_OFF, "irqs"), Op(IRQ_ON, "irqs")
_NO_BH, _BH = Op(BH_OFF, "bh"), Op(BH_ON, "bh")
_RAISES = Op(RAISE, "line")


def _irqs(cpu, off):
    before = cpu.irqs_off
    cpu.irqs_off = off
    return before


def local_irq_disable():
    """Interrupts off."""
    cpu = current().cpu
    before = touch(_OFF, cpu, _irqs, True)
    if not before and IS_ENABLED("IRQSOFF_TRACER"):
        trace_hardirqs_off()


def local_irq_enable():
    """Interrupts on, whatever they were."""
    cpu = current().cpu
    if IS_ENABLED("IRQSOFF_TRACER"):
        trace_hardirqs_on()
    touch(_ON, cpu, _irqs, False)
    _let_in(cpu)


def local_irq_save():
    """Interrupts off; the value says whether they were off before."""
    cpu = current().cpu
    flags = touch(_OFF, cpu, _irqs, True)
    if not flags and IS_ENABLED("IRQSOFF_TRACER"):
        trace_hardirqs_off()
    return flags


def local_irq_restore(flags):
    """Interrupts as they were when ``flags`` was saved."""
    cpu = current().cpu
    if not flags and IS_ENABLED("IRQSOFF_TRACER"):
        trace_hardirqs_on()
    touch(_OFF if flags else _ON, cpu, _irqs, flags)
    if not flags:
        _let_in(cpu)


def _bh(cpu, n):
    cpu.bh_off += n


def local_bh_disable():
    """No softirq on this CPU from here on."""
    cpu = current().cpu
    touch(_NO_BH, cpu, _bh, 1)


def local_bh_enable():
    """Undo one local_bh_disable()."""
    cpu = current().cpu
    touch(_BH, cpu, _bh, -1)
    _let_in(cpu)


def _raise(line):
    new = door.machine.raised(line)
    if new and door.execution is not None:
        door.execution.irq_raised(line)
    return new


def raise_irq(line):
    """A device raises its interrupt; false if that merges with one that is still pending.

    A line that was handled can be raised again; one that is being handled is handled once more.
    """
    return access(_RAISES, line, _raise, line)


def _let_in(cpu):
    if cpu.lines and door.execution is not None:
        door.execution.opened(cpu)
