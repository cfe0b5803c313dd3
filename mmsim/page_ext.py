# SPDX-License-Identifier: GPL-2.0-only
"""Two bits that idle page tracking has of each page (include/linux/page_idle.h, 5.17).

On 32 bit, where page->flags has no room, they are in a word beside the page (page_ext); on 64 bit
in page->flags, but nothing here depends on what they share a word with.

PG_idle is set by whoever tracks, and cleared by whoever uses the page.  PG_young keeps for reclaim
what a tracker took away: that a pte had been used.
"""

from mmsim.linux.bitops import clear_bit, set_bit, test_bit
from mmsim.model.cite import cite

__mmsim_primitive__ = True  # inline in C: reports name the function it is inlined into

PAGE_EXT_YOUNG = 0
PAGE_EXT_IDLE = 1


@cite("include/linux/page_idle.h", "5.17")
def page_is_young(page):
    """Had a pte been used, before a tracker made it old?"""
    return test_bit(PAGE_EXT_YOUNG, page, "page_ext")


@cite("include/linux/page_idle.h", "5.17")
def set_page_young(page):
    """Somebody used it."""
    set_bit(PAGE_EXT_YOUNG, page, "page_ext")


@cite("include/linux/page_idle.h", "5.17")
def page_is_idle(page):
    """Has nobody used it since set_page_idle()?"""
    return test_bit(PAGE_EXT_IDLE, page, "page_ext")


@cite("include/linux/page_idle.h", "5.17")
def set_page_idle(page):
    """A tracker begins to watch."""
    set_bit(PAGE_EXT_IDLE, page, "page_ext")


@cite("include/linux/page_idle.h", "5.17")
def clear_page_idle(page):
    """Somebody used it."""
    clear_bit(PAGE_EXT_IDLE, page, "page_ext")
