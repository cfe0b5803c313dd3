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
    WRITE_ONCE,
    atomic_add_negative,
    atomic_dec_and_test,
    atomic_inc_and_test,
    atomic_inc_not_zero,
    atomic_set,
)
from mmsim.linux.bug import BUG_ON, VM_BUG_ON_PAGE
from mmsim.linux.sched import cond_resched
from mmsim.linux.sleeplock import down_read, down_read_trylock, init_rwsem, up_read
from mmsim.lru import put_page
from mmsim.memcg_lock import lock_page_memcg, unlock_page_memcg
from mmsim.mlock import clear_page_mlock
from mmsim.mm_types import (
    PAGE_SIZE,
    VM_SHARED,
    linear_page_index,
    pte_dirty,
    pte_mkclean,
    pte_write,
    pte_wrprotect,
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
    PageLocked,
    PageMlocked,
    __SetPageSwapBacked,
    page_mapped,
)
from mmsim.page_dirty import set_page_dirty
from mmsim.page_vma_mapped import (
    PVMW_SYNC,
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
from mmsim.util import page_mapping


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
    again after the reference was taken, says that the anon_vma is still this page's.  RCU keeps the
    memory an anon_vma (SLAB_TYPESAFE_BY_RCU); here that is never freed, so there is nothing to do.
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
def __page_set_anon_rmap(page, vma, address):
    """Say whose the page is, unless it says so already.  *Locks:* PTL, or nobody knows the page.

    *Race:* whoever goes by frame number may look between the two stores: it finds the object in one
    piece (WRITE_ONCE), and perhaps an index that is not yet the page's.
    """
    anon_vma = vma.anon_vma
    BUG_ON(
        anon_vma is None,
        {"4.19": "mm/rmap.c:1030", "5.4": "mm/rmap.c:1028", "5.17": "mm/rmap.c:1078"},
        page,
    )
    if PageAnon(page):
        return
    WRITE_ONCE(page, "mapping", anon_vma)
    page.index = linear_page_index(vma, address)


@cite("mm/rmap.c", "5.17")
def __page_check_anon_rmap(page, vma, address):
    """With DEBUG_VM: does the page say what it has to?  *Locks:* page lock, PTL."""
    VM_BUG_ON_PAGE(
        lambda: page.mapping is not vma.anon_vma,
        "page_anon_vma(page)->root != vma->anon_vma->root",
        page,
        {"5.17": "mm/rmap.c:1122"},
    )
    VM_BUG_ON_PAGE(
        lambda: page.index != linear_page_index(vma, address),
        "page_to_pgoff(page) != linear_page_index(vma, address)",
        page,
        {"5.17": "mm/rmap.c:1123"},
    )


@cite("mm/rmap.c", "5.17", symbol="do_page_add_anon_rmap")
def page_add_anon_rmap(page, vma, address):
    """One more pte.  *Locks:* PTL, and the page lock: asserted before anything is changed."""
    VM_BUG_ON_PAGE(
        lambda: not PageLocked(page), "!PageLocked(page)", page, {"5.17": "mm/rmap.c:1159"}
    )
    first = atomic_inc_and_test(page, "_mapcount")
    if first:
        # the address may be in the next vma by now, if the vma is being cut
        __page_set_anon_rmap(page, vma, address)
    else:
        __page_check_anon_rmap(page, vma, address)


@cite("mm/rmap.c", "5.17")
def page_add_new_anon_rmap(page, vma, address):
    """The first pte of a page nobody else knows.  *Locks:* PTL."""
    __SetPageSwapBacked(page)
    atomic_set(page, "_mapcount", 0)
    __page_set_anon_rmap(page, vma, address)


@cite("mm/rmap.c", "5.17")
def page_add_file_rmap(page):
    """One more pte.  *Locks:* PTL."""
    lock_page_memcg(page)
    atomic_inc_and_test(page, "_mapcount")
    unlock_page_memcg(page)


@cite("mm/rmap.c", "5.17")
def page_remove_rmap(page):
    """One pte less; the last takes PG_mlocked with it.  *Locks:* PTL."""
    lock_page_memcg(page)
    PageAnon(page)  # which counter
    if atomic_add_negative(page, "_mapcount", -1):
        if PageMlocked(page):
            clear_page_mlock(page)
    unlock_page_memcg(page)


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


# -- before a page is written -------------------------------------------------------------------


@cite("mm/rmap.c", "5.17")
def invalid_mkclean_vma(vma):
    """Whoever has a private copy does not write to the file."""
    return not vma.vm_flags & VM_SHARED


@cite("mm/rmap.c", "5.17")
def page_mkclean_one(page, vma, address, cleaned):
    """Write-protect the page in one vma, and take the pte's dirty bit.

    *Locks:* entered with the page lock and the object's; takes the PTL.
    *Race:* the hardware sets the dirty bit without any lock, so the entry is taken out first.
    """
    pvmw = page_vma_mapped(page, vma, address, PVMW_SYNC)
    mmu_notifier_invalidate_range_start(vma.vm_mm, address, address + PAGE_SIZE)
    if page_vma_mapped_walk(pvmw):
        pte = pvmw.pte.pte
        if pte_dirty(pte) or pte_write(pte):
            entry = ptep_clear_flush(pvmw.pte)
            entry = pte_wrprotect(entry)
            entry = pte_mkclean(entry)
            set_pte_at(pvmw.pte, entry)
            cleaned.append(address)
        page_vma_mapped_walk_done(pvmw)
    mmu_notifier_invalidate_range_end(vma.vm_mm, address, address + PAGE_SIZE)
    return True


@cite("mm/rmap.c", "5.17", symbol="folio_mkclean")
def page_mkclean(page):
    """Make every store to the page fault; how many ptes were writable or dirty.

    *Locks:* entered with the page lock, which the faults will want; may sleep for the object's.
    """
    BUG_ON(
        not PageLocked(page),
        {"4.19": "mm/rmap.c:975", "5.4": "mm/rmap.c:973", "5.17": "mm/rmap.c:1023"},
        page,
    )
    if not page_mapped(page) or page_mapping(page) is None:
        return 0
    cleaned = []
    rmap_walk(page, rmap_walk_control(page_mkclean_one, cleaned, invalid_vma=invalid_mkclean_vma))
    return len(cleaned)


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
        if pte_dirty(pteval):
            set_page_dirty(page)
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
