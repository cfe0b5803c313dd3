# SPDX-License-Identifier: GPL-2.0-only
"""The page lock, written out (mm/filemap.c, 5.17; older waiting in filemap_v5_4.py, v3_13/).

PG_locked is a sleeping bit lock.  Unlocking must be cheap, so it looks at PG_waiters, which shares
its byte, and touches a queue only if that is set.  Everything subtle follows from there:

* a waiter sets PG_waiters *before* it looks at PG_locked, both under the queue's lock.  The other
  way round the unlock falls between and nobody is woken (gate ``waiters-after-test``);
* the waker speaks to the waiter through the queue entry: WOKEN "you need not look again", DONE "and
  the lock is yours".  The waiter then needs no look at the page, hence no reference;
* PG_waiters may stay set when nobody waits, it must never be clear when somebody does.  Only
  folio_wake_bit() clears it, under the queue's lock; a flag store that is not atomic and races with
  a waiter clears it too (``003.lost-waiters``);
* a waiter for the lock that has lost often enough is handed the lock itself.
"""

from mmsim.engine.door import access, current
from mmsim.engine.op import RMW
from mmsim.filemap_v5_4 import (
    TEST_BIT,
    __lock_page_v5_4,
    wait_on_page_bit_common_v5_4,
    wait_on_page_bit_v5_4,
    wait_page_key,
    wait_page_queue,
    wake_page_match,
    wake_up_page_bit_v5_4,
)
from mmsim.linux.atomic import smp_load_acquire, smp_store_release
from mmsim.linux.bug import VM_BUG_ON_FOLIO, VM_BUG_ON_PAGE
from mmsim.linux.list import list_add_tail, list_del_init_careful, list_empty
from mmsim.linux.sched import (
    TASK_UNINTERRUPTIBLE,
    might_sleep,
    schedule,
    set_current_state,
    wake_up_process,
)
from mmsim.linux.spinlock import (
    spin_lock_irq,
    spin_lock_irqsave,
    spin_unlock,
    spin_unlock_irq,
    spin_unlock_irqrestore,
)
from mmsim.linux.wait import (
    WQ_FLAG_CUSTOM,
    WQ_FLAG_DONE,
    WQ_FLAG_EXCLUSIVE,
    WQ_FLAG_WOKEN,
    __wake_up_locked_key,
    finish_wait,
)
from mmsim.lru import put_page
from mmsim.model.cite import cite
from mmsim.model.era import IS_ENABLED, by_version, era
from mmsim.model.gate import patched
from mmsim.page import ClearPageWaiters, PageLocked, PageWaiters, SetPageWaiters, bit_op
from mmsim.pagemap import (
    clear_bit_unlock_is_negative_byte,
    is_locked,
    page_bit_of,
    page_lock_of,
    page_waitqueue,
    try_locked_bit,
    trylock_page,
)
from mmsim.swapops import pfn_swap_entry_to_page
from mmsim.v3_13.filemap import __lock_page as __lock_page_v3_13
from mmsim.v3_13.filemap import wait_on_page_bit as wait_on_page_bit_v3_13
from mmsim.v3_13.filemap import wake_up_page_bit as wake_up_page_bit_v3_13

EXCLUSIVE = "exclusive"  # wait for the lock, to take it
SHARED = "shared"  # wait until it is free, holding a reference
DROP = "drop"  # the same, dropping the caller's reference as soon as we are queued

sysctl_page_lock_unfairness = 5


_TAKES_LOCK = bit_op(RMW, "locked", verb="trylock", unchanged=False, fails=is_locked)


def _test_and_set_locked(page, task):
    return not access(_TAKES_LOCK, page, try_locked_bit, page, page.m_locked, task)


@cite("mm/filemap.c", "5.17", thread="003")
def wake_page_function(wait, mode, key):
    """A waker has come to this entry: hand the lock over, or say WOKEN, or stop the walk (-1).

    *Locks:* under the queue's.  *Race:* the waiter reads the entry's flags without the lock; the
    entry is its stack, so taking it off the queue is the last thing done with it.
    """
    if not wake_page_match(wait, key):
        return 0
    flags = wait.flags
    if flags & WQ_FLAG_EXCLUSIVE:
        if TEST_BIT[key.bit](key.page):
            return -1
        if flags & WQ_FLAG_CUSTOM:
            if _test_and_set_locked(key.page, wait.private):
                return -1
            flags |= WQ_FLAG_DONE
    smp_store_release(wait, "flags", flags | WQ_FLAG_WOKEN)
    wake_up_process(wait.private)
    list_del_init_careful(wait.entry)
    return int(flags & WQ_FLAG_EXCLUSIVE != 0)


@cite("mm/filemap.c", "5.9..5.17", thread="003")
def folio_wake_bit(page, bit):
    """Wake who waits for ``bit`` of the page.

    *Locks:* takes the queue's, interrupts off.  *Race:* PG_waiters is cleared only here, under the
    same lock under which waiters set it.
    """
    q = page_waitqueue(page)
    key = wait_page_key(page, bit)
    flags = spin_lock_irqsave(q.lock)
    __wake_up_locked_key(q, 0, 1, key)
    # others of this queue may keep it from being empty; the next waker will clear the flag then
    if list_empty(q.head) or not key.page_match:
        ClearPageWaiters(page)
    spin_unlock_irqrestore(q.lock, flags)


@cite("mm/filemap.c", "5.17", thread="003")
def folio_trylock_flag(page, bit, wait):
    """With PG_waiters set: is the bit clear after all (then WOKEN and DONE)?  Takes a lock wanted.

    *Locks:* under the queue's.
    """
    if wait.flags & WQ_FLAG_EXCLUSIVE:
        if _test_and_set_locked(page, current()):
            return False
    elif TEST_BIT[bit](page):
        return False
    wait.flags = wait.flags | WQ_FLAG_WOKEN | WQ_FLAG_DONE
    return True


def _queue_page_waiter(q, page, bit, wait):
    """The part under the queue's lock that folio_wait_bit_common and the migration waiter share.

    *Locks:* the queue's.  *Race:* none in the order of the kernel; with ``waiters-after-test`` an
    unlock between the test and the flag wakes nobody.
    """
    if patched("waiters-after-test"):
        if not folio_trylock_flag(page, bit, wait):
            SetPageWaiters(page)
            list_add_tail(wait.entry, q.head)
    else:
        SetPageWaiters(page)
        if not folio_trylock_flag(page, bit, wait):
            list_add_tail(wait.entry, q.head)


@cite("mm/filemap.c", "5.17", thread="003")
def folio_wait_bit_common(page, bit, behavior):
    """Sleep until ``bit`` is clear; EXCLUSIVE returns with the page lock.

    *Locks:* may sleep; takes the queue's lock, interrupts off.  *Race:* none known.
    """
    q = page_waitqueue(page)
    unfairness = sysctl_page_lock_unfairness
    wait = wait_page_queue(wake_page_function, page, bit)
    while True:
        flags = 0
        if behavior == EXCLUSIVE:
            flags = WQ_FLAG_EXCLUSIVE
            unfairness -= 1
            if unfairness < 0:
                flags |= WQ_FLAG_CUSTOM
        wait.flags = flags

        spin_lock_irq(q.lock)
        _queue_page_waiter(q, page, bit, wait)
        spin_unlock_irq(q.lock)
        if behavior == DROP:
            put_page(page)

        # from here on only the entry's flags are looked at, not the page
        while True:
            set_current_state(TASK_UNINTERRUPTIBLE)
            flags = smp_load_acquire(wait, "flags")
            if flags & WQ_FLAG_WOKEN:
                break
            current().blocked_on = page_bit_of(page, bit)
            schedule()
            current().blocked_on = None
        if behavior != EXCLUSIVE:
            break
        if flags & WQ_FLAG_DONE:
            break
        if not _test_and_set_locked(page, current()):
            wait.flags = wait.flags | WQ_FLAG_DONE
            break
        # somebody was faster: queue again
    finish_wait(q, wait)


@cite("mm/filemap.c", "5.9..5.17", symbol="__folio_lock")
def __lock_page_v5_17(page):
    """The slow half of lock_page()."""
    folio_wait_bit_common(page, "locked", EXCLUSIVE)


__lock_page = by_version(__lock_page_v3_13, __lock_page_v5_4, __lock_page_v5_17)


@cite("include/linux/pagemap.h", "5.17", thread="003")
def lock_page(page):
    """Take the page lock.

    *Locks:* may sleep; returns with the page lock.  The caller holds a reference.
    """
    if IS_ENABLED("DEBUG_ATOMIC_SLEEP"):
        might_sleep("include/linux/pagemap.h")
    if not trylock_page(page):
        __lock_page(page)


wake_up_page_bit = by_version(wake_up_page_bit_v3_13, wake_up_page_bit_v5_4, folio_wake_bit)


@cite("mm/filemap.c", "3.13..5.17", symbol="folio_wake")
def wake_up_page(page, bit):
    """Wake who waits for ``bit``, if PG_waiters says that anybody does.

    3.13 has no PG_waiters and looks at the queue.
    """
    if era().version < (4, 10) or PageWaiters(page):
        wake_up_page_bit(page, bit)


@cite("mm/filemap.c", "5.17", thread="003", symbol="folio_unlock")
def unlock_page(page):
    """Clear PG_locked; wake if PG_waiters says that somebody waits.  One atomic operation for both.

    *Locks:* drops the page lock, whoever took it; any context.  *Race:* none known.
    """
    if era().version >= (5, 16):
        VM_BUG_ON_FOLIO(
            lambda: not PageLocked(page), "!folio_test_locked(folio)", page,
            {"5.17": "mm/filemap.c:1555"},
        )
    else:
        VM_BUG_ON_PAGE(
            lambda: not PageLocked(page), "!PageLocked(page)", page,
            {"3.13": "mm/filemap.c:610", "4.19": "mm/filemap.c:1228", "5.4": "mm/filemap.c:1334"},
        )
    waiters = clear_bit_unlock_is_negative_byte(page)
    if waiters or era().version < (4, 10):
        wake_up_page_bit(page, "locked")


@cite("include/linux/pagemap.h", "5.9..5.17", symbol="folio_wait_bit")
def wait_on_page_bit_v5_17(page, bit):
    """Sleep until ``bit`` is clear.  *Locks:* may sleep; the caller holds a reference."""
    folio_wait_bit_common(page, bit, SHARED)


wait_on_page_bit = by_version(
    wait_on_page_bit_v3_13, wait_on_page_bit_v5_4, wait_on_page_bit_v5_17
)


@cite("include/linux/pagemap.h", "5.17")
def wait_on_page_locked(page):
    """Sleep until the page is unlocked.  *Locks:* may sleep; the caller holds a reference."""
    if PageLocked(page):
        wait_on_page_bit(page, "locked")


@cite("mm/filemap.c", "5.16", thread="003")
def put_and_wait_on_page_locked(page):
    """Drop a reference and sleep until the page is unlocked.

    *Locks:* may sleep.  *Race:* the page may be freed and used again while we sleep; it is not
    looked at again.  Until the reference is dropped it makes migration fail (``003.old-get``).
    """
    if era().version >= (5, 9):
        folio_wait_bit_common(page, "locked", DROP)
    else:
        wait_on_page_bit_common_v5_4(page, "locked", False, put_page)


@cite("mm/filemap.c", "5.17", thread="003")
def migration_entry_wait_on_locked(entry, ptep, ptl):
    """Sleep until the page of a migration entry is unlocked, without a reference to it.

    ``ffa65753c431``.  *Locks:* entered with the PTL, drops it; sleeps.
    *Race:* the PTL is what keeps the page: the entry can be removed only under it, and the page is
    unlocked and freed only after.  So everything that touches the page comes before the PTL is
    dropped; after that only the queue entry is looked at.
    """
    page = pfn_swap_entry_to_page(entry)
    if patched("lock-under-ptl"):
        lock_page(page)
        spin_unlock(ptl)
        unlock_page(page)
        return
    if patched("drop-ptl-early"):
        spin_unlock(ptl)
    q = page_waitqueue(page)
    wait = wait_page_queue(wake_page_function, page, "locked")

    spin_lock_irq(q.lock)
    _queue_page_waiter(q, page, "locked", wait)
    spin_unlock_irq(q.lock)
    if not patched("drop-ptl-early"):
        spin_unlock(ptl)

    while True:
        set_current_state(TASK_UNINTERRUPTIBLE)
        flags = smp_load_acquire(wait, "flags")
        if flags & WQ_FLAG_WOKEN:
            break
        current().blocked_on = page_lock_of(page)
        schedule()
        current().blocked_on = None
    finish_wait(q, wait)
