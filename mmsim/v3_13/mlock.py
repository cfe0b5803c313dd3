# SPDX-License-Identifier: GPL-2.0-only
"""PG_mlocked: setting, clearing and moving it (mm/mlock.c and mm/internal.h, 3.13).

PG_mlocked means "at least one VM_LOCKED vma maps this page", as far as somebody has noticed.
mlock is *lazy*: a page that should have the flag and does not is found when reclaim tries to unmap
it.  The other way round nobody notices: a page that keeps the flag without such a vma is never
reclaimed.  So missing an mlock is allowed and missing a munlock is a leak.

Every change of the flag moves NR_MLOCK by one, in whichever of these functions won it by
TestSet or TestClear.  That alone keeps the counter right; the page lock that mlock_vma_page() and
munlock_vma_page() insist on does not, since clear_page_mlock() and __munlock_pagevec() change the
flag without it.

The other half of mm/mlock.c, munlock, needs rmap and stands in munlock.py.
"""

from mmsim.engine.door import door
from mmsim.linux.atomic import atomic_add
from mmsim.linux.bug import BUG_ON
from mmsim.linux.irqflags import local_irq_restore, local_irq_save
from mmsim.mm_types import VM_LOCKED
from mmsim.mmzone import page_pgdat
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.page import (
    PageLocked,
    PageMlocked,
    SetPageMlocked,
    TestClearPageMlocked,
    TestSetPageMlocked,
    __SetPageMlocked,
)
from mmsim.v3_13.vmscan_isolate import isolate_lru_page, putback_lru_page


@cite("mm/vmstat.c", "3.13")
def mod_zone_page_state(zone, delta):
    """Add to the zone's NR_MLOCK, the only counter of a zone here."""
    atomic_add(zone, "vmstat_mlock", delta)


def _trace_cleared(page):
    """A trace point: PG_mlocked was cleared.  Does anybody have the page lock?"""
    if not page.v_flags & page.m_locked:
        door.machine.count("cleared_unlocked")


def _trace_mlocked(page):
    """A trace point: mlock_vma_page() has set PG_mlocked and is done.  Is it still set?

    ``mlock_undone`` is the checker's note on the page.
    """
    if not page.v_flags & page.m_mlocked:
        page.mlock_undone = True
        door.machine.count("mlocks_undone")


@cite("mm/mlock.c", "3.13", thread="004")
def clear_page_mlock(page):
    """The last pte that maps the page is gone: nobody can have it mlocked any more.

    *Locks:* under a ptl; takes lru_lock.  Not under the page lock.  *Race:* with whoever else sets
    or clears the flag; TestClear decides.
    """
    if not TestClearPageMlocked(page):
        return
    _trace_cleared(page)
    mod_zone_page_state(page_pgdat(page), -1)
    if isolate_lru_page(page) == 0:
        putback_lru_page(page)
    # else somebody has it isolated and puts it back by what it sees then


def _test_set_mlocked(page):
    if patched("mlocked-nonatomic"):
        # if the page lock guarded the flag a plain store would do
        if PageMlocked(page):
            return True
        __SetPageMlocked(page)
        return False
    return TestSetPageMlocked(page)


@cite("mm/mlock.c", "3.13", thread="004")
def mlock_vma_page(page):
    """Mark a page mlocked and move it to the unevictable list; nothing if it is marked already.

    *Locks:* entered with the page lock (that is the assertion), perhaps under a ptl; takes
    lru_lock.  *Race:* a TestClear between TestSet and isolate: the page goes back to an evictable
    list and the mlock is missed until reclaim comes by.
    """
    if not (patched("drop-bug-on") or patched("wanpeng-2013-12-17")):
        BUG_ON(not PageLocked(page), "mm/mlock.c:82")
    if not _test_set_mlocked(page):
        mod_zone_page_state(page_pgdat(page), 1)
        if isolate_lru_page(page) == 0:
            putback_lru_page(page)
        _trace_mlocked(page)


@cite("mm/internal.h", "3.13")
def mlocked_vma_newpage(vma, page):
    """Mark a page that nobody else can see yet, if it goes into a VM_LOCKED vma; true if marked."""
    if not vma.vm_flags & VM_LOCKED:
        return False
    if not TestSetPageMlocked(page):
        mod_zone_page_state(page_pgdat(page), 1)
    return True


@cite("mm/internal.h", "3.13", thread="004")
def mlock_migrate_page(newpage, page):
    """The copy takes the flag over.  *Locks:* both pages locked.

    *Race:* whoever sets the flag on the old page after this has set it for nothing.  In 3.7 to 4.3
    there is nothing to take over: the last unmap has cleared it.
    """
    if TestClearPageMlocked(page):
        flags = local_irq_save()
        mod_zone_page_state(page_pgdat(page), -1)
        SetPageMlocked(newpage)
        mod_zone_page_state(page_pgdat(newpage), 1)
        local_irq_restore(flags)
