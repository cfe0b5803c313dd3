# SPDX-License-Identifier: GPL-2.0-only
"""Waiting for a page bit in 3.13 (mm/filemap.c, kernel/sched/wait.c).

There is no PG_waiters yet: every unlock walks the hashed queue, and ``waitqueue_active`` without
the queue's lock is all that keeps that cheap.  A waiter looks at the page again when it is woken.
"""

from mmsim.engine.door import current
from mmsim.filemap_v5_4 import TEST_BIT, wait_page_key, wait_page_queue, wake_page_match
from mmsim.linux.atomic import smp_mb
from mmsim.linux.bug import VM_BUG_ON
from mmsim.linux.list import list_add_tail, list_empty
from mmsim.linux.sched import TASK_UNINTERRUPTIBLE, schedule, set_current_state
from mmsim.linux.spinlock import spin_lock_irqsave, spin_unlock_irqrestore
from mmsim.linux.wait import (
    WQ_FLAG_EXCLUSIVE,
    __wake_up_locked_key,
    autoremove_wake_function,
    finish_wait,
)
from mmsim.model.cite import cite
from mmsim.page import PageLocked
from mmsim.pagemap import (
    clear_bit_unlock_is_negative_byte,
    page_bit_of,
    page_waitqueue,
    trylock_page,
)


@cite("mm/filemap.c", "3.13", thread="004")
def unlock_page(page):
    """Clear PG_locked and wake whoever waits for it.

    *Locks:* drops the page lock, whoever took it; any context.
    """
    VM_BUG_ON(lambda: not PageLocked(page), "mm/filemap.c:610", page)
    clear_bit_unlock_is_negative_byte(page)
    smp_mb()
    wake_up_page_bit(page, "locked")


@cite("kernel/sched/wait.c", "3.13", symbol="wake_bit_function")
def wake_bit_function(wait, mode, key):
    """Wake if it is about this page and the bit is still clear."""
    if not wake_page_match(wait, key) or TEST_BIT[key.bit](key.page):
        return 0
    return autoremove_wake_function(wait, mode, key)


@cite("kernel/sched/wait.c", "3.13", symbol="__wake_up_bit")
def wake_up_page_bit(page, bit):
    """Wake who waits for ``bit``.  *Locks:* the queue's, if anybody is queued.

    *Race:* the look at the queue without its lock is ordered after the clearing of the bit.
    """
    q = page_waitqueue(page)
    if not list_empty(q.head):
        flags = spin_lock_irqsave(q.lock)
        __wake_up_locked_key(q, 0, 1, wait_page_key(page, bit))
        spin_unlock_irqrestore(q.lock, flags)


def _prepare(q, wait):
    flags = spin_lock_irqsave(q.lock)
    if list_empty(wait.entry):
        list_add_tail(wait.entry, q.head)
    set_current_state(TASK_UNINTERRUPTIBLE)
    spin_unlock_irqrestore(q.lock, flags)


def _sleep_page(page, bit):
    current().blocked_on = page_bit_of(page, bit)
    schedule()
    current().blocked_on = None


@cite("kernel/sched/wait.c", "3.13", symbol="__wait_on_bit_lock")
def __lock_page(page):
    """Sleep for the page lock.  *Locks:* returns with it."""
    q = page_waitqueue(page)
    wait = wait_page_queue(wake_bit_function, page, "locked")
    wait.flags = WQ_FLAG_EXCLUSIVE
    while True:
        _prepare(q, wait)
        if PageLocked(page):
            _sleep_page(page, "locked")
        if trylock_page(page):
            break
    finish_wait(q, wait)


@cite("kernel/sched/wait.c", "3.13", symbol="__wait_on_bit")
def wait_on_page_bit(page, bit):
    """Sleep until ``bit`` is clear.  *Locks:* may sleep; the caller holds a reference."""
    q = page_waitqueue(page)
    wait = wait_page_queue(wake_bit_function, page, bit)
    while True:
        _prepare(q, wait)
        if TEST_BIT[bit](page):
            _sleep_page(page, bit)
        if not TEST_BIT[bit](page):
            break
    finish_wait(q, wait)
