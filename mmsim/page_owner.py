# SPDX-License-Identifier: GPL-2.0-only
"""Who got and who freed a page (mm/page_owner.c), and the checker's knowledge of it.

``page.state`` is not a field of struct page: "allocated", "tail" (of an allocated block), "pcp",
"free" or "bad".  It changes where page_owner writes its record, in one effect.  A free of a page
that is not allocated is entered as "double free" at the moment it happens, which no kernel does: in
life it is seen much later, as one page with two owners.
"""

from mmsim.engine.door import access, current
from mmsim.engine.op import ALL, RMW, WRITE, Op
from mmsim.linux.bug import report
from mmsim.model.cite import cite
from mmsim.model.era import kernel

HISTORY = 8  # records kept of a page


def _record(page, what):
    ctx = current()
    if len(page.history) == HISTORY:
        del page.history[0]
    page.history.append(f"{what} by {ctx.comm}/{ctx.pid} (cpu {ctx.cpu.id})")


def _tails(page, order):
    mem_map = kernel().mem_map
    first = page.pfn - mem_map[0].pfn + 1
    return mem_map[first : first + (1 << order) - 1]


_DISOWNS = Op(RMW, "owner")  # state, order and history
_OWNS = Op(
    WRITE,
    "owner",
    reads=ALL,
    also=lambda page, _, order: [(tail, _DISOWNS) for tail in _tails(page, order)],
)


def _owned(page, order):
    twice = page.state == "allocated"
    page.state = "allocated"
    page.order = order
    for tail in _tails(page, order):
        tail.state = "tail"
    _record(page, "allocated")
    return twice


def _disowned(page):
    owned = page.state == "allocated"
    page.state = "pcp"
    _record(page, "freed")
    return owned


@cite("mm/page_owner.c", "5.17")
def set_page_owner(page, order):
    """Record who got the page; the checker enters one that already has an owner."""
    if access(_OWNS, page, _owned, page, order):
        report("double-free", "page allocated twice", page=page)


@cite("mm/page_owner.c", "5.17")
def reset_page_owner(page):
    """Record who freed the page; the checker enters one that is free already."""
    if not access(_DISOWNS, page, _disowned, page):
        report("double-free", "double free", page=page, detail=page.history[-2:])
