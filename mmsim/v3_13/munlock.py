# SPDX-License-Identifier: GPL-2.0-only
"""munlock: the other half of mm/mlock.c (3.13), in batches since 3.12.

A pagevec of pinned pages goes through three phases:

1. one hold of lru_lock: clear PG_mlocked and isolate, with the pin as the isolation's reference.
   A page that somebody else has isolated, or that sits in a pagevec, is left to them: they put it
   back by what they see then.  The page lock is not held.
2. page by page under the page lock: if others map the page, ask rmap whether one of them still has
   it mlocked (try_to_munlock), and put it back;
3. pages that nobody else maps are put back together.

Pins of pages that phase 1 has given up on are dropped only after lru_lock: the last put needs it.
"""

from mmsim.filemap import lock_page
from mmsim.linux.bug import BUG_ON, VM_BUG_ON
from mmsim.linux.sched import cond_resched
from mmsim.linux.sleeplock import down_write, up_write
from mmsim.linux.spinlock import spin_lock_irq, spin_unlock_irq
from mmsim.lru_release import put_page
from mmsim.memcontrol import mem_cgroup_page_lruvec
from mmsim.mm_inline import page_evictable
from mmsim.mm_types import (
    PAGE_SIZE,
    VM_LOCKED,
    pmd_offset,
    pte_offset_map,
    pte_offset_map_lock,
    pte_present,
    pte_unmap_unlock,
)
from mmsim.mmzone import del_page_from_lru_list, page_lru, page_pgdat
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.page import (
    ClearPageLRU,
    PageLocked,
    PageLRU,
    TestClearPageMlocked,
    TestClearPageUnevictable,
    get_page,
)
from mmsim.pagevec import pagevec, pagevec_add, pagevec_count, pagevec_reinit
from mmsim.util import page_mapcount
from mmsim.v3_13.filemap import unlock_page
from mmsim.v3_13.gup import FOLL_GET, follow_page_mask, mm_populate, vm_normal_page
from mmsim.v3_13.mlock import _trace_cleared, mod_zone_page_state
from mmsim.v3_13.rmap import try_to_munlock
from mmsim.v3_13.swap import __pagevec_lru_add, lru_add_drain_all, pagevec_release
from mmsim.v3_13.vmscan_isolate import isolate_lru_page, putback_lru_page

# -- one page --------------------------------------------------------------------------------------


@cite("mm/mlock.c", "3.13", thread="004")
def __munlock_isolated_page(page):
    """Is it mlocked elsewhere?  Then put it back.  *Locks:* page lock; may sleep in rmap."""
    if page_mapcount(page) > 1:
        try_to_munlock(page)
    putback_lru_page(page)


@cite("mm/mlock.c", "3.13", thread="004")
def munlock_vma_page(page):
    """Clear PG_mlocked of a page that a VM_LOCKED vma no longer maps, unless another one does.

    *Locks:* page lock, because of the walk; takes lru_lock, may sleep.  *Race:* an isolator that
    has the page puts it back by what it sees, but then nobody asks rmap whether another vma has it
    mlocked.
    """
    if not patched("wp-no-lock"):
        BUG_ON(not PageLocked(page), "mm/mlock.c:156")
    if TestClearPageMlocked(page):
        _trace_cleared(page)
        mod_zone_page_state(page_pgdat(page), -1)
        if isolate_lru_page(page) == 0:
            __munlock_isolated_page(page)


# -- a batch ---------------------------------------------------------------------------------------


@cite("mm/mlock.c", "3.13", thread="004")
def __putback_lru_fast_prepare(page, pvec):
    """Nobody else maps it and it is evictable: queue it, unlock it; true if so.

    *Locks:* page lock.  *Race:* it may be mlocked again at once; reclaim will cull it.
    """
    VM_BUG_ON(lambda: PageLRU(page), "mm/mlock.c:256", page)
    VM_BUG_ON(lambda: not PageLocked(page), "mm/mlock.c:257", page)
    if page_mapcount(page) <= 1 and page_evictable(page):
        pagevec_add(pvec, page)
        TestClearPageUnevictable(page)
        unlock_page(page)
        return True
    return False


def _isolate_for_munlock(page):
    """Phase 1 for one page: true if its isolation is ours.  *Locks:* lru_lock."""
    if not PageLRU(page):
        return False
    lru = page_lru(page)
    if patched("munlock-nopin"):
        get_page(page)
    ClearPageLRU(page)
    del_page_from_lru_list(page, mem_cgroup_page_lruvec(page, page_pgdat(page)), lru)
    return True


@cite("mm/mlock.c", "3.13", thread="004")
def __munlock_pagevec(pvec, zone):
    """Munlock the pages of a pagevec, all of one zone and all pinned.

    *Locks:* takes lru_lock, then page locks one by one (sleeps).  *Race:* phase 1 changes
    PG_mlocked without the page lock; migration, which moves the flag, gives up on pinned pages.
    """
    if patched("munlock-page-lock"):
        _munlock_pagevec_locked(pvec, zone)
        return
    mlocked = 0
    todo = []
    pvec_putback = pagevec()

    # phase 1: isolation
    spin_lock_irq(zone.lru_lock)
    for page in pvec.pages:
        if TestClearPageMlocked(page):
            mlocked += 1
            _trace_cleared(page)
            if _isolate_for_munlock(page):
                todo.append(page)
                continue
        if patched("munlock-put-in-lock"):
            put_page(page)
        elif not patched("munlock-nopin"):
            pagevec_add(pvec_putback, page)
    if patched("xie-2017-05-25"):
        delta_munlocked = -mlocked
    else:
        # a page whose flag was cleared but which somebody else had isolated is not counted
        delta_munlocked = -len(todo)
    mod_zone_page_state(zone, delta_munlocked)
    spin_unlock_irq(zone.lru_lock)

    # now the pins of those that are not ours to put back
    pagevec_release(pvec_putback)

    # phase 2: is it mlocked elsewhere?
    for page in todo:
        lock_page(page)
        if not __putback_lru_fast_prepare(page, pvec_putback):
            _munlock_slowly(page)

    # phase 3: putback, which drops the pins
    if pagevec_count(pvec_putback):
        __pagevec_lru_add(pvec_putback)
    pagevec_reinit(pvec)


def _munlock_slowly(page):
    """Phase 2 with rmap.  *Locks:* page lock, dropped here; may sleep."""
    get_page(page)  # for putback_lru_page(); ours has to outlive unlock_page()
    __munlock_isolated_page(page)
    unlock_page(page)
    put_page(page)


def _munlock_pagevec_locked(pvec, zone):
    """``munlock-page-lock``: the same, with the page lock taken before PG_mlocked is touched.

    Page by page: two tasks that each hold several page locks would wait for each other.
    """
    pvec_putback = pagevec()
    for page in pvec.pages:
        lock_page(page)
        spin_lock_irq(zone.lru_lock)
        mlocked = TestClearPageMlocked(page)
        if mlocked:
            _trace_cleared(page)
        isolated = mlocked and _isolate_for_munlock(page)
        if mlocked:
            mod_zone_page_state(zone, -1)
        spin_unlock_irq(zone.lru_lock)
        if not isolated:
            unlock_page(page)
            put_page(page)
        elif not __putback_lru_fast_prepare(page, pvec_putback):
            _munlock_slowly(page)
    if pagevec_count(pvec_putback):
        __pagevec_lru_add(pvec_putback)
    pagevec_reinit(pvec)


@cite("mm/mlock.c", "3.13", thread="004")
def __munlock_pagevec_fill(pvec, vma, zone, start):
    """Pin the pages that follow, as far as one page table and one zone reach; the next address.

    *Locks:* takes the ptl.
    """
    end = vma.vm_end
    pmd = pmd_offset(vma.vm_mm, start)
    ptep, ptl = pte_offset_map_lock(pmd, start)
    start += PAGE_SIZE
    while start < end:
        pte = pte_offset_map(pmd, start).pte
        page = vm_normal_page(pte) if pte_present(pte) else None
        if page is None or page_pgdat(page) is not zone:
            break
        if not patched("munlock-nopin"):
            get_page(page)
        start += PAGE_SIZE
        if not pagevec_add(pvec, page):
            break
    pte_unmap_unlock(ptep, ptl)
    return start


@cite("mm/mlock.c", "3.13", thread="004")
def munlock_vma_pages_range(vma):
    """Clear VM_LOCKED, then PG_mlocked of everything the vma maps.

    *Locks:* mmap_sem for writing, except from exit_mmap(); may sleep.  *Race:* without mmap_sem
    reclaim, which has seen VM_LOCKED before, marks pages again behind this walk.
    """
    vma.vm_flags = vma.vm_flags & ~VM_LOCKED
    start = vma.vm_start
    end = vma.vm_end
    while start < end:
        flags = 0 if patched("munlock-nopin") else FOLL_GET
        page = follow_page_mask(vma, start, flags)
        if page is None:
            start += PAGE_SIZE
        else:
            pvec = pagevec([page])
            zone = page_pgdat(page)
            start = __munlock_pagevec_fill(pvec, vma, zone, start)
            __munlock_pagevec(pvec, zone)
        cond_resched()


# -- system calls ----------------------------------------------------------------------------------


@cite("mm/mlock.c", "3.13")
def sys_mlock(vma):
    """mlock(2) of a whole vma.  *Locks:* mmap_sem, for writing and then for reading."""
    mm = vma.vm_mm
    lru_add_drain_all()
    down_write(mm.mmap_sem)
    vma.vm_flags = vma.vm_flags | VM_LOCKED
    up_write(mm.mmap_sem)
    mm_populate(vma)


@cite("mm/mlock.c", "3.13")
def sys_munlock(vma):
    """munlock(2) of a whole vma.  *Locks:* mmap_sem for writing throughout."""
    mm = vma.vm_mm
    down_write(mm.mmap_sem)
    if vma.vm_flags & VM_LOCKED:
        munlock_vma_pages_range(vma)
    up_write(mm.mmap_sem)
