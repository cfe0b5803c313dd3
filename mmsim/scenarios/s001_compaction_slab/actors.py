# SPDX-License-Identifier: GPL-2.0-only
"""Who takes part in thread 001: scanners, owners of pages, and users of slab memory.

The window is open while the scanner stands between two looks at a page, and closes with the last:
a handful of instructions.  Meanwhile the page has to leave the LRU, be freed, be allocated again
and become a slab.  On one CPU that takes longer than the window; so the scanner has to be held up:
by another task, by a spinlock, or by an interrupt on its CPU.  A network interrupt does all of it
by itself: it drops the last reference of a page that was sent without copying, and allocates a
buffer for the next packet, out of the page it has just freed.
"""

from mmsim.compaction import GFP_NOFS
from mmsim.compaction_zone import __alloc_pages_direct_compact, kcompactd_do_work
from mmsim.filemap import lock_page, unlock_page
from mmsim.filemap_cache import delete_from_page_cache
from mmsim.linux.atomic import atomic_dec, atomic_inc, atomic_set
from mmsim.linux.irqflags import raise_irq
from mmsim.linux.sched import cond_resched
from mmsim.lru import lru_add_drain, lru_cache_add, put_page, release_pages
from mmsim.model.cite import cite
from mmsim.model.struct import Struct, shared
from mmsim.page import __SetPageSwapBacked, get_page, get_page_unless_zero
from mmsim.page_alloc import alloc_pages
from mmsim.rmap import page_remove_rmap
from mmsim.slab import cache_alloc, cache_free, slab_cache
from mmsim.slub import kmem_cache_alloc, kmem_cache_free
from mmsim.vmscan import shrink_inactive_list


class tx_queue(Struct):
    """A network card's queue."""

    packets = shared(0)
    name = "tx_queue"


class request_queue(Struct):
    """A disk's queue."""

    sectors = shared(0)
    name = "request_queue"


class ipc_ids(Struct):
    """System V's table of segments."""

    in_use = shared(0)
    name = "ipc_ids"


def kmalloc(cache, live, may_block=True):
    """An object of either allocator; ``live`` is the checker's list of those in use."""
    if isinstance(cache, slab_cache):
        object = cache_alloc(cache)
    else:
        object = kmem_cache_alloc(cache, may_block)
    if object is not None:
        live.append((cache, object))


def kfree(cache, object):
    """Back to its allocator."""
    if isinstance(cache, slab_cache):
        cache_free(cache, object)
    else:
        kmem_cache_free(cache, object)


# -- scanners -------------------------------------------------------------------------------------


@cite("mm/compaction.c", "4.19", thread="001")
def kcompactd(pgdat, wakeups):
    """The background thread: it scans the zone each time it is woken."""
    for _ in range(wakeups):
        kcompactd_do_work(pgdat)
        cond_resched()


def direct_compaction(pgdat, attempts):
    """A task of a file system that needs a larger block and must not call back into it."""
    for _ in range(attempts):
        __alloc_pages_direct_compact(pgdat, GFP_NOFS, 1)
        cond_resched()


# -- owners ---------------------------------------------------------------------------------------


@cite("net/core/dev.c", "4.19", thread="001")
def net_rx_action(page, cache, live):
    """Softirq: a zero-copy send is done, its page is put; a packet comes in, its buffer allocated.

    The sender has gone, so that the packet's reference to the page is the last.
    """
    put_page(page)
    kmalloc(cache, live, may_block=False)


def sendmsg(queue, line, before):
    """Queue packets; the network card is done with the last of them some time later."""
    for _ in range(before):
        atomic_inc(queue, "packets")
    raise_irq(line)


@cite("mm/mmap.c", "4.19", thread="001")
def exit_mmap(pages):
    """An address space goes: its ptes, then its references, in the mmu_gather's batch."""
    for page in pages:
        page_remove_rmap(page)
    release_pages(pages)


def execve(pages, cache, live):
    """The old address space goes; the new one needs kernel objects (vmas, files)."""
    exit_mmap(pages)
    kmalloc(cache, live)


def unpin_and_execve(pages, cache, live):
    """The same, of a process that had pinned its pages for a device."""
    for page in pages:
        put_page(page)
    execve(pages, cache, live)


@cite("mm/gup.c", "4.19", thread="001")
def get_user_pages_fast(page, disk, transfers):
    """Direct I/O on a page that somebody has mapped: pin it, transfer, unpin."""
    for _ in range(transfers):
        if get_page_unless_zero(page):
            atomic_inc(disk, "sectors")
            atomic_inc(disk, "sectors")
            put_page(page)


@cite("mm/huge_memory.c", "4.19", thread="001", symbol="do_huge_pmd_anonymous_page")
def huge_fault(anon, rounds):
    """Fault in a huge page (of two small ones), use it, unmap it."""
    for _ in range(rounds):
        page = alloc_pages(1, compound=True)
        if page is None:
            continue
        __SetPageSwapBacked(page)
        atomic_set(page, "_mapcount", 0)
        page.mapping = anon
        lru_cache_add(page)  # compound: not kept in the pagevec
        page_remove_rmap(page)
        put_page(page)


def exec_with_huge_heap(pages, anon, disk, work, owners=None):
    """The old address space goes; in the new one a huge page is faulted in, and used.

    Then the process exits, unless there are ``owners`` to add the page to.
    """
    exit_mmap(pages)
    page = alloc_pages(1, compound=True)
    if page is None:
        return
    __SetPageSwapBacked(page)
    atomic_set(page, "_mapcount", 0)
    page.mapping = anon
    lru_cache_add(page)  # compound: not kept in the pagevec
    for _ in range(work):
        atomic_inc(disk, "sectors")
    if owners is None:
        exit_mmap([page])
    else:
        owners.append(page)


@cite("mm/shmem.c", "5.17", thread="001", symbol="shmem_undo_range")
def ipcrm(page, ids, before):
    """A shared memory segment is removed, after others, and with it its page."""
    for _ in range(before):
        atomic_dec(ids, "in_use")
    get_page(page)  # found in the page cache
    lock_page(page)
    delete_from_page_cache(page)
    unlock_page(page)
    put_page(page)


def fault_and_exit(anon):
    """A process touches a page, perhaps in the frame that another has just given back, and exits.

    The page is on the LRU again, with another owner.
    """
    page = alloc_pages(0)
    if page is None:
        return
    __SetPageSwapBacked(page)
    atomic_set(page, "_mapcount", 0)
    page.mapping = anon
    lru_cache_add(page)
    lru_add_drain()
    exit_mmap([page])


@cite("mm/vmscan.c", "4.19", thread="001", symbol="balance_pgdat")
def kswapd(lruvec, lru, nr_to_scan):
    """A round of reclaim."""
    shrink_inactive_list(nr_to_scan, lruvec, lru)


# -- users of slab memory -------------------------------------------------------------------------


def churn(cache, count, rounds=1):
    """A task that takes ``count`` objects and gives them back: slabs come, go and change lists."""
    for _ in range(rounds):
        mine = []
        for _ in range(count):
            kmalloc(cache, mine)
        for of, object in mine:
            kfree(of, object)


def recycle(cache):
    """A task whose slab is full, gets an object back, and is taken from the partial list again."""
    mine = []
    for _ in range(4):
        kmalloc(cache, mine)
    if mine:
        kfree(*mine.pop(0))
    kmalloc(cache, mine)
    for of, object in mine:
        kfree(of, object)
