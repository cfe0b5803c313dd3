# SPDX-License-Identifier: GPL-2.0-only
"""What must hold for mlock when all is quiet, and what need not (thread 004).

Hard: NR_MLOCK is the number of PG_mlocked pages; a page that no VM_LOCKED vma maps is not
PG_mlocked; the unevictable list holds nothing that could be evicted, since nobody would look for it
there.

Soft: every page that a VM_LOCKED vma maps is PG_mlocked.  mlock is lazy, so those that are not are
counted ("missed_mlocks", those that reclaim has not come by yet included), then reclaim scans
everything once, with every lock to be had.  Pages that are marked now were "mlocks_repaired"; those
that are still not are "missed_after_rescan".  No finding comes of either: as long as the pages stay
mapped, mlock(2) keeps what it promises, and reclaim has work for nothing.  "locked_unmapped" counts
the ptes of VM_LOCKED vmas that were emptied before the rescan: there the promise is broken.  A
variant declares what it expects of these figures, and of what kernel code counts on the way:

    cluster_pages, cluster_on_lru   pages in a VM_LOCKED window, besides check_page; not isolated
    trylocks, trylock_skipped       of their page locks; in vain
    check_page_mlocked              windows that ended in SWAP_MLOCK
    migrations_refused              the page has references that migration cannot explain
    moved_under_pin                 and went all the same (``migrate-no-refcheck``)
    mlocks_undone                   mlock_vma_page() finds the mark gone that it has set itself
    undone_missed                   at rest: missed mlocks that come of that
    cleared_unlocked                PG_mlocked was cleared while nobody had the page lock
    stranded_marks, stranded_pages  at rest: marked for nobody; evictable on the unevictable list
"""

from mmsim.linux.bug import report
from mmsim.memory_model import pfn_to_page
from mmsim.mm_types import VM_LOCKED, VM_SHARED, pte_pfn, pte_present
from mmsim.mmzone import LRU_INACTIVE_FILE
from mmsim.pagevec import pvecs
from mmsim.scenarios.invariants import check_mm
from mmsim.v3_13.mm_types import pte_file
from mmsim.v3_13.swap import __pagevec_lru_add
from mmsim.v3_13.vmscan import shrink_inactive_list

METRICS = (
    "cluster_pages",
    "cluster_on_lru",
    "trylocks",
    "trylock_skipped",
    "check_page_mlocked",
    "migrations_refused",
    "moved_under_pin",
    "mlocks_undone",
    "undone_missed",
    "cleared_unlocked",
    "stranded_marks",
    "stranded_pages",
    "missed_mlocks",
    "mlocks_repaired",
    "missed_after_rescan",
    "locked_unmapped",
)


def check(m, v):
    """Drain, look; scan everything, look again."""
    drain_all(m)
    before = missed(m)
    m.count("missed_mlocks", len(before))
    m.count("undone_missed", sum(getattr(page, "mlock_undone", False) for page in before))
    m.count("locked_unmapped", len(unmapped(m)))
    m.count("stranded_marks", len(stranded_marks(m)))
    m.count("stranded_pages", len(stranded_pages(m)))
    _look(m)
    if m.findings:
        return
    rescan(m)
    _look(m)
    after = missed(m)
    m.count("missed_after_rescan", len(after))
    m.count("mlocks_repaired", sum(_mlocked(page) for page in before - after))


def drain_all(m):
    """lru_add_drain_all(): what waits in pagevecs goes to its lists."""
    for cpu in m.cpus:
        mine = cpu.data.get(pvecs)
        if mine is not None and mine.lru_add.pages:
            __pagevec_lru_add(mine.lru_add)


def rescan(m):
    """Reclaim looks at every page of the inactive list once."""
    lruvec = m.vm.root_mem_cgroup.lruvecs[0]
    for pgdat in m.vm.node_data:
        shrink_inactive_list(lruvec.v_size(LRU_INACTIVE_FILE), pgdat, lruvec)
    drain_all(m)


def slots_of(m):
    """(pte, vma) for every slot of every page table that a vma covers."""
    return [
        (slot, vma)
        for mm in m.vm.mms
        for vma in mm.mmap
        for slot in mm.slots()
        if vma.v_vm_start <= slot.vaddr < vma.v_vm_end
    ]


def mappings_of(m):
    """(page, vma) for every pte that maps a page."""
    return [
        (pfn_to_page(pte_pfn(slot.v_pte)), vma)
        for slot, vma in slots_of(m)
        if pte_present(slot.v_pte)
    ]


def missed(m):
    """Pages that a VM_LOCKED vma maps and that are not PG_mlocked."""
    return {p for p, vma in mappings_of(m) if vma.v_vm_flags & VM_LOCKED and not _mlocked(p)}


def unmapped(m):
    """Slots of VM_LOCKED vmas that map nothing.  Every slot mapped a page at boot."""
    return [
        slot
        for slot, vma in slots_of(m)
        if vma.v_vm_flags & VM_LOCKED and not pte_present(slot.v_pte)
    ]


def stranded_marks(m):
    """Pages that are PG_mlocked though no VM_LOCKED vma maps them."""
    locked = {page for page, vma in mappings_of(m) if vma.v_vm_flags & VM_LOCKED}
    return [page for page in m.vm.mem_map if _mlocked(page) and page not in locked]


def stranded_pages(m):
    """Pages on the unevictable list that could be evicted: nobody looks for them there."""
    return [
        page
        for page in m.vm.mem_map
        if page.v_flags & page.m_unevictable and page.v_flags & page.m_lru and not _mlocked(page)
    ]


def _mlocked(page):
    return page.v_flags & page.m_mlocked != 0


def _broken(where, title, page=None, *detail):
    report("invariant", title, page=page, detail=detail, where=where, at=())


def _look(m):
    maps = mappings_of(m)
    check_mm(m, m.vm.mappings, [page for page, _ in maps])
    _check_ptes(m, maps)
    _check_mlock(m)


def _check_ptes(m, maps):
    for mm in m.vm.mms:
        for slot in mm.slots():
            pte = slot.v_pte
            if pte and not pte_present(pte) and not pte_file(pte):
                _broken("check_ptes", "a migration entry is left", None, slot.name)
    for page in m.vm.mem_map:
        if page.state == "allocated" and page.v__mapcount + 1 != sum(p is page for p, _ in maps):
            _broken("check_ptes", "mapcount differs from the number of ptes", page)
    for page, vma in maps:
        if vma.v_vm_flags & VM_SHARED and page.v_mapping is not vma.mapping:
            _broken("check_ptes", "a shared mapping has a page that its file has not", page)


def _check_mlock(m):
    for page in stranded_marks(m):
        _broken("check_mlock", "PG_mlocked page is mapped in no VM_LOCKED vma", page)
    for page in stranded_pages(m):
        _broken("check_mlock", "evictable page is stranded on the unevictable list", page)
    for node, pgdat in enumerate(m.vm.node_data):
        pages = sum(_mlocked(p) for p in m.vm.mem_map if p.node == node)
        if pgdat.v_vmstat_mlock != pages:
            how = "more" if pgdat.v_vmstat_mlock > pages else "fewer"
            title = f"NR_MLOCK counts {how} than there are PG_mlocked pages"
            _broken("check_mlock", title, None, f"NR_MLOCK {pgdat.v_vmstat_mlock}, pages {pages}")
