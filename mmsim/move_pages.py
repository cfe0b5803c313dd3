# SPDX-License-Identifier: GPL-2.0-only
"""Who asks for migration: move_pages(2), and memory offlining by frame (mm/migrate.c,
mm/memory_hotplug.c, 5.17).

move_pages(2) goes by address: mmap_lock and the PTL give it a page and a reference.  Offlining goes
by frame number and knows nothing about who has the page; it has to survive every answer.

Both isolate first: a page that is not on the LRU belongs to somebody who is working on it.
"""

from mmsim.gup import FOLL_GET, follow_page
from mmsim.linux.cite import cite
from mmsim.linux.list import LIST_HEAD, list_add_tail, list_empty
from mmsim.linux.sleeplock import down_read, up_read
from mmsim.lru import lru_add_drain, put_page
from mmsim.migrate import (
    MIGRATE_SYNC,
    isolate_movable_page,
    migrate_pages,
    putback_movable_pages,
)
from mmsim.mm_types import find_vma
from mmsim.page import PageLRU, get_page_unless_zero
from mmsim.page_alloc import alloc_page, pfn_to_page
from mmsim.vmscan import isolate_lru_page

EFAULT = 14
ENOENT = 2


@cite("mm/migrate.c", "5.17")
def alloc_migration_target(page, private):
    """get_new_page: one page on the wished-for node, or None."""
    return alloc_page(private)


@cite("mm/migrate.c", "5.17", thread="003")
def add_page_for_migration(mm, address, pagelist):
    """Isolate the page at ``address``; 0 or a negative errno.

    *Locks:* takes mmap_lock for read; the LRU lock inside.
    """
    down_read(mm.mmap_lock)
    vma = find_vma(mm, address)
    if vma is None or address < vma.vm_start:
        up_read(mm.mmap_lock)
        return -EFAULT
    page = follow_page(vma, address, FOLL_GET)
    if page is None:
        up_read(mm.mmap_lock)
        return -ENOENT
    err = isolate_lru_page(page)
    if not err:
        list_add_tail(page.lru, pagelist)
    # the isolation has a reference of its own
    put_page(page)
    up_read(mm.mmap_lock)
    return err


@cite("mm/migrate.c", "5.17", thread="003")
def do_pages_move(mm, addresses, node=None, mode=MIGRATE_SYNC):
    """move_pages(2): migrate the pages at these addresses; how many of the isolated were not.

    *Locks:* sleeps.  Pages in another CPU's pagevec are not found on the LRU and left alone.
    """
    lru_add_drain()
    pagelist = LIST_HEAD("pagelist")
    for address in addresses:
        add_page_for_migration(mm, address, pagelist)
    if list_empty(pagelist):
        return 0
    err = migrate_pages(pagelist, alloc_migration_target, None, node, mode)
    if err:
        putback_movable_pages(pagelist)
    return err


@cite("mm/memory_hotplug.c", "5.17", thread="003")
def do_migrate_range(start_pfn, end_pfn, mode=MIGRATE_SYNC):
    """Isolate and migrate what can be of a range of frames; how many of the isolated were not.

    *Locks:* sleeps.  *Race:* the frames are anybody's.
    """
    lru_add_drain()
    source = LIST_HEAD("source")
    for pfn in range(start_pfn, end_pfn):
        page = pfn_to_page(pfn)
        if page is None or not get_page_unless_zero(page):
            continue
        if PageLRU(page):
            ret = isolate_lru_page(page)
        else:
            ret = isolate_movable_page(page)
        if not ret:
            list_add_tail(page.lru, source)
        put_page(page)
    if list_empty(source):
        return 0
    err = migrate_pages(source, alloc_migration_target, None, None, mode)
    if err:
        putback_movable_pages(source)
    return err
