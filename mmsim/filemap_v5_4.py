# SPDX-License-Identifier: GPL-2.0-only
"""Waiting for a page bit before 5.9: the form of 5.4, also 4.19 (mm/filemap.c).

There is PG_waiters but no WOKEN/DONE protocol: a woken task looks at the page again, so it needs a
reference until it has looked, and the walk over a queue stops at the first exclusive waiter that
finds the bit taken again.  The form of 3.13, without PG_waiters, stands in v3_13/filemap.py.

filemap.py chooses by the booted kernel's version.
"""

from mmsim.engine.door import current
from mmsim.linux.list import list_add_tail, list_empty
from mmsim.linux.sched import TASK_UNINTERRUPTIBLE, schedule, set_current_state
from mmsim.linux.spinlock import (
    spin_lock_irq,
    spin_lock_irqsave,
    spin_unlock_irq,
    spin_unlock_irqrestore,
)
from mmsim.linux.wait import (
    WQ_FLAG_EXCLUSIVE,
    __wake_up_locked_key,
    autoremove_wake_function,
    finish_wait,
    wait_queue_entry,
)
from mmsim.model.cite import cite
from mmsim.page import ClearPageWaiters, PageLocked, PageWriteback, SetPageWaiters
from mmsim.pagemap import page_bit_of, page_waitqueue, trylock_page

TEST_BIT = {"locked": PageLocked, "writeback": PageWriteback}


class wait_page_queue(wait_queue_entry):
    """A waiter and the page bit it waits for."""

    name = "wait_page_queue"

    def __init__(self, func, page, bit):
        wait_queue_entry.__init__(self, func)
        self.page = page
        self.bit = bit


class wait_page_key:
    """What a waker is about; ``page_match`` tells whether anybody waits for this page at all."""

    def __init__(self, page, bit):
        self.page = page
        self.bit = bit
        self.page_match = False


@cite("include/linux/pagemap.h", "5.17")
def wake_page_match(wait, key):
    """Is the entry about the key's page and bit?"""
    if wait.page is not key.page:
        return False
    key.page_match = True
    return wait.bit == key.bit


@cite("mm/filemap.c", "5.4", symbol="wake_page_function")
def wake_page_function_v5_4(wait, mode, key):
    """Stop the walk if the bit is taken again, else wake.  *Locks:* under the queue's."""
    if not wake_page_match(wait, key):
        return 0
    if TEST_BIT[key.bit](key.page):
        return -1
    return autoremove_wake_function(wait, mode, key)


@cite("mm/filemap.c", "4.10..5.8")
def wake_up_page_bit_v5_4(page, bit):
    """Wake who waits for ``bit``.  *Locks:* takes the queue's, interrupts off."""
    q = page_waitqueue(page)
    key = wait_page_key(page, bit)
    flags = spin_lock_irqsave(q.lock)
    __wake_up_locked_key(q, 0, 1, key)
    if list_empty(q.head) or not key.page_match:
        ClearPageWaiters(page)
    spin_unlock_irqrestore(q.lock, flags)


@cite("mm/filemap.c", "5.4", symbol="wait_on_page_bit_common")
def wait_on_page_bit_common_v5_4(page, bit, exclusive, put=None):
    """Sleep until ``bit`` is clear; ``exclusive`` takes it, ``put`` drops a reference when queued.

    *Locks:* may sleep; takes the queue's lock.  *Race:* none known.
    """
    q = page_waitqueue(page)
    wait = wait_page_queue(wake_page_function_v5_4, page, bit)
    wait.flags = WQ_FLAG_EXCLUSIVE if exclusive else 0
    while True:
        spin_lock_irq(q.lock)
        if list_empty(wait.entry):
            list_add_tail(wait.entry, q.head)
            SetPageWaiters(page)
        set_current_state(TASK_UNINTERRUPTIBLE)
        spin_unlock_irq(q.lock)

        bit_is_set = TEST_BIT[bit](page)
        if put is not None:
            put(page)
        if bit_is_set:
            current().blocked_on = page_bit_of(page, bit)
            schedule()
            current().blocked_on = None
        if exclusive:
            if trylock_page(page):
                break
        elif put is not None:
            break  # without the reference the page must not be looked at again
        elif not TEST_BIT[bit](page):
            break
    finish_wait(q, wait)


@cite("mm/filemap.c", "4.10..5.8")
def wait_on_page_bit_v5_4(page, bit):
    """Sleep until ``bit`` is clear.  *Locks:* may sleep; the caller holds a reference."""
    wait_on_page_bit_common_v5_4(page, bit, False)


@cite("mm/filemap.c", "4.10..5.8", symbol="__lock_page")
def __lock_page_v5_4(page):
    """Sleep for the page lock.  *Locks:* returns with it."""
    wait_on_page_bit_common_v5_4(page, "locked", True)
