# SPDX-License-Identifier: GPL-2.0-only
"""PG_mlocked in 3.13, function by function: who sets it, who clears it, who counts it."""

from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.engine.oops import ContextDied
from mmsim.filemap import lock_page, unlock_page
from mmsim.linux.sleeplock import down_write, up_write
from mmsim.memblock import memblock_free_all
from mmsim.memory_model import pfn_to_page
from mmsim.mm_types import VM_LOCKED, VM_SHARED, VM_WRITE, pte_pfn, pte_present
from mmsim.page import get_page
from mmsim.page_alloc import alloc_page
from mmsim.rmap import anon_vma, anon_vma_link
from mmsim.scenarios.s004_mlock_cluster.casts import Stage, shrink
from mmsim.scenarios.s004_mlock_cluster.check import drain_all
from mmsim.v3_13.gup import mm_populate
from mmsim.v3_13.memory import write_fault
from mmsim.v3_13.mlock import clear_page_mlock, mlock_vma_page
from mmsim.v3_13.mm_types import VM_NONLINEAR, pte_file, pte_to_pgoff
from mmsim.v3_13.mmap import exit_mmap
from mmsim.v3_13.munlock import munlock_vma_page, sys_mlock, sys_munlock
from mmsim.v3_13.page_alloc import alloc_contig_range
from mmsim.v3_13.rmap import SWAP_AGAIN, SWAP_MLOCK, TTU_UNMAP, try_to_unmap
from mmsim.v3_13.swap import lru_cache_add
from mmsim.v3_13.truncate import truncate_pagecache
from mmsim.v3_13.vmscan_isolate import EBUSY, isolate_lru_page, putback_lru_page
from tests.kernel.booted import booted

MERGED = ("vlastimil-2014-01-07", "xie-2017-05-25")
SHARED = VM_SHARED
LOCKED = VM_SHARED | VM_LOCKED
NONLINEAR = VM_SHARED | VM_LOCKED | VM_NONLINEAR


def stage(*gates: str, **config: Any) -> Stage:
    m = booted("3.13", cpus=2, pages=8, gates=gates, DEBUG_VM=True, **config)
    m.vm.mappings, m.vm.mms = [], []
    return Stage(m, 1)


def flags(page: Any) -> set[str]:
    return set(page.flag_names())


def nr_mlock(s: Stage) -> int:
    return s.vm.node_data[0].v_vmstat_mlock


def titles(s: Stage) -> list[str]:
    return [finding.title for finding in s.m.findings]


def mapped(vma: Any) -> list[Any]:
    """The pages a vma maps, by address."""
    (table,) = vma.vm_mm.pgd.values()
    ptes = [slot.v_pte for _, slot in sorted(table.slots.items())]
    return [pfn_to_page(pte_pfn(pte)) if pte_present(pte) else None for pte in ptes]


# -- one page --------------------------------------------------------------------------------------


def test_mlock_marks_counts_and_culls_once() -> None:
    s = stage()
    page = s.page()
    lock_page(page)
    mlock_vma_page(page)
    mlock_vma_page(page)
    unlock_page(page)
    assert flags(page) == {"uptodate", "lru", "unevictable", "mlocked"}
    assert nr_mlock(s) == 1
    assert page.v__refcount == 1
    assert not titles(s)


def test_mlock_insists_on_the_page_lock() -> None:
    s = stage()
    with pytest.raises(ContextDied):
        mlock_vma_page(s.page())
    assert titles(s) == ["kernel BUG at mm/mlock.c:82!"]


@pytest.mark.parametrize("gate", ["drop-bug-on", "wanpeng-2013-12-17"])
def test_unless_the_assertion_is_gone(gate: str) -> None:
    s = stage(gate)
    mlock_vma_page(s.page())
    assert nr_mlock(s) == 1
    assert not titles(s)


def test_a_page_in_a_pagevec_is_marked_and_stays_on_an_evictable_list() -> None:
    s = stage("drop-bug-on")
    page = s.page()
    assert isolate_lru_page(page) == 0
    putback_lru_page(page)
    assert isolate_lru_page(page) == -EBUSY
    mlock_vma_page(page)
    drain_all(s.m)
    assert flags(page) == {"uptodate", "lru", "mlocked"}


def test_a_full_pagevec_is_emptied_by_the_next_page_and_not_by_its_last() -> None:
    m = booted("3.13", cpus=1, pages=32, gates=MERGED, DEBUG_VM=True)
    memblock_free_all(m.vm)
    pages = [alloc_page() for _ in range(15)]
    for page in pages[:14]:
        lru_cache_add(page)
    assert not any("lru" in flags(page) for page in pages)
    lru_cache_add(pages[14])
    assert ["lru" in flags(page) for page in pages] == [True] * 14 + [False]


def test_clearing_brings_it_back() -> None:
    s = stage()
    page = s.page(mlocked=True)
    clear_page_mlock(page)
    clear_page_mlock(page)
    drain_all(s.m)
    assert flags(page) == {"uptodate", "lru"}
    assert nr_mlock(s) == 0


def test_the_last_unmap_clears_the_mark_and_no_other() -> None:
    s = stage(*MERGED)
    page = s.page(mlocked=True)
    one = s.mmap("one", (page,), LOCKED)
    two = s.mmap("two", (page,), SHARED)
    one.v_vm_flags = SHARED
    exit_mmap(one.vm_mm)
    assert "mlocked" in flags(page)
    exit_mmap(two.vm_mm)
    assert "mlocked" not in flags(page)
    assert nr_mlock(s) == 0


# -- munlock ---------------------------------------------------------------------------------------


def test_munlock_asks_who_else_has_it_locked() -> None:
    s = stage(*MERGED)
    page = s.page(mlocked=True)
    vma = s.mmap("one", (page,), LOCKED)
    s.mmap("two", (page,), LOCKED)
    sys_munlock(vma)
    assert "mlocked" in flags(page)
    assert nr_mlock(s) == 1


def test_it_does_not_ask_nonlinear_vmas_and_reclaim_mends_that() -> None:
    s = stage(*MERGED)
    page = s.page(mlocked=True)
    vma = s.mmap("one", (page,), LOCKED)
    s.mmap("two", (page,), NONLINEAR)
    sys_munlock(vma)
    assert "mlocked" not in flags(page)
    drain_all(s.m)
    shrink(s.vm, 1, 1)
    assert "mlocked" in flags(page)
    assert nr_mlock(s) == 1


def test_nor_an_mm_whose_semaphore_is_taken() -> None:
    s = stage(*MERGED)
    page = s.page(mlocked=True)
    vma = s.mmap("one", (page,), LOCKED)
    two = s.mmap("two", (page,), LOCKED)
    down_write(two.vm_mm.mmap_sem)
    sys_munlock(vma)
    up_write(two.vm_mm.mmap_sem)
    assert "mlocked" not in flags(page)


@pytest.mark.parametrize(("gates", "left"), [((), 1), (("xie-2017-05-25",), 0)])
def test_a_page_that_somebody_has_isolated_is_miscounted_until_2017(
    gates: tuple[str, ...], left: int
) -> None:
    s = stage(*gates)
    page = s.page(mlocked=True)
    vma = s.mmap("one", (page,), LOCKED)
    assert isolate_lru_page(page) == 0
    sys_munlock(vma)
    putback_lru_page(page)
    drain_all(s.m)
    assert flags(page) == {"uptodate", "lru"}
    assert nr_mlock(s) == left


@pytest.mark.parametrize("gate", ["", "munlock-page-lock", "munlock-nopin", "munlock-put-in-lock"])
def test_every_form_of_munlock_keeps_the_books_when_alone(gate: str) -> None:
    s = stage(*MERGED, *filter(None, [gate]))
    pages = [s.page(mlocked=True), s.page(), s.page(mlocked=True, culled=False)]
    vma = s.mmap("one", pages, LOCKED)
    s.mmap("two", pages[:1], SHARED)
    sys_munlock(vma)
    drain_all(s.m)
    assert [flags(page) for page in pages] == [{"uptodate", "lru"}] * 3
    assert [page.v__refcount for page in pages] == [3, 2, 2]
    assert nr_mlock(s) == 0
    assert not titles(s)


def test_munlock_vma_page_insists_on_the_page_lock() -> None:
    s = stage()
    with pytest.raises(ContextDied):
        munlock_vma_page(s.page(mlocked=True))
    assert titles(s) == ["kernel BUG at mm/mlock.c:156!"]


def test_mlock_faults_in_what_reclaim_took_away() -> None:
    s = stage(*MERGED)
    page = s.page()
    memblock_free_all(s.vm)
    vma = s.mmap("one", (page,), SHARED)
    shrink(s.vm, 1, 1)
    assert mapped(vma) == [None]
    assert page.state != "allocated"
    sys_mlock(vma)
    (again,) = mapped(vma)
    assert "mlocked" in flags(again)
    assert nr_mlock(s) == 1


# -- the window of a nonlinear vma -----------------------------------------------------------------


def window(*gates: str) -> tuple[Stage, Any, Any, Any]:
    s = stage(*gates)
    check_page, other = s.page(), s.page()
    vma = s.mmap("one", (other, check_page), NONLINEAR)
    lock_page(check_page)
    return s, vma, check_page, other


def test_reclaim_runs_into_the_assertion_alone() -> None:
    s, _, check_page, _ = window()
    with pytest.raises(ContextDied):
        try_to_unmap(check_page, TTU_UNMAP)
    assert titles(s) == ["kernel BUG at mm/mlock.c:82!"]


@pytest.mark.parametrize("gates", [("drop-bug-on",), ("wanpeng-2013-12-17",), MERGED])
def test_with_any_of_the_patches_the_whole_window_is_mlocked(gates: tuple[str, ...]) -> None:
    s, _, check_page, other = window(*gates)
    assert try_to_unmap(check_page, TTU_UNMAP) is SWAP_MLOCK
    assert "mlocked" in flags(check_page) & flags(other)
    assert "locked" in flags(check_page)
    assert "locked" not in flags(other)
    assert nr_mlock(s) == 2


def test_the_merged_patch_leaves_a_locked_page_for_next_time() -> None:
    s, _, check_page, other = window(*MERGED)
    lock_page(other)
    assert try_to_unmap(check_page, TTU_UNMAP) is SWAP_MLOCK
    assert "mlocked" not in flags(other)
    assert s.m.metrics["trylock_skipped"] == 1
    unlock_page(other)
    try_to_unmap(check_page, TTU_UNMAP)
    assert "mlocked" in flags(other)


def test_kosaki_does_not_try_the_lock_of_what_is_mlocked() -> None:
    s, _, check_page, _ = window(*MERGED, "kosaki-2014-01-10")
    for _ in range(2):
        assert try_to_unmap(check_page, TTU_UNMAP) is SWAP_MLOCK
    assert s.m.metrics["trylocks"] == 1


def test_check_page_that_is_trylocked_is_never_mlocked() -> None:
    s, _, check_page, other = window(*MERGED, "cluster-trylock-check-page")
    assert try_to_unmap(check_page, TTU_UNMAP) is SWAP_AGAIN
    assert "mlocked" in flags(other)
    assert "mlocked" not in flags(check_page)
    assert "check_page_mlocked" not in s.m.metrics


def test_check_page_that_is_unlocked_is_no_longer_the_callers() -> None:
    _, _, check_page, _ = window(*MERGED, "cluster-unlock-check-page")
    try_to_unmap(check_page, TTU_UNMAP)
    with pytest.raises(ContextDied):
        unlock_page(check_page)


@pytest.mark.parametrize(
    ("gates", "stays"), [(MERGED, False), ((*MERGED, "cluster-skip-busy"), True)]
)
def test_without_mmap_sem_a_locked_vma_is_emptied(gates: tuple[str, ...], stays: bool) -> None:
    s, vma, check_page, other = window(*gates)
    s.mmap("two", (check_page, other), SHARED)
    down_write(vma.vm_mm.mmap_sem)
    try_to_unmap(check_page, TTU_UNMAP)
    up_write(vma.vm_mm.mmap_sem)
    assert mapped(vma) == ([other, check_page] if stays else [None, None])
    assert vma.v_vm_flags & VM_LOCKED


def test_an_unmapped_nonlinear_pte_remembers_its_page() -> None:
    _, vma, check_page, other = window(*MERGED)
    vma.v_vm_flags &= ~VM_LOCKED
    try_to_unmap(check_page, TTU_UNMAP)
    unlock_page(check_page)
    (table,) = vma.vm_mm.pgd.values()
    ptes = [slot.v_pte for _, slot in sorted(table.slots.items())]
    assert all(pte_file(pte) for pte in ptes)
    assert [pte_to_pgoff(pte) for pte in ptes] == [other.v_index, check_page.v_index]
    mm_populate(vma)
    assert mapped(vma) == [other, check_page]


# -- who moves and who copies ----------------------------------------------------------------------


def migrated(flags_: int, *gates: str, pin: bool = False) -> tuple[Stage, Any, Any, bool]:
    s = stage(*MERGED, *gates)
    spare, page = s.page(mlocked=True), s.page(mlocked=True)
    memblock_free_all(s.vm)
    vma = s.mmap("one", (spare, page), flags_)
    if pin:
        get_page(page)
    return s, vma, page, alloc_contig_range(page)


def test_a_migrated_page_loses_its_mark() -> None:
    s, vma, page, went = migrated(LOCKED)
    new = mapped(vma)[1]
    assert went
    assert new is not page
    assert "mlocked" not in flags(new)
    assert nr_mlock(s) == 1


def test_until_the_mapping_brings_it_back() -> None:
    s, vma, _, went = migrated(LOCKED, "hugh-2015-10-18")
    assert went
    assert "mlocked" in flags(mapped(vma)[1])
    assert nr_mlock(s) == 2


@pytest.mark.parametrize("gate", ["", "migrate-mapped"])
def test_a_nonlinear_locked_mapping_holds_the_page_in_place(gate: str) -> None:
    _, vma, page, went = migrated(NONLINEAR, *filter(None, [gate]))
    assert not went
    assert mapped(vma)[1] is page


def test_so_does_a_pin() -> None:
    _, vma, page, went = migrated(LOCKED, pin=True)
    assert not went
    assert mapped(vma)[1] is page


def test_unless_references_are_ignored() -> None:
    _, vma, page, went = migrated(LOCKED, "migrate-no-refcheck", pin=True)
    assert went
    assert mapped(vma)[1] is not page


@pytest.mark.parametrize(("gate", "marked"), [("", False), ("wp-no-munlock", True)])
def test_a_private_copy_is_mlocked_and_the_original_is_not(gate: str, marked: bool) -> None:
    s = stage(*MERGED, *filter(None, [gate]))
    page = s.page(mlocked=True)
    memblock_free_all(s.vm)
    vma = s.mmap("one", (page,), VM_WRITE | VM_LOCKED)
    anon_vma_link(vma, anon_vma("anon"))
    s.mmap("two", (page,), SHARED)
    write_fault(vma, vma.vm_start)
    (copy,) = mapped(vma)
    assert copy is not page
    assert "mlocked" in flags(copy)
    assert ("mlocked" in flags(page)) is marked


def test_truncate_frees_a_page_that_is_mlocked() -> None:
    s = stage(*MERGED)
    page = s.page(mlocked=True)
    vma = s.mmap("one", (page,), LOCKED)
    truncate_pagecache(s.mapping, page.v_index)
    assert mapped(vma) == [None]
    assert page.state == "pcp"
    assert nr_mlock(s) == 0
    assert not titles(s)
