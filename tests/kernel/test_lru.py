# SPDX-License-Identifier: GPL-2.0-only
"""The LRU, function by function and era by era: who holds a reference, who may touch PG_lru."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.engine.events import Event
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Events
from mmsim.engine.oops import ContextDied
from mmsim.engine.policy import RoundRobin
from mmsim.filemap_cache import find_get_page
from mmsim.linux.list import LIST_HEAD, list_nodes
from mmsim.linux.percpu import per_cpu
from mmsim.lru import (
    lru_add_drain,
    lru_cache_add,
    mark_page_accessed,
    pagevec_release,
    put_page,
    release_pages,
)
from mmsim.memblock import memblock_free_all
from mmsim.memcg_move import mem_cgroup_move_charge
from mmsim.memcontrol import folio_lruvec, lruvec_memcg_debug
from mmsim.mmzone import folio_lru_list, lru_lock_of, mem_cgroup_update_lru_size
from mmsim.page import SetPageUptodate
from mmsim.page import __SetPageUptodate as set_uptodate_nonatomic
from mmsim.page_alloc import alloc_page, alloc_pages
from mmsim.page_ext import page_is_idle
from mmsim.page_idle import page_idle_bitmap_read, page_idle_bitmap_write
from mmsim.pagevec import pagevec, pagevec_add, pvecs
from mmsim.scenarios.invariants import check_lru, check_mm
from mmsim.shmem import shmem_undo_range
from mmsim.truncate import find_get_entries
from mmsim.vmscan import (
    isolate_lru_page,
    isolate_lru_pages,
    move_pages_to_lru,
    putback_lru_page,
    shrink_inactive_list,
)
from tests.kernel.booted import booted, points
from tests.kernel.lru_pages import (
    ACTIVE,
    ANON,
    ERAS,
    listed,
    lru,
    machine,
    on,
    titles,
    tmpfs,
)


@pytest.mark.parametrize("era", ERAS)
def test_a_new_page_waits_in_a_pagevec_that_has_a_reference(era: str) -> None:
    m = machine(era)
    page = alloc_page(0)
    page.v_mem_cgroup = m.vm.root_mem_cgroup
    lru_cache_add(page)
    assert (page.v__refcount, lru(page)) == (2, False)
    lru_add_drain()
    assert (page.v__refcount, lru(page)) == (1, True)
    check_mm(m, owners=[page])
    assert not m.findings


@pytest.mark.parametrize(("era", "size"), [("3.13", 14), ("5.4", 15), ("5.17", 15)])
def test_a_full_pagevec_drains_itself(era: str, size: int) -> None:
    m = machine(era)
    pages = [alloc_page(0) for _ in range(size)]
    for page in pages:
        page.v_mem_cgroup = m.vm.root_mem_cgroup
    for page in pages[:-1]:
        lru_cache_add(page)
    assert not any(map(lru, pages))
    lru_cache_add(pages[-1])
    assert all(map(lru, pages))
    assert not per_cpu(pvecs, 0).lru_add.pages
    assert not m.findings


@pytest.mark.parametrize("era", ERAS)
def test_the_last_reference_takes_the_page_off_the_lru(era: str) -> None:
    m = machine(era)
    pages = listed(m, 4)
    release_pages(pages[:3])
    put_page(pages[3])
    assert [page.state for page in pages] == ["pcp"] * 4
    assert not any(map(lru, pages))
    check_mm(m)
    assert not m.findings


@pytest.mark.parametrize("era", ERAS)
def test_a_reference_more_keeps_it(era: str) -> None:
    m = machine(era)
    (page,) = listed(m, 1)
    page.v__refcount += 1
    release_pages([page])
    assert lru(page)
    assert page.state == "allocated"
    check_mm(m, owners=[page])
    assert not m.findings


def test_the_lock_is_swapped_with_the_node_or_the_memcg() -> None:
    for era, memcgs, swaps in (("5.4", (1, 2), 1), ("5.17", (1, 2), 2), ("5.17", (1, 1), 1)):
        m = machine(era)
        first = listed(m, 1, memcgs[0])
        second = listed(m, 1, memcgs[1])
        lock = {lru_lock_of(m.vm.memcgs[c].lruvecs[0]).name for c in memcgs}
        release_pages(first + second)
        assert len(lock) == swaps
        assert not m.findings


@pytest.mark.parametrize(("era", "cleared"), [("5.4", True), ("5.17", False)])
def test_5_4_clears_the_flag_before_it_unlinks_and_5_17_after(era: str, cleared: bool) -> None:
    """So 5.17's own assertion about the flag comes after the crash it would have announced."""
    m = machine(era)
    page = alloc_page(0)  # its links are poison
    page.v_flags |= page.m_lru
    page.v_mem_cgroup = m.vm.root_mem_cgroup
    with pytest.raises(ContextDied):
        release_pages([page])
    # which warns and leaves the list alone; it is the size, taken from an empty list, that kills
    assert titles(m) == [
        "list_del corruption, ->next is LIST_POISON1",
        "WARNING: mem_cgroup_update_lru_size: lru_size is negative",
        "VM_BUG_ON(1)",
    ]
    assert lru(page) is not cleared
    assert m.findings[0].page.lru_next == {"5.4": 0x100, "5.17": 0xDEAD000000000100}[era]


def test_the_oops_of_the_report_is_a_list_del_of_poison() -> None:
    """r2 and r3 of the report: 0x100 and 0x122; the store goes to 0x104."""
    m = machine("5.4", DEBUG_VM=False, DEBUG_LIST=False)
    page = alloc_page(0)
    page.v_flags |= page.m_lru
    with pytest.raises(ContextDied):
        release_pages([page])
    assert "NULL pointer dereference at virtual address 00000104" in titles(m)[0]
    assert (m.findings[0].page.lru_next, m.findings[0].page.lru_prev) == (0x100, 0x122)
    assert m.findings[0].where == "release_pages_v5_4"


@pytest.mark.parametrize("era", ERAS)
def test_a_compound_page_is_released_without_the_lock(era: str) -> None:
    m = booted(era, memcgs=1, pages=16, DEBUG_VM=True)
    memblock_free_all(m.vm)
    small, huge = alloc_page(), alloc_pages(1, compound=True)
    for page in (small, huge):
        page.v_mem_cgroup = m.vm.root_mem_cgroup
        lru_cache_add(page)
    lru_add_drain()
    release_pages([small, huge])
    assert (small.state, huge.state) == ("pcp", "pcp" if era == "5.17" else "free")
    check_mm(m)
    assert not m.findings


# -- moves between lists --------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_isolation_and_putback_leave_everything_as_it_was(era: str) -> None:
    m = machine(era)
    (page,) = listed(m, 1)
    assert isolate_lru_page(page) == 0
    assert (page.v__refcount, lru(page), on(m, 0, ANON)) == (2, False, [])
    assert isolate_lru_page(page) < 0
    putback_lru_page(page)
    lru_add_drain()
    assert (page.v__refcount, on(m, 0, ANON)) == (1, [page])
    check_mm(m, owners=[page])
    assert not m.findings


@pytest.mark.parametrize("era", ERAS)
def test_reclaim_moves_a_page_without_references_aside(era: str) -> None:
    """Neighbours change, membership does not: why release_pages() may look before it locks."""
    m = machine(era)
    dying, other = listed(m, 4)[::2]
    dying.v__refcount = 0
    dst = LIST_HEAD("page_list")
    assert isolate_lru_pages(2, m.vm.memcgs[1].lruvecs[0], dst, ANON) == 1
    assert [n.owner for n in list_nodes(dst)] == [other]
    assert (lru(dying), dying.v__refcount, on(m, 0, ANON)) == (True, 0, [dying])


@pytest.mark.parametrize("era", ERAS)
def test_putback_frees_what_everybody_else_has_dropped(era: str) -> None:
    m = machine(era)
    kept, dropped = listed(m, 4)[::2]
    lruvec = m.vm.memcgs[1].lruvecs[0]
    isolated = LIST_HEAD("page_list")
    isolate_lru_pages(2, lruvec, isolated, ANON)
    dropped.v__refcount -= 1
    move_pages_to_lru(lruvec, isolated)
    assert [n.owner for n in list_nodes(isolated)] == [dropped]
    assert (on(m, 0, ANON), lru(dropped), dropped.v__refcount) == ([kept], False, 0)
    assert not m.findings


@pytest.mark.parametrize("era", ERAS)
def test_a_round_of_reclaim_keeps_and_activates(era: str) -> None:
    m = machine(era)
    used, idle = pages = listed(m, 4)[::2]
    used.v_flags |= used.m_referenced
    assert shrink_inactive_list(4, m.vm.memcgs[1].lruvecs[0], ANON) == 2
    assert (on(m, 0, ACTIVE), on(m, 0, ANON)) == ([used], [idle])
    check_lru(m)
    assert [page.v__refcount for page in pages] == [1, 1]
    assert not m.findings


def test_5_4_says_bug_when_a_listed_page_has_no_flag() -> None:
    """mm/vmscan.c:1743 (1740 in a report of 5.4.14); with DEBUG_VM the assertion is first."""
    for debug, title in (
        (False, "kernel BUG at mm/vmscan.c:1743!"),
        (True, "VM_BUG_ON_PAGE(!PageLRU(page))"),
    ):
        m = machine("5.4", DEBUG_VM=debug)
        (page,) = listed(m, 1)
        page.v_flags &= ~page.m_lru
        with pytest.raises(ContextDied):
            isolate_lru_pages(1, m.vm.memcgs[1].lruvecs[0], LIST_HEAD("page_list"), ANON)
        assert titles(m) == [title]


@pytest.mark.parametrize(
    ("era", "gate", "count", "flag"),
    [
        ("5.4", "", 0, True),
        ("5.4", "isolate-plain-get", 1, False),
        ("5.4", "isolate-testclear-first", 0, True),
        ("5.4", "isolate-count-then-get", 0, True),
        ("5.4", "isolate-testone", 0, True),
        ("5.17", "", 0, True),
        ("5.17", "isolate-plain-get", 1, False),
        ("5.17", "isolate-testclear-first", 0, True),
    ],
)
def test_only_a_plain_get_isolates_a_page_without_references(
    era: str, gate: str, count: int, flag: bool
) -> None:
    """With nobody in between the others differ in nothing but the order of their steps."""
    m = machine(era, *filter(None, [gate]))
    (page,) = listed(m, 1)
    page.v__refcount = 0
    isolate_lru_pages(1, m.vm.memcgs[1].lruvecs[0], LIST_HEAD("page_list"), ANON)
    assert (page.v__refcount, lru(page)) == (count, flag)


# -- files, walks, memcgs -------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_truncation_frees_a_file_but_for_what_others_hold(era: str) -> None:
    m = machine(era)
    mapping = tmpfs(m, 4)
    held = find_get_page(mapping, 2)
    shmem_undo_range(mapping)
    assert mapping.slots == {}
    assert mapping.v_nrpages == 0
    assert (held.v__refcount, held.v_mapping, lru(held)) == (1, None, True)
    check_mm(m, [mapping], [held])
    assert not m.findings


def test_truncation_begins_where_it_is_told_to() -> None:
    m = machine("5.4")
    mapping = tmpfs(m, 4)
    shmem_undo_range(mapping, 2)
    assert sorted(mapping.slots) == [0, 1]
    check_mm(m, [mapping])
    assert not m.findings


def test_a_pagevec_of_entries_is_no_longer_than_a_pagevec() -> None:
    m = machine("5.4")
    mapping = tmpfs(m, 20)
    pvec = pagevec()
    indices = find_get_entries(pvec, mapping, 3)
    assert indices == list(range(3, 18))
    assert isinstance(pvec, pagevec)
    assert all(page.v__refcount == 2 for page in pvec.pages)


@pytest.mark.parametrize("era", ERAS)
def test_an_idle_walk_marks_pages_and_passes_by_those_that_die(era: str) -> None:
    m = machine(era)
    live, dying = listed(m, 2)
    dying.v__refcount = 0
    page_idle_bitmap_write(m.vm.mem_map)
    assert (live.v__refcount, dying.v__refcount) == (1, 0)
    assert page_idle_bitmap_read(m.vm.mem_map) == [live]
    assert not page_is_idle(dying)
    mark_page_accessed(live)
    assert not page_is_idle(live)
    assert not m.findings


@pytest.mark.parametrize("gate", ["", "move-account-noisolate"])
def test_charge_moving_takes_pages_to_the_other_lruvec(gate: str) -> None:
    m = machine("5.17", *filter(None, [gate]))
    mapping = tmpfs(m, 2)
    one, two = m.vm.memcgs[1:]
    assert mem_cgroup_move_charge(mapping, range(2), one, two) == 2
    assert [page.v_mem_cgroup for page in mapping.slots.values()] == [two, two]
    assert (on(m, 0, ANON, 1), on(m, 0, ANON, 2)) == ([], [mapping.slots[0]])
    check_mm(m, [mapping])
    assert not m.findings


def test_charge_moving_leaves_pages_that_are_isolated_or_of_others() -> None:
    m = machine("5.17")
    mapping = tmpfs(m, 2)
    one, two = m.vm.memcgs[1:]
    for page in mapping.slots.values():
        isolate_lru_page(page)
    mapping.slots[1].v_mem_cgroup = m.vm.root_mem_cgroup
    putback_lru_page(mapping.slots[1])
    assert mem_cgroup_move_charge(mapping, range(2), one, two) == 0
    assert mapping.slots[0].v_mem_cgroup is one


@pytest.mark.parametrize("era", ERAS)
def test_the_unevictable_flag_goes_before_pg_lru_is_looked_at(token: Token, era: str) -> None:
    m = machine(era)
    page = alloc_page(0)
    page.v_mem_cgroup = m.vm.root_mem_cgroup
    page.v_flags |= page.m_unevictable
    seen: list[str] = []

    def listen(event: Event) -> None:
        if event.obj == page.name and event.op.words == ("flags",):
            seen.append(f"{event.verb or event.kind} {event.label.removeprefix('flags:')}")

    def adds() -> None:
        lru_cache_add(page)
        lru_add_drain()

    m.spawn(adds, comm="adds")
    m.instruments.append(Events(listen))
    token.run(m, RoundRobin())
    assert lru(page)
    first = seen.index("test_and_clear unevictable")
    assert seen[first : first + 3] == ["test_and_clear unevictable", "read-once lru", "set lru"]


@pytest.mark.parametrize("debug", [False, True])
def test_a_new_page_is_uptodate_by_a_load_and_a_store(debug: bool) -> None:
    machine("5.17", DEBUG_VM=debug)
    page = alloc_page(0)
    assert points(set_uptodate_nonatomic, page)[1] == points(SetPageUptodate, page)[1] + 1


# -- what DEBUG_VM asserts ------------------------------------------------------------------------


@pytest.mark.parametrize(("debug", "dies"), [(True, True), (False, False)])
@pytest.mark.parametrize(("era", "warns", "bug"), [("5.4", 1312, 1315), ("5.17", 1280, 1283)])
def test_a_list_that_is_taken_below_nothing_is_warned_of_once(
    debug: bool, dies: bool, era: str, warns: int, bug: int
) -> None:
    """And starts again at 0; DEBUG_VM does not get that far."""
    m = machine(era, DEBUG_VM=debug)
    lruvec = m.vm.memcgs[1].lruvecs[0]
    for _ in range(2):
        with pytest.raises(ContextDied) if dies else nullcontext():
            mem_cgroup_update_lru_size(lruvec, ANON, -1)
    warning = "WARNING: mem_cgroup_update_lru_size: lru_size is negative"
    assert titles(m) == [warning] + ["VM_BUG_ON(1)"] * (2 * dies)
    assert m.findings[0].detail == (f"mm/memcontrol.c:{warns}",)
    for finding in m.findings[1:]:
        assert finding.detail == (f"kernel BUG at mm/memcontrol.c:{bug}!",)
    assert lruvec.v_size(ANON) == (-2 if dies else 0)


def test_the_size_of_a_list_is_a_load_and_a_store() -> None:
    m = machine("5.4")
    lruvec = m.vm.memcgs[1].lruvecs[0]
    assert points(mem_cgroup_update_lru_size, lruvec, ANON, 1)[1] == 3  # looks, loads, stores
    assert lruvec.v_size(ANON) == 1


def test_no_page_is_active_and_unevictable() -> None:
    m = machine("5.17")
    page = alloc_page(0)
    page.v_flags |= page.m_active | page.m_unevictable
    with pytest.raises(ContextDied):
        folio_lru_list(page)
    assert titles(m) == [
        "VM_BUG_ON_FOLIO(folio_test_active(folio) && folio_test_unevictable(folio))"
    ]


@pytest.mark.parametrize(
    ("charged", "text", "line"),
    [
        (False, "lruvec_memcg(lruvec) != root_mem_cgroup", 1176),
        (True, "lruvec_memcg(lruvec) != memcg", 1178),
    ],
)
def test_the_lock_of_another_memcg_is_noticed(charged: bool, text: str, line: int) -> None:
    m = machine("5.17")
    page = alloc_page(0)
    page.v_mem_cgroup = m.vm.memcgs[1] if charged else None
    with pytest.raises(ContextDied):
        lruvec_memcg_debug(m.vm.memcgs[2].lruvecs[0], page)
    assert titles(m) == [f"VM_BUG_ON_FOLIO({text})"]
    assert m.findings[0].detail == (f"kernel BUG at mm/memcontrol.c:{line}!",)


def test_an_uncharged_page_has_no_lruvec_in_5_17() -> None:
    m = machine("5.17")
    page = alloc_page(0)
    for _ in range(2):
        folio_lruvec(page)
    assert titles(m) == ["WARNING: VM_WARN_ON_ONCE_FOLIO(!memcg && !mem_cgroup_disabled())"]
    m = booted("5.17", pages=4, DEBUG_VM=True)  # cgroup_disable=memory
    memblock_free_all(m.vm)
    assert folio_lruvec(alloc_page()).memcg is m.vm.root_mem_cgroup
    assert not m.findings


def test_a_pagevec_that_is_released_again_does_not_drain_again() -> None:
    m = machine("5.4")
    pvec = pagevec()
    for waits in (False, True):
        page, waiting = alloc_page(0), alloc_page(0)
        lru_cache_add(waiting)
        pagevec_add(pvec, page)
        pagevec_release(pvec)
        assert lru(waiting) is not waits
    assert not m.findings
