# SPDX-License-Identifier: GPL-2.0-only
"""Dropping an anonymous page that may be in the swap cache (mm/swap_state.c)."""

from mmsim.engine.door import door
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.v2_4.filemap import UnlockPage
from mmsim.v2_4.page import PageSwapCache, TryLockPage, page_count
from mmsim.v2_4.page_alloc import page_cache_release
from mmsim.v2_4.swap import lru_cache_del
from mmsim.v2_4.swapfile import remove_exclusive_swap_page


@cite("mm/swap_state.c", "2.4.17", thread="002")
def free_page_and_swap_cache(page):
    """A pte's reference goes, and the page's place in the swap cache if nobody else wants it.

    *Locks:* entered with page_table_lock; with a patch takes pagemap_lru_lock.
    *Race:* count 1 cannot be duplicated here: it is the reference of the pte just cleared, and
    page_table_lock keeps others from finding the page there.  A pin for I/O makes it 2 or more,
    and the pin's owner may then be the last, in an interrupt.  shrink_cache may hold the page
    lock just then, without a reference; it does so under pagemap_lru_lock, for which lru_cache_del
    has to wait.
    """
    if PageSwapCache(page) and not TryLockPage(page):
        remove_exclusive_swap_page(page)
        UnlockPage(page)
    if patched("hugh-2002-02-12") and not patched("count-one-left-out"):
        if patched("del-at-any-count") or page_count(page) == 1:
            lru_cache_del(page)
            door.machine.count("count_one_free_page_and_swap_cache")
    elif patched("andrea-2002-02-14"):
        if page_count(page) == 2:
            lru_cache_del(page)
    page_cache_release(page)
