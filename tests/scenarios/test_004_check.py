# SPDX-License-Identifier: GPL-2.0-only
"""The checks of thread 004 see what they are for: each is shown a state that is wrong."""

from collections.abc import Callable
from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.memblock import memblock_free_all
from mmsim.mm_types import VM_LOCKED, VM_SHARED
from mmsim.scenarios.registry import find_variant
from mmsim.scenarios.s004_mlock_cluster.casts import Stage
from mmsim.scenarios.s004_mlock_cluster.check import check
from mmsim.v3_13.mm_types import VM_NONLINEAR, address_space
from tests.kernel.booted import booted

MERGED = ("vlastimil-2014-01-07", "xie-2017-05-25")


def at_rest(*gates: str) -> tuple[Any, Any, Any]:
    """A machine, a page that is mlocked and one that is not."""
    m = booted("3.13", cpus=2, pages=8, gates=gates or MERGED, DEBUG_VM=True)
    m.vm.mappings, m.vm.mms = [], []
    stage = Stage(m, 1)
    locked, other = stage.page(mlocked=True), stage.page()
    stage.mmap("one", (locked,), VM_SHARED | VM_LOCKED)
    stage.mmap("two", (locked, other), VM_SHARED)
    memblock_free_all(m.vm)
    return m, locked, other


def checked(m: Any) -> list[str]:
    check(m, find_variant("004.merged"))
    return [finding.title for finding in m.findings]


def test_a_machine_at_rest_is_clean() -> None:
    m, _, other = at_rest()
    assert checked(m) == []
    assert m.metrics["missed_mlocks"] == m.metrics["missed_after_rescan"] == 0
    assert other.state != "allocated", "the rescan reclaims what nobody has locked"


def drift(m: Any, locked: Any, other: Any) -> None:
    m.vm.node_data[0].v_vmstat_mlock += 1


def stranded_mark(m: Any, locked: Any, other: Any) -> None:
    other.v_flags |= other.m_mlocked
    m.vm.node_data[0].v_vmstat_mlock += 1


def stranded_page(m: Any, locked: Any, other: Any) -> None:
    m.vm.mms[0].mmap[0].v_vm_flags &= ~VM_LOCKED
    locked.v_flags &= ~locked.m_mlocked
    m.vm.node_data[0].v_vmstat_mlock -= 1


def lost_lru_flag(m: Any, locked: Any, other: Any) -> None:
    other.v_flags &= ~other.m_lru


def lost_pte(m: Any, locked: Any, other: Any) -> None:
    other.v__mapcount += 1


def lost_file(m: Any, locked: Any, other: Any) -> None:
    locked.v_mapping = address_space("another", 2)


def lost_reference(m: Any, locked: Any, other: Any) -> None:
    locked.v__refcount += 1


@pytest.mark.parametrize(
    ("harm", "title"),
    [
        (drift, "NR_MLOCK counts more than there are PG_mlocked pages"),
        (stranded_mark, "PG_mlocked page is mapped in no VM_LOCKED vma"),
        (stranded_page, "evictable page is stranded on the unevictable list"),
        (lost_lru_flag, "page is on an LRU list without PG_lru"),
        (lost_pte, "mapcount differs from the number of ptes"),
        (lost_file, "a shared mapping has a page that its file has not"),
        (lost_reference, "reference count differs from the number of owners"),
    ],
)
def test_harm_is_seen(harm: Callable[[Any, Any, Any], None], title: str) -> None:
    m, locked, other = at_rest()
    harm(m, locked, other)
    assert checked(m)[0] == title


@pytest.mark.parametrize(
    ("gates", "after"), [(MERGED, 0), ((*MERGED, "cluster-trylock-check-page"), 1)]
)
def test_a_missed_mlock_is_counted_and_a_rescan_repairs_it(
    gates: tuple[str, ...], after: int
) -> None:
    m = booted("3.13", cpus=2, pages=8, gates=gates, DEBUG_VM=True)
    m.vm.mappings, m.vm.mms = [], []
    stage = Stage(m, 1)
    page = stage.page()
    stage.mmap("one", (page,), VM_SHARED | VM_LOCKED | VM_NONLINEAR)
    assert checked(m) == []
    assert m.metrics["missed_mlocks"] == 1
    assert m.metrics["missed_after_rescan"] == after
    assert m.metrics["mlocks_repaired"] == 1 - after


def test_stranded_pages_are_counted_as_well_as_reported() -> None:
    m, locked, other = at_rest()
    stranded_mark(m, locked, other)
    checked(m)
    assert (m.metrics["stranded_marks"], m.metrics["stranded_pages"]) == (1, 0)
    m, locked, other = at_rest()
    stranded_page(m, locked, other)
    checked(m)
    assert (m.metrics["stranded_marks"], m.metrics["stranded_pages"]) == (0, 1)
