# SPDX-License-Identifier: GPL-2.0-only
"""Reclaim (mm/vmscan.c): the scanner that meets pages on the LRU without being their user.

shrink_cache holds pagemap_lru_lock and looks at pages that others own.  A page it finds with
count 0 is being freed by somebody; all of thread 002 is about what it may do then.

Scaled to a machine of a few pages: the first pass looks at the whole list (DEF_PRIORITY 6 looked
at a sixth), a batch is two pages and not 32, and mapped pages do not start swap_out(), which
would unmap them and is not argued about here: who wants it calls it.
"""

from mmsim.engine.door import door
from mmsim.linux.atomic import smp_load_acquire, smp_rmb, xchg
from mmsim.linux.bug import BUG, report
from mmsim.linux.list import LIST_HEAD, list_add, list_del, list_empty
from mmsim.linux.spinlock import (
    spin_lock,
    spin_lock_irqsave,
    spin_unlock,
    spin_unlock_irqrestore,
)
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.model.gate import patched
from mmsim.v2_4.buffer import try_to_release_page
from mmsim.v2_4.filemap import UnlockPage, __remove_inode_page, wait_on_page
from mmsim.v2_4.i386 import add_to
from mmsim.v2_4.page import (
    ClearPageDirty,
    PageActive,
    PageDirty,
    PageLaunder,
    PageLocked,
    PageLRU,
    PageSwapCache,
    PageTestandClearReferenced,
    SetPageDirty,
    SetPageLaunder,
    SetPageReferenced,
    TestClearPageLRU,
    TestSetPageLRU,
    TryLockPage,
    get_page_unless_zero,
    is_page_cache_freeable,
    list_entry,
    lru_ref,
    page_cache_get,
    page_count,
)
from mmsim.v2_4.page_alloc import free_deferred_pages, page_cache_release
from mmsim.v2_4.swap import (
    __lru_cache_del,
    add_page_to_active_list,
    add_page_to_inactive_list,
    del_page_from_active_list,
)
from mmsim.v2_4.swapfile import __delete_from_swap_cache, swap_duplicate, swap_free

__GFP_FS = 0x100
GFP_KSWAPD = __GFP_FS
GFP_HIGHUSER = __GFP_FS
SWAP_CLUSTER_MAX = 2
DEF_PRIORITY = 1


@cite("mm/vmscan.c", "2.4.18-pre9", thread="002")
def shrink_cache(nr_pages, classzone, gfp_mask, priority):
    """Free up to ``nr_pages`` pages off the tail of the inactive list; how many are still wanted.

    *Locks:* takes pagemap_lru_lock, under it pagecache_lock and, freeing, zone->lock; may drop it
    to sleep for a page under write-out.
    *Race:* page_count == 0 says that a last put has happened and not how far it has come.

    From TryLockPage to UnlockPage the page may be locked by somebody who has no reference to it.
    That is right as long as a last put has to take pagemap_lru_lock before it looks at the page
    lock, as up to pre9 it has.  The patch of 12 February takes that away: a page that was in the
    swap cache with count 1, or had buffers, at the test before TryLockPage may be on its last
    reference by then, and __free_pages_ok says BUG to a page that is locked.

    The break for a task that should schedule is left out: nothing here sets need_resched.
    """
    vm = kernel()
    max_scan = vm.nr_inactive_pages // priority

    spin_lock(vm.pagemap_lru_lock)
    if patched("rik-special-list"):
        free_deferred_pages()
    while max_scan > 0 and (entry := vm.inactive_list.prev) is not vm.inactive_list:
        max_scan -= 1
        page = list_entry(entry)

        if not PageLRU(page):
            BUG("vmscan.c:358", page)
        if PageActive(page):
            BUG("vmscan.c:360", page)

        list_del(entry)
        list_add(entry, vm.inactive_list)

        if patched("acquire-count"):
            count = smp_load_acquire(page, "count")
        else:
            count = page_count(page)
        if count == 0:
            door.machine.count("met_at_count_zero")
            if patched("hugh-2002-02-12"):
                if patched("rmb-before-pagelocked"):
                    smp_rmb()  # else an earlier holder's lock may be taken for the message
                if patched("consumer-does-not-check") or PageLocked(page):
                    page_cache_get(page)
                    __lru_cache_del(page)
                    if patched("consumer-unlocks-late"):
                        page_cache_release(page)
                        UnlockPage(page)
                    else:
                        UnlockPage(page)
                        page_cache_release(page)
                    door.machine.count("consumed")
                    nr_pages -= 1
                    if not nr_pages:
                        break
            elif patched("hugh-2002-02-07") or patched("free-where-met"):
                page_cache_get(page)
                __lru_cache_del(page)
                page_cache_release(page)
                nr_pages -= 1
                if not nr_pages:
                    break
            continue

        if patched("andrea-2002-02-14"):
            if page_count(page) == 1:  # the LRU's own: every user has gone
                page_cache_get(page)
                __lru_cache_del(page)
                page_cache_release(page)
                nr_pages -= 1
                if not nr_pages:
                    break
                continue

        # Not worth trying the lock for
        if page.buffers is None:
            if page_count(page) - lru_ref(page) != 1 or page.mapping is None:
                continue

        held = 0  # our own reference, which none of the thresholds may count
        if patched("get-before-trylock"):
            if not get_page_unless_zero(page):
                continue
            held = 1

        if TryLockPage(page):
            if PageLaunder(page) and gfp_mask & __GFP_FS:
                page_cache_get(page)
                spin_unlock(vm.pagemap_lru_lock)
                wait_on_page(page)
                page_cache_release(page)
                spin_lock(vm.pagemap_lru_lock)
            if held:
                page_cache_release(page)
            continue

        if PageDirty(page) and is_page_cache_freeable(page, held) and page.mapping is not None:
            writepage = page.mapping.writepage
            if gfp_mask & __GFP_FS and writepage is not None:
                ClearPageDirty(page)
                SetPageLaunder(page)
                page_cache_get(page)
                spin_unlock(vm.pagemap_lru_lock)

                writepage(page)
                page_cache_release(page)

                spin_lock(vm.pagemap_lru_lock)
                if held:
                    page_cache_release(page)
                continue

        if page.buffers is not None:
            spin_unlock(vm.pagemap_lru_lock)
            page_cache_get(page)

            if try_to_release_page(page, gfp_mask):
                if page.mapping is None:
                    # no anonymous page without buffers may be seen on the LRU: unlock under the
                    # lock, and take it off
                    spin_lock(vm.pagemap_lru_lock)
                    UnlockPage(page)
                    __lru_cache_del(page)
                    page_cache_release(page)
                    if held:
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
                if held:
                    page_cache_release(page)
                continue

        spin_lock(vm.pagecache_lock)

        # The test that counts
        if page.mapping is None or not is_page_cache_freeable(page, held):
            spin_unlock(vm.pagecache_lock)
            UnlockPage(page)
            if held:
                page_cache_release(page)
            continue

        if PageDirty(page):
            spin_unlock(vm.pagecache_lock)
            UnlockPage(page)
            if held:
                page_cache_release(page)
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
        if held:
            page_cache_release(page)
        nr_pages -= 1
        if not nr_pages:
            break
    spin_unlock(vm.pagemap_lru_lock)
    return nr_pages


@cite("mm/vmscan.c", "2.5.32", thread="002")
def shrink_cache_v2_5_32(nr_pages, classzone, gfp_mask, priority):
    """Take a batch off the inactive list, work on it without the lock, put it back.

    Anonymous pages only pass through: what is done to them needs rmap.  No tree of 2.5.32 could be
    read; the lines of BUG() are those of the same tests in 2.4.17, unverified.
    *Locks:* takes the lock irqsave, drops it for the work.
    *Race:* the reference taken here is dropped after the lock.  Taken on a page with count 0 it
    makes this put the last one, once more.
    """
    vm = kernel()
    max_scan = vm.nr_inactive_pages // priority
    page_list = LIST_HEAD("page_list")

    flags = spin_lock_irqsave(vm.pagemap_lru_lock)
    while max_scan > 0 and not list_empty(vm.inactive_list):
        max_scan -= 1
        page = list_entry(vm.inactive_list.prev)
        list_del(page.lru)
        if patched("npiggin-2006"):
            if not get_page_unless_zero(page):
                list_add(page.lru, vm.inactive_list)
                continue
        else:
            page_cache_get(page)
        if not TestClearPageLRU(page):
            BUG("vmscan.c:358", page)
        add_to(vm, "nr_inactive_pages", -1)
        list_add(page.lru, page_list)
    spin_unlock_irqrestore(vm.pagemap_lru_lock, flags)

    node = page_list.next
    while node is not page_list:
        page = list_entry(node)
        node = node.next
        if not TryLockPage(page):
            UnlockPage(page)

    while not list_empty(page_list):
        page = list_entry(page_list.prev)
        flags = spin_lock_irqsave(vm.pagemap_lru_lock)
        if TestSetPageLRU(page):
            BUG("vmscan.c:360", page)
        list_del(page.lru)
        if PageActive(page):
            add_page_to_active_list(page, "vmscan.c")
        else:
            add_page_to_inactive_list(page, "vmscan.c")
        spin_unlock_irqrestore(vm.pagemap_lru_lock, flags)
        page_cache_release(page)
    return nr_pages


@cite("mm/vmscan.c", "2.4.17", thread="002")
def refill_inactive(nr_pages):
    """Move pages that were not referenced from the active to the inactive list.

    Looks at no count, so a page given up while active comes to shrink_cache all the same.
    *Locks:* takes pagemap_lru_lock.  *Race:* none but its being taken with interrupts on.
    """
    vm = kernel()
    irqsafe = patched("akpm-2.5.32") and not patched("refill-plain-lock")
    if irqsafe:
        flags = spin_lock_irqsave(vm.pagemap_lru_lock)
    else:
        spin_lock(vm.pagemap_lru_lock)
    entry = vm.active_list.prev
    while nr_pages > 0 and entry is not vm.active_list:
        nr_pages -= 1
        page = list_entry(entry)
        entry = entry.prev
        if PageTestandClearReferenced(page):
            list_del(page.lru)
            list_add(page.lru, vm.active_list)
            continue
        del_page_from_active_list(page)
        add_page_to_inactive_list(page, "vmscan.c:552")
        SetPageReferenced(page)
    if irqsafe:
        spin_unlock_irqrestore(vm.pagemap_lru_lock, flags)
    else:
        spin_unlock(vm.pagemap_lru_lock)


@cite("mm/vmscan.c", "2.4.17", thread="002")
def shrink_caches(classzone, priority, gfp_mask, nr_pages):
    """Balance the two lists, then free.  *Locks:* see the two.  *Race:* the counters are read
    without the lock, which costs nothing but precision."""
    vm = kernel()
    nr_active = vm.nr_active_pages
    scale = (vm.nr_inactive_pages + 1) * 2
    if not scale:
        report("oops", "divide error: 0000", fatal=True)  # a counter gone astray
    ratio = nr_pages * nr_active // scale
    refill_inactive(ratio)
    if patched("akpm-2.5.32"):
        return shrink_cache_v2_5_32(nr_pages, classzone, gfp_mask, priority)
    return shrink_cache(nr_pages, classzone, gfp_mask, priority)


@cite("mm/vmscan.c", "2.4.17", thread="002")
def try_to_free_pages(classzone, gfp_mask, order):
    """Did reclaim free as much as it set out to?  *Locks:* see shrink_cache.  *Race:* none."""
    priority = DEF_PRIORITY
    nr_pages = SWAP_CLUSTER_MAX
    while priority:
        nr_pages = shrink_caches(classzone, priority, gfp_mask, nr_pages)
        if nr_pages <= 0:
            return 1
        priority -= 1
    return 0


@cite("mm/vmscan.c", "2.4.17", thread="002")
def kswapd(passes):
    """The daemon, for so many rounds of reclaim.  *Locks:* none held.  *Race:* none."""
    vm = kernel()
    for _ in range(passes):
        try_to_free_pages(vm.zone, GFP_KSWAPD, 0)


@cite("mm/vmscan.c", "2.4.17", thread="002")
def try_to_swap_out(mm, pte):
    """Unmap a page; true if that may have made it freeable.

    The young bit is left out, and swap is full: a dirty page that is not in the swap cache stays.

    *Locks:* entered with page_table_lock, which keeps the pte's reference; tries the page lock.
    *Race:* from UnlockPage on the page may be locked, taken out of its cache and left to us, so
    that this put is the last.  Who then sees the count of 0, and the lock as it was before, takes
    them for a page given up by __free_pages_ok.
    """
    page = pte.val[1]
    if PageActive(page):
        return 0
    if TryLockPage(page):
        return 0
    val = xchg(pte, "val", None)
    if val[2]:
        SetPageDirty(page)
    if PageSwapCache(page):
        entry = page.index
        swap_duplicate(entry)
        pte.val = ("swap", entry)
    elif page.mapping is None and PageDirty(page):
        pte.val = val
        UnlockPage(page)
        return 0
    UnlockPage(page)
    freeable = page_count(page) - lru_ref(page) - (page.buffers is not None) <= 2
    page_cache_release(page)
    return freeable


@cite("mm/vmscan.c", "2.4.17", thread="002")
def swap_out_mm(mm):
    """Unmap what can be unmapped of an address space.  *Locks:* takes page_table_lock.  *Race:* as
    try_to_swap_out."""
    spin_lock(mm.page_table_lock)
    for pte in mm.ptes:
        val = pte.val
        if val is not None and val[0] == "page":
            try_to_swap_out(mm, pte)
    spin_unlock(mm.page_table_lock)
