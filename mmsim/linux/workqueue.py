# SPDX-License-Identifier: GPL-2.0-only
"""Work on another CPU (include/linux/workqueue.h, kernel/workqueue.c), as far as drains need it.

Per-CPU data belong to their CPU: who wants something done to those of another has to get that CPU
to do it.  Each CPU has a task, kworker, that does the works queued there, one by one, whenever the
CPU lets it: preempting whoever runs with CONFIG_PREEMPT, else when that sleeps or asks.

A kernel's workers idle for ever.  Here they go home when the last who could queue a work has said
destroy_workqueue(), or a run would never end.  ``users`` are those tasks: the watchdog has to know
for whom an idle worker waits.
"""

from mmsim.engine.context import DONE, current
from mmsim.linux.atomic import atomic_dec_and_test, smp_load_acquire, smp_store_release
from mmsim.linux.list import LIST_HEAD, list_add_tail, list_del_init, list_empty, list_first_entry
from mmsim.linux.list import list_head as list_node
from mmsim.linux.sched import (
    TASK_RUNNING,
    TASK_UNINTERRUPTIBLE,
    schedule,
    set_current_state,
    wake_up_process,
)
from mmsim.linux.spinlock import (
    spin_lock_init,
    spin_lock_irq,
    spin_lock_irqsave,
    spin_unlock_irq,
    spin_unlock_irqrestore,
)
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
    """``func()`` is what to do; ``done`` says that it has been."""

    done = shared(False)

    def __init__(self, name, func):
        self.name = name
        self.func = func
        self.owner = None  # the worker it was queued to, for the watchdog
        self.entry = list_node("entry", self)
        self.wait = wait_queue_head(f"{name}.wait")


class worker_pool(Struct):
    """One CPU's works, under ``lock``, and the task that does them."""

    exiting = shared(False)

    def __init__(self, workqueue, cpu):
        self.name = f"worker_pool[{cpu}]"
        self.workqueue = workqueue
        self.lock = spin_lock_init(f"&pool->lock#{cpu}")
        self.worklist = LIST_HEAD(f"{self.name}.worklist")
        self.worker = None

    def holders(self):
        """For the watchdog: an idle worker waits for those who may want something of it."""
        return [user for user in self.workqueue.users if user.state != DONE]


class workqueue(Struct):
    """``pools``, one a CPU; ``nr_users`` have not said destroy_workqueue() yet."""

    nr_users = shared(0)
    name = "workqueue"

    def __init__(self, cpus):
        self.pools = [worker_pool(self, cpu) for cpu in range(cpus)]
        self.users = []


def alloc_workqueue(machine, users):
    """Boot: a workqueue for these tasks, with a kworker on each CPU."""
    wq = workqueue(len(machine.cpus))
    wq.users = list(users)
    wq.v_nr_users = len(wq.users)
    for cpu, pool in enumerate(wq.pools):
        pool.worker = machine.spawn(worker_thread, pool, comm=f"kworker/{cpu}:0", cpu=cpu)
    return wq


def destroy_workqueue(wq):
    """The current task queues no more; after the last the workers go."""
    if not atomic_dec_and_test(wq, "nr_users"):
        return
    for pool in wq.pools:
        flags = spin_lock_irqsave(pool.lock)
        pool.exiting = True
        wake_up_process(pool.worker)
        spin_unlock_irqrestore(pool.lock, flags)


def worker_thread(pool):
    """Do what is queued, sleep when there is nothing."""
    while True:
        spin_lock_irq(pool.lock)
        if list_empty(pool.worklist):
            if pool.exiting:
                spin_unlock_irq(pool.lock)
                return
            set_current_state(TASK_UNINTERRUPTIBLE)  # TASK_IDLE: nobody calls that hung
            spin_unlock_irq(pool.lock)
            current().blocked_on = pool
            schedule()
            current().blocked_on = None
            set_current_state(TASK_RUNNING)
            continue
        work = list_first_entry(pool.worklist)
        list_del_init(work.entry)
        spin_unlock_irq(pool.lock)
        work.func()
        # the waiter's stack: the store is for who looks before it sleeps, the wake-up for others
        smp_store_release(work, "done", True)
        wake_up_all(work.wait)


def queue_work_on(wq, cpu, work):
    """Have ``work`` done on that CPU."""
    pool = wq.pools[cpu]
    work.owner = pool.worker
    flags = spin_lock_irqsave(pool.lock)
    list_add_tail(work.entry, pool.worklist)
    wake_up_process(pool.worker)
    spin_unlock_irqrestore(pool.lock, flags)


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
