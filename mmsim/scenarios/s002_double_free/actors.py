# SPDX-License-Identifier: GPL-2.0-only
"""Who takes part in thread 002, and the machine they find.

Freers drop references: a TV card's interrupt, a process that unmaps, forks, or swaps.  Reclaimers
meet the same pages on the LRU: kswapd, and processes that allocate when nothing is free.  With n
CPUs half of them, rounded up, have a freer, the others a reclaimer; an interrupt comes in on the
CPU of its process, on another's, or, as an IO-APIC sends them, on any.

The set-up is lean: one page for each part in the race, since a run should cost less than the
hand-overs in it.  Who plays which part is in casts.py.
"""

from functools import partial

from mmsim.engine.context import SOFTIRQ, TASK
from mmsim.model.gate import patched
from mmsim.scenarios.s002_double_free.stage import (
    cache_page,
    free_page,
    globals_2_4,
    new_page,
    swapon,
)
from mmsim.v2_4.alloc_pages import alloc_page
from mmsim.v2_4.bttv import bttv, bttv_irq, bttv_sync
from mmsim.v2_4.buffer import buffer_head
from mmsim.v2_4.filemap import (
    UnlockPage,
    add_to_page_cache,
    address_space,
    lock_page,
    truncate_complete_page,
)
from mmsim.v2_4.memory import handle_pte_fault, kiobuf, mm_struct, unmap_kiobuf, zap_page_range
from mmsim.v2_4.page import PG_dirty, SetPageUptodate, page_cache_get
from mmsim.v2_4.page_alloc import page_cache_release
from mmsim.v2_4.skbuff import net_tx_action, sk_buff
from mmsim.v2_4.swapfile import try_to_unuse
from mmsim.v2_4.vmscan import kswapd, swap_out_mm


class Stage:
    """Hands out CPUs to parts: the even ones first, which have no reclaimer."""

    def __init__(self, m, cast):
        self.m = m
        self.vm = m.vm
        self.cast = cast
        self.lru = "andrea-2002-02-14" in m.gates  # the LRU's own reference, or none
        n = len(m.cpus)
        self.cpus = (*range(0, n, 2), *range(1, n, 2))
        self.freers = n - n // 2
        self.used = 0

    def cpu(self):
        """For the next freer."""
        cpu = self.cpus[self.used % len(self.cpus)]
        self.used += 1
        return cpu

    def quiet_cpu(self):
        """The same, but never a reclaimer's."""
        cpu = self.cpus[self.used % self.freers]
        self.used += 1
        return cpu

    def irq_cpu(self, own):
        """For the interrupt of the freer on ``own``."""
        if self.cast.irqs == "any":
            return self.m.rng.randrange(len(self.cpus))
        if self.cast.irqs == "reclaim":
            return own + 1
        if self.cast.irqs == "few":
            return 1 + own % 4 if own % 4 + 1 < len(self.cpus) else 1
        return own

    def page(self, users):
        """A page on an LRU list."""
        return new_page(self.vm, users + self.lru, self.cast.active)

    def process(self, name, *ptes):
        """An address space."""
        mm = mm_struct(name, *ptes)
        self.vm.mms.append(mm)
        return mm

    def swap_page(self, entry, users=1, ptes=1, buffers=False, dirty=False):
        """A page that the swap cache has and ``users`` - 1 others; ``ptes`` hold its entry.

        It has ``buffers`` if it was written out or read in, and nobody has dropped them since.
        It is ``dirty`` if it has still to be written, which nothing here does: reclaim looks at
        it again and again, as with a mask without __GFP_FS.
        """
        vm = self.vm
        if vm.swap_info is None:
            swapon(vm, 2 * len(self.cpus) + 16)
        page = self.page(users + buffers)
        cache_page(vm, page, vm.swapper_space, entry)
        vm.swap_info.swap_map[entry].v_count = ptes + 1
        vm.v_nr_swap_pages -= 1
        if buffers:
            page.v_buffers = buffer_head()
        if dirty:
            page.v_flags |= 1 << PG_dirty
        return page

    def file(self, name):
        """A file of one page."""
        mapping = address_space(name, 1)
        self.vm.mappings.append(mapping)
        return mapping


def boot(m, cast):
    """Boot a machine and its cast."""
    m.vm = globals_2_4("_pagemap_lru_lock" if "akpm-2.5.32" in m.gates else "pagemap_lru_lock")
    set_stage(m, cast)


def set_stage(m, cast):
    """Boot the pages; spawn who drops references, kswapd, and on further CPUs who allocates."""
    stage = Stage(m, cast)
    turn = 0
    while (stage.used < stage.freers and not cast.alone) or turn < len(cast.parts):
        PARTS[cast.parts[turn % len(cast.parts)]](stage)
        turn += 1
    m.spawn(kswapd, cast.passes, comm="kswapd", cpu=1)
    for cpu in (len(m.cpus) - 1,) * cast.gcc if cast.alone else range(3, len(m.cpus), 2):
        m.spawn(gcc, stage.process(f"gcc{cpu}", None), comm="gcc", cpu=cpu)


# -- parts ------------------------------------------------------------------------------------


def pin(stage):
    """The process has unmapped its buffer and gone: the pin is the last reference."""
    m, cpu = stage.m, stage.cpu()
    btv = bttv(kiobuf(stage.page(1)))
    stage.vm.bttvs.append(btv)
    kind = stage.cast.context
    if kind == TASK:
        m.spawn(unmap_kiobuf, btv.iobuf, comm="xawtv", cpu=cpu)
    else:
        m.irq(bttv_irq, btv, comm="bttv", cpu=stage.irq_cpu(cpu), kind=kind)


def tv(stage):
    """A process unmaps its buffer while the card writes into it: either may be the last."""
    m, cpu = stage.m, stage.cpu()
    page = stage.page(2)
    btv = bttv(kiobuf(page))
    stage.vm.bttvs.append(btv)
    mm = stage.process(f"xawtv{cpu}", ("page", page, True))
    m.spawn(xawtv, mm, btv, comm="xawtv", cpu=cpu)
    m.irq(bttv_irq, btv, comm="bttv", cpu=stage.irq_cpu(cpu))


def skb(stage):
    """A page went out in two packets; the network stack has its last two references."""
    page = stage.page(2)
    for packet in (sk_buff(page), sk_buff(page)):
        stage.vm.skbs.append(packet)
        cpu = stage.irq_cpu(stage.quiet_cpu())
        stage.m.irq(net_tx_action, packet, comm="ksoftirqd", cpu=cpu, kind=SOFTIRQ)


def leave(stage):
    """A process with a page of its own exits."""
    cpu = stage.cpu()
    mm = stage.process(f"sh{cpu}", ("page", stage.page(1), True))
    stage.m.spawn(zap_page_range, mm, comm="sh", cpu=cpu)


def swap(stage, **page):
    """A process exits whose page is in the swap cache and nowhere else."""
    cpu = stage.cpu()
    entry = stage.used
    stage.swap_page(entry, **page)
    mm = stage.process(f"make{entry}", ("swap", entry))
    stage.m.spawn(zap_page_range, mm, comm="make", cpu=cpu)


def swapped(stage, buffers=False):
    """A process exits whose buffer was swapped out while the card wrote into it; swap is full."""
    cpu = stage.cpu()
    entry = stage.used
    page = stage.swap_page(entry, users=2, buffers=buffers)
    stage.vm.v_nr_swap_pages = 0
    btv = bttv(kiobuf(page))
    stage.vm.bttvs.append(btv)
    mm = stage.process(f"tvtime{entry}", ("swap", entry))
    stage.m.spawn(zap_page_range, mm, comm="tvtime", cpu=cpu)
    stage.m.irq(bttv_irq, btv, comm="bttv", cpu=stage.irq_cpu(cpu))


def swap_out(stage):
    """Reclaim unmaps a page of the swap cache into which the card writes."""
    m, cpu = stage.m, stage.cpu()
    entry = stage.used
    page = stage.swap_page(entry, users=3, ptes=0)
    btv = bttv(kiobuf(page))
    stage.vm.bttvs.append(btv)
    mm = stage.process(f"mplayer{entry}", ("page", page, False))
    m.spawn(swap_out_mm, mm, comm="kswapd1", cpu=cpu)
    if stage.cast.context == TASK:
        m.spawn(unmap_kiobuf, btv.iobuf, comm="mplayer", cpu=stage.cpu())
    else:
        m.irq(bttv_irq, btv, comm="bttv", cpu=stage.irq_cpu(cpu))


def swapoff_mapped(stage):
    """swapoff() takes a page out of the swap cache that reclaim is about to unmap."""
    cpu = stage.cpu()
    entry = stage.used
    page = stage.swap_page(entry, users=2, ptes=0)
    mm = stage.process(f"mplayer{entry}", ("page", page, False))
    stage.m.spawn(swap_out_mm, mm, comm="kswapd1", cpu=cpu)
    stage.m.spawn(try_to_unuse, entry, comm="swapoff", cpu=stage.cpu())


def swapoff(stage, **page):
    """swapoff() finds a page in the swap cache whose process has exited."""
    cpu = stage.cpu()
    entry = stage.used
    stage.swap_page(entry, ptes=0, **page)
    stage.m.spawn(try_to_unuse, entry, comm="swapoff", cpu=cpu)


def unuse(stage, buffers=False):
    """A process exits while swapoff() maps its page again: either may be the last."""
    cpu = stage.cpu()
    entry = stage.used
    stage.swap_page(entry, buffers=buffers)
    mm = stage.process(f"cc{entry}", ("swap", entry))
    stage.m.spawn(zap_page_range, mm, comm="cc", cpu=cpu)
    stage.m.spawn(try_to_unuse, entry, comm="swapoff", cpu=stage.cpu())


def swap_out_truncated(stage):
    """A process that needs memory unmaps a page that only one pte refers to.

    The page is clean and no mapping's any more: its file was truncated while it was being mapped.
    """
    cpu = stage.cpu()
    mm = stage.process(f"init{cpu}", ("page", stage.page(1), False))
    stage.m.spawn(swap_out_mm, mm, comm="cc1", cpu=cpu)


def fork(stage):
    """A process writes to a page it shares with its child, which exits: copy or reuse."""
    page = stage.page(2)
    free_page(stage.vm)
    cpu = stage.cpu()
    mm = stage.process(f"bash{cpu}", ("page", page, False))
    child = stage.process(f"bash{cpu}-child", ("page", page, False))
    stage.m.spawn(write_fault, mm, comm="bash", cpu=cpu)
    stage.m.spawn(zap_page_range, child, comm="bash", cpu=stage.cpu())


def private(stage):
    """Two processes map a file's page privately; one writes to it while the file is truncated."""
    page = stage.page(3)
    stage.vm.truncated = True
    free_page(stage.vm)
    cpu = stage.cpu()
    cache_page(stage.vm, page, stage.file(f"file{stage.used}"), 0)
    mm = stage.process(f"ld{cpu}", ("page", page, False))
    stage.process(f"ld{cpu}-other", ("page", page, False))
    stage.m.spawn(write_fault, mm, comm="ld", cpu=cpu)
    stage.m.spawn(truncate_page, page, comm="rm", cpu=stage.cpu())


def reader(stage):
    """A process leaves its swap behind, and then reads a file into what that freed."""
    cpu = stage.quiet_cpu()
    stage.swap_page(stage.used)
    mm = stage.process(f"cat{stage.used}", ("swap", stage.used))
    stage.m.spawn(cat, mm, stage.file(f"data{stage.used}"), comm="cat", cpu=cpu)


PARTS = {
    "pin": pin,
    "tv": tv,
    "skb": skb,
    "leave": leave,
    "swap": swap,
    "swap+buffers": partial(swap, buffers=True),
    "swap+dirty": partial(swap, dirty=True),
    "swapped": swapped,
    "swapped+buffers": partial(swapped, buffers=True),
    "swap_out": swap_out,
    "swap_out+swapoff": swapoff_mapped,
    "swapoff": swapoff,
    "swapoff+buffers": partial(swapoff, buffers=True),
    "swapoff+dirty": partial(swapoff, dirty=True),
    "unuse": unuse,
    "unuse+buffers": partial(unuse, buffers=True),
    "swap_out+truncated": swap_out_truncated,
    "fork": fork,
    "private": private,
    "reader": reader,
}


# -- what they run ----------------------------------------------------------------------------


def xawtv(mm, btv):
    """munmap() the buffer; then, if the driver wants it, wait for the frame."""
    zap_page_range(mm)
    if patched("gerd-2002-02-13"):
        bttv_sync(btv)


def gcc(mm):
    """Touch fresh memory, which may have to be reclaimed first, and exit."""
    handle_pte_fault(mm, mm.ptes[0])
    zap_page_range(mm)


def write_fault(mm):
    """Write to the first page."""
    handle_pte_fault(mm, mm.ptes[0])


def truncate_page(page):
    """truncate_list_pages() for one page."""
    page_cache_get(page)
    lock_page(page)
    if page.mapping is not None:
        truncate_complete_page(page)
    UnlockPage(page)
    page_cache_release(page)


def cat(mm, mapping):
    """exec(): the old address space goes.  read(): a new page of a file, filled under its lock."""
    zap_page_range(mm)
    page = alloc_page()
    if page is None:
        return
    add_to_page_cache(page, mapping, 0)
    SetPageUptodate(page)
    UnlockPage(page)
    page_cache_release(page)
