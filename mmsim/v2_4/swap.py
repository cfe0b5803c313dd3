# SPDX-License-Identifier: GPL-2.0-only
"""The LRU lists (mm/swap.c, include/linux/swap.h).

Two global lists under one global lock.  PG_lru says "linked or about to be": lru_cache_add sets
it before it takes the lock, and whoever clears it under the lock unlinks.

Lock order as filemap.c states it, from the outside in: swap device lock, pagemap_lru_lock,
pagecache_lock.  shrink_cache takes the first under the second all the same; nobody takes them the
other way round.  Until 2.5.32 pagemap_lru_lock was taken with interrupts on: nobody had thought
of taking it in one.
"""

from mmsim.linux.bug import BUG
from mmsim.linux.list import list_add, list_del
from mmsim.linux.spinlock import (
    spin_lock,
    spin_lock_irqsave,
    spin_unlock,
    spin_unlock_irqrestore,
)
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.model.gate import patched
from mmsim.v2_4.i386 import add_to
from mmsim.v2_4.page import (
    ClearPageActive,
    PageActive,
    PageLRU,
    SetPageActive,
    TestClearPageLRU,
    TestSetPageLRU,
    page_cache_get,
    put_page_testzero,
)


@cite("include/linux/swap.h", "2.4.17", thread="002")
def DEBUG_LRU_PAGE(page, where):
    """A page that is linked has PG_lru, and not yet PG_active.

    A macro: ``where`` is the line that uses it.  2.5.32, of which no tree could be read, links
    active pages again, which the second test would forbid: there it is left out.
    *Locks:* entered with pagemap_lru_lock.  *Race:* none known.
    """
    if patched("akpm-2.5.32"):
        return
    if not PageLRU(page):
        BUG(where, page)
    if PageActive(page):
        BUG(where, page)


@cite("include/linux/swap.h", "2.4.17", thread="002")
def add_page_to_active_list(page, where):
    """Link and count.  *Locks:* entered with pagemap_lru_lock.  *Race:* none known."""
    vm = kernel()
    DEBUG_LRU_PAGE(page, where)
    SetPageActive(page)
    list_add(page.lru, vm.active_list)
    add_to(vm, "nr_active_pages", 1)


@cite("include/linux/swap.h", "2.4.17", thread="002")
def add_page_to_inactive_list(page, where):
    """Link and count.  *Locks:* entered with pagemap_lru_lock.  *Race:* none known."""
    vm = kernel()
    DEBUG_LRU_PAGE(page, where)
    list_add(page.lru, vm.inactive_list)
    add_to(vm, "nr_inactive_pages", 1)


@cite("include/linux/swap.h", "2.4.17", thread="002")
def del_page_from_active_list(page):
    """Unlink and count.  *Locks:* entered with pagemap_lru_lock.  *Race:* none known."""
    vm = kernel()
    list_del(page.lru)
    ClearPageActive(page)
    add_to(vm, "nr_active_pages", -1)


@cite("include/linux/swap.h", "2.4.17", thread="002")
def del_page_from_inactive_list(page):
    """Unlink and count.  *Locks:* entered with pagemap_lru_lock.  *Race:* none known."""
    vm = kernel()
    list_del(page.lru)
    add_to(vm, "nr_inactive_pages", -1)


@cite("mm/swap.c", "2.4.17", thread="002")
def lru_cache_add(page):
    """Put a page on the inactive list.

    *Locks:* takes pagemap_lru_lock; must not be called from an interrupt.
    *Race:* between the bit and the list the page looks linked and is not; only its owner, who is
    here, can take it off again.
    """
    vm = kernel()
    if patched("andrea-2002-02-14"):
        page_cache_get(page)  # before the bit: who sees the bit may count on the reference
    if not TestSetPageLRU(page):
        if patched("akpm-2.5.32"):
            flags = spin_lock_irqsave(vm.pagemap_lru_lock)
        else:
            spin_lock(vm.pagemap_lru_lock)
        add_page_to_inactive_list(page, "swap.c:62")
        if patched("akpm-2.5.32"):
            spin_unlock_irqrestore(vm.pagemap_lru_lock, flags)
        else:
            spin_unlock(vm.pagemap_lru_lock)
    elif patched("andrea-2002-02-14"):
        put_page_testzero(page)  # never the last: the caller is a user too


@cite("mm/swap.c", "2.4.17", thread="002")
def __lru_cache_del(page):
    """Take a page off its list, if it is on one.

    *Locks:* entered with pagemap_lru_lock.  *Race:* which list is told by PG_active, which is
    only changed under the same lock.
    """
    if TestClearPageLRU(page):
        if PageActive(page):
            del_page_from_active_list(page)
        else:
            del_page_from_inactive_list(page)
        if patched("andrea-2002-02-14"):
            put_page_testzero(page)  # never the last: the caller is a user too


@cite("mm/swap.c", "2.4.17", thread="002")
def lru_cache_del(page):
    """The same, with the lock.

    *Locks:* takes pagemap_lru_lock.  *Race:* in an interrupt it deadlocks with a holder on the
    same CPU (SMP), or lands in the middle of that holder's list operation (UP).
    """
    vm = kernel()
    if patched("akpm-2.5.32"):
        flags = spin_lock_irqsave(vm.pagemap_lru_lock)
    else:
        spin_lock(vm.pagemap_lru_lock)
    __lru_cache_del(page)
    if patched("akpm-2.5.32"):
        spin_unlock_irqrestore(vm.pagemap_lru_lock, flags)
    else:
        spin_unlock(vm.pagemap_lru_lock)
