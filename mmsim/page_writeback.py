# SPDX-License-Identifier: GPL-2.0-only
"""Writing pages back (mm/page-writeback.c, the end of it in mm/filemap.c): 5.4, 5.9 to 5.11, 5.17.

    lock the page, wait until it is not under writeback
    clear PG_dirty, with every pte write-protected        clear_page_dirty_for_io
    set PG_writeback, unlock the page, send the I/O off   set_page_writeback
    later, in an interrupt: clear PG_writeback, wake      end_page_writeback

PG_writeback is set under the page lock and cleared without it, and it comes with no reference:
whoever truncates or reclaims waits for it instead.  So the moment it is cleared the page may be
freed and be somebody else's, while the interrupt has yet to wake those who wait.  Nobody minded as
long as a waiter looked at the page again (5.4).  From 5.9 on it does not, and takes the wake-up's
word for it.  Then there are two ways to be told too early, each with its fix:

* the page is freed and reused before the wake-up, and a waiter of its new life is woken by the old
  one's interrupt: end_page_writeback() takes a reference (``073861ed77b6``, 5.10);
* the next writeback of the same page begins before the wake-up of the last:
  wait_on_page_writeback() asks again until there is none (``c2407cf7d22d``, 5.11).

Both show as the BUG_ON in write_cache_pages().  Not here: the counters (NR_WRITEBACK, the bdi's),
throttling, errors of the I/O.
"""

from mmsim.filemap import lock_page, unlock_page, wait_on_page_bit, wake_up_page
from mmsim.filemap_cache import find_get_page_tag, xas_clear_mark, xas_set_mark
from mmsim.linux.atomic import smp_mb
from mmsim.linux.bug import BUG, BUG_ON, VM_BUG_ON_FOLIO
from mmsim.linux.sched import cond_resched
from mmsim.linux.spinlock import spin_lock_irqsave, spin_unlock_irqrestore
from mmsim.lru import put_page, rotate_reclaimable_page
from mmsim.memcg_lock import __unlock_page_memcg, lock_page_memcg, unlock_page_memcg
from mmsim.model.cite import cite
from mmsim.model.era import by_version
from mmsim.page import (
    ClearPageReclaim,
    PageDirty,
    PageLocked,
    PageReclaim,
    PageWriteback,
    TestClearPageDirty,
    TestClearPageWriteback,
    TestSetPageWriteback,
    get_page,
)
from mmsim.page_dirty import set_page_dirty
from mmsim.rmap import page_mkclean
from mmsim.util import page_mapping

# -- before the I/O -----------------------------------------------------------------------------


def _clear_dirty(page):
    mapping = page_mapping(page)
    if mapping is not None and mapping.can_writeback:
        # From here on a store faults, and the fault wants the page lock, which we have.  What was
        # stored before is marked on the page first, so that clearing the mark means to write it.
        if page_mkclean(page):
            set_page_dirty(page)
    return TestClearPageDirty(page)


@cite("mm/page-writeback.c", "3.13..5.15")
def clear_page_dirty_for_io_v5_4(page):
    """Take PG_dirty away because the page is about to be written; true if it was dirty.

    The mark in the page cache stays until set_page_writeback().  *Locks:* entered with the page
    lock; may sleep for rmap locks.  *Race:* stores through ptes: see page_mkclean().
    """
    BUG_ON(
        not PageLocked(page),
        {
            "3.13": "mm/page-writeback.c:2313",
            "4.19": "mm/page-writeback.c:2655",
            "5.4": "mm/page-writeback.c:2658",
        },
        page,
    )
    return _clear_dirty(page)


@cite("mm/page-writeback.c", "5.16..5.17", symbol="folio_clear_dirty_for_io")
def clear_page_dirty_for_io_v5_17(page):
    """The same; the assertion is DEBUG_VM's."""
    VM_BUG_ON_FOLIO(
        lambda: not PageLocked(page), "!folio_test_locked(folio)", page,
        {"5.17": "mm/page-writeback.c:2729"},
    )
    return _clear_dirty(page)


clear_page_dirty_for_io = by_version(
    clear_page_dirty_for_io_v5_4, clear_page_dirty_for_io_v5_17
)


@cite("mm/page-writeback.c", "5.17", symbol="__folio_start_writeback")
def __test_set_page_writeback(page, keep_write=False):
    """Set PG_writeback and its mark, take the mark of dirty pages away; true if it was set.

    ``keep_write``: leave the mark of those whom a sync is after, which nobody sets here.
    *Locks:* page lock; takes the XArray's, interrupts off.
    """
    mapping = page_mapping(page)
    lock_page_memcg(page)
    if mapping is not None and mapping.use_writeback_tags:
        flags = spin_lock_irqsave(mapping.xa_lock)
        was_set = TestSetPageWriteback(page)
        if not was_set:
            xas_set_mark(mapping, page.index, "writeback")
        if not PageDirty(page):
            xas_clear_mark(mapping, page.index, "dirty")
        spin_unlock_irqrestore(mapping.xa_lock, flags)
    else:
        was_set = TestSetPageWriteback(page)
    unlock_page_memcg(page)
    return was_set


@cite("include/linux/page-flags.h", "5.17")
def set_page_writeback(page):
    """I/O is going to start.  *Locks:* page lock, with which it is alone.

    The page needs no reference for it: whoever would free the page waits.
    """
    __test_set_page_writeback(page, False)


# -- after the I/O, in an interrupt -------------------------------------------------------------


def _clear_writeback(page):
    mapping = page_mapping(page)
    if mapping is not None and mapping.use_writeback_tags:
        flags = spin_lock_irqsave(mapping.xa_lock)
        was_set = TestClearPageWriteback(page)
        if was_set:
            xas_clear_mark(mapping, page.index, "writeback")
        spin_unlock_irqrestore(mapping.xa_lock, flags)
        return was_set
    return TestClearPageWriteback(page)


@cite("mm/page-writeback.c", "5.4")
def test_clear_page_writeback(page):
    """Clear PG_writeback and its mark; true if it was set.

    *Locks:* takes the XArray's, interrupts off.  *Race:* after it the page may be anything: its
    memcg is unlocked by the pointer from before.
    """
    memcg = lock_page_memcg(page)
    was_set = _clear_writeback(page)
    __unlock_page_memcg(memcg)
    return was_set


@cite("mm/page-writeback.c", "5.17")
def __folio_end_writeback(page):
    """The same, for a caller who has a reference."""
    lock_page_memcg(page)
    was_set = _clear_writeback(page)
    unlock_page_memcg(page)
    return was_set


def _rotate(page):
    # not TestClear: a page that is not rotated is a lesser harm than an atomic operation each time
    if PageReclaim(page):
        ClearPageReclaim(page)
        rotate_reclaimable_page(page)


@cite("mm/filemap.c", "3.13..5.9", thread="000")
def end_page_writeback_v5_4(page):
    """I/O is complete: clear PG_writeback, wake who waits for that.

    *Locks:* interrupt context.  *Race:* PG_writeback is all that keeps the page.  What comes after
    it is cleared, PG_waiters and the queue, is looked at in a page that may be another by now.  A
    waiter of that one is woken too early, and looks again.
    """
    _rotate(page)
    if not test_clear_page_writeback(page):
        BUG(
            {"3.13": "mm/filemap.c:627", "4.19": "mm/filemap.c:1253", "5.4": "mm/filemap.c:1359"},
            page,
        )
    smp_mb()  # smp_mb__after_atomic(): the waiter sets PG_waiters, then looks at PG_writeback
    wake_up_page(page, "writeback")


@cite("mm/filemap.c", "5.10..5.17", thread="000", symbol="folio_end_writeback")
def end_page_writeback_v5_10(page):
    """The same, with a reference until it is over (``073861ed77b6``).

    *Race:* none about the page.  The wake-up may still come when the next writeback has begun.
    """
    _rotate(page)
    get_page(page)
    if not __folio_end_writeback(page):
        BUG({"5.17": "mm/filemap.c:1645"}, page)
    smp_mb()
    wake_up_page(page, "writeback")
    put_page(page)


end_page_writeback = by_version(end_page_writeback_v5_4, end_page_writeback_v5_10)


# -- waiting ------------------------------------------------------------------------------------


@cite("mm/page-writeback.c", "3.13..5.10")
def wait_on_page_writeback_v5_4(page):
    """Sleep until writeback is over.

    *Locks:* may sleep; the caller holds a reference, and the page lock if it is to stay over.
    *Race:* in 5.9 and 5.10 the wake-up may be that of an earlier writeback: then it is not over.
    """
    if PageWriteback(page):
        wait_on_page_bit(page, "writeback")


@cite("mm/page-writeback.c", "5.11..5.17", symbol="folio_wait_writeback")
def wait_on_page_writeback_v5_11(page):
    """The same, for as many writebacks as there are (``c2407cf7d22d``)."""
    while PageWriteback(page):
        wait_on_page_bit(page, "writeback")


wait_on_page_writeback = by_version(
    wait_on_page_writeback_v5_4, wait_on_page_writeback_v5_11
)


# -- a file's pages -----------------------------------------------------------------------------


@cite("mm/page-writeback.c", "5.17")
def write_cache_pages(mapping, writepage):
    """Write every dirty page of a file, after what is being written of it (WB_SYNC_ALL).

    ``writepage(page)`` is entered with the page locked and clean.  It sets PG_writeback, unlocks,
    and sees to it that end_page_writeback() comes.  *Locks:* sleeps.
    *Race:* the BUG_ON relies on wait_on_page_writeback(): see the top of this file.
    """
    index = 0
    while True:
        index, page = find_get_page_tag(mapping, index, "dirty")
        if page is None:
            return
        lock_page(page)
        if page.mapping is not mapping or not PageDirty(page):
            # truncated, or somebody wrote it for us
            unlock_page(page)
        else:
            if PageWriteback(page):
                wait_on_page_writeback(page)
            BUG_ON(
                PageWriteback(page),
                {
                    "3.13": "mm/page-writeback.c:1959",
                    "4.19": "mm/page-writeback.c:2235",
                    "5.4": "mm/page-writeback.c:2233",
                    "5.17": "mm/page-writeback.c:2250",
                },
                page,
            )
            if clear_page_dirty_for_io(page):
                writepage(page)
            else:
                unlock_page(page)
        put_page(page)
        cond_resched()
        index += 1


@cite("mm/filemap.c", "5.17", symbol="__filemap_fdatawait_range")
def filemap_fdatawait(mapping):
    """Wait for every page of a file that is being written.  *Locks:* sleeps."""
    index = 0
    while True:
        index, page = find_get_page_tag(mapping, index, "writeback")
        if page is None:
            return
        wait_on_page_writeback(page)
        put_page(page)
        cond_resched()
        index += 1
