# SPDX-License-Identifier: GPL-2.0-only
"""The allocator: blocks split and merge, checks fire where the configuration puts them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmsim.scenarios.gates  # noqa: F401
from mmsim.engine.carriers.threads import threads
from mmsim.engine.events import Event
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Events
from mmsim.engine.oops import ContextDied
from mmsim.engine.policy import RoundRobin
from mmsim.linux.list import LIST_POISON1, LIST_POISON2, list_nodes
from mmsim.linux.percpu import per_cpu
from mmsim.memblock import memblock_alloc, memblock_free_all
from mmsim.memory_model import pfn_to_page
from mmsim.mmzone import MAX_ORDER
from mmsim.page import PageBuddy, PageHead
from mmsim.page_alloc import (
    __free_pages,
    alloc_page,
    alloc_pages,
    drain_local_pages,
    drain_pages,
    free_pages_prepare,
    free_unref_page,
    free_unref_page_list,
    pageset,
    set_page_refcounted,
)
from mmsim.pagemap import address_space
from mmsim.scenarios.invariants import check_free_lists, check_mm
from mmsim.util import compound_order
from tests.kernel.booted import booted, points

FIRST = 0x100
free_pages = __free_pages  # inside a class the name would be mangled


def machine(era: str = "5.17", pages: int = 16, **config: Any) -> Any:
    m = booted(era, pages=pages, **config)
    memblock_free_all(m.vm)
    return m


def blocks(m: Any, node: int = 0) -> list[list[int]]:
    """Free blocks by order, as offsets from the first frame."""
    area = m.vm.node_data[node].zone.free_area
    return [sorted(n.owner.pfn - FIRST for n in list_nodes(area[o])) for o in range(MAX_ORDER)]


def drain(m: Any) -> None:
    for cpu in range(len(m.cpus)):
        for pcp in per_cpu(pageset, cpu).values():
            drain_pages(pcp)


def titles(m: Any) -> list[str]:
    return [finding.title for finding in m.findings]


# -- blocks ---------------------------------------------------------------------------------------


def test_boot_makes_the_largest_aligned_blocks() -> None:
    assert blocks(machine(pages=16)) == [[], [], [], [0, 8]]
    assert blocks(machine(pages=7)) == [[6], [4], [0], []]


def test_frames_taken_at_boot_are_in_no_block() -> None:
    m = booted("5.17", pages=8)
    page = memblock_alloc(m.vm)
    memblock_free_all(m.vm)
    assert page.v__refcount == 1
    assert blocks(m) == [[1], [2], [4], []]


def test_a_block_is_split_and_merged_again() -> None:
    m = machine("5.4", pages=8)
    page = alloc_pages(1)
    assert blocks(m) == [[], [2], [4], []]
    assert page.state == "allocated"
    assert pfn_to_page(page.pfn + 1).state == "tail"
    free_pages(page, 1)
    assert blocks(m) == [[], [], [], [0]]
    assert not m.findings


def test_pages_of_different_nodes_do_not_merge() -> None:
    m = booted("5.17", nodes=2, pages=8)
    memblock_free_all(m.vm)
    assert blocks(m, 0) == [[0, 2, 4, 6], [], [], []]
    pages = [alloc_page(node=0) for _ in range(8)]
    assert [p.node for p in pages] == [0] * 4 + [1] * 4  # the other node when the first is empty
    assert alloc_page() is None


def test_a_fresh_page_has_poisoned_links_and_one_reference() -> None:
    machine()
    page = alloc_page()
    assert (page.v__refcount, page.v__mapcount, page.v_flags) == (1, -1, 0)
    assert (page.lru.v_next, page.lru.v_prev) == (LIST_POISON1, LIST_POISON2)
    assert not PageBuddy(page)


def test_a_cpu_keeps_a_few_pages_and_gives_back_a_batch() -> None:
    m = machine(pages=16)
    zone = m.vm.node_data[0].zone
    pages = [alloc_page() for _ in range(zone.pageset_high)]
    for page in pages:
        free_pages(page, 0)
    (pcp,) = per_cpu(pageset, 0).values()
    assert pcp.v_count == zone.pageset_high - zone.pageset_batch
    assert pcp.lists[0].v_next.owner is pages[-1]  # the hottest first
    drain(m)
    assert blocks(m) == [[], [], [], [0, 8]]


@pytest.mark.parametrize("era", ["4.19", "5.17"])
def test_a_compound_page_knows_its_tails(era: str) -> None:
    m = machine(era, pages=8)
    head = alloc_pages(2, compound=True)
    tails = [pfn_to_page(head.pfn + i) for i in range(1, 4)]
    assert PageHead(head)
    assert compound_order(head) == 2
    assert [t.v_compound_head for t in tails] == [head] * 3
    free_pages(head, 2)
    assert [t.v_compound_head for t in tails] == [None] * 3
    assert not PageHead(head)
    drain(m)
    assert blocks(m) == [[], [], [], [0]]


def test_the_order_of_a_compound_page_is_a_word_of_its_first_tail() -> None:
    machine("4.19", pages=8)
    head = alloc_pages(2, compound=True)
    pfn_to_page(head.pfn + 1).v_compound_order = 1
    assert compound_order(head) == 1
    assert compound_order(pfn_to_page(head.pfn + 2)) == 0


def test_a_tail_is_shown_as_what_it_is() -> None:
    m = machine("5.17", pages=8)
    head = alloc_pages(2, compound=True)
    tail = pfn_to_page(head.pfn + 3)
    shown = tail.snapshot()
    assert (shown.head, shown.order, shown.lru_next) == (head.address, 2, head.address + 1)
    assert shown.ref == 1  # 5.17 prints the head's
    assert shown.history == head.snapshot().history
    free_pages(head, 2)
    drain(m)
    assert (head.snapshot().order, tail.snapshot().order) == (0, 0)


@pytest.mark.parametrize(("debug", "found"), [(True, True), (False, False)])
def test_tails_are_looked_at_with_debug_vm_only(debug: bool, found: bool) -> None:
    m = machine("5.4", DEBUG_VM=debug)
    head = alloc_pages(2, compound=True)
    pfn_to_page(head.pfn + 3).v_mapping = None
    free_pages(head, 2)
    title = "BUG: Bad page state: corrupted mapping in tail page"
    assert titles(m) == ([title] if found else [])


@pytest.mark.parametrize(("era", "state"), [("5.4", "free"), ("5.17", "pcp")])
def test_larger_blocks_go_through_the_per_cpu_lists_from_5_14_on(era: str, state: str) -> None:
    m = machine(era, pages=32)
    page = alloc_pages(1)
    free_pages(page, 1)
    assert page.state == state
    assert alloc_pages(1) is page or era == "5.4"
    check_free_lists(m)
    assert not m.findings


def test_a_speculative_reference_to_a_block_does_not_leak_its_tails() -> None:
    """5.10 and later: who has the other reference will free one page."""
    for era, tail in (("5.4", "tail"), ("5.17", "pcp")):
        m = machine(era)
        page = alloc_pages(1)
        page.v__refcount += 1
        free_pages(page, 1)
        assert pfn_to_page(page.pfn + 1).state == tail
        assert not m.findings


def test_forgetting_the_flags_is_a_load_and_a_store() -> None:
    """A bit that another CPU sets in between is lost, whatever it is."""
    m = machine("5.4")
    page = alloc_page()
    m.spawn(lambda: free_unref_page(page), comm="free", cpu=0)
    page.v__refcount = 0
    seen = []

    def listen(event: Event) -> None:
        if event.obj == page.name and event.op.words == ("flags",):
            seen.append(event.kind)

    m.instruments.append(Events(listen))
    carrier = threads()
    try:
        carrier.run(m, RoundRobin())
    finally:
        carrier.close()
    assert seen[-2:] == ["read", "write"]


def test_a_first_reference_is_the_first() -> None:
    m = machine("5.17", DEBUG_VM=True)
    page = alloc_page()
    with pytest.raises(ContextDied):
        set_page_refcounted(page)
    assert titles(m) == ["VM_BUG_ON_PAGE(page_ref_count(page))"]


@pytest.mark.parametrize(
    ("era", "tail", "order"), [("4.19", 1013, 1025), ("5.4", 1127, 1139), ("5.17", 1301, 1325)]
)
def test_what_is_freed_is_a_head_of_the_order_that_is_said(era: str, tail: int, order: int) -> None:
    for free, text, line in (
        (lambda head: free_pages_prepare(pfn_to_page(head.pfn + 1), 0), "PageTail(page)", tail),
        (
            lambda head: free_pages_prepare(head, 2),
            "compound && compound_order(page) != order",
            order,
        ),
    ):
        m = machine(era, DEBUG_VM=True)
        head = alloc_pages(1, compound=True)
        with pytest.raises(ContextDied):
            free(head)
        assert titles(m) == [f"VM_BUG_ON_PAGE({text})"]
        assert m.findings[0].detail == (f"kernel BUG at mm/page_alloc.c:{line}!",)


@pytest.mark.parametrize(("flags", "kept"), [(0, True), (1, False), (2, False)])
def test_a_mapping_that_is_no_files_is_cleared(flags: int, kept: bool) -> None:
    """Those of anonymous and of movable pages; a file's that is left is a bad page."""
    m = machine("5.17")
    page = alloc_page()
    page.v__refcount = 0
    page.v_mapping = address_space("left")
    page.v_mapping.mapping_flags = flags
    assert free_pages_prepare(page, 0) is not kept
    assert titles(m) == ["BUG: Bad page state: non-NULL mapping"] * kept


def test_the_per_cpu_lists_are_emptied_into_a_list_of_our_own_before_the_lock(
    token: Token,
) -> None:
    m = machine("5.4")
    seen: list[tuple[str, str]] = []
    for page in [alloc_page() for _ in range(3)]:
        free_pages(page, 0)
    m.spawn(lambda: drain_local_pages(m.vm.node_data[0].zone), comm="drain")
    m.instruments.append(Events(lambda event: seen.append((event.kind, event.obj))))
    token.run(m, RoundRobin())
    lock = seen.index(("lock", "&zone->lock"))
    assert ("write", "head") in seen[:lock]
    assert not any("free_area" in obj for _, obj in seen[:lock])
    assert ("read", "head") in seen[lock:]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), max_size=40))
def test_nothing_is_lost_and_nothing_is_twice(steps: list[tuple[int, int]]) -> None:
    """Allocate an order, or free the n-th block one has: everything merges again in the end."""
    m = machine(pages=16, DEBUG_VM=True, DEBUG_LIST=True)
    mine: list[tuple[Any, int]] = []
    for order, n in steps:
        if n < 4 and n < len(mine):
            free_pages(*mine.pop(n))
        else:
            page = alloc_pages(order)
            if page is not None:
                mine.append((page, order))
        frames = [p.pfn + i for p, order in mine for i in range(1 << order)]
        assert len(frames) == len(set(frames))
    for block in mine:
        free_pages(*block)
    check_free_lists(m)  # which drains
    assert blocks(m) == [[], [], [], [0, 8]]
    assert not m.findings


# -- checks ---------------------------------------------------------------------------------------

DAMAGE = {
    "nonzero mapcount": {"v__mapcount": 0},
    "non-NULL mapping": {"v_mapping": object()},
    "nonzero _refcount": {"v__refcount": 1},
    "PAGE_FLAGS_CHECK_AT_FREE flag(s) set": {"v_flags": 1 << 4},
    "page still charged to cgroup": {"v_mem_cgroup": object()},
}


def damaged(m: Any, **fields: Any) -> Any:
    page = alloc_page()
    page.v__refcount = 0
    for name, value in fields.items():
        setattr(page, name, value)
    return page


@pytest.mark.parametrize("reason", DAMAGE)
def test_with_debug_vm_a_bad_page_is_found_as_it_is_freed_and_leaked(reason: str) -> None:
    m = machine(DEBUG_VM=True)
    page = damaged(m, **DAMAGE[reason])
    free_unref_page(page)
    assert titles(m) == [f"BUG: Bad page state: {reason}"]
    assert m.findings[0].page.pfn == page.pfn
    assert page.state == "bad"
    drain(m)
    assert page.pfn - FIRST not in [pfn for order in blocks(m) for pfn in order]


@pytest.mark.parametrize("reason", DAMAGE)
def test_without_it_only_when_the_per_cpu_list_is_given_back(reason: str) -> None:
    m = machine()
    free_unref_page(damaged(m, **DAMAGE[reason]))
    if reason.startswith("PAGE_FLAGS"):
        m.findings.clear()  # freeing forgets the flags, so this one is never found
        drain(m)
        assert not m.findings
        return
    assert not m.findings
    drain(m)
    assert titles(m) == [f"BUG: Bad page state: {reason}"]


def test_before_4_7_every_free_is_checked() -> None:
    m = machine("3.13")
    free_unref_page(damaged(m, v__refcount=1))
    assert titles(m) == ["BUG: Bad page state: nonzero _count"]


def test_the_last_test_that_holds_names_the_reason() -> None:
    m = machine(DEBUG_VM=True)
    everything = {name: value for fields in DAMAGE.values() for name, value in fields.items()}
    free_unref_page(damaged(m, **everything))
    assert titles(m) == ["BUG: Bad page state: page still charged to cgroup"]
    assert "lru" in m.findings[0].page.flag_names


def test_a_flag_set_on_a_free_page_is_found_at_the_next_allocation() -> None:
    m = machine(DEBUG_VM=True)
    page = alloc_page()
    free_pages(page, 0)
    page.v_flags |= page.m_active
    other = alloc_page()
    assert titles(m) == ["BUG: Bad page state: PAGE_FLAGS_CHECK_AT_PREP flag(s) set"]
    assert other is not page
    assert page.state == "bad"


def test_a_double_free_is_seen_as_it_happens_with_both_culprits() -> None:
    m = machine()
    page = alloc_page()
    free_pages(page, 0)
    assert not m.findings
    free_unref_page(page)
    assert titles(m) == ["double free"]
    assert m.findings[0].kind == "double-free"
    assert [line.split()[0] for line in m.findings[0].page.history] == ["allocated"] + ["freed"] * 2


def test_a_page_on_a_free_list_that_has_an_owner_is_seen_when_it_is_handed_out() -> None:
    m = machine()
    page = alloc_page()
    free_pages(page, 0)
    page.state = "allocated"
    assert alloc_page() is page
    assert titles(m) == ["page allocated twice"]


def test_a_list_is_freed_without_the_pages_that_are_bad() -> None:
    from mmsim.linux.list import LIST_HEAD, list_add

    m = machine(DEBUG_VM=True)
    head = LIST_HEAD("pages_to_free")
    good, bad = alloc_page(), damaged(m, v__mapcount=0)
    good.v__refcount = 0
    for page in (good, bad):
        list_add(page.lru, head)
    free_unref_page_list(head)
    assert (good.state, bad.state) == ("pcp", "bad")
    check_mm(m)
    assert titles(m) == ["BUG: Bad page state: nonzero mapcount"]


def test_the_checks_pass_a_point_each() -> None:
    """An interrupt can come between any two steps of a free: they are not one effect."""
    machine(DEBUG_VM=True)
    page = alloc_page()
    _, n = points(free_pages, page, 0)
    assert n >= 10
