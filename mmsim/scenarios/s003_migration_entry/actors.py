# SPDX-License-Identifier: GPL-2.0-only
"""Who else is about in thread 003: readers, drivers, walkers by frame number, exec.

None of them is wrong by itself.  A gate makes one of them, or migration, do one thing differently.
"""

from mmsim.filemap import lock_page, trylock_page, unlock_page, wait_on_page_locked
from mmsim.filemap_cache import (
    delete_from_page_cache,
    filemap_add_folio,
    find_get_page,
    find_lock_page,
)
from mmsim.gup import FOLL_GET, FOLL_TOUCH, follow_page
from mmsim.linux.irqflags import raise_irq
from mmsim.linux.list import LIST_HEAD, list_add
from mmsim.linux.sleeplock import down_read, up_read
from mmsim.lru import lru_add_drain, put_page
from mmsim.memory import madvise_dontneed
from mmsim.memory_model import pfn_to_page
from mmsim.migrate_movable import isolate_movable_page, putback_movable_pages
from mmsim.mm_types import find_vma
from mmsim.model.gate import patched
from mmsim.move_pages import (
    MIGRATE_SYNC_LIGHT,
    __alloc_pages_slowpath,
    compact_isolated,
    offline_pages,
)
from mmsim.mremap import setup_arg_pages
from mmsim.page import PageLRU, SetPageUptodate, get_page_unless_zero, page_mapped
from mmsim.page_alloc import __free_pages, alloc_page, alloc_pages
from mmsim.scenarios.s003_migration_entry.stage import user

# -- pins ---------------------------------------------------------------------------------------


def _follow(mm, address, flags):
    down_read(mm.mmap_lock)
    vma = find_vma(mm, address)
    page = None
    if vma is not None and vma.vm_start <= address:
        page = follow_page(vma, address, flags)
    up_read(mm.mmap_lock)
    return page


def toucher(mm, places, rounds):
    """get_user_pages' look at somebody's memory: it leaves a mark on the page and no reference."""
    for _ in range(rounds):
        for address in places:
            _follow(mm, address, FOLL_TOUCH)


class bio:
    """I/O on one page at a time; ``end`` and ``again`` are the interrupts of its completion."""

    def __init__(self):
        self.page = None
        self.end = None
        self.again = None


def bio_end(io):
    """The device is done with the page."""
    page = io.page
    SetPageUptodate(page)
    unlock_page(page)
    if patched("double-unlock"):
        raise_irq(io.again)
    put_page(page)


def bio_end_again(io):
    """The device says so once more."""
    unlock_page(io.page)


def device_reader(mm, address, io):
    """A driver reads into a user's page: it is locked from here to the interrupt."""
    page = _follow(mm, address, FOLL_GET)
    if page is None:
        return
    lock_page(page)
    io.page = page
    raise_irq(io.end)


def exiter(mm, places):
    """A process gives its memory back, as it finds it."""
    for address in places:
        madvise_dontneed(mm, address)


# -- the page cache -----------------------------------------------------------------------------


def file_user(mapping, index, rounds):
    """Reads a file nobody has in memory, and drops it again: its pages are as fresh as can be."""
    for _ in range(rounds):
        page = alloc_page()
        if page is None:
            return
        if filemap_add_folio(mapping, page, index):
            put_page(page)
            return
        page.data = f"{mapping.name}:{index}"
        SetPageUptodate(page)
        unlock_page(page)
        put_page(page)
        lru_add_drain()
        page = find_lock_page(mapping, index)
        if page is None:
            return
        delete_from_page_cache(page)
        unlock_page(page)
        put_page(page)


def file_reader(mapping, index):
    """read(2) of a page that nobody has in memory: it is locked until its contents are there."""
    page = alloc_page()
    if page is None:
        return
    if filemap_add_folio(mapping, page, index) == 0:
        page.data = f"{mapping.name}:{index}"
        SetPageUptodate(page)
        unlock_page(page)
    put_page(page)


class readahead:
    """One read in flight: locked pages, and the interrupt that will unlock them."""

    def __init__(self):
        self.pages = []
        self.end = None


def readahead_end(io):
    """The read is complete."""
    for page in io.pages:
        SetPageUptodate(page)
        unlock_page(page)


def readahead_user(mapping, io, nr_pages, frames):
    """Reads ahead: adds pages, locked, then needs a larger block to send the read off with.

    Memory is in pieces, so that allocation compacts, while our pages are locked and on the LRU.
    """
    for index in range(nr_pages):
        page = alloc_page()
        if page is None:
            break
        if filemap_add_folio(mapping, page, index):
            put_page(page)
            break
        page.data = f"{mapping.name}:{index}"
        io.pages.append(page)
    if not io.pages:
        return
    block = alloc_pages(1)
    if block is None:
        block = __alloc_pages_slowpath(1, *frames)
    raise_irq(io.end)
    for page in io.pages:
        wait_on_page_locked(page)
        put_page(page)
    if block is not None:
        __free_pages(block, 1)


def reader(mapping, index):
    """read(2): a reference to a cached page for as long as it is copied."""
    page = find_get_page(mapping, index)
    if page is not None:
        put_page(page)


def truncater(mapping, index):
    """A file is truncated: its page leaves the cache, locked."""
    page = find_lock_page(mapping, index)
    if page is None:
        return
    delete_from_page_cache(page)
    unlock_page(page)
    put_page(page)


# -- by frame number ----------------------------------------------------------------------------


def pfn_walker(start_pfn, end_pfn, rounds):
    """Compaction's way through memory, as far as drivers' movable pages are concerned."""
    for _ in range(rounds):
        for pfn in range(start_pfn, end_pfn):
            page = pfn_to_page(pfn)
            if PageLRU(page):
                continue
            if isolate_movable_page(page, 0):
                pages = LIST_HEAD("pages")
                list_add(page.lru, pages)
                putback_movable_pages(pages)


def offliner(start_pfn, end_pfn, rounds):
    """Memory offlining: migrates whatever is there."""
    offline_pages(start_pfn, end_pfn, rounds)


def kcompactd(migratepages, freepages):
    """Background compaction, which has just filled its two lists."""
    compact_isolated(migratepages, freepages, MIGRATE_SYNC_LIGHT)


def pair_walker(pairs):
    """Looks at two frames at a time with both page locks held, the higher frame's first.

    The first may be anybody's, so its lock is only tried; for the second, which somebody maps, it
    waits.  (Soft offlining of memory gets and locks frames like this, one at a time.)
    """
    for high, low in pairs:
        first = pfn_to_page(high)
        if not get_page_unless_zero(first):
            continue
        if not trylock_page(first):
            put_page(first)
            continue
        second = pfn_to_page(low)
        if page_mapped(second) and get_page_unless_zero(second):
            lock_page(second)
            unlock_page(second)
            put_page(second)
        unlock_page(first)
        put_page(first)


# -- exec ---------------------------------------------------------------------------------------


def exec_user(stack, shift, filling, using):
    """A program that is being started: fills its stack, moves it down, then runs on it."""
    mm = stack.mms[0]
    user(mm, stack.places, stack.names, True, filling)
    setup_arg_pages(mm, stack.vmas[0], shift)
    user(mm, [address - shift for address in stack.places], stack.names, True, using)
