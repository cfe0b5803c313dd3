# SPDX-License-Identifier: GPL-2.0-only
"""How long interrupts are off (kernel/trace/trace_irqsoff.c), in points of the CPU concerned.

With CONFIG_IRQSOFF_TRACER the longest section of a run is its metric ``irq_off_points``.  Time is
counted in the CPU's own effects: how long it was kept from running by the policy says nothing about
the kernel.  Sections of interrupt handlers are not counted, they begin and end with the handler.
"""

from mmsim.engine.context import TASK
from mmsim.engine.door import current, door

__mmsim_primitive__ = True

METRIC = "irq_off_points"


def trace_hardirqs_off():
    """Interrupts have just been turned off."""
    if door.execution is not None and current().kind is TASK:
        current().cpu.irqs_off_since = door.machine.position()


def trace_hardirqs_on():
    """Interrupts are about to be turned on."""
    ctx = current()
    since = getattr(ctx.cpu, "irqs_off_since", None)
    if door.execution is None or since is None or ctx.kind is not TASK:
        return
    ctx.cpu.irqs_off_since = None
    metrics = door.machine.metrics
    metrics[METRIC] = max(metrics.get(METRIC, 0), _own_effects(ctx, since))


def _own_effects(ctx, since):
    """Effects of ``ctx`` since step ``since`` of the run."""
    now = door.machine.position()
    segments = door.execution.segments
    end = sum(n for _, n in segments)
    own = max(now - max(end, since), 0)  # the segment that is not closed yet
    for id, n in reversed(segments):
        if end <= since:
            break
        if id == ctx.id:
            own += max(min(end, now) - max(end - n, since), 0)
        end -= n
    return own
