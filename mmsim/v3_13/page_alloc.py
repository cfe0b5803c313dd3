# SPDX-License-Identifier: GPL-2.0-only
"""CMA in 3.13 (mm/page_alloc.c): empty a frame by moving away what is in it."""

from mmsim.linux.list import LIST_HEAD
from mmsim.model.cite import cite
from mmsim.v3_13.compaction import isolate_migratepages_page
from mmsim.v3_13.migrate import migrate_pages
from mmsim.v3_13.swap import lru_add_drain_all


@cite("mm/page_alloc.c", "3.13", thread="004")
def alloc_contig_range(page):
    """CMA wants this frame: isolate what is in it and move it away; true if it went.

    *Locks:* may sleep.  Without marking the pageblock MIGRATE_ISOLATE, and without a second drain
    and the allocation at the end: what is asked is whether the page moves.
    """
    lru_add_drain_all()
    migratepages = LIST_HEAD("migratepages")
    if not isolate_migratepages_page(page, migratepages):
        return False
    return migrate_pages(migratepages) == 0
