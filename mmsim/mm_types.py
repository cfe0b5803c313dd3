# SPDX-License-Identifier: GPL-2.0-only
"""Address spaces of tasks: mm_struct, vmas and page tables (include/linux/mm_types.h, pgtable.h).

A page table entry is a word.  The hardware reads it without any lock, the kernel writes it under
the lock of the page table it is in (the "PTL", one per table: split page table locks), so every
entry is a shared field of its own.  One level of tables is enough: a table covers what a pmd entry
covers, and ``pmd_offset`` is the table itself.

Words as on x86-64, without the inversion of swap offsets:

    0                      none
    bit 0 set              present: flags in the low 12 bits, pfn above
    otherwise              a swap entry: type in bits 59-63, offset from bit 9 on

Tables are built at boot (``map_tables``); nothing here allocates one later.
"""

from mmsim.engine.door import access
from mmsim.engine.op import RMW, WRITE_ONCE, Op
from mmsim.linux.sleeplock import init_rwsem
from mmsim.linux.spinlock import spin_lock, spin_lock_init, spin_unlock
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.model.struct import Struct, shared

__mmsim_primitive__ = True  # inline in C: reports name the function it is inlined into

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
PMD_SHIFT = 21

_PAGE_PRESENT = 0x1
_PAGE_RW = 0x2
_PAGE_ACCESSED = 0x20
_PAGE_DIRTY = 0x40
_PAGE_SPECIAL = 0x200

VM_READ = 0x1
VM_WRITE = 0x2
VM_SHARED = 0x8
VM_GROWSDOWN = 0x100
VM_LOCKED = 0x2000
VM_SEQ_READ = 0x8000
VM_RAND_READ = 0x10000
VM_STACK_INCOMPLETE_SETUP = VM_RAND_READ | VM_SEQ_READ
"""Two hints nobody gives together: the mark of the stack that exec is still moving about."""


def _page_of(pte):
    """The page that an entry leads to: who looks at that looks at it after the entry.

    A migration entry's offset is a frame as well.  A swap entry's is not, and may name a page by
    accident, which then only has to be looked at in order.
    """
    pfn = pte >> PAGE_SHIFT if pte & _PAGE_PRESENT else (pte & (1 << 59) - 1) >> 9
    mem_map = kernel().mem_map
    i = pfn - mem_map[0].pfn
    return mem_map[i] if 0 <= i < len(mem_map) else None


class pte_slot(Struct):
    """One entry of a page table; what a ``pte_t *`` points to.  ``pte`` is the word."""

    pte = shared(0, leads=_page_of)

    def __init__(self, table, address):
        self.table = table
        self.vaddr = address

    @property
    def name(self):
        """As events and reports call it."""
        return f"{self.table.mm.name}.pte[{self.vaddr:x}]"


class page_table:
    """What one pmd entry covers.  ``ptl`` guards every entry of it."""

    def __init__(self, mm, index):
        self.mm = mm
        self.slots = {}
        self.ptl = spin_lock_init(f"ptlock_ptr(page)#{mm.name}/{index}")


class vm_area_struct(Struct):
    """A mapping of [vm_start, vm_end), page ``vm_pgoff`` of its object at the start.

    Bounds and offset change under mmap_lock for write *and* the rmap lock of the object.
    ``anon_vma`` is set once, before the first anonymous page; ``mapping`` is vm_file->f_mapping.
    """

    vm_start = shared(0)
    vm_end = shared(0)
    vm_pgoff = shared(0)
    vm_flags = shared(0)
    anon_vma = shared(None)

    def __init__(self, mm, start, end, flags, mapping=None, pgoff=None):
        self.vm_mm = mm
        self.v_vm_start = start
        self.v_vm_end = end
        self.v_vm_flags = flags
        self.v_vm_pgoff = start >> PAGE_SHIFT if pgoff is None else pgoff
        self.mapping = mapping
        self.name = f"{mm.name}.vma[{start:x}]"


class mm_struct:
    """``mmap_lock`` guards the vmas; ``pgd`` maps a table's number to the table."""

    def __init__(self, name):
        self.name = name
        self.mmap_lock = init_rwsem(f"&mm->mmap_lock#{name}")
        self.mmap = []
        self.pgd = {}
        self.notifier_subscriptions = None

    def map_tables(self, start, end):
        """Boot: build the tables of a range, all entries none."""
        for address in range(start, end, PAGE_SIZE):
            index = address >> PMD_SHIFT
            table = self.pgd.get(index)
            if table is None:
                table = self.pgd[index] = page_table(self, index)
            if address not in table.slots:
                table.slots[address] = pte_slot(table, address)

    def slots(self):
        """Every entry, for checks."""
        return [slot for table in self.pgd.values() for slot in table.slots.values()]


@cite("mm/mmap.c", "5.17")
def find_vma(mm, address):
    """The first vma that ends above ``address``.  *Locks:* mmap_lock."""
    for vma in mm.mmap:
        if vma.vm_end > address:
            return vma
    return None


@cite("include/linux/mm.h", "5.17")
def vma_is_anonymous(vma):
    """No file behind it?"""
    return vma.mapping is None


@cite("include/linux/mm.h", "5.17", thread="003")
def vma_is_temporary_stack(vma):
    """Is it the stack of an exec that has not put it in its place yet?

    *Race:* the flags may change under the reader, who holds the rmap lock only; the mark stays from
    the making of the stack until after it was moved, so a page seen marked is not moved unseen.
    """
    flags = vma.vm_flags
    if not flags & VM_GROWSDOWN:
        return False
    return flags & VM_STACK_INCOMPLETE_SETUP == VM_STACK_INCOMPLETE_SETUP


@cite("include/linux/pgtable.h", "5.17")
def pmd_offset(mm, address):
    """The table that covers ``address``; None if there is none."""
    return mm.pgd.get(address >> PMD_SHIFT)


@cite("include/linux/pgtable.h", "5.17")
def pte_offset_map(pmd, address):
    """The entry of ``address``.  *Locks:* none: what it holds may change any time."""
    return pmd.slots[address & -PAGE_SIZE]


@cite("include/linux/mm.h", "5.17")
def pte_lockptr(pmd):
    """The PTL of a table."""
    return pmd.ptl


@cite("include/linux/mm.h", "5.17")
def pte_offset_map_lock(pmd, address):
    """(entry, PTL), with the lock taken."""
    ptl = pte_lockptr(pmd)
    pte = pte_offset_map(pmd, address)
    spin_lock(ptl)
    return pte, ptl


@cite("include/linux/mm.h", "5.17")
def pte_unmap_unlock(pte, ptl):
    """Undo pte_offset_map_lock()."""
    spin_unlock(ptl)


# -- words --------------------------------------------------------------------------------------


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_none(pte):
    """Nothing there."""
    return pte == 0


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_present(pte):
    """The hardware translates it."""
    return pte & _PAGE_PRESENT != 0


@cite("include/linux/swapops.h", "5.17")
def is_swap_pte(pte):
    """Neither none nor present."""
    return pte != 0 and not pte & _PAGE_PRESENT


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_write(pte):
    """Writable?"""
    return pte & _PAGE_RW != 0


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_dirty(pte):
    """Written through?"""
    return pte & _PAGE_DIRTY != 0


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_special(pte):
    """No struct page behind it for the kernel's purposes (the zero page)?"""
    return pte & _PAGE_SPECIAL != 0


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_pfn(pte):
    """The frame of a present entry."""
    return pte >> PAGE_SHIFT


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def mk_pte(page, writable=False):
    """A present, read entry for a page."""
    return page.pfn << PAGE_SHIFT | _PAGE_PRESENT | _PAGE_ACCESSED | (_PAGE_RW if writable else 0)


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_mkwrite(pte):
    """Writable."""
    return pte | _PAGE_RW


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_wrprotect(pte):
    """Not writable."""
    return pte & ~_PAGE_RW


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_mkclean(pte):
    """Not written through since."""
    return pte & ~_PAGE_DIRTY


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_young(pte):
    """Translated since it was last made old?"""
    return pte & _PAGE_ACCESSED != 0


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_mkdirty(pte):
    """Dirty."""
    return pte | _PAGE_DIRTY


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_mkyoung(pte):
    """Accessed."""
    return pte | _PAGE_ACCESSED


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def pte_mkold(pte):
    """Not accessed."""
    return pte & ~_PAGE_ACCESSED


@cite("include/linux/pagemap.h", "5.17")
def linear_page_index(vma, address):
    """The index in the vma's object that is shown at ``address``."""
    return ((address - vma.vm_start) >> PAGE_SHIFT) + vma.vm_pgoff


@cite("include/linux/mm.h", "5.17")
def maybe_mkwrite(pte, vma):
    """Writable if the vma is."""
    return pte_mkwrite(pte) if vma.vm_flags & VM_WRITE else pte


# -- storing ------------------------------------------------------------------------------------


_SETS, _TAKES = Op(WRITE_ONCE, "pte"), Op(RMW, "pte", leads=_page_of)


def _store(slot, pte):
    slot.v_pte = pte


def _load(slot):
    return slot.v_pte


def _make_old(slot):
    pte = slot.v_pte
    slot.v_pte = pte & ~_PAGE_ACCESSED
    return pte & _PAGE_ACCESSED != 0


def _take(slot):
    pte = slot.v_pte
    slot.v_pte = 0
    return pte


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def set_pte_at(slot, pte):
    """Store an entry.  *Locks:* the table's PTL."""
    access(_SETS, slot, _store, slot, pte)


@cite("arch/x86/include/asm/pgtable.h", "5.17")
def ptep_get_and_clear(slot):
    """Take the entry out: one atomic exchange, since the hardware may be setting its dirty bit."""
    return access(_TAKES, slot, _take, slot)


@cite("arch/x86/mm/pgtable.c", "5.17")
def ptep_test_and_clear_young(slot):
    """Make the entry old; true if it was young.  One atomic operation, for the same reason."""
    return access(_TAKES, slot, _make_old, slot)


@cite("mm/pgtable-generic.c", "5.17")
def ptep_clear_flush(slot):
    """The same and flush the TLB, which is not modelled: every access walks the table."""
    return access(_TAKES, slot, _take, slot)
