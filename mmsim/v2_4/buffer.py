# SPDX-License-Identifier: GPL-2.0-only
"""Buffers of a page (fs/buffer.c).

All I/O of 2.4 goes through buffer heads, that of the swap cache as well: brw_page makes them, with
a reference to the page, and they stay when the I/O is over.  Who wants the page gone has to take
them off first, with the page locked: block_flushpage for a page that leaves its mapping,
try_to_free_buffers for reclaim.

A page has one buffer here, and its I/O is over; ``b_count`` stands for all that keeps it busy.
"""

from mmsim.linux.bug import BUG
from mmsim.model.cite import cite
from mmsim.model.struct import Struct, shared
from mmsim.v2_4.page import PageLocked
from mmsim.v2_4.page_alloc import page_cache_release


class buffer_head(Struct):
    """A page's one buffer; ``b_count`` users keep it, and with it the page, from being freed."""

    b_count = shared(0)
    name = "buffer_head"


@cite("fs/buffer.c", "2.4.17", thread="002")
def try_to_free_buffers(page, gfp_mask):
    """Drop the page's buffers and their reference; true if that worked.

    *Locks:* entered with the page lock.  Three spinlocks of the buffer cache, which nothing else
    here takes, are left out.  *Race:* a buffer in use keeps them all.
    """
    if page.buffers.b_count:
        return False
    page.buffers = None
    page_cache_release(page)
    return True


@cite("fs/buffer.c", "2.4.17", thread="002")
def try_to_release_page(page, gfp_mask):
    """The same for any mapping; none here has a releasepage.

    *Locks:* entered with the page lock.  *Race:* none known.
    """
    if not PageLocked(page):
        BUG("buffer.c:1379", page)
    return try_to_free_buffers(page, gfp_mask)


@cite("fs/buffer.c", "2.4.17", thread="002")
def discard_bh_page(page, offset, drop_pagecache):
    """Forget the page's buffers, whose blocks are about to be given up; true if none is left.

    Those that are busy turn into anonymous buffers.
    *Locks:* entered with the page lock.  *Race:* none known.
    """
    if not PageLocked(page):
        BUG("buffer.c:1409", page)
    if page.buffers is None:
        return True
    if not offset:
        if not try_to_release_page(page, 0):
            return False
    return True


@cite("include/linux/fs.h", "2.4.17", thread="002")
def block_flushpage(page, offset):
    """A macro.  *Locks:* entered with the page lock.  *Race:* none known."""
    return discard_bh_page(page, offset, 1)
