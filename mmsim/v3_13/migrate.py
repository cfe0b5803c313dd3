# SPDX-License-Identifier: GPL-2.0-only
"""Moving a file page to another frame in 3.13 (mm/migrate.c): the actor M of thread 004.

The page is isolated and locked.  Two walls keep migration away from pages that others are using:

* ``page_mapped``: every pte must have gone.  Linear vmas get migration entries; from nonlinear
  ones the page goes like any other that stands in the window, unless the vma is VM_LOCKED;
* the count of references must be what the page cache, buffers and our own isolation explain.

A lazy mlocker has a pte, a munlocker a pin: neither meets migration.  That, and not the page lock,
is why clearing or setting PG_mlocked without the lock does no harm to migration.

mlock_migrate_page() moves the flag.  It has had nothing to move since 3.7: the last unmap clears
PG_mlocked (page_remove_rmap), so a migrated page comes out unmarked and is found again by reclaim.
"""

from mmsim.engine.door import door
from mmsim.filemap import lock_page, trylock_page
from mmsim.filemap_cache import xa_load, xas_store
from mmsim.linux.atomic import atomic_dec
from mmsim.linux.bug import BUG_ON, VM_BUG_ON
from mmsim.linux.list import list_del, list_empty
from mmsim.linux.sleeplock import mutex_lock, mutex_unlock
from mmsim.linux.spinlock import spin_lock_irq, spin_unlock_irq
from mmsim.mm_inline import lru_to_page
from mmsim.mm_types import (
    VM_LOCKED,
    is_swap_pte,
    mk_pte,
    pmd_offset,
    pte_mkold,
    pte_offset_map_lock,
    pte_unmap_unlock,
    set_pte_at,
)
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.model.gate import patched
from mmsim.page import (
    ClearPagePrivate,
    PageReferenced,
    PageUnevictable,
    PageUptodate,
    SetPageActive,
    SetPageReferenced,
    SetPageUnevictable,
    SetPageUptodate,
    TestClearPageActive,
    TestClearPageUnevictable,
    get_page,
    page_count,
    page_has_private,
    page_mapped,
)
from mmsim.page_alloc import alloc_page
from mmsim.page_vma_mapped import vma_address
from mmsim.rmap import page_add_file_rmap
from mmsim.swapops import is_migration_entry, is_writable_migration_entry, pte_to_swp_entry
from mmsim.v3_13.filemap import unlock_page
from mmsim.v3_13.mlock import mlock_migrate_page, mlock_vma_page
from mmsim.v3_13.mm_types import pte_file
from mmsim.v3_13.pagemap import page_freeze_refs, page_unfreeze_refs
from mmsim.v3_13.rmap import TTU_IGNORE_MLOCK, TTU_MIGRATION, try_to_unmap
from mmsim.v3_13.vmscan_isolate import putback_lru_page

EAGAIN = 11


# -- putting mappings back -------------------------------------------------------------------------


@cite("mm/migrate.c", "3.13")
def remove_migration_pte(new, vma, address, old):
    """Replace the migration entry for ``old`` at ``address``, if there is one.

    *Locks:* both pages locked, i_mmap_mutex; takes the ptl.
    """
    pmd = pmd_offset(vma.vm_mm, address)
    pte, ptl = pte_offset_map_lock(pmd, address)
    word = pte.pte
    entry = pte_to_swp_entry(word) if is_swap_pte(word) and not pte_file(word) else None
    if entry is not None and is_migration_entry(entry) and entry.offset == old.pfn:
        get_page(new)
        set_pte_at(pte, pte_mkold(mk_pte(new, is_writable_migration_entry(entry))))
        page_add_file_rmap(new)
        if patched("hugh-2015-10-18") and vma.vm_flags & VM_LOCKED:
            mlock_vma_page(new)
    pte_unmap_unlock(pte, ptl)


@cite("mm/migrate.c", "3.13")
def remove_migration_ptes(old, new):
    """All of them.  *Locks:* both pages locked; takes i_mmap_mutex (sleeps)."""
    mapping = new.mapping
    if mapping is None:
        return
    mutex_lock(mapping.i_mmap_mutex)
    for vma in mapping.i_mmap:
        address = vma_address(new, vma)
        if address is not None:
            remove_migration_pte(new, vma, address, old)
    mutex_unlock(mapping.i_mmap_mutex)


# -- the file and the flags ------------------------------------------------------------------------


@cite("mm/migrate.c", "3.13", thread="004")
def migrate_page_move_mapping(mapping, newpage, page):
    """Put the new page into the old one's place in the file; 0 or -EAGAIN.

    *Locks:* both pages locked; takes tree_lock.  *Race:* whoever holds a pin makes it fail
    ("migrations_refused"); with ``migrate-no-refcheck`` they are left with a page that belongs to
    no file ("moved_under_pin").
    """
    expected_count = 1
    if mapping is None:
        # truncated after it was isolated: nobody but us has a reference
        return 0 if page_count(page) == expected_count else -EAGAIN
    spin_lock_irq(mapping.tree_lock)
    index = page.index
    expected_count += 1 + page_has_private(page)
    if patched("migrate-no-refcheck"):
        if page.v__refcount != expected_count:
            door.machine.count("moved_under_pin")
    else:
        if page_count(page) != expected_count or xa_load(mapping, index) is not page:
            door.machine.count("migrations_refused")
            spin_unlock_irq(mapping.tree_lock)
            return -EAGAIN
        if not page_freeze_refs(page, expected_count):
            door.machine.count("migrations_refused")
            spin_unlock_irq(mapping.tree_lock)
            return -EAGAIN
    get_page(newpage)
    xas_store(mapping, index, newpage)
    # the page cache's reference to the old page
    if patched("migrate-no-refcheck"):
        atomic_dec(page, "_refcount")
    else:
        page_unfreeze_refs(page, expected_count - 1)
    spin_unlock_irq(mapping.tree_lock)
    return 0


@cite("mm/migrate.c", "3.13", thread="004")
def migrate_page_copy(newpage, page):
    """Contents and flags.  *Locks:* both pages locked.

    *Race:* PG_mlocked is changed by others without the page lock; see the top of the file.
    """
    if PageReferenced(page):
        SetPageReferenced(newpage)
    if PageUptodate(page):
        SetPageUptodate(newpage)
    if TestClearPageActive(page):
        VM_BUG_ON(lambda: PageUnevictable(page), "mm/migrate.c:513", page)
        SetPageActive(newpage)
    elif TestClearPageUnevictable(page):
        SetPageUnevictable(newpage)
    mlock_migrate_page(newpage, page)
    ClearPagePrivate(page)


@cite("mm/migrate.c", "3.13")
def migrate_page(mapping, newpage, page):
    """A page without buffers.  *Locks:* both pages locked."""
    rc = migrate_page_move_mapping(mapping, newpage, page)
    if rc == 0:
        migrate_page_copy(newpage, page)
    return rc


@cite("mm/migrate.c", "3.13")
def move_to_new_page(newpage, page):
    """Fill the new page, and let the mappings lead there.  *Locks:* the old page's lock."""
    BUG_ON(not trylock_page(newpage), "mm/migrate.c:746")
    newpage.index = page.index
    mapping = page.mapping
    newpage.mapping = mapping
    rc = migrate_page(mapping, newpage, page)
    if rc:
        newpage.mapping = None
    else:
        remove_migration_ptes(page, newpage)
        page.mapping = None
    unlock_page(newpage)
    return rc


# -- one page --------------------------------------------------------------------------------------


@cite("mm/migrate.c", "3.13", thread="004")
def __unmap_and_move(page, newpage, force):
    """Unmap, move, map.  *Locks:* takes the page lock, waits for it only if ``force``."""
    if not trylock_page(page):
        if not force:
            return -EAGAIN
        lock_page(page)
    rc = -EAGAIN
    # a page without a file was truncated after it was isolated: there is nothing to unmap
    if page.mapping is not None:
        try_to_unmap(page, TTU_MIGRATION | TTU_IGNORE_MLOCK)
    if not page_mapped(page) or patched("migrate-mapped"):
        rc = move_to_new_page(newpage, page)
    if rc:
        remove_migration_ptes(page, page)
    unlock_page(page)
    return rc


@cite("mm/migrate.c", "3.13")
def unmap_and_move(page, force):
    """Move an isolated page to a new frame; unless -EAGAIN the old one is no longer isolated."""
    newpage = alloc_page()
    if newpage is None:
        return -EAGAIN
    if page_count(page) == 1:
        rc = 0  # freed from under us
    else:
        rc = __unmap_and_move(page, newpage, force)
    if rc != -EAGAIN:
        list_del(page.lru)
        putback_lru_page(page)
    putback_lru_page(newpage)
    return rc


@cite("mm/migrate.c", "3.13", thread="004")
def migrate_pages(migratepages):
    """Move the pages of a private list; how many could not be.  *Locks:* may sleep.

    Ten passes, waiting for page locks from the fourth on, unless set-up has chosen fewer.
    """
    polite, forced = kernel().migrate_passes
    failed = 0
    retry = True
    for n in range(polite + forced):
        if not retry:
            break
        retry = False
        failed = 0
        node = migratepages.next
        while node is not migratepages:
            page, node = node.owner, node.next
            if unmap_and_move(page, n >= polite):
                retry = True
                failed += 1
    while not list_empty(migratepages):
        page = lru_to_page(migratepages)
        list_del(page.lru)
        putback_lru_page(page)
    return failed
