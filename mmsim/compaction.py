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

# where the checks of one page frame lead: C's labels, and its two ways to leave the loop's body
ISOLATE_SUCCESS = "isolate_success"
ISOLATE_FAIL = "isolate_fail"
ISOLATE_FAIL_PUT = "isolate_fail_put"
CONTINUE = "continue"
BREAK = "break"


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
        self.last_migrated_pfn = 0  # 4.19
        self.rescan = False  # 5.17: this block is being scanned again, and as a whole


def _trace_precheck(page, skip, own):
    """A trace point: what the pinned-page check said.  Whoever listens looks without points."""
    tracer = kernel().compaction_trace
    if tracer is not None:
        tracer.precheck(page, skip, own)


def _trace_refused(page):
    """A trace point: the first patch's second comparison turned a page away."""
    tracer = kernel().compaction_trace
    if tracer is not None:
        tracer.refused(page)


def _trace_isolated(page):
    """A trace point: a page was taken off the LRU."""
    tracer = kernel().compaction_trace
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


@cite("mm/compaction.c", "4.19", thread="001")
def compact_should_abort(cc):
    """Let others run; asynchronous compaction would rather give up than do that.

    (When to reschedule is the policy's to say here, so nothing is ever given up.)
    """
    if cc.mode != MIGRATE_ASYNC:
        cond_resched()
    return False


@cite("mm/compaction.c", "4.19", thread="001")
def compact_unlock_should_abort(lock, flags, locked, cc):
    """(locked, abort): let interrupts in every so often; the lock is not taken back.

    (There are no signals here.)
    """
    if locked:
        spin_unlock_irqrestore(lock, flags)
    return False, compact_should_abort(cc)


def _pinned_v4_19(page, own):
    """Is it anonymous, and has it references that no pte explains?  ``own`` of them are ours.

    Then it cannot be migrated, and lru_lock is not worth taking.  *Race:* the window of thread 001:
    the page may be anything by the time of page_mapcount().
    """
    if patched("v1-opencode"):
        pinned = False
        if not PageCompound(page):
            count = page_count(page) - own
            mapcount = atomic_read(page, "_mapcount") + 1
            pinned = count > mapcount + (not PageAnon(page) or PageSwapCache(page))
    elif page_mapping(page) is not None:
        pinned = False
    elif patched("pageslab-precheck") and PageSlab(page):
        pinned = True
    else:
        if patched("get-first-no-minus-one"):
            own = 0
        pinned = page_count(page) - own > page_mapcount(page)
    _trace_precheck(page, pinned, own)
    return pinned


@cite("mm/compaction.c", "4.19..5.10", thread="001")
def isolate_migratepages_block_v4_19(cc, low_pfn, end_pfn, isolate_mode):
    """Isolate what can be migrated in [low_pfn, end_pfn), onto cc->migratepages.

    The first frame not scanned; 0 if nothing was done.  *Locks:* takes lru_lock, interrupts off,
    when it has found the first page worth it, and drops it every 32 frames; may sleep before.
    *Race:* see the top of the file; what comes before the lock is the window.

    5.4 has cc->rescan, with which it takes more than 32 pages of a block; that is in the version of
    5.17 only.
    """
    pgdat = cc.pgdat
    nr_isolated = 0
    flags = False
    locked = False
    skip_on_failure = False
    next_skip_pfn = 0

    while too_many_isolated(pgdat):
        if cc.mode == MIGRATE_ASYNC:
            return 0
        congestion_wait()
    if compact_should_abort(cc):
        return 0
    if cc.direct_compaction and cc.mode == MIGRATE_ASYNC:
        skip_on_failure = True
        next_skip_pfn = block_end_pfn(low_pfn, cc.order)

    low_pfn -= 1
    while (low_pfn := low_pfn + 1) < end_pfn:
        if skip_on_failure and low_pfn >= next_skip_pfn:
            # all of the last aligned block was isolated: go and migrate it
            if nr_isolated:
                break
            next_skip_pfn = block_end_pfn(low_pfn, cc.order)
        if low_pfn % SWAP_CLUSTER_MAX == 0:
            locked, abort = compact_unlock_should_abort(pgdat.lru_lock, flags, locked, cc)
            if abort:
                break

        page = pfn_to_page(low_pfn)
        got = 0  # references that a patch has made us take before the checks are over
        goto = ISOLATE_FAIL
        while True:  # the checks: ``break`` goes to the label
            if page is None:
                break
            if PageBuddy(page):
                freepage_order = page.private  # page_order_unsafe(): it may be no order any more
                if isinstance(freepage_order, int) and 0 < freepage_order < MAX_ORDER:
                    low_pfn += (1 << freepage_order) - 1
                goto = CONTINUE
                break
            if patched("compound-after-get"):
                if not get_page_unless_zero(page):
                    break
                got = 1
                goto = ISOLATE_FAIL_PUT
                if PageCompound(page):
                    break
            else:
                if PageCompound(page):
                    order = compound_order(page)
                    if order < MAX_ORDER:
                        low_pfn += (1 << order) - 1
                    break
                if not PageLRU(page):
                    if __PageMovable(page) and not PageIsolated(page):
                        if locked:
                            spin_unlock_irqrestore(pgdat.lru_lock, flags)
                            locked = False
                        if isolate_movable_page(page, isolate_mode):
                            goto = ISOLATE_SUCCESS
                    break
                if patched("get-first"):
                    if not get_page_unless_zero(page):
                        break
                    got = 1
                    goto = ISOLATE_FAIL_PUT
                    late = patched("get-first-norecheck") or patched("get-first-compare-first")
                    if not late and not PageLRU(page):
                        break
            if not patched("check-under-lock") and _pinned_v4_19(page, got):
                break
            if not cc.gfp_mask & GFP_FS and page_mapping(page) is not None:
                break
            if patched("get-first-compare-first") and not PageLRU(page):
                break
            if not locked:
                locked, flags = compact_trylock_irqsave(pgdat.lru_lock, cc)
                if not locked:
                    if got:
                        put_page(page)
                    goto = BREAK
                    break
                if not patched("block-no-recheck") and not patched("get-first-norecheck"):
                    if not PageLRU(page):
                        break
                if not patched("block-no-compound-recheck") and not patched("compound-after-get"):
                    # on the LRU and compound: a THP, whose order is safe to read
                    if PageCompound(page):
                        low_pfn += (1 << compound_order(page)) - 1
                        break
                if patched("v1-recheck"):
                    extra = not PageAnon(page) or PageSwapCache(page)
                    if page_count(page) - got > page_mapcount(page) + extra:
                        _trace_refused(page)
                        break
            if patched("check-under-lock") and _pinned_v4_19(page, got):
                break
            lruvec = mem_cgroup_page_lruvec(page, pgdat)
            if got:
                ClearPageLRU(page)
            elif patched("isolate-trusts-lru"):
                if not get_page_unless_zero(page):
                    break
                ClearPageLRU(page)
            elif __isolate_lru_page(page, isolate_mode) != 0:
                break
            VM_BUG_ON_PAGE(
                lambda p=page: PageCompound(p), "PageCompound(page)", page,
                {"4.19": "mm/compaction.c:876"},
            )
            del_page_from_lru_list(page, lruvec, page_lru(page))
            atomic_add(pgdat, "vmstat_isolated", 1)
            _trace_isolated(page)
            goto = ISOLATE_SUCCESS
            break

        if goto is CONTINUE:
            continue
        if goto is BREAK:
            break
        if goto is ISOLATE_SUCCESS:
            list_add(page.lru, cc.migratepages)
            cc.nr_migratepages += 1
            nr_isolated += 1
            if not cc.last_migrated_pfn:
                cc.last_migrated_pfn = low_pfn
            if cc.nr_migratepages == COMPACT_CLUSTER_MAX:
                low_pfn += 1
                break
            continue
        if goto is ISOLATE_FAIL_PUT:
            # the put may be the last, and would take the lock
            if locked:
                spin_unlock_irqrestore(pgdat.lru_lock, flags)
                locked = False
            put_page(page)
        if not skip_on_failure:
            continue
        # the block of cc->order cannot be had: put back what was isolated of it
        if nr_isolated:
            if locked:
                spin_unlock_irqrestore(pgdat.lru_lock, flags)
                locked = False
            putback_movable_pages(cc.migratepages)
            cc.nr_migratepages = 0
            cc.last_migrated_pfn = 0
            nr_isolated = 0
        if low_pfn < next_skip_pfn:
            low_pfn = next_skip_pfn - 1
            next_skip_pfn += 1 << cc.order

    # PageBuddy may have led outside of the range
    low_pfn = min(low_pfn, end_pfn)
    if locked:
        spin_unlock_irqrestore(pgdat.lru_lock, flags)
    return low_pfn
