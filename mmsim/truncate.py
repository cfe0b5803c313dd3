# SPDX-License-Identifier: GPL-2.0-only
"""Taking a file's pages out of the page cache for good (mm/truncate.c, mm/filemap.c).

Truncation holds the page lock and a reference while a page leaves the cache, so the cache's
reference is never the last here.  The last one is dropped later, in batches, by pagevec_release():
with no page lock, no tree lock, and the page to be found only on the LRU and by its frame number.
"""

from mmsim.engine.door import access
from mmsim.engine.op import READ_ONCE, Op
from mmsim.filemap import lock_page, unlock_page
from mmsim.filemap_cache import delete_from_page_cache, xa_load
from mmsim.linux.bug import VM_BUG_ON_PAGE
from mmsim.linux.sched import cond_resched, cpu_relax
from mmsim.lru import pagevec_release, put_page
from mmsim.model.cite import cite
from mmsim.page import ClearPageDirty, PageTail, get_page_unless_zero, page_mapped
from mmsim.page_writeback import wait_on_page_writeback
from mmsim.pagevec import pagevec, pagevec_add

_FINDS = Op(READ_ONCE, "i_pages")  # whichever slots it comes past


def _next_entry(mapping, start):
    index = min((i for i in mapping.slots if i >= start), default=start)
    return index, mapping.slots.get(index)


@cite("mm/filemap.c", "5.4", thread="000")
def find_get_entries(pvec, mapping, start):
    """Fill a pagevec with the file's pages from ``start`` on, a reference each; their indices.

    *Locks:* none (RCU).  *Race:* each reference is taken unless zero, and the slot looked at again.
    """
    indices = []
    index = start
    while True:
        index, page = access(_FINDS, mapping, _next_entry, mapping, index)
        if page is None:
            break
        if not get_page_unless_zero(page):
            cpu_relax()
            continue
        if xa_load(mapping, index) is not page:
            put_page(page)
            continue
        indices.append(index)
        index += 1
        if not pagevec_add(pvec, page):
            break
    return indices


@cite("mm/truncate.c", "5.4", symbol="truncate_cleanup_page")
def truncate_cleanup_page(page):
    """What the page carries for its file is void.  (Unmapping is memory.py's; nothing maps it.)

    The assertion is that of unaccount_page_cache_page(), which has nothing to count here.
    *Locks:* page lock.
    """
    VM_BUG_ON_PAGE(
        lambda: page_mapped(page), "page_mapped(page)", page,
        {"4.19": "mm/filemap.c:201", "5.4": "mm/filemap.c:172"},
    )
    ClearPageDirty(page)  # cancel_dirty_page()


@cite("mm/truncate.c", "5.4", thread="000")
def truncate_inode_page(mapping, page):
    """Remove a locked page from the cache; false if it is not the mapping's any more.

    *Locks:* entered with the page lock and a reference; takes the tree's.
    """
    VM_BUG_ON_PAGE(
        lambda: PageTail(page), "PageTail(page)", page,
        {"4.19": "mm/truncate.c:224", "5.4": "mm/truncate.c:219"},
    )
    if page.mapping is not mapping:
        return False
    truncate_cleanup_page(page)
    delete_from_page_cache(page)
    return True


@cite("mm/truncate.c", "5.4", symbol="truncate_inode_pages_range")
def truncate_inode_pages(mapping):
    """Remove every page of a file that nobody maps, waiting for those that are being written.

    The wait is what keeps a page under writeback, which has no reference for it, from being freed.
    (The kernel first goes through the file once to take what it can get without waiting.)
    *Locks:* sleeps for page locks and writeback.
    """
    pvec = pagevec()
    while find_get_entries(pvec, mapping, 0):
        for page in pvec.pages:
            lock_page(page)
            wait_on_page_writeback(page)
            truncate_inode_page(mapping, page)
            unlock_page(page)
        pagevec_release(pvec)
        cond_resched()
