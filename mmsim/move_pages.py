# SPDX-License-Identifier: GPL-2.0-only
"""Who asks for migration (mm/migrate.c, memory_hotplug.c, compaction.c, 5.17).

move_pages(2) goes by address: mmap_lock and the PTL give it a page and a reference.  Offlining and
compaction go by frame number and know nothing about who has the page; they have to survive every
answer.  Direct compaction, on top of that, is made in somebody's name who may hold any lock.

Both isolate first: a page that is not on the LRU belongs to somebody who is working on it.
"""

from mmsim.engine.door import current
from mmsim.gup import FOLL_GET, follow_page
from mmsim.linux.atomic import atomic_add
from mmsim.linux.list import (
    LIST_HEAD,
    list_add,
    list_add_tail,
    list_del,
    list_empty,
    list_first_entry,
)
from mmsim.linux.sched import PF_MEMALLOC
from mmsim.linux.sleeplock import down_read, up_read
from mmsim.lru import lru_add_drain, put_page
from mmsim.lru_drain import lru_cache_disable, lru_cache_enable
from mmsim.memory_model import pfn_to_page
from mmsim.migrate import MIGRATE_ASYNC, MIGRATE_SYNC, MIGRATE_SYNC_LIGHT, migrate_pages
from mmsim.migrate_movable import isolate_movable_page, putback_movable_pages
from mmsim.mm_types import find_vma
from mmsim.mmzone import page_pgdat
from mmsim.model.cite import cite
from mmsim.page import PageLRU, get_page_unless_zero
from mmsim.page_alloc import alloc_page, alloc_pages
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
        atomic_add(page_pgdat(page), "vmstat_isolated", 1)
    # the isolation has a reference of its own
    put_page(page)
    up_read(mm.mmap_lock)
    return err


@cite("mm/migrate.c", "5.17", thread="003")
def do_pages_move(mm, addresses, node=None, mode=MIGRATE_SYNC):
    """move_pages(2): migrate the pages at these addresses; how many of the isolated were not.

    *Locks:* sleeps.  Pagevecs are off while it looks for the pages and moves them.
    """
    pagelist = LIST_HEAD("pagelist")
    lru_cache_disable()
    for address in addresses:
        add_page_for_migration(mm, address, pagelist)
    err = 0
    if not list_empty(pagelist):
        err = migrate_pages(pagelist, alloc_migration_target, None, node, mode)
        if err:
            putback_movable_pages(pagelist)
    lru_cache_enable()
    return err


def _isolate_range(start_pfn, end_pfn, source):
    """Isolate what can be migrated of a range of frames.

    *Locks:* takes LRU locks and tries page locks.  *Race:* the frames are anybody's.
    """
    for pfn in range(start_pfn, end_pfn):
        page = pfn_to_page(pfn)
        if page is None or not get_page_unless_zero(page):
            continue
        if PageLRU(page):
            isolated = not isolate_lru_page(page)
            if isolated:
                atomic_add(page_pgdat(page), "vmstat_isolated", 1)
        else:
            isolated = isolate_movable_page(page, 0)
        if isolated:
            list_add_tail(page.lru, source)
        put_page(page)


@cite("mm/memory_hotplug.c", "5.17", thread="003")
def do_migrate_range(start_pfn, end_pfn, mode=MIGRATE_SYNC):
    """Offlining: migrate what is in a range of frames; how many of the isolated were not.

    *Locks:* sleeps.
    """
    source = LIST_HEAD("source")
    _isolate_range(start_pfn, end_pfn, source)
    if list_empty(source):
        return 0
    err = migrate_pages(source, alloc_migration_target, None, None, mode)
    if err:
        putback_movable_pages(source)
    return err


@cite("mm/memory_hotplug.c", "5.17", thread="003")
def offline_pages(start_pfn, end_pfn, rounds):
    """Migrate what is in a range of frames, until nothing is, or ``rounds`` times.

    *Locks:* sleeps.  Pagevecs are off meanwhile.
    """
    lru_cache_disable()
    for _ in range(rounds):
        do_migrate_range(start_pfn, end_pfn)
    lru_cache_enable()


# -- direct compaction ----------------------------------------------------------------------------


@cite("mm/compaction.c", "5.17")
def compaction_alloc(page, freepages):
    """get_new_page: one of the free pages that compaction has set aside; or None."""
    if list_empty(freepages):
        target = alloc_page()
        if target is None:
            return None
        list_add(target.lru, freepages)
    target = list_first_entry(freepages)
    list_del(target.lru)
    return target


@cite("mm/compaction.c", "5.17")
def compaction_free(page, freepages):
    """put_new_page: set it aside again."""
    list_add(page.lru, freepages)


@cite("mm/compaction.c", "5.17", thread="003", symbol="compact_zone")
def compact_isolated(migratepages, freepages, mode):
    """The second half of compact_zone(): both scanners have filled their lists, now pages move.

    *Locks:* sleeps, for page locks too unless ``mode`` is MIGRATE_ASYNC.
    """
    if not list_empty(migratepages):
        if migrate_pages(migratepages, compaction_alloc, compaction_free, freepages, mode):
            putback_movable_pages(migratepages)
    while not list_empty(freepages):
        target = list_first_entry(freepages)
        list_del(target.lru)
        put_page(target)


@cite("mm/page_alloc.c", "5.17", thread="003", symbol="__alloc_pages_direct_compact")
def direct_compact(start_pfn, end_pfn, mode):
    """Compact for an allocation that failed, on behalf of whoever made it, locks and all.

    *Locks:* entered with whatever the caller holds, page locks among it; sleeps.  PF_MEMALLOC tells
    migration so.
    """
    task = current()
    noreclaim = task.flags & PF_MEMALLOC
    task.flags |= PF_MEMALLOC
    lru_add_drain()
    migratepages = LIST_HEAD("cc->migratepages")
    freepages = LIST_HEAD("cc->freepages")
    _isolate_range(start_pfn, end_pfn, migratepages)
    compact_isolated(migratepages, freepages, mode)
    task.flags = task.flags & ~PF_MEMALLOC | noreclaim


@cite("mm/page_alloc.c", "5.17", thread="003")
def __alloc_pages_slowpath(order, start_pfn, end_pfn):
    """A block that is not to be had: compact, politely and then less so, and try again; or None."""
    for mode in (MIGRATE_ASYNC, MIGRATE_SYNC_LIGHT):
        direct_compact(start_pfn, end_pfn, mode)
        page = alloc_pages(order)
        if page is not None:
            return page
    return None
