# SPDX-License-Identifier: GPL-2.0-only
"""struct page from 3.13 to 5.17 (include/linux/mm_types.h, page-flags.h, page_ref.h, mm.h).

Everything a race can step on is here: one word of flags with two ways to change it, one
reference count, one mapcount, one list node that the LRU, private lists, the allocator and slab
take turns to use, and words that mean one thing to one owner and another to the next.

Flag numbers are those of the era (default configs); a page of an era is a subclass.  Flag
functions are made as in C, by one macro a flag: Page, SetPage and ClearPage are atomic, the
__forms are a load and a store with a point between, TestSet and TestClear return the old value.

``mapping`` holds an object.  What C keeps in the pointer's low bits is the object's
``mapping_flags``: PAGE_MAPPING_ANON for an anon_vma, PAGE_MAPPING_MOVABLE for movable ops.
"""

from operator import attrgetter
from typing import ClassVar

from mmsim.detect.finding import PageSnapshot
from mmsim.engine.door import access
from mmsim.engine.op import NONE, READ, READ_ONCE, RMW, RMW_ACQUIRE, RMW_RELAXED, WRITE, Op
from mmsim.linux.atomic import (
    atomic_add_unless,
    atomic_cmpxchg,
    atomic_dec_and_test,
    atomic_inc,
    atomic_read,
    atomic_set,
)
from mmsim.linux.bug import VM_BUG_ON_PAGE
from mmsim.linux.list import LIST_POISON1, LIST_POISON2, list_head
from mmsim.model.cite import cite
from mmsim.model.era import era
from mmsim.model.struct import Struct, shared

__mmsim_primitive__ = True  # inline in C: reports name the function it is inlined into

PAGE_MAPPING_ANON = 1
PAGE_MAPPING_MOVABLE = 2

_FLAGS_3_13 = """locked error referenced uptodate dirty lru active slab owner_priv_1 arch_1 reserved
    private private_2 writeback head tail swapcache mappedtodisk reclaim swapbacked unevictable
    mlocked"""
_FLAGS_4_19 = """locked error referenced uptodate dirty lru active waiters slab owner_priv_1 arch_1
    reserved private private_2 writeback head mappedtodisk reclaim swapbacked unevictable mlocked"""
_FLAGS_5 = """locked referenced uptodate dirty lru active workingset waiters error slab owner_priv_1
    arch_1 reserved private private_2 writeback head mappedtodisk reclaim swapbacked unevictable
    mlocked"""

_CHECK_AT_FREE = """lru locked private private_2 writeback reserved slab active unevictable
    mlocked""".split()


class page(Struct):
    """One page frame.  ``history`` is page_owner's: who allocated and who freed it, oldest first.

    ``order`` is that of the block it heads, ``state`` the checker's view ("free", "pcp",
    "allocated"), ``lock_owner`` and ``lock_object`` its record of the page lock (pagemap.py) and
    ``writeback_object`` of PG_writeback; none is a field of struct page, no kernel code reads them.
    """

    flags = shared(0)
    _refcount = shared(0)
    _mapcount = shared(-1)
    mapping = shared(None)
    index = shared(0)
    private = shared(0)
    mem_cgroup = shared(None)  # memcg_data from 5.11 on
    compound_head = shared(None)
    page_ext = shared(0)  # of idle page tracking (page_ext.py)
    data = shared(None)  # the frame's memory, as one value
    state = "free"
    order = 0
    lock_owner = None
    lock_object = None
    writeback_object = None
    slab = None  # the view of it as a slab (slab.py), made when first asked for
    PG: ClassVar[dict[str, int]] = {}

    def __init__(self, pfn, node):
        self.pfn = pfn
        self.node = node
        self.name = f"pfn:{pfn:05x}"
        self.lru = list_head("lru", self)
        self.history = []

    @property
    def address(self):
        """Where the struct page would be: vmemmap, or lowmem on 32 bit."""
        if era().bits == 32:
            return 0xD4350000 + self.pfn * 0x24
        return 0xFFFFEA0000000000 + self.pfn * 0x40

    def flag_names(self):
        """Names of the flags set now, in bit order."""
        return tuple(name for name, bit in self.PG.items() if self.v_flags >> bit & 1)

    def snapshot(self):
        """The page as values, for a report."""
        mask = (1 << era().bits) - 1
        mapping = _address(self.v_mapping) | getattr(self.v_mapping, "mapping_flags", 0)
        next, prev = _address(self.lru.v_next), _address(self.lru.v_prev)
        private = self.v_private if isinstance(self.v_private, int) else _address(self.v_private)
        index = self.v_index if isinstance(self.v_index, int) else _address(self.v_index)
        counts = (self.v__mapcount & 0xFFFFFFFF) | (self.v__refcount & 0xFFFFFFFF) << 32
        memcg = _address(self.v_mem_cgroup)
        raw = (self.v_flags, next, prev, mapping, index, private, counts, memcg)
        return PageSnapshot(
            pfn=self.pfn,
            era=era().name,
            ref=self.v__refcount,
            mapcount=self.v__mapcount + 1,
            flags=self.v_flags,
            flag_names=self.flag_names(),
            mapping=f"{mapping:x}" if mapping else "0",
            index=index,
            private=private,
            lru_next=next,
            lru_prev=prev,
            memcg=f"{memcg:x}" if memcg else "",
            node=self.node,
            order=self.order,
            address=self.address,
            raw=tuple(word & (mask if i != 6 else (1 << 64) - 1) for i, word in enumerate(raw)),
            history=tuple(self.history),
        )


def _address(obj):
    return getattr(obj, "address", 0) if obj is not None else 0


def _page_class(name, flags):
    bits = {flag: bit for bit, flag in enumerate(flags.split())}
    masks = {f"m_{flag}": 1 << bit for flag, bit in bits.items()}
    masks["m_isolated"] = masks["m_reclaim"]  # PG_isolated and PG_readahead share the bit
    masks["m_swapcache"] = masks.get("m_swapcache", masks["m_owner_priv_1"])
    masks["m_waiters"] = masks.get("m_waiters", 0)  # none in 3.13
    masks["m_workingset"] = masks.get("m_workingset", 0)
    at_free = sum(masks[f"m_{flag}"] for flag in _CHECK_AT_FREE)
    at_prep = (1 << len(bits)) - 1
    extra = {"PG": bits, "PAGE_FLAGS_CHECK_AT_FREE": at_free, "PAGE_FLAGS_CHECK_AT_PREP": at_prep}
    return type(name, (page,), {**masks, **extra})


PAGE_CLASSES = {
    "3.13": _page_class("page", _FLAGS_3_13),
    "4.19": _page_class("page", _FLAGS_4_19),
    "5.4": _page_class("page", _FLAGS_5),
    **dict.fromkeys(("5.9", "5.10", "5.11", "5.16", "5.17"), _page_class("page", _FLAGS_5)),
}


# -- flags ------------------------------------------------------------------------------------


def _test(page, mask):
    return page.v_flags & mask != 0


def _set(page, mask):
    old = page.v_flags
    page.v_flags = old | mask
    return old & mask != 0


def _clear(page, mask):
    old = page.v_flags
    page.v_flags = old & ~mask
    return old & mask != 0


def _load(page):
    return page.v_flags


def _store(page, value):
    page.v_flags = value


_SHARED_BITS = {"isolated": "reclaim"}  # two flags, one bit


def bit_op(kind, name, **options):
    """An atomic operation on one flag."""
    bit = frozenset([_SHARED_BITS.get(name, name)])
    writes = NONE if kind is READ_ONCE else bit
    return Op(kind, "flags", reads=bit, writes=writes, label=f"flags:{name}", **options)


def PAGEFLAG(name, lock=False):
    """(Page, SetPage, ClearPage, __SetPage, __ClearPage, TestSetPage, TestClearPage) of a flag."""
    mask = attrgetter(f"m_{name}")
    tests = bit_op(READ_ONCE, name)
    changes = bit_op(RMW_RELAXED, name)
    tests_and_sets = bit_op(RMW_ACQUIRE if lock else RMW, name)
    tests_and_clears = bit_op(RMW, name)
    # these are not of one bit: they load and store the word
    loads = Op(READ, "flags", label=f"flags:{name}")
    stores = Op(WRITE, "flags", label=f"flags:{name}")

    def test(page):
        return access(tests, page, _test, page, mask(page))

    def set(page):
        access(changes, page, _set, page, mask(page))

    def clear(page):
        access(changes, page, _clear, page, mask(page))

    def set_nonatomic(page):
        flags = access(loads, page, _load, page)
        access(stores, page, _store, page, flags | mask(page))

    def clear_nonatomic(page):
        flags = access(loads, page, _load, page)
        access(stores, page, _store, page, flags & ~mask(page))

    def testset(page):
        return access(tests_and_sets, page, _set, page, mask(page))

    def testclear(page):
        return access(tests_and_clears, page, _clear, page, mask(page))

    return test, set, clear, set_nonatomic, clear_nonatomic, testset, testclear


# fmt: off
PageLocked, SetPageLocked, ClearPageLocked, __SetPageLocked, __ClearPageLocked, \
    TestSetPageLocked, TestClearPageLocked = PAGEFLAG("locked", lock=True)
PageLRU, SetPageLRU, ClearPageLRU, __SetPageLRU, __ClearPageLRU, \
    TestSetPageLRU, TestClearPageLRU = PAGEFLAG("lru")
PageActive, SetPageActive, ClearPageActive, __SetPageActive, __ClearPageActive, \
    TestSetPageActive, TestClearPageActive = PAGEFLAG("active")
PageWaiters, SetPageWaiters, ClearPageWaiters, __SetPageWaiters, __ClearPageWaiters, \
    TestSetPageWaiters, TestClearPageWaiters = PAGEFLAG("waiters")
PageReferenced, SetPageReferenced, ClearPageReferenced, __SetPageReferenced, \
    __ClearPageReferenced, TestSetPageReferenced, TestClearPageReferenced = PAGEFLAG("referenced")
PageUptodate, SetPageUptodate, ClearPageUptodate, __SetPageUptodate, __ClearPageUptodate, \
    TestSetPageUptodate, TestClearPageUptodate = PAGEFLAG("uptodate")
PageDirty, SetPageDirty, ClearPageDirty, __SetPageDirty, __ClearPageDirty, \
    TestSetPageDirty, TestClearPageDirty = PAGEFLAG("dirty")
PageSlab, SetPageSlab, ClearPageSlab, __SetPageSlab, __ClearPageSlab, \
    TestSetPageSlab, TestClearPageSlab = PAGEFLAG("slab")
PageReserved, SetPageReserved, ClearPageReserved, __SetPageReserved, __ClearPageReserved, \
    TestSetPageReserved, TestClearPageReserved = PAGEFLAG("reserved")
PagePrivate, SetPagePrivate, ClearPagePrivate, __SetPagePrivate, __ClearPagePrivate, \
    TestSetPagePrivate, TestClearPagePrivate = PAGEFLAG("private")
PageWriteback, SetPageWriteback, ClearPageWriteback, __SetPageWriteback, __ClearPageWriteback, \
    TestSetPageWriteback, TestClearPageWriteback = PAGEFLAG("writeback")
PageHead, SetPageHead, ClearPageHead, __SetPageHead, __ClearPageHead, \
    TestSetPageHead, TestClearPageHead = PAGEFLAG("head")
PageReclaim, SetPageReclaim, ClearPageReclaim, __SetPageReclaim, __ClearPageReclaim, \
    TestSetPageReclaim, TestClearPageReclaim = PAGEFLAG("reclaim")
PageIsolated, SetPageIsolated, ClearPageIsolated, __SetPageIsolated, __ClearPageIsolated, \
    TestSetPageIsolated, TestClearPageIsolated = PAGEFLAG("isolated")
PageSwapBacked, SetPageSwapBacked, ClearPageSwapBacked, __SetPageSwapBacked, \
    __ClearPageSwapBacked, TestSetPageSwapBacked, TestClearPageSwapBacked = PAGEFLAG("swapbacked")
PageSwapCache, SetPageSwapCache, ClearPageSwapCache, __SetPageSwapCache, __ClearPageSwapCache, \
    TestSetPageSwapCache, TestClearPageSwapCache = PAGEFLAG("swapcache")
PageUnevictable, SetPageUnevictable, ClearPageUnevictable, __SetPageUnevictable, \
    __ClearPageUnevictable, TestSetPageUnevictable, TestClearPageUnevictable = \
    PAGEFLAG("unevictable")
PageMlocked, SetPageMlocked, ClearPageMlocked, __SetPageMlocked, __ClearPageMlocked, \
    TestSetPageMlocked, TestClearPageMlocked = PAGEFLAG("mlocked")
PageWorkingset, SetPageWorkingset, ClearPageWorkingset, __SetPageWorkingset, \
    __ClearPageWorkingset, TestSetPageWorkingset, TestClearPageWorkingset = PAGEFLAG("workingset")
# fmt: on


@cite("include/linux/page-flags.h", "5.17")
def PageAnon(page):
    """Is ``mapping`` an anon_vma (or KSM)?"""
    return bool(getattr(page.mapping, "mapping_flags", 0) & PAGE_MAPPING_ANON)


@cite("include/linux/page-flags.h", "5.17")
def __PageMovable(page):
    """Is ``mapping`` a table of movable operations?  Reads poison as C would: by its low bits."""
    mapping = page.mapping
    if mapping is LIST_POISON1 or mapping is LIST_POISON2:
        return mapping.address & 3 == PAGE_MAPPING_MOVABLE
    return getattr(mapping, "mapping_flags", 0) == PAGE_MAPPING_MOVABLE


@cite("include/linux/page-flags.h", "5.17")
def PageTail(page):
    """Is it a tail of a compound page?"""
    return page.compound_head is not None


@cite("include/linux/page-flags.h", "5.17")
def PageCompound(page):
    """Head or tail of a compound page?"""
    return PageHead(page) or PageTail(page)


@cite("include/linux/page-flags.h", "5.17")
def compound_head(page):
    """The head of the compound page it belongs to, or itself."""
    head = page.compound_head
    return page if head is None else head


@cite("include/linux/page-flags.h", "5.17")
def page_has_private(page):
    """Does somebody (buffer heads) hold a reference through ``private``?"""
    return PagePrivate(page)


@cite("include/linux/page-flags.h", "5.17")
def PageBuddy(page):
    """Does it head a free block?  *Race:* only zone->lock makes the answer last."""
    return atomic_read(page, "_mapcount") == buddy_mapcount()


def buddy_mapcount():
    """A value of its own in 3.13; a page_type, that is a cleared bit of -1, from 4.18 on."""
    return -128 if era().version < (4, 18) else -129


# -- references -------------------------------------------------------------------------------


@cite("include/linux/page_ref.h", "5.17")
def page_count(page):
    """The reference count now.  *Race:* any answer but our own reference may be stale."""
    return atomic_read(page, "_refcount")


page_ref_count = page_count


@cite("include/linux/page_ref.h", "5.17")
def set_page_count(page, n):
    """Store the count; only for pages nobody else can see."""
    atomic_set(page, "_refcount", n)


@cite("include/linux/mm.h", "5.4", symbol="get_page")
def get_page(page):
    """Take a reference; the caller has one already.  *Race:* none if so; from 0 it is a bug."""
    VM_BUG_ON_PAGE(
        lambda: page.v__refcount <= 0, "page_ref_zero_or_close_to_overflow(page)", page,
        {
            "4.19": "./include/linux/mm.h:924",
            "5.4": "include/linux/mm.h:1035",
            "5.17": "include/linux/mm.h:1160",
        },
    )
    atomic_inc(page, "_refcount")


@cite("include/linux/mm.h", "5.17")
def get_page_unless_zero(page):
    """Take a reference unless the page is on its way to be freed; true if taken."""
    return atomic_add_unless(page, "_refcount", 1, 0)


@cite("include/linux/mm.h", "5.17")
def put_page_testzero(page):
    """Drop a reference; true for the one caller who dropped the last and owns the free."""
    VM_BUG_ON_PAGE(
        lambda: page_ref_count(page) == 0, "page_ref_count(page) == 0", page,
        {
            "3.13": "include/linux/mm.h:297",
            "4.19": "./include/linux/mm.h:519",
            "5.4": "include/linux/mm.h:607",
            "5.17": "include/linux/mm.h:717",
        },
    )
    return atomic_dec_and_test(page, "_refcount")


@cite("include/linux/page_ref.h", "5.17")
def page_ref_freeze(page, count):
    """If the count is exactly ``count`` make it 0, so that nobody can get in; true if done."""
    return atomic_cmpxchg(page, "_refcount", count, 0) == count


@cite("include/linux/page_ref.h", "5.17")
def page_ref_unfreeze(page, count):
    """Undo page_ref_freeze()."""
    atomic_set(page, "_refcount", count)


@cite("include/linux/mm.h", "5.17")
def page_mapped(page):
    """Does any pte map it?"""
    return atomic_read(page, "_mapcount") >= 0
