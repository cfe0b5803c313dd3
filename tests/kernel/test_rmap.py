# SPDX-License-Identifier: GPL-2.0-only
"""Migration without a race: entries, both rmap walks, references, retries; exec's moving stack."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmsim.scenarios.gates  # noqa: F401
from mmsim.buffer import create_empty_buffers
from mmsim.engine.door import door
from mmsim.engine.events import Event
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Events
from mmsim.engine.op import WRITE, WRITE_ONCE, WRITES
from mmsim.engine.policy import RandomWalk, RoundRobin
from mmsim.engine.seeds import stream
from mmsim.filemap import unlock_page
from mmsim.linux.list import LIST_HEAD, list_empty, list_nodes
from mmsim.linux.percpu import per_cpu
from mmsim.lru import lru_add_drain, put_page
from mmsim.memblock import memblock_free_all
from mmsim.memory import madvise_dontneed, user_access
from mmsim.memory_model import pfn_to_page
from mmsim.migrate import ENOMEM, MIGRATE_SYNC, migrate_pages
from mmsim.migrate_entries import remove_migration_ptes
from mmsim.mlock import mlock_vma_page
from mmsim.mm_types import (
    PAGE_SIZE,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_READ,
    VM_STACK_INCOMPLETE_SETUP,
    VM_WRITE,
    is_swap_pte,
    pmd_offset,
    pte_dirty,
    pte_offset_map,
    pte_pfn,
    pte_present,
    pte_write,
    pte_young,
)
from mmsim.move_pages import alloc_migration_target, do_pages_move
from mmsim.mremap import setup_arg_pages
from mmsim.page import get_page, page_mapped
from mmsim.page_ext import page_is_idle, page_is_young
from mmsim.page_idle import page_idle_bitmap_read, page_idle_bitmap_write
from mmsim.page_vma_mapped import vma_address
from mmsim.pagemap import trylock_page
from mmsim.pagevec import pvecs
from mmsim.rmap import page_add_anon_rmap, page_get_anon_vma, try_to_migrate
from mmsim.scenarios.s003_migration_entry.stage import (
    boot,
    check,
    isolate,
    memory_of,
    user,
)
from mmsim.swapops import (
    SWP_MIGRATION_READ,
    SWP_MIGRATION_WRITE,
    is_migration_entry,
    is_writable_migration_entry,
    pte_to_swp_entry,
    swp_entry,
    swp_entry_to_pte,
)
from mmsim.util import page_mapping
from mmsim.vmscan import isolate_lru_page
from tests.engine.lab import titles
from tests.kernel.booted import booted

KINDS = ("own", "forked", "file")


def memory(kind: str, pages: int = 1, gates: tuple[str, ...] = (), **where: Any) -> Any:
    """A machine, ``m.mem``: memory of this kind with ``pages`` pages, and some free frames."""
    m = booted(gates=gates, DEBUG_VM=True, DEBUG_LIST=True)
    vm = boot(m, frames=2 * pages + 6)
    m.mem = memory_of(vm, kind, pages, **where)
    memblock_free_all(vm)
    return m


def slots(m: Any, address: int) -> list[Any]:
    return [pte_offset_map(pmd_offset(mm, address), address) for mm in m.mem.mms]


def sound(m: Any) -> bool:
    """Everything holds that has to hold when nobody is doing anything."""
    check(m, None)
    return not m.findings


# -- words ----------------------------------------------------------------------------------------


@given(st.sampled_from((SWP_MIGRATION_READ, SWP_MIGRATION_WRITE, 0)), st.integers(1, (1 << 50) - 1))
def test_an_entry_survives_the_page_table(type: int, offset: int) -> None:
    entry = swp_entry(type, offset)
    word = swp_entry_to_pte(entry)
    assert pte_to_swp_entry(word) == entry
    assert is_swap_pte(word)
    assert not pte_present(word)
    assert word < 1 << 64


# -- one walk there, one back ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_entries_replace_every_pte_and_are_replaced_again(kind: str) -> None:
    m = memory(kind)
    page, address = m.mem.pages[0], m.mem.places[0]
    before = [slot.v_pte for slot in slots(m, address)]
    refs = page.v__refcount
    get_page(page)
    trylock_page(page)

    try_to_migrate(page)
    for slot in slots(m, address):
        entry = pte_to_swp_entry(slot.v_pte)
        assert is_migration_entry(entry)
        assert entry.offset == page.pfn
        assert is_writable_migration_entry(entry) == (kind != "forked")
    assert not page_mapped(page)
    assert page.v__refcount == refs + 1 - len(before)

    remove_migration_ptes(page, page)
    after = [slot.v_pte for slot in slots(m, address)]
    assert [pte_pfn(pte) for pte in after] == [pte_pfn(pte) for pte in before]
    assert [pte_write(pte) for pte in after] == [pte_write(pte) for pte in before]
    assert page.v__refcount == refs + 1
    assert page.v__mapcount == len(before) - 1


def test_a_page_is_where_its_index_says() -> None:
    m = memory("own", pages=3)
    vma = m.mem.vmas[0]
    assert [vma_address(page, vma) for page in m.mem.pages] == m.mem.places
    vma.v_vm_start += PAGE_SIZE
    vma.v_vm_pgoff += 1
    assert vma_address(m.mem.pages[0], vma) is None
    assert vma_address(m.mem.pages[2], vma) == m.mem.places[2]
    vma.v_vm_end -= PAGE_SIZE
    assert vma_address(m.mem.pages[2], vma) is None


def test_an_anon_vma_is_given_only_for_mapped_anonymous_memory() -> None:
    m = memory("own")
    page = m.mem.pages[0]
    av = page_get_anon_vma(page)
    assert av is m.mem.vmas[0].v_anon_vma
    assert av.v_refcount == 2
    page.v__mapcount = -1
    assert page_get_anon_vma(page) is None
    assert page_get_anon_vma(memory("file").mem.pages[0]) is None


# -- whole migrations -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_moves_and_nobody_notices(kind: str) -> None:
    m = memory(kind, pages=2)
    mm, old, places = m.mem.mms[0], list(m.mem.pages), m.mem.places
    if kind != "forked":
        assert user_access(mm, places[0], m.mem.names[0]) == (True, m.mem.names[0])
    assert do_pages_move(mm, places) == 0
    assert old[-1].state == "pcp"  # the first frame has a new owner by now
    for page, address, name in zip(old, places, m.mem.names, strict=True):
        for slot in slots(m, address):
            assert pte_pfn(slot.v_pte) != page.pfn
        assert [user_access(owner, address) for owner in m.mem.mms] == [(True, name)] * len(
            m.mem.mms
        )
    assert sound(m)


@pytest.mark.parametrize("kind", ["own", "file"])
def test_an_mlocked_page_stays_mlocked(kind: str) -> None:
    """The last pte takes PG_mlocked with it, and the first that comes back sets it."""
    m = memory(kind, pages=2, flags=VM_READ | VM_WRITE | VM_LOCKED)
    for page in m.mem.pages:
        lru_add_drain()
        trylock_page(page)
        mlock_vma_page(page)
        unlock_page(page)
    lru_add_drain()
    assert m.vm.node_data[0].v_vmstat_mlock == 2
    assert do_pages_move(m.mem.mms[0], m.mem.places[:1]) == 0
    lru_add_drain()
    (slot,) = slots(m, m.mem.places[0])
    new = pfn_to_page(pte_pfn(slot.v_pte))
    assert new is not m.mem.pages[0]
    assert {"mlocked", "unevictable", "lru"} <= set(new.flag_names())
    assert m.vm.node_data[0].v_vmstat_mlock == 2
    assert sound(m)


def test_a_new_page_of_locked_memory_is_mlocked() -> None:
    m = memory("own", flags=VM_READ | VM_WRITE | VM_LOCKED)
    mm, address = m.mem.mms[0], m.mem.places[0]
    madvise_dontneed(mm, address)
    assert user_access(mm, address, "new") == (True, 0)
    lru_add_drain()
    (slot,) = slots(m, address)
    page = pfn_to_page(pte_pfn(slot.v_pte))
    assert {"uptodate", "mlocked", "unevictable"} <= set(page.flag_names())
    madvise_dontneed(mm, address)
    assert m.vm.node_data[0].v_vmstat_mlock == 0
    assert sound(m)


def test_the_object_is_known_before_the_index(token: Token) -> None:
    """Whoever goes by frame number may look between the two stores."""
    m = memory("own")
    mm, address = m.mem.mms[0], m.mem.places[0]
    madvise_dontneed(mm, address)
    seen: list[Event] = []
    m.instruments.append(Events(seen.append))
    m.spawn(user_access, mm, address, "new", comm="a")
    token.run(m, RoundRobin())
    stores = [e for e in seen if e.func == "__page_set_anon_rmap" and e.kind in WRITES]
    assert [(e.label, e.kind) for e in stores] == [("mapping", WRITE_ONCE), ("index", WRITE)]


@pytest.mark.parametrize("mapped", [True, False])
def test_a_pte_is_added_to_a_locked_page_only(token: Token, mapped: bool) -> None:
    """Whether or not it is the first, and before anything is changed."""
    m = memory("own")
    (page,) = m.mem.pages
    page.v__mapcount = 0 if mapped else -1
    m.spawn(page_add_anon_rmap, page, m.mem.vmas[0], m.mem.places[0], comm="a")
    token.run(m, RoundRobin())
    assert titles(m) == ["VM_BUG_ON_PAGE(!PageLocked(page))"]
    assert page.v__mapcount == (0 if mapped else -1)


def test_a_page_of_the_swap_cache_has_the_swappers_mapping() -> None:
    m = memory("own")
    (page,) = m.mem.pages
    assert page_mapping(page) is None
    page.v_flags |= page.m_swapcache
    assert page_mapping(page) is m.vm.swapper_space


# -- who uses a page ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_idle_walk_makes_ptes_old(kind: str) -> None:
    m = memory(kind)
    (page,) = m.mem.pages
    page_idle_bitmap_write(m.vm.mem_map)
    assert not any(pte_young(slot.v_pte) for slot in slots(m, m.mem.places[0]))
    assert page_is_young(page), "reclaim has to know"
    assert page_idle_bitmap_read(m.vm.mem_map) == [page]
    user_access(m.mem.mms[-1], m.mem.places[0])
    assert page_idle_bitmap_read(m.vm.mem_map) == []
    assert sound(m)


def test_an_idle_walk_does_not_wait_for_a_page_of_a_file() -> None:
    m = memory("file")
    (page,) = m.mem.pages
    trylock_page(page)
    page_idle_bitmap_write(m.vm.mem_map)
    assert page_is_idle(page)
    assert all(pte_young(slot.v_pte) for slot in slots(m, m.mem.places[0]))


# -- other CPUs' pagevecs -------------------------------------------------------------------------


@pytest.mark.parametrize("preempt", [True, False])
def test_pages_in_other_cpus_pagevecs_are_moved_too(token: Token, preempt: bool) -> None:
    """Each CPU empties its own; and as long as somebody moves pages they do not fill again."""
    for seed in range(20):
        m = booted(cpus=3, DEBUG_VM=True)
        m.preempt = preempt
        vm = boot(m, frames=12)
        mem = memory_of(vm, "own", 3)
        memblock_free_all(vm)
        for number, page in enumerate(mem.pages):
            assert not isolate_lru_page(page)  # whose reference is the pagevec's now
            per_cpu(pvecs, number).lru_add.pages.append(page)
        moved = []

        def moves(mem: Any = mem, moved: Any = moved) -> None:
            moved.append(do_pages_move(mem.mms[0], mem.places))

        m.spawn(moves, comm="mover")
        for cpu in range(3):
            m.spawn(user, mem.mms[0], mem.places, mem.names, True, 3, comm=f"user{cpu}", cpu=cpu)
        token.run(m, RandomWalk(stream(seed, "drain")))
        check(m, None)
        assert not m.findings, titles(m)
        assert moved == [0]
        assert m.metrics["pgmigrate_success"] == 3


def test_a_dirty_page_stays_dirty() -> None:
    m = memory("file")
    mm, address = m.mem.mms[0], m.mem.places[0]
    user_access(mm, address, m.mem.names[0])
    assert pte_dirty(slots(m, address)[0].v_pte)
    do_pages_move(mm, [address])
    new = m.vm.files[0].slots[0]
    assert new is not m.mem.pages[0]
    assert new.v_flags & new.m_dirty
    assert not pte_dirty(slots(m, address)[0].v_pte)


@pytest.mark.parametrize("kind", KINDS)
def test_one_reference_too_many_and_it_stays(kind: str) -> None:
    """Ten passes, then it is put back where it was."""
    m = memory(kind)
    page, address = m.mem.pages[0], m.mem.places[0]
    get_page(page)
    assert do_pages_move(m.mem.mms[0], [address]) == 1
    assert m.metrics["eagain"] == 10
    assert all(pte_pfn(slot.v_pte) == page.pfn for slot in slots(m, address))
    put_page(page)
    assert sound(m)


def test_a_page_freed_meanwhile_is_done() -> None:
    m = memory("file")
    page, address = m.mem.pages[0], m.mem.places[0]
    pages = LIST_HEAD("pages")
    isolate(m.vm, page, pages)
    madvise_dontneed(m.mem.mms[0], address)
    m.vm.files[0].slots.clear()
    m.vm.files[0].v_nrpages = 0
    page.v_mapping = None
    put_page(page)
    assert page.v__refcount == 1
    assert migrate_pages(pages, alloc_migration_target, None, None, MIGRATE_SYNC) == 0
    assert list_empty(pages)
    assert page.state == "pcp"
    assert sound(m)


def test_a_truncated_page_with_buffers_loses_them_first() -> None:
    """They hold the last reference besides ours: without them the second pass finds it freed."""
    m = memory("file")
    page, address = m.mem.pages[0], m.mem.places[0]
    pages = LIST_HEAD("pages")
    isolate(m.vm, page, pages)
    create_empty_buffers(page)
    madvise_dontneed(m.mem.mms[0], address)
    m.vm.files[0].slots.clear()
    m.vm.files[0].v_nrpages = 0
    page.v_mapping = None
    put_page(page)
    assert page.v__refcount == 2
    assert migrate_pages(pages, alloc_migration_target, None, None, MIGRATE_SYNC) == 0
    assert m.metrics["retries"] == 1
    assert sound(m)


def test_no_memory_to_move_to() -> None:
    m = memory("own")
    pages = LIST_HEAD("pages")
    isolate(m.vm, m.mem.pages[0], pages)
    assert migrate_pages(pages, lambda page, private: None, None, None, MIGRATE_SYNC) == -ENOMEM
    assert [node.owner for node in list_nodes(pages)] == m.mem.pages


def test_zapping_an_entry_leaves_nothing_to_restore() -> None:
    m = memory("file")
    page, address = m.mem.pages[0], m.mem.places[0]
    get_page(page)
    trylock_page(page)
    try_to_migrate(page)
    madvise_dontneed(m.mem.mms[0], address)
    remove_migration_ptes(page, page)
    assert slots(m, address)[0].v_pte == 0
    assert not page_mapped(page)


# -- exec -----------------------------------------------------------------------------------------

STACK_FLAGS = VM_READ | VM_WRITE | VM_GROWSDOWN | VM_STACK_INCOMPLETE_SETUP
STACK = {"flags": STACK_FLAGS, "start": 0x7FF000}


def test_exec_moves_its_stack() -> None:
    """Three pages over two page tables, to two others."""
    start, shift = (4 << 21) - 2 * PAGE_SIZE, (1 << 21) + PAGE_SIZE
    m = memory("own", pages=3, flags=STACK_FLAGS, start=start)
    mm, vma = m.mem.mms[0], m.mem.vmas[0]
    mm.map_tables(start - shift, start - shift + 3 * PAGE_SIZE)
    assert setup_arg_pages(mm, vma, shift) == 0
    assert (vma.v_vm_start, vma.v_vm_end) == (start - shift, start - shift + 3 * PAGE_SIZE)
    for address, name in zip(m.mem.places, m.mem.names, strict=True):
        assert user_access(mm, address - shift) == (True, name)
        assert user_access(mm, address) == (False, None)
    assert [vma_address(page, vma) for page in m.mem.pages] == [a - shift for a in m.mem.places]
    assert do_pages_move(mm, [address - shift for address in m.mem.places]) == 0
    assert sound(m)


@pytest.mark.parametrize(("gates", "entries"), [((), 0), (("rmap-miss",), 1)])
def test_a_stack_on_the_move_gets_no_entries(gates: tuple[str, ...], entries: int) -> None:
    m = memory("own", gates=gates, **STACK)
    page, address = m.mem.pages[0], m.mem.places[0]
    get_page(page)
    trylock_page(page)
    try_to_migrate(page)
    assert is_swap_pte(slots(m, address)[0].v_pte) == bool(entries)
    assert page_mapped(page) != bool(entries)


def test_an_entry_that_moved_is_not_found_again() -> None:
    """What 003.rmap-miss is about, one step after the other: there is no race in this test."""
    m = memory("own", gates=("rmap-miss",), **STACK)
    mm, vma, page, address = m.mem.mms[0], m.mem.vmas[0], m.mem.pages[0], m.mem.places[0]
    mm.map_tables(address - PAGE_SIZE, address)
    get_page(page)
    trylock_page(page)
    try_to_migrate(page)
    vma.v_vm_start -= PAGE_SIZE  # exec, before it has moved the entry
    remove_migration_ptes(page, page)
    assert is_swap_pte(slots(m, address)[0].v_pte)
    check(m, None)
    assert "a migration entry is left" in titles(m)
    assert door.execution is None
