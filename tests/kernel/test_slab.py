# SPDX-License-Identifier: GPL-2.0-only
"""Slabs: whose word of struct page is whose, and how objects and slabs come and go."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.engine.carriers.threads import threads
from mmsim.engine.events import Event
from mmsim.engine.instruments import Events
from mmsim.engine.oops import ContextDied
from mmsim.engine.policy import RoundRobin
from mmsim.linux.list import LIST_HEAD, LIST_POISON1, LIST_POISON2, list_add, list_del, list_nodes
from mmsim.memblock import memblock_free_all
from mmsim.page import (
    ClearPageWaiters,
    PageSlab,
    PageSwapCache,
    SetPageReclaim,
    __PageMovable,
)
from mmsim.page_alloc import alloc_page, alloc_pages
from mmsim.scenarios.invariants import check_mm
from mmsim.scenarios.s001_compaction_slab.stage import slab_pages
from mmsim.slab import (
    cache_alloc,
    cache_free,
    page_slab,
    slab_cache,
    slab_v3_13,
    slab_v4_19,
    slab_v6_2,
)
from mmsim.slub import FROZEN, kmem_cache, kmem_cache_alloc, kmem_cache_free
from mmsim.util import compound_order, page_mapcount, page_mapping
from tests.kernel.booted import booted

REARRANGED = ("slab-rearranged",)
COUNTERS_OVER_MAPCOUNT = ("slub-counters-in-mapcount",)


def machine(era: str = "4.19", *gates: str, pages: int = 16, **config: Any) -> Any:
    m = booted(era, pages=pages, gates=gates, **{"DEBUG_VM": True, "DEBUG_LIST": True, **config})
    memblock_free_all(m.vm)
    return m


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("era", "gates", "layout"),
    [
        ("4.19", (), slab_v4_19),
        ("5.17", (), slab_v4_19),
        ("3.13", (), slab_v3_13),
        ("4.19", COUNTERS_OVER_MAPCOUNT, slab_v3_13),
        ("5.17", REARRANGED, slab_v6_2),
    ],
)
def test_the_kernel_that_was_booted_decides_the_layout(
    era: str, gates: tuple[str, ...], layout: type
) -> None:
    m = machine(era, *gates)
    page = m.vm.mem_map[0]
    assert type(page_slab(page)) is layout
    assert page_slab(page) is page_slab(page)


def test_slub_of_4_19_lies_over_mapping_index_and_private() -> None:
    machine()
    page, s = alloc_page(), kmem_cache("kmalloc-64")
    slab = page_slab(page)
    slab.slab_cache, slab.freelist = s, "object"
    slab.objects, slab.inuse, slab.frozen = 32, 32, 1
    assert page.v_mapping is s
    assert page.v_index == "object"
    assert page.v_private == 0x80200020  # the dump of the report
    assert page.v__mapcount == -1
    page.v_private = 0x00050003
    assert (slab.inuse, slab.objects, slab.frozen) == (3, 5, 0)
    assert slab.slab_list is page.lru


def test_slub_until_4_17_lies_over_mapcount() -> None:
    m = machine("4.19", *COUNTERS_OVER_MAPCOUNT, DEBUG_VM=False)
    page = m.vm.mem_map[0]
    slab = page_slab(page)
    slab.counters = 0
    slab.objects, slab.inuse, slab.frozen = 32, 32, 1
    assert slab.counters == 0x80200020
    assert page.v__mapcount == 0x80200020 - (1 << 32)
    assert page_mapcount(page) < -1_000_000
    slab.frozen = 0
    assert page_mapcount(page) == 0x00200020 + 1
    assert page.v_private != 0x00200020


def test_the_list_pointer_of_a_rearranged_slab_is_the_mapping() -> None:
    m = machine("5.17", *REARRANGED)
    page, other = m.vm.mem_map[:2]
    head = LIST_HEAD("partial")
    for each in (page, other):
        list_add(page_slab(each).slab_list, head)
    assert page.v_mapping is page_slab(other).slab_list
    assert page.lru.v_prev is head  # slab_list.next
    assert [node.owner for node in list_nodes(head)] == [other, page]
    list_del(page_slab(page).slab_list)
    assert page.v_mapping is LIST_POISON2
    assert page.lru.v_prev is LIST_POISON1
    assert [node.owner for node in list_nodes(head)] == [other]


@pytest.mark.parametrize(("era", "movable"), [("4.19", False), ("5.4", True), ("5.17", True)])
def test_only_poison_that_ends_in_22_looks_movable(era: str, movable: bool) -> None:
    m = machine(era)
    page = m.vm.mem_map[0]
    page.v_mapping = LIST_POISON2
    assert __PageMovable(page) is movable


# -- SLUB -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["3.13", "4.19", "5.17"])
@pytest.mark.parametrize("gates", [(), REARRANGED, COUNTERS_OVER_MAPCOUNT])
def test_objects_come_and_go_and_so_do_their_pages(era: str, gates: tuple[str, ...]) -> None:
    m = machine(era, *gates)
    s = kmem_cache("kmalloc-1k", order=1, min_order=0, objects=2)
    objects = [kmem_cache_alloc(s) for _ in range(11)]
    assert None not in objects
    assert len({o.address for o in objects}) == 11
    by_page = Counter(o.page for o in objects)
    assert sorted(by_page.values()) == [3, 4, 4]
    assert all(page.v_flags & page.m_slab and page.v__refcount == 1 for page in by_page)
    for o in objects[::2] + objects[1::2]:
        kmem_cache_free(s, o)
    kept = slab_pages(s)
    assert len(kept) == 1  # this CPU's
    assert s.v_nr_partial == 0
    check_mm(m, owners=kept)
    assert not m.findings


def test_a_slab_with_a_free_object_is_listed_and_taken_again() -> None:
    m = machine()
    s = kmem_cache("kmalloc-2k", objects=2)
    a, b, c = (kmem_cache_alloc(s) for _ in range(3))
    assert a.page is b.page is not c.page
    kmem_cache_free(s, a)
    assert slab_pages(s) == [c.page, a.page]
    assert page_slab(a.page).inuse == 1
    kmem_cache_alloc(s)  # the rest of this CPU's slab
    d = kmem_cache_alloc(s)
    assert d is a
    assert s.v_nr_partial == 0
    assert d.page.lru.v_prev is LIST_POISON2
    assert page_slab(d.page).counters & FROZEN
    assert not m.findings


def test_without_a_large_block_it_takes_a_small_one() -> None:
    m = machine(pages=2)
    alloc_page()  # what is left is order 0
    s = kmem_cache("kmalloc-1k", order=1, min_order=0, objects=2)
    assert page_slab(kmem_cache_alloc(s).page).objects == 2
    assert [kmem_cache_alloc(s) is None for _ in range(2)] == [False, True]
    assert not m.findings


def stores(era: str) -> list[str]:
    """What becomes of a page on its way to a slab, in the order others can see it."""
    m = machine(era)
    events: list[Event] = []
    m.spawn(kmem_cache_alloc, kmem_cache("kmalloc-1k", order=1, objects=2), comm="sh")
    m.instruments.append(Events(events.append))
    carrier = threads()
    try:
        carrier.run(m, RoundRobin())
    finally:
        carrier.close()
    names = {"_refcount", "flags:head", "flags:slab", "mapping"}
    page = m.vm.mem_map[0].name
    return [
        e.label for e in events if e.obj == page and e.label in names and e.kind.startswith("write")
    ]


def test_a_page_is_referenced_before_it_is_compound_and_compound_before_it_is_a_slab() -> None:
    assert stores("4.19") == ["_refcount", "flags:head", "mapping", "flags:slab"]
    assert stores("5.17") == ["_refcount", "flags:head", "flags:slab", "mapping"]


def test_a_page_that_somebody_holds_is_freed_by_him() -> None:
    """The walker's put is the last: the slab's pages go then, and not before."""
    m = machine()
    s = kmem_cache("kmalloc-4k", objects=1)
    a, _ = kmem_cache_alloc(s), kmem_cache_alloc(s)
    a.page.v__refcount += 1
    kmem_cache_free(s, a)
    assert a.page.state == "allocated"
    assert not PageSlab(a.page)
    assert a.page.v_mapping is None
    assert not m.findings


# -- SLAB -----------------------------------------------------------------------------------------


def test_slab_counts_its_objects_in_mapcount() -> None:
    m = machine(DEBUG_VM=False)
    s = slab_cache("kmalloc-1k", objects=4)
    objects = [cache_alloc(s) for _ in range(3)]
    page = objects[0].page
    assert page.v__mapcount == 3
    assert page_mapcount(page) == 4
    assert [node.owner for node in list_nodes(s.slabs_partial)] == [page]
    objects.append(cache_alloc(s))
    assert [node.owner for node in list_nodes(s.slabs_full)] == [page]
    for o in objects:
        cache_free(s, o)
    check_mm(m)
    assert not m.findings
    assert page.v__mapcount in (-1, -129)


# -- what others read -----------------------------------------------------------------------------


def test_a_slab_has_no_mapping_though_the_word_is_not_null() -> None:
    m = machine()
    page = kmem_cache_alloc(kmem_cache("kmalloc-64")).page
    assert page.v_mapping is not None
    assert page_mapping(page) is None
    page.v_flags &= ~page.m_slab  # as it is for a moment while the slab is made
    assert page_mapping(page) is page.v_mapping
    assert not m.findings


@pytest.mark.parametrize(
    ("era", "gates", "config", "fires"),
    [
        ("4.19", (), {"DEBUG_VM": True}, True),
        ("4.19", (), {"DEBUG_VM": False}, False),
        ("4.19", ("mapcount-no-assert",), {"DEBUG_VM": True}, False),
        ("5.17", (), {"DEBUG_VM": True}, False),
    ],
)
def test_asking_a_slab_how_often_it_is_mapped(
    era: str, gates: tuple[str, ...], config: dict[str, bool], fires: bool
) -> None:
    m = machine(era, *gates, **config)
    page = kmem_cache_alloc(kmem_cache("kmalloc-64")).page
    if fires:
        with pytest.raises(ContextDied):
            page_mapcount(page)
        assert m.findings[0].title == "VM_BUG_ON_PAGE(PageSlab(page))"
        assert m.findings[0].page.flag_names == ("slab",)
    else:
        assert page_mapcount(page) == 0
        assert not m.findings


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_order_of_a_compound_page(order: int) -> None:
    machine()
    page = alloc_pages(order, compound=True)
    assert compound_order(page) == order
    assert compound_order(alloc_page()) == 0


# -- tails ----------------------------------------------------------------------------------------


def test_a_tail_of_a_slab_is_a_slab() -> None:
    """PG_slab is the head's, and PageSlab() of a tail looks there: a tail trips the assertion, too.

    A frame that was a page of its own on the LRU may have come back as that.
    """
    m = machine("4.19")
    slab = kmem_cache_alloc(kmem_cache("kmalloc-512", order=1)).page
    tail = m.vm.mem_map[slab.pfn - m.vm.mem_map[0].pfn + 1]
    assert not tail.v_flags & tail.m_slab
    assert PageSlab(tail)
    with pytest.raises(ContextDied):
        page_mapcount(tail)
    (found,) = m.findings
    assert found.title == "VM_BUG_ON_PAGE(PageSlab(page))"
    assert (found.page.pfn, found.page.head, found.page.order) == (tail.pfn, slab.address, 1)


@pytest.mark.parametrize(("pgflags", "found"), [(True, 1), (False, 0)])
def test_who_changes_a_flag_through_a_tail_is_told_with_debug_vm_pgflags(
    pgflags: bool, found: int
) -> None:
    m = machine("4.19", DEBUG_VM_PGFLAGS=pgflags)
    head = alloc_pages(1, compound=True)
    tail = m.vm.mem_map[head.pfn - m.vm.mem_map[0].pfn + 1]
    with pytest.raises(ContextDied) if pgflags else nullcontext():
        ClearPageWaiters(tail)
    assert len(m.findings) == found
    with pytest.raises(ContextDied) if pgflags else nullcontext():
        SetPageReclaim(tail)
    assert [finding.title for finding in m.findings] == [
        "VM_BUG_ON_PAGE(PageTail(page))",
        "VM_BUG_ON_PAGE(1 && PageTail(page))",
    ][: 2 * found]
    for finding in m.findings:
        assert finding.detail == ("kernel BUG at ./include/linux/page-flags.h!",)
    assert bool(head.v_flags & head.m_reclaim) is not pgflags


def test_the_swap_cache_bit_means_that_on_swap_backed_pages_only() -> None:
    machine("5.4")
    page = alloc_page()
    page.v_flags |= page.m_swapcache  # PG_owner_priv_1 of a file system
    assert not PageSwapCache(page)
    page.v_flags |= page.m_swapbacked
    assert PageSwapCache(page)
