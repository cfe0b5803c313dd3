# SPDX-License-Identifier: GPL-2.0-only
"""Free blocks of 2^order pages, and how they merge (the lower half of mm/page_alloc.c).

A block's head carries its order in ``private`` and says in ``_mapcount`` that it is free.  Both
words mean something else in a page that is used; whoever walks over frame numbers without
zone->lock, as compaction does, reads whichever it is at the moment and must not trust it.
"""

from mmsim.linux.bug import VM_BUG_ON_PAGE
from mmsim.linux.list import (
    list_add,
    list_del,
    list_empty,
    list_first_entry,
)
from mmsim.memory_model import pfn_to_page
from mmsim.mmzone import MAX_ORDER
from mmsim.model.cite import cite
from mmsim.page import (
    PageBuddy,
    buddy_mapcount,
)
from mmsim.page_owner import page_is


@cite("mm/page_alloc.c", "5.17")
def set_buddy_order(page, order):
    """Mark the head of a free block.  *Locks:* zone->lock."""
    page.private = order
    page._mapcount = buddy_mapcount()


@cite("mm/page_alloc.c", "5.17")
def del_page_from_free_list(page, zone, order):
    """Unlink a block; its links are poison from here on.  *Locks:* zone->lock."""
    list_del(page.lru)
    page._mapcount = -1
    page.private = 0


@cite("mm/page_alloc.c", "5.17")
def page_is_buddy(page, buddy, order):
    """Is ``buddy`` a free block of this order in the same zone?  *Locks:* zone->lock."""
    if buddy is None or buddy.node != page.node:
        return False
    return PageBuddy(buddy) and buddy.private == order


@cite("mm/page_alloc.c", "5.17")
def __free_one_page(page, pfn, zone, order):
    """Put a block on its free list, merged with its buddies.  *Locks:* zone->lock."""
    VM_BUG_ON_PAGE(
        lambda: page.flags & page.PAGE_FLAGS_CHECK_AT_PREP,
        "page->flags & PAGE_FLAGS_CHECK_AT_PREP",
        page,
        {
            "4.19": "mm/page_alloc.c:812",
            "5.4": "mm/page_alloc.c:912",
            "5.17": "mm/page_alloc.c:1084",
        },
    )
    for i in range(1 << order):
        page_is(pfn_to_page(pfn + i), "free")
    while order < MAX_ORDER - 1:
        buddy_pfn = pfn ^ (1 << order)
        buddy = pfn_to_page(buddy_pfn)
        if not page_is_buddy(page, buddy, order):
            break
        del_page_from_free_list(buddy, zone, order)
        pfn &= buddy_pfn
        page = pfn_to_page(pfn)
        order += 1
    set_buddy_order(page, order)
    list_add(page.lru, zone.free_area[order])


@cite("mm/page_alloc.c", "5.17")
def expand(zone, page, low, high):
    """Give back the upper halves of a block that is too large.  *Locks:* zone->lock."""
    while high > low:
        high -= 1
        half = pfn_to_page(page.pfn + (1 << high))
        list_add(half.lru, zone.free_area[high])
        set_buddy_order(half, high)


@cite("mm/page_alloc.c", "5.17")
def __rmqueue(zone, order):
    """Take the smallest block that is large enough; None if there is none.  *Locks:* zone->lock."""
    for high in range(order, MAX_ORDER):
        area = zone.free_area[high]
        if list_empty(area):
            continue
        page = list_first_entry(area)
        del_page_from_free_list(page, zone, high)
        expand(zone, page, order, high)
        return page
    return None
