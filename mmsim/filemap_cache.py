# SPDX-License-Identifier: GPL-2.0-only
"""The page cache: the other half of mm/filemap.c (5.17).

A file's pages are found by index without any lock.  A reader loads the slot, takes a reference
unless the count is zero, and looks at the slot again: the page may have left the cache in between,
been freed and have become anything.  Writers change slots under the XArray's lock.  Before a page
leaves or moves, its count is frozen at zero, so that no lookup gets in while two answers are right.

"Locks: none (RCU)" is rcu_read_lock() in C, and nothing here.  It keeps the XArray's nodes, which a
mapping has none of here; it has never kept the page, which is freed without a grace period.

A new page is locked before it is visible, by a flag store that need not be atomic because nobody
knows the page: an assumption about everybody who walks memory by frame number
(``003.fresh-page-trylock``).
"""

from mmsim.engine.door import access
from mmsim.engine.op import NONE, READ_ONCE, WRITE, WRITE_ONCE, Op
from mmsim.filemap import lock_page, unlock_page
from mmsim.linux.bug import VM_BUG_ON_FOLIO
from mmsim.linux.sched import cpu_relax
from mmsim.linux.spinlock import spin_lock_irq, spin_unlock_irq
from mmsim.lru import lru_cache_add, put_page
from mmsim.model.cite import cite
from mmsim.page import PageLocked, PageUptodate, get_page, get_page_unless_zero
from mmsim.pagemap import __clear_page_locked, __set_page_locked

EEXIST = 17


class _SlotOps(dict):
    """Operations of one kind on a slot: a bit, so to speak, of the word ``i_pages``, or ``marks``.
    """

    def __init__(self, kind, word="i_pages"):
        super().__init__()
        self.kind = kind
        self.word = word

    def __missing__(self, index):
        slot = frozenset([str(index)])
        writes = NONE if self.kind is READ_ONCE else slot
        label = f"{self.word}[{index}]"
        op = Op(self.kind, self.word, reads=slot, writes=writes, label=label)
        self[index] = op
        return op


_LOADS, _STORES = _SlotOps(READ_ONCE), _SlotOps(WRITE_ONCE)
_MARKS = _SlotOps(WRITE, "marks")
_FINDS_MARK = Op(READ_ONCE, "marks")  # whichever slots it comes past


def _slot(mapping, index):
    return mapping.slots.get(index)


def _store(mapping, index, page):
    if page is None:
        mapping.slots.pop(index, None)
    else:
        mapping.slots[index] = page


@cite("include/linux/xarray.h", "5.17")
def xa_load(mapping, index):
    """What the slot holds now.  *Locks:* none (RCU)."""
    return access(_LOADS[index], mapping, _slot, mapping, index)


@cite("include/linux/xarray.h", "5.17")
def xas_store(mapping, index, page):
    """Change a slot.  *Locks:* mapping.xa_lock."""
    access(_STORES[index], mapping, _store, mapping, index, page)


def _set_mark(mapping, index, mark):
    mapping.marks[index] = mapping.marks.get(index, frozenset()) | {mark}


def _clear_mark(mapping, index, mark):
    mapping.marks[index] = mapping.marks.get(index, frozenset()) - {mark}


def _init_marks(mapping, index):
    mapping.marks.pop(index, None)


@cite("include/linux/xarray.h", "5.17")
def xas_set_mark(mapping, index, mark):
    """Mark a slot "dirty" or "writeback", for those who look for such pages.

    *Locks:* mapping.xa_lock.
    """
    access(_MARKS[index], mapping, _set_mark, mapping, index, mark)


@cite("include/linux/xarray.h", "5.17")
def xas_clear_mark(mapping, index, mark):
    """Take a mark away.  *Locks:* mapping.xa_lock."""
    access(_MARKS[index], mapping, _clear_mark, mapping, index, mark)


@cite("include/linux/xarray.h", "5.17")
def xas_init_marks(mapping, index):
    """Take all marks away.  *Locks:* mapping.xa_lock."""
    access(_MARKS[index], mapping, _init_marks, mapping, index)


@cite("mm/filemap.c", "5.17", thread="003")
def __filemap_add_folio(mapping, page, index):
    """Make a locked page visible at ``index``; 0, or -EEXIST if there is one already.

    *Locks:* entered with the page lock; takes the XArray's lock.
    """
    VM_BUG_ON_FOLIO(
        lambda: not PageLocked(page), "!folio_test_locked(folio)", page,
        {"5.17": "mm/filemap.c:848"},
    )
    get_page(page)
    page.mapping = mapping
    page.index = index
    spin_lock_irq(mapping.xa_lock)
    error = -EEXIST if xa_load(mapping, index) is not None else 0
    if not error:
        xas_store(mapping, index, page)
        mapping.nrpages = mapping.nrpages + 1
    spin_unlock_irq(mapping.xa_lock)
    if error:
        page.mapping = None
        put_page(page)
    return error


@cite("mm/filemap.c", "5.17", thread="003")
def filemap_add_folio(mapping, page, index):
    """Add a new page, locked, to the page cache and the LRU; 0 or -EEXIST.

    *Locks:* returns with the page lock.  *Race:* the page lock is set by load and store: whoever
    has changed a flag of the page in between is undone.
    """
    __set_page_locked(page)
    error = __filemap_add_folio(mapping, page, index)
    if error:
        __clear_page_locked(page)
    else:
        lru_cache_add(page)
    return error


@cite("mm/filemap.c", "5.17", symbol="__delete_from_page_cache")
def __delete_from_page_cache(page):
    """Take a page out.  *Locks:* entered with the page lock and the XArray's lock."""
    mapping = page.mapping
    VM_BUG_ON_FOLIO(
        lambda: not PageLocked(page), "!folio_test_locked(folio)", page,
        {"5.17": "mm/filemap.c:138"},
    )
    xas_store(mapping, page.index, None)
    xas_init_marks(mapping, page.index)
    page.mapping = None
    mapping.nrpages = mapping.nrpages - 1


@cite("mm/filemap.c", "5.17")
def delete_from_page_cache(page):
    """Take a page out and drop the cache's reference.  *Locks:* entered with the page lock."""
    mapping = page.mapping
    spin_lock_irq(mapping.xa_lock)
    __delete_from_page_cache(page)
    spin_unlock_irq(mapping.xa_lock)
    put_page(page)


@cite("mm/filemap.c", "5.17", symbol="mapping_get_entry")
def find_get_page(mapping, index):
    """The page at ``index`` with a reference, or None.

    *Locks:* none (RCU).  *Race:* the reference may be to what the page has become; the second look
    at the slot tells.
    """
    while True:
        page = xa_load(mapping, index)
        if page is None:
            return None
        if not get_page_unless_zero(page):
            cpu_relax()  # for the simulator: this turns until the count is thawed
            continue
        if xa_load(mapping, index) is page:
            return page
        put_page(page)


def _next_marked(mapping, start, mark):
    marked = (index for index, marks in mapping.marks.items() if index >= start and mark in marks)
    return min(marked, default=None)


@cite("mm/filemap.c", "5.17", symbol="find_get_pages_range_tag")
def find_get_page_tag(mapping, start, mark):
    """(index, page): the next page from ``start`` on with this mark, and a reference; or None.

    A pagevec of them in the kernel, one here.  *Locks:* none (RCU).
    *Race:* as find_get_page(); the mark may be gone by the time the page is looked at.
    """
    while True:
        index = access(_FINDS_MARK, mapping, _next_marked, mapping, start, mark)
        if index is None:
            return start, None
        page = xa_load(mapping, index)
        if page is None:
            cpu_relax()  # it is gone, and its mark is going
            continue
        if not get_page_unless_zero(page):
            cpu_relax()
            continue
        if xa_load(mapping, index) is page:
            return index, page
        put_page(page)


@cite("mm/filemap.c", "5.17", symbol="__filemap_get_folio")
def find_lock_page(mapping, index):
    """The page at ``index``, with a reference and locked, or None.  *Locks:* may sleep."""
    while True:
        page = find_get_page(mapping, index)
        if page is None:
            return None
        lock_page(page)
        if page.mapping is mapping:
            return page
        # truncated or migrated while we slept
        unlock_page(page)
        put_page(page)


@cite("mm/filemap.c", "5.17", thread="003")
def filemap_fault(vma, pgoff):
    """The page for a fault in a file mapping, with a reference and locked; None: SIGBUS.

    *Locks:* entered with mmap_lock; may sleep.
    """
    page = find_lock_page(vma.mapping, pgoff)
    if page is not None and not PageUptodate(page):
        unlock_page(page)
        put_page(page)
        return None
    return page
