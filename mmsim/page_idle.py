# SPDX-License-Identifier: GPL-2.0-only
"""Walking memory by frame number (mm/page_idle.c, 5.4 and 5.17).

Idle page tracking looks at every frame there is.  It knows nothing of a page but its number, so it
stands where compaction and memory failure stand: no reference, no lock, and the page may be in the
middle of being freed.  It wants user pages that are on the LRU, and takes a reference unless the
count is zero (rule I2 of thread 000).
"""

from mmsim.filemap import unlock_page
from mmsim.linux.sched import cond_resched
from mmsim.linux.spinlock import spin_lock_irq, spin_unlock_irq
from mmsim.lru import put_page
from mmsim.mm_types import ptep_test_and_clear_young
from mmsim.mmzone import page_pgdat
from mmsim.model.cite import cite
from mmsim.model.era import by_version
from mmsim.page import PageAnon, PageLRU, get_page_unless_zero, page_mapped
from mmsim.page_ext import clear_page_idle, page_is_idle, set_page_idle, set_page_young
from mmsim.page_vma_mapped import (
    page_vma_mapped,
    page_vma_mapped_walk,
    page_vma_mapped_walk_done,
)
from mmsim.pagemap import trylock_page
from mmsim.rmap import page_lock_anon_vma_read, rmap_walk, rmap_walk_control


@cite("mm/page_idle.c", "4.19..5.10", thread="000")
def page_idle_get_page_v5_4(page):
    """The page with a reference if it is on the LRU, or None.

    *Locks:* takes lru_lock, to be sure that PG_lru is not in the middle of a move; puts under it,
    which is all right, since a page that is not on the LRU does not need it.  *Race:* the page may
    be freed, and be another by now; with a reference it cannot any more.
    """
    if not PageLRU(page) or not get_page_unless_zero(page):
        return None
    pgdat = page_pgdat(page)
    spin_lock_irq(pgdat.lru_lock)
    if not PageLRU(page):
        put_page(page)
        page = None
    spin_unlock_irq(pgdat.lru_lock)
    return page


@cite("mm/page_idle.c", "5.11..5.17", thread="000")
def page_idle_get_page_v5_17(page):
    """The page with a reference if it is on the LRU, or None.

    *Locks:* none: since 5.11 the lock would say no more than the second look does.
    """
    if not PageLRU(page) or not get_page_unless_zero(page):
        return None
    if not PageLRU(page):
        put_page(page)
        return None
    return page


page_idle_get_page = by_version(page_idle_get_page_v5_4, page_idle_get_page_v5_17)


@cite("mm/page_idle.c", "5.17")
def page_idle_clear_pte_refs_one(page, vma, address, arg):
    """Make the page's pte in one vma old, and remember if it was young.  *Locks:* takes the PTL."""
    pvmw = page_vma_mapped(page, vma, address, 0)
    referenced = False
    if page_vma_mapped_walk(pvmw):
        if ptep_test_and_clear_young(pvmw.pte):
            referenced = True
        page_vma_mapped_walk_done(pvmw)
    if referenced:
        clear_page_idle(page)
        # reclaim asks whether the page is used, and must not get another answer because of us
        set_page_young(page)
    return True


@cite("mm/page_idle.c", "5.17", thread="000")
def page_idle_clear_pte_refs(page):
    """Make all ptes of the page old.

    *Locks:* tries the page lock, which a walk of a file needs; may sleep for the object's.
    """
    if not page_mapped(page) or page.mapping is None:
        return
    need_lock = not PageAnon(page)
    if need_lock and not trylock_page(page):
        return
    rmap_walk(
        page,
        rmap_walk_control(page_idle_clear_pte_refs_one, anon_lock=page_lock_anon_vma_read),
    )
    if need_lock:
        unlock_page(page)


@cite("mm/page_idle.c", "5.4", thread="000")
def page_idle_bitmap_read(pages):
    """Which of these pages has nobody used since they were marked?  *Locks:* may sleep."""
    idle = []
    for page in pages:
        page = page_idle_get_page(page)
        if page is not None:
            if page_is_idle(page):
                # perhaps through a pte, which does not clear the mark
                page_idle_clear_pte_refs(page)
                if page_is_idle(page):
                    idle.append(page)
            put_page(page)
        cond_resched()
    return idle


@cite("mm/page_idle.c", "5.4", thread="000")
def page_idle_bitmap_write(pages):
    """Mark pages idle, and make their ptes old: whoever uses them will be seen.

    *Locks:* may sleep between pages.
    """
    for page in pages:
        page = page_idle_get_page(page)
        if page is not None:
            page_idle_clear_pte_refs(page)
            set_page_idle(page)
            put_page(page)
        cond_resched()
