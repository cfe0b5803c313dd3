# SPDX-License-Identifier: GPL-2.0-only
"""The walk of 5.17: first a reference, then PG_lru, then the lock (mm/compaction.c).

Since 5.11 the lock is the lruvec's, and which lruvec it is depends on the page's memcg, so the page
has to be pinned and its PG_lru taken before the lock can even be named.  A page that fails from
there on is put, and that put may be the last: hence never under the lock.

The pinned-page check is where it always was, before the reference.  It may still be asking a slab
how often it is mapped; since 5.7 that is no longer an offence.

(Hints which blocks to skip, contiguous allocation and hugetlb pages are not modelled.)
"""

from errno import EAGAIN

from mmsim.compaction import (
    COMPACT_CLUSTER_MAX,
    CONTINUE,
    GFP_FS,
    ISOLATE_FAIL,
    ISOLATE_FAIL_PUT,
    ISOLATE_SUCCESS,
    MIGRATE_ASYNC,
    _trace_isolated,
    _trace_precheck,
    block_end_pfn,
    congestion_wait,
    too_many_isolated,
)
from mmsim.engine.door import door
from mmsim.linux.atomic import atomic_add
from mmsim.linux.list import list_add
from mmsim.linux.sched import cond_resched
from mmsim.linux.spinlock import spin_lock_irqsave, spin_trylock_irqsave
from mmsim.lru import put_page
from mmsim.memcontrol import folio_lruvec, lruvec_memcg_debug, unlock_page_lruvec_irqrestore
from mmsim.memory_model import pfn_to_page
from mmsim.migrate_movable import isolate_movable_page, putback_movable_pages
from mmsim.mmzone import MAX_ORDER, del_page_from_lru_list
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.page import (
    PageBuddy,
    PageCompound,
    PageIsolated,
    PageLRU,
    SetPageLRU,
    TestClearPageLRU,
    __PageMovable,
    get_page_unless_zero,
    page_count,
)
from mmsim.util import compound_order, page_mapcount, page_mapping
from mmsim.vmscan import __isolate_lru_page_prepare


@cite("mm/compaction.c", "5.17", thread="001")
def compact_lock_irqsave(lock, cc):
    """flags.  Asynchronous compaction notes that it had to wait, once, and waits all the same."""
    if cc.mode == MIGRATE_ASYNC and not cc.contended:
        taken, flags = spin_trylock_irqsave(lock)
        if not taken:
            cc.contended = True
            flags = spin_lock_irqsave(lock)
    else:
        flags = spin_lock_irqsave(lock)
    door.machine.count("lru_lock_holds")
    return flags


def _pinned_v5_17(page):
    """Anonymous, with more references than ptes?  *Race:* as in 4.19; the assertion has gone."""
    pinned = page_mapping(page) is None and page_count(page) > page_mapcount(page)
    _trace_precheck(page, pinned, 0)
    return pinned


@cite("mm/compaction.c", "5.11..5.17", thread="001")
def isolate_migratepages_block_v5_17(cc, low_pfn, end_pfn, isolate_mode):
    """Isolate what can be migrated in [low_pfn, end_pfn), onto cc->migratepages.

    0, or -EAGAIN if nothing was done; cc->migrate_pfn is the first frame not scanned.
    *Locks:* takes lruvec locks, interrupts off, one at a time, and drops them every 32 frames; may
    sleep.  *Race:* everything before the get may be about another owner; TestClearPageLRU is the
    arbiter.
    """
    pgdat = cc.pgdat
    nr_isolated = 0
    flags = False
    locked = None
    skip_on_failure = False
    next_skip_pfn = 0

    cc.migrate_pfn = low_pfn
    while too_many_isolated(pgdat):
        if cc.nr_migratepages:
            return -EAGAIN
        if cc.mode == MIGRATE_ASYNC:
            return -EAGAIN
        congestion_wait()
    cond_resched()
    if cc.direct_compaction and cc.mode == MIGRATE_ASYNC:
        skip_on_failure = True
        next_skip_pfn = block_end_pfn(low_pfn, cc.order)

    low_pfn -= 1
    while (low_pfn := low_pfn + 1) < end_pfn:
        if skip_on_failure and low_pfn >= next_skip_pfn:
            if nr_isolated:
                break
            next_skip_pfn = block_end_pfn(low_pfn, cc.order)
        if low_pfn % COMPACT_CLUSTER_MAX == 0:
            if locked is not None:
                unlock_page_lruvec_irqrestore(locked, flags)
                locked = None
            cond_resched()

        page = pfn_to_page(low_pfn)
        goto = ISOLATE_FAIL
        while True:  # the checks: ``break`` goes to the label
            if page is None:
                break
            if PageBuddy(page):
                freepage_order = page.private  # buddy_order_unsafe(): it may be no order any more
                if isinstance(freepage_order, int) and 0 < freepage_order < MAX_ORDER:
                    low_pfn += (1 << freepage_order) - 1
                goto = CONTINUE
                break
            if PageCompound(page):
                order = compound_order(page)
                if order < MAX_ORDER:
                    low_pfn += (1 << order) - 1
                break
            if not PageLRU(page):
                if __PageMovable(page) and not PageIsolated(page):
                    if locked is not None:
                        unlock_page_lruvec_irqrestore(locked, flags)
                        locked = None
                    if isolate_movable_page(page, isolate_mode):
                        goto = ISOLATE_SUCCESS
                break
            if _pinned_v5_17(page):
                break
            if not cc.gfp_mask & GFP_FS and page_mapping(page) is not None:
                break
            # the release path relies on PG_lru: a reference first, then the bit
            if not get_page_unless_zero(page):
                break
            goto = ISOLATE_FAIL_PUT
            if __isolate_lru_page_prepare(page, isolate_mode) != 0:
                break
            if not TestClearPageLRU(page):
                break
            lruvec = folio_lruvec(page)
            if lruvec is not locked:
                if locked is not None:
                    unlock_page_lruvec_irqrestore(locked, flags)
                flags = compact_lock_irqsave(lruvec.lru_lock, cc)
                locked = lruvec
                lruvec_memcg_debug(lruvec, page)
                # on the LRU and compound: a THP, whose order is safe to read
                if PageCompound(page):
                    low_pfn += (1 << compound_order(page)) - 1
                    SetPageLRU(page)
                    break
            if PageCompound(page):
                low_pfn += (1 << compound_order(page)) - 1
            del_page_from_lru_list(page, lruvec)
            atomic_add(pgdat, "vmstat_isolated", 1 << compound_order(page))
            _trace_isolated(page)
            goto = ISOLATE_SUCCESS
            break

        if goto is CONTINUE:
            continue
        if goto is ISOLATE_SUCCESS:
            list_add(page.lru, cc.migratepages)
            nr_pages = 1 << compound_order(page)
            cc.nr_migratepages += nr_pages
            nr_isolated += nr_pages
            # a block that is scanned again is taken as a whole, however many that are
            enough = cc.nr_migratepages >= COMPACT_CLUSTER_MAX
            if enough and not cc.rescan and not cc.contended:
                low_pfn += 1
                break
            continue
        if goto is ISOLATE_FAIL_PUT:
            # the put may be the last, and would take the lock
            if locked is not None and not patched("fail-put-locked"):
                unlock_page_lruvec_irqrestore(locked, flags)
                locked = None
            put_page(page)
        if not skip_on_failure:
            continue
        if nr_isolated:
            if locked is not None:
                unlock_page_lruvec_irqrestore(locked, flags)
                locked = None
            putback_movable_pages(cc.migratepages)
            cc.nr_migratepages = 0
            nr_isolated = 0
        if low_pfn < next_skip_pfn:
            low_pfn = next_skip_pfn - 1
            next_skip_pfn += 1 << cc.order

    low_pfn = min(low_pfn, end_pfn)
    if locked is not None:
        unlock_page_lruvec_irqrestore(locked, flags)
    cc.migrate_pfn = low_pfn
    return 0
