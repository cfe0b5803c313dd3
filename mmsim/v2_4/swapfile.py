# SPDX-License-Identifier: GPL-2.0-only
"""Swap entries and who shares them (mm/swapfile.c, and of mm/swap_state.c what it needs).

An entry is counted once for each pte that holds it and once for the swap cache.  "May I write to
this page without copying it?" is answered from counts alone, and the answer is off by one as soon
as somebody else, such as the LRU, starts to hold references: hence ``lru_ref`` at each threshold.

A page of the swap cache may have buffers, which brw_page made for its I/O and which hold a
reference.  They go when the page leaves the cache.

swap_state.c and swapfile.c call each other; the cycle is broken here.
"""

from mmsim.engine.door import door
from mmsim.linux.bug import BUG
from mmsim.linux.spinlock import spin_lock, spin_lock_init, spin_unlock
from mmsim.model.cite import cite
from mmsim.model.era import era, kernel
from mmsim.model.gate import patched
from mmsim.model.struct import Array, Layout, shared
from mmsim.v2_4.buffer import block_flushpage
from mmsim.v2_4.filemap import (
    UnlockPage,
    __remove_inode_page,
    address_space,
    find_get_page,
    find_trylock_page,
    lock_page,
    wait_on_page,
)
from mmsim.v2_4.page import (
    ClearPageDirty,
    PageLocked,
    PageSwapCache,
    SetPageDirty,
    lru_ref,
    page_cache_get,
    page_count,
)
from mmsim.v2_4.page_alloc import page_cache_release
from mmsim.v2_4.swap import lru_cache_del


class swap_entry(Layout):
    """``count`` users of one slot of the swap device: swap_map[offset]."""

    count = shared(0)

    def __init__(self, offset):
        self.offset = offset

    @property
    def name(self):
        """What events and reports call it."""
        return f"swap_map[{self.offset}]"

    def identity(self):
        """There is one swap device."""
        return ("swap_map", self.offset)


class swap_info_struct:
    """The one swap device.  ``swaplock`` protects the list of devices, and is outermost of all."""

    def __init__(self, size):
        self.swaplock = spin_lock_init("swaplock")
        self.sdev_lock = spin_lock_init("swap_info->sdev_lock")
        self.swap_map = Array(size, swap_entry)


class swapper(address_space):
    """swapper_space: its indices are swap entries."""


@cite("mm/swapfile.c", "2.4.17", thread="002")
def swap_info_get(entry):
    """The device of an entry, locked; None if the entry is not in use.

    *Locks:* returns with swaplock and sdev_lock.
    *Race:* the count is read without them, as a check of the caller only.
    """
    p = kernel().swap_info
    if not p.swap_map[entry].count:
        return None
    spin_lock(p.swaplock)
    spin_lock(p.sdev_lock)
    return p


@cite("mm/swapfile.c", "2.4.17", thread="002")
def swap_info_put(p):
    """Undo swap_info_get().  *Locks:* drops swaplock and sdev_lock.  *Race:* none."""
    spin_unlock(p.sdev_lock)
    spin_unlock(p.swaplock)


@cite("mm/swapfile.c", "2.4.17", thread="002")
def swap_entry_free(p, entry):
    """One user of the entry less; how many are left.

    *Locks:* entered with swaplock and sdev_lock.  *Race:* none.
    """
    count = p.swap_map[entry].count - 1
    p.swap_map[entry].count = count
    if not count:
        kernel().nr_swap_pages += 1
    return count


@cite("mm/swapfile.c", "2.4.17", thread="002")
def swap_free(entry):
    """One user of the entry less.  *Locks:* takes swaplock, sdev_lock.  *Race:* none known."""
    p = swap_info_get(entry)
    if p is not None:
        swap_entry_free(p, entry)
        swap_info_put(p)


@cite("mm/swapfile.c", "2.4.17", thread="002")
def swap_duplicate(entry):
    """One user of the entry more.  *Locks:* takes swaplock, sdev_lock.  *Race:* none known."""
    p = swap_info_get(entry)
    if p is not None:
        p.swap_map[entry].count = p.swap_map[entry].count + 1
        swap_info_put(p)


@cite("include/linux/swap.h", "2.4.17", thread="002")
def vm_swap_full():
    """More than half of the swap space is in use.  *Locks:* none.  *Race:* a guess, knowingly."""
    vm = kernel()
    return vm.nr_swap_pages * 2 < vm.total_swap_pages


@cite("mm/swap_state.c", "2.4.17", thread="002")
def __delete_from_swap_cache(page):
    """Take a page out of the swap cache; its reference and the entry's count are the caller's.

    *Locks:* pagecache_lock and the page lock.  *Race:* none.
    """
    if not PageLocked(page):
        BUG("swap_state.c:99", page)
    if not PageSwapCache(page):
        BUG("swap_state.c:101", page)
    ClearPageDirty(page)
    __remove_inode_page(page)


@cite("mm/swap_state.c", "2.4.17", thread="002")
def delete_from_swap_cache(page):
    """The same, with the lock, the entry and the reference.

    *Locks:* entered with the page lock; takes pagecache_lock, swaplock, sdev_lock.
    *Race:* none known.
    """
    vm = kernel()
    if not PageLocked(page):
        BUG("swap_state.c:118", page)
    block_flushpage(page, 0)
    entry = page.index
    spin_lock(vm.pagecache_lock)
    __delete_from_swap_cache(page)
    spin_unlock(vm.pagecache_lock)
    swap_free(entry)
    page_cache_release(page)


@cite("mm/swapfile.c", "2.4.17", thread="002")
def exclusive_swap_page(page):
    """Does nobody but the swap cache hold the page's entry?

    *Locks:* entered with the page lock; takes swaplock, sdev_lock and pagecache_lock.
    *Race:* none known.
    """
    vm = kernel()
    retval = 0
    entry = page.index
    p = swap_info_get(entry)
    if p is None:
        return 0
    if p.swap_map[entry].count == 1:
        spin_lock(vm.pagecache_lock)
        if page_count(page) - (page.buffers is not None) - lru_ref(page) == 2:
            retval = 1
        spin_unlock(vm.pagecache_lock)
    swap_info_put(p)
    return retval


@cite("mm/swapfile.c", "2.4.17", thread="002")
def can_share_swap_page(page):
    """May the caller, who has one pte, write to the page instead of copying it?

    *Locks:* entered with the page lock and page_table_lock.
    *Race:* only an exclusive owner is safe from new users.  A constant for "mine and the LRU's"
    is wrong whenever the page is off the LRU: 2 is then two processes.
    """
    if patched("cow-exclusive-at-two"):
        users = page_count(page) - 1
    elif patched("cow-exclusive-at-one"):
        users = page_count(page)
    else:
        users = page_count(page) - lru_ref(page)
    if users == 3 and page.buffers is not None and PageSwapCache(page):
        return exclusive_swap_page(page)
    if users == 2 and PageSwapCache(page):
        return exclusive_swap_page(page)
    return users == 1


@cite("mm/swapfile.c", "2.4.17", thread="002")
def remove_exclusive_swap_page(page):
    """Give the entry up if the caller and the swap cache are the page's only users.

    *Locks:* entered with the page lock; takes swaplock, sdev_lock, pagecache_lock.
    *Race:* none known.
    """
    vm = kernel()
    if not PageSwapCache(page):
        return 0
    if page_count(page) - (page.buffers is not None) - lru_ref(page) != 2:
        return 0
    entry = page.index
    retval = 0
    p = swap_info_get(entry)
    if p is None:
        return 0
    if p.swap_map[entry].count == 1:
        spin_lock(vm.pagecache_lock)
        if page_count(page) - (page.buffers is not None) - lru_ref(page) == 2:
            __delete_from_swap_cache(page)
            SetPageDirty(page)
            retval = 1
        spin_unlock(vm.pagecache_lock)
    swap_info_put(p)
    if retval:
        block_flushpage(page, 0)
        swap_free(entry)
        page_cache_release(page)
    return retval


@cite("mm/swapfile.c", "2.4.17", thread="002")
def free_swap_and_cache(entry):
    """A pte that held a swap entry goes; so does the page in the swap cache, if it was the last.

    2.4.17 counts the buffers as a user, and so leaves a page that has them to reclaim.

    *Locks:* entered with page_table_lock; takes swaplock, sdev_lock, pagecache_lock, the page lock
    and, with a patch, pagemap_lru_lock.
    *Race:* count 1 after leaving the cache is our own reference.  shrink_cache finds the page
    on the LRU all the same, but takes no reference on a page without mapping and buffers.  If swap
    is full and somebody else has the page, he is left with the last reference of a page that
    shrink_cache may have looked at while it was in the cache: see there.
    """
    vm = kernel()
    page = None
    p = swap_info_get(entry)
    if p is not None:
        if swap_entry_free(p, entry) == 1:
            page = find_trylock_page(vm.swapper_space, entry)
        swap_info_put(p)
    if page is not None:
        page_cache_get(page)
        others = page_count(page) - lru_ref(page)
        if era().version > (2, 4, 17):
            others -= page.buffers is not None
        # Nobody else's, or swap is so full that its other users have to do without: then the count
        # is not 1 after it
        if others == 2 or vm_swap_full():
            delete_from_swap_cache(page)
            if patched("hugh-2002-02-12") and not patched("count-one-left-out"):
                if patched("del-at-any-count") or page_count(page) == 1:
                    lru_cache_del(page)
                    door.machine.count("count_one_free_swap_and_cache")
            elif patched("andrea-2002-02-14"):
                if page_count(page) == 2:
                    lru_cache_del(page)
            SetPageDirty(page)
        UnlockPage(page)
        page_cache_release(page)


@cite("mm/swapfile.c", "2.4.17", thread="002")
def unuse_process(mm, entry, page):
    """Map the page wherever the address space still has the entry.

    *Locks:* takes page_table_lock, under it swaplock and sdev_lock.  *Race:* none known.
    """
    spin_lock(mm.page_table_lock)
    for pte in mm.ptes:
        if pte.val == ("swap", entry):
            page_cache_get(page)
            pte.val = ("page", page, False)
            swap_free(entry)
    spin_unlock(mm.page_table_lock)


@cite("mm/swapfile.c", "2.4.17", thread="002")
def try_to_unuse(entry):
    """Empty one slot of a swap device: swapoff().

    Reading the page in, and writing it out once more for an entry still in use, are left out.
    *Locks:* takes the page lock, page_table_lock, pagecache_lock, swaplock, sdev_lock; may sleep.
    *Race:* a process that exits meanwhile leaves the page to us, and ours is then the last
    reference of a page on the LRU.  shrink_cache may have looked at it while it was in the cache.
    """
    vm = kernel()
    swap_map = vm.swap_info.swap_map
    page = find_get_page(vm.swapper_space, entry)
    if page is None:
        return
    wait_on_page(page)
    lock_page(page)
    for mm in vm.mms:
        if swap_map[entry].count <= 1:
            break
        unuse_process(mm, entry, page)
    if (swap_map[entry].count > 0) != PageSwapCache(page):
        BUG("swapfile.c:677", page)
    if PageSwapCache(page):
        delete_from_swap_cache(page)
    SetPageDirty(page)
    UnlockPage(page)
    page_cache_release(page)
