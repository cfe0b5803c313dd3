# SPDX-License-Identifier: GPL-2.0-only
"""Page tables as devices see them (mm/hmm.c, 5.17).

Besides the page fault this is the other caller of migration_entry_wait(), and the busier one: a
driver comes back for a page as soon as it has been told that the page is going.
"""

from mmsim.linux.sleeplock import down_read, up_read
from mmsim.memory import VM_FAULT_ERROR, handle_mm_fault
from mmsim.memory_model import pfn_to_page
from mmsim.migrate_entries import migration_entry_wait
from mmsim.mm_types import (
    find_vma,
    pmd_offset,
    pte_none,
    pte_offset_map,
    pte_pfn,
    pte_present,
    pte_special,
)
from mmsim.model.cite import cite
from mmsim.swapops import is_migration_entry, pte_to_swp_entry

EBUSY = 16
EFAULT = 14


@cite("mm/hmm.c", "5.17", thread="003")
def hmm_vma_handle_pte(vma, pmd, address):
    """(0, page), or (-EBUSY, None): look again.  *Locks:* entered with mmap_lock; sleeps.

    *Race:* the entry is read without the PTL; migration_entry_wait() reads it again.
    """
    pte = pte_offset_map(pmd, address).pte
    if pte_none(pte):
        failed = handle_mm_fault(vma, address, False) & VM_FAULT_ERROR
        return -EFAULT if failed else -EBUSY, None
    if not pte_present(pte):
        if is_migration_entry(pte_to_swp_entry(pte)):
            migration_entry_wait(vma.vm_mm, pmd, address)
            return -EBUSY, None
        return -EFAULT, None
    return 0, None if pte_special(pte) else pfn_to_page(pte_pfn(pte))


@cite("mm/hmm.c", "5.17", thread="003")
def hmm_range_fault(mm, address):
    """What the CPU would find at ``address``.  *Locks:* takes mmap_lock for read; sleeps."""
    down_read(mm.mmap_lock)
    vma = find_vma(mm, address)
    ret, page = -EFAULT, None
    if vma is not None and vma.vm_start <= address:
        ret, page = hmm_vma_handle_pte(vma, pmd_offset(mm, address), address)
    up_read(mm.mmap_lock)
    return ret, page
