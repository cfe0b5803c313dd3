# SPDX-License-Identifier: GPL-2.0-only
"""Lab 3: two functions of 2.4.18-pre9. Make them the patch of 12 February 2002.

As it stands this is pre9: __free_pages_ok takes a page off the LRU itself, under pagemap_lru_lock,
also in an interrupt. There are three TODOs. Everything else is as it should be.

    python -m mmsim lab check 3
    python -m mmsim explore lab3.packets --cast packets --file kernel.py
    python -m mmsim.stress --file kernel.py --cpus 8 --runs 200

What you may use: the macros of mmsim/v2_4/page.py, the functions of mmsim/v2_4/swap.py, the
primitives of mmsim/linux. A lock of your own is not needed, and is refused.
"""

from mmsim.labs.kit import student_kernel
from mmsim.labs.zone import free_to_zone
from mmsim.linux.bug import BUG
from mmsim.linux.list import list_add, list_del
from mmsim.linux.spinlock import spin_lock, spin_unlock
from mmsim.model.era import kernel
from mmsim.v2_4.buffer import try_to_release_page
from mmsim.v2_4.filemap import UnlockPage, __remove_inode_page, wait_on_page
from mmsim.v2_4.page import (
    ClearPageDirty,
    PageActive,
    PageDirty,
    PageLaunder,
    PageLocked,
    PageLRU,
    PageSwapCache,
    SetPageLaunder,
    TryLockPage,
    is_page_cache_freeable,
    list_entry,
    page_cache_get,
    page_count,
)
from mmsim.v2_4.page_alloc import page_cache_release
from mmsim.v2_4.swap import __lru_cache_del
from mmsim.v2_4.swapfile import __delete_from_swap_cache, swap_free
from mmsim.v2_4.vmscan import __GFP_FS


def __free_pages_ok(page, order):
    """The page's count is 0, and this context made it 0. Any context: task or interrupt."""
    # TODO 1: pre9 takes the page off the LRU here. In an interrupt it must not.
    #= if PageLRU(page):
    #=     lru_cache_del(page)
    # DONE 1

    if page.buffers is not None:
        BUG("page_alloc.c:74", page)
    if page.mapping is not None:
        BUG("page_alloc.c:76", page)
    if PageLocked(page):
        BUG("page_alloc.c:82", page)
    # TODO 2: a page on the LRU is not freed here. Leave it a message for shrink_cache: one bit.
    # | Who else could set that bit on a page with count 0? If somebody has, say BUG.
    if PageLRU(page):
        if TryLockPage(page):
            BUG("page_alloc.c:93", page)
        return
    # DONE 2
    free_to_zone(page, order)


def shrink_cache(nr_pages, classzone, gfp_mask, priority):
    """Free up to nr_pages pages off the tail of the inactive list; how many are still wanted."""
    vm = kernel()
    max_scan = vm.nr_inactive_pages // priority

    spin_lock(vm.pagemap_lru_lock)
    while max_scan > 0 and (entry := vm.inactive_list.prev) is not vm.inactive_list:
        max_scan -= 1
        page = list_entry(entry)

        if not PageLRU(page):
            BUG("vmscan.c:358", page)
        if PageActive(page):
            BUG("vmscan.c:360", page)

        list_del(entry)
        list_add(entry, vm.inactive_list)

        if page_count(page) == 0:
            # TODO 3: pre9 passes it by: somebody is about to free it. Now there may be a message.
            # | Read it, and free the page: a reference, off the list, the bit, the reference.
            # | In which order? (page_cache_release frees a page when the last reference goes.)
            # | Count it (nr_pages), and stop when as many were freed as were wanted.
            if PageLocked(page):
                page_cache_get(page)
                __lru_cache_del(page)
                UnlockPage(page)
                page_cache_release(page)
                nr_pages -= 1
                if not nr_pages:
                    break
            # DONE 3
            continue

        # Not worth trying the lock for
        if page.buffers is None:
            if page_count(page) != 1 or page.mapping is None:
                continue

        if TryLockPage(page):
            if PageLaunder(page) and gfp_mask & __GFP_FS:
                page_cache_get(page)
                spin_unlock(vm.pagemap_lru_lock)
                wait_on_page(page)
                page_cache_release(page)
                spin_lock(vm.pagemap_lru_lock)
            continue

        if PageDirty(page) and is_page_cache_freeable(page) and page.mapping is not None:
            writepage = page.mapping.writepage
            if gfp_mask & __GFP_FS and writepage is not None:
                ClearPageDirty(page)
                SetPageLaunder(page)
                page_cache_get(page)
                spin_unlock(vm.pagemap_lru_lock)

                writepage(page)
                page_cache_release(page)

                spin_lock(vm.pagemap_lru_lock)
                continue

        if page.buffers is not None:
            spin_unlock(vm.pagemap_lru_lock)
            page_cache_get(page)

            if try_to_release_page(page, gfp_mask):
                if page.mapping is None:
                    spin_lock(vm.pagemap_lru_lock)
                    UnlockPage(page)
                    __lru_cache_del(page)
                    page_cache_release(page)
                    nr_pages -= 1
                    if nr_pages:
                        continue
                    break
                page_cache_release(page)
                spin_lock(vm.pagemap_lru_lock)
            else:
                UnlockPage(page)
                page_cache_release(page)
                spin_lock(vm.pagemap_lru_lock)
                continue

        spin_lock(vm.pagecache_lock)

        # The test that counts
        if page.mapping is None or not is_page_cache_freeable(page):
            spin_unlock(vm.pagecache_lock)
            UnlockPage(page)
            continue

        if PageDirty(page):
            spin_unlock(vm.pagecache_lock)
            UnlockPage(page)
            continue

        if not PageSwapCache(page):
            __remove_inode_page(page)
            spin_unlock(vm.pagecache_lock)
        else:
            swap = page.index
            __delete_from_swap_cache(page)
            spin_unlock(vm.pagecache_lock)
            swap_free(swap)

        __lru_cache_del(page)
        UnlockPage(page)
        page_cache_release(page)
        nr_pages -= 1
        if not nr_pages:
            break
    spin_unlock(vm.pagemap_lru_lock)
    return nr_pages


# `--file kernel.py` finds this: your kernel, with each of the casts.
SCENARIO = student_kernel(3, __free_pages_ok, shrink_cache)
