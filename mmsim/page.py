# SPDX-License-Identifier: GPL-2.0-only
"""struct page from 3.13 to 5.17 (include/linux/mm_types.h, page-flags.h, page_ref.h, mm.h).

Everything a race can step on is here: one word of flags with two ways to change it, one
reference count, one mapcount, one list node that the LRU, private lists, the allocator and slab
take turns to use, and words that mean one thing to one owner and another to the next.

Flag numbers are those of the era (default configs); a page of an era is a subclass.  ``mapping``
holds an object.  What C keeps in the pointer's low bits is the object's ``mapping_flags``.
"""

from operator import attrgetter
from typing import ClassVar

from mmsim.detect.finding import PageSnapshot
from mmsim.engine.door import access, door
from mmsim.engine.op import NONE, READ, READ_ONCE, RMW, RMW_RELAXED, WRITE, Op
from mmsim.linux.atomic import (
    atomic_add_unless,
    atomic_cmpxchg,
    atomic_dec_and_test,
    atomic_inc,
    atomic_read,
    atomic_set,
    smp_rmb,
    smp_store_release,
    smp_wmb,
)
from mmsim.linux.bug import VM_BUG_ON_FOLIO, VM_BUG_ON_PAGE
from mmsim.linux.list import LIST_POISON1, LIST_POISON2, list_head
from mmsim.memory_model import pfn_to_page
from mmsim.model.cite import cite
from mmsim.model.era import IS_ENABLED, era
from mmsim.model.struct import Layout, compiled, shared

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


class page(Layout):
    """One page frame.  ``history`` is page_owner's: who allocated and who freed it, oldest first.

    ``compound_head`` is a tail's, ``compound_order`` a word of the first tail.  (In C the former
    lies over ``lru.next``, with bit 0 set, which nobody else sets.)  ``state`` is the checker's
    view ("free", "pcp", "allocated", page_owner.py), ``lock_owner`` and ``lock_object`` its record
    of the page lock (pagemap.py) and ``writeback_object`` of PG_writeback; none is a field of
    struct page and no kernel code reads them.
    """

    flags = shared(0)
    _refcount = shared(0)
    _mapcount = shared(-1)
    mapping = shared(None)
    index = shared(0)
    private = shared(0)
    mem_cgroup = shared(None)  # memcg_data from 5.11 on
    compound_head = shared(None)
    compound_order = shared(0)
    page_ext = shared(0)  # of idle page tracking (page_ext.py)
    data = shared(None)  # the frame's memory, as one value
    state = "free"
    lock_owner = None
    lock_object = None
    writeback_object = None
    slab = None  # the view of it as a slab (slab.py), made when first asked for
    PG: ClassVar[dict[str, int]] = {}
    has_policies: ClassVar[bool] = True  # of finding the page that has a flag: 4.5 and later

    def __init__(self, pfn, node):
        self.pfn = pfn
        self.node = node
        self.lru = list_head("lru", self)
        self.history = []

    @property
    def name(self):
        """What events and reports call it."""
        return f"pfn:{self.pfn:05x}"

    def identity(self):
        """There is one struct page a frame."""
        return ("page", self.pfn)

    @property
    def address(self):
        """Where the struct page would be: vmemmap, or lowmem on 32 bit."""
        if era().bits == 32:
            return 0xD4350000 + self.pfn * 0x24
        return 0xFFFFEA0000000000 + self.pfn * 0x40

    def flag_names(self):
        """Names of the flags set now, in bit order."""
        return tuple(name for name, bit in self.PG.items() if self.v_flags >> bit & 1)

    def order_of_compound(self):
        """Of the compound page that it heads, 0 if it heads none; for reports."""
        if not self.v_flags & self.m_head:
            return 0
        first_tail = pfn_to_page(self.pfn + 1)
        return 0 if first_tail is None else first_tail.v_compound_order

    def snapshot(self):
        """The page as values, for a report."""
        mask = (1 << era().bits) - 1
        head = self.v_compound_head or self
        mapping = _address(self.v_mapping) | getattr(self.v_mapping, "mapping_flags", 0)
        next, prev = _address(self.lru.v_next), _address(self.lru.v_prev)
        if head is not self:
            next = head.address + 1  # the word is compound_head
        private = self.v_private if isinstance(self.v_private, int) else _address(self.v_private)
        index = self.v_index if isinstance(self.v_index, int) else _address(self.v_index)
        counts = (self.v__mapcount & 0xFFFFFFFF) | (self.v__refcount & 0xFFFFFFFF) << 32
        memcg = _address(self.v_mem_cgroup)
        raw = (self.v_flags, next, prev, mapping, index, private, counts, memcg)
        return PageSnapshot(
            pfn=self.pfn,
            era=era().name,
            ref=(head if era().version >= (5, 7) else self).v__refcount,
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
            order=head.order_of_compound(),
            address=self.address,
            head=head.address,
            raw=tuple(word & (mask if i != 6 else (1 << 64) - 1) for i, word in enumerate(raw)),
            history=tuple(self.history),
        )


def _address(obj):
    return getattr(obj, "address", 0) if obj is not None else 0


class _TAIL_MAPPING:
    """What stands in ``mapping`` of a tail: poison, so that who looks there is found out."""

    @property
    def address(self):
        return (0x400 + (era().poison1 & ~0xFFF)) & (1 << era().bits) - 1


TAIL_MAPPING = _TAIL_MAPPING()


def _page_class(name, flags, **more):
    bits = {flag: bit for bit, flag in enumerate(flags.split())}
    masks = {f"m_{flag}": 1 << bit for flag, bit in bits.items()}
    masks["m_isolated"] = masks["m_reclaim"]  # PG_isolated and PG_readahead share the bit
    masks["m_swapcache"] = masks.get("m_swapcache", masks["m_owner_priv_1"])
    masks["m_waiters"] = masks.get("m_waiters", 0)  # none in 3.13
    masks["m_workingset"] = masks.get("m_workingset", 0)
    at_free = sum(masks[f"m_{flag}"] for flag in _CHECK_AT_FREE)
    at_prep = (1 << len(bits)) - 1
    extra = {"PG": bits, "PAGE_FLAGS_CHECK_AT_FREE": at_free, "PAGE_FLAGS_CHECK_AT_PREP": at_prep}
    return type(name, (page,), {**masks, **extra, **more})


PAGE_CLASSES = {
    "3.13": _page_class("page", _FLAGS_3_13, has_policies=False),
    "4.19": _page_class("page", _FLAGS_4_19),
    "5.4": _page_class("page", _FLAGS_5),
    **dict.fromkeys(("5.9", "5.10", "5.11", "5.16", "5.17"), _page_class("page", _FLAGS_5)),
}


_LOOKS_FOR_HEAD = Op(READ_ONCE, "compound_head")
_head = attrgetter("v_compound_head")


# -- flags ------------------------------------------------------------------------------------
#
# As in C, a macro makes each function, and says which operation it is; the line that uses the macro
# says which bit, and with which policy the page is found that has the flag:
#
#   PF_ANY         the page itself
#   PF_HEAD        the head of the compound page it belongs to: one more load
#   PF_NO_TAIL     the same; changing it through a tail is an error
#   PF_ONLY_HEAD   the page itself, which must not be a tail
#
# The errors are looked for with DEBUG_VM_PGFLAGS only.  3.13 has no policies.  From 5.16 on much of
# the kernel holds folios, which are never tails, and skips the load of ``compound_head`` that the
# functions below make all the same.


@cite("include/linux/mmdebug.h", "5.4")
def VM_BUG_ON_PGFLAGS(condition, text, page):
    """VM_BUG_ON_PAGE() of its own option.  Its line would be that of the flag's macro."""
    if IS_ENABLED("DEBUG_VM_PGFLAGS"):
        where = "include/linux/page-flags.h"
        VM_BUG_ON_PAGE(condition, text, page, "./" + where if era().version < (5, 0) else where)


@cite("include/linux/page-flags.h", "5.4")
def PF_ANY(page, enforce):
    """Every page has the flag for itself."""
    return page


@cite("include/linux/page-flags.h", "5.4")
def PF_HEAD(page, enforce):
    """The head has the flag for all."""
    if not page.has_policies:
        return page
    return compound_head(page)


@cite("include/linux/page-flags.h", "5.4")
def PF_NO_TAIL(page, enforce):
    """The head has the flag for all, and changes are made through it."""
    if not page.has_policies:
        return page
    if enforce:
        VM_BUG_ON_PGFLAGS(lambda: PageTail(page), "1 && PageTail(page)", page)
    return compound_head(page)


@cite("include/linux/page-flags.h", "5.4")
def PF_ONLY_HEAD(page, enforce):
    """Nobody asks a tail."""
    if page.has_policies:
        VM_BUG_ON_PGFLAGS(lambda: PageTail(page), "PageTail(page)", page)
    return page


def _load(page):
    return page.v_flags


def _store(page, value):
    page.v_flags = value


# What an operation does, as statements on the word and the bit's mask.  As text, since nothing is
# asked for more often than a flag: see in_line() of mmsim.model.struct.

_TEST = "return page.v_flags & mask != 0"
_SET = "page.v_flags |= mask"
_CLEAR = "page.v_flags &= ~mask"
_TEST_AND_SET = """
    old = page.v_flags
    page.v_flags = old | mask
    return old & mask != 0
"""
_TEST_AND_CLEAR = """
    old = page.v_flags
    page.v_flags = old & ~mask
    return old & mask != 0
"""

_FOUND_BY = {  # PF_HEAD in line; PF_NO_TAIL is the same where nothing is changed
    "head": """
    if page.has_policies:
        door.left -= 1
        head = page.v_compound_head if door.left >= 0 else door.slow(looks, page, load, page)
        if head is not None:
            page = head
""",
    "any": "",
    "policy": "page = policy(page, enforce)",
}

_OPERATION = """\
def effect(page, mask):
    EFFECT

def operation(page):
    FIND
    mask = page.RAW
    door.left -= 1
    if door.left < 0:
        return door.slow(op, page, effect, page, mask)
    EFFECT
"""

_FAILS = {
    "test_and_set": lambda flags, page, mask: flags & mask != 0,
    "test_and_clear": lambda flags, page, mask: flags & mask == 0,
}
_SHARED_BITS = {"isolated": "reclaim"}  # two flags, one bit


def bit_op(kind, name, **options):
    """An atomic operation on one flag."""
    bit = frozenset([_SHARED_BITS.get(name, name)])
    writes = NONE if kind is READ_ONCE else bit
    return Op(kind, "flags", reads=bit, writes=writes, label=f"flags:{name}", **options)


def _operation(kind, verb, effect, name, policy, enforce):
    """One access to the word ``flags``, of one bit."""
    in_line = {PF_ANY: "any", PF_HEAD: "head"} | ({} if enforce else {PF_NO_TAIL: "head"})
    find = in_line.get(policy, "policy")
    text = _OPERATION.replace("FIND", _FOUND_BY[find].strip()).replace("EFFECT", effect.strip())
    made = compiled(
        text,
        f"m_{name}",
        op=bit_op(kind, name, verb=verb, fails_on=_FAILS.get(verb)),
        policy=policy,
        enforce=enforce,
        looks=_LOOKS_FOR_HEAD,
        load=_head,
    )
    return made["operation"]


@cite("include/linux/page-flags.h", "5.4")
def TESTPAGEFLAG(name, policy):
    """PageX(): is it set?"""
    return _operation(READ_ONCE, "", _TEST, name, policy, False)


@cite("include/linux/page-flags.h", "5.4")
def SETPAGEFLAG(name, policy):
    """SetPageX(): atomic, no ordering."""
    return _operation(RMW_RELAXED, "set", _SET, name, policy, True)


@cite("include/linux/page-flags.h", "5.4")
def CLEARPAGEFLAG(name, policy):
    """ClearPageX(): atomic, no ordering."""
    return _operation(RMW_RELAXED, "clear", _CLEAR, name, policy, True)


@cite("include/linux/page-flags.h", "5.4")
def TESTSETFLAG(name, policy):
    """TestSetPageX(): the old value; fully ordered."""
    return _operation(RMW, "test_and_set", _TEST_AND_SET, name, policy, True)


@cite("include/linux/page-flags.h", "5.4")
def TESTCLEARFLAG(name, policy):
    """TestClearPageX(): the old value; fully ordered."""
    return _operation(RMW, "test_and_clear", _TEST_AND_CLEAR, name, policy, True)


@cite("include/linux/page-flags.h", "5.4")
def __SETPAGEFLAG(name, policy):
    """__SetPageX(): load and store of the whole word, with a point between."""
    mask = attrgetter(f"m_{name}")
    loads = Op(READ, "flags", label=f"flags:{name}")
    stores = Op(WRITE, "flags", label=f"flags:{name}")

    def set_nonatomic(page):
        page = policy(page, True)
        flags = access(loads, page, _load, page)
        access(stores, page, _store, page, flags | mask(page))

    return set_nonatomic


@cite("include/linux/page-flags.h", "5.4")
def __CLEARPAGEFLAG(name, policy):
    """__ClearPageX(): load and store of the whole word, with a point between."""
    mask = attrgetter(f"m_{name}")
    loads = Op(READ, "flags", label=f"flags:{name}")
    stores = Op(WRITE, "flags", label=f"flags:{name}")

    def clear_nonatomic(page):
        page = policy(page, True)
        flags = access(loads, page, _load, page)
        access(stores, page, _store, page, flags & ~mask(page))

    return clear_nonatomic


PageLocked = TESTPAGEFLAG("locked", PF_NO_TAIL)

PageWaiters = TESTPAGEFLAG("waiters", PF_ONLY_HEAD)
SetPageWaiters = SETPAGEFLAG("waiters", PF_ONLY_HEAD)
ClearPageWaiters = CLEARPAGEFLAG("waiters", PF_ONLY_HEAD)
__ClearPageWaiters = __CLEARPAGEFLAG("waiters", PF_ONLY_HEAD)

PageReferenced = TESTPAGEFLAG("referenced", PF_HEAD)
SetPageReferenced = SETPAGEFLAG("referenced", PF_HEAD)
ClearPageReferenced = CLEARPAGEFLAG("referenced", PF_HEAD)
TestClearPageReferenced = TESTCLEARFLAG("referenced", PF_HEAD)
__SetPageReferenced = __SETPAGEFLAG("referenced", PF_HEAD)

PageDirty = TESTPAGEFLAG("dirty", PF_HEAD)
SetPageDirty = SETPAGEFLAG("dirty", PF_HEAD)
ClearPageDirty = CLEARPAGEFLAG("dirty", PF_HEAD)
TestSetPageDirty = TESTSETFLAG("dirty", PF_HEAD)
TestClearPageDirty = TESTCLEARFLAG("dirty", PF_HEAD)

PageLRU = TESTPAGEFLAG("lru", PF_HEAD)
SetPageLRU = SETPAGEFLAG("lru", PF_HEAD)
ClearPageLRU = CLEARPAGEFLAG("lru", PF_HEAD)
TestClearPageLRU = TESTCLEARFLAG("lru", PF_HEAD)
__ClearPageLRU = __CLEARPAGEFLAG("lru", PF_HEAD)

PageActive = TESTPAGEFLAG("active", PF_HEAD)
SetPageActive = SETPAGEFLAG("active", PF_HEAD)
ClearPageActive = CLEARPAGEFLAG("active", PF_HEAD)
TestClearPageActive = TESTCLEARFLAG("active", PF_HEAD)
__ClearPageActive = __CLEARPAGEFLAG("active", PF_HEAD)

PageWorkingset = TESTPAGEFLAG("workingset", PF_HEAD)
SetPageWorkingset = SETPAGEFLAG("workingset", PF_HEAD)

PageSlab = TESTPAGEFLAG("slab", PF_NO_TAIL)
__SetPageSlab = __SETPAGEFLAG("slab", PF_NO_TAIL)
__ClearPageSlab = __CLEARPAGEFLAG("slab", PF_NO_TAIL)

PageSwapBacked = TESTPAGEFLAG("swapbacked", PF_NO_TAIL)
ClearPageSwapBacked = CLEARPAGEFLAG("swapbacked", PF_NO_TAIL)
__SetPageSwapBacked = __SETPAGEFLAG("swapbacked", PF_NO_TAIL)

PagePrivate = TESTPAGEFLAG("private", PF_ANY)
SetPagePrivate = SETPAGEFLAG("private", PF_ANY)
ClearPagePrivate = CLEARPAGEFLAG("private", PF_ANY)

PageWriteback = TESTPAGEFLAG("writeback", PF_NO_TAIL)
TestSetPageWriteback = TESTSETFLAG("writeback", PF_NO_TAIL)
TestClearPageWriteback = TESTCLEARFLAG("writeback", PF_NO_TAIL)
ClearPageWriteback = CLEARPAGEFLAG("writeback", PF_NO_TAIL)

PageReclaim = TESTPAGEFLAG("reclaim", PF_NO_TAIL)
SetPageReclaim = SETPAGEFLAG("reclaim", PF_NO_TAIL)
ClearPageReclaim = CLEARPAGEFLAG("reclaim", PF_NO_TAIL)
TestClearPageReclaim = TESTCLEARFLAG("reclaim", PF_NO_TAIL)

PageUnevictable = TESTPAGEFLAG("unevictable", PF_HEAD)
SetPageUnevictable = SETPAGEFLAG("unevictable", PF_HEAD)
ClearPageUnevictable = CLEARPAGEFLAG("unevictable", PF_HEAD)
TestClearPageUnevictable = TESTCLEARFLAG("unevictable", PF_HEAD)
__ClearPageUnevictable = __CLEARPAGEFLAG("unevictable", PF_HEAD)

PageMlocked = TESTPAGEFLAG("mlocked", PF_NO_TAIL)
SetPageMlocked = SETPAGEFLAG("mlocked", PF_NO_TAIL)
TestSetPageMlocked = TESTSETFLAG("mlocked", PF_NO_TAIL)
TestClearPageMlocked = TESTCLEARFLAG("mlocked", PF_NO_TAIL)
__SetPageMlocked = __SETPAGEFLAG("mlocked", PF_NO_TAIL)

PageHead = TESTPAGEFLAG("head", PF_ANY)
__SetPageHead = __SETPAGEFLAG("head", PF_ANY)

PageIsolated = TESTPAGEFLAG("isolated", PF_ANY)
__SetPageIsolated = __SETPAGEFLAG("isolated", PF_ANY)
__ClearPageIsolated = __CLEARPAGEFLAG("isolated", PF_ANY)

_uptodate = TESTPAGEFLAG("uptodate", PF_ANY)
_set_uptodate = SETPAGEFLAG("uptodate", PF_ANY)
_set_uptodate_nonatomic = __SETPAGEFLAG("uptodate", PF_ANY)
_swapcache = TESTPAGEFLAG("swapcache", PF_ANY)


@cite("include/linux/page-flags.h", "5.4")
def PageUptodate(page):
    """Is the page's content there?  What is read of it is read after the flag."""
    ret = _uptodate(compound_head(page))
    if ret:
        smp_rmb()
    return ret


@cite("include/linux/page-flags.h", "5.4")
def SetPageUptodate(page):
    """The page's content is there, and was written before the flag."""
    where = {"4.19": "./include/linux/page-flags.h:475", "5.4": "include/linux/page-flags.h:520"}
    VM_BUG_ON_PAGE(lambda: PageTail(page), "PageTail(page)", page, where)
    smp_wmb()
    _set_uptodate(page)


@cite("include/linux/page-flags.h", "5.4")
def __SetPageUptodate(page):
    """The same of a page nobody else can see: load and store of the whole word."""
    where = {"4.19": "./include/linux/page-flags.h:468", "5.4": "include/linux/page-flags.h:513"}
    VM_BUG_ON_PAGE(lambda: PageTail(page), "PageTail(page)", page, where)
    smp_wmb()
    _set_uptodate_nonatomic(page)


@cite("include/linux/page-flags.h", "5.4")
def PageSwapCache(page):
    """Is ``private`` a swap entry?  The bit means that only on a swap-backed page (4.10 on)."""
    if page.has_policies:
        page = compound_head(page)
        if not PageSwapBacked(page):
            return False
    return _swapcache(page)


@cite("include/linux/page-flags.h", "5.17")
def PageAnon(page):
    """Is ``mapping`` an anon_vma (or KSM)?"""
    page = PF_HEAD(page, False)
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
    door.left -= 1  # access() in line
    head = page.v_compound_head if door.left >= 0 else door.slow(_LOOKS_FOR_HEAD, page, _head, page)
    return head is not None


@cite("include/linux/page-flags.h", "5.17")
def PageCompound(page):
    """Head or tail of a compound page?"""
    return PageHead(page) or PageTail(page)


@cite("include/linux/page-flags.h", "5.17")
def compound_head(page):
    """The head of the compound page it belongs to, or itself."""
    door.left -= 1  # access() in line
    head = page.v_compound_head if door.left >= 0 else door.slow(_LOOKS_FOR_HEAD, page, _head, page)
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


@cite("include/linux/page_ref.h", "5.4")
def page_ref_count(page):
    """This page's own count."""
    return atomic_read(page, "_refcount")


@cite("include/linux/page_ref.h", "5.4")
def page_count(page):
    """References to the page, or to the compound page it belongs to.

    *Race:* any answer but our own reference may be stale.
    """
    return atomic_read(compound_head(page), "_refcount")


@cite("include/linux/page_ref.h", "5.17")
def set_page_count(page, n):
    """Store the count; only for pages nobody else can see."""
    atomic_set(page, "_refcount", n)


@cite("include/linux/mm.h", "5.4")
def get_page(page):
    """Take a reference; the caller has one already.  *Race:* none if so; from 0 it is a bug."""
    page = compound_head(page)

    def zero_or_close_to_overflow():
        return -127 <= page_ref_count(page) <= 0

    if era().version < (5, 16):
        text = "page_ref_zero_or_close_to_overflow(page)"
        where = {"4.19": "./include/linux/mm.h:924", "5.4": "include/linux/mm.h:1035"}
        VM_BUG_ON_PAGE(zero_or_close_to_overflow, text, page, where)
    else:
        text = "folio_ref_zero_or_close_to_overflow(folio)"
        where = {"5.17": "include/linux/mm.h:1160"}
        VM_BUG_ON_FOLIO(zero_or_close_to_overflow, text, page, where)
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
    """Undo page_ref_freeze(): a release, so that who gets in sees what was done meanwhile."""
    smp_store_release(page, "_refcount", count)  # atomic_set_release()


@cite("include/linux/mm.h", "5.4")
def page_mapped(page):
    """Does any pte map it?  (Here the head has one ``_mapcount`` for all of a compound page.)"""
    if page.has_policies and PageCompound(page):
        page = compound_head(page)
    return atomic_read(page, "_mapcount") >= 0
