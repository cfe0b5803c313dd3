# SPDX-License-Identifier: GPL-2.0-only
"""Handing a page's identity to another page (mm/migrate.c, 5.17): mapping, references, flags, data.

Nobody can reach the old page through a pte here: all of them are migration entries.  A page of the
page cache can still be found by index; its count is frozen at zero while the slot is switched, so
no lookup gets in between.  An anonymous page outside the swap cache can be found by pfn walkers
only, so there the count is compared and not frozen.

One flag of the new page is set by load and store (PG_swapbacked): the page is locked, and nobody
but its owner is supposed to touch its flags.
"""

from mmsim.engine.door import door
from mmsim.filemap_cache import xas_store
from mmsim.linux.atomic import atomic_inc
from mmsim.linux.bug import BUG_ON
from mmsim.linux.irqflags import local_irq_enable
from mmsim.linux.spinlock import spin_lock_irq, spin_unlock, spin_unlock_irq
from mmsim.model.cite import cite
from mmsim.page import (
    ClearPageDirty,
    PageDirty,
    PageReferenced,
    PageSwapBacked,
    PageUptodate,
    PageWorkingset,
    PageWriteback,
    SetPageActive,
    SetPageDirty,
    SetPageReferenced,
    SetPageUnevictable,
    SetPageUptodate,
    SetPageWorkingset,
    TestClearPageActive,
    TestClearPageUnevictable,
    __SetPageSwapBacked,
    page_count,
    page_has_private,
    page_ref_freeze,
    page_ref_unfreeze,
)

MIGRATEPAGE_SUCCESS = 0
EAGAIN = 11
MIGRATE_SYNC_NO_COPY = 3


@cite("mm/migrate.c", "5.17", thread="003")
def expected_page_refs(mapping, page):
    """References that migration knows of: isolation, page cache, buffers."""
    expected_count = 1
    if mapping is not None:
        expected_count += 1 + page_has_private(page)
    return expected_count


def _add(page, n):
    page.v__refcount += n


@cite("mm/migrate.c", "5.17", thread="003")
def folio_migrate_mapping(mapping, newpage, page, extra_count=0):
    """Make ``newpage`` the object's page at this place; 0, or -EAGAIN if somebody holds ``page``.

    *Locks:* entered with both page locks; takes the XArray's lock, interrupts off.
    *Race:* the file's slot changes while the old count is frozen.  ``eagain`` counts the failures.
    """
    expected_count = expected_page_refs(mapping, page) + extra_count
    if mapping is None:
        if page_count(page) != expected_count:
            door.machine.count("eagain")
            return -EAGAIN
        newpage.index = page.index
        newpage.mapping = page.mapping
        if PageSwapBacked(page):
            __SetPageSwapBacked(newpage)
        return MIGRATEPAGE_SUCCESS

    spin_lock_irq(mapping.xa_lock)
    if not page_ref_freeze(page, expected_count):
        spin_unlock_irq(mapping.xa_lock)
        door.machine.count("eagain")
        return -EAGAIN
    newpage.index = page.index
    newpage.mapping = page.mapping
    atomic_inc(newpage, "_refcount")
    if PageSwapBacked(page):
        __SetPageSwapBacked(newpage)
    # dirty moves while the old page is frozen and the new one not yet to be found
    if PageDirty(page):
        ClearPageDirty(page)
        SetPageDirty(newpage)
    xas_store(mapping, page.index, newpage)
    page_ref_unfreeze(page, expected_count - 1)
    spin_unlock(mapping.xa_lock)
    local_irq_enable()
    return MIGRATEPAGE_SUCCESS


@cite("mm/migrate.c", "5.17", thread="003")
def folio_migrate_flags(newpage, page):
    """Copy what the flags say about the contents and its use.  *Locks:* both page locks."""
    if PageReferenced(page):
        SetPageReferenced(newpage)
    if PageUptodate(page):
        SetPageUptodate(newpage)
    if TestClearPageActive(page):
        SetPageActive(newpage)
    elif TestClearPageUnevictable(page):
        SetPageUnevictable(newpage)
    if PageWorkingset(page):
        SetPageWorkingset(newpage)
    if PageDirty(page):
        SetPageDirty(newpage)
    page.private = 0
    if page.mem_cgroup is not None:
        newpage.mem_cgroup = page.mem_cgroup


@cite("mm/migrate.c", "5.17", thread="003")
def folio_migrate_copy(newpage, page):
    """Contents, then flags.  *Locks:* both page locks."""
    newpage.data = page.data
    folio_migrate_flags(newpage, page)


@cite("mm/migrate.c", "5.17", thread="003")
def migrate_page(mapping, newpage, page, mode):
    """migratepage of whoever has no buffers; 0 or -EAGAIN.  *Locks:* both page locks."""
    BUG_ON(
        PageWriteback(page),
        {"4.19": "mm/migrate.c:757", "5.4": "mm/migrate.c:683", "5.17": "mm/migrate.c:611"},
    )
    rc = folio_migrate_mapping(mapping, newpage, page)
    if rc != MIGRATEPAGE_SUCCESS:
        return rc
    if mode != MIGRATE_SYNC_NO_COPY:
        folio_migrate_copy(newpage, page)
    else:
        folio_migrate_flags(newpage, page)
    return MIGRATEPAGE_SUCCESS
