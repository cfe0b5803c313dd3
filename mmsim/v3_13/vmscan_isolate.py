# SPDX-License-Identifier: GPL-2.0-only
"""Taking a page off its list and putting it back on the right one (mm/vmscan.c, 3.13).

Whoever wants to do something with a page that must not move isolates it: off the list, PG_lru
clear, one reference.  Afterwards putback_lru_page() decides by what the page is *now*.  Nothing
keeps the page from becoming evictable while it is being put on the unevictable list, where nobody
would ever look for it again, so putback looks a second time:

    putback                                      munlock, clear_page_mlock
    put on the unevictable list, set PG_lru      clear PG_mlocked
    smp_mb()                                     (TestClear is a full barrier)
    evictable now?  then isolate and redo        PG_lru?  then isolate, and move it

One of the two sees the other.  This half of vmscan.c stands alone because mlock.c needs it and
the other half (vmscan.py) needs rmap, which needs mlock.
"""

from mmsim.linux.atomic import smp_mb
from mmsim.linux.bug import BUG_ON, VM_BUG_ON
from mmsim.linux.list import list_empty, list_move
from mmsim.linux.spinlock import spin_lock_irq, spin_unlock_irq
from mmsim.lru_release import put_page
from mmsim.memcontrol import mem_cgroup_page_lruvec
from mmsim.mm_inline import lru_to_page, page_evictable
from mmsim.mmzone import del_page_from_lru_list, page_lru, page_pgdat, update_lru_size
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.page import (
    ClearPageLRU,
    ClearPageUnevictable,
    PageLRU,
    PageUnevictable,
    get_page,
    get_page_unless_zero,
    page_count,
)
from mmsim.v3_13.swap import add_page_to_unevictable_list, lru_cache_add

EBUSY, EINVAL = 16, 22
ISOLATE_UNEVICTABLE = 0x8


@cite("mm/vmscan.c", "3.13", thread="004")
def isolate_lru_page(page):
    """Take a page off its list; 0 if done, with a reference, else -EBUSY.

    *Locks:* takes lru_lock.  The caller holds a reference.  *Race:* the first look at PG_lru is
    without the lock; a page on its way back to a list is missed, which putback_lru_page() mends.
    """
    VM_BUG_ON(lambda: not page_count(page), "mm/vmscan.c:1298", page)
    ret = -EBUSY
    if PageLRU(page):
        zone = page_pgdat(page)
        spin_lock_irq(zone.lru_lock)
        lruvec = mem_cgroup_page_lruvec(page, zone)
        if PageLRU(page):
            lru = page_lru(page)
            get_page(page)
            ClearPageLRU(page)
            del_page_from_lru_list(page, lruvec, lru)
            ret = 0
        spin_unlock_irq(zone.lru_lock)
    return ret


@cite("mm/vmscan.c", "3.13", thread="004")
def putback_lru_page(page):
    """Put an isolated page on the list it belongs on now, and drop the isolator's reference.

    *Locks:* takes lru_lock.  *Race:* see the top of the file; with ``putback-no-recheck`` a page
    that is munlocked between the choice and PG_lru stays on the unevictable list.
    """
    VM_BUG_ON(lambda: PageLRU(page), "mm/vmscan.c:606", page)
    while True:
        ClearPageUnevictable(page)
        if page_evictable(page):
            # if it is mlocked in the meantime reclaim will cull it
            is_unevictable = False
            lru_cache_add(page)
        else:
            is_unevictable = True
            add_page_to_unevictable_list(page)
            if patched("putback-no-recheck"):
                break
            smp_mb()
        if is_unevictable and page_evictable(page):
            if isolate_lru_page(page) == 0:
                put_page(page)
                continue
            # somebody else has isolated it, and will put it back
        break
    put_page(page)


@cite("mm/vmscan.c", "3.13")
def __isolate_lru_page(page, mode):
    """Take a reference and clear PG_lru; 0, -EINVAL or -EBUSY.  *Locks:* lru_lock.

    *Race:* a page whose count is 0 is being freed by somebody who waits for this lock.
    """
    if not PageLRU(page):
        return -EINVAL
    if PageUnevictable(page) and not mode & ISOLATE_UNEVICTABLE:
        return -EINVAL
    if get_page_unless_zero(page):
        ClearPageLRU(page)
        return 0
    return -EBUSY


@cite("mm/vmscan.c", "3.13")
def isolate_lru_pages(nr_to_scan, lruvec, dst, lru):
    """Move up to ``nr_to_scan`` pages from the end of a list to ``dst``; how many.

    *Locks:* lru_lock.
    """
    src = lruvec.lists[lru]
    nr_taken = 0
    scan = 0
    while scan < nr_to_scan and not list_empty(src):
        scan += 1
        page = lru_to_page(src)
        VM_BUG_ON(lambda page=page: not PageLRU(page), "mm/vmscan.c:1243", page)
        ret = __isolate_lru_page(page, 0)
        if ret == 0:
            update_lru_size(lruvec, lru, -1)
            list_move(page.lru, dst)
            nr_taken += 1
        else:
            BUG_ON(ret != -EBUSY, "mm/vmscan.c:1259")
            list_move(page.lru, src)
    return nr_taken
