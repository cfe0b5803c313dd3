# SPDX-License-Identifier: GPL-2.0-only
"""Pages that move between LRU lists, with the function and the pagevec that each way has."""

from __future__ import annotations

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.linux.list import list_nodes
from mmsim.lru import (
    activate_page,
    deactivate_file_page,
    deactivate_page,
    lru_add_drain,
    lru_cache_add,
    mark_page_accessed,
    mark_page_lazyfree,
    put_page,
)
from mmsim.memcontrol import commit_charge
from mmsim.page_alloc import alloc_page
from mmsim.page_writeback import end_page_writeback
from mmsim.rmap import anon_vma
from mmsim.scenarios.invariants import check_mm
from mmsim.vmscan import (
    isolate_lru_page,
    putback_lru_page,
    shrink_active_list,
)
from tests.kernel.lru_pages import (
    ACTIVE,
    ANON,
    ERAS,
    FILE,
    listed,
    machine,
    on,
)


@pytest.mark.parametrize("era", ERAS)
def test_two_accesses_activate_and_deactivation_undoes_it(era: str) -> None:
    m = machine(era)
    (page,) = listed(m, 1)
    mark_page_accessed(page)
    assert page.flag_names() == ("referenced", "lru", "swapbacked")
    mark_page_accessed(page)
    assert page.v__refcount == 2  # the pagevec's
    assert on(m, 0, ANON) == [page]
    lru_add_drain()
    assert (on(m, 0, ANON), on(m, 0, ACTIVE), page.v__refcount) == ([], [page], 1)
    deactivate_page(page)
    lru_add_drain()
    assert (on(m, 0, ANON), on(m, 0, ACTIVE)) == ([page], [])
    check_mm(m, owners=[page])
    assert not m.findings


@pytest.mark.parametrize("era", ERAS)
def test_a_file_page_that_could_not_be_dropped_goes_to_the_tail(era: str) -> None:
    """If it is clean; one that is dirty stays in front and is reclaimed after its write-out."""
    m = machine(era)
    clean, _, dirty, _ = pages = listed(m, 4)
    for page in pages:
        assert isolate_lru_page(page) == 0
        page.v_flags |= page.m_active
        page.v_flags &= ~page.m_swapbacked
        putback_lru_page(page)
    lru_add_drain()
    dirty.v_flags |= dirty.m_dirty
    deactivate_file_page(clean)
    deactivate_file_page(dirty)
    lru_add_drain()
    assert on(m, 0, FILE) == [dirty, clean]
    assert "reclaim" in dirty.flag_names()
    assert "active" not in clean.flag_names()


@pytest.mark.parametrize("era", ERAS)
def test_a_page_not_worth_keeping_becomes_a_clean_file_page_of_sorts(era: str) -> None:
    m = machine(era)
    page, _ = listed(m, 2)
    page.v_mapping = anon_vma("av")
    mark_page_lazyfree(page)
    lru_add_drain()
    assert on(m, 0, ANON) == []
    assert on(m, 0, FILE) == [page]
    assert "swapbacked" not in page.flag_names()


def test_a_swap_cache_page_is_charged_while_it_is_on_the_lru() -> None:
    """5.4: off the root's list and onto its memcg's, under one hold of the node's lock."""
    m = machine("5.4")
    page, other = listed(m, 2, memcg=0)
    page.v_mem_cgroup = other.v_mem_cgroup = None
    page.v_flags |= page.m_locked
    commit_charge(page, m.vm.memcgs[1], lrucare=True)
    page.v_flags &= ~page.m_locked
    assert on(m, 0, ANON) == [page]
    assert page.v_mem_cgroup is m.vm.memcgs[1]
    check_mm(m, owners=[page, other])
    assert not m.findings


def test_an_isolated_page_is_charged_and_put_where_it_belongs() -> None:
    """Reclaim took it from the root's list, and gives it to the memcg it has got meanwhile."""
    m = machine("5.4")
    page, other = listed(m, 2, memcg=0)
    page.v_mem_cgroup = other.v_mem_cgroup = None
    assert isolate_lru_page(page) == 0
    commit_charge(page, m.vm.memcgs[1], lrucare=True)
    assert on(m, 0, ANON) == []
    putback_lru_page(page)
    lru_add_drain()
    assert on(m, 0, ANON) == [page]
    check_mm(m, owners=[page, other])
    assert not m.findings


@pytest.mark.parametrize("era", ERAS)
def test_the_active_list_is_aged(era: str) -> None:
    m = machine(era)
    page, other = listed(m, 2)
    activate_page(page)
    lru_add_drain()
    shrink_active_list(4, m.vm.memcgs[1].lruvecs[0], ACTIVE)
    assert (on(m, 0, ANON), on(m, 0, ACTIVE)) == ([page], [])
    assert "workingset" in page.flag_names()
    assert m.vm.node_data[0].v_vmstat_isolated == 0
    check_mm(m, owners=[page, other])
    assert not m.findings


def test_a_page_in_the_local_pagevec_is_activated_at_once() -> None:
    m = machine("5.4")
    page = alloc_page(0)
    page.v_flags |= page.m_swapbacked
    lru_cache_add(page)
    mark_page_accessed(page)
    mark_page_accessed(page)
    assert "active" in page.flag_names()
    lru_add_drain()
    assert page in [n.owner for n in list_nodes(m.vm.memcgs[0].lruvecs[0].lists[ACTIVE])]


@pytest.mark.parametrize("era", ERAS)
def test_a_page_freed_in_a_pagevec_is_freed_by_the_pagevec(era: str) -> None:
    """The drain has taken it off the LRU; the last reference was the drain's."""
    m = machine(era)
    (page,) = listed(m, 1)
    activate_page(page)
    put_page(page)
    assert (page.v__refcount, page.state) == (1, "allocated")
    lru_add_drain()
    assert page.state == "pcp"
    check_mm(m)
    assert not m.findings


@pytest.mark.parametrize("era", ERAS)
def test_a_page_whose_writeback_ends_goes_to_the_tail(era: str) -> None:
    m = machine(era)
    first, second, third = listed(m, 6)[::2]
    assert on(m, 0, ANON) == [third, second, first]  # reclaim looks at the last
    third.v_flags |= third.m_writeback | third.m_reclaim
    end_page_writeback(third)
    lru_add_drain()
    assert on(m, 0, ANON) == [second, first, third]
    assert not m.findings


@pytest.mark.parametrize("era", ERAS)
def test_a_file_page_that_is_about_to_be_freed_is_not_queued(era: str) -> None:
    m = machine(era)
    live, dying = listed(m, 2)
    dying.v__refcount = 0
    for page in (live, dying):
        deactivate_file_page(page)
    assert (live.v__refcount, dying.v__refcount) == (2, 0)
    assert not m.findings


# -- isolation ------------------------------------------------------------------------------------
