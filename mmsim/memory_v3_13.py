# SPDX-License-Identifier: GPL-2.0-only
"""Copy on write and exit in 3.13 (mm/memory.c, mm/mmap.c), where they meet mlock.

do_wp_page() replaces a page of a file by a private copy.  In a VM_LOCKED vma the copy is mlocked
from birth.  The old page may have been marked because of this vma, and reclaim may be about to
mark it even now: it has seen the pte, dropped the ptl and holds only the page lock.  So the old
page is munlocked afterwards, under its page lock.  The comment in the kernel said "LRU
manipulation"; what the lock is for is to wait for such a marker, and for the walk in rmap.

exit_mmap() does what munlock does, but takes no mmap_sem: nobody else has the mm any more, says the
kernel.  Reclaim has: it comes by way of the file, and its trylock of mmap_sem succeeds.
"""

from mmsim.filemap import lock_page, unlock_page
from mmsim.gup_v3_13 import vm_normal_page
from mmsim.linux.sleeplock import down_read, mutex_lock, mutex_unlock, up_read
from mmsim.lru_release import put_page
from mmsim.lru_v3_13 import add_page_to_unevictable_list, lru_add_drain, lru_cache_add
from mmsim.mlock import mlocked_vma_newpage
from mmsim.mm_types import (
    VM_LOCKED,
    maybe_mkwrite,
    mk_pte,
    pmd_offset,
    pte_mkdirty,
    pte_offset_map,
    pte_offset_map_lock,
    pte_present,
    pte_unmap_unlock,
    pte_write,
    ptep_clear_flush,
    set_pte_at,
)
from mmsim.mm_types_v3_13 import VM_NONLINEAR
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.munlock import munlock_vma_page, munlock_vma_pages_range
from mmsim.page import SetPageActive, SetPageUptodate, get_page
from mmsim.page_alloc import alloc_page
from mmsim.rmap import page_add_new_anon_rmap
from mmsim.rmap_v3_13 import page_remove_rmap
from mmsim.truncate_v3_13 import zap_pte_range


@cite("mm/rmap.c", "3.13", symbol="page_add_new_anon_rmap")
def page_add_new_anon_rmap_v3_13(page, vma, address):
    """The first pte of a new page, and its first list.  *Locks:* ptl; takes lru_lock."""
    page_add_new_anon_rmap(page, vma, address)
    if not mlocked_vma_newpage(vma, page):
        SetPageActive(page)
        lru_cache_add(page)
    else:
        add_page_to_unevictable_list(page)


@cite("mm/memory.c", "3.13", thread="004")
def do_wp_page(vma, address, pte, ptl, orig_pte):
    """A write to a page of a file in a private vma: copy it.  False: somebody was faster.

    *Locks:* mmap_sem for reading; entered with the ptl, which is dropped; may sleep.  *Race:*
    without the munlock at the end, reclaim that has seen the old pte leaves the page marked;
    without its page lock, reclaim marks it after that.
    """
    old_page = vm_normal_page(orig_pte)
    get_page(old_page)
    pte_unmap_unlock(pte, ptl)

    new_page = alloc_page()
    SetPageUptodate(new_page)

    pte, ptl = pte_offset_map_lock(pmd_offset(vma.vm_mm, address), address)
    copied = pte.pte == orig_pte
    if copied:
        entry = maybe_mkwrite(pte_mkdirty(mk_pte(new_page)), vma)
        ptep_clear_flush(pte)
        page_add_new_anon_rmap_v3_13(new_page, vma, address)
        set_pte_at(pte, entry)
        page_remove_rmap(old_page)
        new_page = old_page
    put_page(new_page)
    pte_unmap_unlock(pte, ptl)
    if copied and vma.vm_flags & VM_LOCKED and not patched("wp-no-munlock"):
        if patched("wp-no-lock"):
            munlock_vma_page(old_page)
        else:
            lock_page(old_page)
            munlock_vma_page(old_page)
            unlock_page(old_page)
    put_page(old_page)
    return copied


@cite("arch/x86/mm/fault.c", "3.13", symbol="__do_page_fault")
def write_fault(vma, address):
    """The processor found a present pte that may not be written.  *Locks:* takes mmap_sem."""
    mm = vma.vm_mm
    down_read(mm.mmap_sem)
    pmd = pmd_offset(mm, address)
    entry = pte_offset_map(pmd, address).pte
    if pte_present(entry):
        pte, ptl = pte_offset_map_lock(pmd, address)
        if pte.pte == entry and not pte_write(entry):
            do_wp_page(vma, address, pte, ptl, entry)
        else:
            pte_unmap_unlock(pte, ptl)
    up_read(mm.mmap_sem)


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
