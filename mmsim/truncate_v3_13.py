# SPDX-License-Identifier: GPL-2.0-only
"""Pages leaving their file, unmapped before (mm/memory.c, filemap.c, truncate.c of 3.13).

truncate() takes pages away from under those who map them: it walks the vmas of the file under
i_mmap_mutex, without any mmap_sem.  So it is the actor that munlock, which holds mmap_sem for
writing, is not protected from by it: only by the pin.
"""

from mmsim.filemap import lock_page, unlock_page
from mmsim.filemap_cache import delete_from_page_cache, find_get_page
from mmsim.linux.sleeplock import mutex_lock, mutex_unlock
from mmsim.lru_release import release_pages
from mmsim.lru_v3_13 import pagevec_release
from mmsim.memory_model import pfn_to_page
from mmsim.mm_types import (
    PAGE_SIZE,
    pmd_offset,
    pte_none,
    pte_offset_map,
    pte_offset_map_lock,
    pte_pfn,
    pte_present,
    pte_unmap_unlock,
    ptep_get_and_clear,
    set_pte_at,
)
from mmsim.mm_types_v3_13 import linear_page_index, pgoff_to_pte
from mmsim.model.cite import cite
from mmsim.page import page_mapped
from mmsim.pagevec import pagevec
from mmsim.rmap_v3_13 import page_remove_rmap

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


# -- truncate --------------------------------------------------------------------------------------


@cite("mm/truncate.c", "3.13")
def truncate_inode_page(mapping, page):
    """Unmap a page once more and take it out of its file.  *Locks:* page lock; may sleep."""
    if page_mapped(page):
        unmap_mapping_range(mapping, page.index)
    if page.mapping is mapping:
        delete_from_page_cache(page)


@cite("mm/truncate.c", "3.13", thread="004")
def truncate_pagecache(mapping, index):
    """truncate(2) as far as one page goes.  *Locks:* takes the page lock; may sleep."""
    unmap_mapping_range(mapping, index)
    page = find_get_page(mapping, index)
    if page is None:
        return
    pvec = pagevec([page])
    lock_page(page)
    truncate_inode_page(mapping, page)
    unlock_page(page)
    pagevec_release(pvec)
