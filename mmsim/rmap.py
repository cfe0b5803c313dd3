# SPDX-License-Identifier: GPL-2.0-only
"""From a page to the ptes that map it (mm/rmap.c, 5.17).

A page knows its object (an anon_vma or an address_space) and its index there.  The object knows the
vmas that show parts of it.  A walk takes the object's lock, computes for each vma the address where
the page has to be, and looks whether it is there, under the PTL.  The walk trusts that sum: if
somebody changes the vma or moves the ptes under it without the object's lock, it looks in the wrong
place and finds nothing, without noticing.  For a walk that takes mappings away that is harmless:
the page stays mapped and the caller gives up.  For the walk that puts them back it is fatal, and
that asymmetry is behind nearly every migration entry ever found to point to an unlocked page.

Lock order: page lock > anon_vma / i_mmap_rwsem > PTL.
"""

from mmsim.linux.atomic import (
    READ_ONCE,
    atomic_add_negative,
    atomic_dec_and_test,
    atomic_inc,
    atomic_inc_and_test,
    atomic_inc_not_zero,
    atomic_set,
)
from mmsim.linux.bug import VM_BUG_ON_PAGE
from mmsim.linux.sched import cond_resched
from mmsim.linux.sleeplock import down_read, down_read_trylock, init_rwsem, up_read
from mmsim.lru import put_page
from mmsim.mm_types import (
    PAGE_SHIFT,
    PAGE_SIZE,
    pte_dirty,
    pte_write,
    ptep_clear_flush,
    set_pte_at,
    vma_is_temporary_stack,
)
from mmsim.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
)
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.model.struct import Struct, shared
from mmsim.page import (
    PAGE_MAPPING_ANON,
    PageAnon,
    PageDirty,
    PageLocked,
    SetPageDirty,
    __SetPageSwapBacked,
    page_mapped,
)
from mmsim.page_vma_mapped import (
    page_vma_mapped,
    page_vma_mapped_walk,
    page_vma_mapped_walk_done,
    vma_address,
)
from mmsim.swapops import (
    make_readable_migration_entry,
    make_writable_migration_entry,
    swp_entry_to_pte,
)


class anon_vma(Struct):
    """The object behind anonymous pages.  ``rb_root`` are the vmas, oldest first, under ``rwsem``.

    Its refcount keeps it in place for those who found it through a page.
    """

    refcount = shared(1)
    mapping_flags = PAGE_MAPPING_ANON

    def __init__(self, name, number=0):
        self.name = name
        self.address = 0xFFFF888003000000 + number * 0x100
        self.rwsem = init_rwsem(f"&anon_vma->rwsem#{name}")
        self.rb_root = []


class rmap_walk_control:
    """What to do with each vma; ``rmap_one`` false or ``done`` true ends the walk."""

    def __init__(self, rmap_one, arg=None, done=None, anon_lock=None, invalid_vma=None):
        self.rmap_one = rmap_one
        self.arg = arg
        self.done = done
        self.anon_lock = anon_lock
        self.invalid_vma = invalid_vma


# -- anon_vma -----------------------------------------------------------------------------------


@cite("mm/rmap.c", "5.17", symbol="anon_vma_chain_link")
def anon_vma_link(vma, av):
    """Boot: the vma shows pages of ``av`` (anon_vma_prepare, anon_vma_fork)."""
    vma.v_anon_vma = vma.v_anon_vma or av
    av.rb_root.append(vma)


def _anon_vma_of(mapping):
    return mapping if getattr(mapping, "mapping_flags", 0) & PAGE_MAPPING_ANON else None


@cite("mm/rmap.c", "5.17", thread="003")
def page_get_anon_vma(page):
    """A reference to the page's anon_vma, or None if it is not mapped anonymous memory any more.

    *Locks:* none (RCU).  *Race:* page->mapping outlives the last mapping; only page_mapped(), asked
    again after the reference was taken, says that the anon_vma is still this page's.
    """
    av = _anon_vma_of(READ_ONCE(page, "mapping"))
    if av is None or not page_mapped(page):
        return None
    if not atomic_inc_not_zero(av, "refcount"):
        return None
    if not page_mapped(page):
        put_anon_vma(av)
        return None
    return av


@cite("include/linux/rmap.h", "5.17")
def put_anon_vma(av):
    """Drop a reference (the last one frees it, which no scenario gets to)."""
    atomic_dec_and_test(av, "refcount")


@cite("mm/rmap.c", "5.17")
def page_lock_anon_vma_read(page):
    """The page's anon_vma with its lock, or None if the page is not mapped any more.

    *Locks:* returns with anon_vma->rwsem for read; may sleep.  *Race:* as page_get_anon_vma().
    """
    av = _anon_vma_of(READ_ONCE(page, "mapping"))
    if av is None or not page_mapped(page):
        return None
    if down_read_trylock(av.rwsem):
        if not page_mapped(page):
            up_read(av.rwsem)
            return None
        return av
    if not atomic_inc_not_zero(av, "refcount"):
        return None
    if not page_mapped(page):
        put_anon_vma(av)
        return None
    down_read(av.rwsem)
    put_anon_vma(av)
    return av


# -- counting mappings --------------------------------------------------------------------------


@cite("mm/rmap.c", "5.17")
def page_add_anon_rmap(page, vma, address):
    """One more pte.  *Locks:* PTL; the first time also the page lock."""
    if atomic_inc_and_test(page, "_mapcount"):
        VM_BUG_ON_PAGE(
            lambda: not PageLocked(page), "!PageLocked(page)", page, {"5.17": "mm/rmap.c:1159"}
        )


@cite("mm/rmap.c", "5.17")
def page_add_new_anon_rmap(page, vma, address):
    """The first pte of a page nobody else knows.  *Locks:* PTL."""
    __SetPageSwapBacked(page)
    atomic_set(page, "_mapcount", 0)
    page.index = vma.vm_pgoff + ((address - vma.vm_start) >> PAGE_SHIFT)
    page.mapping = vma.anon_vma


@cite("mm/rmap.c", "5.17")
def page_add_file_rmap(page):
    """One more pte.  *Locks:* PTL."""
    atomic_inc(page, "_mapcount")


@cite("mm/rmap.c", "5.17")
def page_remove_rmap(page):
    """One pte less; true if that was the last.  *Locks:* PTL."""
    return atomic_add_negative(page, "_mapcount", -1)


# -- walks --------------------------------------------------------------------------------------


@cite("mm/rmap.c", "5.17", thread="003")
def rmap_walk_anon_lock(page, rwc):
    """The anon_vma, locked for read.

    Putting mappings back cannot ask page_mapped(), so that walk names no ``anon_lock`` and relies
    on the reference its caller holds.  *Locks:* returns with anon_vma->rwsem; may sleep.
    """
    if rwc.anon_lock is not None:
        return rwc.anon_lock(page)
    av = _anon_vma_of(page.mapping)
    if av is None:
        return None
    down_read(av.rwsem)
    return av


@cite("mm/rmap.c", "5.17", thread="003")
def rmap_walk_anon(page, rwc):
    """Call rmap_one for each vma that may map an anonymous page.  *Locks:* anon_vma->rwsem."""
    av = rmap_walk_anon_lock(page, rwc)
    if av is None:
        return
    _walk(page, rwc, av.rb_root)
    up_read(av.rwsem)


@cite("mm/rmap.c", "5.17", thread="003")
def rmap_walk_file(page, rwc):
    """The same for a page of a file.  *Locks:* entered with the page lock; takes i_mmap_rwsem."""
    VM_BUG_ON_PAGE(
        lambda: not PageLocked(page), "!PageLocked(page)", page,
        {"4.19": "mm/rmap.c:1869", "5.4": "mm/rmap.c:1886", "5.17": "mm/rmap.c:2366"},
    )
    mapping = page.mapping
    if mapping is None:
        return
    down_read(mapping.i_mmap_rwsem)
    _walk(page, rwc, mapping.i_mmap)
    up_read(mapping.i_mmap_rwsem)


def _walk(page, rwc, vmas):
    for vma in list(vmas):
        address = vma_address(page, vma)
        if address is None:
            continue
        cond_resched()
        if rwc.invalid_vma is not None and rwc.invalid_vma(vma):
            continue
        if not rwc.rmap_one(page, vma, address, rwc.arg):
            break
        if rwc.done is not None and rwc.done(page):
            break


@cite("mm/rmap.c", "5.17", thread="003")
def rmap_walk(page, rwc):
    """Visit every vma that may map the page.  *Locks:* the object's, for read; may sleep."""
    if PageAnon(page):
        rmap_walk_anon(page, rwc)
    else:
        rmap_walk_file(page, rwc)


# -- taking mappings away for migration ---------------------------------------------------------


@cite("mm/rmap.c", "5.17")
def page_not_mapped(page):
    """No pte left."""
    return not page_mapped(page)


@cite("mm/rmap.c", "5.17", thread="003")
def invalid_migration_vma(vma):
    """A stack that exec is still moving: migration would not find its entries again."""
    return vma_is_temporary_stack(vma)


@cite("mm/rmap.c", "5.17", thread="003")
def try_to_migrate_one(page, vma, address, arg):
    """Replace the page's pte in one vma by a migration entry; drop that pte's reference.

    *Locks:* entered with the page lock and the object's lock; takes the PTL.
    *Race:* none: to the holder of the PTL there is the page or the entry, and the page is locked.
    """
    pvmw = page_vma_mapped(page, vma, address, 0)
    mmu_notifier_invalidate_range_start(vma.vm_mm, address, address + PAGE_SIZE)
    if page_vma_mapped_walk(pvmw):
        pteval = ptep_clear_flush(pvmw.pte)
        if pte_dirty(pteval) and not PageDirty(page):
            SetPageDirty(page)
        if pte_write(pteval):
            entry = make_writable_migration_entry(page)
        else:
            entry = make_readable_migration_entry(page)
        set_pte_at(pvmw.pte, swp_entry_to_pte(entry))
        page_remove_rmap(page)
        put_page(page)
        page_vma_mapped_walk_done(pvmw)
    mmu_notifier_invalidate_range_end(vma.vm_mm, address, address + PAGE_SIZE)
    return True


@cite("mm/rmap.c", "5.17", thread="003")
def try_to_migrate(page):
    """Replace every pte of the page by a migration entry.

    *Locks:* entered with the page lock; may sleep.  *Race:* a stack that exec is moving must be
    left alone, since exec moves page tables without the rmap lock (gate ``rmap-miss`` does not).
    """
    rwc = rmap_walk_control(
        try_to_migrate_one, done=page_not_mapped, anon_lock=page_lock_anon_vma_read
    )
    if not patched("rmap-miss"):
        if PageAnon(page):
            rwc.invalid_vma = invalid_migration_vma
    rmap_walk(page, rwc)
