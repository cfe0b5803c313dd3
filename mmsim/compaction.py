# SPDX-License-Identifier: GPL-2.0-only
"""Compaction's walk by page frame number (mm/compaction.c, 4.19; 5.17's in compaction_v5_17.py).

The scanner visits every page frame of a block, whoever owns it, and takes a lock only for pages
that look worth it.  So each look before the lock may be at another owner than the one before:

    PageBuddy? PageCompound? PG_lru?          | the page may be freed
    page_mapping, page_count, page_mapcount   | and be a slab before the last of these
    GFP_NOFS: anonymous?                      | or back on the LRU
    lru_lock, PG_lru and PageCompound again   : from here on it cannot leave the LRU
    get unless zero, clear PG_lru, unlink

While the lock is held from the page before, nothing can happen between these lines: to free a page
that is on the LRU one needs the same lock.  The window of thread 001 is open only for the first
page after a lock drop.

What a wrong look costs is one page wrongly skipped, or one lock taken for nothing.  Whether it also
costs a machine depends on what the functions it calls assert.
"""

from mmsim.engine.door import door
from mmsim.linux.atomic import atomic_add, atomic_read
from mmsim.linux.bug import VM_BUG_ON_PAGE
from mmsim.linux.list import LIST_HEAD, list_add
from mmsim.linux.sched import (
    TASK_UNINTERRUPTIBLE,
    cond_resched,
    schedule_timeout,
    set_current_state,
)
from mmsim.linux.spinlock import spin_lock_irqsave, spin_trylock_irqsave, spin_unlock_irqrestore
from mmsim.lru import put_page
from mmsim.memcontrol import mem_cgroup_page_lruvec
from mmsim.memory_model import pfn_to_page
from mmsim.migrate_movable import isolate_movable_page, putback_movable_pages
from mmsim.mmzone import MAX_ORDER, SWAP_CLUSTER_MAX, del_page_from_lru_list, page_lru
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.model.gate import patched
from mmsim.page import (
    ClearPageLRU,
    PageAnon,
    PageBuddy,
    PageCompound,
    PageIsolated,
    PageLRU,
    PageSlab,
    PageSwapCache,
    __PageMovable,
    get_page_unless_zero,
    page_count,
)
from mmsim.util import compound_order, page_mapcount, page_mapping
from mmsim.vmscan import __isolate_lru_page

MIGRATE_ASYNC = 0
MIGRATE_SYNC_LIGHT = 1
MIGRATE_SYNC = 2

GFP_FS = 0x80  # __GFP_FS: may call into the file system
GFP_NOFS = 0x40  # __GFP_IO
GFP_KERNEL = GFP_NOFS | GFP_FS

COMPACT_CLUSTER_MAX = SWAP_CLUSTER_MAX
pageblock_nr_pages = 2  # 512 in the kernel; lru_lock is dropped between blocks

# what became of one page: where C has goto and break
ISOLATED = "isolate_success"
FAILED = "isolate_fail"
FAILED_PUT = "isolate_fail_put"
SKIPPED = "continue"
ABORTED = "break"


class compact_control:
    """One compaction: who asked, how hard it may try, and what it has isolated so far."""

    def __init__(self, pgdat, mode=MIGRATE_SYNC_LIGHT, gfp_mask=GFP_KERNEL, order=1, direct=False):
        self.pgdat = pgdat
        self.mode = mode
        self.gfp_mask = gfp_mask
        self.order = order
        self.direct_compaction = direct
        self.contended = False
        self.migratepages = LIST_HEAD("cc->migratepages")
        self.nr_migratepages = 0
        self.migrate_pfn = kernel().mem_map[0].pfn
        self.last_migrated_pfn = 0


class block_scan:
    """The locals of isolate_migratepages_block(): where it is, and whether it has the lock."""

    def __init__(self, low_pfn):
        self.low_pfn = low_pfn
        self.locked = None
        self.flags = False
        self.nr_isolated = 0


def _trace_precheck(page, skip, own):
    """A trace point: what the pinned-page check said.  Whoever listens looks without points."""
    tracer = getattr(kernel(), "compaction_trace", None)
    if tracer is not None:
        tracer.precheck(page, skip, own)


def _trace_refused(page):
    """A trace point: the first patch's second comparison turned a page away."""
    tracer = getattr(kernel(), "compaction_trace", None)
    if tracer is not None:
        tracer.refused(page)


def _trace_isolated(page):
    """A trace point: a page was taken off the LRU."""
    tracer = getattr(kernel(), "compaction_trace", None)
    if tracer is not None:
        tracer.isolated(page)


@cite("include/linux/compaction.h", "4.19", thread="001")
def block_end_pfn(pfn, order):
    """End of the naturally aligned block of that order."""
    return (pfn | (1 << order) - 1) + 1


@cite("mm/compaction.c", "4.19", thread="001")
def too_many_isolated(pgdat):
    """Are more pages isolated than half of what is on the lists?  (Unevictable ones aside.)"""
    isolated = atomic_read(pgdat, "vmstat_isolated")
    if not isolated:
        return False
    listed = 0
    for memcg in kernel().memcgs:
        lruvec = memcg.lruvecs[pgdat.node_id]
        for lru in range(4):
            listed += atomic_read(lruvec, f"size{lru}")
    return isolated > listed // 2


@cite("mm/backing-dev.c", "4.19")
def congestion_wait():
    """A tenth of a second, virtual."""
    set_current_state(TASK_UNINTERRUPTIBLE)
    schedule_timeout(0.1)


@cite("mm/compaction.c", "4.19", thread="001")
def compact_trylock_irqsave(lock, cc):
    """(taken, flags).  Asynchronous compaction never spins: it gives up and says so.

    *Locks:* takes ``lock`` with interrupts off.
    """
    if cc.mode == MIGRATE_ASYNC:
        taken, flags = spin_trylock_irqsave(lock)
        if not taken:
            cc.contended = True
            return False, flags
    else:
        flags = spin_lock_irqsave(lock)
    door.machine.count("lru_lock_holds")
    return True, flags


@cite("mm/compaction.c", "4.19", thread="001", symbol="isolate_migratepages_block")
def unlock(scan):
    """Drop lru_lock if it is held."""
    if scan.locked is not None:
        spin_unlock_irqrestore(scan.locked, scan.flags)
        scan.locked = None


@cite("mm/compaction.c", "4.19", thread="001")
def compact_unlock_should_abort(scan, cc):
    """Let interrupts in every so often; the lock is not taken back.

    (There are no signals here, and when to reschedule is the policy's to say.)
    """
    unlock(scan)
    if cc.mode != MIGRATE_ASYNC:
        cond_resched()
    return False


@cite("mm/compaction.c", "4.19", thread="001", symbol="isolate_migratepages_block")
def pinned(page, own):
    """The comparison itself: more references than ptes, ``own`` of them ours."""
    return page_count(page) - own > page_mapcount(page)


@cite("mm/compaction.c", "4.19", thread="001", symbol="isolate_migratepages_block")
def looks_pinned_v4_19(page, own):
    """The admittedly racy check: is it anonymous and has it references that no pte explains?

    Then it cannot be migrated, and lru_lock is not worth taking.  *Locks:* none, or lru_lock.
    *Race:* the window of thread 001: the page may be anything by the time of page_mapcount().
    """
    if patched("v1-opencode"):
        if PageCompound(page):
            return False
        count = page_count(page) - own
        mapcount = atomic_read(page, "_mapcount") + 1
        return count > mapcount + (not PageAnon(page) or PageSwapCache(page))
    if page_mapping(page) is not None:
        return False
    if patched("pageslab-precheck") and PageSlab(page):
        return True
    if patched("get-first-no-minus-one"):
        own = 0
    return pinned(page, own)


@cite("mm/compaction.c", "4.19", thread="001", symbol="isolate_migratepages_block")
def isolate_page_v4_19(cc, scan, page, isolate_mode):
    """What the loop does with one page: one of the words above.

    *Locks:* lru_lock is held or not, before and after: ``scan.locked``.
    *Race:* see the top of the file; the lines before the lock are the window.
    """
    pgdat = cc.pgdat
    got = 0
    if PageBuddy(page):
        order = page.private  # page_order_unsafe: it may be no order any more
        if isinstance(order, int) and 0 < order < MAX_ORDER:
            scan.low_pfn += (1 << order) - 1
        return SKIPPED
    if patched("compound-after-get"):
        if not get_page_unless_zero(page):
            return FAILED
        got = 1
        if PageCompound(page):
            return FAILED_PUT
    else:
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
        if patched("get-first"):
            if not get_page_unless_zero(page):
                return FAILED
            got = 1
            if not patched("get-first-norecheck") and not PageLRU(page):
                return FAILED_PUT
    fail = FAILED_PUT if got else FAILED
    if not patched("check-under-lock"):
        skip = looks_pinned_v4_19(page, got)
        _trace_precheck(page, skip, got)
        if skip:
            return fail
    if not cc.gfp_mask & GFP_FS and page_mapping(page) is not None:
        return fail
    if scan.locked is None:
        taken, scan.flags = compact_trylock_irqsave(pgdat.lru_lock, cc)
        if not taken:
            if got:
                put_page(page)
            return ABORTED
        scan.locked = pgdat.lru_lock
        if not patched("block-no-recheck"):
            if not patched("get-first-norecheck") and not PageLRU(page):
                return fail
            if not patched("compound-after-get") and PageCompound(page):
                scan.low_pfn += (1 << compound_order(page)) - 1
                return fail
        if patched("v1-recheck"):
            extra = not PageAnon(page) or PageSwapCache(page)
            if page_count(page) - got > page_mapcount(page) + extra:
                _trace_refused(page)
                return fail
    if patched("check-under-lock"):
        skip = looks_pinned_v4_19(page, got)
        _trace_precheck(page, skip, got)
        if skip:
            return fail
    lruvec = mem_cgroup_page_lruvec(page, pgdat)
    if got:
        ClearPageLRU(page)
    elif patched("isolate-trusts-lru"):
        if not get_page_unless_zero(page):
            return FAILED
        ClearPageLRU(page)
    elif __isolate_lru_page(page, isolate_mode) != 0:
        return FAILED
    VM_BUG_ON_PAGE(
        lambda: PageCompound(page), "PageCompound(page)", page, {"4.19": "mm/compaction.c:876"}
    )
    del_page_from_lru_list(page, lruvec, page_lru(page))
    atomic_add(pgdat, "vmstat_isolated", 1)
    _trace_isolated(page)
    return ISOLATED


@cite("mm/compaction.c", "4.19", thread="001")
def isolate_migratepages_block_v4_19(cc, low_pfn, end_pfn, isolate_mode):
    """Isolate what can be migrated in [low_pfn, end_pfn), onto cc->migratepages.

    The first frame not scanned; 0 if nothing was done.  *Locks:* takes lru_lock, interrupts off,
    when it has found the first page worth it, and drops it every 32 frames; may sleep before.
    """
    scan = block_scan(low_pfn)
    while too_many_isolated(cc.pgdat):
        if cc.mode == MIGRATE_ASYNC:
            return 0
        congestion_wait()
    skip_on_failure = cc.direct_compaction and cc.mode == MIGRATE_ASYNC
    next_skip_pfn = block_end_pfn(low_pfn, cc.order) if skip_on_failure else 0
    while scan.low_pfn < end_pfn:
        if skip_on_failure and scan.low_pfn >= next_skip_pfn:
            # all of the last aligned block was isolated: go and migrate it
            if scan.nr_isolated:
                break
            next_skip_pfn = block_end_pfn(scan.low_pfn, cc.order)
        if scan.low_pfn % SWAP_CLUSTER_MAX == 0 and compact_unlock_should_abort(scan, cc):
            break
        page = pfn_to_page(scan.low_pfn)
        found = FAILED if page is None else isolate_page_v4_19(cc, scan, page, isolate_mode)
        if found is ABORTED:
            break
        if found is ISOLATED:
            list_add(page.lru, cc.migratepages)
            cc.nr_migratepages += 1
            scan.nr_isolated += 1
            if not cc.last_migrated_pfn:
                cc.last_migrated_pfn = scan.low_pfn
            if cc.nr_migratepages == COMPACT_CLUSTER_MAX:
                scan.low_pfn += 1
                break
        if found is FAILED_PUT:
            unlock(scan)  # the put may be the last, and would take the lock
            put_page(page)
            found = FAILED
        if found is FAILED and skip_on_failure:
            next_skip_pfn = give_up_block(cc, scan, next_skip_pfn)
        scan.low_pfn += 1
    unlock(scan)
    return min(scan.low_pfn, end_pfn)


@cite("mm/compaction.c", "4.19", thread="001", symbol="isolate_migratepages_block")
def give_up_block(cc, scan, next_skip_pfn):
    """One page failed, so the block of cc->order cannot be had: put back what was isolated of it.

    *Locks:* drops lru_lock if there is something to put back.
    """
    if scan.nr_isolated:
        unlock(scan)
        putback_movable_pages(cc.migratepages)
        cc.nr_migratepages = 0
        cc.last_migrated_pfn = 0
        scan.nr_isolated = 0
    if scan.low_pfn < next_skip_pfn:
        scan.low_pfn = next_skip_pfn - 1
        next_skip_pfn += 1 << cc.order
    return next_skip_pfn
