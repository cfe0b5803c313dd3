# SPDX-License-Identifier: GPL-2.0-only
"""Buffer heads: the file system's reference on a page-cache page (fs/buffer.c, 4.19 to 5.17).

A page with buffers has one reference more than it has ptes and cache slots, held through
``page->private`` for as long as PG_private is set.  Who compares references with mappings and
forgets it takes every such page for pinned; that is Hugh Dickins' objection to the first patch of
thread 001.
"""

from mmsim.linux.atomic import atomic_read
from mmsim.linux.bug import BUG_ON
from mmsim.linux.spinlock import spin_lock, spin_unlock
from mmsim.lru import put_page
from mmsim.model.cite import cite
from mmsim.model.struct import Struct, shared
from mmsim.page import ClearPagePrivate, PageLocked, PageWriteback, SetPagePrivate, get_page

BH_Dirty = 1 << 1
BH_Lock = 1 << 2


class buffer_head(Struct):
    """One block of a page; the buffers of a page form a ring through ``b_this_page``."""

    b_state = shared(0)
    b_count = shared(0)
    b_this_page = shared(None)

    def __init__(self, page, number):
        self.b_page = page
        self.name = f"bh{number}({page.name})"
        self.address = 0xFFFF888003000000 + page.pfn * 0x400 + number * 0x68


@cite("include/linux/buffer_head.h", "4.19", thread="001")
def page_buffers(page):
    """The first buffer.  *Locks:* the page lock or the mapping's private_lock."""
    return page.private


@cite("include/linux/buffer_head.h", "4.19", thread="001")
def attach_page_buffers(page, head):
    """Take the buffers' reference, then say that there are any.  *Locks:* private_lock."""
    get_page(page)
    SetPagePrivate(page)
    page.private = head


@cite("fs/buffer.c", "4.19", thread="001")
def create_empty_buffers(page, blocks=2):
    """Give a locked page-cache page its buffers.  *Locks:* page lock; takes private_lock."""
    ring = [buffer_head(page, number) for number in range(blocks)]
    for bh, after in zip(ring, ring[1:] + ring[:1], strict=True):
        bh.b_this_page = after
    mapping = page.mapping
    spin_lock(mapping.private_lock)
    attach_page_buffers(page, ring[0])
    spin_unlock(mapping.private_lock)


@cite("fs/buffer.c", "4.19", thread="001")
def __clear_page_buffers(page):
    """Undo attach_page_buffers().  *Race:* the put may be the last reference."""
    ClearPagePrivate(page)
    page.private = 0
    put_page(page)


@cite("fs/buffer.c", "4.19", thread="001")
def buffer_busy(bh):
    """Does somebody use the buffer?"""
    return atomic_read(bh, "b_count") or atomic_read(bh, "b_state") & (BH_Dirty | BH_Lock)


@cite("fs/buffer.c", "4.19", thread="001")
def drop_buffers(page):
    """Take the ring off the page unless one is busy; true if done.  *Locks:* private_lock."""
    head = page_buffers(page)
    bh = head
    while True:
        if buffer_busy(bh):
            return False
        bh = bh.b_this_page
        if bh is head:
            break
    __clear_page_buffers(page)
    return True


@cite("fs/buffer.c", "4.19", thread="001")
def try_to_free_buffers(page):
    """Free a page's buffers if none is busy; true if done.

    *Locks:* the page lock; takes private_lock.
    """
    BUG_ON(not PageLocked(page), {"4.19": "fs/buffer.c:3263", "5.4": "fs/buffer.c:3244"})
    if PageWriteback(page):
        return False
    mapping = page.mapping
    if mapping is None:  # truncated meanwhile
        return drop_buffers(page)
    spin_lock(mapping.private_lock)
    ret = drop_buffers(page)
    spin_unlock(mapping.private_lock)
    return ret
