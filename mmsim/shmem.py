# SPDX-License-Identifier: GPL-2.0-only
"""tmpfs (mm/shmem.c, 5.4): the reporter's way into release_pages().

unlink(2) of a file that nobody has open evicts its inode.  shmem_undo_range() then goes through the
page cache twice: first it takes what it can lock at once, then it waits for the rest.  Either way
the pages end in pagevec_release(), at most 15 at a time, in the order of the file and therefore in
turn from one node and the other: the locks are swapped at every page.
"""

from mmsim.filemap import lock_page, unlock_page
from mmsim.linux.bug import VM_BUG_ON_PAGE
from mmsim.linux.sched import cond_resched
from mmsim.lru import pagevec, pagevec_release
from mmsim.model.cite import cite
from mmsim.page import PageWriteback
from mmsim.pagemap import trylock_page
from mmsim.truncate import find_get_entries, truncate_inode_page
from mmsim.util import page_mapping


@cite("mm/shmem.c", "5.4", thread="000")
def shmem_undo_range(mapping, start=0):
    """Remove every page of the file from index ``start`` on, and free those nobody else has.

    *Locks:* may sleep for page locks; takes tree and LRU locks.  *Race:* readers, reclaim and
    walkers may have references; then the last of them frees the page, not we.
    """
    pvec = pagevec()  # one for both: pagevec_release() drains for it once
    index = start
    while True:
        indices = find_get_entries(pvec, mapping, index)
        if not indices:
            break
        for page in pvec.pages:
            if not trylock_page(page):
                continue
            if page_mapping(page) is mapping:
                VM_BUG_ON_PAGE(
                    lambda p=page: PageWriteback(p), "PageWriteback(page)", page, "mm/shmem.c:868"
                )
                truncate_inode_page(mapping, page)
            unlock_page(page)
        pagevec_release(pvec)
        cond_resched()
        index = indices[-1] + 1

    index = start
    while True:
        cond_resched()
        indices = find_get_entries(pvec, mapping, index)
        if not indices:
            if index == start:
                break
            # all gone, or somebody has put one back in the meantime
            index = start
            continue
        for page in pvec.pages:
            lock_page(page)
            if page_mapping(page) is mapping:
                VM_BUG_ON_PAGE(
                    lambda p=page: PageWriteback(p), "PageWriteback(page)", page, "mm/shmem.c:973"
                )
                truncate_inode_page(mapping, page)
            unlock_page(page)
        pagevec_release(pvec)
        index = indices[-1] + 1


@cite("mm/shmem.c", "5.4")
def shmem_truncate_range(inode, start=0):
    """ftruncate(2): the file stays, its pages go."""
    shmem_undo_range(inode.i_mapping, start)


@cite("mm/shmem.c", "5.4", thread="000")
def shmem_evict_inode(inode):
    """The file goes."""
    shmem_truncate_range(inode)
