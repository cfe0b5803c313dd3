# SPDX-License-Identifier: GPL-2.0-only
"""Who takes a page off the LRU, and which pages are left over there: each way, called in order."""

from __future__ import annotations

from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401  (declares what patched() asks for)
from mmsim.engine.door import door
from mmsim.engine.machine import Machine
from mmsim.scenarios.s002_double_free.check import check
from mmsim.scenarios.s002_double_free.stage import cache_page, globals_2_4, new_page, swapon
from mmsim.v2_4.memory import kiobuf, mm_struct, zap_page_range
from mmsim.v2_4.page import PG_locked, PG_lru
from mmsim.v2_4.page_alloc import page_cache_release, put_page
from mmsim.v2_4.swap import lru_cache_del
from mmsim.v2_4.swapfile import try_to_unuse

BEN = "ben-2002-01-01"
FLAWED = (BEN, "hugh-2002-02-07")
PAGELOCKED = (BEN, "hugh-2002-02-12")


def boot(*gates: str) -> Any:
    m = Machine(1, gates=frozenset(gates), era="2.4.18-pre9")
    door.boot(m)  # until the next one is booted
    m.vm = globals_2_4()
    return m


def sound(m: Any) -> bool:
    check(m, None)
    return not m.findings


def flags(page: Any) -> set[int]:
    return {nr for nr in range(16) if page.v_flags >> nr & 1}


def test_the_7_february_patch_takes_the_page_off_where_the_last_reference_goes() -> None:
    """In page_cache_release, and in no other way of dropping a reference."""
    m = boot(*FLAWED)
    page, left = new_page(m.vm, 1), new_page(m.vm, 1)
    page_cache_release(page)
    put_page(left)
    assert page.freed
    assert not left.freed
    assert PG_lru in flags(left)
    assert sound(m)


def swapped(m: Any, users: int) -> tuple[Any, Any]:
    swapon(m.vm, 4)
    page = new_page(m.vm, users)
    cache_page(m.vm, page, m.vm.swapper_space, 1)
    m.vm.swap_info.swap_map[1].v_count = 2
    mm = mm_struct("sh", ("swap", 1))
    m.vm.mms.append(mm)
    return page, mm


@pytest.mark.parametrize("full", [False, True])
def test_swap_that_is_full_takes_a_page_from_its_other_users(full: bool) -> None:
    """Then the count is not 1 afterwards, and the page has to stay on the LRU."""
    m = boot(*PAGELOCKED)
    page, mm = swapped(m, 2)
    pin = kiobuf(page)
    if full:
        m.vm.v_nr_swap_pages = 1
    zap_page_range(mm)
    assert (page.v_mapping is None) is full
    assert PG_lru in flags(page)
    assert page.v_count == (1 if full else 2)
    assert pin.maplist == [page]
    assert "count_one_free_swap_and_cache" not in m.metrics


def test_swapoff_maps_the_page_again() -> None:
    m = boot(*PAGELOCKED)
    page, mm = swapped(m, 1)
    try_to_unuse(1)
    assert mm.ptes[0].v_val == ("page", page, False)
    assert page.v_mapping is None
    assert page.v_count == 1
    assert m.vm.swap_info.swap_map[1].v_count == 0
    assert sound(m)


def test_swapoff_after_the_process_has_gone_leaves_the_page_over() -> None:
    """Its own reference is then the last, of a page on the LRU."""
    m = boot(*PAGELOCKED)
    page, mm = swapped(m, 1)
    page.v_flags |= 1 << PG_locked  # swapoff has the page
    page.v_count += 1
    zap_page_range(mm)
    assert not page.freed
    page.v_flags &= ~(1 << PG_locked)
    page.v_count -= 1
    try_to_unuse(1)
    assert flags(page) >= {PG_lru, PG_locked}
    assert page.v_count == 0
    assert m.metrics["parked_in_process"] == 1
    assert sound(m), "and the check lets shrink_cache free it"
    assert page.freed


def test_a_page_in_use_that_reclaim_cannot_find_is_noticed() -> None:
    m = boot(BEN)
    page = new_page(m.vm, 1)
    m.vm.mms.append(mm_struct("sh", ("page", page, True)))
    assert sound(m)
    lru_cache_del(page)
    assert not sound(m)
    assert m.findings[0].title == "page is in use and on no LRU list"


def test_only_an_interrupt_parks_in_the_smaller_patch() -> None:
    m = boot(*PAGELOCKED, "park-in-interrupt-only")
    page = new_page(m.vm, 1)
    put_page(page)
    assert page.freed
    assert m.metrics["lru_lock_in_free"] == 1
    assert "parked" not in m.metrics
