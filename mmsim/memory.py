# SPDX-License-Identifier: GPL-2.0-only
"""Page faults (mm/memory.c, arch/x86/mm/fault.c, 5.17): the side that meets migration entries.

A task touches an address; the MMU walks the table without any lock; if it finds nothing to
translate, the kernel is entered.  The fault reads the entry again, *without* the PTL, and decides
what it is; each branch takes the PTL later and looks whether the entry is still the same.  A fault
that finds it changed returns, and the access is simply made again.

So a fault that meets a migration entry has a copy of it that may be old by the time it waits.  It
must not conclude anything about the page from that copy (``003.stale-pte``).
"""

from mmsim.engine.door import access
from mmsim.engine.op import ALL, READ, WRITE, Op
from mmsim.filemap import lock_page, unlock_page
from mmsim.filemap_cache import filemap_fault
from mmsim.linux.atomic import smp_wmb
from mmsim.linux.bug import VM_BUG_ON_PAGE, report
from mmsim.linux.sleeplock import down_read, up_read
from mmsim.linux.spinlock import spin_lock, spin_unlock
from mmsim.lru import put_page
from mmsim.memory_model import pfn_to_page
from mmsim.migrate_entries import migration_entry_wait
from mmsim.mlock import lru_cache_add_inactive_or_unevictable
from mmsim.mm_types import (
    _PAGE_ACCESSED,
    _PAGE_DIRTY,
    _PAGE_PRESENT,
    _PAGE_RW,
    _PAGE_SPECIAL,
    PAGE_SHIFT,
    PAGE_SIZE,
    VM_SHARED,
    VM_WRITE,
    find_vma,
    linear_page_index,
    maybe_mkwrite,
    mk_pte,
    pmd_offset,
    pte_dirty,
    pte_lockptr,
    pte_mkdirty,
    pte_mkyoung,
    pte_none,
    pte_offset_map,
    pte_offset_map_lock,
    pte_pfn,
    pte_present,
    pte_special,
    pte_unmap_unlock,
    pte_write,
    ptep_get_and_clear,
    set_pte_at,
    vma_is_anonymous,
)
from mmsim.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
)
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.page import PageAnon, PageLocked, __SetPageUptodate, get_page
from mmsim.page_alloc import alloc_page
from mmsim.page_dirty import set_page_dirty
from mmsim.rmap import page_add_file_rmap, page_add_new_anon_rmap, page_remove_rmap
from mmsim.swapops import (
    is_migration_entry,
    non_swap_entry,
    pfn_swap_entry_to_page,
    pte_to_swp_entry,
)

VM_FAULT_OOM = 0x1
VM_FAULT_SIGBUS = 0x2
VM_FAULT_SIGSEGV = 0x40
VM_FAULT_NOPAGE = 0x100
VM_FAULT_LOCKED = 0x200
VM_FAULT_ERROR = VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV

ZERO = 0  # what an anonymous page contains at first, and the zero page always


class vm_fault:
    """One fault: where, for what, and the entry as it was read without the lock."""

    def __init__(self, vma, address, write):
        self.vma = vma
        self.address = address
        self.write = write
        self.pmd = pmd_offset(vma.vm_mm, address)
        self.page = None
        self.pte = None
        self.orig_pte = 0
        self.ptl = None


@cite("mm/memory.c", "5.17")
def do_anonymous_page(vmf):
    """First touch of anonymous memory: the zero page for a read, a new page for a write.

    *Locks:* entered with mmap_lock; takes the PTL.  *Race:* somebody else may have been first, or
    the entry was none only for the moment in which migration replaced it.
    """
    vma = vmf.vma
    if not vmf.write:
        entry = _PAGE_PRESENT | _PAGE_SPECIAL | _PAGE_ACCESSED
        vmf.pte, vmf.ptl = pte_offset_map_lock(vmf.pmd, vmf.address)
        if pte_none(vmf.pte.pte):
            set_pte_at(vmf.pte, entry)
        pte_unmap_unlock(vmf.pte, vmf.ptl)
        return 0
    page = alloc_page()
    if page is None:
        return VM_FAULT_OOM
    page.data = ZERO
    smp_wmb()  # contents before the flag, and both before the pte
    __SetPageUptodate(page)
    entry = maybe_mkwrite(pte_mkdirty(mk_pte(page)), vma)
    vmf.pte, vmf.ptl = pte_offset_map_lock(vmf.pmd, vmf.address)
    if not pte_none(vmf.pte.pte):
        pte_unmap_unlock(vmf.pte, vmf.ptl)
        put_page(page)
        return 0
    page_add_new_anon_rmap(page, vma, vmf.address)
    lru_cache_add_inactive_or_unevictable(page, vma)
    set_pte_at(vmf.pte, entry)
    pte_unmap_unlock(vmf.pte, vmf.ptl)
    return 0


@cite("mm/memory.c", "5.17")
def finish_fault(vmf, page):
    """Map a locked page of a file, unless somebody was faster.  *Locks:* page lock; takes PTL."""
    vmf.pte, vmf.ptl = pte_offset_map_lock(vmf.pmd, vmf.address)
    ret = 0
    if pte_none(vmf.pte.pte):
        entry = mk_pte(page)
        if vmf.write:
            entry = maybe_mkwrite(pte_mkdirty(entry), vmf.vma)
        page_add_file_rmap(page)
        set_pte_at(vmf.pte, entry)
    else:
        ret = VM_FAULT_NOPAGE
    pte_unmap_unlock(vmf.pte, vmf.ptl)
    return ret


@cite("mm/filemap.c", "5.17")
def filemap_page_mkwrite(vmf):
    """A page of the file is going to be stored to: locked and dirty, or it is the file's no more.

    *Locks:* sleeps for the page lock, and returns with it for VM_FAULT_LOCKED.
    """
    page = vmf.page
    lock_page(page)
    if page.mapping is not vmf.vma.mapping:
        unlock_page(page)
        return VM_FAULT_NOPAGE
    set_page_dirty(page)
    return VM_FAULT_LOCKED


@cite("mm/memory.c", "5.17")
def do_page_mkwrite(vmf):
    """Ask the file system; every file here has filemap's answer.  *Locks:* as that."""
    ret = filemap_page_mkwrite(vmf)
    if ret & VM_FAULT_NOPAGE:
        return ret
    VM_BUG_ON_PAGE(
        lambda: not PageLocked(vmf.page), "!PageLocked(page)", vmf.page,
        {"5.17": "mm/memory.c:2892"},
    )
    return ret


@cite("mm/memory.c", "5.17")
def fault_dirty_shared_page(vmf):
    """The pte can be stored to: the page is dirty.  *Locks:* drops the page lock.

    (Here the kernel would make us wait if too much is dirty.)
    """
    page = vmf.page
    set_page_dirty(page)
    VM_BUG_ON_PAGE(
        lambda: PageAnon(page), "PageAnon(page)", page, {"5.17": "mm/memory.c:2910"}
    )
    unlock_page(page)
    return 0


@cite("mm/memory.c", "5.17")
def __do_fault(vmf):
    """Find the file's page: locked, in vmf.page.  *Locks:* sleeps for it."""
    vmf.page = filemap_fault(vmf.vma, linear_page_index(vmf.vma, vmf.address))
    return VM_FAULT_SIGBUS if vmf.page is None else VM_FAULT_LOCKED


@cite("mm/memory.c", "5.17")
def do_read_fault(vmf):
    """Map the page for reading; pages around it are left to faults of their own."""
    ret = __do_fault(vmf)
    if ret & VM_FAULT_SIGBUS:
        return ret
    ret |= finish_fault(vmf, vmf.page)
    unlock_page(vmf.page)
    if ret & VM_FAULT_NOPAGE:
        put_page(vmf.page)
    return ret


@cite("mm/memory.c", "5.17")
def do_shared_fault(vmf):
    """Map the page for writing, which the file system has to know.

    *Race:* the page lock is dropped in between, so the page may leave the file.
    """
    ret = __do_fault(vmf)
    if ret & VM_FAULT_SIGBUS:
        return ret
    unlock_page(vmf.page)
    tmp = do_page_mkwrite(vmf)
    if tmp & VM_FAULT_NOPAGE:
        put_page(vmf.page)
        return tmp
    ret |= finish_fault(vmf, vmf.page)
    if ret & VM_FAULT_NOPAGE:
        unlock_page(vmf.page)
        put_page(vmf.page)
        return ret
    return ret | fault_dirty_shared_page(vmf)


@cite("mm/memory.c", "5.17")
def do_fault(vmf):
    """First touch of a shared file mapping.  *Locks:* entered with mmap_lock; sleeps for pages."""
    if not vmf.write:
        return do_read_fault(vmf)
    return do_shared_fault(vmf)


@cite("mm/memory.c", "5.17")
def finish_mkwrite_fault(vmf):
    """Make the pte writable if it is still what it was.  *Locks:* page lock; takes the PTL."""
    vmf.pte, vmf.ptl = pte_offset_map_lock(vmf.pmd, vmf.address)
    if vmf.pte.pte != vmf.orig_pte:
        pte_unmap_unlock(vmf.pte, vmf.ptl)
        return VM_FAULT_NOPAGE
    entry = pte_mkyoung(vmf.orig_pte)
    entry = maybe_mkwrite(pte_mkdirty(entry), vmf.vma)
    set_pte_at(vmf.pte, entry)
    pte_unmap_unlock(vmf.pte, vmf.ptl)
    return 0


@cite("mm/memory.c", "5.17")
def wp_page_shared(vmf):
    """A store to a page of a file that is mapped for reading: since it was last written, usually.

    *Locks:* entered with the PTL, drops it; sleeps for the page lock.
    *Race:* without the PTL the pte may change, with a reference the page stays.
    """
    get_page(vmf.page)
    pte_unmap_unlock(vmf.pte, vmf.ptl)
    tmp = do_page_mkwrite(vmf)
    if tmp & VM_FAULT_NOPAGE:
        put_page(vmf.page)
        return tmp
    tmp = finish_mkwrite_fault(vmf)
    if tmp & VM_FAULT_NOPAGE:
        unlock_page(vmf.page)
        put_page(vmf.page)
        return tmp
    fault_dirty_shared_page(vmf)
    put_page(vmf.page)
    return 0


@cite("mm/memory.c", "5.17")
def do_wp_page(vmf):
    """A store through a pte that only allows to read.  *Locks:* entered with the PTL, drops it.

    Nothing is copied on write here: of anonymous memory nobody writes where he may not.
    """
    if vmf.vma.vm_flags & (VM_WRITE | VM_SHARED) != VM_WRITE | VM_SHARED:
        spin_unlock(vmf.ptl)
        return VM_FAULT_SIGSEGV
    vmf.page = pfn_to_page(pte_pfn(vmf.orig_pte))
    return wp_page_shared(vmf)


@cite("mm/memory.c", "5.17", thread="003")
def do_swap_page(vmf):
    """The entry is neither none nor present.  There are no swap devices: it is migration's.

    *Locks:* entered with mmap_lock; sleeps.  *Race:* orig_pte was read without the PTL and may be
    history; migration_entry_wait() reads the entry again.
    """
    entry = pte_to_swp_entry(vmf.orig_pte)
    if non_swap_entry(entry) and is_migration_entry(entry):
        migration_entry_wait(vmf.vma.vm_mm, vmf.pmd, vmf.address)
        return 0
    report("bad-page", "BUG: Bad page map")
    return VM_FAULT_SIGBUS


@cite("mm/memory.c", "5.17", thread="003")
def zap_pte_range(vma, address):
    """Take one page of a vma away, whatever stands for it.

    *Locks:* entered with mmap_lock; takes the PTL.  *Race:* an entry that is zapped is not found by
    remove_migration_pte(), which is as it should be.
    """
    pte, ptl = pte_offset_map_lock(pmd_offset(vma.vm_mm, address), address)
    ptent = pte.pte
    page = None
    if pte_present(ptent):
        ptent = ptep_get_and_clear(pte)
        if not pte_special(ptent):
            page = pfn_to_page(pte_pfn(ptent))
            if pte_dirty(ptent):
                set_page_dirty(page)
            page_remove_rmap(page)
    elif not pte_none(ptent):
        entry = pte_to_swp_entry(ptent)
        if is_migration_entry(entry):
            pfn_swap_entry_to_page(entry)  # whose mm counter to take it from
        set_pte_at(pte, 0)
    pte_unmap_unlock(pte, ptl)
    if page is not None:
        put_page(page)


@cite("mm/madvise.c", "5.17", symbol="madvise_dontneed_single_vma")
def madvise_dontneed(mm, address):
    """madvise(MADV_DONTNEED) of one page.  *Locks:* takes mmap_lock for read."""
    down_read(mm.mmap_lock)
    vma = find_vma(mm, address)
    if vma is not None and vma.vm_start <= address:
        mmu_notifier_invalidate_range_start(mm, address, address + PAGE_SIZE)
        zap_pte_range(vma, address)
        mmu_notifier_invalidate_range_end(mm, address, address + PAGE_SIZE)
    up_read(mm.mmap_lock)


@cite("mm/memory.c", "5.17", thread="003")
def handle_pte_fault(vmf):
    """Read the entry without the PTL and choose what to do.  *Locks:* entered with mmap_lock."""
    vmf.pte = pte_offset_map(vmf.pmd, vmf.address)
    vmf.orig_pte = vmf.pte.pte
    if pte_none(vmf.orig_pte):
        if vma_is_anonymous(vmf.vma):
            return do_anonymous_page(vmf)
        return do_fault(vmf)
    if not pte_present(vmf.orig_pte):
        return do_swap_page(vmf)
    vmf.ptl = pte_lockptr(vmf.pmd)
    spin_lock(vmf.ptl)
    entry = vmf.orig_pte
    if vmf.pte.pte == entry:
        if vmf.write and not pte_write(entry):
            return do_wp_page(vmf)
        if vmf.write:
            entry = pte_mkdirty(entry)
        set_pte_at(vmf.pte, pte_mkyoung(entry))
    spin_unlock(vmf.ptl)
    return 0


@cite("mm/memory.c", "5.17")
def handle_mm_fault(vma, address, write):
    """A fault in a vma.  *Locks:* entered with mmap_lock; may sleep."""
    return handle_pte_fault(vm_fault(vma, address, write))


@cite("arch/x86/mm/fault.c", "5.17")
def do_user_addr_fault(mm, address, write):
    """Find the vma and handle the fault.  *Locks:* takes mmap_lock for read."""
    down_read(mm.mmap_lock)
    vma = find_vma(mm, address)
    if vma is None or vma.vm_start > address:
        up_read(mm.mmap_lock)
        return VM_FAULT_SIGSEGV
    ret = handle_mm_fault(vma, address, write)
    up_read(mm.mmap_lock)
    return ret


# -- what the hardware does -----------------------------------------------------------------------


_READS_DATA, _WRITES_DATA = Op(READ, "data"), Op(WRITE, "data", reads=ALL)


def _translated(slot, _, mem_map, value):
    """The page whose data is accessed too, unless it faults."""
    pte = slot.v_pte
    if not pte & _PAGE_PRESENT or pte & _PAGE_SPECIAL or (value is not None and not pte & _PAGE_RW):
        return []
    page = mem_map[(pte >> PAGE_SHIFT) - mem_map[0].pfn]
    return [(page, _READS_DATA if value is None else _WRITES_DATA)]


# the hardware sets the accessed bit, and the dirty bit
_USER_LOAD = Op(READ, "pte", writes=ALL, also=_translated)
_USER_STORE = Op(WRITE, "pte", reads=ALL, also=_translated)


def _mmu(slot, mem_map, value):
    """Effect: translate and access in one: (True, what was there), or (False, None) for a fault."""
    write = value is not None
    pte = slot.v_pte
    if not pte & _PAGE_PRESENT or (write and not pte & _PAGE_RW):
        return False, None
    slot.v_pte = pte | _PAGE_ACCESSED | (_PAGE_DIRTY if write else 0)
    if pte & _PAGE_SPECIAL:
        return True, ZERO
    page = mem_map[(pte >> PAGE_SHIFT) - mem_map[0].pfn]
    before = page.v_data
    if write:
        page.v_data = value
    return True, before


@cite("arch/x86/mm/fault.c", "5.17", symbol="exc_page_fault")
def user_access(mm, address, value=None):
    """A load (or, with ``value``, a store) in user mode: (done, what was there before).

    Not done: the task got SIGSEGV or SIGBUS.  Translation and access are one step, as if the TLB
    were flushed everywhere the moment a pte changes.
    """
    slot = pte_offset_map(pmd_offset(mm, address), address)
    mem_map = kernel().mem_map
    op = _USER_LOAD if value is None else _USER_STORE
    while True:
        done, before = access(op, slot, _mmu, slot, mem_map, value)
        if done:
            return True, before
        if do_user_addr_fault(mm, address, value is not None) & VM_FAULT_ERROR:
            return False, None
