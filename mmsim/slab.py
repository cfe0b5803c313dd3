# SPDX-License-Identifier: GPL-2.0-only
"""What a slab keeps in struct page, by layout; and SLAB itself (mm_types.h, mm/slab.h, mm/slab.c).

A slab has no struct of its own until 5.17 and no memory of its own even then: it writes into the
words of struct page, and whoever looks at the page with another owner in mind reads them as
something else.  Which word is which has changed:

    struct page word   SLUB to 4.17    SLUB 4.18 to 6.1   SLUB from 6.2    SLAB 4.19
    lru.next           slab list       slab list          slab_cache       slab list
    lru.prev           slab list       slab list          slab list next   slab list
    mapping            (unused)        slab_cache         slab list prev   slab_cache
    index              freelist        freelist           freelist         freelist
    private            slab_cache      counters           counters         s_mem
    _mapcount          counters        (-1)               (-1)             active

The views below are true aliases: they have no storage, each property is a word of the page.
``counters`` packs inuse (16 bits), objects (15) and frozen (1), written like the bit fields of C,
by load and store of the whole word.
"""

from mmsim.linux.list import (
    LIST_HEAD,
    list_add,
    list_add_tail,
    list_del,
    list_empty,
    list_first_entry,
    list_head,
)
from mmsim.linux.spinlock import spin_lock_init, spin_lock_irqsave, spin_unlock_irqrestore
from mmsim.model.cite import cite
from mmsim.model.era import era
from mmsim.model.gate import patched
from mmsim.model.struct import Struct, shared
from mmsim.page import __ClearPageSlab, __SetPageSlab
from mmsim.page_alloc import __free_pages, alloc_pages


def _word(name):
    """A slab field that is the page's word ``name``, points included."""

    def load(slab):
        return getattr(slab.page, name)

    def store(slab, value):
        setattr(slab.page, name, value)

    return property(load, store, doc=f"the page's ``{name}``")


def _bits(shift, width):
    """A bit field of ``counters``."""
    mask = (1 << width) - 1

    def load(slab):
        return slab.counters >> shift & mask

    def store(slab, value):
        slab.counters = slab.counters & ~(mask << shift) | value << shift

    return property(load, store, doc=f"{width} bits of ``counters``")


class slab_v4_19:
    """SLUB's fields in struct page, 4.18 to 6.1 (``struct slab`` from 5.17, in the same places)."""

    slab_cache = _word("mapping")
    freelist = _word("index")
    counters = _word("private")
    inuse = _bits(0, 16)
    objects = _bits(16, 15)
    frozen = _bits(31, 1)
    counters_word = "private"

    def __init__(self, page):
        self.page = page
        self.slab_list = page.lru


def _signed(value):
    return value - (1 << 32) if value >> 31 else value


class slab_v3_13(slab_v4_19):
    """SLUB's fields until 4.17: the counters lie over ``_mapcount``."""

    slab_cache = _word("private")
    counters_word = "_mapcount"

    @property
    def counters(self):
        """The word as SLUB sees it: unsigned."""
        return self.page._mapcount & 0xFFFFFFFF

    @counters.setter
    def counters(self, value):
        self.page._mapcount = _signed(value)


class _slab_list_v6_2(list_head):
    """A list node over the words ``lru.prev`` and ``mapping``."""

    next = property(
        lambda node: node.owner.lru.prev, lambda node, to: setattr(node.owner.lru, "prev", to)
    )
    prev = property(
        lambda node: node.owner.mapping, lambda node, to: setattr(node.owner, "mapping", to)
    )
    v_next = property(
        lambda node: node.owner.lru.v_prev, lambda node, to: setattr(node.owner.lru, "v_prev", to)
    )
    v_prev = property(
        lambda node: node.owner.v_mapping, lambda node, to: setattr(node.owner, "v_mapping", to)
    )

    @property
    def address(self):
        return self.owner.address + 2 * era().bits // 8


class slab_v6_2(slab_v4_19):
    """struct slab as 130d4df57390 ordered it, so that an rcu_head finds room behind slab_cache."""

    @property
    def slab_cache(self):
        """The first word of the page's ``lru``."""
        return self.page.lru.next

    @slab_cache.setter
    def slab_cache(self, cache):
        self.page.lru.next = cache

    def __init__(self, page):
        self.page = page
        self.slab_list = _slab_list_v6_2("slab_list", page)


@cite("mm/slab.h", "5.17", thread="001")
def page_slab(page):
    """The page seen as a slab, in the layout of the booted kernel."""
    slab = page.slab
    if slab is None:
        if patched("slab-rearranged"):
            slab = slab_v6_2(page)
        elif patched("slub-counters-in-mapcount") or era().version < (4, 18):
            slab = slab_v3_13(page)
        else:
            slab = slab_v4_19(page)
        page.slab = slab
    return slab


class slab_object(Struct):
    """An object; while it is free its first word is the free pointer."""

    free_pointer = shared(None)

    def __init__(self, page, offset):
        self.page = page
        self.name = f"{page.name}+{offset:x}"
        self.address = 0xFFFF888000000000 + page.pfn * 0x1000 + offset


# -- SLAB -----------------------------------------------------------------------------------------


class slab_cache(Struct):
    """A cache of SLAB's, one node: slabs listed by how full they are, under ``list_lock``.

    (The arrays of free objects that each CPU keeps are left out.)
    """

    def __init__(self, name, order=0, objects=1, number=0):
        self.name = name
        self.address = 0xFFFF88FF77130000 + number * 0x180
        self.order = order
        self.num = objects << order
        self.list_lock = spin_lock_init(f"&n->list_lock#{name}")
        self.slabs_partial = LIST_HEAD(f"{name}.slabs_partial")
        self.slabs_full = LIST_HEAD(f"{name}.slabs_full")


@cite("mm/slab.c", "4.19", thread="001", symbol="cache_grow_begin")
def cache_grow(s):
    """A new slab; the page, or None.  ``active`` counts its objects in use.

    *Locks:* list_lock is not held: it may sleep if the flags allow.  *Race:* from the allocation on
    the page has one reference, which is all that get_page_unless_zero() asks for.
    """
    page = alloc_pages(s.order, compound=True)
    if page is None:
        return None
    __SetPageSlab(page)
    page.private = page.address  # s_mem
    page._mapcount = 0  # active
    page.mapping = s  # slab_cache
    page.index = page.address  # freelist: an array of object numbers
    return page


@cite("mm/slab.c", "4.19", thread="001", symbol="cache_alloc_refill")
def cache_alloc(s):
    """An object, or None.  *Locks:* takes list_lock, interrupts off."""
    flags = spin_lock_irqsave(s.list_lock)
    if list_empty(s.slabs_partial):
        spin_unlock_irqrestore(s.list_lock, flags)
        page = cache_grow(s)
        if page is None:
            return None
        flags = spin_lock_irqsave(s.list_lock)
    else:
        page = list_first_entry(s.slabs_partial)
        list_del(page.lru)
    page._mapcount = page._mapcount + 1  # slab_get_obj: active++
    if page._mapcount == s.num:  # fixup_slab_list
        list_add(page.lru, s.slabs_full)
    else:
        list_add(page.lru, s.slabs_partial)
    spin_unlock_irqrestore(s.list_lock, flags)
    return slab_object(page, 0)


@cite("mm/slab.c", "4.19", thread="001", symbol="free_block")
def cache_free(s, object):
    """Free an object; a slab without any goes back.  *Locks:* takes list_lock, interrupts off."""
    page = object.page
    flags = spin_lock_irqsave(s.list_lock)
    list_del(page.lru)
    page._mapcount = page._mapcount - 1  # slab_put_obj: active--
    active = page._mapcount
    if active:
        list_add_tail(page.lru, s.slabs_partial)
    spin_unlock_irqrestore(s.list_lock, flags)
    if not active:
        kmem_freepages(page, s.order)


@cite("mm/slab.c", "4.19", thread="001")
def kmem_freepages(page, order):
    """Give a slab's pages back.  *Race:* a walker may hold a reference, and frees them then."""
    __ClearPageSlab(page)
    page._mapcount = -1  # page_mapcount_reset: active shared the word
    page.mapping = None
    __free_pages(page, order)
