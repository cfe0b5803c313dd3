# SPDX-License-Identifier: GPL-2.0-only
"""SLUB, the allocator of small objects (mm/slub.c, 4.19 and 5.17): how a page becomes a slab.

It takes a block of pages from the page allocator, with one reference like any other owner, and then
makes it a slab step by step, in the open: a walker by page frame number may look at any moment.

    alloc_pages      refs 1; for order > 0 only *then* PG_head and the tails (prep_new_page)
    4.19             objects, slab_cache (the page's ``mapping``), then PG_slab
    5.17             PG_slab first, then the rest

A CPU allocates from its own slab, which is frozen; slabs with free objects that no CPU has are on
the node's partial list, linked by the page's ``lru``.  CONFIG_SLUB_CPU_PARTIAL is off.

No cache here is SLAB_TYPESAFE_BY_RCU, whose slabs are freed after a grace period (call_rcu()).
That waits for readers; who walks memory by frame number is none.
"""

from mmsim.engine.door import access, current
from mmsim.engine.op import RMW, Op
from mmsim.linux.atomic import smp_wmb
from mmsim.linux.irqflags import (
    local_irq_disable,
    local_irq_enable,
    local_irq_restore,
    local_irq_save,
)
from mmsim.linux.list import (
    LIST_HEAD,
    list_add_tail,
    list_del,
    list_empty,
    list_first_entry,
)
from mmsim.linux.spinlock import (
    spin_lock,
    spin_lock_init,
    spin_lock_irqsave,
    spin_unlock,
    spin_unlock_irqrestore,
)
from mmsim.model.cite import cite
from mmsim.model.era import era
from mmsim.model.gate import patched
from mmsim.model.struct import Struct, shared
from mmsim.page import __ClearPageSlab, __SetPageSlab
from mmsim.page_alloc import __free_pages, alloc_pages
from mmsim.slab import page_slab, slab_object, slab_v3_13

FROZEN = 1 << 31


class kmem_cache_cpu:
    """What one CPU allocates from; only that CPU touches it, with interrupts off."""

    def __init__(self):
        self.page = None
        self.freelist = None


class kmem_cache(Struct):
    """A cache: slabs of ``order`` (``min_order`` when memory is in pieces), partial ones listed."""

    nr_partial = shared(0)

    def __init__(self, name, order=0, min_order=0, objects=2, number=0):
        self.name = name
        self.address = 0xFFFF88FF77120000 + number * 0x180
        self.order = order
        self.min_order = min_order
        self.objects_per_page = objects
        self.min_partial = 0
        self.list_lock = spin_lock_init(f"&n->list_lock#{name}")
        self.partial = LIST_HEAD(f"{name}.partial")
        self.cpu_slab = {}

    def this_cpu(self):
        """this_cpu_ptr(s->cpu_slab)"""
        cpu = current().cpu.id
        if cpu not in self.cpu_slab:
            self.cpu_slab[cpu] = kmem_cache_cpu()
        return self.cpu_slab[cpu]


# the counters' word first: which it is differs by version; freelist is a name for index
_DOUBLES = {
    word: Op(RMW, word, "index", label="freelist/counters", unchanged=False)
    for word in ("_mapcount", "private")
}


def _cmpxchg_double(page, word, signed, old, new):
    counters = getattr(page, word) & 0xFFFFFFFF
    if page.v_index is not old[0] or counters != old[1]:
        return False
    page.v_index = new[0]
    value = new[1]
    setattr(page, word, value - (1 << 32) if signed and value >> 31 else value)
    return True


@cite("mm/slub.c", "4.19", thread="001")
def cmpxchg_double_slab(page, freelist_old, counters_old, freelist_new, counters_new):
    """Exchange freelist and counters together if both are as they were; true if done."""
    slab = page_slab(page)
    op = _DOUBLES[slab.counters_word]
    signed = isinstance(slab, slab_v3_13)
    old, new = (freelist_old, counters_old), (freelist_new, counters_new)
    return access(op, page, _cmpxchg_double, page, op.raw, signed, old, new)


# -- slabs ----------------------------------------------------------------------------------------


@cite("mm/slub.c", "4.19", thread="001")
def alloc_slab_page(s, order):
    """Pages for a slab; from 5.17 on they are marked here."""
    page = alloc_pages(order, compound=True)
    if page is not None and era().version >= (5, 17):
        __SetPageSlab(page)
        if patched("isolate-movable-skips-slab"):
            smp_wmb()  # the flag is visible before anything is written to ``mapping``
    return page


@cite("mm/slub.c", "4.19", thread="001")
def allocate_slab(s, may_block):
    """A new slab, frozen and full of free objects; the page, or None.

    *Locks:* entered with interrupts off, which are on while it allocates if the caller may block.
    *Race:* a walker that saw PG_lru before may look now: mapping, then PG_slab, change under it.
    """
    if may_block:
        local_irq_enable()
    order = s.order
    page = alloc_slab_page(s, order)
    if page is None:
        order = s.min_order
        page = alloc_slab_page(s, order)
    if page is not None:
        slab = page_slab(page)
        if era().version < (4, 18):
            slab.counters = 0
        objects = s.objects_per_page << order
        slab.objects = objects
        slab.slab_cache = s
        if era().version < (5, 17):
            __SetPageSlab(page)
        step = 0x1000 // s.objects_per_page
        first = object = slab_object(page, 0)
        for i in range(1, objects):
            after = slab_object(page, i * step)
            object.free_pointer = after
            object = after
        slab.freelist = first
        slab.inuse = objects
        slab.frozen = 1
    if may_block:
        local_irq_disable()
    return page


@cite("mm/slub.c", "4.19", thread="001")
def __free_slab(s, page, order):
    """Give a slab's pages back.

    *Race:* a walker may hold a reference, and frees the pages then.  PG_slab and ``mapping`` are
    two stores: the fix of the movable confusion swapped them, with a barrier between.
    """
    slab = page_slab(page)
    if patched("isolate-movable-skips-slab"):
        page.mapping = None
        smp_wmb()
        __ClearPageSlab(page)
    else:
        __ClearPageSlab(page)
        page.mapping = None
    if slab.counters_word == "_mapcount":
        page._mapcount = -1  # page_mapcount_reset
    __free_pages(page, order)


@cite("mm/slub.c", "4.19", thread="001")
def discard_slab(s, page):
    """The last object is free: no slab any more."""
    slab = page_slab(page)
    order = s.order if slab.objects == s.objects_per_page << s.order else s.min_order
    __free_slab(s, page, order)


@cite("mm/slub.c", "4.19", thread="001")
def add_partial(s, page):
    """List a slab that has free objects.  *Locks:* list_lock."""
    s.nr_partial += 1
    list_add_tail(page_slab(page).slab_list, s.partial)


@cite("mm/slub.c", "4.19", thread="001")
def remove_partial(s, page):
    """Unlist it; its links are poison from here on.  *Locks:* list_lock."""
    list_del(page_slab(page).slab_list)
    s.nr_partial -= 1


@cite("mm/slub.c", "4.19", thread="001", symbol="acquire_slab")
def get_partial(s):
    """Take a slab from the partial list, freeze it, take all its free objects; or None.

    *Locks:* entered with interrupts off; takes list_lock.
    """
    if not s.nr_partial:
        return None, None
    spin_lock(s.list_lock)
    if list_empty(s.partial):
        spin_unlock(s.list_lock)
        return None, None
    page = list_first_entry(s.partial)
    slab = page_slab(page)
    while True:
        freelist = slab.freelist
        counters = slab.counters
        new = counters & ~0xFFFF | counters >> 16 & 0x7FFF | FROZEN  # inuse = objects
        if cmpxchg_double_slab(page, freelist, counters, None, new):
            break
    remove_partial(s, page)
    spin_unlock(s.list_lock)
    return page, freelist


@cite("mm/slub.c", "4.19", thread="001")
def deactivate_slab(s, page, freelist):
    """Let a CPU's slab go: free objects back into it, unfreeze it, list it if it has any.

    *Locks:* entered with interrupts off; takes list_lock.
    """
    slab = page_slab(page)
    while freelist is not None:
        after = freelist.free_pointer
        while True:
            prior = slab.freelist
            counters = slab.counters
            freelist.free_pointer = prior
            if cmpxchg_double_slab(page, prior, counters, freelist, counters - 1):
                break
        freelist = after
    spin_lock(s.list_lock)
    while True:
        prior = slab.freelist
        counters = slab.counters
        if cmpxchg_double_slab(page, prior, counters, prior, counters & ~FROZEN):
            break
    if prior is not None:
        add_partial(s, page)
    spin_unlock(s.list_lock)


# -- objects --------------------------------------------------------------------------------------


@cite("mm/slub.c", "4.19", thread="001")
def get_freelist(s, page):
    """What others freed to this CPU's slab meanwhile; if nothing, the slab is let go."""
    slab = page_slab(page)
    while True:
        freelist = slab.freelist
        counters = slab.counters
        new = counters & ~(0xFFFF | FROZEN) | counters >> 16 & 0x7FFF
        if freelist is not None:
            new |= FROZEN
        if cmpxchg_double_slab(page, freelist, counters, None, new):
            return freelist


@cite("mm/slub.c", "4.19", thread="001")
def ___slab_alloc(s, c, may_block):
    """The slow path: others' frees, then the partial list, then a new slab."""
    if c.page is not None:
        freelist = get_freelist(s, c.page)
        if freelist is not None:
            c.freelist = freelist.free_pointer
            return freelist
        c.page = None
    page, freelist = get_partial(s)
    if page is None:
        page = allocate_slab(s, may_block)
        if page is None:
            return None
        if c.page is not None:  # interrupts were on: another task of this CPU was faster
            old, freelist = c.page, c.freelist
            c.page = c.freelist = None
            deactivate_slab(s, old, freelist)
        slab = page_slab(page)
        freelist = slab.freelist
        slab.freelist = None
    c.page = page
    c.freelist = freelist.free_pointer
    return freelist


@cite("mm/slub.c", "4.19", thread="001", symbol="slab_alloc_node")
def kmem_cache_alloc(s, may_block=True):
    """An object, or None.  The fast path is a cmpxchg in the kernel, interrupts off here.

    *Locks:* interrupts off around the CPU's slab; may be called from any context if it must not
    block.  *Race:* none known among its own; it is what others' races on pages run into.
    """
    flags = local_irq_save()
    c = s.this_cpu()
    object = c.freelist
    if object is None:
        object = ___slab_alloc(s, c, may_block)
    else:
        c.freelist = object.free_pointer
    local_irq_restore(flags)
    return object


@cite("mm/slub.c", "4.19", thread="001")
def __slab_free(s, page, object):
    """Free to a slab that is not this CPU's: maybe list it, maybe give it back."""
    slab = page_slab(page)
    locked = False
    flags = False
    while True:
        if locked:
            spin_unlock_irqrestore(s.list_lock, flags)
            locked = False
        prior = slab.freelist
        counters = slab.counters
        object.free_pointer = prior
        new = counters - 1
        if (not new & 0xFFFF or prior is None) and not counters & FROZEN:
            flags = spin_lock_irqsave(s.list_lock)
            locked = True
        if cmpxchg_double_slab(page, prior, counters, object, new):
            break
    if not locked:
        return
    if not new & 0xFFFF and s.nr_partial >= s.min_partial:
        if prior is not None:
            remove_partial(s, page)
        spin_unlock_irqrestore(s.list_lock, flags)
        discard_slab(s, page)
        return
    if prior is None:
        add_partial(s, page)
    spin_unlock_irqrestore(s.list_lock, flags)


@cite("mm/slub.c", "4.19", thread="001", symbol="slab_free")
def kmem_cache_free(s, object):
    """Free an object: to this CPU's slab if it is from there, else the long way."""
    flags = local_irq_save()
    c = s.this_cpu()
    if c.page is object.page:
        object.free_pointer = c.freelist
        c.freelist = object
        local_irq_restore(flags)
        return
    local_irq_restore(flags)
    __slab_free(s, object.page, object)
