# SPDX-License-Identifier: GPL-2.0-only
"""Keeping a page in its memcg while the memcg's charges are being moved."""

from __future__ import annotations

from typing import Any

import pytest

from mmsim.engine.execution import Token
from mmsim.engine.policy import RandomWalk
from mmsim.engine.seeds import stream
from mmsim.filemap import trylock_page, unlock_page
from mmsim.memcg_lock import __unlock_page_memcg, lock_page_memcg, unlock_page_memcg
from mmsim.memcg_move import mem_cgroup_move_account
from mmsim.page_writeback import end_page_writeback, set_page_writeback
from mmsim.vmscan import isolate_lru_page
from tests.kernel.booted import points
from tests.kernel.lru_pages import ERAS, listed, machine, titles


@pytest.mark.parametrize("era", ERAS)
def test_it_costs_two_loads_as_long_as_nothing_moves(era: str) -> None:
    m = machine(era)
    (page,) = listed(m, 1)
    memcg, passed = points(lock_page_memcg, page)
    assert (memcg, passed) == (page.v_mem_cgroup, 2)
    assert not memcg.move_lock.locked
    __unlock_page_memcg(memcg)
    page.v_mem_cgroup = None
    assert points(lock_page_memcg, page) == (None, 1)
    __unlock_page_memcg(None)


@pytest.mark.parametrize("era", ERAS)
def test_it_takes_the_lock_of_a_memcg_that_moves(era: str) -> None:
    m = machine(era)
    (page,) = listed(m, 1)
    memcg = page.v_mem_cgroup
    memcg.v_moving_account = 1
    lock_page_memcg(page)
    assert memcg.move_lock.locked
    unlock_page_memcg(page)
    assert not memcg.move_lock.locked
    assert memcg.v_move_lock_task is None


@pytest.mark.parametrize("seed", range(30))
def test_a_page_stays_in_its_memcg(token: Token, seed: int) -> None:
    """Writeback begins and ends while the page is moved; whoever has the lock sees one memcg."""
    m = machine("5.17", cpus=3)
    (page,) = listed(m, 1)
    assert not isolate_lru_page(page)
    one, two = m.vm.memcgs[1:]
    one.v_moving_account = two.v_moving_account = 1
    seen: list[tuple[Any, Any]] = []

    def looks() -> None:
        for _ in range(3):
            memcg = lock_page_memcg(page)
            seen.append((memcg, page.mem_cgroup))
            __unlock_page_memcg(memcg)

    def moves() -> None:
        for source, to in ((one, two), (two, one)):
            mem_cgroup_move_account(page, source, to)

    def writes() -> None:
        if trylock_page(page):
            set_page_writeback(page)
            unlock_page(page)
            end_page_writeback(page)

    m.spawn(looks, comm="a")
    m.spawn(moves, comm="b", cpu=1)
    m.spawn(writes, comm="c", cpu=2)
    token.run(m, RandomWalk(stream(seed, "memcg")))
    assert not m.findings, titles(m)
    assert len(seen) == 3
    assert all(memcg is then for memcg, then in seen)
    assert not (one.move_lock.locked or two.move_lock.locked)
