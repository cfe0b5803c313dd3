# SPDX-License-Identifier: GPL-2.0-only
"""Moving pages between and within LRU lists in batches (mm/swap.c).

Each kind of move is a function that is called under the LRU lock, and a pagevec of its own.  The
pagevec's reference keeps the page alive; it does not keep it on the list, nor in its memcg.  5.4
therefore looks at PG_lru under the lock.  In 5.17 that would be too late, since the lock itself
depends on the memcg: PG_lru is cleared *before*, to keep charge moving out, and set again after.
"""

from mmsim.linux.irqflags import local_irq_restore, local_irq_save
from mmsim.linux.percpu import this_cpu_ptr
from mmsim.linux.sched import preempt_disable, preempt_enable
from mmsim.linux.spinlock import spin_lock_irqsave, spin_unlock_irqrestore
from mmsim.lru_release import release_pages
from mmsim.memcontrol import (
    folio_lruvec_relock_irqsave,
    mem_cgroup_page_lruvec,
    unlock_page_lruvec_irqrestore,
)
from mmsim.mmzone import (
    add_page_to_lru_list,
    add_page_to_lru_list_tail,
    del_page_from_lru_list,
    page_pgdat,
)
from mmsim.model.cite import cite
from mmsim.model.era import by_version
from mmsim.model.gate import patched
from mmsim.page import (
    ClearPageActive,
    ClearPageReferenced,
    ClearPageSwapBacked,
    PageActive,
    PageAnon,
    PageDirty,
    PageLocked,
    PageLRU,
    PageReferenced,
    PageSwapBacked,
    PageSwapCache,
    PageUnevictable,
    PageWriteback,
    SetPageActive,
    SetPageLRU,
    SetPageReclaim,
    SetPageReferenced,
    TestClearPageLRU,
    get_page,
    get_page_unless_zero,
    page_mapped,
)
from mmsim.page_ext import clear_page_idle, page_is_idle
from mmsim.pagevec import pagevec_add_and_need_flush, pagevec_reinit, pvecs


@cite("mm/swap.c", "3.13..5.10", thread="000")
def pagevec_lru_move_fn_v5_4(pvec, move_fn):
    """Move the pages of a pagevec and drop its references.

    *Locks:* takes one node's lru_lock at a time, interrupts off.  *Race:* none: PG_lru is looked at
    under the lock, and the lock depends on nothing that changes.
    """
    if not pvec.pages:
        return
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
        if PageLRU(page):  # which each move_fn of 5.4 asks for itself
            move_fn(page, lruvec)
    if pgdat is not None:
        spin_unlock_irqrestore(pgdat.lru_lock, flags)
    release_pages(pvec.pages)
    pagevec_reinit(pvec)


@cite("mm/swap.c", "5.11..5.17", thread="000")
def pagevec_lru_move_fn_v5_17(pvec, move_fn):
    """Move the pages of a pagevec and drop its references.

    *Locks:* takes one lruvec's lock at a time, interrupts off.  *Race:* while PG_lru is clear the
    page's memcg stays: I4.  ``pagevec-move-no-testclear`` leaves it set, as 5.4 may.
    """
    if not pvec.pages:
        return
    lruvec = None
    flags = 0
    for page in pvec.pages:
        if patched("pagevec-move-no-testclear"):
            lruvec, flags = folio_lruvec_relock_irqsave(page, lruvec, flags)
            if PageLRU(page):
                move_fn(page, lruvec)
            continue
        # keeps the memcg as it is while the page moves
        if not TestClearPageLRU(page):
            continue
        lruvec, flags = folio_lruvec_relock_irqsave(page, lruvec, flags)
        move_fn(page, lruvec)
        SetPageLRU(page)
    if lruvec is not None:
        unlock_page_lruvec_irqrestore(lruvec, flags)
    release_pages(pvec.pages)
    pagevec_reinit(pvec)


pagevec_lru_move_fn = by_version(pagevec_lru_move_fn_v5_4, pagevec_lru_move_fn_v5_17)


# -- rotation: a page whose writeback is over goes to the tail, from interrupt context ------------


@cite("mm/swap.c", "5.17", thread="000")
def pagevec_move_tail_fn(page, lruvec):
    """To the end that reclaim looks at first.  *Locks:* lru_lock."""
    if not PageUnevictable(page):
        del_page_from_lru_list(page, lruvec)
        ClearPageActive(page)
        add_page_to_lru_list_tail(page, lruvec)


@cite("mm/swap.c", "5.17", thread="000", symbol="folio_rotate_reclaimable")
def rotate_reclaimable_page(page):
    """Writeback has ended and reclaim is waiting for the page: queue it for the tail.

    *Locks:* any context, interrupts included: this is why lru_lock is irq-safe everywhere.
    *Race:* the caller's page is kept by being under writeback; the get is a plain one.
    """
    if not PageLocked(page) and not PageDirty(page) and not PageUnevictable(page) and PageLRU(page):
        get_page(page)
        flags = local_irq_save()
        pvec = this_cpu_ptr(pvecs).lru_rotate
        if pagevec_add_and_need_flush(pvec, page):
            pagevec_lru_move_fn(pvec, pagevec_move_tail_fn)
        local_irq_restore(flags)


# -- activation -----------------------------------------------------------------------------------


@cite("mm/swap.c", "5.17", symbol="__folio_activate")
def __activate_page(page, lruvec):
    """To the active list.  *Locks:* lru_lock."""
    if not PageActive(page) and not PageUnevictable(page):
        del_page_from_lru_list(page, lruvec)
        SetPageActive(page)
        add_page_to_lru_list(page, lruvec)


@cite("mm/swap.c", "5.17", symbol="folio_activate")
def activate_page(page):
    """Queue a page for activation.  *Locks:* preemption off.  The caller holds a reference."""
    if PageLRU(page) and not PageActive(page) and not PageUnevictable(page):
        preempt_disable()
        pvec = this_cpu_ptr(pvecs).activate_page
        get_page(page)
        if pagevec_add_and_need_flush(pvec, page):
            pagevec_lru_move_fn(pvec, __activate_page)
        preempt_enable()


@cite("mm/swap.c", "5.17")
def __lru_cache_activate_page(page):
    """A page that waits in *this* CPU's lru_add pagevec gets PG_active directly.

    *Race:* a page in another CPU's pagevec is not found.  And the page may be freed on another CPU
    by then: the reason why release_pages clears PG_active once more.
    """
    preempt_disable()
    for pagevec_page in reversed(this_cpu_ptr(pvecs).lru_add.pages):
        if pagevec_page is page:
            SetPageActive(page)
            break
    preempt_enable()


@cite("mm/swap.c", "5.17", symbol="folio_mark_accessed")
def mark_page_accessed(page):
    """First PG_referenced, then the active list.  The caller holds a reference."""
    if not PageReferenced(page):
        SetPageReferenced(page)
    elif not PageUnevictable(page) and not PageActive(page):
        if PageLRU(page):
            activate_page(page)
        else:
            __lru_cache_activate_page(page)
        ClearPageReferenced(page)
    if page_is_idle(page):
        clear_page_idle(page)


# -- deactivation ---------------------------------------------------------------------------------


@cite("mm/swap.c", "5.17")
def lru_deactivate_file_fn(page, lruvec):
    """A page that could not be invalidated: reclaim it soon.  *Locks:* lru_lock."""
    if PageUnevictable(page) or page_mapped(page):
        return
    del_page_from_lru_list(page, lruvec)
    ClearPageActive(page)
    ClearPageReferenced(page)
    if PageWriteback(page) or PageDirty(page):
        # PG_reclaim is meant as PG_readahead here in a small window; both only cost performance
        add_page_to_lru_list(page, lruvec)
        SetPageReclaim(page)
    else:
        add_page_to_lru_list_tail(page, lruvec)


@cite("mm/swap.c", "5.17")
def lru_deactivate_fn(page, lruvec):
    """From the active to the inactive list (MADV_COLD).  *Locks:* lru_lock."""
    if PageActive(page) and not PageUnevictable(page):
        del_page_from_lru_list(page, lruvec)
        ClearPageActive(page)
        ClearPageReferenced(page)
        add_page_to_lru_list(page, lruvec)


@cite("mm/swap.c", "5.17")
def lru_lazyfree_fn(page, lruvec):
    """An anonymous page that need not be kept (MADV_FREE).  *Locks:* lru_lock."""
    if (
        PageAnon(page)
        and PageSwapBacked(page)
        and not PageSwapCache(page)
        and not PageUnevictable(page)
    ):
        del_page_from_lru_list(page, lruvec)
        ClearPageActive(page)
        ClearPageReferenced(page)
        ClearPageSwapBacked(page)
        add_page_to_lru_list(page, lruvec)


def _queue(page, kind, move_fn):
    preempt_disable()
    pvec = getattr(this_cpu_ptr(pvecs), kind)
    if pagevec_add_and_need_flush(pvec, page):
        pagevec_lru_move_fn(pvec, move_fn)
    preempt_enable()


@cite("mm/swap.c", "5.17")
def deactivate_file_page(page):
    """Queue a file page for quick reclaim, unless it is about to be freed.

    *Race:* the callers have references, but the get does not rely on it.
    """
    if PageUnevictable(page):
        return
    if get_page_unless_zero(page):
        _queue(page, "lru_deactivate_file", lru_deactivate_file_fn)


@cite("mm/swap.c", "5.17")
def deactivate_page(page):
    """Queue a page for deactivation.  The caller holds a reference."""
    if PageLRU(page) and PageActive(page) and not PageUnevictable(page):
        get_page(page)
        _queue(page, "lru_deactivate", lru_deactivate_fn)


@cite("mm/swap.c", "5.17")
def mark_page_lazyfree(page):
    """Queue an anonymous page for lazy freeing.  The caller holds a reference."""
    if (
        PageLRU(page)
        and PageAnon(page)
        and PageSwapBacked(page)
        and not PageSwapCache(page)
        and not PageUnevictable(page)
    ):
        get_page(page)
        _queue(page, "lru_lazyfree", lru_lazyfree_fn)
