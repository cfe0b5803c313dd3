# SPDX-License-Identifier: GPL-2.0-only
"""How pages come onto their lists in 3.13 (mm/swap.c).

Evictable pages go through a per-CPU pagevec, unevictable ones straight to their list.  While a page
sits in a pagevec it has a reference and no PG_lru, so that whoever wants to isolate it fails; that,
and isolation by somebody else, are what munlock has to live with.  Draining a pagevec does not
look at PG_mlocked (it has done so since 4.17): a page mlocked meanwhile lands on an evictable list.

The last put takes a page off its list under lru_lock (lru_release.py).  Hence nobody may drop a
reference that could be the last while holding lru_lock.
"""

from mmsim.linux.bug import VM_BUG_ON
from mmsim.linux.percpu import this_cpu_ptr
from mmsim.linux.sched import preempt_disable, preempt_enable
from mmsim.linux.spinlock import (
    spin_lock_irq,
    spin_lock_irqsave,
    spin_unlock_irq,
    spin_unlock_irqrestore,
)
from mmsim.lru_release import release_pages
from mmsim.memcontrol import mem_cgroup_page_lruvec
from mmsim.mmzone import add_page_to_lru_list, page_pgdat
from mmsim.model.cite import cite
from mmsim.page import (
    ClearPageActive,
    PageActive,
    PageLRU,
    PageUnevictable,
    SetPageLRU,
    SetPageUnevictable,
    get_page,
)
from mmsim.pagevec import pagevec_add, pagevec_count, pagevec_reinit, pagevec_space, pvecs


@cite("mm/swap.c", "3.13")
def __pagevec_lru_add_fn(page, lruvec):
    """One page from a pagevec to its evictable list.  *Locks:* lru_lock.

    *Race:* the page may have become PG_mlocked in the meantime; reclaim finds out.
    """
    VM_BUG_ON(lambda: PageLRU(page), "mm/swap.c:900", page)
    SetPageLRU(page)
    add_page_to_lru_list(page, lruvec)


@cite("mm/swap.c", "3.13")
def __pagevec_lru_add(pvec):
    """Empty a pagevec onto the lists and drop its references.  *Locks:* takes lru_lock."""
    zone = None
    flags = 0
    for page in pvec.pages:
        pagezone = page_pgdat(page)
        if pagezone is not zone:
            if zone is not None:
                spin_unlock_irqrestore(zone.lru_lock, flags)
            zone = pagezone
            flags = spin_lock_irqsave(zone.lru_lock)
        __pagevec_lru_add_fn(page, mem_cgroup_page_lruvec(page, zone))
    if zone is not None:
        spin_unlock_irqrestore(zone.lru_lock, flags)
    release_pages(pvec.pages)
    pagevec_reinit(pvec)


@cite("mm/swap.c", "3.13")
def lru_cache_add(page):
    """Queue a page for its evictable list; the pagevec takes a reference of its own.

    *Race:* until the pagevec is drained the page has no PG_lru and cannot be isolated.
    """
    VM_BUG_ON(lambda: PageActive(page) and PageUnevictable(page), "mm/swap.c:575", page)
    VM_BUG_ON(lambda: PageLRU(page), "mm/swap.c:576", page)
    preempt_disable()
    pvec = this_cpu_ptr(pvecs).lru_add
    get_page(page)
    if not pagevec_space(pvec):
        __pagevec_lru_add(pvec)
    pagevec_add(pvec, page)
    preempt_enable()


@cite("mm/swap.c", "3.13")
def lru_add_drain():
    """Empty this CPU's pagevec.  *Locks:* takes lru_lock."""
    preempt_disable()
    pvec = this_cpu_ptr(pvecs).lru_add
    if pagevec_count(pvec):
        __pagevec_lru_add(pvec)
    preempt_enable()


@cite("mm/swap.c", "3.13")
def lru_add_drain_all():
    """Empty the pagevecs of all CPUs: here only those of this one.  *Locks:* takes lru_lock.

    In the kernel a worker on each CPU does it, and this waits for them.  There are no workers here,
    and a pagevec is its CPU's alone, so that nobody else may empty it.  What waits in other CPUs'
    pagevecs cannot be isolated for a while longer: a page that is mlocked then goes to an evictable
    list, where reclaim finds it, as after any other race with a pagevec.
    """
    lru_add_drain()


@cite("mm/swap.c", "3.13")
def add_page_to_unevictable_list(page):
    """Straight to the unevictable list, PG_lru included.  *Locks:* takes lru_lock."""
    zone = page_pgdat(page)
    spin_lock_irq(zone.lru_lock)
    lruvec = mem_cgroup_page_lruvec(page, zone)
    ClearPageActive(page)
    SetPageUnevictable(page)
    SetPageLRU(page)
    add_page_to_lru_list(page, lruvec)
    spin_unlock_irq(zone.lru_lock)


@cite("mm/swap.c", "3.13")
def pagevec_release(pvec):
    """Drop the references of a pagevec.  *Locks:* takes lru_lock."""
    if pagevec_count(pvec):
        lru_add_drain()
        release_pages(pvec.pages)
        pagevec_reinit(pvec)
