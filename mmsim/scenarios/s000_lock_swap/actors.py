# SPDX-License-Identifier: GPL-2.0-only
"""Who takes part in thread 000: one function for each kind of task or interrupt.

All of them are callers that the kernel has.  They meet on pages of tmpfs files: the page cache has
one reference of each page, whoever looks at it another, and the last to let go frees it.
"""

from mmsim.filemap import lock_page, unlock_page
from mmsim.filemap_cache import find_get_page
from mmsim.linux.atomic import atomic_add, atomic_dec_and_test, atomic_set
from mmsim.linux.list import LIST_HEAD, NULL, list_add, list_add_tail, list_del
from mmsim.linux.sched import cond_resched
from mmsim.lru import lru_add_drain, lru_cache_add, mark_page_accessed, put_page
from mmsim.memcg_move import mem_cgroup_move_charge
from mmsim.memcontrol import commit_charge, page_memcg
from mmsim.migrate_movable import putback_movable_pages
from mmsim.mmu_gather import tlb_flush_mmu_free
from mmsim.mmzone import LRU_ACTIVE_ANON, LRU_INACTIVE_ANON, page_pgdat
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.model.struct import Struct, shared
from mmsim.page import (
    PageAnon,
    PageDirty,
    PageLRU,
    SetPageUptodate,
    __SetPageSwapBacked,
    __SetPageUptodate,
    get_page,
    get_page_unless_zero,
)
from mmsim.page_alloc import alloc_page
from mmsim.page_idle import page_idle_bitmap_write
from mmsim.page_writeback import end_page_writeback
from mmsim.rmap import page_remove_rmap
from mmsim.shmem import shmem_evict_inode, shmem_truncate_range
from mmsim.vmscan import isolate_lru_page, shrink_active_list, shrink_inactive_list

TRANSFERS = 3  # of a driver's DMA to each page


class inode(Struct):
    """A tmpfs file.  ``i_count``: its directory entry and everybody who has it open."""

    i_count = shared(1)

    def __init__(self, name, mapping):
        self.name = name
        self.i_mapping = mapping
        mapping.host = self


@cite("fs/inode.c", "5.4", thread="000")
def evict(inode):
    """Nobody has the file any more."""
    shmem_evict_inode(inode)


@cite("fs/inode.c", "5.4", thread="000")
def iput(inode):
    """Drop a reference to the inode; the last one evicts it.  *Race:* none: one of us is last."""
    if atomic_dec_and_test(inode, "i_count"):
        evict(inode)


@cite("fs/namei.c", "5.4", thread="000")
def do_unlinkat(inode):
    """unlink(2): the name is gone, and the file with it unless somebody has it open."""
    iput(inode)


@cite("fs/open.c", "5.4", thread="000")
def do_truncate(inode):
    """ftruncate(2) to nothing, of a file that others have open."""
    shmem_truncate_range(inode)


@cite("mm/shmem.c", "5.4", thread="000")
def shmem_file_read_iter(inode):
    """read(2) to the end."""
    mapping = inode.i_mapping
    for index in range(inode.pages):
        page = find_get_page(mapping, index)
        if page is not None:
            mark_page_accessed(page)
            put_page(page)
            cond_resched()


def reader(inode):
    """Reads the file once more, which makes its pages active, closes it, and exits."""
    shmem_file_read_iter(inode)
    iput(inode)
    lru_add_drain()  # exit_mmap()


@cite("mm/memory.c", "5.4", thread="000")
def zap_pte_range(pages):
    """Unmap; each pte's reference goes to the gather.  (The ptes themselves nobody looks at.)"""
    for page in pages:
        PageAnon(page)  # which counter
        page_remove_rmap(page)
    return pages


@cite("mm/mmap.c", "5.4", thread="000")
def exit_mmap(pages):
    """Frees what the page tables of an exiting task held."""
    lru_add_drain()
    gathered = zap_pte_range(pages)
    tlb_flush_mmu_free(gathered)


@cite("mm/vmscan.c", "5.4", thread="000", symbol="balance_pgdat")
def kswapd(pgdat, memcgs, nr_to_scan, rounds, aging):
    """Rounds of reclaim on one node, memcg after memcg; perhaps the active lists first."""
    if aging:  # age_active_anon()
        for memcg in memcgs:
            shrink_active_list(nr_to_scan, memcg.lruvecs[pgdat.node_id], LRU_ACTIVE_ANON)
    for _ in range(rounds):
        for memcg in memcgs:
            shrink_inactive_list(nr_to_scan, memcg.lruvecs[pgdat.node_id], LRU_INACTIVE_ANON)


def page_idle_walker(pages):
    """Somebody writes to /sys/kernel/mm/page_idle/bitmap."""
    page_idle_bitmap_write(pages)


def scanner(pages):
    """An out-of-tree module that looks at memory, frame by frame (rule I2)."""
    for page in pages:
        if not PageLRU(page):
            continue
        if patched("get-from-zero"):
            get_page(page)
        elif not get_page_unless_zero(page):
            continue
        PageDirty(page)
        put_page(page)


@cite("mm/memory_hotplug.c", "5.4", thread="000", symbol="do_migrate_range")
def offliner(pages):
    """Memory is going offline, frame by frame: what is on the LRU is isolated, fails to migrate,
    and is put back."""
    source = LIST_HEAD("source")
    for page in pages:
        if not get_page_unless_zero(page):
            continue
        if PageLRU(page) and not isolate_lru_page(page):
            list_add_tail(page.lru, source)
            atomic_add(page_pgdat(page), "vmstat_isolated", 1)
        put_page(page)
    putback_movable_pages(source)


@cite("mm/memory.c", "5.4", thread="000")
def do_anonymous_page(memcg, anon):
    """A fault in memory that nobody has touched yet: a new page, or None."""
    page = alloc_page()
    if page is None:
        return None
    __SetPageUptodate(page)
    __SetPageSwapBacked(page)
    atomic_set(page, "_mapcount", 0)
    page.mapping = anon
    commit_charge(page, memcg)
    lru_cache_add(page)
    return page


def fault_and_exit(memcg, faults, anon):
    """A process that touches a page, reads from it what a device wrote (FOLL_TOUCH), and exits."""
    for _ in range(faults):
        page = do_anonymous_page(memcg, anon)
        if page is None:
            continue
        lru_add_drain()
        mark_page_accessed(page)
        mark_page_accessed(page)
        exit_mmap([page])


def use_and_exit(pages, looks=TRANSFERS):
    """A process whose pages a device has pinned: it looks at each now and then, and exits."""
    for _ in range(looks):
        for page in pages:
            mark_page_accessed(page)
    exit_mmap(pages)


def charge_mover(inode, source, to):
    """A task that has the file mapped is moved to another memcg, and its charges with it."""
    mem_cgroup_move_charge(inode.i_mapping, range(inode.pages), source, to)


@cite("mm/memory.c", "5.4", thread="000")
def do_swap_page(page, memcg):
    """A fault finds a page that was read ahead into the swap cache: on the LRU, charged to nobody.

    *Locks:* page lock.  Until 5.7 the page is charged here and not when it is read.
    """
    if not get_page_unless_zero(page):
        return
    lock_page(page)
    if page_memcg(page) is None:
        commit_charge(page, memcg, lrucare=True)
    unlock_page(page)
    put_page(page)


def end_io(page):
    """The interrupt of a disk: a page of the swap cache has been written."""
    end_page_writeback(page)


def map_buffer(nr_pages):
    """A module's own buffer, never on the LRU, mapped by a process that is the last to go."""
    pages = [page for page in (alloc_page() for _ in range(nr_pages)) if page is not None]
    for page in pages:
        atomic_set(page, "_mapcount", 0)
    exit_mmap(pages)


def driver(pages, transfers=TRANSFERS):
    """An out-of-tree module that has pinned user pages, and lets them go when its DMA is over.

    The gates are what such modules have been seen to do.
    """
    queue = LIST_HEAD("driver_queue")
    for page in pages:
        if patched("driver-uses-lru"):
            # "mm_types.h says that owners may use page->lru"
            list_add(page.lru, queue)
        if patched("driver-clears-lru"):
            page.lru.next = NULL
            page.lru.prev = NULL
        for _ in range(transfers):
            if patched("nonatomic-page-flag"):
                __SetPageUptodate(page)
            else:
                SetPageUptodate(page)
        if patched("driver-uses-lru"):
            list_del(page.lru)
        put_page(page)
        if patched("driver-extra-put"):
            put_page(page)
        if patched("driver-late-flag"):
            for _ in range(transfers):
                __SetPageUptodate(page)


def driver_with_buffer(pages, transfers=TRANSFERS):
    """The same module, which then allocates a buffer of its own, on the same CPU."""
    driver(pages, transfers)
    map_buffer(len(pages))
