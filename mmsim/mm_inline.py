# SPDX-License-Identifier: GPL-2.0-only
"""Small functions of the LRU lists that are not in mmzone.py (include/linux/mm_inline.h, swap.h).

They are all called with the LRU lock held, on a page that nobody else may change: which is why
they can afford flag stores that are not atomic.
"""

from mmsim.linux.bug import VM_BUG_ON_FOLIO
from mmsim.linux.list import list_last_entry
from mmsim.mmzone import LRU_ACTIVE, LRU_UNEVICTABLE, page_lru_base_type
from mmsim.model.cite import cite
from mmsim.page import (
    PageActive,
    PageLRU,
    PageMlocked,
    PageUnevictable,
    __ClearPageActive,
    __ClearPageLRU,
    __ClearPageUnevictable,
)

__mmsim_primitive__ = True  # inline in C: reports name the function it is inlined into


@cite("include/linux/mm_inline.h", "5.4")
def page_off_lru(page):
    """Which list the page is on; forgets it in the flags.

    *Locks:* lru_lock.  *Race:* the flag stores are not atomic: nobody else may hold the page.
    """
    if PageUnevictable(page):
        __ClearPageUnevictable(page)
        return LRU_UNEVICTABLE
    lru = page_lru_base_type(page)
    if PageActive(page):
        __ClearPageActive(page)
        lru += LRU_ACTIVE
    return lru


@cite("include/linux/mm_inline.h", "5.17", symbol="__folio_clear_lru_flags")
def __clear_page_lru_flags(page):
    """Forget PG_lru and what goes with it, after the list_del: too late for its own assertion.

    *Locks:* lru_lock.  *Race:* as page_off_lru().
    """
    VM_BUG_ON_FOLIO(
        lambda: not PageLRU(page), "!folio_test_lru(folio)", page,
        {"5.17": "include/linux/mm_inline.h:55"},
    )
    __ClearPageLRU(page)
    # both at once cannot be; free_pages_check will say so
    if PageActive(page) and PageUnevictable(page):
        return
    __ClearPageActive(page)
    __ClearPageUnevictable(page)


@cite("include/linux/mm_inline.h", "5.17")
def lru_to_page(head):
    """The page at the end of a list: the one that reclaim looks at first."""
    return list_last_entry(head)


@cite("mm/internal.h", "5.17")
def page_evictable(page):
    """May reclaim have it?  (A mapping that is unevictable as a whole is not modelled.)"""
    return not PageMlocked(page)
