# SPDX-License-Identifier: GPL-2.0-only
"""Who compacts, and what becomes of what was isolated (mm/compaction.c, 4.19 and 5.17).

kcompactd works in the background and may wait for locks.  A task whose allocation of a larger block
failed compacts by itself: at first asynchronously, with PF_MEMALLOC set so that it does not go into
reclaim from there, and giving up a block at its first failure.

Where pages would go is not modelled: the free scanner finds nothing, compaction_alloc() returns
NULL, migrate_pages() -ENOMEM, and every isolated page is put back.  That happens in life whenever
the two scanners meet.
"""

from mmsim.compaction import (
    GFP_KERNEL,
    MIGRATE_ASYNC,
    MIGRATE_SYNC,
    MIGRATE_SYNC_LIGHT,
    compact_control,
    isolate_migratepages_block_v4_19,
    pageblock_nr_pages,
)
from mmsim.compaction_v5_17 import isolate_migratepages_block_v5_17
from mmsim.engine.door import current
from mmsim.linux.sched import PF_MEMALLOC
from mmsim.lru import lru_add_drain
from mmsim.migrate_movable import putback_movable_pages
from mmsim.model.cite import cite
from mmsim.model.era import era, kernel
from mmsim.vmscan import ISOLATE_ASYNC_MIGRATE, ISOLATE_UNEVICTABLE


def isolate_migratepages_block(cc, low_pfn, end_pfn, isolate_mode):
    """The era's own."""
    if era().version >= (5, 11):
        return isolate_migratepages_block_v5_17(cc, low_pfn, end_pfn, isolate_mode)
    return isolate_migratepages_block_v4_19(cc, low_pfn, end_pfn, isolate_mode)


@cite("mm/compaction.c", "4.19", thread="001")
def isolate_migratepages(cc):
    """Isolate from the next block that has anything; false at the end, or when told to give up."""
    isolate_mode = ISOLATE_ASYNC_MIGRATE if cc.mode != MIGRATE_SYNC else 0
    if getattr(kernel(), "sysctl_compact_unevictable_allowed", True):
        isolate_mode |= ISOLATE_UNEVICTABLE
    mem_map = kernel().mem_map
    block = getattr(kernel(), "pageblock_nr_pages", pageblock_nr_pages)
    end = mem_map[0].pfn + len(mem_map)
    while cc.migrate_pfn < end:
        block_end = min(cc.migrate_pfn + block, end)
        low_pfn = isolate_migratepages_block(cc, cc.migrate_pfn, block_end, isolate_mode)
        if not low_pfn or cc.contended:
            return False
        cc.migrate_pfn = low_pfn
        if cc.nr_migratepages:
            return True
    return False


@cite("mm/compaction.c", "4.19", thread="001")
def compact_zone(cc):
    """Walk the zone once: isolate block by block, find no place for the pages, put them back.

    *Locks:* none held; may sleep.
    """
    while True:
        more = isolate_migratepages(cc)
        if cc.nr_migratepages:
            putback_movable_pages(cc.migratepages)
            cc.nr_migratepages = 0
        if not more:
            break
    lru_add_drain()


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
