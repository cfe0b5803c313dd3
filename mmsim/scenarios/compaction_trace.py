# SPDX-License-Identifier: GPL-2.0-only
"""The checker behind compaction's trace points (thread 001).

It sees raw values at the moment of the decision, passes no points, and what it counts no kernel
code reads.  ``wrong_skips`` are decisions of the unlocked check, for or against a page, that
differ from what the same check would say with everything held still.
"""

from mmsim.engine.door import door
from mmsim.page import PAGE_MAPPING_ANON


def _anon(page):
    return getattr(page.v_mapping, "mapping_flags", 0) & PAGE_MAPPING_ANON


class compaction_trace:
    """Counts decisions that were wrong, looks at slabs, and what was isolated."""

    def precheck(self, page, skip, own):
        """Compaction will skip the page, or not; ``own`` references are its own."""
        count = door.machine.count
        count("prechecks")
        if page.v_flags & page.m_lru:
            pinned = bool(_anon(page)) and page.v__refcount - own > page.v__mapcount + 1
        else:
            pinned = True  # under the lock it would not get as far as that
        if skip != pinned:
            count("wrong_skips")
        if page.v_flags & page.m_slab:
            count("slab_mapcounts")
            if page.v__mapcount != -1:
                count("garbage_mapcounts")

    def isolated(self, page):
        """A page was taken off the LRU."""
        count = door.machine.count
        count("isolated")
        if page.v_flags & page.m_private:
            count("isolated_with_buffers")
        if _anon(page):
            count("isolated_anon")
            if page.v__refcount - 1 > page.v__mapcount + 1:
                count("isolated_pinned")
