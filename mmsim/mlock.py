# SPDX-License-Identifier: GPL-2.0-only
"""PG_mlocked as it was last, before 5.18 rewrote it (mm/mlock.c, mm/swap.c, 5.17).

The half of mlock that migration and page faults have to do with.  The last pte to go takes
PG_mlocked with it; migration takes all ptes away, so the flag is set anew when they come back
(remove_migration_pte()).
"""

from mmsim.linux.atomic import atomic_add
from mmsim.linux.bug import BUG_ON, VM_BUG_ON_PAGE
from mmsim.lru import lru_cache_add
from mmsim.mm_types import VM_LOCKED
from mmsim.mmzone import page_pgdat
from mmsim.model.cite import cite
from mmsim.page import PageLocked, PageLRU, PageTail, TestClearPageMlocked, TestSetPageMlocked
from mmsim.vmscan import isolate_lru_page, putback_lru_page


@cite("mm/vmstat.c", "5.17")
def mod_zone_page_state(zone, delta):
    """Add to the zone's NR_MLOCK, the only counter of a zone here."""
    atomic_add(zone, "vmstat_mlock", delta)


@cite("mm/mlock.c", "5.17")
def clear_page_mlock(page):
    """The last pte that maps the page is gone: nobody can have it mlocked any more.

    *Locks:* under a PTL; takes the LRU lock.  *Race:* TestClear is a full barrier, as is the one in
    __pagevec_lru_add_fn(): one of the two moves the page off the unevictable list.
    """
    if not TestClearPageMlocked(page):
        return
    mod_zone_page_state(page_pgdat(page), -1)
    if not isolate_lru_page(page):
        putback_lru_page(page)


@cite("mm/mlock.c", "5.17")
def mlock_vma_page(page):
    """Mark a page mlocked and move it to the unevictable list, if it is not marked already.

    *Locks:* page lock, under a PTL; takes the LRU lock.  *Race:* a page that is isolated goes where
    the flag says when it is put back.
    """
    BUG_ON(not PageLocked(page), {"5.17": "mm/mlock.c:94"}, page)
    VM_BUG_ON_PAGE(lambda: PageTail(page), "PageTail(page)", page, {"5.17": "mm/mlock.c:96"})
    if not TestSetPageMlocked(page):
        mod_zone_page_state(page_pgdat(page), 1)
        if not isolate_lru_page(page):
            putback_lru_page(page)


@cite("mm/swap.c", "5.17")
def lru_cache_add_inactive_or_unevictable(page, vma):
    """Queue a new anonymous page, marked mlocked if its vma is.  *Locks:* PTL."""
    VM_BUG_ON_PAGE(lambda: PageLRU(page), "PageLRU(page)", page, {"5.17": "mm/swap.c:487"})
    if vma.vm_flags & VM_LOCKED:
        if not TestSetPageMlocked(page):
            mod_zone_page_state(page_pgdat(page), 1)
    lru_cache_add(page)
