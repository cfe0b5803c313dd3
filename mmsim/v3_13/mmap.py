# SPDX-License-Identifier: GPL-2.0-only
"""The end of an address space in 3.13 (mm/mmap.c), where it meets mlock.

exit_mmap() does what munlock does, but takes no mmap_sem: nobody else has the mm any more, says the
kernel.  Reclaim has: it comes by way of the file, and its trylock of mmap_sem succeeds.
"""

from mmsim.linux.sleeplock import mutex_lock, mutex_unlock
from mmsim.mm_types import VM_LOCKED
from mmsim.model.cite import cite
from mmsim.v3_13.memory import zap_pte_range
from mmsim.v3_13.mm_types import VM_NONLINEAR
from mmsim.v3_13.munlock import munlock_vma_pages_range
from mmsim.v3_13.swap import lru_add_drain


@cite("mm/mmap.c", "3.13")
def unlink_file_vma(vma):
    """Nobody finds the vma by way of the file any more.  *Locks:* takes i_mmap_mutex (sleeps)."""
    mapping = vma.mapping
    mutex_lock(mapping.i_mmap_mutex)
    if vma.vm_flags & VM_NONLINEAR:
        mapping.i_mmap_nonlinear.remove(vma)
    else:
        mapping.i_mmap.remove(vma)
    mutex_unlock(mapping.i_mmap_mutex)


@cite("mm/mmap.c", "3.13", thread="004")
def exit_mmap(mm):
    """The last user of an address space is gone.

    *Locks:* none, mmap_sem in particular; takes ptl, i_mmap_mutex, lru_lock; may sleep.
    *Race:* reclaim that has read VM_LOCKED before it was cleared here marks pages again.  Unmapping
    clears the mark if it was the last mapping; if not, the page stays marked.
    """
    for vma in mm.mmap:
        if vma.vm_flags & VM_LOCKED:
            munlock_vma_pages_range(vma)
    lru_add_drain()
    for vma in mm.mmap:
        zap_pte_range(vma, vma.vm_start, vma.vm_end)
    for vma in mm.mmap:
        unlink_file_vma(vma)
    mm.mmap = []
