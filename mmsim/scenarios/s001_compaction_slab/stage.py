# SPDX-License-Identifier: GPL-2.0-only
"""Thread 001's machines: pages that lie where compaction will walk, and who works on them.

A variant's cast says what the other CPUs do while one compacts:

    packets   pages whose last reference is a packet's go in softirqs on the scanner's own CPU,
              one process executes another program: the report's case
    exec      several processes do, and softirqs hold the scanner up
    pins      direct I/O pins and unpins the pages that are being looked at
    thp       huge pages are faulted in and unmapped
    sizes     so are small ones, on the same frames
    partial   objects come and go, so that slabs change lists
    shm       locked shared memory is removed (5.17)

A block is two frames here, so that the scanner drops its lock, and the window opens, often.
"""

from mmsim.buffer import create_empty_buffers
from mmsim.linux.list import list_add, list_nodes
from mmsim.memblock import memblock_free_all
from mmsim.mmzone import LRU_INACTIVE_ANON, LRU_INACTIVE_FILE, LRU_UNEVICTABLE, boot_mm
from mmsim.pagemap import address_space
from mmsim.rmap import anon_vma
from mmsim.scenarios.invariants import check_mm
from mmsim.scenarios.s001_compaction_slab.actors import (
    direct_compaction,
    exec_with_huge_heap,
    execve,
    get_user_pages_fast,
    huge_fault,
    ipc_ids,
    ipcrm,
    kcompactd,
    kfree,
    net_rx_action,
    recycle,
    request_queue,
    sendmsg,
    tx_queue,
    unpin_and_execve,
)
from mmsim.scenarios.s001_compaction_slab.trace import METRICS, compaction_trace
from mmsim.slab import slab_cache
from mmsim.slub import kmem_cache


class Stage:
    """What set-up hands from one step to the next, and the check wants to know again."""

    def __init__(self, machine, frames):
        self.machine = machine
        self.vm = vm = boot_mm(machine, pages=frames)
        vm.compaction_trace = compaction_trace()
        for name in METRICS:
            machine.count(name, 0)
        vm.stage = self
        self.pgdat = vm.node_data[0]
        zone = self.pgdat.zone
        zone.pageset_high = zone.pageset_batch = 2
        self.lruvec = vm.root_mem_cgroup.lruvecs[0]
        self.file = address_space("file")
        self.buffer = None  # a page that direct I/O reads into
        self.disk = request_queue()
        self.owners = []  # the references that are meant to be left
        self.live = []
        self.caches = []
        self.next = 0

    def _page(self, mapping, flags, lru, refs, mapcount):
        page = self.vm.mem_map[self.next]
        self.next += 1
        page.state = "allocated"
        page.history.append("allocated at boot")
        page.v__refcount = refs
        page.v__mapcount = mapcount - 1
        page.v_mapping = mapping
        page.v_flags = flags | page.m_lru | page.m_uptodate
        list_add(page.lru, self.lruvec.lists[lru])
        setattr(self.lruvec, f"v_size{lru}", self.lruvec.v_size(lru) + 1)
        return page

    def anon(self, refs=1, mapcount=1, stays=False):
        """An anonymous page on the LRU; ``stays`` if nobody is going to free it."""
        mapping = anon_vma(f"anon_vma{self.next}", self.next)
        flags = self.vm.mem_map[0].m_swapbacked
        page = self._page(mapping, flags, LRU_INACTIVE_ANON, refs, mapcount)
        if stays:
            self.owners += [page] * refs
        return page

    def file_page(self, buffers=False, pins=0):
        """A page-cache page on the LRU that stays, with or without buffer heads."""
        page = self._page(self.file, 0, LRU_INACTIVE_FILE, 1 + pins, 0)
        self.owners += [page] * pins
        page.v_index = self.next
        self.file.slots[self.next] = page
        if buffers:
            create_empty_buffers(page)
            self.owners.append(page)
        return page

    def shm_page(self):
        """A page of a locked shared memory segment; not mapped by anybody."""
        flags = self.vm.mem_map[0].m_swapbacked | self.vm.mem_map[0].m_unevictable
        page = self._page(self.file, flags, LRU_UNEVICTABLE, 1, 0)
        page.v_index = self.next
        self.file.slots[self.next] = page
        self.file.v_nrpages += 1
        return page

    def hole(self, frames=1):
        """Frames of nobody's."""
        self.next += frames

    def spawn(self, *args, comm, cpu):
        self.machine.spawn(*args, comm=comm, cpu=cpu)

    def scanner(self, rounds):
        """Two runs in three kcompactd scans, in the third a task that needs a larger block."""
        if self.machine.rng.random() < 0.67:
            self.spawn(kcompactd, self.pgdat, rounds, comm="kcompactd0", cpu=0)
        else:
            self.spawn(direct_compaction, self.pgdat, rounds, comm="mkfs", cpu=0)

    def cache(self, name, order=0, objects=1, slab=False):
        """A cache of one of the two allocators."""
        n = len(self.caches)
        if slab:
            cache = slab_cache(name, order, objects, n)
        else:
            cache = kmem_cache(name, order, 0, objects, n)
        self.caches.append(cache)
        return cache


def packet(stage, queue, page, cache, cpu):
    """One packet in flight: its sender on ``cpu``, its softirq on the scanner's CPU."""
    line = stage.machine.irq(
        net_rx_action, page, cache, stage.live, comm="ksoftirqd", cpu=0, kind="softirq", armed=False
    )
    busy = stage.machine.rng.randrange(40)
    stage.spawn(sendmsg, queue, line, busy, comm=f"nginx{cpu}", cpu=cpu)


def packets(stage, config):
    """The report's case."""
    slab = config.get("SLAB", False)
    small = stage.cache("kmalloc-64", slab=slab)
    large = stage.cache("kmalloc-512", order=1, slab=slab)
    queue = tx_queue()
    stage.scanner(1)
    for cpu in (1, 2, 3, 6, 7):
        packet(stage, queue, stage.anon(refs=1, mapcount=0), small, cpu)
    stage.anon(refs=2, stays=True)
    pages = [stage.anon(2), stage.anon(2)]
    stage.spawn(unpin_and_execve, pages, large, stage.live, comm="sh", cpu=4)
    # the first of them is the one that lru_lock is taken for, the second comes with the lock held
    stage.file_page(buffers=True)
    stage.file_page(buffers=True)
    stage.buffer = stage.anon(stays=True)
    stage.file_page(pins=1)
    stage.spawn(get_user_pages_fast, stage.buffer, stage.disk, 3, comm="dd", cpu=5)


def execs(stage, config):
    """Processes on all CPUs execute; the scanner's CPU is interrupted."""
    small = stage.cache("kmalloc-64")
    queue = tx_queue()
    stage.scanner(1)
    for cpu in (1, 2, 3):
        stage.spawn(execve, [stage.anon()], small, stage.live, comm=f"sh{cpu}", cpu=cpu)
        stage.hole()
    for cpu in (4, 5):
        packet(stage, queue, stage.anon(refs=1, mapcount=0), small, cpu)
    stage.buffer = stage.anon(refs=2, stays=True)


def pins(stage, config):
    """Nothing but direct I/O, from all CPUs, on each of the pages."""
    stage.scanner(3)
    pages = [stage.anon(stays=True) for _ in range(4)]
    for cpu in (1, 2, 3, 4):
        stage.spawn(get_user_pages_fast, pages[cpu - 1], stage.disk, 20, comm=f"dd{cpu}", cpu=cpu)
    stage.buffer = pages[0]


def thp(stage, config):
    """Huge pages come and go."""
    stage.scanner(10)
    for cpu in (1, 2, 3):
        stage.spawn(huge_fault, anon_vma(f"huge{cpu}", 40 + cpu), 2, comm=f"qemu{cpu}", cpu=cpu)
    stage.buffer = stage.anon(refs=2, stays=True)
    memblock_free_all(stage.vm)


def sizes(stage, config):
    """Where a process has had a small page it has a huge one, while the scanner is held up.

    What is freed goes back to the buddy lists at once (vm.percpu_pagelist_fraction).
    """
    stage.pgdat.zone.pageset_high = stage.pgdat.zone.pageset_batch = 1
    stage.scanner(1)
    queue = tx_queue()
    small = stage.cache("kmalloc-64")
    for n in range(3):
        page, anon = stage.anon(), anon_vma(f"heap{n}", 40 + n)
        stage.hole()  # its buddy is free
        cpu = stage.machine.rng.randrange(4)
        stage.spawn(exec_with_huge_heap, [page], anon, stage.disk, 20, comm=f"sh{n}", cpu=cpu)
    packet(stage, queue, stage.anon(refs=1, mapcount=0), small, 4)
    stage.buffer = stage.anon(refs=2, stays=True)
    memblock_free_all(stage.vm)


def partial(stage, config):
    """Slabs with free objects come and go on the partial list."""
    small = stage.cache("kmalloc-64", objects=2)
    stage.scanner(2)
    for cpu in (1, 2):
        stage.spawn(recycle, small, comm=f"ls{cpu}", cpu=cpu)
    stage.buffer = stage.anon(refs=2, stays=True)
    memblock_free_all(stage.vm)


def shm(stage, config):
    """Locked shared memory is removed, with pages between it that can be isolated."""
    stage.vm.sysctl_compact_unevictable_allowed = False
    ids = ipc_ids()
    stage.vm.pageblock_nr_pages = 3
    stage.scanner(4)
    stage.anon(stays=True)
    for cpu in (1, 2):
        later = stage.machine.rng.randrange(80)
        stage.spawn(ipcrm, stage.shm_page(), ids, later, comm=f"ipcrm{cpu}", cpu=cpu)
    stage.buffer = stage.anon(refs=2, stays=True)


CASTS = {
    "packets": (packets, 12),
    "exec": (execs, 9),
    "pins": (pins, 4),
    "thp": (thp, 9),
    "sizes": (sizes, 8),
    "partial": (partial, 5),
    "shm": (shm, 4),
}


def boot(machine, variant):
    """Set-up: memory, then the contexts; a CPU without any does direct I/O from one page."""
    workload, frames = CASTS[variant.cast]
    stage = Stage(machine, frames)
    workload(stage, variant.config)
    busy = {ctx.cpu.id for ctx in machine.contexts}
    for cpu in range(len(machine.cpus)):
        if cpu not in busy:
            stage.spawn(get_user_pages_fast, stage.buffer, stage.disk, 2, comm=f"dd{cpu}", cpu=cpu)


def slab_pages(s):
    """The slabs that CPUs keep, and those on the partial list."""
    kept = [c.page for c in s.cpu_slab.values() if c.page is not None]
    return kept + [node.owner for node in list_nodes(s.partial)]


def quiesce(machine, variant):
    """Everybody closes what is open; then nothing may be left but what was meant to stay."""
    stage = machine.vm.stage
    for cache, object in stage.live:
        kfree(cache, object)
    owners = list(stage.owners)
    for cache in stage.caches:
        if isinstance(cache, kmem_cache):
            owners += slab_pages(cache)
    check_mm(machine, [stage.file], owners)
