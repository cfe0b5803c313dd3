# SPDX-License-Identifier: GPL-2.0-only
"""Pages that are movable without being on the LRU, and putting back (mm/migrate.c, 4.19 to 6.1).

A driver (balloon, zsmalloc) says that it can move a page by PAGE_MAPPING_MOVABLE in the low bits of
``page->mapping``.  Any walker may find the bits, in a word that is not always a mapping: who else
stores pointers there has to keep bit 1 clear.  LIST_POISON2 ends in 0x122, which has it set.

Until 5.19 the page's mapping was asked for its a_ops, through page_mapping(), which knows slabs.
From 6.0 on the word itself is the table of operations.
"""

from mmsim.filemap import lock_page, unlock_page
from mmsim.linux.atomic import atomic_add, smp_rmb
from mmsim.linux.bug import VM_BUG_ON_PAGE, page_fault, report
from mmsim.linux.list import Poison, list_del, list_entry
from mmsim.lru import put_page
from mmsim.mmzone import page_pgdat
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.model.struct import Struct
from mmsim.page import (
    PAGE_MAPPING_MOVABLE,
    PageIsolated,
    PageLocked,
    PageSlab,
    __ClearPageIsolated,
    __PageMovable,
    __SetPageIsolated,
    get_page_unless_zero,
)
from mmsim.pagemap import trylock_page
from mmsim.util import page_mapping
from mmsim.vmscan import putback_lru_page


class movable_operations(Struct):
    """What a driver does with its movable pages: ``isolate_page(page)`` is true if it let go."""

    mapping_flags = PAGE_MAPPING_MOVABLE

    def __init__(self, name, isolate_page, putback_page, number=0):
        self.name = name
        self.address = 0xFFFFFFFFC0400000 + number * 0x40
        self.isolate_page = isolate_page
        self.putback_page = putback_page


def _operations(page):
    """page_movable_ops(): the word once more, without its low bits, and a look behind it."""
    word = page.mapping
    if word is None or isinstance(word, Poison):
        address = (0 if word is None else word.address) - PAGE_MAPPING_MOVABLE
        page_fault(address & 0xFFFFFFFFFFFFFFFF, False, page)
    if not isinstance(word, movable_operations):
        # some other pointer by now: what is read behind it is called as a function
        report(
            "oops", "general protection fault: call of what is no function", page=page, fatal=True
        )
    return word


@cite("mm/compaction.c", "4.19", thread="001")
def PageMovable(page):
    """Does a driver say so, now that nobody can change it?  *Locks:* the page lock."""
    VM_BUG_ON_PAGE(
        lambda: not PageLocked(page), "!PageLocked(page)", page, {"4.19": "mm/compaction.c:99"}
    )
    if not __PageMovable(page):
        return False
    if patched("movable-operations"):
        return True
    return page_mapping(page) is not None


@cite("mm/migrate.c", "4.19", thread="001")
def isolate_movable_page(page, isolate_mode):
    """Ask a page's driver to let go of it; true if it did.

    *Locks:* tries the page lock.  *Race:* the page may be anything until its lock is taken and
    __PageMovable() looked at again; a slab may look movable even then.
    """
    if not get_page_unless_zero(page):
        return False
    if patched("isolate-movable-skips-slab"):
        if PageSlab(page):
            put_page(page)
            return False
        smp_rmb()  # PG_slab cleared: then ``mapping`` was reset before
    if patched("fresh-page-trylock"):
        # thread 003: its owner may believe that nobody knows it, and lock it without looking
        if not trylock_page(page):
            put_page(page)
            return False
    if not __PageMovable(page):
        if patched("fresh-page-trylock"):
            unlock_page(page)
        put_page(page)
        return False
    if patched("isolate-movable-skips-slab"):
        smp_rmb()  # ``mapping`` is a slab's: then PG_slab was set before
        if PageSlab(page):
            put_page(page)
            return False
    if not patched("fresh-page-trylock"):
        if not trylock_page(page):
            put_page(page)
            return False
    if not PageMovable(page) or PageIsolated(page):
        unlock_page(page)
        put_page(page)
        return False
    if not _operations(page).isolate_page(page):
        unlock_page(page)
        put_page(page)
        return False
    __SetPageIsolated(page)
    unlock_page(page)
    return True


@cite("mm/migrate.c", "4.19", thread="001")
def putback_movable_page(page):
    """Give a page back to its driver.  *Locks:* the page lock."""
    VM_BUG_ON_PAGE(
        lambda: not PageLocked(page), "!PageLocked(page)", page, {"4.19": "mm/migrate.c:150"}
    )
    VM_BUG_ON_PAGE(
        lambda: not PageIsolated(page), "!PageIsolated(page)", page, {"4.19": "mm/migrate.c:152"}
    )
    _operations(page).putback_page(page)
    __ClearPageIsolated(page)


@cite("mm/migrate.c", "4.19", thread="001")
def putback_movable_pages(head):
    """Put isolated pages back where they came from.

    *Locks:* none held; takes the page lock for drivers' pages, may sleep.
    *Race:* none known: an isolated page is referenced and on this list alone.
    """
    node = head.next
    while node is not head:
        after = node.next
        page = list_entry(node)
        list_del(node)
        if __PageMovable(page):
            VM_BUG_ON_PAGE(
                lambda p=page: not PageIsolated(p), "!PageIsolated(page)", page,
                {"4.19": "mm/migrate.c:184", "5.17": "mm/migrate.c:157"},
            )
            lock_page(page)
            if PageMovable(page):
                putback_movable_page(page)
            else:
                __ClearPageIsolated(page)
            unlock_page(page)
            put_page(page)
        else:
            atomic_add(page_pgdat(page), "vmstat_isolated", -1)
            putback_lru_page(page)
        node = after
