# SPDX-License-Identifier: GPL-2.0-only
"""Which lruvec a page belongs to, and how that changes (mm/memcontrol.c, memcontrol.h).

Until 5.10 the memcg of a page decides only whose counters change: the lock is the node's.  From
5.11 on it decides whose *lock* is taken.  ``folio_lruvec_lock`` reads the memcg, then takes the
lock it found, and nothing in between keeps the answer right but rule I4 of thread 000: a page
changes its memcg only while it is isolated.  ``lruvec_memcg_debug`` looks again under the lock,
with DEBUG_VM only.

A page that is charged to nobody is on the root's lruvec.  Moving charges between memcgs is in
memcg_move.py.
"""

from mmsim.linux.bug import VM_BUG_ON_FOLIO, VM_BUG_ON_PAGE, VM_WARN_ON_ONCE_FOLIO
from mmsim.linux.list import list_empty, list_entry
from mmsim.linux.spinlock import (
    spin_lock_irq,
    spin_lock_irqsave,
    spin_unlock_irq,
    spin_unlock_irqrestore,
)
from mmsim.mmzone import (
    add_page_to_lru_list,
    del_page_from_lru_list,
    mem_cgroup_disabled,
    page_lru,
    page_pgdat,
)
from mmsim.model.cite import cite
from mmsim.model.era import IS_ENABLED, era, kernel
from mmsim.page import ClearPageLRU, PageLRU, SetPageLRU, page_count


@cite("include/linux/memcontrol.h", "5.17")
def page_memcg(page):
    """page->mem_cgroup; folio_memcg() from 5.11 on.  None: charged to nobody."""
    return page.mem_cgroup


@cite("mm/memcontrol.c", "5.4", thread="000")
def mem_cgroup_page_lruvec(page, pgdat):
    """The page's lruvec on its node.

    *Locks:* lru_lock, until 5.10.  *Race:* stable only while the memcg is: page lock, isolation,
    or no reference left.
    """
    if mem_cgroup_disabled():
        return kernel().root_mem_cgroup.lruvecs[pgdat.node_id]
    memcg = page.mem_cgroup
    if memcg is None:
        memcg = kernel().root_mem_cgroup
    return memcg.lruvecs[pgdat.node_id]


@cite("include/linux/memcontrol.h", "5.17", thread="000")
def folio_lruvec(page):
    """The page's lruvec now.  *Race:* as mem_cgroup_page_lruvec()."""
    memcg = page_memcg(page)
    VM_WARN_ON_ONCE_FOLIO(
        lambda: memcg is None and not mem_cgroup_disabled(),
        "!memcg && !mem_cgroup_disabled()",
        page,
        {"5.17": "include/linux/memcontrol.h:746"},
    )
    if memcg is None:
        memcg = kernel().root_mem_cgroup
    return memcg.lruvecs[page.node]


@cite("mm/memcontrol.c", "5.17", thread="000")
def lruvec_memcg_debug(lruvec, page):
    """With DEBUG_VM: is this lruvec still the page's?  *Locks:* the lruvec's."""
    if not IS_ENABLED("DEBUG_VM") or mem_cgroup_disabled():
        return
    memcg = page_memcg(page)
    if memcg is None:
        memcg = kernel().root_mem_cgroup
        text, line = "lruvec_memcg(lruvec) != root_mem_cgroup", 1176
    else:
        text, line = "lruvec_memcg(lruvec) != memcg", 1178
    VM_BUG_ON_FOLIO(
        lambda: lruvec.memcg is not memcg, text, page, {"5.17": f"mm/memcontrol.c:{line}"}
    )


@cite("mm/memcontrol.c", "5.17", thread="000")
def folio_lruvec_lock_irq(page):
    """Lock the page's lruvec.  *Locks:* takes it, interrupts off.  *Race:* memcg read first: I4."""
    lruvec = folio_lruvec(page)
    spin_lock_irq(lruvec.lru_lock)
    lruvec_memcg_debug(lruvec, page)
    return lruvec


@cite("mm/memcontrol.c", "5.17", thread="000")
def folio_lruvec_lock_irqsave(page):
    """(lruvec, flags): lock the page's lruvec.  *Race:* as folio_lruvec_lock_irq()."""
    lruvec = folio_lruvec(page)
    flags = spin_lock_irqsave(lruvec.lru_lock)
    lruvec_memcg_debug(lruvec, page)
    return lruvec, flags


@cite("include/linux/memcontrol.h", "5.17")
def unlock_page_lruvec_irq(lruvec):
    """Undo folio_lruvec_lock_irq()."""
    spin_unlock_irq(lruvec.lru_lock)


@cite("include/linux/memcontrol.h", "5.17")
def unlock_page_lruvec_irqrestore(lruvec, flags):
    """Undo folio_lruvec_lock_irqsave()."""
    spin_unlock_irqrestore(lruvec.lru_lock, flags)


@cite("include/linux/memcontrol.h", "5.17", thread="000")
def folio_matches_lruvec(page, lruvec):
    """Is the page on this lruvec: same node, same memcg?  (An uncharged page has none.)"""
    if lruvec.pgdat is not page_pgdat(page):
        return False
    return mem_cgroup_disabled() or lruvec.memcg is page_memcg(page)


@cite("include/linux/memcontrol.h", "5.17", thread="000")
def folio_lruvec_relock_irqsave(page, locked, flags):
    """(lruvec, flags): keep the lock that is held if it is the page's, swap it otherwise."""
    if locked is not None:
        if folio_matches_lruvec(page, locked):
            return locked, flags
        unlock_page_lruvec_irqrestore(locked, flags)
    return folio_lruvec_lock_irqsave(page)


# -- charging -------------------------------------------------------------------------------------


@cite("mm/memcontrol.c", "5.4", thread="000")
def lock_page_lru(page):
    """Take the page off its list if it is on one; true if it was, for unlock_page_lru().

    *Locks:* page lock and a reference held; returns with lru_lock, interrupts off.  *Race:* none:
    PG_lru is changed by the holder of a reference (I1), under the lock of the list (I3).
    """
    pgdat = page_pgdat(page)
    spin_lock_irq(pgdat.lru_lock)
    if not PageLRU(page):
        return False
    lruvec = mem_cgroup_page_lruvec(page, pgdat)
    ClearPageLRU(page)
    del_page_from_lru_list(page, lruvec, page_lru(page))
    return True


@cite("mm/memcontrol.c", "5.4", thread="000")
def unlock_page_lru(page, isolated):
    """Put the page on the list of its new memcg.  *Locks:* drops lru_lock."""
    pgdat = page_pgdat(page)
    if isolated:
        lruvec = mem_cgroup_page_lruvec(page, pgdat)
        VM_BUG_ON_PAGE(lambda: PageLRU(page), "PageLRU(page)", page, "mm/memcontrol.c:2758")
        SetPageLRU(page)
        add_page_to_lru_list(page, lruvec)
    spin_unlock_irq(pgdat.lru_lock)


@cite("mm/memcontrol.c", "5.4", thread="000")
def commit_charge(page, memcg, lrucare=False):
    """Charge the page; ``lrucare`` if it may be on the LRU already (swap cache, until 5.7).

    *Locks:* page lock.  *Race:* whoever has isolated the page looks the lruvec up again when it
    puts the page back, under the lock, which is the node's whatever the memcg.
    """
    VM_BUG_ON_PAGE(
        lambda: page.mem_cgroup is not None, "page->mem_cgroup", page, "mm/memcontrol.c:2770"
    )
    isolated = lrucare and lock_page_lru(page)
    page.mem_cgroup = memcg
    if lrucare:
        unlock_page_lru(page, isolated)


@cite("mm/memcontrol.c", "5.4", thread="000")
def uncharge_page(page):
    """The page leaves its memcg (uncharge_folio() from 5.16 on).  *Race:* none: it is ours."""
    if era().version >= (5, 16):
        VM_BUG_ON_FOLIO(
            lambda: PageLRU(page), "folio_test_lru(folio)", page, {"5.17": "mm/memcontrol.c:6826"}
        )
    else:
        VM_BUG_ON_PAGE(
            lambda: PageLRU(page), "PageLRU(page)", page,
            {"4.19": "mm/memcontrol.c:6139", "5.4": "mm/memcontrol.c:6717"},
        )
        VM_BUG_ON_PAGE(
            lambda: page_count(page),
            "page_count(page) && !is_zone_device_page(page) && !PageHWPoison(page)",
            page,
            {"4.19": "mm/memcontrol.c:6140", "5.4": "mm/memcontrol.c:6718"},
        )
    if page.mem_cgroup is None:
        return
    page.mem_cgroup = None


@cite("mm/memcontrol.c", "5.17")
def mem_cgroup_uncharge(page):
    """The page is about to be freed: it belongs to no memcg any more."""
    if page.mem_cgroup is None:
        return
    uncharge_page(page)


@cite("mm/memcontrol.c", "5.17")
def mem_cgroup_uncharge_list(page_list):
    """The same for a private list."""
    if list_empty(page_list):
        return
    node = page_list.next
    while node is not page_list:
        page = list_entry(node)
        node = node.next
        uncharge_page(page)
