# SPDX-License-Identifier: GPL-2.0-only
"""Who got and who freed a page (mm/page_owner.c), and the checker's knowledge of it.

``page.state`` is not a field of struct page: "allocated", "tail" (of an allocated block), "pcp",
"free" or "bad".  With page_owner's record it is one word, "owner", that changes in one effect; no
kernel code reads it.  A free of a page that is not allocated is entered as "double free" at the
moment it happens, which no kernel does: in life it is seen much later, as one page with two owners.
"""

from mmsim.engine.door import access, current
from mmsim.engine.op import ALL, WRITE, Op
from mmsim.linux.bug import report
from mmsim.memory_model import pfn_to_page
from mmsim.model.cite import cite

HISTORY = 8  # records kept of a page
_ENTER = Op(WRITE, "owner", reads=ALL)  # state and history; orders nothing


def _enter(page, state, what):
    """Effect: the old state."""
    old = page.state
    page.state = state
    if what:
        ctx = current()
        if len(page.history) == HISTORY:
            del page.history[0]
        page.history.append(f"{what} by {ctx.comm}/{ctx.pid} (cpu {ctx.cpu.id})")
    return old


def page_is(page, state):
    """The checker's note that a page has come to another list, or is leaked."""
    access(_ENTER, page, _enter, page, state, "")


@cite("mm/page_owner.c", "5.17")
def set_page_owner(page, order):
    """Record who got the pages; the checker enters one that already has an owner."""
    if access(_ENTER, page, _enter, page, "allocated", "allocated") == "allocated":
        report("double-free", "page allocated twice", page=page)
    for i in range(1, 1 << order):
        tail = pfn_to_page(page.pfn + i)
        access(_ENTER, tail, _enter, tail, "tail", "allocated")


@cite("mm/page_owner.c", "5.17")
def reset_page_owner(page, order):
    """Record who freed the pages; the checker enters one that is free already."""
    # pages of a block that is no compound page may be freed one by one
    if access(_ENTER, page, _enter, page, "pcp", "freed") not in ("allocated", "tail"):
        report("double-free", "double free", page=page, detail=page.history[-2:])
    for i in range(1, 1 << order):
        tail = pfn_to_page(page.pfn + i)
        access(_ENTER, tail, _enter, tail, "pcp", "freed")
