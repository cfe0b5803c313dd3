# SPDX-License-Identifier: GPL-2.0-only
"""Page tables, faults and pins for I/O (mm/memory.c).

A pte is one word: None, ``("page", page, writable)`` or ``("swap", entry)``.  page_table_lock
keeps a page mapped while one looks at it; a kiobuf keeps a page in memory and nothing else, so the
process may unmap it meanwhile and the pin becomes the last reference.
"""

from mmsim.engine.door import door
from mmsim.linux.atomic import xchg
from mmsim.linux.spinlock import spin_lock, spin_lock_init, spin_unlock
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.model.struct import Struct, shared
from mmsim.v2_4.alloc_pages import alloc_page
from mmsim.v2_4.filemap import UnlockPage
from mmsim.v2_4.page import TryLockPage, page_cache_get, page_count
from mmsim.v2_4.page_alloc import page_cache_release
from mmsim.v2_4.swap import lru_cache_add, lru_cache_del
from mmsim.v2_4.swap_state import free_page_and_swap_cache
from mmsim.v2_4.swapfile import can_share_swap_page, free_swap_and_cache


class pte_t(Struct):
    """One page table entry."""

    val = shared(None)

    def __init__(self, name, val=None):
        self.name = name
        self.v_val = val


class mm_struct:
    """An address space: ``ptes`` in order of address."""

    def __init__(self, name, *values):
        self.name = name
        self.page_table_lock = spin_lock_init("&mm->page_table_lock")
        self.ptes = [pte_t(f"{name}.pte[{i}]", val) for i, val in enumerate(values)]


class kiobuf:
    """Pages pinned for one I/O: ``maplist``."""

    def __init__(self, *pages):
        self.maplist = list(pages)


@cite("mm/memory.c", "2.4.17", thread="002")
def map_user_kiobuf(iobuf, mm):
    """Pin the pages of an address space.  *Locks:* takes page_table_lock.  *Race:* none."""
    for pte in mm.ptes:
        spin_lock(mm.page_table_lock)
        val = pte.val
        if val is not None and val[0] == "page":
            page_cache_get(val[1])
            iobuf.maplist.append(val[1])
        spin_unlock(mm.page_table_lock)


@cite("mm/memory.c", "2.4.17", thread="002")
def unmap_kiobuf(iobuf):
    """The I/O is over: drop the pins.

    *Locks:* those of the last put, if it is one.  *Race:* called from an interrupt it takes
    whatever that takes; nothing here knows.
    """
    for page in iobuf.maplist:
        page_cache_release(page)
    iobuf.maplist = []


@cite("mm/memory.c", "2.4.17", thread="002")
def zap_page_range(mm):
    """Unmap everything: munmap() and exit().

    *Locks:* takes page_table_lock, under it those of the last put.  *Race:* none of its own.
    """
    spin_lock(mm.page_table_lock)
    for pte in mm.ptes:
        val = xchg(pte, "val", None)
        if val is None:
            continue
        if val[0] == "page":
            free_page_and_swap_cache(val[1])
        else:
            free_swap_and_cache(val[1])
    spin_unlock(mm.page_table_lock)


@cite("mm/memory.c", "2.4.17", thread="002")
def do_anonymous_page(mm, pte):
    """First touch: a new page, on the LRU and mapped.  True unless out of memory.

    *Locks:* entered with page_table_lock, drops it to allocate, returns without it.
    *Race:* somebody may have mapped a page meanwhile, hence the second look.
    """
    spin_unlock(mm.page_table_lock)
    page = alloc_page()
    if page is None:
        return False
    spin_lock(mm.page_table_lock)
    if pte.val is not None:
        page_cache_release(page)
        spin_unlock(mm.page_table_lock)
        return True
    lru_cache_add(page)
    pte.val = ("page", page, True)
    spin_unlock(mm.page_table_lock)
    return True


@cite("mm/memory.c", "2.4.17", thread="002")
def do_wp_page(mm, pte):
    """Write to a page mapped read-only: make it writable if nobody shares it, else copy it.

    *Locks:* entered with page_table_lock, drops it to allocate, returns without it.
    *Race:* the last two lines.  Dropping our pte's reference and then our own may drop the last
    one of a page on the LRU; count 1 between the two is ours, and nobody can find the page to
    make it 2: no pte, no mapping, and shrink_cache takes no reference without one.
    """
    val = pte.val
    old_page = val[1]
    if not TryLockPage(old_page):
        reuse = can_share_swap_page(old_page)
        UnlockPage(old_page)
        if reuse:
            pte.val = ("page", old_page, True)
            door.machine.count("cow_reused")
            spin_unlock(mm.page_table_lock)
            return True

    page_cache_get(old_page)
    spin_unlock(mm.page_table_lock)
    new_page = alloc_page()
    if new_page is None:
        page_cache_release(old_page)
        return False

    spin_lock(mm.page_table_lock)
    if pte.val == val:
        pte.val = ("page", new_page, True)
        lru_cache_add(new_page)
        door.machine.count("cow_copied")
        new_page = old_page
    spin_unlock(mm.page_table_lock)
    page_cache_release(new_page)
    if patched("hugh-2002-02-12") and not patched("count-one-left-out"):
        if patched("del-at-any-count") or page_count(old_page) == 1:
            lru_cache_del(old_page)
            door.machine.count("count_one_do_wp_page")
    elif patched("andrea-2002-02-14"):
        if page_count(old_page) == 2:
            lru_cache_del(old_page)
    page_cache_release(old_page)
    return True


@cite("mm/memory.c", "2.4.17", thread="002")
def handle_pte_fault(mm, pte):
    """A write fault.  *Locks:* takes page_table_lock.  *Race:* see the two."""
    spin_lock(mm.page_table_lock)
    val = pte.val
    if val is None:
        return do_anonymous_page(mm, pte)
    if val[0] == "page" and not val[2]:
        return do_wp_page(mm, pte)
    spin_unlock(mm.page_table_lock)
    return True
