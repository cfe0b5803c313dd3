# SPDX-License-Identifier: GPL-2.0-only
"""Copy on write and emptying page tables in 3.13 (mm/memory.c), where they meet mlock.

do_wp_page() replaces a page of a file by a private copy.  In a VM_LOCKED vma the copy is mlocked
from birth.  The old page may have been marked because of this vma, and reclaim may be about to
mark it even now: it has seen the pte, dropped the ptl and holds only the page lock.  So the old
page is munlocked afterwards, under its page lock.  The comment in the kernel said "LRU
manipulation"; what the lock is for is to wait for such a marker, and for the walk in rmap.
"""

from mmsim.filemap import lock_page
from mmsim.linux.sleeplock import down_read, mutex_lock, mutex_unlock, up_read
from mmsim.lru_release import put_page, release_pages
from mmsim.memory_model import pfn_to_page
from mmsim.mm_types import (
    PAGE_SIZE,
    VM_LOCKED,
    maybe_mkwrite,
    mk_pte,
    pmd_offset,
    pte_mkdirty,
    pte_none,
    pte_offset_map,
    pte_offset_map_lock,
    pte_pfn,
    pte_present,
    pte_unmap_unlock,
    pte_write,
    ptep_clear_flush,
    ptep_get_and_clear,
    set_pte_at,
)
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.page import SetPageUptodate, get_page
from mmsim.page_alloc import alloc_page
from mmsim.v3_13.filemap import unlock_page
from mmsim.v3_13.gup import vm_normal_page
from mmsim.v3_13.mm_types import linear_page_index, pgoff_to_pte
from mmsim.v3_13.munlock import munlock_vma_page
from mmsim.v3_13.rmap import page_add_new_anon_rmap, page_remove_rmap


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
        page_add_new_anon_rmap(new_page, vma, address)
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


# -- emptying page tables --------------------------------------------------------------------------


@cite("mm/memory.c", "3.13", thread="004")
def zap_pte_range(vma, start, end, index=None, nonlinear=False):
    """Empty the ptes of a range; only those that map page ``index`` of the file if it is given.

    *Locks:* takes the ptl.  The references of the ptes are dropped after it.
    """
    pmd = pmd_offset(vma.vm_mm, start)
    gone = []
    pte, ptl = pte_offset_map_lock(pmd, start)
    for address in range(start, end, PAGE_SIZE):
        pte = pte_offset_map(pmd, address)
        word = pte.pte
        if pte_none(word):
            continue
        if not pte_present(word):
            if index is None:
                ptep_get_and_clear(pte)
            continue
        page = pfn_to_page(pte_pfn(word))
        if index is not None and page.index != index:
            continue
        ptep_get_and_clear(pte)
        if nonlinear and linear_page_index(vma, address) != page.index:
            set_pte_at(pte, pgoff_to_pte(page.index))
        page_remove_rmap(page)
        gone.append(page)
    pte_unmap_unlock(pte, ptl)
    release_pages(gone)


@cite("mm/memory.c", "3.13")
def unmap_mapping_range(mapping, index):
    """Unmap page ``index`` of a file everywhere.  *Locks:* takes i_mmap_mutex (sleeps)."""
    mutex_lock(mapping.i_mmap_mutex)
    for vma in mapping.i_mmap:
        start = vma.vm_start
        first = vma.vm_pgoff
        if first <= index <= linear_page_index(vma, vma.vm_end - PAGE_SIZE):
            address = start + (index - first) * PAGE_SIZE
            zap_pte_range(vma, address, address + PAGE_SIZE, index)
    for vma in mapping.i_mmap_nonlinear:
        zap_pte_range(vma, vma.vm_start, vma.vm_end, index, nonlinear=True)
    mutex_unlock(mapping.i_mmap_mutex)
