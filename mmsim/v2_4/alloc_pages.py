# SPDX-License-Identifier: GPL-2.0-only
"""Allocation that reclaims when it has to (the other half of mm/page_alloc.c).

Apart from page_alloc.py because it calls vmscan.c, which calls that.  Out of memory is not the
subject: an allocation that finds nothing after one round of reclaim fails instead of looping.
"""

from mmsim.linux.bug import BUG
from mmsim.linux.list import LIST_HEAD, list_del, list_empty
from mmsim.linux.sched import PF_FREE_PAGES, PF_MEMALLOC
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.v2_4.ledger import ledger
from mmsim.v2_4.page import PageActive, PageDirty, PageLocked, PageLRU, list_entry
from mmsim.v2_4.page_alloc import __free_pages_ok, current_task, lines, rmqueue
from mmsim.v2_4.vmscan import GFP_HIGHUSER, try_to_free_pages


@cite("mm/page_alloc.c", "2.4.17", thread="002")
def balance_classzone(classzone, gfp_mask, order):
    """Reclaim, and keep one of the pages freed meanwhile for ourselves.

    *Locks:* takes those of shrink_cache; may sleep.  *Race:* current->local_pages needs no lock,
    since interrupts on top of this task do not use it.
    """
    page = None
    task = current_task()
    task.local_pages = LIST_HEAD("local_pages")
    task.nr_local_pages = 0
    task.flags |= PF_MEMALLOC | PF_FREE_PAGES

    freed = try_to_free_pages(classzone, gfp_mask, order)

    task.flags &= ~(PF_MEMALLOC | PF_FREE_PAGES)
    if task.nr_local_pages:
        local_pages = task.local_pages
        if freed:
            page = list_entry(local_pages.next)
            list_del(page.list)
            task.nr_local_pages -= 1
            ledger.allocated_local(page)
            if page.buffers is not None:
                BUG(lines(8), page)
            if page.mapping is not None:
                BUG(lines(9), page)
            if PageLocked(page):
                BUG(lines(10), page)
            if PageLRU(page):
                BUG(lines(11), page)
            if PageActive(page):
                BUG(lines(12), page)
            if PageDirty(page):
                BUG(lines(13), page)
        while not list_empty(local_pages):
            tmp = list_entry(local_pages.prev)
            list_del(tmp.list)
            tmp.freed = False  # the ledger: no longer the task's, not yet the zone's
            __free_pages_ok(tmp, 0)
        task.nr_local_pages = 0
    return page


@cite("mm/page_alloc.c", "2.4.17", thread="002")
def __alloc_pages(gfp_mask, order):
    """A page with count 1, or None.  *Locks:* takes zone->lock; may sleep.  *Race:* rmqueue's."""
    vm = kernel()
    page = rmqueue(vm.zone, order)
    if page is None:
        page = balance_classzone(vm.zone, gfp_mask, order)
    if page is None:
        page = rmqueue(vm.zone, order)
    return page


@cite("include/linux/mm.h", "2.4.17", thread="002")
def alloc_page(gfp_mask=GFP_HIGHUSER):
    """A macro.  *Locks:* as __alloc_pages.  *Race:* rmqueue's."""
    return __alloc_pages(gfp_mask, 0)
