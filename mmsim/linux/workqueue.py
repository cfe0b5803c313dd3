# SPDX-License-Identifier: GPL-2.0-only
"""Work on another CPU (include/linux/workqueue.h, kernel/workqueue.c), as far as drains need it.

Per-CPU data belong to their CPU: who wants something done to those of another has to get that CPU
to do it.  The CPU does it as a task, a kworker, whenever it gets to it: preempting whoever runs
with CONFIG_PREEMPT, else when that sleeps or offers to.

A kernel keeps its kworkers, and they take one work after the other.  Here each work is done by a
new one, which is gone when it is done: an idle task would keep a run from ending.
"""

from mmsim.engine.door import current
from mmsim.linux.atomic import smp_load_acquire, smp_store_release
from mmsim.linux.sched import TASK_UNINTERRUPTIBLE, kthread_run, schedule
from mmsim.linux.wait import (
    autoremove_wake_function,
    finish_wait,
    prepare_to_wait,
    wait_queue_entry,
    wait_queue_head,
    wake_up_all,
)
from mmsim.model.struct import Struct, shared

__mmsim_primitive__ = True


class work_struct(Struct):
    """``func()`` is what to do, ``done`` says that it has been, ``owner`` is who does it."""

    done = shared(False)
    owner = None

    def __init__(self, name, func):
        self.name = name
        self.func = func
        self.wait = wait_queue_head(f"{name}.wait")


def worker_thread(work):
    """Do it, and say so: the store for who looks before it sleeps, the wake-up for the others."""
    work.func()
    smp_store_release(work, "done", True)
    wake_up_all(work.wait)


def queue_work_on(cpu, work):
    """Have ``work`` done on that CPU."""
    work.owner = kthread_run(worker_thread, work, comm=f"kworker/{cpu}:0", cpu=cpu)


def flush_work(work):
    """Sleep until it is done."""
    wait = wait_queue_entry(autoremove_wake_function)
    while True:
        prepare_to_wait(work.wait, wait, TASK_UNINTERRUPTIBLE)
        if smp_load_acquire(work, "done"):
            break
        current().blocked_on = work
        schedule()
        current().blocked_on = None
    finish_wait(work.wait, wait)
