# SPDX-License-Identifier: GPL-2.0-only
"""Isolating the page of one frame for CMA in 3.13 (mm/compaction.c), unevictable pages included."""

from mmsim.linux.list import list_add
from mmsim.linux.spinlock import spin_lock_irq, spin_unlock_irq
from mmsim.memcontrol import mem_cgroup_page_lruvec
from mmsim.mmzone import del_page_from_lru_list, page_lru, page_pgdat
from mmsim.model.cite import cite
from mmsim.v3_13.vmscan_isolate import ISOLATE_UNEVICTABLE, __isolate_lru_page


@cite("mm/compaction.c", "3.13", thread="004")
def isolate_migratepages_page(page, dst):
    """What isolate_migratepages_range() does with one frame: true if it is now on ``dst``.

    On behalf of CMA, which takes unevictable pages, too.  *Locks:* takes lru_lock.
    """
    zone = page_pgdat(page)
    spin_lock_irq(zone.lru_lock)
    lruvec = mem_cgroup_page_lruvec(page, zone)
    taken = __isolate_lru_page(page, ISOLATE_UNEVICTABLE) == 0
    if taken:
        del_page_from_lru_list(page, lruvec, page_lru(page))
        list_add(page.lru, dst)
    spin_unlock_irq(zone.lru_lock)
    return taken
