# SPDX-License-Identifier: GPL-2.0-only
"""The 2.4 functions one by one, called in order where nothing races, and the invariants' own test.

What the races pass only now and then (buffers, write-out, the task's own free pages, a page given
up while it was active) is looked at here on purpose.
"""

from __future__ import annotations

from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401  (declares what patched() asks for)
from mmsim.engine.door import door
from mmsim.engine.events import Event
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Events
from mmsim.engine.machine import Machine
from mmsim.engine.oops import ContextDied
from mmsim.engine.policy import RandomWalk
from mmsim.engine.seeds import stream
from mmsim.linux.list import list_add
from mmsim.scenarios.s002_double_free.check import check
from mmsim.scenarios.s002_double_free.stage import (
    cache_page,
    free_page,
    globals_2_4,
    new_page,
    swapon,
)
from mmsim.v2_4 import alloc_pages
from mmsim.v2_4.alloc_pages import alloc_page
from mmsim.v2_4.buffer import buffer_head
from mmsim.v2_4.filemap import (
    UnlockPage,
    address_space,
    lock_page,
    truncate_complete_page,
    unlock_page,
)
from mmsim.v2_4.i386 import add_to, and_with
from mmsim.v2_4.memory import handle_pte_fault, kiobuf, map_user_kiobuf, mm_struct, zap_page_range
from mmsim.v2_4.page import (
    PG_active,
    PG_dirty,
    PG_launder,
    PG_locked,
    PG_lru,
    PG_uptodate,
    TryLockPage,
)
from mmsim.v2_4.page_alloc import current_task, page_cache_release, put_page
from mmsim.v2_4.swap import (
    add_page_to_active_list,
    add_page_to_inactive_list,
    lru_cache_add,
    lru_cache_del,
)
from mmsim.v2_4.swapfile import free_swap_and_cache
from mmsim.v2_4.vmscan import GFP_KSWAPD, kswapd, refill_inactive, shrink_cache
from tests.kernel.booted import points

BEN = "ben-2002-01-01"
FLAWED = (BEN, "hugh-2002-02-07")
PAGELOCKED = (BEN, "hugh-2002-02-12")
LRU_REF = (BEN, "andrea-2002-02-14")


def boot(*gates: str, cpus: int = 1) -> Any:
    m = Machine(cpus, gates=frozenset(gates), era="2.4.18-pre9")
    door.boot(m)  # until the next one is booted
    m.vm = globals_2_4()
    return m


def sound(m: Any) -> bool:
    check(m, None)
    return not m.findings


def scan(m: Any) -> int:
    left: int = shrink_cache(2, m.vm.zone, GFP_KSWAPD, 1)
    return left


def flags(page: Any) -> set[int]:
    return {nr for nr in range(16) if page.v_flags >> nr & 1}


# -- freeing ----------------------------------------------------------------------------------


def test_2_4_17_takes_the_page_off_the_lru_in_page_cache_release() -> None:
    m = boot()
    page = new_page(m.vm, 1)
    page_cache_release(page)
    assert page.freed
    assert flags(page) == {PG_uptodate}
    assert m.vm.v_nr_inactive_pages == 0
    assert sound(m)


def test_2_4_17_knows_no_lru_in_put_page() -> None:
    m = boot()
    with pytest.raises(ContextDied):
        put_page(new_page(m.vm, 1))
    assert m.findings[0].title == "kernel BUG at page_alloc.c:84!"


def test_a_reference_that_is_not_the_last_frees_nothing() -> None:
    m = boot(BEN)
    page = new_page(m.vm, 2)
    put_page(page)
    assert not page.freed
    assert page.v_count == 1


@pytest.mark.parametrize(("gates", "bit"), [(FLAWED, False), (PAGELOCKED, True)])
def test_the_patches_leave_the_page_and_the_next_scan_frees_it(
    gates: tuple[str, ...], bit: bool
) -> None:
    m = boot(*gates)
    page = new_page(m.vm, 1)
    put_page(page)
    assert not page.freed
    assert (PG_locked in flags(page)) is bit
    assert scan(m) == 1
    assert page.freed
    assert flags(page) == {PG_uptodate}
    assert sound(m)


def test_count_0_without_the_lock_bit_is_left_alone() -> None:
    """The window of the 12 February patch: the last put is done, the bit not yet set."""
    m = boot(*PAGELOCKED)
    page = new_page(m.vm, 0)
    assert scan(m) == 2
    assert not page.freed
    assert PG_lru in flags(page)


def test_a_page_given_up_while_active_is_demoted_and_freed() -> None:
    m = boot(*PAGELOCKED)
    page = new_page(m.vm, 1, active=True)
    put_page(page)
    assert scan(m) == 2, "only the inactive list is scanned"
    refill_inactive(1)
    scan(m)
    assert page.freed
    assert sound(m)


def test_the_lru_holds_a_reference_and_gives_it_back() -> None:
    m = boot(*LRU_REF)
    page = new_page(m.vm, 1, lru=False)
    lru_cache_add(page)
    assert page.v_count == 2
    lru_cache_add(page)
    assert page.v_count == 2, "on the list already"
    put_page(page)
    assert page.v_count == 1
    assert not page.freed
    scan(m)
    assert page.freed
    assert sound(m)


def test_a_double_free_is_seen_by_the_ledger() -> None:
    m = boot(BEN)
    page = new_page(m.vm, 1)
    put_page(page)
    page.v_count = 1
    put_page(page)
    assert [f.title for f in m.findings] == ["double free: the page is free already"]
    assert m.findings[0].page.history == ("freed by swapper/0/0 (cpu 0)",) * 2


def test_a_page_freed_under_its_next_owner_is_seen_too() -> None:
    m = boot(BEN)
    page = free_page(m.vm)
    assert alloc_page() is page
    page.v_count = 2
    put_page(page)
    assert not m.findings
    page.v_count = 1
    page.fresh = True  # as between rmqueue's unlock and its set_page_count
    put_page(page)
    assert [f.title for f in m.findings] == ["double free: the page has another owner"]


# -- reclaim ----------------------------------------------------------------------------------


def in_cache(m: Any, users: int = 0) -> Any:
    page = new_page(m.vm, 1 + users)
    mapping = address_space("file", 1)
    m.vm.mappings.append(mapping)
    cache_page(m.vm, page, mapping, 0)
    return page


def test_a_clean_page_of_a_file_is_reclaimed() -> None:
    m = boot(BEN)
    page = in_cache(m)
    assert scan(m) == 1
    assert page.freed
    assert m.vm.mappings[0].slots[0].v_page is None
    assert sound(m)


def test_a_page_of_a_file_in_use_is_not() -> None:
    m = boot(BEN)
    page = in_cache(m, users=1)
    assert scan(m) == 2
    assert not page.freed
    assert PG_locked not in flags(page)


def test_a_dirty_page_is_written_and_then_reclaimed() -> None:
    m = boot(BEN)
    page = in_cache(m)
    page.v_flags |= 1 << PG_dirty
    written = []

    def writepage(page: Any) -> None:
        written.append((page, PG_launder in flags(page), PG_dirty in flags(page)))
        unlock_page(page)  # the I/O is over at once

    page.v_mapping.writepage = writepage
    assert scan(m) == 2
    assert written == [(page, True, False)]
    assert scan(m) == 1
    assert page.freed


def test_a_dirty_page_that_cannot_be_written_stays() -> None:
    m = boot(BEN)
    page = in_cache(m)
    page.v_flags |= 1 << PG_dirty
    assert scan(m) == 2
    assert not page.freed
    assert PG_locked not in flags(page)


def test_truncate_leaves_busy_buffers_and_a_later_scan_frees_the_page() -> None:
    m = boot(BEN)
    page = in_cache(m, users=1)
    page.v_buffers = buffer_head()
    page.v_buffers.v_b_count = 1
    lock_page(page)
    truncate_complete_page(page)
    UnlockPage(page)
    assert page.v_mapping is None
    assert PG_lru in flags(page)
    scan(m)
    assert not page.freed
    page.v_buffers.v_b_count = 0
    assert scan(m) == 1
    assert page.freed
    assert sound(m)


def test_buffers_of_a_file_page_go_with_it() -> None:
    m = boot(BEN)
    page = in_cache(m, users=1)
    page.v_buffers = buffer_head()
    assert scan(m) == 1
    assert page.freed


def test_the_swap_cache_gives_its_entry_back() -> None:
    m = boot(BEN)
    swapon(m.vm, 1)
    page = new_page(m.vm, 1)
    cache_page(m.vm, page, m.vm.swapper_space, 0)
    m.vm.swap_info.swap_map[0].v_count = 1
    assert scan(m) == 1
    assert page.freed
    assert m.vm.swap_info.swap_map[0].v_count == 0


def test_shrink_cache_says_bug_for_a_page_that_should_not_be_there() -> None:
    for bits, line in ((0, 358), (1 << PG_lru | 1 << 7, 360)):
        m = boot(BEN)
        new_page(m.vm, 1).v_flags = bits
        with pytest.raises(ContextDied):
            scan(m)
        assert m.findings[0].title == f"kernel BUG at vmscan.c:{line}!"


def test_reclaim_waits_for_a_page_under_write_out(token: Token) -> None:
    """kswapd meets a locked PG_launder page: it sleeps for it without the LRU lock."""
    for seed in range(40):
        m = boot(BEN, cpus=2)
        page = in_cache(m)
        page.v_flags |= 1 << PG_locked | 1 << PG_launder
        m.spawn(kswapd, 2, comm="kswapd", cpu=0)
        m.spawn(unlock_page, page, comm="io", cpu=1)
        token.run(m, RandomWalk(stream(seed, "test")))
        assert sound(m), (seed, m.findings[0].title)
        assert PG_locked not in flags(page)


# -- allocation -------------------------------------------------------------------------------


def test_who_reclaims_gets_what_he_freed() -> None:
    """The first page goes to current->local_pages and is handed out from there."""
    m = boot(BEN)
    pages = [in_cache(m) for _ in range(2)]
    page = alloc_page()
    assert page is pages[0]
    assert page.v_count == 1
    assert not page.freed
    assert pages[1].freed
    assert m.vm.zone.v_free_pages == 1


def test_what_was_kept_for_nothing_goes_back_to_the_zone() -> None:
    m = boot(BEN)
    page = in_cache(m)
    assert alloc_page() is page, "by way of the free list: one page is not what was wanted"
    assert m.vm.zone.v_free_pages == 0


def test_nothing_to_reclaim_is_out_of_memory() -> None:
    m = boot(BEN)
    new_page(m.vm, 1)
    assert alloc_page() is None


@pytest.mark.parametrize(
    ("gates", "lines"),
    [
        ((), (265, 267, 273, 275, 277, 279)),
        ((BEN,), (271, 273, 279, 281, 283, 285)),
        (PAGELOCKED, (276, 278, 284, 286, 288, 290)),
    ],
)
def test_a_page_kept_for_ourselves_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, gates: tuple[str, ...], lines: tuple[int, ...]
) -> None:
    """Of a kernel that is right none of the six can be, so they are put there by hand."""

    def buffers(page: Any) -> None:
        page.v_buffers = buffer_head()

    def mapping(page: Any) -> None:
        page.v_mapping = address_space("file", 1)

    def flag(nr: int) -> Any:
        return lambda page: setattr(page, "v_flags", page.v_flags | 1 << nr)

    wrong = (buffers, mapping, *map(flag, (PG_locked, PG_lru, PG_active, PG_dirty)))
    for damage, line in zip(wrong, lines, strict=True):
        m = boot(*gates)

        def reclaim(zone: Any, gfp_mask: int, order: int, m: Any = m, damage: Any = damage) -> int:
            page = new_page(m.vm, 0, lru=False)
            page.freed = True
            damage(page)
            task = current_task()
            list_add(page.list, task.local_pages)
            task.nr_local_pages += 1
            return 1

        monkeypatch.setattr(alloc_pages, "try_to_free_pages", reclaim)
        with pytest.raises(ContextDied):
            alloc_page()
        assert m.findings[0].title == f"kernel BUG at page_alloc.c:{line}!"


def test_a_page_that_is_linked_has_pg_lru_and_is_not_active_yet() -> None:
    for bits in (0, 1 << PG_lru | 1 << PG_active):
        for link, where in (
            (add_page_to_inactive_list, "vmscan.c:552"),
            (add_page_to_active_list, "swap.c:43"),
        ):
            m = boot(BEN)
            page = new_page(m.vm, 1, lru=False)
            page.v_flags = bits
            with pytest.raises(ContextDied):
                link(page, where)
            assert m.findings[0].title == f"kernel BUG at {where}!"


@pytest.mark.parametrize(("smp", "accesses"), [(True, 2), (False, 1)])
def test_on_one_cpu_an_interrupt_does_not_split_an_instruction(smp: bool, accesses: int) -> None:
    """``nr_inactive_pages -= 1`` and ``flags &= ~...`` are one each on i386."""
    m = Machine(1, era="2.4.17", smp=smp)
    door.boot(m)
    m.vm = globals_2_4()
    page = new_page(m.vm, 1)
    assert points(add_to, m.vm, "nr_inactive_pages", -1)[1] == accesses
    assert points(and_with, page, "flags", ~(1 << PG_uptodate))[1] == accesses
    assert m.vm.v_nr_inactive_pages == 0
    assert flags(page) == {PG_lru}


def test_the_page_of_a_swap_entry_is_looked_for_under_the_lock_of_its_device(token: Token) -> None:
    m = boot(BEN)
    swapon(m.vm, 1)
    page = new_page(m.vm, 1)
    cache_page(m.vm, page, m.vm.swapper_space, 0)
    m.vm.swap_info.swap_map[0].v_count = 2
    m.spawn(free_swap_and_cache, 0, comm="sh")
    seen: list[Event] = []
    m.instruments.append(Events(seen.append))
    token.run(m, RandomWalk(stream(1, "test")))
    kinds = [(event.kind, event.obj) for event in seen]
    assert page.freed
    taken = next(i for i, e in enumerate(seen) if e.verb == "test_and_set" and e.obj == page.name)
    for lock in ("swaplock", "swap_info->sdev_lock", "pagecache_lock"):
        held = [kinds.index(("lock", lock)), kinds.index(("unlock", lock))]
        assert held[0] < taken < held[1], lock


# -- page tables ------------------------------------------------------------------------------


def shared(m: Any, users: int) -> tuple[Any, list[Any]]:
    extra = int("andrea-2002-02-14" in m.gates)
    page = new_page(m.vm, users + extra)
    mms = [mm_struct(f"mm{i}", ("page", page, False)) for i in range(users)]
    m.vm.mms += mms
    return page, mms


@pytest.mark.parametrize("gates", [(BEN,), PAGELOCKED, LRU_REF])
def test_copy_on_write_copies_what_is_shared_and_reuses_what_is_not(gates: tuple[str, ...]) -> None:
    m = boot(*gates)
    page, (mm, other) = shared(m, 2)
    free_page(m.vm)
    assert handle_pte_fault(mm, mm.ptes[0])
    assert mm.ptes[0].v_val[1] is not page
    assert handle_pte_fault(other, other.ptes[0])
    assert other.ptes[0].v_val == ("page", page, True)
    assert m.metrics == {"cow_copied": 1, "cow_reused": 1}
    for each in (mm, other):
        zap_page_range(each)
    assert page.freed
    assert sound(m)


def test_a_constant_threshold_reuses_a_shared_page_that_is_off_the_lru() -> None:
    for mutation in ((), ("cow-exclusive-at-two",)):
        m = boot(*LRU_REF, *mutation)
        page, (mm, _) = shared(m, 2)
        free_page(m.vm)
        m.vm.truncated = True
        lru_cache_del(page)
        handle_pte_fault(mm, mm.ptes[0])
        assert sound(m) is not bool(mutation)


def test_a_pin_outlives_the_mapping() -> None:
    m = boot(BEN)
    page, (mm,) = shared(m, 1)
    iobuf = kiobuf()
    map_user_kiobuf(iobuf, mm)
    zap_page_range(mm)
    assert iobuf.maplist == [page]
    assert page.v_count == 1
    assert not page.freed


def test_unlocking_what_is_not_locked_is_a_bug() -> None:
    m = boot(BEN)
    with pytest.raises(ContextDied):
        unlock_page(new_page(m.vm, 1))
    assert m.findings[0].title == "kernel BUG at filemap.c:802!"


# -- the invariants themselves ------------------------------------------------------------------


def broken(m: Any) -> str:
    check(m, None)
    return m.findings[0].title if m.findings else ""


def test_each_invariant_notices() -> None:
    def lru_bit(m: Any, page: Any) -> None:
        page.v_flags &= ~(1 << PG_lru)

    def active_bit(m: Any, page: Any) -> None:
        page.v_flags |= 1 << 7

    def counter(m: Any, page: Any) -> None:
        m.vm.v_nr_inactive_pages += 1

    def reference(m: Any, page: Any) -> None:
        page.v_count += 1

    def locked(m: Any, page: Any) -> None:
        TryLockPage(page)

    def leaked(m: Any, page: Any) -> None:
        page.v_count = 0
        m.vm.mms.clear()

    def freed(m: Any, page: Any) -> None:
        page.freed = True

    def unlinked(m: Any, page: Any) -> None:
        page.lru.v_prev.v_next = page.lru.v_prev

    def held(m: Any, page: Any) -> None:
        m.vm.pagemap_lru_lock.locked = True

    def writable(m: Any, page: Any) -> None:
        page.v_count += 1
        m.vm.mms += [mm_struct("other", ("page", page, True))]

    expected = {
        lru_bit: "PG_lru disagrees with inactive_list",
        active_bit: "PG_lru and PG_active disagree with active_list",
        counter: "inactive_list is not as long as its counter says",
        reference: "page has other references than users",
        locked: "page is locked and nobody has locked it",
        leaked: "page without references was never freed",
        freed: "page was freed and is on no free list",
        unlinked: "inactive_list is corrupted",
        held: "pagemap_lru_lock is still held",
        writable: "page is writable for one process and mapped by another",
    }
    for damage, title in expected.items():
        m = boot(BEN)
        page, _ = shared(m, 1)
        shared(m, 1)
        assert broken(m) == ""
        damage(m, page)
        assert broken(m) == title


def test_a_parked_page_has_to_look_like_its_patch() -> None:
    for gates, locked in ((PAGELOCKED, True), (FLAWED, False)):
        for bit in (True, False):
            m = boot(*gates)
            page = new_page(m.vm, 0)
            page.v_flags |= bit << PG_locked
            assert sound(m) is (bit is locked)
