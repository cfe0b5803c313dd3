# SPDX-License-Identifier: GPL-2.0-only
"""Machines of thread 003: address spaces with a page or two, who uses them and who moves them.

A page here is anonymous memory of one or two processes, or a page of a file that a process maps
shared.  Its contents name it, so that a task which reads through a wrong pte reads a wrong name.
actors.py and devices.py have who else takes part; which of them meet is said in casts.py.
"""

from collections import Counter

from mmsim.linux.bug import report
from mmsim.linux.list import list_add_tail
from mmsim.memblock import memblock_alloc
from mmsim.memory import madvise_dontneed, user_access
from mmsim.migrate_movable import movable_operations
from mmsim.mm_types import (
    PAGE_SHIFT,
    PAGE_SIZE,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
    is_swap_pte,
    mk_pte,
    mm_struct,
    pmd_offset,
    pte_offset_map,
    pte_pfn,
    pte_present,
    pte_special,
    vm_area_struct,
)
from mmsim.mmzone import add_page_to_lru_list, boot_mm, del_page_from_lru_list
from mmsim.move_pages import do_pages_move
from mmsim.page_check import bad_page
from mmsim.pagemap import address_space
from mmsim.rmap import anon_vma, anon_vma_link
from mmsim.scenarios.invariants import broken, check_mm
from mmsim.scenarios.setup import cached_page

TEXT = 0x400000


def boot(m, frames):
    """Memory with ``frames`` page frames, nobody's yet."""
    vm = boot_mm(m, pages=frames)
    vm.node_data[0].zone.pageset_batch = 1
    vm.mms = []
    vm.files = []
    vm.owners = []
    return vm


def reserve(vm, pages):
    """Frames that belong to somebody who does not take part."""
    for page in pages:
        page.v__refcount = 1
        page.state = "allocated"
        page.history.append("reserved at boot")
        vm.owners.append(page)


def new_mm(vm):
    """A process without memory."""
    mm = mm_struct(f"mm{len(vm.mms)}")
    vm.mms.append(mm)
    return mm


def _on_lru(vm, page):
    page.v_flags |= page.m_lru
    add_page_to_lru_list(page, vm.root_mem_cgroup.lruvecs[page.node])


def new_vma(mm, start, nr_pages, flags, mapping=None):
    """``mm`` maps ``nr_pages`` at ``start``: of a file from its beginning, or anonymous memory."""
    end = start + nr_pages * PAGE_SIZE
    vma = vm_area_struct(mm, start, end, flags, mapping, None if mapping is None else 0)
    mm.mmap.append(vma)
    mm.map_tables(start, end)
    if mapping is not None:
        mapping.i_mmap.append(vma)
    return vma


def _map(page, vma, address):
    slot = pte_offset_map(pmd_offset(vma.vm_mm, address), address)
    slot.v_pte = mk_pte(page, bool(vma.v_vm_flags & VM_WRITE))
    page.v__mapcount += 1
    page.v__refcount += 1


def new_anon_vma(vm, vmas):
    """The object behind anonymous memory that these vmas share."""
    av = anon_vma(f"anon_vma:{vmas[0].vm_mm.name}", len(vm.mms))
    for vma in vmas:
        anon_vma_link(vma, av)
    return av


def anon_page(vm, vmas, address):
    """A page of anonymous memory, mapped at ``address`` in each of the vmas."""
    page = memblock_alloc(vm)
    page.v_flags = page.m_uptodate | page.m_swapbacked
    page.v__refcount = 0
    page.v_data = f"{vmas[0].vm_mm.name}:{address:x}"
    page.v_mapping = vmas[0].v_anon_vma
    page.v_index = address >> PAGE_SHIFT
    for vma in vmas:
        _map(page, vma, address)
    _on_lru(vm, page)
    return page


def new_file(vm):
    """A file without pages."""
    mapping = address_space(f"file{len(vm.files)}", len(vm.files))
    vm.files.append(mapping)
    return mapping


def driver_page(vm):
    """A page that a driver lets others move: it is on no LRU list."""
    page = memblock_alloc(vm)
    page.v_mapping = movable_operations("balloon", lambda page: True, lambda page: None)
    vm.owners.append(page)
    return page


def isolate(vm, page, migratepages):
    """The page has been isolated already: it is on a compactor's list."""
    head = vm.root_mem_cgroup.lruvecs[page.node]
    del_page_from_lru_list(page, head)
    page.v_flags &= ~page.m_lru
    page.v__refcount += 1
    list_add_tail(page.lru, migratepages)
    vm.node_data[page.node].v_vmstat_isolated += 1


def set_aside(vm, freepages, n):
    """A compactor has found ``n`` free pages for what it is going to move."""
    for _ in range(n):
        list_add_tail(memblock_alloc(vm).lru, freepages)


class memory_of:
    """Memory of one process, or of several: ``places`` and the ``pages`` there.

    ``kind`` is "file" (mapped shared), "own" (anonymous) or "forked" (anonymous, of two processes,
    which may only read it).
    """

    def __init__(self, vm, kind, nr_pages, start=TEXT, flags=VM_READ | VM_WRITE):
        self.kind = kind
        self.mms = [new_mm(vm) for _ in range(2 if kind == "forked" else 1)]
        self.places = [start + i * PAGE_SIZE for i in range(nr_pages)]
        if kind == "file":
            mapping = new_file(vm)
            self.vmas = [new_vma(self.mms[0], start, nr_pages, flags | VM_SHARED, mapping)]
            self.pages = [cached_page(vm, mapping, i) for i in range(nr_pages)]
            for page, address in zip(self.pages, self.places, strict=True):
                _map(page, self.vmas[0], address)
                if flags & VM_WRITE:  # a pte that can be stored to has made its page dirty
                    page.v_flags |= page.m_dirty
                    mapping.marks[page.v_index] = frozenset({"dirty"})
        else:
            if kind == "forked":
                flags &= ~VM_WRITE
            self.vmas = [new_vma(mm, start, nr_pages, flags) for mm in self.mms]
            new_anon_vma(vm, self.vmas)
            self.pages = [anon_page(vm, self.vmas, address) for address in self.places]
        self.names = [page.v_data for page in self.pages]


# -- actors -------------------------------------------------------------------------------------


def user(mm, places, names, write=False, rounds=1):
    """A thread that goes on using its memory, whatever happens to it."""
    for _ in range(rounds):
        for address, name in zip(places, names, strict=True):
            done, before = user_access(mm, address, name if write else None)
            if not done:
                return
            if before != name:
                report("invariant", "a task reads memory that is not its own", where="user")


def zapper(mm, places, names, rounds):
    """A thread that gives its mapping of a file back after each use, and so faults each time."""
    for _ in range(rounds):
        for address, name in zip(places, names, strict=True):
            user(mm, (address,), (name,))
            madvise_dontneed(mm, address)


def mover(mm, places, moves):
    """move_pages(2), again and again."""
    for _ in range(moves):
        do_pages_move(mm, places)


# -- what must hold at the end ------------------------------------------------------------------


def check_ptes(m):
    """No migration entry is left; ptes lead to pages in use; mapcounts are right.

    Returns the page of every present pte: each owns a reference.
    """
    vm = m.vm
    owners = []
    for mm in vm.mms:
        for slot in mm.slots():
            pte = slot.v_pte
            if is_swap_pte(pte):
                broken("check_ptes", "a migration entry is left")
            elif pte_present(pte) and not pte_special(pte):
                page = vm.mem_map[pte_pfn(pte) - vm.mem_map[0].pfn]
                owners.append(page)
                if page.state != "allocated":
                    broken("check_ptes", "a page that is not in use is mapped", page)
    mapped = Counter(owners)
    for page in vm.mem_map:
        if page.state == "allocated" and page.v__mapcount + 1 != mapped[page]:
            broken("check_ptes", "mapcount differs from the number of ptes", page)
    return owners


def check(m, v):
    """Quiescence."""
    for page in m.vm.mem_map:
        flags = page.v_flags & page.PAGE_FLAGS_CHECK_AT_PREP
        if flags and page.state in ("free", "pcp"):
            # what its next owner would be told
            bad_page(page, "PAGE_FLAGS_CHECK_AT_PREP flag(s) set", flags)
            return
    owners = check_ptes(m)
    check_mm(m, mappings=m.vm.files, owners=owners + m.vm.owners)
    if any(pgdat.v_vmstat_isolated for pgdat in m.vm.node_data):
        broken("check", "pages are counted as isolated and nobody has isolated any")
