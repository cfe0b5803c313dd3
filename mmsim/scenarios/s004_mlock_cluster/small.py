# SPDX-License-Identifier: GPL-2.0-only
"""Thread 004's small casts: a stage (casts.py) of one or two pages, with nothing left to chance."""

from mmsim.memblock import memblock_free_all
from mmsim.mm_types import VM_LOCKED, VM_SHARED, VM_WRITE
from mmsim.rmap import anon_vma, anon_vma_link
from mmsim.scenarios.s004_mlock_cluster.casts import (
    PAGES,
    Stage,
    blk_done_softirq,
    boot,
    mlock_exit,
    mlock_munlock,
    move_charges,
    munlock_mlock,
    read,
    request_queue,
    truncate,
    write,
)
from mmsim.scenarios.small import SmallCast
from mmsim.v3_13.gup import mm_populate
from mmsim.v3_13.memory import zap_pte_range
from mmsim.v3_13.mm_types import VM_NONLINEAR
from mmsim.v3_13.mmap import exit_mmap
from mmsim.v3_13.munlock import sys_mlock, sys_munlock
from mmsim.v3_13.page_alloc import alloc_contig_range
from mmsim.v3_13.truncate import truncate_inode_pages, truncate_pagecache

FRAMES = 3 * PAGES  # a CPU that allocates takes some for itself, and another may have to as well
LIMITS = "reclaim looks at one page"
MIGRATION = "migration makes three passes"
TRIED = "migration makes one pass, which only tries page locks"
ONCE = "migration makes one pass, which sleeps for page locks"


def alone(s):
    """Reclaim, and a window with a page that nobody has locked."""
    p0, p1 = s.page(), s.page(mlocked=True)
    s.mmap("trinity-a", (p1, p0), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    s.reclaim(nr=1)


def _window(s):
    """Two pages in a nonlinear VM_LOCKED vma, one of them also in another mm's VM_LOCKED vma."""
    q, p = s.page(), s.page()
    s.mmap("trinity-a", (q, p), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    return s.mmap("trinity-b", (q,), VM_SHARED | VM_LOCKED)


def munlocked(s):
    """Another mm munlocks the page that reclaim is going to mark."""
    vma = _window(s)
    s.reclaim(nr=1)
    s.act("trinity-b", sys_munlock, vma)


def munlocked_check_page(s):
    """Another mm munlocks the page that reclaim has come for."""
    q, p = s.page(), s.page()
    s.mmap("trinity-a", (q, p), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    vma = s.mmap("trinity-b", (p,), VM_SHARED | VM_LOCKED)
    s.reclaim(nr=1)
    s.act("trinity-b", sys_munlock, vma)


def munlocked_marked(s):
    """The same, of a page that is marked and culled already."""
    q, p = s.page(mlocked=True), s.page()
    s.mmap("trinity-a", (q, p), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    vma = s.mmap("trinity-b", (q,), VM_SHARED | VM_LOCKED)
    s.reclaim(nr=1)
    s.act("trinity-b", sys_munlock, vma)


def mlocked_again(s):
    """Another mm mlocks and munlocks it."""
    vma = _window(s)
    s.reclaim(nr=1)
    s.act("trinity-b", mlock_munlock, vma, 1)


def two_reclaimers(s):
    """Two tasks reclaim, each comes for another page of the window."""
    q, p = s.page(), s.page()
    s.mmap("trinity-a", (q, p), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    s.reclaim(nr=1)
    s.reclaim("trinity-c", nr=1)


def two_reclaimers_munlock(s):
    """Two tasks reclaim, and another mm munlocks."""
    vma = _window(s)
    s.reclaim(nr=1)
    s.act("trinity-b", sys_munlock, vma)
    s.reclaim("trinity-c", nr=1)


def _own(nonlinear):
    def stage(s):
        p0 = s.page()
        vma = s.mmap("trinity-a", (p0,), VM_SHARED | nonlinear)
        if not nonlinear:
            s.mmap("trinity-b", (p0,), VM_SHARED)
        s.reclaim(nr=1)
        s.act("trinity-a", mlock_munlock, vma, 1)

    stage.__doc__ = "A vma is mlocked and munlocked while reclaim walks it."
    return stage


def own_munlocked(s):
    """The same, of a vma that has been VM_LOCKED since before its page was faulted in."""
    p0 = s.page()
    vma = s.mmap("trinity-a", (p0,), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    s.reclaim(nr=1)
    s.act("trinity-a", sys_munlock, vma)


def exiting_locked(s):
    """The mm of a VM_LOCKED vma exits; its page is not marked yet, and mapped elsewhere."""
    p0 = s.page()
    vma = s.mmap("trinity-a", (p0,), VM_SHARED | VM_LOCKED)
    s.mmap("trinity-b", (p0,), VM_SHARED)
    s.reclaim(nr=1)
    s.act("trinity-a", exit_mmap, vma.vm_mm)


def _exiting(nonlinear):
    def stage(s):
        p0 = s.page()
        vma = s.mmap("trinity-a", (p0,), VM_SHARED | nonlinear)
        s.mmap("trinity-b", (p0,), VM_SHARED)
        s.reclaim(nr=1)
        s.act("trinity-a", mlock_exit, vma)

    stage.__doc__ = "A vma is mlocked and its mm exits."
    return stage


def busy(s):
    """A thread munlocks the nonlinear vma that reclaim walks; another mm maps the pages."""
    p0, p1 = s.page(), s.page(mlocked=True)
    vma = s.mmap("trinity-a", (p1, p0), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    s.mmap("trinity-b", (p0, p1), VM_SHARED)
    s.reclaim(nr=1)
    s.act("trinity-a", sys_munlock, vma)


def busy_marked(s):
    """The same, where the other mm maps only the page that is marked."""
    p0, p1 = s.page(), s.page(mlocked=True)
    vma = s.mmap("trinity-a", (p1, p0), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    s.mmap("trinity-b", (p1,), VM_SHARED)
    s.reclaim(nr=1)
    s.act("trinity-a", sys_munlock, vma)


def busy_beside(s):
    """The same, of another vma of that mm."""
    p0, p1, p2 = s.page(), s.page(mlocked=True), s.page(mlocked=True)
    vma = s.mmap("trinity-a", (p1, p0), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    s.mmap("trinity-b", (p0, p1), VM_SHARED)
    vma = s.mmap("trinity-a", (p2,), VM_SHARED | VM_LOCKED, beside=vma)
    s.reclaim(nr=1)
    s.act("trinity-a", sys_munlock, vma)


def truncated(s):
    """The last reference to a page may be munlock's."""
    p0 = s.page(mlocked=True, culled=False)
    vma = s.mmap("trinity-a", (p0,), VM_SHARED | VM_LOCKED)
    s.act("trinity-a", sys_munlock, vma)
    s.act("trinity-b", truncate, s.mapping, 1)


def truncated_window(s):
    """A page is truncated while reclaim marks it."""
    q, p = s.page(), s.page()
    s.mmap("trinity-a", (q, p), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    s.reclaim(nr=1)
    s.act("trinity-b", truncate, s.mapping, 1)


def charged(s):
    """A page is isolated and put back while it is mlocked and munlocked."""
    p0 = s.page()
    vma = s.mmap("trinity-a", (p0,), VM_SHARED)
    other = s.mmap("trinity-b", (p0,), VM_SHARED)
    s.act("trinity-a", mlock_munlock, vma, 1)
    s.act("trinity-b", move_charges, other, 1)


def charged_mlock(s):
    """A page is isolated and put back while it is mlocked."""
    p0 = s.page()
    vma = s.mmap("trinity-a", (p0,), VM_SHARED)
    other = s.mmap("trinity-b", (p0,), VM_SHARED)
    s.act("trinity-a", sys_mlock, vma)
    s.act("trinity-b", move_charges, other, 1)


def charged_munlock(s):
    """A page is isolated and put back while it is munlocked."""
    p0 = s.page(mlocked=True)
    vma = s.mmap("trinity-a", (p0,), VM_SHARED | VM_LOCKED)
    other = s.mmap("trinity-b", (p0,), VM_SHARED)
    s.act("trinity-a", sys_munlock, vma)
    s.act("trinity-b", move_charges, other, 1)


def migrated(s):
    """A page is migrated while it is munlocked."""
    p0 = s.page(mlocked=True)
    vma = s.mmap("trinity-a", (p0,), VM_SHARED | VM_LOCKED)
    s.act("cma", alloc_contig_range, p0)
    s.act("trinity-a", sys_munlock, vma)


def migrated_nonlinear(s):
    """The same in a nonlinear vma, where VM_LOCKED keeps the pte in its place."""
    p0 = s.page(mlocked=True)
    vma = s.mmap("trinity-a", (p0,), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    s.act("cma", alloc_contig_range, p0)
    s.act("trinity-a", sys_munlock, vma)


def migrated_and_back(s):
    """A page is migrated while it is munlocked and mlocked."""
    p0 = s.page(mlocked=True)
    vma = s.mmap("trinity-b", (p0,), VM_SHARED | VM_LOCKED)
    s.act("cma", alloc_contig_range, p0)
    s.act("trinity-b", munlock_mlock, vma)


def migrated_window(s):
    """A page is migrated while reclaim, come for another, marks it in a nonlinear vma."""
    q, p = s.page(), s.page()
    s.mmap("trinity-a", (q, p), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    s.mmap("trinity-b", (q,), VM_SHARED)
    s.act("cma", alloc_contig_range, q)
    s.reclaim(nr=1)


def migrated_read(s):
    """A page is migrated that stays mlocked, and read meanwhile."""
    p0 = s.page(mlocked=True)
    s.mmap("trinity-a", (p0,), VM_SHARED | VM_LOCKED)
    s.act("cma", alloc_contig_range, p0)
    s.act("cat", read, s.mapping, p0.v_index)


def pinned(s):
    """A page is migrated that munlock has pinned, and will come to after another one."""
    p0, p1 = s.page(mlocked=True), s.page(mlocked=True)
    vma = s.mmap("trinity-a", (p0, p1), VM_SHARED | VM_LOCKED)
    s.act("cma", alloc_contig_range, p1)
    s.act("trinity-a", sys_munlock, vma)


def _private(s, mlocked):
    p0 = s.page(mlocked=mlocked)
    vma = s.mmap("trinity-a", (p0,), VM_WRITE | VM_LOCKED)
    anon_vma_link(vma, anon_vma(f"anon{s.number}", s.number))
    s.mmap("trinity-b", (p0,), VM_SHARED)
    return p0, vma


def cow(s):
    """A private VM_LOCKED mapping is written to while reclaim looks at the page."""
    _, vma = _private(s, mlocked=False)
    s.reclaim(nr=1)
    s.act("trinity-a", write, vma)


def _shared_private(s):
    p0 = s.page(mlocked=True, culled=False)
    vma = s.mmap("trinity-a", (p0,), VM_WRITE | VM_LOCKED)
    anon_vma_link(vma, anon_vma(f"anon{s.number}", s.number))
    s.mmap("trinity-b", (p0,), VM_SHARED)
    s.mmap("trinity-c", (p0,), VM_SHARED)
    return vma


def cow_marked(s):
    """The same of a page that is marked, and that two others map."""
    vma = _shared_private(s)
    s.reclaim(nr=1)
    s.act("trinity-a", write, vma)


def cow_truncated(s):
    """The same while the page leaves its file."""
    vma = _shared_private(s)
    s.act("trinity-b", truncate, s.mapping, 1)
    s.act("trinity-a", write, vma)


def cow_migrated(s):
    """The same while the page is migrated."""
    p0, vma = _private(s, mlocked=True)
    s.act("cma", alloc_contig_range, p0)
    s.act("trinity-a", write, vma)


def _unmapped(s, fn):
    p0 = s.page()
    vma = s.mmap("trinity-a", (p0,), VM_SHARED)
    zap_pte_range(vma, vma.v_vm_start, vma.v_vm_end)
    s.act("trinity-a", fn, vma)
    return p0


def _faulted(s):
    return _unmapped(s, sys_mlock)


def faulted_truncated(s):
    """The page that mlock(2) faults in leaves its file."""
    _faulted(s)
    s.act("trinity-b", truncate_pagecache, s.mapping, 0)


def faulted_migrated(s):
    """The page that mlock(2) faults in leaves its frame."""
    p0 = _faulted(s)
    s.act("cma", alloc_contig_range, p0)


def faulted_reclaimed(s):
    """The page that mlock(2) faults in is reclaimed."""
    _faulted(s)
    s.reclaim(nr=1)


def munlocked_migrated(s):
    """Reclaim, munlock(2) and migration of one page."""
    vma = _window(s)
    s.reclaim(nr=1)
    s.act("trinity-b", sys_munlock, vma)
    s.act("cma", alloc_contig_range, s.pages[0])


def migrated_munlocked_read(s):
    """Migration, munlock(2) and read(2) of one page."""
    migrated(s)
    s.act("cat", read, s.mapping, 0)


def truncated_window_read(s):
    """Reclaim marks a page that is truncated, and read meanwhile."""
    truncated_window(s)
    s.act("cat", read, s.mapping, 0)


def busy_beside_read(s):
    """Reclaim does not get mmap_sem of a nonlinear vma; the page that it has come for is read."""
    busy_beside(s)
    s.act("cat", read, s.mapping, 0)


def truncated_munlocked(s):
    """Reclaim, munlock(2) and truncate of one page."""
    vma = _window(s)
    s.reclaim(nr=1)
    s.act("trinity-b", sys_munlock, vma)
    s.act("trinity-c", truncate, s.mapping, 1)


def populated_truncated(s):
    """The page that mmap(2) with MAP_POPULATE faults in leaves its file."""
    _unmapped(s, mm_populate)
    s.act("trinity-b", truncate_pagecache, s.mapping, 0)


def populated_evicted(s):
    """The same, where truncate(2) has found nothing to unmap yet and comes to the page itself."""
    _unmapped(s, mm_populate)
    s.act("trinity-b", truncate_inode_pages, s.mapping, 0)


def _small(stage, limits=LIMITS, cpus=2, irq=False, passes=(2, 1)):
    def setup(m, v):
        boot(m, FRAMES)
        m.vm.migrate_passes = passes
        s = Stage(m, 1)
        stage(s)
        memblock_free_all(m.vm)
        for n, (fn, args, comm) in enumerate(s.actors):
            m.spawn(fn, *args, comm=comm, cpu=n)
        if irq:
            m.irq(blk_done_softirq, request_queue(), 1, comm="ksoftirqd", cpu=0, kind="softirq")

    return SmallCast(setup, cpus, limits)


BOTH = f"{LIMITS}; {MIGRATION}"


def _tried(stage):
    """The same with one pass of those that do not wait."""
    return _small(stage, TRIED, passes=(1, 0))


def _once(stage):
    """The same with one pass of migration: the last of the kernel's ten, which waits for locks."""
    return _small(stage, ONCE, passes=(0, 1))


SMALL = {
    "alone": _small(alone),
    "munlock": _small(munlocked),
    "munlock-check-page": _small(munlocked_check_page),
    "munlock-marked": _small(munlocked_marked),
    "mlock-munlock": _small(mlocked_again),
    "reclaimers": _small(two_reclaimers),
    "own": _small(_own(0)),
    "own-nonlinear": _small(_own(VM_NONLINEAR)),
    "exit": _small(_exiting(0)),
    "exit-nonlinear": _small(_exiting(VM_NONLINEAR)),
    "busy": _small(busy),
    "own-munlock": _small(own_munlocked),
    "exit-locked": _small(exiting_locked),
    "busy-marked": _small(busy_marked),
    "busy-beside": _small(busy_beside),
    "truncate-munlock": _small(truncated, ""),
    "truncate-reclaim": _small(truncated_window),
    "charge": _small(charged, ""),
    "charge-mlock": _small(charged_mlock, ""),
    "charge-munlock": _small(charged_munlock, ""),
    "migrate-munlock": _small(migrated, MIGRATION),
    "migrate-mlock": _small(migrated_and_back, MIGRATION),
    "migrate-reclaim": _small(migrated_window, BOTH),
    "migrate-read": _small(migrated_read, MIGRATION),
    "pinned": _small(pinned, MIGRATION),
    "cow": _small(cow),
    "cow-marked": _small(cow_marked),
    "cow-migrate": _small(cow_migrated, MIGRATION),
    "cow-truncate": _small(cow_truncated, ""),
    "fault-truncate": _small(faulted_truncated, ""),
    "fault-migrate": _small(faulted_migrated, MIGRATION),
    "fault-reclaim": _small(faulted_reclaimed),
    "populate-truncate": _small(populated_truncated, ""),
    "populate-evict": _small(populated_evicted, ""),
    "migrate-munlock-once": _once(migrated),
    "migrate-munlock-tried": _tried(migrated),
    "migrate-munlock-nonlinear-once": _once(migrated_nonlinear),
    "cow-migrate-once": _once(cow_migrated),
    "munlock-softirq": _small(munlocked, irq=True),
    "munlock-reclaimers": _small(two_reclaimers_munlock, cpus=3),
    "munlock-migrate": _small(munlocked_migrated, BOTH, cpus=3),
    "munlock-truncate": _small(truncated_munlocked, cpus=3),
    "truncate-reclaim-read": _small(truncated_window_read, cpus=3),
    "busy-beside-read": _small(busy_beside_read, cpus=3),
    "migrate-munlock-read": _small(migrated_munlocked_read, MIGRATION, cpus=3),
}
