# SPDX-License-Identifier: GPL-2.0-only
"""The page allocator from 3.13 to 5.17 (mm/page_alloc.c): where damage comes to light.

A race on a page seldom hurts where it happens.  It hurts here, when the page comes back with a
flag, a mapping or a reference it must not have ("Bad page state"), or comes back twice.  What is
seen *when* depends on the configuration: with DEBUG_VM an order-0 page is checked as it is freed,
without it only when its per-CPU list is given back to the buddy lists, on behalf of whoever
happens to free at that time.  A bad page is leaked; the kernel goes on.

Two levels: per-CPU lists (interrupts off; order 0 only, until 5.13) over one zone of buddies
(``zone->lock``).  ``page->lru`` is the link in both, so every list_del of the allocator leaves
poison: a freshly allocated page whose PG_lru is set by mistake gives exactly the oops of thread
000.  There is one migrate type here, and memory for every order that there is.

The buddies stand in buddy.py, the checks in page_check.py, the records of who had the page (and
with them the detection of a double free) in page_owner.py.
"""

from mmsim.buddy import __free_one_page, __rmqueue
from mmsim.engine.door import current, door
from mmsim.linux.atomic import atomic_read
from mmsim.linux.bug import VM_BUG_ON_PAGE
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
from mmsim.mmzone import MAX_ORDER, SWAP_CLUSTER_MAX, page_pgdat
from mmsim.model.cite import cite
from mmsim.model.era import IS_ENABLED, by_version, era, kernel
from mmsim.model.struct import Struct, shared
from mmsim.page import (
    PAGE_MAPPING_ANON,
    PAGE_MAPPING_MOVABLE,
    TAIL_MAPPING,
    PageCompound,
    PageHead,
    PageTail,
    __SetPageHead,
    compound_head,
    page_ref_count,
    put_page_testzero,
    set_page_count,
)
from mmsim.page_check import bad_page, check_new_page, checks_pcp, free_pages_check
from mmsim.page_owner import page_is, reset_page_owner, set_page_owner
from mmsim.util import compound_order

PAGE_ALLOC_COSTLY_ORDER = 3
MIGRATE_MOVABLE = 1
NR_PCP_ORDER_WIDTH = 8


class per_cpu_pages(Struct):
    """Pages of one zone kept by one CPU, hottest first; only that CPU touches them.

    ``count`` is of pages, whatever the order of the block they are in.  ``free_factor`` (5.14 on)
    grows while nothing but frees comes along.
    """

    count = shared(0)
    free_factor = shared(0)

    def __init__(self, zone, cpu):
        self.zone = zone
        self.name = f"{zone.name}.pcp{cpu}"
        orders = MAX_ORDER if _pcp_has_orders() else 1
        self.lists = [LIST_HEAD(f"{self.name}.{order}") for order in range(orders)]


pageset = DEFINE_PER_CPU(lambda cpu: {})


def _pcp_has_orders():
    return era().version >= (5, 14)


def _pcp(zone):
    """this_cpu_ptr(zone->pageset)"""
    sets = this_cpu_ptr(pageset)
    pcp = sets.get(zone)
    if pcp is None:
        cpu = current().cpu.id
        with door.making(("pageset", zone.name, cpu)):  # whoever of this CPU comes first
            pcp = sets[zone] = per_cpu_pages(zone, cpu)
    return pcp


@cite("mm/page_alloc.c", "5.17")
def pcp_allowed_order(order):
    """Do blocks of this order go through the per-CPU lists?"""
    return order <= PAGE_ALLOC_COSTLY_ORDER if _pcp_has_orders() else order == 0


# -- per-CPU lists -----------------------------------------------------------------------------


@cite("mm/page_alloc.c", "5.17")
def rmqueue_bulk(zone, order, count, list):
    """Refill a per-CPU list; the number of blocks.

    *Locks:* entered with interrupts off; takes zone->lock.
    """
    allocated = 0
    spin_lock(zone.lock)
    for _ in range(count):
        page = __rmqueue(zone, order)
        if page is None:
            break
        if not checks_pcp() and check_new_page(page):  # check_pcp_refill()
            continue
        page_is(page, "pcp")
        list_add_tail(page.lru, list)
        allocated += 1
    spin_unlock(zone.lock)
    return allocated


@cite("mm/page_alloc.c", "5.17")
def free_pcppages_bulk(zone, count, pcp):
    """Give the coldest pages back, from each list in turn.

    *Locks:* entered with interrupts off; takes zone->lock.  *Race:* none, but without DEBUG_VM this
    is where a bad page is found, late.
    """
    head = LIST_HEAD("head")
    lists = len(pcp.lists)
    pindex = 0
    batch_free = 0
    count = min(pcp.count, count)
    while count > 0:
        while True:
            batch_free += 1
            pindex += 1
            if pindex == lists:
                pindex = 0
            list = pcp.lists[pindex]
            if not list_empty(list):
                break
        if batch_free == lists:  # the only one that is not empty
            batch_free = count
        order = pindex
        while True:
            page = list_last_entry(list)
            list_del(page.lru)
            pcp.count -= 1 << order
            count -= 1 << order
            if checks_pcp() or not free_pages_check(page):  # bulkfree_pcp_prepare()
                if _pcp_has_orders():
                    page.index = page.index << NR_PCP_ORDER_WIDTH | order
                list_add_tail(page.lru, head)
            batch_free -= 1
            if count <= 0 or not batch_free or list_empty(list):
                break
    spin_lock(zone.lock)
    node = head.next
    while node is not head:
        page = list_entry(node)
        node = node.next
        order = page.index & (1 << NR_PCP_ORDER_WIDTH) - 1 if _pcp_has_orders() else 0
        __free_one_page(page, page.pfn, zone, order)
    spin_unlock(zone.lock)


# -- allocation ----------------------------------------------------------------------------------


@cite("mm/internal.h", "5.4")
def set_page_refcounted(page):
    """The first reference of a page that was free."""
    VM_BUG_ON_PAGE(
        lambda: PageTail(page), "PageTail(page)", page,
        {
            "3.13": "mm/internal.h:30",
            "4.19": "mm/internal.h:76",
            "5.4": "mm/internal.h:72",
            "5.17": "mm/internal.h:144",
        },
    )
    VM_BUG_ON_PAGE(
        lambda: page_ref_count(page), "page_ref_count(page)", page,
        {
            "3.13": "mm/internal.h:31",
            "4.19": "mm/internal.h:77",
            "5.4": "mm/internal.h:73",
            "5.17": "mm/internal.h:145",
        },
    )
    set_page_count(page, 1)


def _prep_compound_tails(page, order):
    for i in range(1, 1 << order):
        tail = pfn_to_page(page.pfn + i)
        set_page_count(tail, 0)
        tail.mapping = TAIL_MAPPING
        tail.compound_head = page


@cite("mm/page_alloc.c", "3.13..5.14")
def prep_compound_page_v5_4(page, order):
    """Make one page of a block: a head with a flag, tails that point to it.

    *Race:* the block has its reference already, and who gets one more sees a page in the making.
    """
    pfn_to_page(page.pfn + 1).compound_order = order
    __SetPageHead(page)
    _prep_compound_tails(page, order)


@cite("mm/page_alloc.c", "5.15..5.17")
def prep_compound_page_v5_17(page, order):
    """Make one page of a block: a head with a flag, tails that point to it.  *Race:* as in 5.4."""
    __SetPageHead(page)
    _prep_compound_tails(page, order)
    pfn_to_page(page.pfn + 1).compound_order = order


prep_compound_page = by_version(
    prep_compound_page_v5_4, prep_compound_page_v5_17
)


@cite("mm/page_alloc.c", "5.17")
def prep_new_page(page, order, compound):
    """Hand a page out: one reference, an owner; only then a compound page if it is to be one."""
    page.private = 0
    set_page_refcounted(page)
    set_page_owner(page, order)
    if order and compound:
        prep_compound_page(page, order)


@cite("mm/page_alloc.c", "5.17")
def rmqueue_pcplist(zone, order):
    """From this CPU's list.  *Locks:* interrupts off; zone->lock to refill."""
    flags = local_irq_save()
    pcp = _pcp(zone)
    if _pcp_has_orders():
        pcp.free_factor >>= 1
    list = pcp.lists[order]
    while True:
        if list_empty(list):
            batch = zone.pageset_batch
            if _pcp_has_orders() and batch > 1:
                batch = max(batch >> order, 2)
            pcp.count += rmqueue_bulk(zone, order, batch, list) << order
            if list_empty(list):
                page = None
                break
        page = list_first_entry(list)
        list_del(page.lru)
        pcp.count -= 1 << order
        if not (checks_pcp() and check_new_page(page)):  # check_new_pcp()
            break
    local_irq_restore(flags)
    return page


@cite("mm/page_alloc.c", "5.17")
def check_new_pages(page, order):
    """True if a page of a block is not clean; the block is leaked."""
    for i in range(1 << order):
        if check_new_page(pfn_to_page(page.pfn + i)):
            return True
    return False


@cite("mm/page_alloc.c", "5.17")
def rmqueue(zone, order):
    """A block of the zone, or None."""
    if pcp_allowed_order(order):
        return rmqueue_pcplist(zone, order)
    flags = spin_lock_irqsave(zone.lock)
    while True:
        page = __rmqueue(zone, order)
        if page is None or not check_new_pages(page, order):
            break
    spin_unlock_irqrestore(zone.lock, flags)
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


def _forget_flags(page):
    """``page->flags &= ~...``: a load and a store; a bit that is set in between is lost."""
    page.flags = page.flags & ~page.PAGE_FLAGS_CHECK_AT_PREP


@cite("include/linux/page-flags.h", "5.17")
def PageMappingFlags(page):
    """Is ``mapping`` anything else than a file's or NULL?"""
    flags = getattr(page.mapping, "mapping_flags", 0)
    return flags & (PAGE_MAPPING_ANON | PAGE_MAPPING_MOVABLE) != 0


@cite("mm/page_alloc.c", "5.17")
def free_tail_pages_check(head_page, page):
    """A tail forgets its head; with DEBUG_VM it is looked at before.  True if it is not in order.

    (The mapcount of a compound page is its head's ``_mapcount`` here.)
    """
    bad = ""
    if IS_ENABLED("DEBUG_VM"):
        if page.pfn - head_page.pfn == 1 and atomic_read(head_page, "_mapcount") != -1:
            bad = "nonzero compound_mapcount"
        elif page.pfn - head_page.pfn > 2 and page.mapping is not TAIL_MAPPING:
            bad = "corrupted mapping in tail page"
        elif not PageTail(page):
            bad = "PageTail not set"
        elif compound_head(page) is not head_page:
            bad = "compound_head not consistent"
        if bad:
            bad_page(page, bad)
    page.mapping = None
    page.compound_head = None
    return bool(bad)


@cite("mm/page_alloc.c", "5.17")
def free_pages_prepare(page, order, check_free=True):
    """Make a page fit for a free list: check, forget flags and owner.  False: leak it.

    The two assertions are 3.14's and later; to 3.13 they cost a point each with DEBUG_VM.
    """
    bad = False
    VM_BUG_ON_PAGE(
        lambda: PageTail(page), "PageTail(page)", page,
        {
            "4.19": "mm/page_alloc.c:1013",
            "5.4": "mm/page_alloc.c:1127",
            "5.17": "mm/page_alloc.c:1301",
        },
    )
    if order:
        compound = PageCompound(page)
        VM_BUG_ON_PAGE(
            lambda: compound and compound_order(page) != order,
            "compound && compound_order(page) != order",
            page,
            {
                "4.19": "mm/page_alloc.c:1025",
                "5.4": "mm/page_alloc.c:1139",
                "5.17": "mm/page_alloc.c:1325",
            },
        )
        for i in range(1, 1 << order):
            tail = pfn_to_page(page.pfn + i)
            if compound:
                bad |= free_tail_pages_check(page, tail)
            if free_pages_check(tail):
                bad = True
                continue
            _forget_flags(tail)
    if PageMappingFlags(page):
        page.mapping = None
    if check_free:
        bad |= free_pages_check(page)
    if bad:
        return False
    _forget_flags(page)
    reset_page_owner(page, order)
    return True


@cite("mm/page_alloc.c", "5.17")
def nr_pcp_free(pcp, high, batch):
    """How many pages to give back: more and more, while nobody allocates (5.14 on)."""
    if high < batch:
        return 1
    min_nr_free = batch
    max_nr_free = high - batch
    batch <<= pcp.free_factor
    if batch < max_nr_free:
        pcp.free_factor += 1
    return min(max(batch, min_nr_free), max_nr_free)


@cite("mm/page_alloc.c", "5.17")
def free_unref_page_commit(page, order=0):
    """Link a prepared page into this CPU's list.  *Locks:* interrupts off."""
    zone = page_pgdat(page).zone
    pcp = _pcp(zone)
    list_add(page.lru, pcp.lists[order])
    pcp.count += 1 << order
    high = zone.pageset_high
    if pcp.count >= high:
        batch = zone.pageset_batch
        if _pcp_has_orders():
            batch = nr_pcp_free(pcp, high, batch)
        free_pcppages_bulk(zone, batch, pcp)


@cite("mm/page_alloc.c", "5.17")
def free_unref_page_prepare(page, order=0):
    """free_pages_prepare() for a per-CPU list; ``index`` says which from here on."""
    if not free_pages_prepare(page, order, checks_pcp()):
        return False
    page.index = MIGRATE_MOVABLE
    return True


@cite("mm/page_alloc.c", "5.17")
def free_unref_page(page, order=0):
    """Free a block that has no reference left.  *Locks:* interrupts off around the list."""
    if not free_unref_page_prepare(page, order):
        return
    flags = local_irq_save()
    free_unref_page_commit(page, order)
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
        page = list_entry(node)
        after = node.next
        if free_unref_page_prepare(page):
            page.private = page.pfn
        else:
            list_del(node)
        node = after
    flags = local_irq_save()
    batch_count = 0
    node = list.next
    while node is not list:
        page = list_entry(node)
        after = node.next
        page.private = 0
        free_unref_page_commit(page)
        batch_count += 1
        if batch_count == SWAP_CLUSTER_MAX:
            local_irq_restore(flags)
            batch_count = 0
            flags = local_irq_save()
        node = after
    local_irq_restore(flags)


@cite("mm/page_alloc.c", "5.17")
def __free_pages_ok(page, order):
    """Free a block that has no reference left to the buddy lists.  *Locks:* takes zone->lock."""
    if not free_pages_prepare(page, order):
        return
    zone = page_pgdat(page).zone
    flags = spin_lock_irqsave(zone.lock)
    __free_one_page(page, page.pfn, zone, order)
    spin_unlock_irqrestore(zone.lock, flags)


@cite("mm/page_alloc.c", "5.17")
def free_the_page(page, order):
    """Free a block whose last reference is gone, through the per-CPU lists if they take it."""
    if pcp_allowed_order(order):
        free_unref_page(page, order)
    else:
        __free_pages_ok(page, order)


@cite("mm/page_alloc.c", "3.13..5.9")
def __free_pages_v5_4(page, order):
    """Drop the reference alloc_pages() gave; free the block if it was the last."""
    if put_page_testzero(page):
        free_the_page(page, order)


@cite("mm/page_alloc.c", "5.10..5.17")
def __free_pages_v5_17(page, order):
    """Drop the reference alloc_pages() gave; free the block if it was the last.

    If it was not, whoever has the other one will free a single page, unless they are one page: the
    rest goes here.  *Race:* PG_head of a page that may be somebody else's by now.
    """
    if put_page_testzero(page):
        free_the_page(page, order)
    elif not PageHead(page):
        while order > 0:
            order -= 1
            free_the_page(pfn_to_page(page.pfn + (1 << order)), order)


__free_pages = by_version(__free_pages_v5_4, __free_pages_v5_17)


@cite("mm/page_alloc.c", "5.17")
def drain_local_pages(zone):
    """Give back what this CPU keeps of a zone.  *Locks:* preemption off; interrupts off inside."""
    flags = local_irq_save()
    pcp = _pcp(zone)
    if pcp.count:
        free_pcppages_bulk(zone, pcp.count, pcp)
    local_irq_restore(flags)


@cite("mm/page_alloc.c", "5.17")
def drain_pages(pcp):
    """Give all of a per-CPU list back (at quiescence, or on its own CPU with interrupts off)."""
    free_pcppages_bulk(pcp.zone, pcp.count, pcp)
