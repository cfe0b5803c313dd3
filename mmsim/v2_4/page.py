# SPDX-License-Identifier: GPL-2.0-only
"""struct page of 2.4 and its macros (include/linux/mm.h, include/linux/swap.h).

``count`` is the number of users; being on an LRU list is not one of them, which is what thread
002 is about.  ``list`` (free list, inode queue) and ``lru`` are separate nodes, unlike later.
All flag operations are atomic but two: __free_pages_ok and __add_to_page_cache rewrite the word
with plain loads and stores.

Whether a page is in the swap cache is not a flag: its ``mapping`` is swapper_space.
"""

from mmsim.detect.finding import PageSnapshot
from mmsim.engine.door import access, door
from mmsim.engine.op import NONE, READ_ONCE, RMW, RMW_RELAXED, WRITE_ONCE, Op
from mmsim.linux.atomic import (
    atomic_dec_and_test,
    atomic_inc,
    atomic_inc_not_zero,
    atomic_read,
)
from mmsim.linux.list import list_head
from mmsim.linux.wait import wait_queue_head
from mmsim.model.cite import cite
from mmsim.model.era import era, kernel
from mmsim.model.gate import patched
from mmsim.model.struct import Layout, shared

__mmsim_primitive__ = True  # macros: instruments attribute their accesses to the caller

PG_locked = 0
PG_error = 1
PG_referenced = 2
PG_uptodate = 3
PG_dirty = 4
PG_unused = 5
PG_lru = 6
PG_active = 7
PG_slab = 8
PG_skip = 10
PG_highmem = 11
PG_checked = 12
PG_arch_1 = 13
PG_reserved = 14
PG_launder = 15

FLAG_NAMES = {
    nr: name[3:] for name, nr in list(globals().items()) if name.startswith("PG_")
}


class page(Layout):
    """One page frame.

    ``list``, ``lru`` and ``wait`` are embedded in C; here they are made when first looked at, as
    most runs need few of them.  ``freed``, ``fresh`` and ``history`` belong to the checker
    (ledger.py).
    """

    mapping = shared(None)
    index = shared(0)
    count = shared(0)
    flags = shared(0)
    buffers = shared(None)
    freed = False
    fresh = False
    history = ()

    def __init__(self, pfn):
        self.pfn = pfn

    def __getattr__(self, name):
        if name == "lru" or name == "list":
            return self.__dict__.setdefault(name, list_head(name, self))
        if name != "wait":
            raise AttributeError(name)
        with door.making((self.identity(), name)):
            return self.__dict__.setdefault(name, wait_queue_head("&page->wait"))

    @property
    def name(self):
        """What events and reports call it."""
        return f"pfn:{self.pfn:05x}"

    def identity(self):
        """There is one struct page a frame."""
        return ("page", self.pfn)

    @property
    def address(self):
        """Its place in mem_map."""
        return 0xC1000000 + self.pfn * 0x40

    def snapshot(self):
        """The page as values, for a report."""
        lru_next, lru_prev = _address(self.lru.v_next), _address(self.lru.v_prev)
        list_next, list_prev = _address(self.list.v_next), _address(self.list.v_prev)
        mapping = self.v_mapping
        return PageSnapshot(
            pfn=self.pfn,
            era=era().name,
            ref=self.v_count,
            mapcount=None,
            flags=self.v_flags,
            flag_names=tuple(FLAG_NAMES[nr] for nr in FLAG_NAMES if self.v_flags >> nr & 1),
            mapping="" if mapping is None else mapping.name,
            index=self.v_index,
            private=0,
            lru_next=lru_next,
            lru_prev=lru_prev,
            memcg="",
            node=0,
            order=0,
            address=self.address,
            raw=(
                list_next, list_prev, _address(mapping), self.v_index,
                0, self.v_count & 0xFFFFFFFF, self.v_flags, lru_next,
            ),
            history=tuple(f"{what} by {ctx.comm}/{ctx.pid} (cpu {ctx.cpu.id})"
                          for what, ctx in self.history),
        )


def _address(obj):
    return getattr(obj, "address", 0)


@cite("include/linux/list.h", "2.4.17", thread="002")
def list_entry(node):
    """The page a list node is part of.

    A corrupted list can lead to the head of another.  In C the result is then a struct page made
    of whatever lies around that head; here it is one of zeroes.
    """
    return node.owner if node.owner is not None else page(0)


# -- flags ------------------------------------------------------------------------------------


# One macro a flag, as in C.  The countdown of the door stands in them, not in a call to it: flags
# are what shrink_cache and __free_pages_ok mostly look at, and half of what a run costs.


def _op(nr, kind, **options):
    name = FLAG_NAMES[nr]
    options.setdefault("writes", frozenset([name]))
    return Op(kind, "flags", reads=frozenset([name]), label=f"flags:{name}", **options)


def _test(nr):
    mask = 1 << nr
    op = _op(nr, READ_ONCE, writes=NONE)

    def effect(page):
        return page.v_flags & mask != 0

    def macro(page):
        door.left -= 1
        if door.left < 0:
            return door.slow(op, page, effect, page)
        return page.v_flags & mask != 0

    return macro


def _set(nr, kind=RMW_RELAXED):
    return _change(nr, kind, 1 << nr, 0)


def _clear(nr, kind=RMW_RELAXED):
    return _change(nr, kind, 0, 1 << nr)


def _change(nr, kind, on, off):
    mask = on | off
    verb = ("test_and_" if kind is RMW else "") + ("set" if on else "clear")
    fails = fails_on = None
    if kind is RMW:
        def fails_on(flags, page):
            return flags & mask == on

        def fails(page, *_):
            return page.v_flags & mask == on
    op = _op(nr, kind, verb=verb, fails=fails, fails_on=fails_on)

    def effect(page):
        old = page.v_flags
        page.v_flags = (old | on) & ~off
        return old & mask != 0

    def macro(page):
        door.left -= 1
        if door.left < 0:
            return door.slow(op, page, effect, page)
        return effect(page)

    return macro


PageLocked = _test(PG_locked)
TryLockPage = _set(PG_locked, RMW)  # the old bit: true means somebody else has it
TestClearPageLocked = _clear(PG_locked, RMW)
PageReferenced = _test(PG_referenced)
SetPageReferenced = _set(PG_referenced)
PageTestandClearReferenced = _clear(PG_referenced, RMW)
SetPageUptodate = _set(PG_uptodate)
ClearPageUptodate = _clear(PG_uptodate)
PageDirty = _test(PG_dirty)
SetPageDirty = _set(PG_dirty)
ClearPageDirty = _clear(PG_dirty)
PageLRU = _test(PG_lru)
TestSetPageLRU = _set(PG_lru, RMW)
TestClearPageLRU = _clear(PG_lru, RMW)
PageActive = _test(PG_active)
SetPageActive = _set(PG_active)
ClearPageActive = _clear(PG_active)
PageReserved = _test(PG_reserved)
PageLaunder = _test(PG_launder)
SetPageLaunder = _set(PG_launder)
ClearPageLaunder = _clear(PG_launder)


@cite("include/linux/mm.h", "2.4.17", thread="002")
def PageSwapCache(page):
    """Is it in the swap cache?"""
    return page.mapping is kernel().swapper_space


# -- references -------------------------------------------------------------------------------


@cite("include/linux/mm.h", "2.4.17", thread="002")
def page_count(page):
    """Users now."""
    return atomic_read(page, "count")


_SETS_COUNT = Op(WRITE_ONCE, "count", "ledger", label="count")  # the ledger's page.fresh


def _set_count(page, n):
    page.v_count = n
    page.fresh = False


@cite("include/linux/mm.h", "2.4.17", thread="002")
def set_page_count(page, n):
    """Only for a page nobody else can see."""
    access(_SETS_COUNT, page, _set_count, page, n)


@cite("include/linux/mm.h", "2.4.17", thread="002")
def get_page(page):
    """One more user; the caller has to be one, or to know that nobody can free the page."""
    atomic_inc(page, "count")


@cite("include/linux/mm.h", "2.6.17", thread="002")
def get_page_unless_zero(page):
    """One more user, unless there is none any more; true if taken."""
    return atomic_inc_not_zero(page, "count")


@cite("include/linux/mm.h", "2.4.17", thread="002")
def put_page_testzero(page):
    """One user less; true for the one that was the last."""
    return atomic_dec_and_test(page, "count")


page_cache_get = get_page


def lru_ref(page):
    """How many of the page's references belong to the LRU.

    In 2.4 none does, and no such function is there.  The proposal of 14 February, of which no patch
    was found, needs it at each threshold.
    """
    if patched("andrea-2002-02-14"):
        return PageLRU(page)
    return 0


@cite("include/linux/mm.h", "2.4.17", thread="002")
def is_page_cache_freeable(page, held=0):
    """Nobody but the page cache and the buffers (and the LRU, if it counts) uses the page.

    ``held`` references are the caller's own: none, but for the variant that takes one.
    """
    return page_count(page) - (page.buffers is not None) - lru_ref(page) - held == 1
