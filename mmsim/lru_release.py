# SPDX-License-Identifier: GPL-2.0-only
"""Dropping references, and the free that the last one brings (mm/swap.c): thread 000's subject.

release_pages() drops many references with as few lock operations as it can.  It looks at PG_lru
with no lock, or with the lock of *another* node, and only then takes the right one.  What makes
that safe is not a lock but the reference count:

  I1  PG_lru is set or cleared only by the holder of a reference, or by the one whose put made the
      count 0;
  I2  whoever found the page by its frame number or on a list takes a reference, unless the count
      is 0, *before* touching PG_lru;
  I3  a page's neighbours on a list change only under the lru_lock that owns the list;
  I4  the lock a page belongs to (node; from 5.11 on, node and memcg) changes only while the page
      is isolated: referenced, with PG_lru clear.

At count 0 nobody else can pass I2.  So PG_lru and the lock are frozen, and what was read before the
lock was taken still holds after it.  The gates take this apart, one piece at a time.

5.4 clears PG_lru and then unlinks; 5.17 unlinks and then clears, so that its assertion comes after
the crash it would have announced.

The huge zero page and pages of ZONE_DEVICE, which release_pages() treats apart, do not exist here.
"""

from mmsim.linux.bug import VM_BUG_ON_PAGE
from mmsim.linux.list import LIST_HEAD, list_add
from mmsim.linux.spinlock import (
    spin_lock,
    spin_lock_irqsave,
    spin_unlock,
    spin_unlock_irqrestore,
)
from mmsim.memcontrol import (
    folio_lruvec_lock_irqsave,
    folio_lruvec_relock_irqsave,
    mem_cgroup_page_lruvec,
    mem_cgroup_uncharge,
    mem_cgroup_uncharge_list,
    unlock_page_lruvec_irqrestore,
)
from mmsim.mm_inline import __clear_page_lru_flags, page_off_lru
from mmsim.mmzone import SWAP_CLUSTER_MAX, del_page_from_lru_list, page_pgdat
from mmsim.model.cite import cite
from mmsim.model.era import by_version
from mmsim.model.gate import patched
from mmsim.page import (
    PageCompound,
    PageLRU,
    TestClearPageLRU,
    __ClearPageActive,
    __ClearPageLRU,
    __ClearPageWaiters,
    compound_head,
    page_count,
    put_page_testzero,
)
from mmsim.page_alloc import free_the_page, free_unref_page, free_unref_page_list
from mmsim.util import compound_order


@cite("mm/swap.c", "2.6.16", thread="000", symbol="__page_cache_release")
def page_cache_release_v2_6_16(page):
    """Before 2006: the lock first, then PG_lru.  Is the page still ours to free?

    *Locks:* takes lru_lock, interrupts off.  *Race:* reclaim of that time may take a reference
    from 0 under the lock, hence the second look at the count; it does not help if reclaim has
    dropped that reference, too, before we get the lock.
    """
    pgdat = page_pgdat(page)
    flags = spin_lock_irqsave(pgdat.lru_lock)
    if TestClearPageLRU(page):
        lruvec = mem_cgroup_page_lruvec(page, pgdat)
        del_page_from_lru_list(page, lruvec, page_off_lru(page))
    ours = not patched("release-recheck-count") or page_count(page) == 0
    spin_unlock_irqrestore(pgdat.lru_lock, flags)
    return ours


@cite("mm/swap.c", "3.13..5.10", thread="000")
def __page_cache_release_v5_4(page):
    """Take a page without references off the LRU.  False: it is not ours to free after all.

    *Locks:* takes lru_lock, interrupts off.  *Race:* PG_lru is tested without it: I1, I2.
    """
    if patched("release-lock-first"):
        return page_cache_release_v2_6_16(page)
    if PageLRU(page):
        pgdat = page_pgdat(page)
        flags = spin_lock_irqsave(pgdat.lru_lock)
        if not patched("release-recheck-lru") or PageLRU(page):
            lruvec = mem_cgroup_page_lruvec(page, pgdat)
            VM_BUG_ON_PAGE(
                lambda: not PageLRU(page), "!PageLRU(page)", page,
                {"4.19": "mm/swap.c:68", "5.4": "mm/swap.c:69"},
            )
            __ClearPageLRU(page)
            del_page_from_lru_list(page, lruvec, page_off_lru(page))
        spin_unlock_irqrestore(pgdat.lru_lock, flags)
    __ClearPageWaiters(page)
    return True


@cite("mm/swap.c", "5.11..5.17", thread="000")
def __page_cache_release_v5_17(page):
    """Take a page without references off the LRU.  Always true.

    *Locks:* takes the lruvec's lock, interrupts off.  *Race:* PG_lru and the lruvec are read
    without it: I1, I2, I4.
    """
    if PageLRU(page):
        lruvec, flags = folio_lruvec_lock_irqsave(page)
        del_page_from_lru_list(page, lruvec)
        __clear_page_lru_flags(page)
        unlock_page_lruvec_irqrestore(lruvec, flags)
    __ClearPageWaiters(page)
    return True


__page_cache_release = by_version(__page_cache_release_v5_4, __page_cache_release_v5_17)


@cite("mm/swap.c", "5.17", thread="000")
def __put_single_page(page):
    """Free an order-0 page whose last reference is gone.  *Locks:* as __page_cache_release()."""
    if not __page_cache_release(page):
        return
    mem_cgroup_uncharge(page)
    free_unref_page(page)


@cite("mm/page_alloc.c", "5.17")
def free_compound_page(page):
    """The destructor of most compound pages."""
    mem_cgroup_uncharge(page)
    free_the_page(page, compound_order(page))


@cite("mm/swap.c", "5.17", thread="000")
def __put_compound_page(page):
    """Free a compound page.  *Locks:* takes the LRU lock, so it must not be held."""
    if __page_cache_release(page):
        free_compound_page(page)


@cite("mm/swap.c", "5.17", thread="000")
def __put_page(page):
    """The last reference is gone."""
    if PageCompound(page):
        __put_compound_page(page)
    else:
        __put_single_page(page)


@cite("include/linux/mm.h", "5.17")
def put_page(page):
    """Drop a reference.  *Locks:* may take the LRU lock; any context."""
    page = compound_head(page)
    if put_page_testzero(page):
        __put_page(page)


@cite("mm/swap.c", "3.13..5.10", thread="000")
def release_pages_v5_4(pages):
    """Drop one reference of each page; free those that had no other.

    *Locks:* takes the lru_lock of one node at a time, interrupts off all the while, and drops it
    at least every 32 pages.  *Race:* PG_lru is tested under no lock or another node's; I1 to I3.
    """
    pages_to_free = LIST_HEAD("pages_to_free")
    locked_pgdat = None
    lock_batch = 0
    flags = 0
    for page in pages:
        # so that interrupts are not off for longer than 32 pages take
        if locked_pgdat is not None and not patched("release-no-batch-limit"):
            lock_batch += 1
            if lock_batch == SWAP_CLUSTER_MAX:
                spin_unlock_irqrestore(locked_pgdat.lru_lock, flags)
                locked_pgdat = None
        page = compound_head(page)
        if not put_page_testzero(page):
            continue
        if PageCompound(page):
            if locked_pgdat is not None and not patched("release-compound-keep-lock"):
                spin_unlock_irqrestore(locked_pgdat.lru_lock, flags)
                locked_pgdat = None
            __put_compound_page(page)
            continue
        if patched("release-lock-first"):
            if not page_cache_release_v2_6_16(page):
                continue
        elif PageLRU(page):
            pgdat = page_pgdat(page)
            if locked_pgdat is None:
                lock_batch = 0
                locked_pgdat = pgdat
                flags = spin_lock_irqsave(locked_pgdat.lru_lock)
            elif pgdat is not locked_pgdat and not patched("release-no-lock-swap"):
                lock_batch = 0
                if patched("release-hold-both-locks"):
                    spin_lock(pgdat.lru_lock)
                    spin_unlock(locked_pgdat.lru_lock)
                    locked_pgdat = pgdat
                else:
                    spin_unlock_irqrestore(locked_pgdat.lru_lock, flags)
                    locked_pgdat = pgdat
                    flags = spin_lock_irqsave(locked_pgdat.lru_lock)
            if not patched("release-recheck-lru") or PageLRU(page):
                lruvec = mem_cgroup_page_lruvec(page, pgdat)
                VM_BUG_ON_PAGE(
                    lambda p=page: not PageLRU(p), "!PageLRU(page)", page,
                    {"4.19": "mm/swap.c:785", "5.4": "mm/swap.c:827"},
                )
                __ClearPageLRU(page)
                del_page_from_lru_list(page, lruvec, page_off_lru(page))
        # somebody may have set PG_active in parallel: mark_page_accessed() of a pagevec's page
        __ClearPageActive(page)
        __ClearPageWaiters(page)
        list_add(page.lru, pages_to_free)
    if locked_pgdat is not None:
        spin_unlock_irqrestore(locked_pgdat.lru_lock, flags)
    mem_cgroup_uncharge_list(pages_to_free)
    free_unref_page_list(pages_to_free)


@cite("mm/swap.c", "5.11..5.17", thread="000")
def release_pages_v5_17(pages):
    """Drop one reference of each page; free those that had no other.

    *Locks:* takes one lruvec's lock at a time, interrupts off all the while, and drops it at least
    every 32 pages.  *Race:* PG_lru and the lruvec are read under no lock or another's; I1 to I4.
    """
    pages_to_free = LIST_HEAD("pages_to_free")
    lruvec = None
    lock_batch = 0
    flags = 0
    for page in pages:
        if lruvec is not None and not patched("release-no-batch-limit"):
            lock_batch += 1
            if lock_batch == SWAP_CLUSTER_MAX:
                unlock_page_lruvec_irqrestore(lruvec, flags)
                lruvec = None
        page = compound_head(page)
        if not put_page_testzero(page):
            continue
        if PageCompound(page):
            if lruvec is not None and not patched("release-compound-keep-lock"):
                unlock_page_lruvec_irqrestore(lruvec, flags)
                lruvec = None
            __put_compound_page(page)
            continue
        if PageLRU(page):
            prev_lruvec = lruvec
            lruvec, flags = folio_lruvec_relock_irqsave(page, lruvec, flags)
            if prev_lruvec is not lruvec:
                lock_batch = 0
            del_page_from_lru_list(page, lruvec)
            __clear_page_lru_flags(page)
        __ClearPageWaiters(page)
        list_add(page.lru, pages_to_free)
    if lruvec is not None:
        unlock_page_lruvec_irqrestore(lruvec, flags)
    mem_cgroup_uncharge_list(pages_to_free)
    free_unref_page_list(pages_to_free)


release_pages = by_version(release_pages_v5_4, release_pages_v5_17)
