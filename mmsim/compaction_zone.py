# SPDX-License-Identifier: GPL-2.0-only
"""Who compacts, and what becomes of what was isolated (mm/compaction.c, 4.19 and 5.17).

kcompactd works in the background and may wait for locks.  A task whose allocation of a larger block
failed compacts by itself: at first asynchronously, with PF_MEMALLOC set so that it does not go into
reclaim from there, and giving up a block at its first failure.

Where pages would go is not modelled: every migration fails, migrate_pages() says how many pages it
could not move, namely all, and they are put back.  Nor are the hints which blocks to skip, so each
scan begins at the start of the zone and goes to its end, where the free scanner is.
"""

from mmsim.compaction import (
    GFP_KERNEL,
    MIGRATE_ASYNC,
    MIGRATE_SYNC,
    MIGRATE_SYNC_LIGHT,
    block_end_pfn,
    compact_control,
    isolate_migratepages_block_v4_19,
)
from mmsim.compaction_v5_17 import isolate_migratepages_block_v5_17
from mmsim.engine.door import current
from mmsim.linux.sched import PF_MEMALLOC, preempt_disable, preempt_enable
from mmsim.lru import lru_add_drain, lru_add_drain_cpu
from mmsim.migrate_movable import putback_movable_pages
from mmsim.model.cite import cite
from mmsim.model.era import by_version, kernel
from mmsim.page_alloc import drain_local_pages
from mmsim.vmscan import ISOLATE_ASYNC_MIGRATE, ISOLATE_UNEVICTABLE

ISOLATE_ABORT, ISOLATE_NONE, ISOLATE_SUCCESS = range(3)

isolate_migratepages_block = by_version(
    isolate_migratepages_block_v4_19, isolate_migratepages_block_v5_17
)


def _zone_end_pfn():
    mem_map = kernel().mem_map
    return mem_map[0].pfn + len(mem_map)


@cite("include/linux/pageblock-flags.h", "5.17")
def pageblock_start_pfn(pfn):
    """The first frame of the block; blocks are counted from the zone's first frame."""
    first = kernel().mem_map[0].pfn
    return pfn - (pfn - first) % kernel().pageblock_nr_pages


@cite("mm/compaction.c", "5.17")
def block_start_pfn(pfn, order):
    """Start of the naturally aligned block of that order."""
    return pfn & ~((1 << order) - 1)


@cite("mm/compaction.c", "4.19", thread="001")
def compact_finished(cc):
    """Was it told to give up, or has the scanner come to the end?"""
    return cc.contended or cc.migrate_pfn >= _zone_end_pfn()


def _isolate_mode(cc):
    mode = ISOLATE_ASYNC_MIGRATE if cc.mode != MIGRATE_SYNC else 0
    if kernel().sysctl_compact_unevictable_allowed:
        mode |= ISOLATE_UNEVICTABLE
    return mode


def _block_end(low_pfn):
    return min(pageblock_start_pfn(low_pfn) + kernel().pageblock_nr_pages, _zone_end_pfn())


@cite("mm/compaction.c", "4.19", thread="001")
def isolate_migratepages_v4_19(cc):
    """Isolate from the block that the scanner has come to."""
    block_end = _block_end(cc.migrate_pfn)
    low_pfn = isolate_migratepages_block_v4_19(cc, cc.migrate_pfn, block_end, _isolate_mode(cc))
    if not low_pfn or cc.contended:
        return ISOLATE_ABORT
    cc.migrate_pfn = low_pfn
    return ISOLATE_SUCCESS if cc.nr_migratepages else ISOLATE_NONE


@cite("mm/compaction.c", "5.17", thread="001")
def isolate_migratepages_v5_17(cc):
    """Isolate from the block that the scanner has come to."""
    block_end = _block_end(cc.migrate_pfn)
    if isolate_migratepages_block_v5_17(cc, cc.migrate_pfn, block_end, _isolate_mode(cc)):
        return ISOLATE_ABORT
    return ISOLATE_SUCCESS if cc.nr_migratepages else ISOLATE_NONE


@cite("mm/compaction.c", "4.19..5.10", thread="001")
def compact_zone_v4_19(cc):
    """Walk the zone once: isolate block by block, fail to migrate, put back.

    *Locks:* none held; may sleep.  It drains the pagevecs of this CPU only, first and whenever it
    has left a block that it migrated from (all CPUs' are drained by who writes to
    /proc/sys/vm/compact_memory).
    """
    cc.last_migrated_pfn = 0
    lru_add_drain()  # migrate_prep_local()
    while not compact_finished(cc):
        isolated = isolate_migratepages_v4_19(cc)
        if isolated == ISOLATE_ABORT:
            putback_movable_pages(cc.migratepages)
            cc.nr_migratepages = 0
            break
        if isolated == ISOLATE_SUCCESS:
            cc.nr_migratepages = 0
            putback_movable_pages(cc.migratepages)
            if cc.direct_compaction and cc.mode == MIGRATE_ASYNC:
                # one page of the aligned block could not be migrated: skip the rest of it
                cc.migrate_pfn = block_end_pfn(cc.migrate_pfn - 1, cc.order)
                cc.last_migrated_pfn = 0
        if cc.order > 0 and cc.last_migrated_pfn:
            if cc.last_migrated_pfn < block_start_pfn(cc.migrate_pfn, cc.order):
                preempt_disable()  # get_cpu()
                lru_add_drain_cpu()
                drain_local_pages(cc.pgdat.zone)
                preempt_enable()
                cc.last_migrated_pfn = 0


@cite("mm/compaction.c", "5.11..5.17", thread="001")
def compact_zone_v5_17(cc):
    """Walk the zone once: isolate block by block, fail to migrate, put back.

    A block that is scanned again, because the first scan stopped at 32 pages, is then taken as a
    whole (cc->rescan).  *Locks:* none held; may sleep.  It drains pagevecs as 4.19 does.
    """
    last_migrated_pfn = 0
    lru_add_drain()
    while not compact_finished(cc):
        iteration_start_pfn = cc.migrate_pfn
        start = pageblock_start_pfn(iteration_start_pfn)
        cc.rescan = pageblock_start_pfn(last_migrated_pfn) == start
        isolated = isolate_migratepages_v5_17(cc)
        if isolated == ISOLATE_ABORT:
            putback_movable_pages(cc.migratepages)
            cc.nr_migratepages = 0
            break
        if isolated == ISOLATE_SUCCESS:
            last_migrated_pfn = iteration_start_pfn
            cc.nr_migratepages = 0
            putback_movable_pages(cc.migratepages)
            if cc.direct_compaction and cc.mode == MIGRATE_ASYNC:
                cc.migrate_pfn = block_end_pfn(cc.migrate_pfn - 1, cc.order)
                last_migrated_pfn = 0
        if cc.order > 0 and last_migrated_pfn:
            if last_migrated_pfn < block_start_pfn(cc.migrate_pfn, cc.order):
                preempt_disable()  # lru_add_drain_cpu_zone()
                lru_add_drain_cpu()
                drain_local_pages(cc.pgdat.zone)
                preempt_enable()
                last_migrated_pfn = 0


compact_zone = by_version(compact_zone_v4_19, compact_zone_v5_17)


@cite("mm/compaction.c", "4.19", thread="001")
def kcompactd_do_work(pgdat, order=1):
    """One round of the background thread: it may wait for lru_lock."""
    cc = compact_control(pgdat, MIGRATE_SYNC_LIGHT, GFP_KERNEL, order)
    compact_zone(cc)


@cite("mm/compaction.c", "4.19", thread="001")
def try_to_compact_pages(pgdat, gfp_mask, order, mode=MIGRATE_ASYNC):
    """Direct compaction on behalf of an allocation; true if it was told to give up."""
    cc = compact_control(pgdat, mode, gfp_mask, order, direct=True)
    compact_zone(cc)
    return cc.contended


@cite("mm/page_alloc.c", "4.19", thread="001")
def __alloc_pages_direct_compact(pgdat, gfp_mask, order):
    """Compact for an allocation, with PF_MEMALLOC set meanwhile."""
    task = current()
    noreclaim = task.flags & PF_MEMALLOC
    task.flags |= PF_MEMALLOC
    contended = try_to_compact_pages(pgdat, gfp_mask, order)
    task.flags = task.flags & ~PF_MEMALLOC | noreclaim
    return contended
