# SPDX-License-Identifier: GPL-2.0-only
"""Compaction, one decision at a time: what it isolates, what it skips, which locks it takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim import compaction_zone
from mmsim.buffer import BH_Lock, create_empty_buffers, page_buffers, try_to_free_buffers
from mmsim.compaction import (
    GFP_KERNEL,
    GFP_NOFS,
    MIGRATE_ASYNC,
    MIGRATE_SYNC_LIGHT,
    block_end_pfn,
    compact_control,
    too_many_isolated,
)
from mmsim.compaction_zone import compact_zone, isolate_migratepages_block, kcompactd_do_work
from mmsim.engine.door import current
from mmsim.engine.oops import ContextDied
from mmsim.filemap import lock_page, unlock_page
from mmsim.filemap_cache import filemap_add_folio
from mmsim.linux.list import list_nodes
from mmsim.linux.spinlock import spin_lock_irqsave, spin_unlock_irqrestore
from mmsim.lru import lru_add_drain, lru_cache_add, put_page
from mmsim.memblock import memblock_free_all
from mmsim.memory_model import pfn_to_page
from mmsim.migrate_movable import movable_operations, putback_movable_pages
from mmsim.mmzone import lru_lock_of
from mmsim.page_alloc import alloc_page, alloc_pages
from mmsim.pagemap import address_space
from mmsim.rmap import anon_vma
from mmsim.scenarios.invariants import check_mm
from mmsim.slub import kmem_cache, kmem_cache_alloc
from mmsim.vmscan import ISOLATE_UNEVICTABLE
from tests.kernel.booted import booted

ERAS = ("4.19", "5.17")
FIRST = 0x100


class Memory:
    """A booted machine and a few pages; ``owners`` are the references meant to be left."""

    def __init__(self, era: str, *gates: str, **config: Any) -> None:
        config = {"DEBUG_VM": True, "DEBUG_LIST": True, "memcgs": 1, **config}
        pages = config.pop("pages", 16)
        self.m = booted(era, pages=pages, gates=gates, **config)
        self.vm = self.m.vm
        self.pgdat = self.vm.node_data[0]
        self.file = address_space("file")
        self.owners: list[Any] = []
        memblock_free_all(self.vm)

    def anon(self, *, pins: int = 0, memcg: int = 0) -> Any:
        """Mapped once, and pinned as often as it says."""
        page = alloc_page()
        page.v_flags |= page.m_swapbacked
        page.v__mapcount = 0
        page.v_mapping = anon_vma("anon_vma")
        page.v_mem_cgroup = self.vm.memcgs[memcg]
        lru_cache_add(page)
        lru_add_drain()
        page.v__refcount += pins
        self.owners += [page] * (1 + pins)
        return page

    def cached(self, *, buffers: bool = False) -> Any:
        """In the page cache, not mapped."""
        page = alloc_page()
        page.v_mem_cgroup = self.vm.root_mem_cgroup
        assert filemap_add_folio(self.file, page, page.pfn) == 0
        if buffers:
            create_empty_buffers(page)
            self.owners.append(page)
        unlock_page(page)
        put_page(page)
        lru_add_drain()
        return page

    def control(self, mode: int = MIGRATE_SYNC_LIGHT, gfp: int = GFP_KERNEL, **more: Any) -> Any:
        return compact_control(self.pgdat, mode, gfp, **more)

    def isolate(self, cc: Any, mode: int = ISOLATE_UNEVICTABLE) -> list[Any]:
        """One block as large as memory; what is on cc->migratepages afterwards."""
        isolate_migratepages_block(cc, FIRST, FIRST + len(self.vm.mem_map), mode)
        return [node.owner for node in list_nodes(cc.migratepages)]

    def check(self) -> None:
        check_mm(self.m, [self.file], self.owners)
        assert not self.m.findings, self.m.findings[0].title

    def put_back(self, cc: Any) -> None:
        putback_movable_pages(cc.migratepages)
        lru_add_drain()
        assert self.pgdat.v_vmstat_isolated == 0
        self.check()


# -- what is isolated -----------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_an_anonymous_page_is_isolated_and_put_back(era: str) -> None:
    mem = Memory(era)
    page, other = mem.anon(), mem.anon(memcg=1)
    cc = mem.control()
    assert mem.isolate(cc) == [other, page]
    assert cc.nr_migratepages == mem.pgdat.v_vmstat_isolated == 2
    assert page.v__refcount == 2
    assert not page.v_flags & page.m_lru
    assert not any(lru_lock_of(v).locked for g in mem.vm.memcgs for v in g.lruvecs)
    assert mem.m.metrics["lru_lock_holds"] == (1 if era == "4.19" else 2)
    mem.put_back(cc)
    assert page.v_flags & page.m_lru


@pytest.mark.parametrize("era", ERAS)
def test_a_pinned_anonymous_page_is_skipped_without_a_lock(era: str) -> None:
    mem = Memory(era)
    mem.anon(pins=1)
    assert mem.isolate(mem.control()) == []
    assert "lru_lock_holds" not in mem.m.metrics
    mem.check()


def test_under_lock_the_same_question_costs_the_lock() -> None:
    mem = Memory("4.19", "check-under-lock")
    mem.anon(pins=1)
    assert mem.isolate(mem.control()) == []
    assert mem.m.metrics["lru_lock_holds"] == 1
    mem.check()


@pytest.mark.parametrize("era", ERAS)
def test_pages_of_nobodys_lru_are_skipped(era: str) -> None:
    mem = Memory(era)
    slab = kmem_cache_alloc(kmem_cache("kmalloc-1k", order=1, objects=2)).page
    thp = alloc_pages(2, compound=True)
    pending = alloc_page()
    lru_cache_add(pending)
    assert mem.isolate(mem.control()) == []
    mem.owners += [slab, thp, pending]
    mem.check()


@pytest.mark.parametrize("era", ERAS)
def test_without_gfp_fs_only_anonymous_pages(era: str) -> None:
    mem = Memory(era)
    page, file = mem.anon(), mem.cached()
    cc = mem.control(gfp=GFP_NOFS)
    assert mem.isolate(cc) == [page]
    mem.put_back(cc)
    cc = mem.control()
    assert set(mem.isolate(cc)) == {page, file}
    mem.put_back(cc)


@pytest.mark.parametrize("era", ERAS)
def test_unevictable_pages_only_if_the_administrator_allows(era: str) -> None:
    mem = Memory(era)
    page = mem.anon()
    page.v_flags |= page.m_unevictable
    assert mem.isolate(mem.control(), mode=0) == []
    assert page.v__refcount == 1
    assert page.v_flags & page.m_lru


# -- buffer heads ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gates", "with_buffers", "without"),
    [
        ((), True, True),
        (("v1-opencode",), False, True),
        (("v1-recheck",), False, True),
        (("v1-opencode", "v1-recheck"), False, True),
        (("mapcount-no-assert",), True, True),
    ],
)
def test_the_first_patch_refuses_pages_with_buffers(
    gates: tuple[str, ...], with_buffers: bool, without: bool
) -> None:
    mem = Memory("4.19", *gates)
    buffers, plain = mem.cached(buffers=True), mem.cached()
    assert (buffers.v__refcount, plain.v__refcount) == (2, 1)
    cc = mem.control()
    isolated = mem.isolate(cc)
    assert (buffers in isolated, plain in isolated) == (with_buffers, without)
    mem.put_back(cc)


def test_the_second_comparison_is_made_for_the_first_page_under_the_lock_only() -> None:
    """It stands where the lock is taken; pages that come with the lock held are not compared."""
    mem = Memory("4.19", "v1-recheck")
    plain, buffers = mem.cached(), mem.cached(buffers=True)
    cc = mem.control()
    assert mem.isolate(cc) == [buffers, plain]
    mem.put_back(cc)


def test_buffers_hold_a_reference_until_none_of_them_is_busy() -> None:
    mem = Memory("4.19")
    page = mem.cached(buffers=True)
    bh = page_buffers(page)
    assert bh.b_this_page.b_this_page is bh
    lock_page(page)
    bh.b_this_page.v_b_state = BH_Lock
    assert not try_to_free_buffers(page)
    assert page.v__refcount == 2
    bh.b_this_page.v_b_state = 0
    assert try_to_free_buffers(page)
    unlock_page(page)
    assert page.v__refcount == 1
    assert not page.v_flags & page.m_private
    mem.owners.remove(page)
    mem.check()


def test_freeing_buffers_of_a_page_that_is_not_locked_is_a_bug() -> None:
    mem = Memory("4.19")
    page = mem.cached(buffers=True)
    with pytest.raises(ContextDied):
        try_to_free_buffers(page)
    assert mem.m.findings[0].title == "kernel BUG at fs/buffer.c:3263!"


# -- a reference first ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gates", "isolates"),
    [(("get-first",), True), (("get-first", "get-first-no-minus-one"), False)],
)
def test_ones_own_reference_is_not_a_pin(gates: tuple[str, ...], isolates: bool) -> None:
    mem = Memory("4.19", *gates)
    page, pinned = mem.anon(), mem.anon(pins=1)
    cc = mem.control()
    assert mem.isolate(cc) == ([page] if isolates else [])
    assert pinned.v__refcount == 2
    mem.put_back(cc)


# -- skips, modes and limits ----------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_free_blocks_and_compound_pages_are_stepped_over(era: str) -> None:
    """What lies behind the first frame is not looked at; unless the order is none."""
    mem = Memory(era)
    thp = alloc_pages(2, compound=True)
    mem.vm.mem_map[8].v_private = 3
    for first in (thp.pfn, FIRST + 8):
        hidden = pfn_to_page(first + 2)
        hidden.v_flags |= hidden.m_lru
    seen: list[Any] = []
    mem.vm.compaction_trace = SimpleNamespace(
        precheck=lambda page, skip, own: seen.append(page),
        refused=seen.append,
        isolated=seen.append,
    )
    isolate_migratepages_block(mem.control(), FIRST, FIRST + 16, 0)
    assert seen == []
    mem.vm.mem_map[8].v_private = 77  # no order at all: somebody has it by now
    mem.vm.mem_map[10].v_mapping = anon_vma("anon_vma")
    isolate_migratepages_block(mem.control(), FIRST, FIRST + 16, 0)
    assert seen[:1] == [mem.vm.mem_map[10]]


def test_asynchronous_compaction_does_not_wait_for_the_lock_in_4_19() -> None:
    mem = Memory("4.19")
    mem.anon()
    lock = mem.pgdat.lru_lock
    flags = spin_lock_irqsave(lock)
    cc = mem.control(MIGRATE_ASYNC)
    assert mem.isolate(cc) == []
    assert cc.contended
    spin_unlock_irqrestore(lock, flags)
    cc = mem.control(MIGRATE_ASYNC)
    assert len(mem.isolate(cc)) == 1
    assert not cc.contended
    mem.put_back(cc)


@pytest.mark.parametrize("era", ERAS)
def test_direct_compaction_gives_up_a_block_that_it_cannot_have_whole(era: str) -> None:
    mem = Memory(era)
    page = mem.anon()
    mem.anon(pins=1)
    assert page.pfn % 2 == 0
    assert mem.isolate(mem.control(MIGRATE_ASYNC, order=1, direct=True)) == []
    lru_add_drain()
    mem.check()
    cc = mem.control(MIGRATE_SYNC_LIGHT, order=1, direct=True)
    assert mem.isolate(cc) == [page]
    mem.put_back(cc)


def test_direct_compaction_stops_at_a_block_that_it_has_whole() -> None:
    mem = Memory("4.19")
    a, b, c = mem.anon(), mem.anon(), mem.anon()
    cc = mem.control(MIGRATE_ASYNC, order=1, direct=True)
    assert mem.isolate(cc) == [b, a]
    assert c.v_flags & c.m_lru
    mem.put_back(cc)


def test_with_too_many_isolated_asynchronous_compaction_does_nothing() -> None:
    mem = Memory("4.19")
    mem.anon()
    assert not too_many_isolated(mem.pgdat)
    mem.pgdat.v_vmstat_isolated = 5
    assert too_many_isolated(mem.pgdat)
    cc = mem.control(MIGRATE_ASYNC)
    assert isolate_migratepages_block(cc, FIRST, FIRST + 16, 0) == 0
    assert cc.nr_migratepages == 0


@pytest.mark.parametrize(("era", "rounds"), [("4.19", [32, 32, 8]), ("5.17", [32, 40])])
def test_a_block_that_is_scanned_again_is_taken_as_a_whole(era: str, rounds: list[int]) -> None:
    """32 pages at most; from 5.1 on the second look at a block has no such limit."""
    mem = Memory(era, pages=80)
    mem.vm.pageblock_nr_pages = 80
    for _ in range(72):
        mem.anon()
    taken = [0]

    def putback(listing: Any) -> None:
        taken.append(0)
        putback_movable_pages(listing)

    def isolated(page: Any) -> None:
        taken[-1] += 1

    mem.vm.compaction_trace = SimpleNamespace(
        precheck=lambda page, skip, own: None, refused=None, isolated=isolated
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction_zone, "putback_movable_pages", putback)
        compact_zone(mem.control(order=-1))  # echo 1 > /proc/sys/vm/compact_memory
    assert taken[:-1] == rounds
    lru_add_drain()
    mem.check()


def test_compact_zone_drains_this_cpu_first() -> None:
    """The page that waits in a pagevec is on the LRU when the scanner comes by."""
    for era in ERAS:
        mem = Memory(era)
        page = alloc_page()
        page.v_flags |= page.m_swapbacked
        page.v__mapcount = 0
        page.v_mapping = anon_vma("anon_vma")
        page.v_mem_cgroup = mem.vm.root_mem_cgroup
        lru_cache_add(page)
        mem.owners.append(page)
        compact_zone(mem.control())
        assert mem.m.metrics["lru_lock_holds"] == 1
        lru_add_drain()
        mem.check()


@pytest.mark.parametrize(("pfn", "order", "end"), [(8, 1, 10), (9, 1, 10), (8, 3, 16), (15, 3, 16)])
def test_block_end(pfn: int, order: int, end: int) -> None:
    assert block_end_pfn(pfn, order) == end


@pytest.mark.parametrize("era", ERAS)
def test_the_background_thread_leaves_memory_as_it_was(era: str) -> None:
    mem = Memory(era)
    mem.anon(), mem.anon(pins=1), mem.cached(), mem.cached(buffers=True)
    kcompactd_do_work(mem.pgdat)
    mem.check()


# -- pages of drivers -----------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("willing", [True, False])
def test_a_driver_is_asked_for_its_page(era: str, willing: bool) -> None:
    mem = Memory(era)
    asked = []

    def isolate_page(page: Any) -> bool:
        asked.append(("isolate", page, page.lock_owner is current()))
        return willing

    def putback_page(page: Any) -> None:
        asked.append(("putback", page, page.lock_owner is current()))

    page = alloc_page()
    mem.owners.append(page)
    page.v_mapping = movable_operations("balloon", isolate_page, putback_page)
    cc = mem.control()
    assert mem.isolate(cc) == ([page] if willing else [])
    assert bool(page.v_flags & page.m_isolated) is willing
    putback_movable_pages(cc.migratepages)
    expected = [("isolate", page, True)] + [("putback", page, True)] * willing
    assert asked == expected
    mem.check()


def test_compact_zone_walks_every_block() -> None:
    mem = Memory("4.19")
    pages = [mem.anon() for _ in range(6)]
    cc = mem.control()
    compact_zone(cc)
    lru_add_drain()
    assert cc.migrate_pfn == FIRST + 16
    assert mem.m.metrics["lru_lock_holds"] == 3  # blocks of two frames
    assert all(page.v_flags & page.m_lru for page in pages)
    mem.check()
