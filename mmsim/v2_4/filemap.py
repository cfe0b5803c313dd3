# SPDX-License-Identifier: GPL-2.0-only
"""The page cache and the page lock (mm/filemap.c).

The page lock is one bit; whoever wants it sleeps on the page's own wait queue.  Who takes it holds
a reference, so that nobody can lock a page with count 0: upon that stands the patch of 12 February,
for which "count 0 and locked" is a message.  It is not quite true.  shrink_cache tries for the
lock of a page that it has no reference to, and so does find_trylock_page.  The one relies on
pagemap_lru_lock, the other on pagecache_lock and the cache's reference.

pagecache_lock protects which page a mapping has at which index, and stands innermost.

Lines of BUG() are those of 2.4.17, in vmscan.py, buffer.py and swapfile.py as well.  Whether
2.4.18-pre9 has the same is not known.  2.4.20 has not: unlock_page()'s is filemap.c:864 there, and
the second one of shrink_cache() vmscan.c:359.
"""

from functools import partial

from mmsim.linux.atomic import smp_mb
from mmsim.linux.bug import BUG
from mmsim.linux.list import list_empty
from mmsim.linux.sched import (
    TASK_RUNNING,
    TASK_UNINTERRUPTIBLE,
    __set_current_state,
    schedule,
    set_current_state,
)
from mmsim.linux.spinlock import spin_lock, spin_unlock
from mmsim.linux.wait import add_wait_queue, remove_wait_queue, wait_queue_entry, wake_up
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.model.struct import Array, Layout, shared
from mmsim.v2_4.buffer import block_flushpage
from mmsim.v2_4.page import (
    ClearPageDirty,
    ClearPageLaunder,
    ClearPageUptodate,
    PageDirty,
    PageLocked,
    PG_arch_1,
    PG_checked,
    PG_dirty,
    PG_error,
    PG_locked,
    PG_referenced,
    PG_uptodate,
    TestClearPageLocked,
    TryLockPage,
    page_cache_get,
)
from mmsim.v2_4.page_alloc import page_cache_release
from mmsim.v2_4.swap import lru_cache_add, lru_cache_del


class page_slot(Layout):
    """One place of a mapping: what the page hash finds for (mapping, index)."""

    page = shared(None)

    def __init__(self, mapping, index):
        self.mapping = mapping
        self.index = index

    @property
    def name(self):
        """What events and reports call it."""
        return f"{self.mapping}[{self.index}]"

    def identity(self):
        """No two mappings have one name."""
        return ("page_slot", self.mapping, self.index)


class address_space:
    """A file's (or the swap's) pages by index.  ``writepage`` is its a_ops->writepage, or None."""

    def __init__(self, name, size=0):
        self.name = name
        self.slots = Array(size, partial(page_slot, name))
        self.writepage = None

    @property
    def address(self):
        """Simulated."""
        return 0xC2000000 + sum(map(ord, self.name)) * 0x40


# -- the page lock ----------------------------------------------------------------------------


@cite("mm/filemap.c", "2.4.17", thread="002")
def unlock_page(page):
    """Unlock, and wake who waits.

    *Locks:* releases the page lock; any context.  *Race:* a bit that is not set says that
    somebody else thinks this page is his to unlock.
    """
    ClearPageLaunder(page)
    smp_mb()
    if not TestClearPageLocked(page):
        BUG("filemap.c:802", page)
    smp_mb()
    if not list_empty(page.wait.head):
        wake_up(page.wait)


UnlockPage = unlock_page


@cite("mm/filemap.c", "2.4.17", thread="002")
def ___wait_on_page(page):
    """Sleep until the page is unlocked.  *Locks:* sleeps.  *Race:* none: state before test."""
    wait = wait_queue_entry()
    add_wait_queue(page.wait, wait)
    while True:
        set_current_state(TASK_UNINTERRUPTIBLE)
        if not PageLocked(page):
            break
        schedule()
    __set_current_state(TASK_RUNNING)
    remove_wait_queue(page.wait, wait)


@cite("include/linux/pagemap.h", "2.4.17", thread="002")
def wait_on_page(page):
    """The same, if there is something to wait for.  *Locks:* may sleep.  *Race:* none known."""
    if PageLocked(page):
        ___wait_on_page(page)


@cite("mm/filemap.c", "2.4.17", thread="002")
def lock_page(page):
    """Take the page lock.

    2.4 queues as an exclusive waiter (__lock_page), so that one unlock wakes one of them; here all
    wake up and try again.
    *Locks:* sleeps.  *Race:* the caller must have a reference.
    """
    while TryLockPage(page):
        ___wait_on_page(page)


# -- the page cache ---------------------------------------------------------------------------


@cite("mm/filemap.c", "2.4.17", thread="002")
def __add_to_page_cache(page, mapping, index):
    """Enter a new page, locked.

    *Locks:* entered with pagecache_lock.  *Race:* the flags word is written with a plain store
    that sets PG_locked.  That is right for a page nobody else can know of; a lock somebody took
    since the load is lost, and one taken before it has two owners.
    """
    flags = page.flags & ~(
        1 << PG_uptodate | 1 << PG_error | 1 << PG_dirty
        | 1 << PG_referenced | 1 << PG_arch_1 | 1 << PG_checked
    )
    page.flags = flags | 1 << PG_locked
    page_cache_get(page)
    page.index = index
    page.mapping = mapping
    mapping.slots[index].page = page


@cite("mm/filemap.c", "2.4.17", thread="002")
def add_to_page_cache(page, mapping, index):
    """Enter a new page and put it on the LRU.

    *Locks:* takes pagecache_lock, then pagemap_lru_lock.  *Race:* see __add_to_page_cache.
    """
    vm = kernel()
    spin_lock(vm.pagecache_lock)
    __add_to_page_cache(page, mapping, index)
    spin_unlock(vm.pagecache_lock)
    lru_cache_add(page)


@cite("mm/filemap.c", "2.4.17", thread="002")
def find_trylock_page(mapping, index):
    """The page at ``index``, locked, or None; no reference is taken.

    *Locks:* takes pagecache_lock.  *Race:* the lock alone keeps the page in the cache.
    """
    vm = kernel()
    spin_lock(vm.pagecache_lock)
    page = mapping.slots[index].page
    if page is not None and TryLockPage(page):
        page = None
    spin_unlock(vm.pagecache_lock)
    return page


@cite("mm/filemap.c", "2.4.17", thread="002")
def find_get_page(mapping, index):
    """The page at ``index`` with a reference, or None.

    *Locks:* takes pagecache_lock.  *Race:* the lock keeps the cache's reference until we have ours.
    """
    vm = kernel()
    spin_lock(vm.pagecache_lock)
    page = mapping.slots[index].page
    if page is not None:
        page_cache_get(page)
    spin_unlock(vm.pagecache_lock)
    return page


@cite("mm/filemap.c", "2.4.17", thread="002")
def __remove_inode_page(page):
    """Take a page out of its mapping.  *Locks:* pagecache_lock and the page lock.  *Race:* none."""
    if PageDirty(page):
        BUG("filemap.c:123", page)
    page.mapping.slots[page.index].page = None
    page.mapping = None


@cite("mm/filemap.c", "2.4.17", thread="002")
def remove_inode_page(page):
    """The same, with the lock.  *Locks:* takes pagecache_lock.  *Race:* none known."""
    vm = kernel()
    spin_lock(vm.pagecache_lock)
    __remove_inode_page(page)
    spin_unlock(vm.pagecache_lock)


@cite("mm/filemap.c", "2.4.17", thread="002")
def truncate_complete_page(page):
    """Throw a page out of its file.

    *Locks:* entered with the page lock, takes pagemap_lru_lock and pagecache_lock.
    *Race:* buffers that are busy stay, and keep the page on the LRU without a mapping:
    shrink_cache frees it when they are done with.
    """
    if page.buffers is None or block_flushpage(page, 0):
        lru_cache_del(page)
    ClearPageDirty(page)
    ClearPageUptodate(page)
    remove_inode_page(page)
    page_cache_release(page)
