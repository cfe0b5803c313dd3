# SPDX-License-Identifier: GPL-2.0-only
"""Walking memory by frame number (mm/page_idle.c, 5.4 and 5.17).

Idle page tracking looks at every frame there is.  It knows nothing of a page but its number, so it
stands where compaction and memory failure stand: no reference, no lock, and the page may be in the
middle of being freed.  It wants user pages that are on the LRU, and takes a reference unless the
count is zero (rule I2 of thread 000).
"""

from mmsim.linux.spinlock import spin_lock_irq, spin_unlock_irq
from mmsim.lru import put_page
from mmsim.mmzone import page_pgdat
from mmsim.model.cite import cite
from mmsim.model.era import by_version
from mmsim.page import (
    ClearPageReferenced,
    PageLRU,
    PageReferenced,
    get_page_unless_zero,
)


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


@cite("mm/page_idle.c", "5.4", thread="000")
def page_idle_bitmap_write(pages):
    """Mark pages idle: whoever touches them will set PG_referenced again.

    *Locks:* may sleep between pages.
    """
    for page in pages:
        page = page_idle_get_page(page)
        if page is not None:
            if PageReferenced(page):
                ClearPageReferenced(page)
            put_page(page)
