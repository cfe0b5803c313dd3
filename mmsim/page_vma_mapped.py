# SPDX-License-Identifier: GPL-2.0-only
"""Is this page mapped in that vma?  (mm/page_vma_mapped.c, 5.17)

Where it has to be is a sum; whether it is there is told by the pte, under the PTL.  A pte that
holds the page counts, or, for the walk that puts mappings back, one that holds its migration entry.
"""

from mmsim.linux.spinlock import spin_lock, spin_unlock
from mmsim.mm_types import (
    PAGE_SHIFT,
    is_swap_pte,
    pmd_offset,
    pte_lockptr,
    pte_offset_map,
    pte_pfn,
    pte_present,
)
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.swapops import (
    is_migration_entry,
    pte_to_swp_entry,
    swp_offset,
)

PVMW_SYNC = 1 << 0  # take the PTL before looking at the pte at all
PVMW_MIGRATION = 1 << 1  # look for migration entries of the page, not for the page


@cite("mm/internal.h", "5.17")
def vma_address(page, vma):
    """Where the page has to be in the vma; None if outside.  *Locks:* the object's."""
    pgoff = page.index
    if pgoff < vma.vm_pgoff:
        return None
    address = vma.vm_start + ((pgoff - vma.vm_pgoff) << PAGE_SHIFT)
    if address >= vma.vm_end:
        return None
    return address


class page_vma_mapped:
    """A walk's place: ``pte`` and ``ptl`` (held) after page_vma_mapped_walk() was true."""

    def __init__(self, page, vma, address, flags):
        self.page = page
        self.vma = vma
        self.address = address
        self.flags = flags
        self.pte = None
        self.ptl = None


@cite("mm/page_vma_mapped.c", "5.17", thread="003")
def map_pte(pvmw):
    """Find the entry and take its PTL; false if a look without the lock says there is no point.

    *Locks:* returns with the PTL.  *Race:* the look without the lock may be wrong either way; a
    walk that must not miss anything asks for PVMW_SYNC.
    """
    pmd = pmd_offset(pvmw.vma.vm_mm, pvmw.address)
    if pmd is None:
        return False
    pvmw.pte = pte_offset_map(pmd, pvmw.address)
    if not pvmw.flags & PVMW_SYNC:
        if pvmw.flags & PVMW_MIGRATION:
            if not is_swap_pte(pvmw.pte.pte):
                return False
        elif not pte_present(pvmw.pte.pte):
            return False
    if patched("no-ptl-remove") and pvmw.flags & PVMW_MIGRATION:
        return True
    pvmw.ptl = pte_lockptr(pmd)
    spin_lock(pvmw.ptl)
    return True


@cite("mm/page_vma_mapped.c", "5.17", thread="003")
def check_pte(pvmw):
    """Is it this page (or a migration entry for it)?  Compares frames.  *Locks:* PTL."""
    pte = pvmw.pte.pte
    if pvmw.flags & PVMW_MIGRATION:
        if not is_swap_pte(pte):
            return False
        entry = pte_to_swp_entry(pte)
        if not is_migration_entry(entry):
            return False
        return swp_offset(entry) == pvmw.page.pfn
    return pte_present(pte) and pte_pfn(pte) == pvmw.page.pfn


@cite("mm/page_vma_mapped.c", "5.17", thread="003")
def page_vma_mapped_walk(pvmw):
    """True, with the PTL held, if the page is mapped at pvmw.address.  One entry per vma here."""
    if not map_pte(pvmw):
        return False
    if check_pte(pvmw):
        return True
    page_vma_mapped_walk_done(pvmw)
    return False


@cite("include/linux/rmap.h", "5.17")
def page_vma_mapped_walk_done(pvmw):
    """Drop the PTL."""
    if pvmw.ptl is not None:
        spin_unlock(pvmw.ptl)
        pvmw.ptl = None
