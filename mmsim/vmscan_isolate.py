# SPDX-License-Identifier: GPL-2.0-only
"""Taking pages off the LRU (mm/vmscan.c, 4.19 to 5.17): where the two sides of thread 000 meet.

Reclaim finds a page by its place on a list and has no reference to it; the page may be on its way
to be freed.  So it takes one *unless the count is 0*, and only then touches PG_lru.  If the count
is 0 it moves the page aside, which changes neighbours and not membership, and the release path
never notices.

As in C, 0 is success, -EBUSY and -EINVAL are reasons.
"""

from errno import EBUSY, EINVAL

from mmsim.filemap import unlock_page
from mmsim.linux.atomic import atomic_dec, atomic_inc, atomic_inc_return
from mmsim.linux.bug import BUG, VM_BUG_ON_FOLIO, VM_BUG_ON_PAGE
from mmsim.linux.list import (
    list_empty,
    list_move,
)
from mmsim.linux.spinlock import spin_lock_irq, spin_unlock_irq
from mmsim.lru import put_page
from mmsim.memcontrol import (
    folio_lruvec_lock_irq,
    mem_cgroup_page_lruvec,
    unlock_page_lruvec_irq,
)
from mmsim.mm_inline import lru_to_page
from mmsim.mmzone import (
    del_page_from_lru_list,
    page_lru,
    page_pgdat,
    update_lru_size,
)
from mmsim.model.cite import cite
from mmsim.model.era import by_version
from mmsim.model.gate import patched
from mmsim.page import (
    ClearPageLRU,
    PageDirty,
    PageLRU,
    PageUnevictable,
    PageWriteback,
    SetPageLRU,
    TestClearPageLRU,
    get_page,
    get_page_unless_zero,
    page_count,
    page_mapped,
)
from mmsim.pagemap import trylock_page
from mmsim.util import page_mapping

ISOLATE_UNMAPPED = 0x2
ISOLATE_ASYNC_MIGRATE = 0x4
ISOLATE_UNEVICTABLE = 0x8


@cite("mm/vmscan.c", "5.17", thread="000")
def __isolate_lru_page_prepare(page, mode):
    """Is it worth isolating?  0, -EINVAL (not on the LRU after all) or -EBUSY (not now).

    (5.17's answers yes or no; nobody there asks why.)
    *Locks:* none needed.  *Race:* every answer may be stale; those that matter are asked again.
    """
    if not PageLRU(page):
        return -EINVAL
    if PageUnevictable(page) and not mode & ISOLATE_UNEVICTABLE:
        return -EINVAL
    if mode & ISOLATE_ASYNC_MIGRATE:
        if PageWriteback(page):
            return -EBUSY
        if PageDirty(page):
            # only pages that can be migrated without writing them first
            if not trylock_page(page):
                return -EBUSY
            mapping = page_mapping(page)
            migrate_dirty = mapping is None or getattr(mapping.a_ops, "migratepage", None)
            unlock_page(page)
            if not migrate_dirty:
                return -EBUSY
    if mode & ISOLATE_UNMAPPED and page_mapped(page):
        return -EBUSY
    return 0


@cite("mm/vmscan.c", "5.4", thread="000")
def __isolate_lru_page(page, mode=0):
    """Take a reference and clear PG_lru: 0, -EINVAL or -EBUSY.

    *Locks:* lru_lock.  *Race:* the count may be 0 with PG_lru set.  The mutations are four ways to
    deal with that, two of which the kernel had: until 2.6.6 the count was tested and then
    incremented, from 2.6.7 to 2.6.16 incremented, tested and taken back.
    """
    ret = __isolate_lru_page_prepare(page, mode)
    if ret:
        return ret
    if patched("isolate-plain-get"):
        atomic_inc(page, "_refcount")  # page_ref_inc()
        ClearPageLRU(page)
        return 0
    if patched("isolate-count-then-get"):
        ClearPageLRU(page)
        if page_count(page) == 0:
            # it is in release_pages() at the moment
            SetPageLRU(page)
            return -EBUSY
        atomic_inc(page, "_refcount")
        return 0
    if patched("isolate-testone"):
        ClearPageLRU(page)
        if atomic_inc_return(page, "_refcount") != 1:
            return 0
        atomic_dec(page, "_refcount")
        SetPageLRU(page)
        return -EBUSY
    if patched("isolate-testclear-first"):
        ClearPageLRU(page)
        if get_page_unless_zero(page):
            return 0
        SetPageLRU(page)
        return -EBUSY
    # not before we are sure that it is not being freed: the release path relies on PG_lru
    if get_page_unless_zero(page):
        ClearPageLRU(page)
        return 0
    return -EBUSY


@cite("mm/vmscan.c", "4.19..5.10", thread="000")
def isolate_lru_pages_v5_4(nr_to_scan, lruvec, dst, lru, mode=0):
    """Move up to ``nr_to_scan`` pages from the end of a list to a private one; the number moved.

    *Locks:* lru_lock, interrupts off.  *Race:* a page without references goes to the front of the
    list, where the release path finds it with new neighbours.
    """
    src = lruvec.lists[lru]
    nr_taken = 0
    scan = 0
    while scan < nr_to_scan and not list_empty(src):
        page = lru_to_page(src)
        VM_BUG_ON_PAGE(
            lambda p=page: not PageLRU(p), "!PageLRU(page)", page,
            {"4.19": "mm/vmscan.c:1674", "5.4": "mm/vmscan.c:1708"},
        )
        scan += 1
        ret = __isolate_lru_page(page, mode)
        if ret == 0:
            nr_taken += 1
            list_move(page.lru, dst)
        elif ret == -EBUSY:
            # it is being freed elsewhere, or otherwise not to be had
            list_move(page.lru, src)
        else:
            BUG({"4.19": "mm/vmscan.c:1703", "5.4": "mm/vmscan.c:1743"})
    update_lru_size(lruvec, lru, -nr_taken)
    return nr_taken


@cite("mm/vmscan.c", "5.11..5.17", thread="000")
def isolate_lru_pages_v5_17(nr_to_scan, lruvec, dst, lru, mode=0):
    """Move up to ``nr_to_scan`` pages from the end of a list to a private one; the number moved.

    *Locks:* the lruvec's, interrupts off.  *Race:* others clear PG_lru without that lock, so it is
    tested and cleared in one; a page without references goes to the front of the list.
    """
    src = lruvec.lists[lru]
    nr_taken = 0
    scan = 0
    while scan < nr_to_scan and not list_empty(src):
        page = lru_to_page(src)
        scan += 1
        if __isolate_lru_page_prepare(page, mode):
            list_move(page.lru, src)
            continue
        if patched("isolate-testclear-first"):
            if not TestClearPageLRU(page):
                list_move(page.lru, src)
                continue
            if not get_page_unless_zero(page):
                SetPageLRU(page)
                list_move(page.lru, src)
                continue
        else:
            if patched("isolate-plain-get"):
                atomic_inc(page, "_refcount")  # page_ref_inc()
            # not before we are sure that it is not being freed: the release path relies on PG_lru
            elif not get_page_unless_zero(page):
                list_move(page.lru, src)
                continue
            if not TestClearPageLRU(page):
                # somebody else is isolating it
                put_page(page)
                list_move(page.lru, src)
                continue
        nr_taken += 1
        list_move(page.lru, dst)
    update_lru_size(lruvec, lru, -nr_taken)
    return nr_taken


isolate_lru_pages = by_version(isolate_lru_pages_v5_4, isolate_lru_pages_v5_17)


# -- one page at a time ---------------------------------------------------------------------------


@cite("mm/vmscan.c", "4.19..5.10", thread="000")
def isolate_lru_page_v5_4(page):
    """Isolate a page one has a reference to: 0, or -EBUSY if it is not on the LRU.

    *Locks:* takes lru_lock, interrupts off.  *Race:* PG_lru is looked at again under it.
    """
    ret = -EBUSY
    VM_BUG_ON_PAGE(
        lambda: not page_count(page), "!page_count(page)", page,
        {"4.19": "mm/vmscan.c:1763", "5.4": "mm/vmscan.c:1803"},
    )
    if PageLRU(page):
        pgdat = page_pgdat(page)
        spin_lock_irq(pgdat.lru_lock)
        lruvec = mem_cgroup_page_lruvec(page, pgdat)
        if PageLRU(page):
            lru = page_lru(page)
            get_page(page)
            ClearPageLRU(page)
            del_page_from_lru_list(page, lruvec, lru)
            ret = 0
        spin_unlock_irq(pgdat.lru_lock)
    return ret


@cite("mm/vmscan.c", "5.11..5.17", thread="000")
def folio_isolate_lru(page):
    """Isolate a page one has a reference to: 0, or -EBUSY if it is not on the LRU.

    *Locks:* takes the lruvec's, interrupts off.  *Race:* PG_lru is cleared before the lruvec is
    read, so the memcg cannot change in between: I4.
    """
    VM_BUG_ON_FOLIO(
        lambda: not page_count(page), "!folio_ref_count(folio)", page, {"5.17": "mm/vmscan.c:2244"}
    )
    ret = -EBUSY
    if TestClearPageLRU(page):
        get_page(page)
        lruvec = folio_lruvec_lock_irq(page)
        del_page_from_lru_list(page, lruvec)
        unlock_page_lruvec_irq(lruvec)
        ret = 0
    return ret


isolate_lru_page = by_version(isolate_lru_page_v5_4, folio_isolate_lru)
