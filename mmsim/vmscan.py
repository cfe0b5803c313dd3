# SPDX-License-Identifier: GPL-2.0-only
"""Putting pages back on the LRU, and rounds of reclaim (mm/vmscan.c, 4.19 to 5.17).

Putting back has an order: PG_lru is set *before* the reference is dropped.  The other way round,
whoever drops the last reference in between sees PG_lru clear and frees a page that is about to be
linked.

Nothing is written back or unmapped here: swap is full, so pages come back from the inspection as
"keep".  Taking pages off the lists is in vmscan_isolate.py and to be had from here as well.
"""

from mmsim.filemap import unlock_page
from mmsim.linux.atomic import atomic_add
from mmsim.linux.bug import VM_BUG_ON_PAGE
from mmsim.linux.list import (
    LIST_HEAD,
    list_add,
    list_del,
    list_empty,
    list_move,
    list_splice,
)
from mmsim.linux.sched import cond_resched
from mmsim.linux.spinlock import spin_lock_irq, spin_unlock_irq
from mmsim.lru import lru_add_drain, lru_cache_add, put_page
from mmsim.lru_release import free_compound_page
from mmsim.memcontrol import (
    folio_matches_lruvec,
    mem_cgroup_page_lruvec,
    mem_cgroup_uncharge_list,
)
from mmsim.mm_inline import __clear_page_lru_flags, lru_to_page, page_evictable
from mmsim.mmzone import (
    add_page_to_lru_list,
    del_page_from_lru_list,
    lru_lock_of,
    page_lru,
    update_lru_size,
)
from mmsim.model.cite import cite
from mmsim.model.era import by_version
from mmsim.model.gate import patched
from mmsim.page import (
    ClearPageActive,
    PageCompound,
    PageLRU,
    SetPageActive,
    SetPageLRU,
    SetPageWorkingset,
    TestClearPageReferenced,
    __ClearPageActive,
    __ClearPageLRU,
    put_page_testzero,
)
from mmsim.page_alloc import free_unref_page_list
from mmsim.pagemap import trylock_page
from mmsim.vmscan_isolate import (
    ISOLATE_ASYNC_MIGRATE,
    ISOLATE_UNEVICTABLE,
    ISOLATE_UNMAPPED,
    __isolate_lru_page,
    __isolate_lru_page_prepare,
    isolate_lru_page,
    isolate_lru_pages,
)

__all__ = [
    "ISOLATE_ASYNC_MIGRATE",
    "ISOLATE_UNEVICTABLE",
    "ISOLATE_UNMAPPED",
    "__isolate_lru_page",
    "__isolate_lru_page_prepare",
    "isolate_lru_page",
    "isolate_lru_pages",
    "move_pages_to_lru",
    "putback_lru_page",
    "shrink_active_list",
    "shrink_inactive_list",
    "shrink_page_list",
]


@cite("mm/vmscan.c", "5.17", thread="000")
def putback_lru_page(page):
    """Undo isolate_lru_page().  *Locks:* preemption off inside; takes LRU locks if a pagevec fills.

    *Race:* the pagevec takes a reference before ours is dropped.
    """
    lru_cache_add(page)
    put_page(page)


@cite("mm/vmscan.c", "5.4..5.10", thread="000")
def move_pages_to_lru_v5_4(lruvec, list):
    """Put isolated pages back; those whose last reference was ours stay on ``list``, to be freed.

    *Locks:* lru_lock, dropped for unevictable pages.  *Race:* PG_lru before the put (I1).
    """
    pages_to_free = LIST_HEAD("pages_to_free")
    lock = lru_lock_of(lruvec)
    while not list_empty(list):
        page = lru_to_page(list)
        VM_BUG_ON_PAGE(
            lambda p=page: PageLRU(p), "PageLRU(page)", page, {"5.4": "mm/vmscan.c:1892"}
        )
        if not page_evictable(page):
            list_del(page.lru)
            spin_unlock_irq(lock)
            putback_lru_page(page)
            spin_lock_irq(lock)
            continue
        late = patched("putback-late-setlru")
        if late and put_page_testzero(page):
            __ClearPageActive(page)
            list_del(page.lru)
            if PageCompound(page):
                spin_unlock_irq(lock)
                free_compound_page(page)
                spin_lock_irq(lock)
            else:
                list_add(page.lru, pages_to_free)
            continue
        lruvec = mem_cgroup_page_lruvec(page, lruvec.pgdat)
        SetPageLRU(page)
        lru = page_lru(page)
        update_lru_size(lruvec, lru, 1)
        list_move(page.lru, lruvec.lists[lru])
        if not late and put_page_testzero(page):
            __ClearPageLRU(page)
            __ClearPageActive(page)
            del_page_from_lru_list(page, lruvec, lru)
            if PageCompound(page):
                spin_unlock_irq(lock)
                free_compound_page(page)
                spin_lock_irq(lock)
            else:
                list_add(page.lru, pages_to_free)
    list_splice(pages_to_free, list)


@cite("mm/vmscan.c", "5.11..5.17", thread="000")
def move_pages_to_lru_v5_17(lruvec, list):
    """Put isolated pages back; those whose last reference was ours stay on ``list``, to be freed.

    *Locks:* the lruvec's, dropped for unevictable pages.  *Race:* PG_lru before the put, or
    release_pages() on another CPU sees a page that is not on the LRU and frees it (I1).
    """
    pages_to_free = LIST_HEAD("pages_to_free")
    lock = lruvec.lru_lock
    while not list_empty(list):
        page = lru_to_page(list)
        VM_BUG_ON_PAGE(
            lambda p=page: PageLRU(p), "PageLRU(page)", page, {"5.17": "mm/vmscan.c:2319"}
        )
        list_del(page.lru)
        if not page_evictable(page):
            spin_unlock_irq(lock)
            putback_lru_page(page)
            spin_lock_irq(lock)
            continue
        if patched("putback-late-setlru"):
            last = put_page_testzero(page)
            if last:
                __ClearPageActive(page)
            else:
                SetPageLRU(page)
        else:
            SetPageLRU(page)
            last = put_page_testzero(page)
            if last:
                __clear_page_lru_flags(page)
        if last:
            if PageCompound(page):
                spin_unlock_irq(lock)
                free_compound_page(page)
                spin_lock_irq(lock)
            else:
                list_add(page.lru, pages_to_free)
            continue
        VM_BUG_ON_PAGE(
            lambda p=page: not folio_matches_lruvec(p, lruvec),
            "!folio_matches_lruvec(page_folio(page), lruvec)",
            page,
            {"5.17": "mm/vmscan.c:2358"},
        )
        add_page_to_lru_list(page, lruvec)
    list_splice(pages_to_free, list)


move_pages_to_lru = by_version(move_pages_to_lru_v5_4, move_pages_to_lru_v5_17)


@cite("mm/vmscan.c", "5.4")
def shrink_page_list(page_list):
    """Look at isolated pages.  Nothing is reclaimed: swap is full, every page is kept.

    *Locks:* trylock of each page.  *Race:* whoever holds the page lock may be freeing the page;
    our reference keeps it.
    """
    ret_pages = LIST_HEAD("ret_pages")
    while not list_empty(page_list):
        page = lru_to_page(page_list)
        list_del(page.lru)
        if trylock_page(page):
            if page_evictable(page) and TestClearPageReferenced(page):
                SetPageActive(page)
            unlock_page(page)
        list_add(page.lru, ret_pages)
    list_splice(ret_pages, page_list)


@cite("mm/vmscan.c", "5.4", thread="000")
def shrink_inactive_list(nr_to_scan, lruvec, lru):
    """One round of reclaim on an inactive list; the number of pages looked at.

    *Locks:* takes lru_lock twice, interrupts off; may be called where one may sleep.
    """
    page_list = LIST_HEAD("page_list")
    lock = lru_lock_of(lruvec)
    lru_add_drain()
    spin_lock_irq(lock)
    nr_taken = isolate_lru_pages(nr_to_scan, lruvec, page_list, lru)
    atomic_add(lruvec.pgdat, "vmstat_isolated", nr_taken)
    spin_unlock_irq(lock)
    if nr_taken == 0:
        return 0
    shrink_page_list(page_list)
    spin_lock_irq(lock)
    move_pages_to_lru(lruvec, page_list)
    atomic_add(lruvec.pgdat, "vmstat_isolated", -nr_taken)
    spin_unlock_irq(lock)
    mem_cgroup_uncharge_list(page_list)
    free_unref_page_list(page_list)
    return nr_taken


@cite("mm/vmscan.c", "5.4", thread="000")
def shrink_active_list(nr_to_scan, lruvec, lru):
    """Move pages from the end of an active list to the inactive one.

    (All of them: who is referenced through a pte, which would let it stay, is not looked up.)
    *Locks:* takes lru_lock twice, interrupts off; may sleep in between.
    """
    l_inactive = LIST_HEAD("l_inactive")
    l_hold = LIST_HEAD("l_hold")
    lock = lru_lock_of(lruvec)
    lru_add_drain()
    spin_lock_irq(lock)
    nr_taken = isolate_lru_pages(nr_to_scan, lruvec, l_hold, lru)
    atomic_add(lruvec.pgdat, "vmstat_isolated", nr_taken)
    spin_unlock_irq(lock)
    while not list_empty(l_hold):
        cond_resched()
        page = lru_to_page(l_hold)
        list_del(page.lru)
        if not page_evictable(page):
            putback_lru_page(page)
            continue
        ClearPageActive(page)
        SetPageWorkingset(page)
        list_add(page.lru, l_inactive)
    spin_lock_irq(lock)
    move_pages_to_lru(lruvec, l_inactive)
    atomic_add(lruvec.pgdat, "vmstat_isolated", -nr_taken)
    spin_unlock_irq(lock)
    mem_cgroup_uncharge_list(l_inactive)
    free_unref_page_list(l_inactive)
