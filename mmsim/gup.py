# SPDX-License-Identifier: GPL-2.0-only
"""Finding the page behind an address of somebody else's memory (mm/gup.c, 5.17).

The PTL is what makes the reference safe: while it is held the pte stays, and with it the page.
An entry that is not present is not followed; who needs the page has to fault it in.
"""

from mmsim.memory_model import pfn_to_page
from mmsim.mm_types import (
    PAGE_SHIFT,
    pmd_offset,
    pte_offset_map_lock,
    pte_pfn,
    pte_present,
    pte_special,
    pte_unmap_unlock,
)
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.page import SetPageReferenced, __SetPageReferenced, get_page

FOLL_TOUCH = 0x02
FOLL_GET = 0x04


@cite("mm/gup.c", "5.17", thread="003")
def follow_page_pte(vma, address, pmd, flags):
    """The page mapped at ``address``, or None; with a reference for FOLL_GET.

    *Locks:* entered with mmap_lock; takes the PTL.  *Race:* the page may be locked and unlocked by
    anybody meanwhile, so FOLL_TOUCH has to set its flag atomically (gate ``lost-bit`` does not).
    """
    ptep, ptl = pte_offset_map_lock(pmd, address)
    pte = ptep.pte
    if not pte_present(pte) or pte_special(pte):
        pte_unmap_unlock(ptep, ptl)
        return None
    page = pfn_to_page(pte_pfn(pte))
    if flags & FOLL_GET:
        get_page(page)
    if flags & FOLL_TOUCH:
        # the first half of mark_page_accessed()
        if patched("lost-bit"):
            __SetPageReferenced(page)
        else:
            SetPageReferenced(page)
    pte_unmap_unlock(ptep, ptl)
    return page


@cite("mm/gup.c", "5.17")
def follow_page(vma, address, flags):
    """follow_page_pte() for an address of a vma.  *Locks:* entered with mmap_lock."""
    pmd = pmd_offset(vma.vm_mm, address >> PAGE_SHIFT << PAGE_SHIFT)
    if pmd is None:
        return None
    return follow_page_pte(vma, address, pmd, flags)
