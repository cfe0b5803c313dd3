# SPDX-License-Identifier: GPL-2.0-only
"""Page tables that move: exec putting its stack in place (mm/mremap.c, mm/mmap.c, fs/exec.c, 5.17).

exec builds the new program's stack at the top of the address space, as far up as it goes, and moves
it down once it knows how much of it to keep.  It enlarges the vma to cover both places, moves the
ptes one by one, and cuts off the upper part.  From the first step on, the rmap of the stack's pages
says "new place", while the ptes, migration entries among them, are still at the old one.

Every step is done under the locks it needs by itself: the vma under the rmap lock, the ptes under
their PTLs.  Nobody holds the rmap lock over all of it; to make migration leave such stacks alone
was thought cheaper.
"""

from mmsim.linux.bug import BUG_ON
from mmsim.linux.sched import cond_resched
from mmsim.linux.sleeplock import down_write, up_write
from mmsim.linux.spinlock import spin_lock, spin_unlock
from mmsim.lru import lru_add_drain
from mmsim.mm_types import (
    PAGE_SIZE,
    PMD_SHIFT,
    VM_STACK_INCOMPLETE_SETUP,
    find_vma,
    pmd_offset,
    pte_lockptr,
    pte_none,
    pte_offset_map,
    ptep_get_and_clear,
    set_pte_at,
)
from mmsim.model.cite import cite

ENOMEM = 12
EFAULT = 14


@cite("mm/mmap.c", "5.17", thread="003")
def vma_adjust(vma, start, end, pgoff):
    """Change a vma's bounds; 0.  *Locks:* entered with mmap_lock for write; takes the rmap lock."""
    anon_vma = vma.anon_vma
    if anon_vma is not None:
        down_write(anon_vma.rwsem)
    vma.vm_start = start
    vma.vm_end = end
    vma.vm_pgoff = pgoff
    if anon_vma is not None:
        up_write(anon_vma.rwsem)
    return 0


@cite("mm/mremap.c", "5.17", thread="003")
def move_ptes(vma, old_pmd, old_addr, old_end, new_pmd, new_addr):
    """Move the entries of a range, whatever they are.  *Locks:* takes both PTLs, not the rmap lock.

    *Race:* an rmap walk between two entries finds some here and some there.
    """
    old_ptl = pte_lockptr(old_pmd)
    new_ptl = pte_lockptr(new_pmd)
    spin_lock(old_ptl)
    if new_ptl is not old_ptl:
        spin_lock(new_ptl)
    while old_addr < old_end:
        old_pte = pte_offset_map(old_pmd, old_addr)
        new_pte = pte_offset_map(new_pmd, new_addr)
        if not pte_none(old_pte.pte):
            pte = ptep_get_and_clear(old_pte)
            set_pte_at(new_pte, pte)
        old_addr += PAGE_SIZE
        new_addr += PAGE_SIZE
    if new_ptl is not old_ptl:
        spin_unlock(new_ptl)
    spin_unlock(old_ptl)


@cite("mm/mremap.c", "5.17")
def get_extent(old_addr, old_end, new_addr):
    """How far the two ranges go within one table each."""
    size = 1 << PMD_SHIFT
    extent = min((old_addr + size) & -size, old_end) - old_addr
    return min(extent, ((new_addr + size) & -size) - new_addr)


@cite("mm/mremap.c", "5.17", thread="003")
def move_page_tables(vma, old_addr, new_addr, length):
    """Move ``length`` bytes, table by table; how many were moved.  *Locks:* mmap_lock for write.

    *Race:* between two tables, as between two entries, no lock is held that rmap asks for.
    """
    old_end = old_addr + length
    while old_addr < old_end:
        cond_resched()
        extent = get_extent(old_addr, old_end, new_addr)
        old_pmd = pmd_offset(vma.vm_mm, old_addr)
        if old_pmd is not None:
            new_pmd = pmd_offset(vma.vm_mm, new_addr)
            if new_pmd is None:
                break
            move_ptes(vma, old_pmd, old_addr, old_addr + extent, new_pmd, new_addr)
        old_addr += extent
        new_addr += extent
    return length + old_addr - old_end


@cite("fs/exec.c", "5.17", thread="003")
def shift_arg_pages(vma, shift):
    """Move the temporary stack down by ``shift`` bytes; 0 or -ENOMEM.

    *Locks:* entered with mmap_lock for write.  *Race:* between the steps the rmap of its pages is
    wrong; see the top of this file.
    """
    mm = vma.vm_mm
    old_start = vma.vm_start
    old_end = vma.vm_end
    length = old_end - old_start
    new_start = old_start - shift
    new_end = old_end - shift
    BUG_ON(new_start > new_end, {"5.17": "fs/exec.c:687"})
    if vma is not find_vma(mm, new_start):
        return -EFAULT
    # cover the whole range; the offset stays, so from here on rmap says "new place"
    if vma_adjust(vma, new_start, old_end, vma.vm_pgoff):
        return -ENOMEM
    if length != move_page_tables(vma, old_start, new_start, length):
        return -ENOMEM
    lru_add_drain()
    vma_adjust(vma, new_start, new_end, vma.vm_pgoff)
    return 0


@cite("fs/exec.c", "5.17", thread="003")
def setup_arg_pages(mm, vma, shift):
    """Put the stack in its place and make it an ordinary one.  *Locks:* takes mmap_lock, write."""
    down_write(mm.mmap_lock)
    if shift:
        ret = shift_arg_pages(vma, shift)
        if ret:
            up_write(mm.mmap_lock)
            return ret
    vma.vm_flags = vma.vm_flags & ~VM_STACK_INCOMPLETE_SETUP
    up_write(mm.mmap_lock)
    return 0
