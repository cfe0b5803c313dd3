# SPDX-License-Identifier: GPL-2.0-only
"""The checker's ledger: who got and who freed a page.

2.4 had nothing of the kind, so that a page freed twice was seen hours later, as one page with two
owners.  The ledger compares what the allocator is told with what it did last: each page is free
or handed out, and a page that is given back must be handed out and have no users left.

It is written under zone->lock, or in one effect with the store that puts a page on
current->local_pages, so it adds no point and changes no race.  No kernel code reads it.
"""

from mmsim.engine.door import access, current
from mmsim.engine.op import ALL, WRITE, WRITE_ONCE, Op
from mmsim.linux.bug import report

__mmsim_primitive__ = True

_KEEPS = Op(WRITE, "index", "count", "ledger", reads=ALL, label="index")
_HANDS_OUT = Op(WRITE_ONCE, "count", "ledger", reads=ALL, label="count")

HISTORY = 6  # records kept of a page


def _record(page, what):
    page.history = (*page.history[1 - HISTORY :], (what, current()))


def _hand_out(page):
    free = page.freed
    page.freed = False
    page.fresh = True  # until its count is set: nobody has a reference to drop yet
    _record(page, "allocated")
    return free


def _take_back(page):
    trouble = ""
    if page.freed:
        trouble = "double free: the page is free already"
    elif page.v_count or page.fresh:
        trouble = "double free: the page has another owner"
    page.freed = True
    _record(page, "freed")
    return trouble


def _keep_index(page, order):
    page.v_index = order
    return _take_back(page)


def _set_count(page, n):
    free = _hand_out(page)
    page.v_count = n
    page.fresh = False
    return free


class Ledger:
    """What the allocator tells the checker."""

    def allocated(self, page):
        """The page leaves the zone.  *Locks:* entered with zone->lock."""
        if not _hand_out(page):
            report("double-free", "page handed out twice", page=page)

    def freed(self, page):
        """The page comes back to the zone.  *Locks:* entered with zone->lock."""
        trouble = _take_back(page)
        if trouble:
            report("double-free", trouble, page=page)

    def local(self, page, order):
        """The page goes to current->local_pages: ``page->index = order`` and the record."""
        trouble = access(_KEEPS, page, _keep_index, page, order)
        if trouble:
            report("double-free", trouble, page=page)

    def allocated_local(self, page):
        """The page leaves current->local_pages: ``set_page_count(page, 1)`` and the record."""
        if not access(_HANDS_OUT, page, _set_count, page, 1):
            report("double-free", "page handed out twice", page=page)


ledger = Ledger()
