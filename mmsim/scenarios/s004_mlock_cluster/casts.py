# SPDX-License-Identifier: GPL-2.0-only
"""Stages of thread 004: a file of two or three pages, who maps it, and who does what with it.

A stage is as small as its race.  A machine gets as many stages as its CPUs need tasks; they share
the zone, its LRU lists and its lru_lock, so reclaim of one stage comes by the pages of another.

    alone       a nonlinear VM_LOCKED vma, and reclaim
    lazy        the same, and another mm munlocks the same pages
    ordering    the same, the pages not marked yet
    own         a vma is mlocked and munlocked while reclaim walks it
    exiting     a vma is mlocked and its mm exits, without mmap_sem; another mm maps the pages
    busy        a nonlinear vma is munlocked; another mm maps the pages
    truncating  pages are truncated while they are munlocked
    charging    a page is isolated and put back while it is mlocked and munlocked
    migrating   a page is migrated while it is munlocked, and mapped nonlinearly
    pinned      a page is migrated while munlock has it pinned
    moving      a page is migrated while it is mlocked
    cow         a private VM_LOCKED vma is written to while reclaim looks at the page
    cow_moving  the same while the page is migrated
    faulting    a page is faulted in by mlock(2) while it is truncated, or migrated
"""

from mmsim.filemap_cache import find_get_page
from mmsim.linux.atomic import atomic_inc
from mmsim.linux.list import list_add_tail
from mmsim.lru_release import put_page
from mmsim.memblock import memblock_alloc
from mmsim.mm_types import PAGE_SHIFT, PAGE_SIZE, VM_LOCKED, VM_READ, VM_SHARED, VM_WRITE, mk_pte
from mmsim.mmzone import LRU_INACTIVE_FILE, LRU_UNEVICTABLE, boot_mm
from mmsim.model.struct import Struct, shared
from mmsim.rmap import anon_vma, anon_vma_link
from mmsim.scenarios.s004_mlock_cluster.check import METRICS
from mmsim.v3_13.memcontrol import mem_cgroup_move_charge
from mmsim.v3_13.memory import write_fault, zap_pte_range
from mmsim.v3_13.mm_types import VM_NONLINEAR, address_space, mm_struct, vm_area_struct
from mmsim.v3_13.mmap import exit_mmap
from mmsim.v3_13.munlock import sys_mlock, sys_munlock
from mmsim.v3_13.page_alloc import alloc_contig_range
from mmsim.v3_13.truncate import truncate_pagecache
from mmsim.v3_13.vmscan import shrink_inactive_list

PAGES = 4  # frames a stage may use
START = 0x40000000


class request_queue(Struct):
    """A disk's queue."""

    sectors = shared(0)
    name = "request_queue"


def boot(m, pages):
    """Memory of so many frames, nobody's yet."""
    m.vm = boot_mm(m, pages=pages)
    m.vm.migrate_passes = 2, 1
    m.vm.mappings = []
    m.vm.mms = []
    for name in METRICS:
        m.count(name, 0)


class Stage:
    """Builds one stage on a booted machine; ``actors`` are (function, arguments, comm).

    ``interrupted`` are the numbers of those whose CPU gets interrupts at some time.
    """

    def __init__(self, m, number):
        self.m = m
        self.vm = m.vm
        self.number = number
        self.actors = []
        self.interrupted = []
        self.mapping = address_space(f"file{number}", number)
        self.pages = []
        m.vm.mappings.append(self.mapping)

    def page(self, mlocked=False, culled=True):
        """The next page of the file, in the page cache and on a list.

        A page that was mlocked while it sat in a pagevec is not culled yet: it is on the list of
        the evictable ones.
        """
        page = memblock_alloc(self.vm)
        index = len(self.pages)
        self.pages.append(page)
        page.v_mapping = self.mapping
        page.v_index = index
        page.v_flags = page.m_uptodate
        self.mapping.slots[index] = page
        self.mapping.v_nrpages += 1
        lru = LRU_INACTIVE_FILE
        if mlocked:
            page.v_flags |= page.m_mlocked
            self.vm.node_data[0].v_vmstat_mlock += 1
        if mlocked and culled:
            page.v_flags |= page.m_unevictable
            lru = LRU_UNEVICTABLE
        page.v_flags |= page.m_lru
        lruvec = self.vm.root_mem_cgroup.lruvecs[0]
        list_add_tail(page.lru, lruvec.lists[lru])
        setattr(lruvec, f"v_size{lru}", lruvec.v_size(lru) + 1)
        return page

    def mmap(self, comm, pages, flags, beside=None):
        """A new vma that maps ``pages`` in this order: in a new mm, or ``beside`` another vma."""
        if beside is None:
            mm = mm_struct(f"{comm}{self.number}")
            self.vm.mms.append(mm)
            start = START
        else:
            mm = beside.vm_mm
            start = beside.v_vm_end + PAGE_SIZE
        end = start + len(pages) * PAGE_SIZE
        pgoff = 0 if flags & VM_NONLINEAR else pages[0].v_index
        vma = vm_area_struct(mm, start, end, flags | VM_READ, self.mapping, pgoff)
        mm.mmap.append(vma)
        mm.map_tables(start, end)
        (table,) = mm.pgd.values()
        for n, page in enumerate(pages):
            table.slots[start + (n << PAGE_SHIFT)].v_pte = mk_pte(page)
            page.v__refcount += 1
            page.v__mapcount += 1
        where = self.mapping.i_mmap_nonlinear if flags & VM_NONLINEAR else self.mapping.i_mmap
        where.append(vma)
        return vma

    def act(self, comm, fn, *args):
        """One more task."""
        self.actors.append((fn, args, comm))

    def reclaim(self, comm="kswapd0", nr=2, passes=1, interrupted=False):
        """A task that reclaims."""
        if interrupted:
            self.interrupted.append(len(self.actors))
        self.act(comm, shrink, self.vm, nr, passes)


# -- what tasks and interrupts do ----------------------------------------------------------------


def blk_done_softirq(disk, requests):
    """Requests of others are done: all it does here is to hold up the task below."""
    for _ in range(requests):
        atomic_inc(disk, "sectors")


def shrink(vm, nr, passes):
    """kswapd, or direct reclaim: the end of the inactive list of files."""
    zone = vm.node_data[0]
    lruvec = vm.root_mem_cgroup.lruvecs[0]
    for _ in range(passes):
        shrink_inactive_list(nr, zone, lruvec)


def mlock_munlock(vma, times):
    """mlock(2) and munlock(2), the last of which is munlock(2)."""
    for _ in range(times):
        sys_mlock(vma)
        sys_munlock(vma)


def munlock_later(vma, disk, before):
    """Wait for a disk, and then munlock(2)."""
    for _ in range(before):
        atomic_inc(disk, "sectors")
    sys_munlock(vma)


def munlock_mlock(vma):
    """munlock(2) and mlock(2) again."""
    sys_munlock(vma)
    sys_mlock(vma)


def mlock_exit(vma):
    """mlock(2), then exit(2)."""
    sys_mlock(vma)
    exit_mmap(vma.vm_mm)


def move_charges(vma, times):
    """A task goes from one memory cgroup to another, and back."""
    for _ in range(times):
        mem_cgroup_move_charge(vma)


def write(vma):
    """Write to the first page of a private mapping."""
    write_fault(vma, vma.vm_start)


def truncate(mapping, pages):
    """truncate(2), the first page first."""
    for index in range(pages):
        truncate_pagecache(mapping, index)


def read(mapping, index):
    """read(2): a reference to a page of the file for as long as it is copied."""
    page = find_get_page(mapping, index)
    if page is not None:
        put_page(page)


# -- the stages ----------------------------------------------------------------------------------


def alone(stage):
    """A window with a page that nobody has locked: no second task is needed."""
    p0, p1 = stage.page(), stage.page(mlocked=True)
    stage.mmap("trinity-a", (p1, p0), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    stage.reclaim(nr=1)


def lazy(stage):
    """Pages of a nonlinear VM_LOCKED vma that another mm munlocks; two of them are culled."""
    p0, p1, p2, p3 = stage.page(), stage.page(), stage.page(True), stage.page(True)
    stage.mmap("trinity-a", (p3, p1, p2, p0), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    vma = stage.mmap("trinity-b", (p0, p1, p2), VM_SHARED | VM_LOCKED)
    stage.reclaim()
    if stage.m.rng.random() < 0.5:
        stage.act("trinity-b", sys_munlock, vma)
    else:
        stage.act("trinity-b", mlock_munlock, vma, 1)
    stage.reclaim("trinity-c")


def ordering(stage):
    """Pages that reclaim is going to mark for one mm and another mm munlocks."""
    q1, q2, p = stage.page(), stage.page(), stage.page()
    stage.mmap("trinity-a", (q1, q2, p), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    vma = stage.mmap("trinity-b", (q1, q2), VM_SHARED | VM_LOCKED)
    stage.reclaim(nr=1)
    stage.act("trinity-b", munlock_later, vma, request_queue(), stage.m.rng.randrange(60))


def own(stage):
    """A VM_LOCKED vma loses VM_LOCKED while reclaim walks it."""
    nonlinear = VM_NONLINEAR if stage.m.rng.random() < 0.5 else 0
    p0, p1 = stage.page(), stage.page()
    vma = stage.mmap("trinity-a", (p0, p1), VM_SHARED | nonlinear)
    if not nonlinear:
        stage.mmap("trinity-b", (p0, p1), VM_SHARED)
    stage.reclaim()
    stage.act("trinity-a", mlock_munlock, vma, 2)


def exiting(stage):
    """The same without mmap_sem, and somebody else goes on mapping the pages."""
    nonlinear = VM_NONLINEAR if stage.m.rng.random() < 0.5 else 0
    p0, p1 = stage.page(), stage.page()
    vma = stage.mmap("trinity-a", (p0, p1), VM_SHARED | nonlinear)
    stage.mmap("trinity-b", (p0, p1), VM_SHARED)
    stage.reclaim()
    stage.act("trinity-a", mlock_exit, vma)


def busy(stage):
    """Reclaim walks a nonlinear VM_LOCKED vma and does not get its mmap_sem.

    A thread of that mm munlocks it, or another vma of the same mm.
    """
    p0, p1, p2 = stage.page(), stage.page(mlocked=True), stage.page(mlocked=True)
    vma = stage.mmap("trinity-a", (p1, p0), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    stage.mmap("trinity-b", (p0, p1), VM_SHARED)
    if stage.m.rng.random() < 0.5:
        vma = stage.mmap("trinity-a", (p2,), VM_SHARED | VM_LOCKED, beside=vma)
    else:
        stage.mmap("trinity-c", (p2,), VM_SHARED | VM_LOCKED)
    stage.reclaim(nr=1)
    stage.act("trinity-a", sys_munlock, vma)


def truncating(stage):
    """The last reference to a page may be munlock's."""
    pages = [stage.page(mlocked=True, culled=False) for _ in range(3)]
    vma = stage.mmap("trinity-a", pages, VM_SHARED | VM_LOCKED)
    stage.act("trinity-a", sys_munlock, vma)
    stage.act("trinity-b", truncate, stage.mapping, len(pages))


def charging(stage):
    """A page is isolated and put back while it is munlocked and mlocked."""
    p0 = stage.page()
    vma = stage.mmap("trinity-a", (p0,), VM_SHARED)
    other = stage.mmap("trinity-b", (p0,), VM_SHARED)
    stage.act("trinity-a", mlock_munlock, vma, 2)
    stage.act("trinity-b", move_charges, other, 3)


def migrating(stage):
    """Migration of a page that others map, mlock and munlock."""
    p0, p1 = stage.page(), stage.page(mlocked=True)
    locked = VM_LOCKED if stage.m.rng.random() < 0.5 else 0
    stage.mmap("trinity-a", (p1, p0), VM_SHARED | VM_NONLINEAR | locked)
    vma = stage.mmap("trinity-b", (p0, p1), VM_SHARED | VM_LOCKED)
    stage.act("cma", alloc_contig_range, p1)
    stage.act("trinity-b", munlock_mlock, vma)
    stage.reclaim(nr=1)
    stage.act("cat", read, stage.mapping, p1.v_index)


def pinned(stage):
    """Migration of a page that munlock has pinned, and will come to after another one."""
    p0, p1 = stage.page(mlocked=True), stage.page(mlocked=True)
    vma = stage.mmap("trinity-a", (p0, p1), VM_SHARED | VM_LOCKED)
    stage.act("cma", alloc_contig_range, p1)
    stage.act("trinity-a", sys_munlock, vma)


def moving(stage):
    """Migration of a page that stays mlocked."""
    p0 = stage.page(mlocked=True)
    stage.mmap("trinity-a", (p0,), VM_SHARED | VM_LOCKED)
    stage.act("cma", alloc_contig_range, p0)
    stage.act("cat", read, stage.mapping, p0.v_index)


def cow(stage):
    """A write to a private VM_LOCKED mapping takes the page away from under reclaim."""
    p0 = stage.page()
    vma = stage.mmap("trinity-a", (p0,), VM_WRITE | VM_LOCKED)
    anon_vma_link(vma, anon_vma(f"anon{stage.number}", stage.number))
    stage.mmap("trinity-b", (p0,), VM_SHARED)
    stage.mmap("trinity-c", (p0,), VM_SHARED)
    stage.reclaim(nr=1, interrupted=True)
    stage.act("trinity-a", write, vma)


def cow_moving(stage):
    """A write to a private VM_LOCKED mapping of a page that is marked, and that migration wants."""
    p0 = stage.page(mlocked=True)
    vma = stage.mmap("trinity-a", (p0,), VM_WRITE | VM_LOCKED)
    anon_vma_link(vma, anon_vma(f"anon{stage.number}", stage.number))
    stage.mmap("trinity-b", (p0,), VM_SHARED)
    stage.act("cma", alloc_contig_range, p0)
    stage.act("trinity-a", write, vma)


def faulting(stage):
    """The page that mlock(2) faults in leaves its file, or its frame."""
    p0 = stage.page()
    vma = stage.mmap("trinity-a", (p0,), VM_SHARED)
    zap_pte_range(vma, vma.v_vm_start, vma.v_vm_end)
    stage.act("trinity-a", sys_mlock, vma)
    if stage.m.rng.random() < 0.5:
        stage.act("trinity-b", truncate_pagecache, stage.mapping, 0)
    else:
        stage.act("cma", alloc_contig_range, p0)


OTHERS = (own, truncating, charging, migrating, pinned, moving, cow, cow_moving)

ONE_BY_ONE = (alone, lazy, ordering, exiting, busy, faulting, *OTHERS)

# what a machine's stages are chosen from, by the name that a variant gives
CASTS = {stage.__name__: (stage,) for stage in ONE_BY_ONE}
# half of the stages are what the thread is about
CASTS["everything"] = (lazy,) * len(OTHERS) + OTHERS
