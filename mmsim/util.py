# SPDX-License-Identifier: GPL-2.0-only
"""What a page is mapped by, for those who do not own it (mm/util.c; page_mapcount() of mm.h).

Both functions answer from words that mean something else once the page is a slab, and their callers
hold nothing that would keep it from becoming one.  ``page_mapping`` knows: a slab has no mapping.
``page_mapcount`` did not have to know until ``1d148e218a0d`` made it an assertion; that assertion,
and not the compaction code that ran into it, is what thread 001 removes.
"""

from mmsim.linux.atomic import atomic_read
from mmsim.linux.bug import VM_BUG_ON_PAGE
from mmsim.memory_model import pfn_to_page
from mmsim.model.cite import cite
from mmsim.model.era import era, kernel
from mmsim.model.gate import patched
from mmsim.page import (
    PAGE_MAPPING_ANON,
    PageCompound,
    PageHead,
    PageSlab,
    PageSwapCache,
    compound_head,
)


@cite("mm/util.c", "4.19", thread="001")
def page_mapping(page):
    """The address_space of a file or swap-cache page; None for anonymous pages and slabs.

    *Locks:* none asked for.  *Race:* without a reference each look may be at another owner.  If
    PG_slab comes between the first look and the last, the last reads ``slab_cache`` and returns it.
    """
    page = compound_head(page)
    if PageSlab(page):
        return None
    if PageSwapCache(page):
        return kernel().swapper_space  # swap_address_space(): one is enough for the slots here
    mapping = page.mapping
    if getattr(mapping, "mapping_flags", 0) & PAGE_MAPPING_ANON:
        return None
    return mapping


@cite("include/linux/mm.h", "4.19", thread="001")
def page_mapcount(page):
    """How many ptes map it.

    *Locks:* none asked for.  *Race:* of a page that is not ours the word may be anybody's: SLAB's
    ``active``, until 4.17 SLUB's counters, a free page's type.
    """
    if era().version < (5, 7) and not patched("mapcount-no-assert"):
        VM_BUG_ON_PAGE(
            lambda: PageSlab(page), "PageSlab(page)", page, {"4.19": "./include/linux/mm.h:626"}
        )
    if PageCompound(page):
        return atomic_read(compound_head(page), "_mapcount") + 1
    return atomic_read(page, "_mapcount") + 1


@cite("include/linux/mm.h", "4.19", thread="001")
def compound_order(page):
    """Order of the compound page it heads, 0 for any other page: a word of the first tail.

    *Race:* of a page that is not ours it is a guess that callers have to bound.
    """
    if not PageHead(page):
        return 0
    return pfn_to_page(page.pfn + 1).compound_order
