# SPDX-License-Identifier: GPL-2.0-only
"""What address spaces of 3.13 have that later ones do not: nonlinear vmas (mm_types.h, fs.h).

A *linear* vma maps page ``vm_pgoff + n`` of its file at its n-th address, so rmap computes where a
page is mapped.  remap_file_pages() makes a vma *nonlinear*: any page may stand at any address.
Such vmas hang on ``mapping->i_mmap_nonlinear``, and all rmap can do with them is to walk their page
tables, a window at a time.  That walk is the subject of thread 004.  Nonlinear vmas went in 4.0.

A page that reclaim unmaps from such a vma leaves its index behind in the pte, as a "file pte".

Lock order: mmap_sem > page lock > i_mmap_mutex > ptl > lru_lock.
"""

from operator import attrgetter

from mmsim.linux.sleeplock import mutex_init
from mmsim.mm_types import PAGE_SHIFT
from mmsim.mm_types import mm_struct as mm_struct_later
from mmsim.mm_types import vm_area_struct as vm_area_struct_later
from mmsim.model.cite import cite
from mmsim.model.era import refuse_other_eras
from mmsim.model.struct import shared
from mmsim.pagemap import address_space as address_space_later

_PAGE_FILE = 0x40  # PAGE_DIRTY of a present pte

VM_NONLINEAR = 0x00800000


class mm_struct(mm_struct_later):
    """An address space.  ``mmap_sem`` is what 5.8 renamed mmap_lock.  UncoveredEra if not 3.13."""

    def __init__(self, name):
        refuse_other_eras("mm_struct of mmsim.v3_13", "3.13")
        mm_struct_later.__init__(self, name)
        self.mmap_sem = self.mmap_lock
        self.mmap_sem.name = f"&mm->mmap_sem#{name}"


class vm_area_struct(vm_area_struct_later):
    """``vm_flags`` change under mmap_sem held for writing, or without it at exit.

    ``vm_private_data`` is try_to_unmap_file's cursor into a nonlinear vma, under i_mmap_mutex.
    Nobody moves, splits or merges vmas in thread 004, so looking at their bounds is no point.
    """

    vm_private_data = shared(0)
    vm_start = property(attrgetter("v_vm_start"))
    vm_end = property(attrgetter("v_vm_end"))
    vm_pgoff = property(attrgetter("v_vm_pgoff"))


class address_space(address_space_later):
    """A file.  ``tree_lock`` (now xa_lock) guards its pages, ``i_mmap_mutex`` the lists of vmas."""

    def __init__(self, name, number=0):
        address_space_later.__init__(self, name, number)
        self.tree_lock = self.xa_lock
        self.tree_lock.name = f"&mapping->tree_lock#{name}"
        self.i_mmap_mutex = mutex_init(f"&mapping->i_mmap_mutex#{name}")
        self.i_mmap_nonlinear = []


@cite("include/linux/pagemap.h", "3.13")
def linear_page_index(vma, address):
    """Which page of the file a linear vma would map at ``address``."""
    return vma.vm_pgoff + ((address - vma.vm_start) >> PAGE_SHIFT)


@cite("arch/x86/include/asm/pgtable_64.h", "3.13")
def pgoff_to_pte(pgoff):
    """A pte that remembers which page of the file belongs here."""
    return pgoff << PAGE_SHIFT | _PAGE_FILE


@cite("arch/x86/include/asm/pgtable_64.h", "3.13")
def pte_file(pte):
    """Does a pte that is not present remember a page of the file?"""
    return pte & _PAGE_FILE != 0


@cite("arch/x86/include/asm/pgtable_64.h", "3.13")
def pte_to_pgoff(pte):
    """The page of the file that such a pte remembers."""
    return pte >> PAGE_SHIFT
