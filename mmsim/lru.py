# SPDX-License-Identifier: GPL-2.0-only
"""Putting pages on the LRU (mm/swap.c).

A new page waits in its CPU's ``lru_add`` pagevec, referenced by it, with PG_lru clear, until the
pagevec is full or somebody drains it.  From then on PG_lru says that the page is on the list of its
node and memcg.  The LRU itself holds no reference.

mm/swap.c is one file in C.  Here it is four, lowest first: pagevec.py (the arrays), lru_release.py
(dropping references), lru_move.py (moves between lists), and this one.  What others need is to be
had from here.
"""

from mmsim.linux.atomic import smp_mb
from mmsim.linux.bug import VM_BUG_ON_FOLIO, VM_BUG_ON_PAGE
from mmsim.linux.irqflags import local_irq_restore, local_irq_save
from mmsim.linux.percpu import this_cpu_ptr
from mmsim.linux.sched import preempt_disable, preempt_enable
from mmsim.linux.spinlock import spin_lock_irqsave, spin_unlock_irqrestore
from mmsim.lru_move import (
    __activate_page,
    activate_page,
    deactivate_file_page,
    deactivate_page,
    lru_deactivate_file_fn,
    lru_deactivate_fn,
    lru_lazyfree_fn,
    mark_page_accessed,
    mark_page_lazyfree,
    pagevec_lru_move_fn,
    pagevec_move_tail_fn,
    rotate_reclaimable_page,
)
from mmsim.lru_release import __put_page, put_page, release_pages
from mmsim.memcontrol import (
    folio_lruvec_relock_irqsave,
    mem_cgroup_page_lruvec,
    unlock_page_lruvec_irqrestore,
)
from mmsim.mm_inline import page_evictable
from mmsim.mmzone import add_page_to_lru_list, page_pgdat
from mmsim.model.cite import cite
from mmsim.model.era import by_version
from mmsim.page import (
    ClearPageActive,
    PageActive,
    PageLRU,
    PageUnevictable,
    SetPageLRU,
    SetPageUnevictable,
    TestClearPageUnevictable,
    get_page,
)
from mmsim.pagevec import (
    pagevec,
    pagevec_add,
    pagevec_add_and_need_flush,
    pagevec_count,
    pagevec_reinit,
    pvecs,
)
from mmsim.v3_13.swap import __pagevec_lru_add as __pagevec_lru_add_v3_13

__all__ = [
    "__pagevec_lru_add",
    "__put_page",
    "activate_page",
    "deactivate_file_page",
    "deactivate_page",
    "lru_add_drain",
    "lru_cache_add",
    "mark_page_accessed",
    "mark_page_lazyfree",
    "pagevec",
    "pagevec_add",
    "pagevec_release",
    "put_page",
    "release_pages",
    "rotate_reclaimable_page",
]


@cite("mm/swap.c", "5.4", thread="000")
def __pagevec_lru_add_fn_v5_4(page, lruvec):
    """Put a page on its list for the first time.

    *Locks:* lru_lock; the pagevec holds a reference.  *Race:* PG_lru is set before PG_mlocked is
    looked at, with a full barrier between; munlock does the reverse.  One of them sees the other.
    """
    TestClearPageUnevictable(page)
    VM_BUG_ON_PAGE(
        lambda: PageLRU(page), "PageLRU(page)", page,
        {"4.19": "mm/swap.c:872", "5.4": "mm/swap.c:911"},
    )
    SetPageLRU(page)
    smp_mb()
    if not page_evictable(page):
        ClearPageActive(page)
        SetPageUnevictable(page)
    add_page_to_lru_list(page, lruvec)


@cite("mm/swap.c", "5.17", thread="000")
def __pagevec_lru_add_fn_v5_17(page, lruvec):
    """Put a page on its list for the first time.

    *Locks:* the lruvec's; the pagevec holds a reference.  *Race:* as in 5.4.
    """
    TestClearPageUnevictable(page)
    VM_BUG_ON_FOLIO(
        lambda: PageLRU(page), "folio_test_lru(folio)", page, {"5.17": "mm/swap.c:1010"}
    )
    SetPageLRU(page)
    smp_mb()
    if not page_evictable(page):
        ClearPageActive(page)
        SetPageUnevictable(page)
    add_page_to_lru_list(page, lruvec)


@cite("mm/swap.c", "4.19..5.10", thread="000")
def __pagevec_lru_add_v5_4(pvec):
    """Put a pagevec's pages on their lists and drop its references.

    *Locks:* takes one node's lru_lock at a time, interrupts off.
    """
    pgdat = None
    flags = 0
    for page in pvec.pages:
        pagepgdat = page_pgdat(page)
        if pagepgdat is not pgdat:
            if pgdat is not None:
                spin_unlock_irqrestore(pgdat.lru_lock, flags)
            pgdat = pagepgdat
            flags = spin_lock_irqsave(pgdat.lru_lock)
        lruvec = mem_cgroup_page_lruvec(page, pgdat)
        __pagevec_lru_add_fn_v5_4(page, lruvec)
    if pgdat is not None:
        spin_unlock_irqrestore(pgdat.lru_lock, flags)
    release_pages(pvec.pages)
    pagevec_reinit(pvec)


@cite("mm/swap.c", "5.11..5.17", thread="000")
def __pagevec_lru_add_v5_17(pvec):
    """Put a pagevec's pages on their lists and drop its references.

    *Locks:* takes one lruvec's lock at a time, interrupts off.  *Race:* none: PG_lru is clear, so
    the memcg cannot change.
    """
    lruvec = None
    flags = 0
    for page in pvec.pages:
        lruvec, flags = folio_lruvec_relock_irqsave(page, lruvec, flags)
        __pagevec_lru_add_fn_v5_17(page, lruvec)
    if lruvec is not None:
        unlock_page_lruvec_irqrestore(lruvec, flags)
    release_pages(pvec.pages)
    pagevec_reinit(pvec)


__pagevec_lru_add = by_version(
    __pagevec_lru_add_v3_13, __pagevec_lru_add_v5_4, __pagevec_lru_add_v5_17
)


@cite("mm/swap.c", "5.17", symbol="folio_add_lru")
def lru_cache_add(page):
    """Queue a page for its LRU list.

    *Locks:* preemption off.  The caller keeps its reference; the pagevec takes one of its own.
    (Nobody disables the pagevecs here, as memory offlining does from 5.13 on.)
    """
    VM_BUG_ON_PAGE(
        lambda: PageActive(page) and PageUnevictable(page),
        "PageActive(page) && PageUnevictable(page)",
        page,
        {"4.19": "mm/swap.c:439", "5.4": "mm/swap.c:440", "5.17": "mm/swap.c:462"},
    )
    VM_BUG_ON_PAGE(
        lambda: PageLRU(page), "PageLRU(page)", page,
        {"4.19": "mm/swap.c:440", "5.4": "mm/swap.c:441", "5.17": "mm/swap.c:463"},
    )
    get_page(page)
    preempt_disable()
    pvec = this_cpu_ptr(pvecs).lru_add
    if pagevec_add_and_need_flush(pvec, page):
        __pagevec_lru_add(pvec)
    preempt_enable()


@cite("mm/swap.c", "5.17")
def lru_add_drain_cpu():
    """Empty all pagevecs of this CPU.  *Locks:* preemption off; takes LRU locks."""
    mine = this_cpu_ptr(pvecs)
    if pagevec_count(mine.lru_add):
        __pagevec_lru_add(mine.lru_add)
    if pagevec_count(mine.lru_rotate):
        # filled by interrupts
        flags = local_irq_save()
        pagevec_lru_move_fn(mine.lru_rotate, pagevec_move_tail_fn)
        local_irq_restore(flags)
    pagevec_lru_move_fn(mine.lru_deactivate_file, lru_deactivate_file_fn)
    pagevec_lru_move_fn(mine.lru_deactivate, lru_deactivate_fn)
    pagevec_lru_move_fn(mine.lru_lazyfree, lru_lazyfree_fn)
    pagevec_lru_move_fn(mine.activate_page, __activate_page)


@cite("mm/swap.c", "5.17")
def lru_add_drain():
    """Empty this CPU's pagevecs.  *Locks:* takes LRU locks, interrupts off inside."""
    preempt_disable()
    lru_add_drain_cpu()
    preempt_enable()


@cite("mm/swap.c", "5.17", thread="000")
def __pagevec_release(pvec):
    """Drop a pagevec's references; what was queued on this CPU goes to the LRU first.

    That is done once for a pagevec, however often it is filled and released.
    """
    if not pvec.percpu_pvec_drained:
        lru_add_drain()
        pvec.percpu_pvec_drained = True
    release_pages(pvec.pages)
    pagevec_reinit(pvec)


@cite("include/linux/pagevec.h", "5.17", thread="000")
def pagevec_release(pvec):
    """Drop a pagevec's references, if it has any."""
    if pagevec_count(pvec):
        __pagevec_release(pvec)
