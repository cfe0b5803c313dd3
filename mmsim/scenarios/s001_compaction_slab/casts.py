# SPDX-License-Identifier: GPL-2.0-only
"""Thread 001's small casts: one who compacts, and those through whom a page changes its owner.

The scanner walks the zone once, on CPU 0; a packet's softirq comes in there at any time; every
task has a CPU of its own.  What is freed is what the next allocation gets: no other frame is free,
unless a part says so.
"""

from mmsim.memblock import memblock_free_all
from mmsim.mmzone import LRU_INACTIVE_ANON
from mmsim.rmap import anon_vma
from mmsim.scenarios.s001_compaction_slab.actors import (
    direct_compaction,
    exec_with_huge_heap,
    execve,
    fault_and_exit,
    get_user_pages_fast,
    huge_fault,
    ipc_ids,
    ipcrm,
    kcompactd,
    kswapd,
    net_rx_action,
    recycle,
    unpin_and_execve,
)
from mmsim.scenarios.s001_compaction_slab.stage import Stage
from mmsim.scenarios.small import SmallCast


class Small:
    """A machine on its way up: parts take CPUs and frames in their order."""

    def __init__(self, machine, variant, frames):
        self.stage = Stage(machine, frames)
        self.slab = variant.config.get("SLAB", False)
        self.cpu = 0

    def spawn(self, fn, *args, comm):
        self.stage.spawn(fn, *args, comm=comm, cpu=self.cpu)
        self.cpu += 1

    def cache(self, order=0, objects=1):
        name = "kmalloc-512" if order else "kmalloc-64"
        return self.stage.cache(name, order=order, objects=objects, slab=self.slab)


def scan(s):
    """The background thread, which may wait for lru_lock."""
    s.spawn(kcompactd, s.stage.pgdat, 1, comm="kcompactd0")


def direct(s):
    """An allocation that may not, of a file system."""
    s.spawn(direct_compaction, s.stage.pgdat, 1, comm="mkfs")


def packet(s):
    """A packet's reference is a page's last; its buffer is allocated next."""
    page = s.stage.anon(refs=1, mapcount=0)
    args = page, s.cache(), s.stage.live
    s.stage.machine.irq(net_rx_action, *args, comm="ksoftirqd", cpu=0, kind="softirq")


def ksoftirqd(s):
    """The same in a thread, on another CPU: there were too many packets for an interrupt."""
    page = s.stage.anon(refs=1, mapcount=0)
    s.spawn(net_rx_action, page, s.cache(), s.stage.live, comm="ksoftirqd")


def pins(s):
    """Somebody who goes by frame number pins a page for a moment: the first one."""
    s.spawn(get_user_pages_fast, s.stage.vm.mem_map[0], s.stage.disk, 1, comm="dd")


def exec(s):
    """A process executes: its page goes, and a slab is needed."""
    s.spawn(execve, [s.stage.anon()], s.cache(), s.stage.live, comm="sh")


def exec_large(s):
    """The same with two pages, pinned at first, and a slab that needs both."""
    pages = [s.stage.anon(2), s.stage.anon(2)]
    s.spawn(unpin_and_execve, pages, s.cache(order=1), s.stage.live, comm="sh")


def _exec_huge(s, owners):
    s.stage.pgdat.zone.pageset_high = s.stage.pgdat.zone.pageset_batch = 1
    page = s.stage.anon()
    s.stage.hole()
    heap = anon_vma("heap", 40)
    s.spawn(exec_with_huge_heap, [page], heap, s.stage.disk, 0, owners, comm="sh")


def exec_huge(s):
    """The same, and what comes next is a huge page in the same frame and its free neighbour."""
    _exec_huge(s, None)


def exec_huge_stays(s):
    """The same, and the process lives on."""
    _exec_huge(s, s.stage.owners)


def dd(s):
    """Direct I/O pins a page that stays, and unpins it."""
    s.stage.buffer = s.stage.anon(stays=True)
    s.spawn(get_user_pages_fast, s.stage.buffer, s.stage.disk, 1, comm="dd")


def files(s):
    """Pages that stay: one with buffer heads, and one that is pinned."""
    s.stage.file_page(buffers=True)
    s.stage.file_page(pins=1)


def huge(s):
    """A huge page is faulted in, and unmapped."""
    s.stage.hole(2)
    s.spawn(huge_fault, anon_vma("huge", 41), 1, comm="qemu")


def fault(s):
    """A process touches memory for the first time, and exits."""
    s.spawn(fault_and_exit, anon_vma("fresh", 42), comm="ls")


def slabs(s):
    """Objects come and go, and their slab from list to list."""
    s.stage.hole(2)
    s.spawn(recycle, s.cache(objects=2), comm="ls")


def shm(s):
    """A page of locked shared memory is removed; next to it is one that can be isolated."""
    s.stage.vm.sysctl_compact_unevictable_allowed = False
    s.stage.vm.pageblock_nr_pages = 3
    s.stage.anon(stays=True)
    s.spawn(ipcrm, s.stage.shm_page(), ipc_ids(), 0, comm="ipcrm")


def unlink(s):
    """A page of a file is removed from it, and freed."""
    page = s.stage.shm_page()
    s.spawn(ipcrm, page, ipc_ids(), 0, comm="rm")


def reclaim(s):
    """Reclaim looks at two anonymous pages."""
    s.spawn(kswapd, s.stage.lruvec, LRU_INACTIVE_ANON, 2, comm="kswapd0")


def _small(*parts, cpus=2, frames=4):
    def setup(machine, variant):
        small = Small(machine, variant, frames)
        for part in parts:
            part(small)
        memblock_free_all(small.stage.vm)

    return SmallCast(setup, cpus, "the zone is scanned once")


SMALL = {
    "scan-packet": _small(scan, packet, frames=1),
    "scan-exec": _small(scan, exec, frames=1),
    "scan-exec-files": _small(scan, exec, files, frames=3),
    "scan-exec-large": _small(scan, exec_large, frames=2),
    "scan-exec-huge": _small(scan, exec_huge, frames=2),
    "scan-exec-huge-stays": _small(scan, exec_huge_stays, frames=2),
    "scan-dd": _small(scan, dd, frames=1),
    "scan-huge": _small(scan, huge, frames=2),
    "scan-slabs": _small(scan, slabs, frames=2),
    "scan-shm": _small(scan, shm, frames=2),
    "scan-unlink": _small(scan, unlink, frames=1),
    "scan-dd-dd": _small(scan, dd, pins, frames=1, cpus=3),
    "scan-ksoftirqd-dd": _small(scan, ksoftirqd, pins, frames=1, cpus=3),
    "scan-kswapd": _small(scan, exec, reclaim, frames=1, cpus=3),
    "direct-packet": _small(direct, packet, frames=1),
    "direct-exec": _small(direct, exec, frames=1),
    "direct-exec-large": _small(direct, exec_large, frames=2),
    "scan-direct-exec": _small(scan, direct, exec, frames=1, cpus=3),
    "scan-exec-packet": _small(scan, exec, packet, frames=2),
    "scan-exec-fault": _small(scan, exec, fault, frames=1, cpus=3),
    "scan-exec-dd": _small(scan, exec, dd, frames=2, cpus=3),
    "scan-unlink-exec": _small(scan, unlink, exec, frames=2, cpus=3),
}
