# SPDX-License-Identifier: GPL-2.0-only
"""Making pages dirty (mm/page-writeback.c): the half below rmap.  page_writeback.py cleans them.

PG_dirty says that the page's contents have to be written before it can go.  The mark in the page
cache says where to look for such pages.  The flag comes first, and whoever was first to set it
sets the mark, so between the two a search does not find the page.
"""

from mmsim.filemap_cache import xas_set_mark
from mmsim.linux.spinlock import spin_lock_irqsave, spin_unlock_irqrestore
from mmsim.memcg_lock import lock_page_memcg, unlock_page_memcg
from mmsim.model.cite import cite
from mmsim.page import ClearPageReclaim, PageDirty, PageReclaim, TestSetPageDirty
from mmsim.util import page_mapping


@cite("mm/page-writeback.c", "5.17", symbol="filemap_dirty_folio")
def __set_page_dirty_nobuffers(mapping, page):
    """Set PG_dirty and the mark; true if it was clear.  Nobody keeps the books here.

    *Locks:* takes the XArray's, interrupts off.  *Race:* truncation may have taken the page out of
    the cache between the two, unless the page is locked or a pte of it is.
    """
    lock_page_memcg(page)
    if TestSetPageDirty(page):
        unlock_page_memcg(page)
        return False
    flags = spin_lock_irqsave(mapping.xa_lock)
    if page.mapping is not None:
        xas_set_mark(mapping, page.index, "dirty")
    spin_unlock_irqrestore(mapping.xa_lock, flags)
    unlock_page_memcg(page)
    return True


@cite("mm/page-writeback.c", "5.17", symbol="folio_mark_dirty")
def set_page_dirty(page):
    """The contents have changed: true if the page was clean.

    *Locks:* the page lock, or the PTL of a pte that maps it, so that it stays in its file.
    *Race:* a plain SetPageDirty() in place of this leaves the page without its mark.
    """
    mapping = page_mapping(page)
    if mapping is not None:
        # PG_reclaim and PG_readahead are one bit: whoever reads ahead must not take it for his
        if PageReclaim(page):
            ClearPageReclaim(page)
        if mapping.can_writeback:
            return __set_page_dirty_nobuffers(mapping, page)
    if not PageDirty(page):
        return not TestSetPageDirty(page)
    return False
