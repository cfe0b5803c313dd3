# SPDX-License-Identifier: GPL-2.0-only
"""The walk of 5.17: first a reference, then PG_lru, then the lock (mm/compaction.c).

Since 5.11 the lock is the lruvec's, and which lruvec it is depends on the page's memcg, so the page
has to be pinned and its PG_lru taken before the lock can even be named.  A page that fails from
there on is put, and that put may be the last: hence never under the lock.

The pinned-page check is where it always was, before the reference.  It may still be asking a slab
how often it is mapped; since 5.7 that is no longer an offence.

(Hints which blocks to skip, contiguous allocation and hugetlb pages are not modelled.)
"""

from mmsim.compaction import (
    COMPACT_CLUSTER_MAX,
    FAILED,
    FAILED_PUT,
    GFP_FS,
    ISOLATED,
    MIGRATE_ASYNC,
    SKIPPED,
    _trace_isolated,
    _trace_precheck,
    block_end_pfn,
    block_scan,
    congestion_wait,
    give_up_block,
    pinned,
    too_many_isolated,
    unlock,
)
from mmsim.engine.door import door
from mmsim.linux.atomic import atomic_add
from mmsim.linux.list import list_add
from mmsim.linux.sched import cond_resched
from mmsim.linux.spinlock import spin_lock_irqsave, spin_trylock_irqsave
from mmsim.lru import put_page
from mmsim.memcontrol import folio_lruvec, lruvec_memcg_debug
from mmsim.memory_model import pfn_to_page
from mmsim.migrate_movable import isolate_movable_page
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
)
from mmsim.util import compound_order, page_mapping
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


@cite("mm/compaction.c", "5.17", thread="001", symbol="isolate_migratepages_block")
def looks_pinned_v5_17(page):
    """Anonymous, with more references than ptes?  *Locks:* none.  *Race:* as in 4.19."""
    return page_mapping(page) is None and pinned(page, 0)


@cite("mm/compaction.c", "5.17", thread="001", symbol="isolate_migratepages_block")
def isolate_page_v5_17(cc, scan, page, isolate_mode):
    """What the loop does with one page: one of the words of compaction.py.

    *Locks:* a lruvec's lock is held or not, before and after: ``scan.locked``.
    *Race:* everything before the get may be about another owner; TestClearPageLRU is the arbiter.
    """
    if PageBuddy(page):
        order = page.private
        if isinstance(order, int) and 0 < order < MAX_ORDER:
            scan.low_pfn += (1 << order) - 1
        return SKIPPED
    if PageCompound(page):
        order = compound_order(page)
        if order < MAX_ORDER:
            scan.low_pfn += (1 << order) - 1
        return FAILED
    if not PageLRU(page):
        if __PageMovable(page) and not PageIsolated(page):
            unlock(scan)
            if isolate_movable_page(page, isolate_mode):
                return ISOLATED
        return FAILED
    skip = looks_pinned_v5_17(page)
    _trace_precheck(page, skip, 0)
    if skip:
        return FAILED
    if not cc.gfp_mask & GFP_FS and page_mapping(page) is not None:
        return FAILED
    # the release path relies on PG_lru: a reference first, then the bit
    if not get_page_unless_zero(page):
        return FAILED
    if __isolate_lru_page_prepare(page, isolate_mode) != 0:
        return FAILED_PUT
    if not TestClearPageLRU(page):
        return FAILED_PUT
    lruvec = folio_lruvec(page)
    if scan.locked is not lruvec.lru_lock:
        unlock(scan)
        scan.flags = compact_lock_irqsave(lruvec.lru_lock, cc)
        scan.locked = lruvec.lru_lock
        lruvec_memcg_debug(lruvec, page)
        if PageCompound(page):
            # on the LRU and compound: a THP, whose order is safe to read
            scan.low_pfn += (1 << compound_order(page)) - 1
            SetPageLRU(page)
            return FAILED_PUT
    del_page_from_lru_list(page, lruvec)
    atomic_add(cc.pgdat, "vmstat_isolated", 1)
    _trace_isolated(page)
    return ISOLATED


@cite("mm/compaction.c", "5.17", thread="001")
def isolate_migratepages_block_v5_17(cc, low_pfn, end_pfn, isolate_mode):
    """Isolate what can be migrated in [low_pfn, end_pfn), onto cc->migratepages.

    The first frame not scanned; 0 if nothing was done.  *Locks:* takes lruvec locks, interrupts
    off, one at a time, and drops them every 32 frames; may sleep.
    """
    scan = block_scan(low_pfn)
    while too_many_isolated(cc.pgdat):
        if cc.mode == MIGRATE_ASYNC:
            return 0
        congestion_wait()
    cond_resched()
    skip_on_failure = cc.direct_compaction and cc.mode == MIGRATE_ASYNC
    next_skip_pfn = block_end_pfn(low_pfn, cc.order) if skip_on_failure else 0
    while scan.low_pfn < end_pfn:
        if skip_on_failure and scan.low_pfn >= next_skip_pfn:
            if scan.nr_isolated:
                break
            next_skip_pfn = block_end_pfn(scan.low_pfn, cc.order)
        if scan.low_pfn % COMPACT_CLUSTER_MAX == 0:
            unlock(scan)
            cond_resched()
        page = pfn_to_page(scan.low_pfn)
        found = FAILED if page is None else isolate_page_v5_17(cc, scan, page, isolate_mode)
        if found is ISOLATED:
            list_add(page.lru, cc.migratepages)
            cc.nr_migratepages += 1
            scan.nr_isolated += 1
            if cc.nr_migratepages >= COMPACT_CLUSTER_MAX and not cc.contended:
                scan.low_pfn += 1
                break
        if found is FAILED_PUT:
            if not patched("fail-put-locked"):
                unlock(scan)  # the put may be the last, and would take the lock
            put_page(page)
            found = FAILED
        if found is FAILED and skip_on_failure:
            next_skip_pfn = give_up_block(cc, scan, next_skip_pfn)
        scan.low_pfn += 1
    unlock(scan)
    return min(scan.low_pfn, end_pfn)
