# SPDX-License-Identifier: GPL-2.0-only
"""Pages that a set-up makes are as the kernel would have left them, in every era that has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.engine.machine import Machine
from mmsim.errors import UsageError
from mmsim.filemap_cache import find_get_page
from mmsim.lru import lru_add_drain, put_page
from mmsim.mmzone import LRU_ACTIVE_ANON, LRU_INACTIVE_FILE
from mmsim.model.era import ERAS, UncoveredEra
from mmsim.page import PageTail, compound_head
from mmsim.page_alloc import alloc_page, alloc_pages
from mmsim.pagevec import pvecs
from mmsim.rmap import page_remove_rmap
from mmsim.scenarios.api import (
    anon_page,
    cached_page,
    check_mm,
    leave_free,
    lru_page,
    memory,
    new_file,
)
from mmsim.util import compound_order

OLD = [era for era in ERAS if ERAS[era].version < (3, 13)]
HERE = [era for era in ERAS if era not in OLD]


@contextmanager
def booted(era: str = "5.17", cpus: int = 2) -> Iterator[Any]:
    machine = Machine(cpus, era=era, config={"DEBUG_VM": True, "DEBUG_LIST": True})
    with machine.booted():
        yield machine


@pytest.mark.parametrize("era", HERE)
def test_all_kinds_of_pages_hold_what_must_hold(era: str) -> None:
    with booted(era) as m:
        with memory(m, pages=24, nodes=2, memcgs=1) as vm:
            file = new_file()
            cached_page(vm, file, 0, "dirty", "referenced")
            cached_page(vm, file, 3, "active", memcg=1, node=1)
            cached_page(vm, file, 4, pagevec=1)
            leave_free(vm, 2)
            anon = [anon_page(vm), anon_page(vm, "active", node=1, memcg=1), anon_page(vm, order=1)]
            anon += [anon_page(vm, pagevec=0), lru_page(vm, "unevictable", "swapbacked")]
        check_mm(m, [file], anon)
        assert not m.findings, m.findings[0].title
        lru_add_drain()  # CPU0's: the page of its pagevec gets to its list
        check_mm(m, [file], anon)
        assert not m.findings, m.findings[0].title
        for page in anon[:4]:
            page_remove_rmap(page)
        for page in anon:
            put_page(page)
        check_mm(m, [file])
        assert not m.findings, m.findings[0].title


def test_a_reference_that_nobody_owns_is_noticed() -> None:
    with booted() as m:
        with memory(m, pages=2) as vm:
            anon_page(vm)
        check_mm(m)
        assert [f.title for f in m.findings] == [
            "reference count differs from the number of owners"
        ]


def test_a_file_finds_its_pages_and_their_marks() -> None:
    with booted() as m:
        with memory(m, pages=4) as vm:
            file = new_file("data", 1)
            page = cached_page(vm, file, 7, "dirty", "writeback")
            clean = cached_page(vm, file, 8)
        assert find_get_page(file, 7) is page
        assert find_get_page(file, 6) is None
        assert file.marks == {7: {"dirty", "writeback"}}
        assert file.v_nrpages == 2
        assert {"uptodate", "lru", "dirty", "writeback"} == set(page.flag_names())
        assert vm.root_mem_cgroup.lruvecs[0].v_size(LRU_INACTIVE_FILE) == 2
        with pytest.raises(UsageError, match="data has a page at index 8"):
            cached_page(vm, file, 8)
        put_page(page)
        put_page(clean)


def test_flags_decide_the_list_and_unknown_ones_are_told() -> None:
    with booted() as m, memory(m, pages=4) as vm:
        page = anon_page(vm, "active", memcg=0)
        assert page.lru.v_prev is vm.root_mem_cgroup.lruvecs[0].lists[LRU_ACTIVE_ANON]
        with pytest.raises(UsageError, match=r"no page flag 'activ' in 5.17 \(nearest: active"):
            anon_page(vm, "activ")
        with pytest.raises(UsageError, match="no control group 1: the last is 0"):
            anon_page(vm, memcg=1)
        with pytest.raises(UsageError, match="no CPU 2: the last is 1"):
            anon_page(vm, pagevec=2)


def test_a_page_in_a_pagevec_is_on_no_list_yet() -> None:
    with booted() as m:
        with memory(m, pages=2) as vm:
            page = anon_page(vm, pagevec=1)
        assert m.cpus[1].data[pvecs].lru_add.pages == [page]
        assert page.v__refcount == 2
        assert "lru" not in page.flag_names()


def test_a_huge_page_has_tails() -> None:
    with booted() as m:
        with memory(m, pages=8) as vm:
            leave_free(vm, 1)
            head = anon_page(vm, order=2)
        assert head.pfn % 4 == 0
        assert compound_order(head) == 2
        tail = vm.mem_map[vm.mem_map.index(head) + 3]
        assert PageTail(tail)
        assert compound_head(tail) is head


def test_what_is_left_is_free_and_nodes_are_in_a_row() -> None:
    with booted() as m:
        with memory(m, pages=8, nodes=2, pcp=1) as vm:
            leave_free(vm, 1, node=1)
            taken = lru_page(vm, node=1)
        assert [page.node for page in vm.mem_map] == [0] * 4 + [1] * 4
        assert taken is vm.mem_map[5]
        assert vm.mem_map[4].state == "free"
        block = alloc_pages(2, node=0)
        assert block is vm.mem_map[0]
        put_page(taken)
        assert alloc_pages(2, node=1) is vm.mem_map[4], "with pcp=1 it is a block again at once"
        assert alloc_page() is None


@pytest.mark.parametrize("era", OLD)
def test_2_4_has_a_boot_of_its_own(era: str) -> None:
    with booted(era) as m, pytest.raises(UncoveredEra, match=r"3\.13"), memory(m):
        pass
