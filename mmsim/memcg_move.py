# SPDX-License-Identifier: GPL-2.0-only
"""Moving a task's pages from one memcg to another (mm/memcontrol.c, cgroup v1, 5.17).

From 5.11 on a page's memcg chooses the lock of its list, so changing the memcg changes the lock.
Charge moving may do that only to a page that is nobody else's on the LRU: it takes a reference,
*isolates* the page, locks it, stores the new memcg, and puts the page back (rule I4 of thread 000).

The mutation ``move-account-noisolate`` relists the page instead, each step under the right lock.
"""

from errno import EBUSY, EINVAL

from mmsim.filemap import unlock_page
from mmsim.filemap_cache import find_get_page
from mmsim.linux.atomic import atomic_dec, atomic_inc, smp_mb
from mmsim.linux.bug import VM_BUG_ON_FOLIO
from mmsim.linux.sched import cond_resched
from mmsim.lru import lru_add_drain, put_page
from mmsim.lru_drain import lru_add_drain_all
from mmsim.memcg_lock import __unlock_page_memcg, lock_page_memcg
from mmsim.memcontrol import (
    folio_lruvec_lock_irqsave,
    page_memcg,
    unlock_page_lruvec_irqrestore,
)
from mmsim.mmzone import add_page_to_lru_list, del_page_from_lru_list
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.page import PageLRU
from mmsim.pagemap import trylock_page
from mmsim.vmscan import isolate_lru_page, putback_lru_page


def _relist(page, to):
    """Change the memcg of a page that stays on the LRU for everybody to see."""
    lruvec, flags = folio_lruvec_lock_irqsave(page)
    listed = PageLRU(page)
    if listed:
        del_page_from_lru_list(page, lruvec)
    page.mem_cgroup = to
    unlock_page_lruvec_irqrestore(lruvec, flags)
    if listed:
        lruvec, flags = folio_lruvec_lock_irqsave(page)
        add_page_to_lru_list(page, lruvec)
        unlock_page_lruvec_irqrestore(lruvec, flags)


@cite("mm/memcontrol.c", "5.17", thread="000")
def mem_cgroup_move_account(page, source, to):
    """Store the new memcg: 0, -EBUSY or -EINVAL.

    *Locks:* entered with a reference and the page isolated; tries the page lock.  *Race:* readers
    of the memcg who need it to stay must hold the page lock or have cleared PG_lru.
    """
    noisolate = patched("move-account-noisolate")
    if not noisolate:
        VM_BUG_ON_FOLIO(
            lambda: PageLRU(page), "folio_test_lru(folio)", page, {"5.17": "mm/memcontrol.c:5579"}
        )
    if not trylock_page(page):
        return -EBUSY
    ret = -EINVAL
    if page_memcg(page) is source:
        ret = 0
        lock_page_memcg(page)
        smp_mb()  # from the store on ``to``'s lock is the page's, and nobody has taken that
        if noisolate:
            _relist(page, to)
        else:
            page.mem_cgroup = to
        __unlock_page_memcg(source)
    unlock_page(page)
    return ret


@cite("mm/memcontrol.c", "5.17", thread="000")
def mem_cgroup_move_charge_pte_range(mapping, indices, source, to):
    """Move the pages of a file at ``indices``; the number moved.

    *Locks:* entered with nothing that matters here (mmap_lock, the page table's lock).  *Race:*
    each page is found in the page cache, with a reference taken unless zero.
    """
    moved = 0
    for index in indices:
        page = find_get_page(mapping, index)
        if page is None:
            continue
        isolated = False
        if not patched("move-account-noisolate"):
            isolated = isolate_lru_page(page) == 0
            if not isolated:
                put_page(page)
                continue
        if mem_cgroup_move_account(page, source, to) == 0:
            moved += 1
        if isolated:
            putback_lru_page(page)
        put_page(page)
    return moved


@cite("mm/memcontrol.c", "5.17", thread="000")
def mem_cgroup_move_charge(mapping, indices, source, to):
    """Move a task's charges (echo $$ > tasks): pagevecs first, then page after page.

    *Locks:* may sleep.  *Race:* a page in a pagevec is not on the LRU and is left behind.  Whoever
    has passed lock_page_memcg() before is waited for in C (synchronize_rcu()), see memcg_lock.py.
    """
    lru_add_drain_all()
    atomic_inc(source, "moving_account")
    moved = mem_cgroup_move_charge_pte_range(mapping, indices, source, to)
    atomic_dec(source, "moving_account")
    cond_resched()
    lru_add_drain()
    return moved
