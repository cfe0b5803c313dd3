# SPDX-License-Identifier: GPL-2.0-only
"""The checks at quiescence: silent on a machine that is all right, and each sees its damage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.linux.list import list_add, list_del
from mmsim.linux.percpu import per_cpu
from mmsim.lru import lru_add_drain, lru_cache_add, mark_page_accessed
from mmsim.memblock import memblock_free_all
from mmsim.page_alloc import alloc_page, alloc_pages, free_unref_page, pageset
from mmsim.pagemap import address_space
from mmsim.scenarios.invariants import check_mm
from tests.kernel.booted import booted


class Scene:
    """Two cached pages on the LRU, one of them in a pagevec as well, a driver's, a free one."""

    def __init__(self) -> None:
        self.machine = m = booted("5.4", nodes=2, memcgs=1, pages=16)
        memblock_free_all(m.vm)
        self.lruvec = m.vm.memcgs[1].lruvecs[0]
        self.mapping = address_space("tmpfs0")
        self.pages = [alloc_page(0) for _ in range(2)]
        for index, page in enumerate(self.pages):
            page.v_mem_cgroup = m.vm.memcgs[1]
            page.v_flags |= page.m_swapbacked
            page.v_mapping = self.mapping
            self.mapping.slots[index] = page
            lru_cache_add(page)
        lru_add_drain()
        for _ in range(2):
            mark_page_accessed(self.pages[0])  # which leaves it in a pagevec
        self.mine = alloc_page(1)
        self.block = alloc_pages(1, node=1)
        self.free = alloc_page(0)
        self.free.v__refcount = 0
        free_unref_page(self.free)

    def titles(self) -> list[str]:
        check_mm(self.machine, [self.mapping], [self.mine, self.block])
        return [finding.title for finding in self.machine.findings]


def lose_flag(s: Scene) -> None:
    s.pages[1].v_flags &= ~s.pages[1].m_lru


def set_flag(s: Scene) -> None:
    s.mine.v_flags |= s.mine.m_lru


def unlink(s: Scene) -> None:
    list_del(s.pages[1].lru)


def break_list(s: Scene) -> None:
    s.pages[1].lru.v_prev = s.pages[1].lru


def drift(s: Scene) -> None:
    s.lruvec.v_size0 += 1


def change_memcg(s: Scene) -> None:
    s.pages[1].v_mem_cgroup = None


def change_type(s: Scene) -> None:
    s.pages[1].v_flags |= s.pages[1].m_active


def leak_reference(s: Scene) -> None:
    s.pages[1].v__refcount += 1


def drop_reference(s: Scene) -> None:
    s.mine.v__refcount = 0


def forget(s: Scene) -> None:
    s.mapping.slots.clear()
    for page in s.pages:
        page.v__refcount -= 1


def reference_free(s: Scene) -> None:
    s.mapping.slots[7] = s.free


def free_owned(s: Scene) -> None:
    pcp = next(iter(per_cpu(pageset, 0).values()))
    list_add(s.mine.lru, pcp.lists[0])
    pcp.count += 1


def lose_free(s: Scene) -> None:
    pcp = next(iter(per_cpu(pageset, 0).values()))
    list_del(s.free.lru)
    pcp.count -= 1


def miscount_free(s: Scene) -> None:
    next(iter(per_cpu(pageset, 0).values())).count += 1


def dirty_free(s: Scene) -> None:
    s.free.v__mapcount = 0


def leave_locked(s: Scene) -> None:
    s.pages[1].v_flags |= s.pages[1].m_locked


def hold_lock(s: Scene) -> None:
    task = s.machine.spawn(lambda: None, comm="rm", cpu=0)
    task.locks.append(s.lruvec.lru_lock)


DAMAGE: dict[Callable[[Scene], None], str] = {
    lose_flag: "page is on an LRU list without PG_lru",
    set_flag: "PG_lru is set and the page is on no LRU list",
    unlink: "LRU size counter differs from the length of its list",
    break_list: "LRU list is not whole",
    drift: "LRU size counter differs from the length of its list",
    change_memcg: "page is on the LRU of another memcg or node",
    change_type: "page is on another LRU list than its flags say",
    leak_reference: "reference count differs from the number of owners",
    drop_reference: "reference count differs from the number of owners",
    forget: "page has no owner and was not freed",
    reference_free: "page is free and referenced",
    free_owned: "page has an owner and is on a free list",
    lose_free: "page is free and on no free list",
    miscount_free: "per-CPU free list differs from its count",
    dirty_free: "BUG: Bad page state: nonzero mapcount",
    leave_locked: "page is left locked",
    hold_lock: "a lock is still held",
}


def test_a_machine_that_is_all_right() -> None:
    assert Scene().titles() == []


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_is_seen(damage: Callable[[Scene], None]) -> None:
    scene = Scene()
    damage(scene)
    titles = scene.titles()
    assert titles
    assert titles[0] == DAMAGE[damage], titles


def test_the_finding_has_the_page_and_the_check() -> None:
    scene = Scene()
    leak_reference(scene)
    scene.titles()
    (finding,) = scene.machine.findings
    assert (finding.kind, finding.where) == ("invariant", "check_refs")
    assert finding.page.pfn == scene.pages[1].pfn
    assert finding.detail == ("refcount:2, owners: 1",)


def test_a_reference_in_a_pagevec_counts() -> None:
    scene = Scene()
    assert scene.pages[0].v__refcount == 2
    scene.pages[0].v__refcount = 1
    assert "reference count differs from the number of owners" in scene.titles()
