# SPDX-License-Identifier: GPL-2.0-only
"""Reclaim of file pages in 3.13 (mm/vmscan.c): the actor R of thread 004.

Pages are taken off the end of the inactive list, tried one by one under their page lock, and put
back.  Reclaim is also what makes mlock lazy: a page that a VM_LOCKED vma maps and that has no
PG_mlocked is found by try_to_unmap(), marked there, and *culled*: unlocked and put back, which
takes it to the unevictable list.

Not here: ageing (every pte is old), writeback (every page is clean), swap.
"""

from mmsim.filemap import trylock_page
from mmsim.filemap_cache import __delete_from_page_cache
from mmsim.linux.bug import BUG_ON, VM_BUG_ON
from mmsim.linux.list import LIST_HEAD, list_add, list_del, list_empty, list_splice
from mmsim.linux.sched import cond_resched
from mmsim.linux.spinlock import spin_lock_irq, spin_unlock_irq
from mmsim.memcontrol import mem_cgroup_page_lruvec
from mmsim.mm_inline import lru_to_page, page_evictable
from mmsim.mmzone import (
    LRU_INACTIVE_FILE,
    add_page_to_lru_list,
    del_page_from_lru_list,
    page_lru,
)
from mmsim.model.cite import cite
from mmsim.page import (
    PageActive,
    PageDirty,
    PageLocked,
    PageLRU,
    PageUnevictable,
    SetPageActive,
    SetPageLRU,
    __ClearPageActive,
    __ClearPageLRU,
    page_mapped,
    put_page_testzero,
)
from mmsim.page_alloc import free_unref_page_list
from mmsim.pagemap import __clear_page_locked
from mmsim.util import page_mapping
from mmsim.v3_13.filemap import unlock_page
from mmsim.v3_13.pagemap import page_freeze_refs, page_unfreeze_refs
from mmsim.v3_13.rmap import SWAP_FAIL, SWAP_MLOCK, SWAP_SUCCESS, TTU_UNMAP, try_to_unmap
from mmsim.v3_13.swap import lru_add_drain
from mmsim.v3_13.vmscan_isolate import isolate_lru_pages, putback_lru_page


@cite("mm/vmscan.c", "3.13")
def __remove_mapping(mapping, page):
    """Take an unmapped page out of its file, if only the page cache and we hold it.

    *Locks:* page lock; takes tree_lock.  *Race:* whoever finds it in the cache meanwhile makes the
    freeze fail.
    """
    BUG_ON(not PageLocked(page), "mm/vmscan.c:510")
    BUG_ON(mapping is not page_mapping(page), "mm/vmscan.c:511")
    spin_lock_irq(mapping.tree_lock)
    if not page_freeze_refs(page, 2):
        spin_unlock_irq(mapping.tree_lock)
        return False
    if PageDirty(page):
        page_unfreeze_refs(page, 2)
        spin_unlock_irq(mapping.tree_lock)
        return False
    __delete_from_page_cache(page)
    spin_unlock_irq(mapping.tree_lock)
    return True


@cite("mm/vmscan.c", "3.13", thread="004")
def shrink_page_list(page_list):
    """Try to free each page of a private list; what is left on it goes back to the LRU.

    *Locks:* takes each page's lock (never waits), sleeps for i_mmap_mutex.  *Race:* PG_mlocked can
    come at any time; it is looked at first, and try_to_unmap() finds what was missed.
    """
    ret_pages = LIST_HEAD("ret_pages")
    free_pages = LIST_HEAD("free_pages")
    while not list_empty(page_list):
        cond_resched()
        page = lru_to_page(page_list)
        list_del(page.lru)
        if not trylock_page(page):
            list_add(page.lru, ret_pages)
            continue
        VM_BUG_ON(lambda page=page: PageActive(page), "mm/vmscan.c:797", page)

        verdict = "cull" if not page_evictable(page) else _pageout(page)
        if verdict == "cull":
            unlock_page(page)
            putback_lru_page(page)
            continue
        if verdict == "free":
            __clear_page_locked(page)
            list_add(page.lru, free_pages)
            continue
        if verdict == "activate":
            VM_BUG_ON(lambda page=page: PageActive(page), "mm/vmscan.c:1082", page)
            SetPageActive(page)
        unlock_page(page)
        list_add(page.lru, ret_pages)
        VM_BUG_ON(
            lambda page=page: PageLRU(page) or PageUnevictable(page), "mm/vmscan.c:1089", page
        )
    free_unref_page_list(free_pages)
    list_splice(ret_pages, page_list)


def _pageout(page):
    """The middle of shrink_page_list: which of its labels the page goes to."""
    mapping = page_mapping(page)
    if page_mapped(page) and mapping is not None:
        ret = try_to_unmap(page, TTU_UNMAP)
        if ret is SWAP_FAIL:
            return "activate"
        if ret is SWAP_MLOCK:
            return "cull"
        if ret is not SWAP_SUCCESS:
            return "keep"
    if mapping is None or not __remove_mapping(mapping, page):
        return "keep"
    return "free"


@cite("mm/vmscan.c", "3.13", thread="004")
def putback_inactive_pages(zone, page_list):
    """Put pages that were not freed back on the LRU.  *Locks:* entered and left with lru_lock.

    *Race:* a page that has become PG_mlocked goes by putback_lru_page(), which needs the lock.
    """
    pages_to_free = LIST_HEAD("pages_to_free")
    while not list_empty(page_list):
        page = lru_to_page(page_list)
        VM_BUG_ON(lambda page=page: PageLRU(page), "mm/vmscan.c:1369", page)
        list_del(page.lru)
        if not page_evictable(page):
            spin_unlock_irq(zone.lru_lock)
            putback_lru_page(page)
            spin_lock_irq(zone.lru_lock)
            continue
        lruvec = mem_cgroup_page_lruvec(page, zone)
        SetPageLRU(page)
        lru = page_lru(page)
        add_page_to_lru_list(page, lruvec)
        if put_page_testzero(page):
            __ClearPageLRU(page)
            __ClearPageActive(page)
            del_page_from_lru_list(page, lruvec, lru)
            list_add(page.lru, pages_to_free)
    return pages_to_free


@cite("mm/vmscan.c", "3.13", thread="004")
def shrink_inactive_list(nr_to_scan, zone, lruvec, lru=LRU_INACTIVE_FILE):
    """One batch of reclaim.  *Locks:* takes lru_lock; may sleep."""
    page_list = LIST_HEAD("page_list")
    lru_add_drain()
    spin_lock_irq(zone.lru_lock)
    nr_taken = isolate_lru_pages(nr_to_scan, lruvec, page_list, lru)
    spin_unlock_irq(zone.lru_lock)
    if nr_taken == 0:
        return 0
    shrink_page_list(page_list)
    spin_lock_irq(zone.lru_lock)
    pages_to_free = putback_inactive_pages(zone, page_list)
    spin_unlock_irq(zone.lru_lock)
    free_unref_page_list(pages_to_free)
    return nr_taken
