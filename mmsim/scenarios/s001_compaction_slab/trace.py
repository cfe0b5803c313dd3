# SPDX-License-Identifier: GPL-2.0-only
"""The checker behind compaction's trace points (thread 001).

It sees raw values at the moment of the decision, passes no points, and what it counts no kernel
code reads.  A run counts all of METRICS, nought included:

    prechecks             decisions of the unlocked check, for or against a page
    wrong_skips           those that differ from what the same check would say with all held still
    slab_mapcounts        those that asked a slab how often it is mapped
    garbage_mapcounts     and read something else in that word than "not mapped"
    refused_with_buffers  pages with buffer heads that a comparison of references turned away
    isolated...           pages taken off the LRU; with buffers; anonymous; pinned all the same
    lru_lock_holds        how often the scanner took lru_lock
"""

from mmsim.engine.door import door
from mmsim.page import PAGE_MAPPING_ANON

METRICS = (
    "prechecks",
    "wrong_skips",
    "slab_mapcounts",
    "garbage_mapcounts",
    "refused_with_buffers",
    "isolated",
    "isolated_with_buffers",
    "isolated_anon",
    "isolated_pinned_anon",
    "isolated_pinned_file",
    "lru_lock_holds",
)


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
        if skip:
            self.refused(page)

    def refused(self, page):
        """A comparison of its references with its mappings has turned the page away."""
        if page.v_flags & page.m_private:
            door.machine.count("refused_with_buffers")

    def isolated(self, page):
        """A page was taken off the LRU; one of its references is the isolation's."""
        count = door.machine.count
        count("isolated")
        buffers = page.v_flags & page.m_private != 0
        if buffers:
            count("isolated_with_buffers")
        unexplained = page.v__refcount - 1 - (page.v__mapcount + 1)
        if _anon(page):
            count("isolated_anon")
            if unexplained > 0:
                count("isolated_pinned_anon")
        elif unexplained > 1 + buffers:
            count("isolated_pinned_file")
