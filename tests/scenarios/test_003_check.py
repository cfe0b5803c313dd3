# SPDX-License-Identifier: GPL-2.0-only
"""Thread 003's checks at quiescence: each sees what it is for, and a sound machine passes all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.linux.list import LIST_HEAD
from mmsim.memblock import memblock_free_all
from mmsim.mm_types import PAGE_SHIFT
from mmsim.page_alloc import alloc_page
from mmsim.pagemap import trylock_page
from mmsim.scenarios.s003_migration_entry.stage import boot, check, isolate, memory_of, set_aside
from mmsim.swapops import make_writable_migration_entry, swp_entry_to_pte
from tests.engine.lab import titles
from tests.kernel.booted import booted


def machine() -> Any:
    """Two pages of memory of each kind, a few free frames, nobody running."""
    m = booted(DEBUG_VM=True)
    vm = boot(m, frames=12)
    m.own = memory_of(vm, "own", 2)
    m.file = memory_of(vm, "file", 2)
    memblock_free_all(vm)
    m.slot = next(slot for slot in vm.mms[0].slots())
    m.page = m.own.pages[0]
    return m


def test_a_sound_machine_passes() -> None:
    m = machine()
    check(m, None)
    assert not m.findings


def leaves_an_entry(m: Any) -> None:
    m.slot.v_pte = swp_entry_to_pte(make_writable_migration_entry(m.page))
    m.page.v__mapcount -= 1
    m.page.v__refcount -= 1


def loses_a_pte(m: Any) -> None:
    m.slot.v_pte = 0


def maps_a_free_page(m: Any) -> None:
    free = next(page for page in m.vm.mem_map if page.state == "free")
    m.slot.v_pte = m.slot.v_pte & (1 << PAGE_SHIFT) - 1 | free.pfn << PAGE_SHIFT


def leaves_a_page_locked(m: Any) -> None:
    trylock_page(m.page)


def leaks_a_reference(m: Any) -> None:
    m.file.pages[0].v__refcount += 1


def leaks_a_page(m: Any) -> None:
    alloc_page()


def flags_a_free_page(m: Any) -> None:
    free = next(page for page in m.vm.mem_map if page.state == "free")
    free.v_flags |= free.m_waiters


def keeps_a_page_isolated(m: Any) -> None:
    isolate(m.vm, m.page, LIST_HEAD("pages"))


@pytest.mark.parametrize(
    ("harm", "title"),
    [
        (leaves_an_entry, "a migration entry is left"),
        (loses_a_pte, "mapcount differs from the number of ptes"),
        (maps_a_free_page, "a page that is not in use is mapped"),
        (leaves_a_page_locked, "page is left locked"),
        (leaks_a_reference, "reference count differs from the number of owners"),
        (leaks_a_page, "reference count differs from the number of owners"),
        (flags_a_free_page, "BUG: Bad page state: PAGE_FLAGS_CHECK_AT_PREP flag(s) set"),
        (keeps_a_page_isolated, "reference count differs from the number of owners"),
    ],
)
def test_each_harm_is_seen(harm: Callable[[Any], None], title: str) -> None:
    m = machine()
    harm(m)
    check(m, None)
    assert title in titles(m)


def test_what_a_compactor_set_aside_is_somebodys() -> None:
    """A list of free pages that nobody gives back is a leak, and the check says so."""
    m = booted()
    vm = boot(m, frames=4)
    set_aside(vm, LIST_HEAD("freepages"), 1)
    memblock_free_all(vm)
    check(m, None)
    assert titles(m) == ["reference count differs from the number of owners"]
