# SPDX-License-Identifier: GPL-2.0-only
"""Tasks: current, states, sleeping and waking (include/linux/sched.h, kernel/sched/core.c).

Sleeping is what makes wake-ups losable, so it is done in the kernel's two steps: say that one is
about to sleep, look again, then schedule().  A wake-up between the two finds a task that is still
running and makes schedule() return at once; a wake-up before the first is lost.
"""

from mmsim.engine.context import HARDIRQ, READY, SLEEPING, TASK
from mmsim.engine.door import access, current, door
from mmsim.engine.op import RESCHED, SLEEP, STORE_MB, WAKE, WRITE_ONCE, Op
from mmsim.linux.bug import report

__mmsim_primitive__ = True

TASK_RUNNING = 0
TASK_INTERRUPTIBLE = 1
TASK_UNINTERRUPTIBLE = 2

PF_EXITING = 0x4
PF_MEMALLOC = 0x800
PF_KSWAPD = 0x20000
PF_FREE_PAGES = 0x2000  # 2.4: page frees of this task go to current->local_pages


_SETS_STATE = Op(STORE_MB, "state")
_SETS_STATE_ONLY = Op(WRITE_ONCE, "state")
_SLEEPS = Op(SLEEP, "state")
_WAKES = Op(WAKE, "state", unchanged=False)
_MAY_SCHEDULE = Op(RESCHED)


def smp_processor_id():
    """The CPU this runs on."""
    return current().cpu.id


def in_irq():
    """In a hardirq handler?"""
    return any(c.kind is HARDIRQ for c in current().cpu.stack)


def in_interrupt():
    """In a hardirq or softirq handler, or with bottom halves disabled?"""
    cpu = current().cpu
    return bool(cpu.stack) or cpu.bh_off > 0


def irqs_disabled():
    """Are this CPU's interrupts off?"""
    return current().cpu.irqs_off


def preempt_count():
    """Depth of everything that forbids to schedule."""
    ctx = current()
    return ctx.preempt_count + ctx.cpu.bh_off + len(ctx.cpu.stack)


def preempt_disable():
    """No other task of this CPU from here on."""
    current().preempt_count += 1


def preempt_enable():
    """Undo one preempt_disable()."""
    ctx = current()
    ctx.preempt_count -= 1
    if not ctx.preempt_count and len(ctx.cpu.tasks) > 1 and door.execution is not None:
        door.execution.opened(ctx.cpu)


def in_atomic():
    """May this context not schedule?"""
    return preempt_count() > 0


def might_sleep(where):
    """Complain if this context must not sleep; ``where`` is "mm/filemap.c:1234"."""
    if in_atomic() or irqs_disabled():
        ctx = current()
        report(
            "atomic-sleep",
            f"BUG: sleeping function called from invalid context at {where}",
            detail=(
                f"in_atomic(): {int(in_atomic())}, irqs_disabled(): {int(irqs_disabled())}, "
                f"non_block: 0, pid: {ctx.pid}, name: {ctx.comm}",
                f"preempt_count: {preempt_count():x}, expected: 0",
            ),
        )


def _set_state(ctx, state):
    ctx.task_state = state


def _deschedule(ctx, seconds=None):
    if ctx.task_state == TASK_RUNNING:
        return False
    if seconds is not None:
        door.machine.clock.arm(ctx, seconds)
    ctx.state = SLEEPING
    return True


def _wake(ctx):
    if ctx.task_state == TASK_RUNNING:
        return False  # it runs, or sleeps for something that only its owner can give it
    ctx.task_state = TASK_RUNNING
    ctx.timeout = None
    if ctx.state == SLEEPING:
        ctx.state = READY
        if door.execution is not None:
            door.execution.woken(ctx)
    return True


def set_current_state(state):
    """First half of going to sleep: a store and a full barrier, then one looks again."""
    ctx = current()
    access(_SETS_STATE, ctx, _set_state, ctx, state)


def __set_current_state(state):
    """The store alone, for who does not look at anything afterwards."""
    ctx = current()
    access(_SETS_STATE_ONLY, ctx, _set_state, ctx, state)


def schedule():
    """Second half: sleep, unless a wake-up came since set_current_state()."""
    _schedule(current())


def schedule_timeout(seconds):
    """Sleep for so much virtual time, or until woken."""
    _schedule(current(), seconds)


def _schedule(ctx, seconds=None):
    if ctx.kind is not TASK or preempt_count() or ctx.cpu.irqs_off:
        report(
            "atomic-sleep",
            "BUG: scheduling while atomic",
            detail=(
                f"BUG: scheduling while atomic: {ctx.comm}/{ctx.pid}/0x{preempt_count():08x}",
            ),
            fatal=True,
        )
    if access(_SLEEPS, ctx, _deschedule, ctx, seconds):
        door.execution.sleep(ctx)


def wake_up_process(task):
    """Make ``task`` runnable; true if it slept or was about to."""
    return access(_WAKES, task, _wake, task)


def kthread_run(fn, *args, comm, cpu=0):
    """A new task that runs ``fn(*args)`` on ``cpu``, made while the machine runs."""
    return door.machine.spawn(fn, *args, comm=comm, cpu=cpu)


def cond_resched():
    """A voluntary preemption point."""
    cpu = current().cpu
    if len(cpu.tasks) > 1 and door.execution is not None:
        door.execution.opened(cpu)
    access(_MAY_SCHEDULE, None, _nothing)


def cpu_relax():
    """One turn of a busy-wait loop: let the others make progress first."""
    if door.execution is not None:
        door.execution.relax(current())


def _nothing():
    return None
