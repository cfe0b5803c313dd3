# SPDX-License-Identifier: GPL-2.0-only
"""From an address to its page (mm/memory.c, 3.13; mm/gup.c later): follow_page_mask, populate.

FOLL_GET pins the page before the ptl is dropped.  From then on the page cannot be freed and
migration gives up on it, because it counts references: the pin is all that munlock holds on a page
when it clears PG_mlocked.

FOLL_MLOCK is how mlock(2) itself marks pages: under the ptl, and under the page lock if that can be
had without waiting.
"""

from mmsim.filemap import trylock_page, wait_on_page_locked
from mmsim.filemap_cache import filemap_add_folio, filemap_fault, find_get_page
from mmsim.linux.sched import cond_resched, cpu_relax
from mmsim.linux.sleeplock import down_read, up_read
from mmsim.lru_release import put_page
from mmsim.memory_model import pfn_to_page
from mmsim.mm_types import (
    PAGE_SIZE,
    VM_LOCKED,
    is_swap_pte,
    mk_pte,
    pmd_offset,
    pte_offset_map,
    pte_offset_map_lock,
    pte_pfn,
    pte_present,
    pte_unmap_unlock,
    set_pte_at,
)
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.page import SetPageUptodate, get_page, get_page_unless_zero
from mmsim.page_alloc import alloc_page
from mmsim.rmap import page_add_file_rmap
from mmsim.swapops import pfn_swap_entry_to_page, pte_to_swp_entry
from mmsim.v3_13.filemap import unlock_page
from mmsim.v3_13.mlock import mlock_vma_page
from mmsim.v3_13.mm_types import linear_page_index, pte_file, pte_to_pgoff
from mmsim.v3_13.swap import lru_add_drain

FOLL_GET = 0x04
FOLL_MLOCK = 0x40


@cite("mm/memory.c", "3.13")
def vm_normal_page(pte):
    """The page of a present pte."""
    return pfn_to_page(pte_pfn(pte))


@cite("mm/memory.c", "3.13", thread="004")
def follow_page_mask(vma, address, flags):
    """The page at ``address``, or None; with FOLL_GET pinned, with FOLL_MLOCK perhaps mlocked.

    *Locks:* mmap_sem (not at exit); takes the ptl, tries the page lock, takes lru_lock.
    *Race:* without FOLL_GET the page may be gone as soon as this returns.
    """
    pmd = pmd_offset(vma.vm_mm, address)
    ptep, ptl = pte_offset_map_lock(pmd, address)
    pte = ptep.pte
    if not pte_present(pte):
        pte_unmap_unlock(ptep, ptl)
        return None
    page = vm_normal_page(pte)
    if flags & FOLL_GET:
        get_page(page)
    if flags & FOLL_MLOCK and vma.vm_flags & VM_LOCKED:
        # a page that is locked now is left to reclaim
        if page.mapping is not None and trylock_page(page):
            lru_add_drain()
            mlock_vma_page(page)
            unlock_page(page)
    pte_unmap_unlock(ptep, ptl)
    return page


@cite("mm/filemap.c", "3.13")
def page_cache_read(mapping, pgoff):
    """Read a page in: a new page that is up to date.  *Race:* somebody else may be faster."""
    page = alloc_page()
    if filemap_add_folio(mapping, page, pgoff) == 0:
        SetPageUptodate(page)
        unlock_page(page)
    put_page(page)


def _fault(vma, pgoff):
    """vma->vm_ops->fault(): the page with a reference and locked, or None."""
    if patched("fault-no-page-lock"):
        return find_get_page(vma.mapping, pgoff)
    return filemap_fault(vma, pgoff)


@cite("mm/memory.c", "3.13", symbol="__do_fault")
def do_file_fault(vma, address, orig_pte):
    """Map the page of the file that belongs at ``address``.

    *Locks:* mmap_sem; takes the page lock (sleeps), then the ptl.  *Race:* migration and truncate
    hold the page lock, so a page that is mapped here is the file's.  Without the lock a page that
    truncate has just unmapped is mapped again.
    """
    pgoff = pte_to_pgoff(orig_pte) if pte_file(orig_pte) else linear_page_index(vma, address)
    page = _fault(vma, pgoff)
    while page is None:
        page_cache_read(vma.mapping, pgoff)
        page = _fault(vma, pgoff)
    pmd = pmd_offset(vma.vm_mm, address)
    ptep, ptl = pte_offset_map_lock(pmd, address)
    mapped = ptep.pte == orig_pte
    if mapped:
        page_add_file_rmap(page)
        set_pte_at(ptep, mk_pte(page))
    pte_unmap_unlock(ptep, ptl)
    if not patched("fault-no-page-lock"):
        unlock_page(page)
    if not mapped:
        put_page(page)


@cite("mm/migrate.c", "3.13")
def migration_entry_wait(vma, address):
    """The page is on its way: wait until migration unlocks it.

    *Locks:* mmap_sem; takes the ptl; may sleep.  *Race:* the reference taken here makes migration
    give up if it has not frozen the count yet.
    """
    ptep, ptl = pte_offset_map_lock(pmd_offset(vma.vm_mm, address), address)
    pte = ptep.pte
    if not is_swap_pte(pte) or pte_file(pte):
        pte_unmap_unlock(ptep, ptl)
        return
    page = pfn_swap_entry_to_page(pte_to_swp_entry(pte))
    if not get_page_unless_zero(page):
        pte_unmap_unlock(ptep, ptl)
        cpu_relax()  # for the simulator: this turns until the count is thawed
        return
    pte_unmap_unlock(ptep, ptl)
    wait_on_page_locked(page)
    put_page(page)


@cite("mm/memory.c", "3.13", symbol="__get_user_pages", thread="004")
def populate_one(vma, address):
    """Fault in and mlock one page.  *Locks:* mmap_sem for reading; may sleep."""
    while follow_page_mask(vma, address, FOLL_MLOCK) is None:
        pte = pte_offset_map(pmd_offset(vma.vm_mm, address), address).pte
        if is_swap_pte(pte) and not pte_file(pte):
            migration_entry_wait(vma, address)
        elif not pte_present(pte):
            do_file_fault(vma, address, pte)


@cite("mm/mlock.c", "3.13", symbol="__mm_populate")
def mm_populate(vma):
    """Fault in and mlock what a vma maps.  *Locks:* takes mmap_sem for reading."""
    mm = vma.vm_mm
    down_read(mm.mmap_sem)
    for address in range(vma.vm_start, vma.vm_end, PAGE_SIZE):
        populate_one(vma, address)
        cond_resched()
    up_read(mm.mmap_sem)
