# SPDX-License-Identifier: GPL-2.0-only
"""The page allocator from 3.13 to 5.17 (mm/page_alloc.c): where damage comes to light.

A race on a page seldom hurts where it happens.  It hurts here, when the page comes back with a
flag, a mapping or a reference it must not have ("Bad page state"), or comes back twice.  What is
seen *when* depends on the configuration: with DEBUG_VM an order-0 page is checked as it is freed,
without it only when its per-CPU list is given back to the buddy lists, on behalf of whoever
happens to free at that time.  A bad page is leaked; the kernel goes on.

Two levels: per-CPU lists (interrupts off) over one zone of buddies (``zone->lock``).  ``page->lru``
is the link in both, so every list_del of the allocator leaves poison: a freshly allocated page
whose PG_lru is set by mistake gives exactly the oops of thread 000.

The buddies stand in buddy.py, the checks in page_check.py, the records of who had the page (and
with them the detection of a double free) in page_owner.py.
"""

from mmsim.buddy import __free_one_page, __rmqueue
from mmsim.engine.door import access, current
from mmsim.engine.op import ALL, WRITE, Op
from mmsim.linux.irqflags import local_irq_restore, local_irq_save
from mmsim.linux.list import (
    LIST_HEAD,
    list_add,
    list_add_tail,
    list_del,
    list_empty,
    list_entry,
    list_first_entry,
    list_last_entry,
)
from mmsim.linux.percpu import DEFINE_PER_CPU, this_cpu_ptr
from mmsim.linux.spinlock import (
    spin_lock,
    spin_lock_irqsave,
    spin_unlock,
    spin_unlock_irqrestore,
)
from mmsim.memory_model import pfn_to_page
from mmsim.mmzone import SWAP_CLUSTER_MAX, page_pgdat
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.page import (
    PAGE_MAPPING_ANON,
    PageHead,
    __ClearPageHead,
    __SetPageHead,
    put_page_testzero,
    set_page_count,
)
from mmsim.page_check import bad_page, check_new_page, checks_pcp, free_pages_check
from mmsim.page_owner import reset_page_owner, set_page_owner


class per_cpu_pages:
    """Order-0 pages of one zone kept by one CPU, hottest first; only that CPU touches them."""

    def __init__(self, zone, cpu):
        self.zone = zone
        self.count = 0
        self.list = LIST_HEAD(f"{zone.name}.pcp{cpu}")


pageset = DEFINE_PER_CPU(lambda cpu: {})


def _pcp(zone):
    """this_cpu_ptr(zone->pageset)"""
    sets = this_cpu_ptr(pageset)
    pcp = sets.get(zone)
    if pcp is None:
        pcp = sets[zone] = per_cpu_pages(zone, current().cpu.id)
    return pcp


# -- per-CPU lists -----------------------------------------------------------------------------


@cite("mm/page_alloc.c", "5.17")
def rmqueue_bulk(zone, pcp):
    """Refill a per-CPU list.  *Locks:* entered with interrupts off; takes zone->lock."""
    spin_lock(zone.lock)
    for _ in range(zone.pageset_batch):
        page = __rmqueue(zone, 0)
        if page is None:
            break
        if not checks_pcp() and check_new_page(page):
            continue
        page.state = "pcp"
        list_add_tail(page.lru, pcp.list)
        pcp.count += 1
    spin_unlock(zone.lock)


@cite("mm/page_alloc.c", "5.17")
def free_pcppages_bulk(zone, count, pcp):
    """Give the coldest pages back.  *Locks:* entered with interrupts off; takes zone->lock.

    *Race:* none, but without DEBUG_VM this is where a bad page is found, late.
    """
    pages = []
    while count and pcp.count:
        page = list_last_entry(pcp.list)
        list_del(page.lru)
        pcp.count -= 1
        count -= 1
        if not checks_pcp() and free_pages_check(page):
            continue
        pages.append(page)
    spin_lock(zone.lock)
    for page in pages:
        __free_one_page(page, page.pfn, zone, 0)
    spin_unlock(zone.lock)


# -- allocation ----------------------------------------------------------------------------------


@cite("mm/page_alloc.c", "5.17")
def prep_compound_page(page, order):
    """Make one page of a block: a head with a flag, tails that point to it."""
    __SetPageHead(page)
    for i in range(1, 1 << order):
        tail = pfn_to_page(page.pfn + i)
        set_page_count(tail, 0)
        tail.compound_head = page


@cite("mm/page_alloc.c", "5.17")
def prep_new_page(page, order, compound):
    """Hand a page out: one reference, an owner."""
    page.private = 0
    set_page_count(page, 1)
    set_page_owner(page, order)
    if order and compound:
        prep_compound_page(page, order)


@cite("mm/page_alloc.c", "5.17")
def rmqueue_pcplist(zone):
    """Order 0: from this CPU's list.  *Locks:* interrupts off; zone->lock to refill."""
    flags = local_irq_save()
    pcp = _pcp(zone)
    while True:
        if list_empty(pcp.list):
            rmqueue_bulk(zone, pcp)
            if list_empty(pcp.list):
                page = None
                break
        page = list_first_entry(pcp.list)
        list_del(page.lru)
        pcp.count -= 1
        if not (checks_pcp() and check_new_page(page)):
            break
    local_irq_restore(flags)
    return page


@cite("mm/page_alloc.c", "5.17")
def rmqueue(zone, order):
    """A block of the zone, or None."""
    if order == 0:
        return rmqueue_pcplist(zone)
    while True:
        flags = spin_lock_irqsave(zone.lock)
        page = __rmqueue(zone, order)
        spin_unlock_irqrestore(zone.lock, flags)
        if page is None:
            return None
        bad = False
        for i in range(1 << order):
            bad |= check_new_page(pfn_to_page(page.pfn + i))
        if not bad:
            return page


@cite("mm/page_alloc.c", "5.17")
def alloc_pages(order=0, node=None, compound=False):
    """A block of 2**order pages with one reference, near ``node`` (default: this CPU's); or None.

    *Locks:* zone->lock inside; may be called from any context, since nothing here sleeps.
    """
    vm = kernel()
    nodes = len(vm.node_data)
    if node is None:
        node = current().cpu.id % nodes
    for i in range(nodes):
        page = rmqueue(vm.node_data[(node + i) % nodes].zone, order)
        if page is not None:
            prep_new_page(page, order, compound)
            return page
    return None


@cite("include/linux/gfp.h", "5.17")
def alloc_page(node=None):
    """One page, or None."""
    return alloc_pages(0, node)


# -- freeing -------------------------------------------------------------------------------------


_FORGETS = Op(WRITE, "flags", reads=ALL)


def _forget_flags(page):
    page.v_flags &= ~page.PAGE_FLAGS_CHECK_AT_PREP


def _mapping_flags(page):
    return getattr(page.mapping, "mapping_flags", 0)


def _tail_bad(page, tail):
    """free_tail_pages_check: a tail has to point to its head, and forgets it."""
    if tail.compound_head is not page:
        bad_page(tail, "compound_head not consistent")
        return True
    tail.compound_head = None
    return free_pages_check(tail)


@cite("mm/page_alloc.c", "5.17")
def free_pages_prepare(page, order, check_free=True):
    """Make a page fit for a free list: check, forget flags and owner.  False: leak it."""
    bad = False
    if order:
        compound = PageHead(page)
        for i in range(1, 1 << order):
            tail = pfn_to_page(page.pfn + i)
            if _tail_bad(page, tail) if compound else free_pages_check(tail):
                bad = True
                continue
            access(_FORGETS, tail, _forget_flags, tail)
        if compound:
            __ClearPageHead(page)
    if _mapping_flags(page) & PAGE_MAPPING_ANON:
        page.mapping = None
    if check_free:
        bad |= free_pages_check(page)
    if bad:
        return False
    access(_FORGETS, page, _forget_flags, page)
    reset_page_owner(page)
    return True


@cite("mm/page_alloc.c", "5.17")
def free_unref_page_commit(page):
    """Link a prepared page into this CPU's list.  *Locks:* interrupts off."""
    zone = page_pgdat(page).zone
    pcp = _pcp(zone)
    list_add(page.lru, pcp.list)
    pcp.count += 1
    if pcp.count >= zone.pageset_high:
        free_pcppages_bulk(zone, zone.pageset_batch, pcp)


@cite("mm/page_alloc.c", "5.17")
def free_unref_page(page):
    """Free one page that has no reference left.  *Locks:* interrupts off around the list."""
    if not free_pages_prepare(page, 0, checks_pcp()):
        return
    flags = local_irq_save()
    free_unref_page_commit(page)
    local_irq_restore(flags)


@cite("mm/page_alloc.c", "3.13")
def free_hot_cold_page(page, cold=False):
    """What free_unref_page() was called before 4.15."""
    free_unref_page(page)


@cite("mm/page_alloc.c", "5.4")
def free_unref_page_list(list):
    """Free the pages of a private list.  *Locks:* interrupts off around the per-CPU list.

    The nodes are linked into the new list without being deleted from the old, which is forgotten.
    """
    node = list.next
    while node is not list:
        after = node.next
        if not free_pages_prepare(list_entry(node), 0, checks_pcp()):
            list_del(node)
        node = after
    flags = local_irq_save()
    batch_count = 0
    node = list.next
    while node is not list:
        after = node.next
        free_unref_page_commit(list_entry(node))
        batch_count += 1
        if batch_count == SWAP_CLUSTER_MAX:
            local_irq_restore(flags)
            batch_count = 0
            flags = local_irq_save()
        node = after
    local_irq_restore(flags)


@cite("mm/page_alloc.c", "5.17")
def __free_pages_ok(page, order):
    """Free a block of order > 0 that has no reference left.  *Locks:* takes zone->lock."""
    if not free_pages_prepare(page, order):
        return
    zone = page_pgdat(page).zone
    flags = spin_lock_irqsave(zone.lock)
    __free_one_page(page, page.pfn, zone, order)
    spin_unlock_irqrestore(zone.lock, flags)


@cite("mm/page_alloc.c", "5.17")
def __free_pages(page, order):
    """Drop the reference alloc_pages() gave; free the block if it was the last."""
    if put_page_testzero(page):
        if order == 0:
            free_unref_page(page)
        else:
            __free_pages_ok(page, order)


@cite("mm/page_alloc.c", "5.17")
def drain_pages(pcp):
    """Give all of a per-CPU list back (at quiescence, or on its own CPU with interrupts off)."""
    free_pcppages_bulk(pcp.zone, pcp.count, pcp)
