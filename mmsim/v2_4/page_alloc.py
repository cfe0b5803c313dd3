# SPDX-License-Identifier: GPL-2.0-only
"""The page allocator, up to where it has to reclaim (mm/page_alloc.c); the rest is alloc_pages.py.

__free_pages_ok is the meeting place of thread 002: every patch of February 2002 is a different
answer to what a page that is still on an LRU list should do here.

One order, one zone, no buddies: the races are about who calls the allocator, not about what it
does.  BUG() lines are those of the tree a patch was made for (``lines``).
"""

from mmsim.engine.door import current, door
from mmsim.linux.atomic import smp_mb
from mmsim.linux.bug import BUG
from mmsim.linux.list import LIST_HEAD, list_add, list_add_tail, list_del, list_empty
from mmsim.linux.sched import PF_FREE_PAGES, in_interrupt
from mmsim.linux.spinlock import (
    spin_lock,
    spin_lock_init,
    spin_lock_irqsave,
    spin_unlock,
    spin_unlock_irqrestore,
)
from mmsim.model.cite import cite
from mmsim.model.era import kernel, refuse_other_eras
from mmsim.model.gate import patched
from mmsim.model.struct import Struct, shared
from mmsim.v2_4.i386 import and_with
from mmsim.v2_4.ledger import ledger
from mmsim.v2_4.page import (
    PageActive,
    PageLocked,
    PageLRU,
    PageReserved,
    PG_dirty,
    PG_referenced,
    TestClearPageLRU,
    TryLockPage,
    list_entry,
    page_cache_get,
    page_count,
    put_page_testzero,
    set_page_count,
)
from mmsim.v2_4.swap import (
    __lru_cache_del,
    del_page_from_active_list,
    del_page_from_inactive_list,
    lru_cache_del,
)


class zone_t(Struct):
    """One zone: ``free_list`` of single pages under ``lock``, which is always taken irqsave."""

    free_pages = shared(0)

    def __init__(self, name):
        refuse_other_eras("zone_t of mmsim.v2_4", "2.4..2.5")
        self.name = f"zone {name}"
        self.lock = spin_lock_init("&zone->lock")
        self.free_list = LIST_HEAD("free_list")


# Where BUG() stands.  In __free_pages_ok: in_interrupt, buffers, mapping, locked, lru, active.  In
# rmqueue: lru, active.  In balance_classzone: buffers, mapping, locked, lru, active, dirty.
# 2.4.17 and 2.4.20 were read.  Those of pre9, and of 12 February on it, follow from the hunks of
# the two patches: 6 lines more before the first test, and the other patch takes those 6 away and
# puts 11 in.
_LINES_2_4_17 = ("", 74, 76, 82, 84, 86, 207, 209, 265, 267, 273, 275, 277, 279)
_LINES_PRE9 = ("", 80, 82, 88, 90, 92, 213, 215, 271, 273, 279, 281, 283, 285)
_LINES_12_FEB = ("", 74, 76, 82, 93, 97, 218, 220, 276, 278, 284, 286, 288, 290)
_LINES_2_4_20 = (95, 100, 102, 106, "", 108, 231, 233, 287, 289, 293, 295, 297, 299)


def lines(test):
    """The place of a BUG() in the tree that the booted kernel's patch was made for."""
    if patched("hugh-2002-02-12"):
        line = _LINES_12_FEB[test]
    elif patched("hugh-2002-02-06"):
        line = _LINES_2_4_20[test]
    elif patched("ben-2002-01-01"):
        line = _LINES_PRE9[test]
    else:
        line = _LINES_2_4_17[test]
    return f"page_alloc.c:{line}"


@cite("include/asm-i386/current.h", "2.4.17", thread="002", symbol="current")
def current_task():
    """The task whose stack we run on: an interrupt's ``current`` is whatever it interrupted."""
    ctx = current()
    return ctx.cpu.curr if ctx.cpu.stack else ctx


@cite("mm/page_alloc.c", "2.4.18-pre9", thread="002")
def __free_pages_ok(page, order):
    """Give a page without users back, to the zone or, under direct reclaim, to the task.

    *Locks:* takes zone->lock; 2.4.18-pre also pagemap_lru_lock.  Called from any context.
    *Race:* from the last put until here the page has count 0 and may be found on the LRU.  Who
    frees a page found like that frees it twice, unless told that the other one has given it up.
    """
    vm = kernel()
    if patched("park-in-interrupt-only"):
        if PageLRU(page) and not in_interrupt():
            lru_cache_del(page)
            door.machine.count("lru_lock_in_free")
    elif patched("hugh-2002-02-12") or patched("hugh-2002-02-07") or patched("hugh-stay-on-lru"):
        pass  # lru_cache_del() goes: see the test of PageLRU below
    elif patched("rik-special-list"):
        if PageLRU(page):
            if in_interrupt():
                defer_free(page)
                return
            lru_cache_del(page)
            door.machine.count("lru_lock_in_free")
    elif patched("ben-2002-01-01"):
        if PageLRU(page):
            if patched("hugh-2002-02-06") and in_interrupt():
                BUG(lines(0), page)
            lru_cache_del(page)
            door.machine.count("lru_lock_in_free")

    if page.buffers is not None:
        BUG(lines(1), page)
    if page.mapping is not None:
        BUG(lines(2), page)
    # PageSwapCache(page) is the same word again
    if PageLocked(page):
        BUG(lines(3), page)
    if patched("hugh-2002-02-12"):
        if PageLRU(page):
            if patched("mb-before-giving-up"):
                smp_mb()
            if TryLockPage(page):
                BUG(lines(4), page)
            door.machine.count("parked")
            if in_interrupt():
                door.machine.count("parked_in_interrupt")
            else:
                door.machine.count("parked_in_process")
            return
    elif patched("hugh-2002-02-07"):
        if PageLRU(page):
            door.machine.count("parked")
            return
    elif not patched("hugh-stay-on-lru"):
        if PageLRU(page):
            BUG(lines(4), page)
    if not patched("hugh-stay-on-lru"):
        if PageActive(page):
            BUG(lines(5), page)
    and_with(page, "flags", ~(1 << PG_referenced | 1 << PG_dirty))

    task = current_task()
    if task is not None and task.flags & PF_FREE_PAGES:
        if not task.nr_local_pages and not in_interrupt():
            list_add(page.list, task.local_pages)
            ledger.local(page, order)
            task.nr_local_pages += 1
            return

    zone = vm.zone
    flags = spin_lock_irqsave(zone.lock)
    ledger.freed(page)
    zone.free_pages += 1
    list_add(page.list, zone.free_list)
    spin_unlock_irqrestore(zone.lock, flags)


@cite("mm/page_alloc.c", "2.4.17", thread="002")
def __free_pages(page, order):
    """Drop a reference and free the page if it was the last: put_page() and __free_page().

    *Locks:* none before the last.  *Race:* see __free_pages_ok.
    """
    if not PageReserved(page) and put_page_testzero(page):
        if patched("akpm-2.5.32"):
            __page_cache_release(page)
        else:
            __free_pages_ok(page, order)


@cite("include/linux/mm.h", "2.4.17", thread="002")
def put_page(page):
    """A macro.  *Locks:* those of the last put.  *Race:* __free_pages_ok's."""
    __free_pages(page, 0)


@cite("mm/page_alloc.c", "2.4.17", thread="002")
def page_cache_release(page):
    """Drop a reference; in 2.4.17 the one way to drop the last of a page on the LRU.

    The patch of 7 February makes it differ from put_page once more: who has the last reference
    takes the page off the LRU before he drops it.

    *Locks:* may take pagemap_lru_lock.  *Race:* shrink_cache may see the count of 0 before the
    page has left the LRU; it has to leave such a page alone.
    """
    if patched("hugh-2002-02-07"):
        if page_count(page) == 1 and PageLRU(page):
            lru_cache_del(page)
        __free_pages(page, 0)
    elif patched("ben-2002-01-01") or patched("akpm-2.5.32"):
        __free_pages(page, 0)
    else:
        if not PageReserved(page) and put_page_testzero(page):
            if PageLRU(page):
                lru_cache_del(page)
            __free_pages_ok(page, 0)


@cite("mm/swap.c", "2.5.32", thread="002")
def __page_cache_release(page):
    """The last reference is gone: off the LRU, and free it unless shrink_cache has taken it.

    *Locks:* takes pagemap_lru_lock irqsave, so any context may call it.
    *Race:* count 0 under the lock says "shrink_cache has no reference *now*".  It may have had
    one, and freed the page, since the caller's put.
    """
    vm = kernel()
    flags = spin_lock_irqsave(vm.pagemap_lru_lock)
    if TestClearPageLRU(page):
        if PageActive(page):
            del_page_from_active_list(page)
        else:
            del_page_from_inactive_list(page)
    if page_count(page) != 0:
        page = None
    spin_unlock_irqrestore(vm.pagemap_lru_lock, flags)
    if page is not None:
        __free_pages_ok(page, 0)


def defer_free(page):
    """Rik van Riel's idea: leave a page that an interrupt cannot free to shrink_cache.

    A proposal of the list without a patch: no kernel has this function, nor the next.  ``list``
    links the page, since ``lru`` is in use.
    *Locks:* takes deferred_lock.
    *Race:* if the lock is taken with interrupts on elsewhere, this deadlocks.
    """
    vm = kernel()
    flags = spin_lock_irqsave(vm.deferred_lock)
    list_add_tail(page.list, vm.deferred_list)
    spin_unlock_irqrestore(vm.deferred_lock, flags)
    door.machine.count("parked")


def free_deferred_pages():
    """Free what interrupts left behind: the other half of defer_free.

    *Locks:* entered with pagemap_lru_lock, takes deferred_lock.  *Race:* none if nobody else
    frees these pages where he meets them on the LRU.
    """
    vm = kernel()
    while not list_empty(vm.deferred_list):
        if patched("special-list-plain-lock"):
            spin_lock(vm.deferred_lock)
        else:
            flags = spin_lock_irqsave(vm.deferred_lock)
        page = list_entry(vm.deferred_list.next)
        list_del(page.list)
        if patched("special-list-plain-lock"):
            spin_unlock(vm.deferred_lock)
        else:
            spin_unlock_irqrestore(vm.deferred_lock, flags)
        page_cache_get(page)
        __lru_cache_del(page)
        page_cache_release(page)


@cite("mm/page_alloc.c", "2.4.17", thread="002")
def rmqueue(zone, order):
    """A page off the free list, or None.

    *Locks:* takes zone->lock.  *Race:* a page that is still on an LRU list, or freed twice, gets
    its second owner here; 2.4 notices the first only.
    """
    flags = spin_lock_irqsave(zone.lock)
    curr = zone.free_list.next
    if curr is not zone.free_list:
        page = list_entry(curr)
        list_del(curr)
        zone.free_pages -= 1
        ledger.allocated(page)
        spin_unlock_irqrestore(zone.lock, flags)

        set_page_count(page, 1)
        if not patched("hugh-stay-on-lru"):
            if PageLRU(page):
                BUG(lines(6), page)
            if PageActive(page):
                BUG(lines(7), page)
        return page
    spin_unlock_irqrestore(zone.lock, flags)
    return None
