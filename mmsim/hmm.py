# SPDX-License-Identifier: GPL-2.0-only
"""A device's copy of page tables (mm/hmm.c, 5.17), and the driver's half as hmm.rst prescribes it.

Besides the page fault this is the other caller of migration_entry_wait(), and the busier one: a
driver comes back for a page as soon as it has been told that the page is going.
"""

from mmsim.linux.cite import cite
from mmsim.linux.sched import wake_up_process
from mmsim.linux.sleeplock import down_read, up_read
from mmsim.linux.spinlock import spin_lock, spin_lock_init, spin_unlock
from mmsim.linux.struct import shared
from mmsim.memory import handle_mm_fault
from mmsim.migrate import migration_entry_wait
from mmsim.mm_types import (
    PAGE_SIZE,
    find_vma,
    pmd_offset,
    pte_none,
    pte_offset_map,
    pte_pfn,
    pte_present,
    pte_special,
)
from mmsim.mmu_notifier import (
    mmu_interval_notifier,
    mmu_interval_read_begin,
    mmu_interval_read_retry,
    mmu_interval_set_seq,
)
from mmsim.page_alloc import pfn_to_page
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
        return -EFAULT if handle_mm_fault(vma, address, False) else -EBUSY, None
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


class mirror(mmu_interval_notifier):
    """A device's copy of one pte: ``page``, or None.  ``task`` keeps it up to date."""

    page = shared(None)

    def __init__(self, mm, address):
        mmu_interval_notifier.__init__(self, mm, address, address + PAGE_SIZE, _invalidate)
        self.name = f"{mm.name}.mirror[{address:x}]"
        self.lock = spin_lock_init(f"&driver->update#{address:x}")
        self.task = None


def _invalidate(copy, seq):
    """The device must not use the page any more; its driver will ask for it again."""
    spin_lock(copy.lock)
    mmu_interval_set_seq(copy, seq)
    copy.page = None
    spin_unlock(copy.lock)
    wake_up_process(copy.task)


def mirror_fault(copy):
    """Bring the copy up to date: what the page contains, or None if there is no page.

    *Locks:* sleeps.  Under the driver's lock the copy is valid: an invalidation waits for it.
    """
    while True:
        seq = mmu_interval_read_begin(copy)
        ret, page = hmm_range_fault(copy.mm, copy.start)
        if ret == -EBUSY:
            continue
        if ret or page is None:
            return None
        spin_lock(copy.lock)
        if mmu_interval_read_retry(copy, seq):
            spin_unlock(copy.lock)
            continue
        copy.page = page
        data = page.data
        spin_unlock(copy.lock)
        return data
