# SPDX-License-Identifier: GPL-2.0-only
"""Migration entries once they are there (mm/migrate.c, 5.17): who removes them, who waits for them.

Both look under the PTL.  The waiter may conclude from an entry that the page is locked only because
whoever unlocks the page has removed all its entries before; and the walk that removes them goes
where the page ought to be mapped, so an entry that was moved meanwhile stays behind.
"""

from mmsim.filemap import (
    migration_entry_wait_on_locked,
    put_and_wait_on_page_locked,
    wait_on_page_locked,
)
from mmsim.linux.spinlock import spin_lock, spin_unlock
from mmsim.lru import put_page
from mmsim.mlock import mlock_vma_page
from mmsim.mm_types import (
    VM_LOCKED,
    is_swap_pte,
    maybe_mkwrite,
    mk_pte,
    pte_lockptr,
    pte_mkold,
    pte_offset_map,
    set_pte_at,
)
from mmsim.model.cite import cite
from mmsim.model.era import era
from mmsim.model.gate import patched
from mmsim.page import (
    PageAnon,
    get_page,
    get_page_unless_zero,
)
from mmsim.page_vma_mapped import (
    PVMW_MIGRATION,
    PVMW_SYNC,
    page_vma_mapped,
    page_vma_mapped_walk,
    page_vma_mapped_walk_done,
)
from mmsim.rmap import (
    page_add_anon_rmap,
    page_add_file_rmap,
    rmap_walk,
    rmap_walk_control,
)
from mmsim.swapops import (
    is_migration_entry,
    is_writable_migration_entry,
    pfn_swap_entry_to_page,
    pte_to_swp_entry,
)


@cite("mm/migrate.c", "5.17", thread="003")
def remove_migration_pte(new, vma, address, old):
    """Where ``old`` left a migration entry in this vma, map ``new``; with a reference.

    The address comes from ``new``, which has the old one's mapping and index by now; the entry is
    known by the old one's frame.  *Locks:* entered with both page locks and the object's; takes the
    PTL, before it looks at the pte at all.
    """
    pvmw = page_vma_mapped(old, vma, address, PVMW_SYNC | PVMW_MIGRATION)
    if page_vma_mapped_walk(pvmw):
        get_page(new)
        pte = pte_mkold(mk_pte(new))
        entry = pte_to_swp_entry(pvmw.pte.pte)
        if is_writable_migration_entry(entry):
            pte = maybe_mkwrite(pte, vma)
        # counted first: whoever finds the pte may take it away again at once
        if PageAnon(new):
            page_add_anon_rmap(new, vma, pvmw.address)
        else:
            page_add_file_rmap(new)
        set_pte_at(pvmw.pte, pte)
        if vma.vm_flags & VM_LOCKED:
            mlock_vma_page(new)
        page_vma_mapped_walk_done(pvmw)
    return True


@cite("mm/migrate.c", "5.17", thread="003")
def remove_migration_ptes(old, new):
    """Turn every migration entry of ``old`` into a pte of ``new`` (``old`` itself if it stays).

    *Locks:* entered with both page locks; may sleep for the object's.
    *Race:* an entry that is not where the walk looks is left behind, and nobody notices.
    """
    rmap_walk(new, rmap_walk_control(remove_migration_pte, arg=old))


# -- waiting --------------------------------------------------------------------------------------


@cite("mm/migrate.c", "5.17", thread="003")
def __migration_entry_wait(ptep, ptl):
    """Sleep until the page of the entry at ``ptep`` has been migrated, if it is still there.

    *Locks:* takes the PTL and drops it; sleeps.  *Race:* 5.17 none.  5.16 holds a reference while
    it sets out to wait, and a page with one reference too many cannot be migrated.
    """
    if patched("stale-pte"):
        pte = ptep.pte
        if is_swap_pte(pte):
            pfn_swap_entry_to_page(pte_to_swp_entry(pte))
    spin_lock(ptl)
    pte = ptep.pte
    if not is_swap_pte(pte):
        spin_unlock(ptl)
        return
    entry = pte_to_swp_entry(pte)
    if not is_migration_entry(entry):
        spin_unlock(ptl)
        return
    if era().version >= (5, 17):
        migration_entry_wait_on_locked(entry, ptep, ptl)
        return
    page = pfn_swap_entry_to_page(entry)
    if not get_page_unless_zero(page):
        # its count is frozen: fault again
        spin_unlock(ptl)
        return
    spin_unlock(ptl)
    if patched("wait-with-reference"):
        wait_on_page_locked(page)
        put_page(page)
    else:
        put_and_wait_on_page_locked(page)


@cite("mm/migrate.c", "5.17", thread="003")
def migration_entry_wait(mm, pmd, address):
    """__migration_entry_wait() for an address.  *Locks:* sleeps."""
    __migration_entry_wait(pte_offset_map(pmd, address), pte_lockptr(pmd))
