# SPDX-License-Identifier: GPL-2.0-only
"""The end of __free_pages_ok: the page goes back.  A fix calls it and does not write it anew.

The assertions of the kernel are made once more here, on raw values, whatever the student's function
has left of them.
"""

from mmsim.linux.bug import BUG
from mmsim.linux.list import list_add
from mmsim.linux.sched import PF_FREE_PAGES, in_interrupt
from mmsim.linux.spinlock import spin_lock_irqsave, spin_unlock_irqrestore
from mmsim.model.era import kernel
from mmsim.v2_4.i386 import and_with
from mmsim.v2_4.ledger import ledger
from mmsim.v2_4.page import PG_active, PG_dirty, PG_locked, PG_lru, PG_referenced
from mmsim.v2_4.page_alloc import current_task


def free_to_zone(page, order):
    """Give the page to the zone or, under direct reclaim, to the task.

    *Locks:* takes zone->lock; called from any context.  *Race:* none of its own.
    """
    if page.v_buffers is not None:
        BUG("page_alloc.c:74", page)
    if page.v_mapping is not None:
        BUG("page_alloc.c:76", page)
    if page.v_flags & 1 << PG_locked:
        BUG("page_alloc.c:82", page)
    if page.v_flags & 1 << PG_lru:
        BUG("page_alloc.c:93", page)
    if page.v_flags & 1 << PG_active:
        BUG("page_alloc.c:97", page)
    and_with(page, "flags", ~(1 << PG_referenced | 1 << PG_dirty))

    task = current_task()
    if task is not None and task.flags & PF_FREE_PAGES:
        if not task.nr_local_pages and not in_interrupt():
            list_add(page.list, task.local_pages)
            ledger.local(page, order)
            task.nr_local_pages += 1
            return

    zone = kernel().zone
    flags = spin_lock_irqsave(zone.lock)
    ledger.freed(page)
    zone.free_pages += 1
    list_add(page.list, zone.free_list)
    spin_unlock_irqrestore(zone.lock, flags)
