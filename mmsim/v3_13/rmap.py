# SPDX-License-Identifier: GPL-2.0-only
"""Who maps this page, for pages of files in 3.13 (mm/rmap.c), nonlinear vmas included.

try_to_unmap() comes for *one* page, which its caller has locked and isolated.  In linear vmas it
goes to that page's pte.  In nonlinear ones it cannot know where the page stands, so
try_to_unmap_cluster() takes a window of CLUSTER_PAGES ptes and deals with *whatever page it finds*:
unmaps it, or, if the vma is VM_LOCKED, mlocks it.  None of those pages but the one that was asked
for (``check_page``) is locked or isolated.  What follows from that is thread 004.

Why no data race comes of it all the same: a page found here has a present pte, and the ptl is held.
So it is mapped and referenced; nobody can free it, and migration neither finds it unmapped nor gets
past its count of references.

mmap_sem is only ever tried here, since the caller holds locks that come after it.  It is what keeps
VM_LOCKED true while the pages are being marked; exit_mmap() clears it without.
"""

from mmsim.engine.door import door
from mmsim.filemap import lock_page, trylock_page
from mmsim.linux.atomic import atomic_add_negative
from mmsim.linux.bug import BUG_ON, VM_BUG_ON, page_fault
from mmsim.linux.sched import cond_resched
from mmsim.linux.sleeplock import down_read_trylock, mutex_lock, mutex_unlock, up_read
from mmsim.lru_release import put_page
from mmsim.memory_model import pfn_to_page
from mmsim.mm_types import (
    PAGE_SIZE,
    VM_LOCKED,
    pmd_offset,
    pte_offset_map,
    pte_offset_map_lock,
    pte_pfn,
    pte_present,
    pte_unmap_unlock,
    pte_write,
    ptep_clear_flush,
    set_pte_at,
)
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.page import PageAnon, PageLocked, PageLRU, PageMlocked, SetPageActive, page_mapped
from mmsim.page_vma_mapped import vma_address
from mmsim.rmap import page_add_new_anon_rmap as page_add_new_anon_rmap_later
from mmsim.swapops import (
    make_readable_migration_entry,
    make_writable_migration_entry,
    swp_entry_to_pte,
)
from mmsim.util import page_mapcount
from mmsim.v3_13.filemap import unlock_page
from mmsim.v3_13.mlock import clear_page_mlock, mlock_vma_page, mlocked_vma_newpage
from mmsim.v3_13.mm_types import linear_page_index, pgoff_to_pte
from mmsim.v3_13.swap import add_page_to_unevictable_list, lru_cache_add

SWAP_SUCCESS, SWAP_AGAIN, SWAP_FAIL, SWAP_MLOCK = "success", "again", "fail", "mlock"

TTU_UNMAP, TTU_MIGRATION, TTU_MUNLOCK = 0, 1, 2
TTU_ACTION_MASK = 0xFF
I_MMAP_MUTEX = 0x38  # its offset in struct address_space, 64 bit and no lock debugging
TTU_IGNORE_MLOCK = 1 << 8

CLUSTER_PAGES = 32
CLUSTER_SIZE = CLUSTER_PAGES * PAGE_SIZE
CLUSTER_MASK = ~(CLUSTER_SIZE - 1)


# -- counting mappings -----------------------------------------------------------------------------


@cite("mm/rmap.c", "3.13", thread="004")
def page_remove_rmap(page):
    """One pte fewer maps the page; the last clears PG_mlocked.  *Locks:* ptl; takes lru_lock.

    *Race:* the flag may be set again by somebody who looked at the vma before this.
    """
    if not atomic_add_negative(page, "_mapcount", -1):
        return
    if PageMlocked(page):
        clear_page_mlock(page)


@cite("mm/rmap.c", "3.13")
def page_add_new_anon_rmap(page, vma, address):
    """The first pte of a new page, and its first list.  *Locks:* ptl; takes lru_lock."""
    page_add_new_anon_rmap_later(page, vma, address)
    if not mlocked_vma_newpage(vma, page):
        SetPageActive(page)
        lru_cache_add(page)
    else:
        add_page_to_unevictable_list(page)


# -- one page in one linear vma --------------------------------------------------------------------


@cite("mm/rmap.c", "3.13")
def page_check_address(page, mm, address):
    """(pte, ptl) with the ptl held, if the pte at ``address`` maps ``page``; else (None, None).

    *Locks:* takes the ptl.  *Race:* the first look is without it; a pte that is filled just then
    was not one of those that its caller is to find: the page is locked.
    """
    pmd = pmd_offset(mm, address)
    if pmd is None:
        return None, None
    if not pte_present(pte_offset_map(pmd, address).pte):
        return None, None
    pte, ptl = pte_offset_map_lock(pmd, address)
    word = pte.pte
    if pte_present(word) and pte_pfn(word) == page.pfn:
        return pte, ptl
    pte_unmap_unlock(pte, ptl)
    return None, None


@cite("mm/rmap.c", "3.13", thread="004")
def try_to_unmap_one(page, vma, address, flags):
    """Unmap the page from one linear vma, or find that it must stay.

    *Locks:* page lock, i_mmap_mutex; takes the ptl, and tries mmap_sem after it.  *Race:* VM_LOCKED
    is read twice, the second time under mmap_sem, because the ptl does not guard it.
    """
    mm = vma.vm_mm
    ret = SWAP_AGAIN
    pte, ptl = page_check_address(page, mm, address)
    if pte is None:
        return ret
    action = flags & TTU_ACTION_MASK
    if not flags & TTU_IGNORE_MLOCK:
        if vma.vm_flags & VM_LOCKED:
            pte_unmap_unlock(pte, ptl)
            if down_read_trylock(mm.mmap_sem):
                if vma.vm_flags & VM_LOCKED:
                    mlock_vma_page(page)
                    ret = SWAP_MLOCK
                up_read(mm.mmap_sem)
            return ret
        if action == TTU_MUNLOCK:
            pte_unmap_unlock(pte, ptl)
            return ret
    pteval = ptep_clear_flush(pte)
    if action == TTU_MIGRATION:
        if pte_write(pteval):
            entry = make_writable_migration_entry(page)
        else:
            entry = make_readable_migration_entry(page)
        set_pte_at(pte, swp_entry_to_pte(entry))
    page_remove_rmap(page)
    put_page(page)
    pte_unmap_unlock(pte, ptl)
    return ret


# -- whatever is in a window of a nonlinear vma ----------------------------------------------------


def _mlock_found(page, check_page):
    """What to do with a page that a VM_LOCKED window maps; true if it was check_page, mlocked.

    *Locks:* ptl; of the page's lock only check_page's is known to be held, by the caller.
    """
    count = door.machine.count
    ours = page is check_page
    if not ours:
        count("cluster_pages")
        if page.v_flags & page.m_lru:
            count("cluster_on_lru")
    if patched("vlastimil-2014-01-07"):
        if ours and patched("cluster-unlock-check-page"):
            mlock_vma_page(page)
            unlock_page(page)
        elif ours and not patched("cluster-trylock-check-page"):
            mlock_vma_page(page)
        elif patched("kosaki-2014-01-10") and PageMlocked(page):
            return False
        elif patched("cluster-lock-page"):
            lock_page(page)
            mlock_vma_page(page)
            unlock_page(page)
        else:
            count("trylocks")
            if not trylock_page(page):
                # somebody has it: left to the next time reclaim comes by
                count("trylock_skipped")
                return False
            mlock_vma_page(page)
            unlock_page(page)
    else:
        if patched("wanpeng-2013-12-17"):
            BUG_ON(ours and not PageLocked(page), "mm/rmap.c")
        mlock_vma_page(page)
    if ours:
        count("check_page_mlocked")
    return ours


@cite("mm/rmap.c", "3.13", thread="004")
def try_to_unmap_cluster(cursor, mapcount, vma, check_page):
    """Unmap or mlock every page in one window of a nonlinear vma: (result, mapcount left).

    *Locks:* page lock of ``check_page``, i_mmap_mutex; tries mmap_sem, takes the ptl.
    *Race:* the pages found are neither locked nor isolated, see the top of the file.
    """
    mm = vma.vm_mm
    ret = SWAP_AGAIN
    start = vma.vm_start
    window = (start + cursor) & CLUSTER_MASK
    start = max(window, start)
    end = min(window + CLUSTER_SIZE, vma.vm_end)
    pmd = pmd_offset(mm, start)
    if pmd is None:
        return ret, mapcount

    # the semaphore is kept only while pages are being mlocked for a VM_LOCKED vma
    if patched("cluster-no-mmap-sem"):
        locked_vma = vma.vm_flags & VM_LOCKED
    else:
        locked_vma = 0
        if down_read_trylock(mm.mmap_sem):
            locked_vma = vma.vm_flags & VM_LOCKED
            if not locked_vma:
                up_read(mm.mmap_sem)
        elif patched("cluster-skip-busy"):
            return ret, mapcount
        # else it is taken for unlocked, whatever it is, and its pages are unmapped

    pte, ptl = pte_offset_map_lock(pmd, start)
    for address in range(start, end, PAGE_SIZE):
        pte = pte_offset_map(pmd, address)
        word = pte.pte
        if not pte_present(word):
            continue
        page = pfn_to_page(pte_pfn(word))
        BUG_ON(page is None or PageAnon(page), "mm/rmap.c:1389")

        if locked_vma:
            if _mlock_found(page, check_page):
                ret = SWAP_MLOCK
            continue

        ptep_clear_flush(pte)
        if page.index != linear_page_index(vma, address):
            # the page cannot be computed from the address: remember which it was
            set_pte_at(pte, pgoff_to_pte(page.index))
        page_remove_rmap(page)
        put_page(page)
        mapcount -= 1
    pte_unmap_unlock(pte, ptl)
    if locked_vma and not patched("cluster-no-mmap-sem"):
        up_read(mm.mmap_sem)
    return ret, mapcount


@cite("mm/rmap.c", "3.13", thread="004")
def try_to_unmap_file(page, flags):
    """Unmap a page of a file, or mlock it, or munlock it.

    *Locks:* page lock; takes i_mmap_mutex (sleeps).  *Race:* munlock does not look into nonlinear
    vmas, so it drops PG_mlocked although one of them may be VM_LOCKED; reclaim repairs that.
    Without the page lock truncate may have taken the page out of its file: then this oopses.
    """
    mapping = page.mapping
    if mapping is None:
        page_fault(I_MMAP_MUTEX, True, page)
    mutex_lock(mapping.i_mmap_mutex)
    ret, walk_on = _unmap_linear(page, mapping, flags)
    if walk_on and mapping.i_mmap_nonlinear and flags & TTU_ACTION_MASK != TTU_MUNLOCK:
        ret = _unmap_nonlinear(page, mapping, ret)
    mutex_unlock(mapping.i_mmap_mutex)
    return ret


def _unmap_linear(page, mapping, flags):
    """First half: the vmas that tell where the page is.  (result, is there more to do)"""
    ret = SWAP_AGAIN
    for vma in mapping.i_mmap:
        address = vma_address(page, vma)
        if address is None:
            continue
        ret = try_to_unmap_one(page, vma, address, flags)
        if ret is not SWAP_AGAIN or not page_mapped(page):
            return ret, False
    return ret, True


def _unmap_nonlinear(page, mapping, ret):
    """Second half: windows of the nonlinear vmas, in turn, as many as the mapcount suggests."""
    vmas = mapping.i_mmap_nonlinear
    max_nl_cursor = max(vma.vm_private_data for vma in vmas)
    max_nl_size = max(vma.vm_end - vma.vm_start for vma in vmas)
    if max_nl_size == 0:
        return SWAP_FAIL
    mapcount = page_mapcount(page)
    if not mapcount:
        return ret
    cond_resched()

    max_nl_size = (max_nl_size + CLUSTER_SIZE - 1) & CLUSTER_MASK
    if max_nl_cursor == 0:
        max_nl_cursor = CLUSTER_SIZE
    while True:
        for vma in vmas:
            cursor = vma.vm_private_data
            while cursor < max_nl_cursor and cursor < vma.vm_end - vma.vm_start:
                found, mapcount = try_to_unmap_cluster(cursor, mapcount, vma, page)
                if found is SWAP_MLOCK:
                    ret = SWAP_MLOCK
                cursor += CLUSTER_SIZE
                vma.vm_private_data = cursor
                if mapcount <= 0:
                    return ret
            vma.vm_private_data = max_nl_cursor
        cond_resched()
        max_nl_cursor += CLUSTER_SIZE
        if max_nl_cursor > max_nl_size:
            break
    for vma in vmas:
        vma.vm_private_data = 0
    return ret


@cite("mm/rmap.c", "3.13", thread="004")
def try_to_unmap(page, flags):
    """Remove all mappings of a locked page; says whether that worked or the page is mlocked.

    *Locks:* entered with the page lock; may sleep.
    """
    BUG_ON(not PageLocked(page), "mm/rmap.c:1626")
    ret = try_to_unmap_anon(page) if PageAnon(page) else try_to_unmap_file(page, flags)
    if ret is not SWAP_MLOCK and not page_mapped(page):
        ret = SWAP_SUCCESS
    return ret


@cite("mm/rmap.c", "3.13")
def try_to_unmap_anon(page):
    """Anonymous pages stay where they are: there is no swap here."""
    return SWAP_FAIL


@cite("mm/rmap.c", "3.13", thread="004")
def try_to_munlock(page):
    """After PG_mlocked was cleared: if another linear vma is VM_LOCKED, set it again.

    *Locks:* page lock; may sleep.  The page is isolated.  *Race:* another mm whose mmap_sem is
    taken is skipped, and so are nonlinear vmas: the flag is missing until reclaim comes by.
    """
    VM_BUG_ON(lambda: not PageLocked(page) or PageLRU(page), "mm/rmap.c:1657", page)
    return SWAP_AGAIN if PageAnon(page) else try_to_unmap_file(page, TTU_MUNLOCK)
