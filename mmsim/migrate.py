# SPDX-License-Identifier: GPL-2.0-only
"""Moving a page under the feet of those who use it (mm/migrate.c, 5.17).

    lock the old page, lock the new one
    replace every pte by a migration entry          try_to_migrate
    copy, hand mapping and references over          move_to_new_page
    replace every entry by a pte of the new page    remove_migration_ptes
    unlock the new page, unlock the old one *last*

Whoever touches the memory in between faults, finds the entry and sleeps for the old page's lock.
Two facts make that sound, and each half of thread 003 is about one of them.  Entries are put and
removed under the PTL, and the page is locked before the first is put and unlocked after the last is
removed: so with the PTL in hand an entry means a locked page.  And removal finds every entry that
was put: both walks go by the page's index and the vmas of its object, so nobody may change those,
or move the entries, in between.

Who sleeps for a page lock here may hold others: compaction runs inside allocations made with pages
locked.  Hence the rules at the top of __unmap_and_move.
"""

from mmsim.buffer import try_to_free_buffers
from mmsim.engine.door import current, door
from mmsim.filemap import (
    lock_page,
    trylock_page,
    unlock_page,
)
from mmsim.linux.atomic import atomic_add
from mmsim.linux.bug import VM_BUG_ON_PAGE
from mmsim.linux.list import LIST_HEAD, list_add_tail, list_del, list_entry, list_splice
from mmsim.linux.sched import PF_MEMALLOC, cond_resched
from mmsim.lru import put_page
from mmsim.migrate_copy import migrate_page
from mmsim.migrate_entries import remove_migration_ptes
from mmsim.migrate_movable import PageMovable
from mmsim.mmzone import page_pgdat
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.model.gate import patched
from mmsim.page import (
    ClearPageActive,
    ClearPageUnevictable,
    PageAnon,
    PageIsolated,
    PageLocked,
    PageWriteback,
    __ClearPageIsolated,
    __PageMovable,
    page_count,
    page_has_private,
    page_mapped,
)
from mmsim.page_writeback import wait_on_page_writeback
from mmsim.rmap import (
    page_get_anon_vma,
    put_anon_vma,
    try_to_migrate,
)
from mmsim.util import page_mapping
from mmsim.vmscan import putback_lru_page

MIGRATE_ASYNC = 0  # never sleep
MIGRATE_SYNC_LIGHT = 1  # sleep for locks, not for writeback
MIGRATE_SYNC = 2
MIGRATE_SYNC_NO_COPY = 3

MIGRATEPAGE_SUCCESS = 0
ENOMEM = 12
EAGAIN = 11
EBUSY = 16


# -- one page -------------------------------------------------------------------------------------


@cite("mm/migrate.c", "5.17", thread="003")
def move_to_new_page(newpage, page, mode):
    """Copy and hand over; 0 or a negative errno.  *Locks:* entered with both page locks."""
    VM_BUG_ON_PAGE(
        lambda: not PageLocked(page), "!PageLocked(page)", page,
        {"4.19": "mm/migrate.c:923", "5.4": "mm/migrate.c:935", "5.17": "mm/migrate.c:857"},
    )
    VM_BUG_ON_PAGE(
        lambda: not PageLocked(newpage), "!PageLocked(newpage)", newpage,
        {"4.19": "mm/migrate.c:924", "5.4": "mm/migrate.c:936", "5.17": "mm/migrate.c:858"},
    )
    is_lru = not __PageMovable(page)
    mapping = page_mapping(page)
    if is_lru:
        rc = migrate_page(mapping, newpage, page, mode)
    else:
        VM_BUG_ON_PAGE(
            lambda: not PageIsolated(page), "!PageIsolated(page)", page,
            {"4.19": "mm/migrate.c:949", "5.4": "mm/migrate.c:961", "5.17": "mm/migrate.c:883"},
        )
        if not page.mapping:
            # the driver let go of it
            __ClearPageIsolated(page)
            return MIGRATEPAGE_SUCCESS
        rc = page.mapping.migratepage(newpage, page, mode)
    if rc == MIGRATEPAGE_SUCCESS:
        if not is_lru or patched("lost-waiters"):
            # by load and store.  Waiters set a flag of the same word: harmless only as long as
            # nobody waits for such a page without its lock
            __ClearPageIsolated(page)
        # what is anonymous or a driver's keeps its mapping: free_pages_prepare() clears it
        if not getattr(page.mapping, "mapping_flags", 0):
            page.mapping = None
    return rc


def _out_unlock(page, anon_vma, rc):
    if anon_vma is not None:
        put_anon_vma(anon_vma)
    unlock_page(page)
    return rc


def _lock_old_page(page, force, mode):
    if trylock_page(page):
        return True
    if patched("async-lock") and mode == MIGRATE_ASYNC:
        door.machine.count("stalls")
        lock_page(page)
        return True
    if not force or mode == MIGRATE_ASYNC:
        return False
    # A direct compactor may hold this very lock: readahead adds pages locked, to the page cache and
    # the LRU, and unlocks them when the I/O is over that it will submit after the next allocation.
    if current().flags & PF_MEMALLOC:
        if not patched("pf-memalloc-lock"):
            return False
    lock_page(page)
    return True


def _unmap_and_move_locked(page, newpage, force, mode, is_lru):
    """From the old page's lock to its unlock."""
    rc = -EAGAIN
    page_was_mapped = False
    anon_vma = None

    if PageWriteback(page):
        if mode not in (MIGRATE_SYNC, MIGRATE_SYNC_NO_COPY):
            return _out_unlock(page, anon_vma, -EBUSY)
        if not force:
            return _out_unlock(page, anon_vma, rc)
        wait_on_page_writeback(page)

    # page->mapping of an anonymous page does not keep its anon_vma, and while the page is unmapped
    # nothing else does
    if PageAnon(page):
        anon_vma = page_get_anon_vma(page)

    # Somebody may know the new page from its previous life and hold its lock.  There is no order
    # between that lock and the one we have.
    if patched("newpage-blocking-lock"):
        lock_page(newpage)
    else:
        if not trylock_page(newpage):
            return _out_unlock(page, anon_vma, rc)

    if not is_lru:
        rc = move_to_new_page(newpage, page, mode)
        unlock_page(newpage)
        return _out_unlock(page, anon_vma, rc)

    if page.mapping is None:
        VM_BUG_ON_PAGE(
            lambda: PageAnon(page), "PageAnon(page)", page,
            {"4.19": "mm/migrate.c:1093", "5.4": "mm/migrate.c:1102", "5.17": "mm/migrate.c:1024"},
        )
        if page_has_private(page):
            try_to_free_buffers(page)
            unlock_page(newpage)
            return _out_unlock(page, anon_vma, rc)
    elif page_mapped(page):
        VM_BUG_ON_PAGE(
            lambda: PageAnon(page) and anon_vma is None,
            "PageAnon(page) && !PageKsm(page) && !anon_vma",
            page,
            {"4.19": "mm/migrate.c:1100", "5.4": "mm/migrate.c:1109", "5.17": "mm/migrate.c:1031"},
        )
        try_to_migrate(page)
        page_was_mapped = True

    if not page_mapped(page):
        rc = move_to_new_page(newpage, page, mode)

    if patched("unlock-first"):
        unlock_page(page)
    if page_was_mapped:
        remove_migration_ptes(page, newpage if rc == MIGRATEPAGE_SUCCESS else page)

    unlock_page(newpage)
    if anon_vma is not None:
        put_anon_vma(anon_vma)
    if not patched("unlock-first"):
        unlock_page(page)
    return rc


@cite("mm/migrate.c", "5.17", thread="003")
def __unmap_and_move(page, newpage, force, mode):
    """Move the page's contents, users and flags to ``newpage``; 0 or a negative errno.

    *Locks:* takes both page locks, sleeps for the first if ``force``; the caller isolated the page
    and holds a reference.  *Race:* see the top of this file.
    """
    is_lru = not __PageMovable(page)
    if not _lock_old_page(page, force, mode):
        return -EAGAIN
    rc = _unmap_and_move_locked(page, newpage, force, mode, is_lru)
    # the new page belongs to its owners by now: nothing about it can be relied on
    if rc == MIGRATEPAGE_SUCCESS:
        if is_lru:
            putback_lru_page(newpage)
        else:
            put_page(newpage)
    return rc


@cite("mm/migrate.c", "5.17", thread="003")
def unmap_and_move(get_new_page, put_new_page, private, page, force, mode, ret):
    """Migrate one isolated page; 0 or a negative errno.

    It stays on its list for -EAGAIN, other failures go to ``ret``.  *Locks:* sleeps.  Drops the
    isolation's reference on success.
    """
    if page_count(page) == 1:
        # freed under us: done
        ClearPageActive(page)
        ClearPageUnevictable(page)
        movable = __PageMovable(page)
        if movable:
            lock_page(page)
            if not PageMovable(page):
                __ClearPageIsolated(page)
            unlock_page(page)
        list_del(page.lru)
        if not movable:
            atomic_add(page_pgdat(page), "vmstat_isolated", -1)
        put_page(page)
        return MIGRATEPAGE_SUCCESS
    newpage = get_new_page(page, private)
    if newpage is None:
        return -ENOMEM
    newpage.private = 0
    rc = __unmap_and_move(page, newpage, force, mode)
    if rc != -EAGAIN:
        list_del(page.lru)
    if rc == MIGRATEPAGE_SUCCESS:
        if not __PageMovable(page):
            atomic_add(page_pgdat(page), "vmstat_isolated", -1)
        put_page(page)
    else:
        if rc != -EAGAIN:
            list_add_tail(page.lru, ret)
        if put_new_page is not None:
            put_new_page(newpage, private)
        else:
            put_page(newpage)
    return rc


@cite("mm/migrate.c", "5.17", thread="003")
def migrate_pages(from_list, get_new_page, put_new_page, private, mode):
    """Migrate a list of isolated pages; how many were not, or -ENOMEM.  They stay on the list.

    Ten passes, sleeping for locks from the fourth on, unless set-up has chosen fewer.
    *Locks:* sleeps.
    *Race:* whoever holds a reference for a moment costs a pass; ten such moments, and the page is
    given up.
    """
    polite, forced = kernel().migrate_passes
    ret_pages = LIST_HEAD("ret_pages")
    nr_failed = 0
    nr_succeeded = 0
    nomem = False
    retry = 1
    attempt = 0
    while attempt < polite + forced and retry:
        retry = 0
        node = from_list.next
        while node is not from_list:
            after = node.next
            page = list_entry(node)
            cond_resched()
            rc = unmap_and_move(
                get_new_page, put_new_page, private, page, attempt >= polite, mode, ret_pages
            )
            if rc == MIGRATEPAGE_SUCCESS:
                nr_succeeded += 1
            elif rc == -ENOMEM:
                nr_failed += 1
                retry = 0  # goto out
                nomem = True
                break
            elif rc == -EAGAIN:
                retry += 1
                door.machine.count("retries")
            else:
                nr_failed += 1
            node = after
        attempt += 1
    nr_failed += retry
    list_splice(ret_pages, from_list)
    door.machine.count("pgmigrate_success", nr_succeeded)
    door.machine.count("pgmigrate_fail", nr_failed)
    return -ENOMEM if nomem else nr_failed
