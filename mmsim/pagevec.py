# SPDX-License-Identifier: GPL-2.0-only
"""Pagevecs: small arrays of pages, each with a reference (include/linux/pagevec.h, mm/swap.c).

Taking the LRU lock for one page at a time is too dear, so each CPU collects pages that are to be
added, activated, rotated ... and takes the lock once for all.  Until then a page may be referenced
by nothing but a pagevec, with PG_lru clear and on no list.

A CPU's pagevecs are touched by that CPU alone, with preemption off; the one for rotation, which is
filled from interrupts, with interrupts off.
"""

from mmsim.linux.percpu import DEFINE_PER_CPU
from mmsim.model.cite import cite
from mmsim.model.era import era


@cite("include/linux/pagevec.h", "5.17")
def pagevec_size():
    """PAGEVEC_SIZE"""
    return 14 if era().version < (4, 15) else 15


class pagevec:
    """``pages`` grows up to PAGEVEC_SIZE.

    ``percpu_pvec_drained``: whoever releases it again and again has drained the CPU's once.
    """

    def __init__(self, pages=()):
        self.pages = list(pages)
        self.percpu_pvec_drained = False


class lru_pvecs:
    """One CPU's pagevecs, by what is to be done with their pages."""

    def __init__(self):
        self.lru_add = pagevec()
        self.lru_deactivate_file = pagevec()
        self.lru_deactivate = pagevec()
        self.lru_lazyfree = pagevec()
        self.activate_page = pagevec()
        self.lru_rotate = pagevec()

    def all(self):
        """Every pagevec, for checks."""
        return list(vars(self).values())


pvecs = DEFINE_PER_CPU(lambda cpu: lru_pvecs())


@cite("include/linux/pagevec.h", "5.17")
def pagevec_add(pvec, page):
    """Append; the room that is left (0: drain it now)."""
    pvec.pages.append(page)
    return pagevec_size() - len(pvec.pages)


@cite("include/linux/pagevec.h", "5.17")
def pagevec_space(pvec):
    """The room that is left."""
    return pagevec_size() - len(pvec.pages)


@cite("include/linux/pagevec.h", "5.17")
def pagevec_count(pvec):
    """Pages in it."""
    return len(pvec.pages)


@cite("include/linux/pagevec.h", "5.17")
def pagevec_reinit(pvec):
    """Empty it; the references must be gone."""
    pvec.pages = []
