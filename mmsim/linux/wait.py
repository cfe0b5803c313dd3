# SPDX-License-Identifier: GPL-2.0-only
"""Wait queues (include/linux/wait.h, kernel/sched/wait.c, 5.17).

A waiter enqueues an entry under the queue's lock, sets its own state, tests its condition again
and schedules.  A waker walks the entries under the same lock, from the front, and calls each
entry's function, which decides whether it is meant.  filemap.py builds the page lock on this, with
its own functions.

Who waits with others goes to the front, who waits to be the only one goes to the tail: a walk
reaches the first exclusive entry, where it ends, after everybody who has to be woken in any case.
"""

from mmsim.engine.door import current
from mmsim.linux.list import (
    LIST_HEAD,
    list_add,
    list_add_tail,
    list_del_init,
    list_del_init_careful,
    list_empty,
    list_empty_careful,
    list_head,
)
from mmsim.linux.sched import (
    TASK_RUNNING,
    __set_current_state,
    set_current_state,
    wake_up_process,
)
from mmsim.linux.spinlock import (
    spin_lock_init,
    spin_lock_irqsave,
    spin_unlock_irqrestore,
)
from mmsim.model.era import era
from mmsim.model.struct import Struct, shared

__mmsim_primitive__ = True

WQ_FLAG_EXCLUSIVE = 0x01
WQ_FLAG_WOKEN = 0x02
WQ_FLAG_BOOKMARK = 0x04
WQ_FLAG_CUSTOM = 0x08
WQ_FLAG_DONE = 0x10


class wait_queue_head:
    """``lock`` and the list of entries."""

    def __init__(self, name):
        self.name = name
        self.lock = spin_lock_init(f"{name}.lock")
        self.head = LIST_HEAD(f"{name}.head")


class wait_queue_entry(Struct):
    """``private`` is the task, ``func`` is called by wakers, ``flags`` are WQ_FLAG_*."""

    flags = shared(0)
    name = "wait_queue_entry"

    def __init__(self, func=None, task=None):
        self.private = task or current()
        self.func = func or default_wake_function
        self.entry = list_head("entry", self)
        self.entry.v_next = self.entry.v_prev = self.entry

    @property
    def address(self):
        return 0xFFFFC90000000000 + self.private.id * 0x4000


def default_wake_function(wait, mode, key):
    """Wake the task; true counts as an exclusive wake-up."""
    return wake_up_process(wait.private)


def autoremove_wake_function(wait, mode, key):
    """Wake the task and take the entry off the queue."""
    woken = default_wake_function(wait, mode, key)
    if woken:
        if era().version >= (5, 9):
            list_del_init_careful(wait.entry)
        else:
            list_del_init(wait.entry)
    return woken


def add_wait_queue(queue, wait):
    """Enqueue, to be woken with the others."""
    wait.v_flags &= ~WQ_FLAG_EXCLUSIVE  # the waiter's word: wakers only read it
    flags = spin_lock_irqsave(queue.lock)
    list_add(wait.entry, queue.head)
    spin_unlock_irqrestore(queue.lock, flags)


def add_wait_queue_exclusive(queue, wait):
    """Enqueue, to be woken alone."""
    wait.v_flags |= WQ_FLAG_EXCLUSIVE  # the waiter's word: wakers only read it
    flags = spin_lock_irqsave(queue.lock)
    list_add_tail(wait.entry, queue.head)
    spin_unlock_irqrestore(queue.lock, flags)


def remove_wait_queue(queue, wait):
    """Dequeue."""
    flags = spin_lock_irqsave(queue.lock)
    list_del_init(wait.entry)
    spin_unlock_irqrestore(queue.lock, flags)


def prepare_to_wait(queue, wait, state):
    """Enqueue if not queued, and say that we are about to sleep."""
    wait.v_flags &= ~WQ_FLAG_EXCLUSIVE  # the waiter's word: wakers only read it
    flags = spin_lock_irqsave(queue.lock)
    if list_empty(wait.entry):
        list_add(wait.entry, queue.head)
    set_current_state(state)
    spin_unlock_irqrestore(queue.lock, flags)


def prepare_to_wait_exclusive(queue, wait, state):
    """The same, to be woken alone."""
    wait.v_flags |= WQ_FLAG_EXCLUSIVE  # the waiter's word: wakers only read it
    flags = spin_lock_irqsave(queue.lock)
    if list_empty(wait.entry):
        list_add_tail(wait.entry, queue.head)
    set_current_state(state)
    spin_unlock_irqrestore(queue.lock, flags)


def finish_wait(queue, wait):
    """Running again; off the queue if still on it."""
    __set_current_state(TASK_RUNNING)
    if not list_empty_careful(wait.entry):
        flags = spin_lock_irqsave(queue.lock)
        list_del_init(wait.entry)
        spin_unlock_irqrestore(queue.lock, flags)


def __wake_up_locked_key(queue, mode, nr_exclusive, key):
    """Call the entries' functions from the front; a negative value stops the walk.

    The kernel drops the lock for a moment after every 64 entries, which no queue here has.
    """
    node = queue.head.next
    while node is not queue.head:
        after = node.next
        wait = node.owner
        flags = wait.flags
        ret = wait.func(wait, mode, key)
        if ret is not None and not isinstance(ret, bool) and ret < 0:
            break
        if ret and flags & WQ_FLAG_EXCLUSIVE:
            nr_exclusive -= 1
            if not nr_exclusive:
                break
        node = after


def __wake_up(queue, mode, nr_exclusive, key):
    """Wake under the queue's lock."""
    flags = spin_lock_irqsave(queue.lock)
    __wake_up_locked_key(queue, mode, nr_exclusive, key)
    spin_unlock_irqrestore(queue.lock, flags)


def wake_up(queue):
    """Wake everybody who is not exclusive and one who is."""
    __wake_up(queue, 0, 1, None)


def wake_up_all(queue):
    """Wake everybody."""
    __wake_up(queue, 0, 0, None)
