# SPDX-License-Identifier: GPL-2.0-only
"""A task's pages on their way to another memory cgroup (mm/memcontrol.c, 3.13).

Moving a charge means isolating the page, and that is all thread 004 wants of it: somebody who takes
pages off their list and puts them back, under mmap_sem of *his* mm and without the page lock.
"""

from mmsim.linux.sleeplock import down_read, up_read
from mmsim.lru_release import put_page
from mmsim.mm_types import (
    PAGE_SIZE,
    pmd_offset,
    pte_offset_map,
    pte_offset_map_lock,
    pte_present,
    pte_unmap_unlock,
)
from mmsim.model.cite import cite
from mmsim.page import get_page_unless_zero
from mmsim.v3_13.gup import vm_normal_page
from mmsim.v3_13.vmscan_isolate import isolate_lru_page, putback_lru_page


@cite("mm/memcontrol.c", "3.13", symbol="mem_cgroup_move_charge_pte_range")
def mem_cgroup_move_charge(vma):
    """Take each page that a vma maps off its list, and put it back.

    *Locks:* takes mmap_sem for reading and the ptl; lru_lock inside.  Not the page lock.
    *Race:* a page that is isolated here is missed by munlock, and put back by what it is then.
    """
    mm = vma.vm_mm
    down_read(mm.mmap_sem)
    start = vma.vm_start
    pmd = pmd_offset(mm, start)
    ptep, ptl = pte_offset_map_lock(pmd, start)
    for address in range(start, vma.vm_end, PAGE_SIZE):
        pte = pte_offset_map(pmd, address).pte
        if not pte_present(pte):
            continue
        page = vm_normal_page(pte)
        if not get_page_unless_zero(page):
            continue
        if isolate_lru_page(page) == 0:
            putback_lru_page(page)
        put_page(page)
    pte_unmap_unlock(ptep, ptl)
    up_read(mm.mmap_sem)
