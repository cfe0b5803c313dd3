# SPDX-License-Identifier: GPL-2.0-only
"""Writeback: what the bit, the marks and the ptes say, and who is woken for which writeback.

The protocols of 5.4, 5.9, 5.10 and 5.11 differ in who looks at the page when.  Where the two bugs
between them are looked for, the interrupt that ends a writeback is cut off at each of its points
in turn; the kernels before and after go through the same orders.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.engine.context import HARDIRQ
from mmsim.engine.events import Event
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Events
from mmsim.engine.policy import RandomWalk, RoundRobin
from mmsim.engine.schedule import Diverged
from mmsim.engine.seeds import stream
from mmsim.filemap import lock_page, trylock_page, unlock_page
from mmsim.filemap_cache import filemap_add_folio
from mmsim.linux.irqflags import raise_irq
from mmsim.memblock import memblock_free_all
from mmsim.memory import user_access
from mmsim.mm_types import pte_dirty, pte_write
from mmsim.page import PageWriteback
from mmsim.page_alloc import alloc_page
from mmsim.page_dirty import set_page_dirty
from mmsim.page_writeback import (
    clear_page_dirty_for_io,
    end_page_writeback,
    filemap_fdatawait,
    set_page_writeback,
    wait_on_page_writeback,
    write_cache_pages,
)
from mmsim.pagemap import address_space
from mmsim.scenarios.s003_migration_entry.stage import boot, cached_page, memory_of, new_file
from mmsim.truncate import truncate_inode_pages
from tests.engine.lab import Only, kinds, run, titles
from tests.kernel.booted import booted

ERAS = ("5.4", "5.9", "5.10", "5.11", "5.17")
Body = Callable[[Any], Any]


def machine(era: str, *bodies: Body, gates: tuple[str, ...] = (), dirty: bool = True) -> Any:
    """One page of a file in ``m.page``; a task a, b, c ... on a CPU of its own for each body."""
    m = booted(era, cpus=max(1, len(bodies)), gates=gates, DEBUG_VM=True)
    vm = boot(m, frames=8)
    m.mapping = new_file(vm)
    m.page = cached_page(vm, m.mapping, 0)
    if dirty:
        m.page.v_flags |= m.page.m_dirty
        m.mapping.marks[0] = frozenset({"dirty"})
    memblock_free_all(vm)
    m.trace = []
    for i, body in enumerate(bodies):
        m.spawn(body, m, comm="abcd"[i], cpu=i)
    return m


def writeback(m: Any) -> None:
    """The page is on its way to the disk."""
    m.page.v_flags = m.page.v_flags & ~m.page.m_dirty | m.page.m_writeback
    m.mapping.marks[0] = frozenset({"writeback"})


def ends(m: Any) -> None:
    """The interrupt of the disk."""
    end_page_writeback(m.page)


def waits(m: Any) -> None:
    """Has a page locked, and waits until it is not under writeback: then nobody can begin one."""
    lock_page(m.page)
    wait_on_page_writeback(m.page)
    m.trace.append(PageWriteback(m.page))
    unlock_page(m.page)


def submit(page: Any) -> None:
    """writepage: the I/O is off."""
    set_page_writeback(page)
    unlock_page(page)


def flag(page: Any, name: str) -> bool:
    return name in page.flag_names()


# -- one after the other --------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_a_page_is_written_and_clean(era: str) -> None:
    m = machine(era)
    page = m.page
    trylock_page(page)
    assert clear_page_dirty_for_io(page)
    assert not clear_page_dirty_for_io(page)
    assert m.mapping.marks[0] == {"dirty"}, "it stays findable until it is under writeback"
    set_page_writeback(page)
    assert m.mapping.marks[0] == {"writeback"}
    unlock_page(page)
    end_page_writeback(page)
    assert not flag(page, "writeback")
    assert not m.mapping.marks[0]
    assert page.v__refcount == 1
    assert not m.findings


def test_a_page_that_gets_dirty_meanwhile_is_found_again() -> None:
    m = machine("5.17")
    trylock_page(m.page)
    clear_page_dirty_for_io(m.page)
    assert set_page_dirty(m.page)
    set_page_writeback(m.page)
    unlock_page(m.page)
    end_page_writeback(m.page)
    assert m.mapping.marks[0] == {"dirty"}


@pytest.mark.parametrize(
    ("era", "title"),
    [
        ("5.4", "kernel BUG at mm/page-writeback.c:2658!"),
        ("5.17", "VM_BUG_ON_FOLIO(!folio_test_locked(folio))"),
    ],
)
def test_cleaning_takes_the_page_lock(token: Token, era: str, title: str) -> None:
    m = machine(era, lambda m: clear_page_dirty_for_io(m.page))
    token.run(m, RoundRobin())
    assert titles(m) == [title]


@pytest.mark.parametrize(("era", "line"), [("5.4", 1359), ("5.17", 1645)])
def test_ending_what_has_not_begun(token: Token, era: str, line: int) -> None:
    m = machine(era, ends)
    token.run(m, RoundRobin())
    assert titles(m) == [f"kernel BUG at mm/filemap.c:{line}!"]


def test_a_page_of_the_swap_cache_has_no_marks() -> None:
    m = machine("5.17")
    page = alloc_page()
    page.v_flags |= page.m_swapbacked | page.m_swapcache
    trylock_page(page)
    assert set_page_dirty(page)
    assert clear_page_dirty_for_io(page)
    set_page_writeback(page)
    unlock_page(page)
    end_page_writeback(page)
    assert not m.vm.swapper_space.marks
    assert not m.findings


# -- stores through ptes --------------------------------------------------------------------------


def test_a_store_after_the_cleaning_dirties_the_page_again(token: Token) -> None:
    m = booted("5.17", DEBUG_VM=True)
    vm = boot(m, frames=4)
    mem = memory_of(vm, "file", 1)
    (page,) = mem.pages
    (slot,) = mem.mms[0].slots()
    memblock_free_all(vm)
    assert pte_write(slot.v_pte)
    seen = []

    def stores(m: Any) -> None:
        lock_page(page)
        assert clear_page_dirty_for_io(page)
        submit(page)
        seen.append((pte_write(slot.v_pte), flag(page, "dirty")))
        user_access(mem.mms[0], mem.places[0], "new")
        seen.append((pte_write(slot.v_pte), flag(page, "dirty")))

    m.spawn(stores, m, comm="a")
    token.run(m, RoundRobin())
    assert not m.findings
    assert seen == [(False, False), (True, True)]
    assert pte_dirty(slot.v_pte)
    assert page.v_data == "new"
    assert mem.vmas[0].mapping.marks[0] == {"dirty", "writeback"}
    assert page.v__refcount == 2


@pytest.mark.parametrize("seed", range(40))
def test_no_store_is_lost(token: Token, seed: int) -> None:
    """What has been stored when all is quiet is what was written last, or the page is dirty."""
    m = booted("5.17", cpus=2, DEBUG_VM=True)
    vm = boot(m, frames=6)
    mem = memory_of(vm, "file", 1)
    (page,) = mem.pages
    memblock_free_all(vm)
    disk = []

    def write(page: Any) -> None:
        disk.append(page.data)  # the device looks at it when it pleases
        submit(page)
        end_page_writeback(page)

    def stores() -> None:
        for text in ("one", "two", "three"):
            user_access(mem.mms[0], mem.places[0], text)

    def syncs() -> None:
        for _ in range(2):
            write_cache_pages(mem.vmas[0].mapping, write)

    m.spawn(stores, comm="a")
    m.spawn(syncs, comm="b", cpu=1)
    token.run(m, RandomWalk(stream(seed, "stores")))
    assert not m.findings
    assert flag(page, "dirty") or disk[-1] == page.v_data
    assert flag(page, "dirty") == ("dirty" in mem.vmas[0].mapping.marks.get(0, ()))


# -- waking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_the_end_wakes_those_who_wait(token: Token, era: str) -> None:
    for order in (("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")):
        m = machine(era, waits, waits, ends)
        writeback(m)
        token.run(m, Only(*order))
        assert not m.findings
        assert m.trace == [False, False]
        assert not flag(m.page, "waiters")


def test_an_interrupt_ends_it(token: Token) -> None:
    """A sync writes a file and waits for it; the disk's interrupt comes at any point."""
    for seed in range(60):
        m = machine("5.17")
        irq = m.irq(ends, m, comm="disk", kind=HARDIRQ, armed=False)

        def write(page: Any, irq: Any = irq) -> None:
            submit(page)
            raise_irq(irq)

        def sync(m: Any, write: Any = write) -> None:
            write_cache_pages(m.mapping, write)
            filemap_fdatawait(m.mapping)
            m.trace.append(flag(m.page, "writeback"))

        m.spawn(sync, m, comm="sync")
        token.run(m, RandomWalk(stream(seed, "sync")))
        assert not m.findings, titles(m)
        assert m.trace == [False]


def two_cuts(build: Callable[[], Any], token: Token, most: int) -> Iterator[Any]:
    """Every order in which a is interrupted once by b, and that one once by a."""
    for first, second in itertools.product(range(most), range(1, most)):
        m = build()
        with contextlib.suppress(Diverged):
            run(token, m, f"a{first} b{second}" if first else f"b{second}")
            yield m


@pytest.mark.parametrize("era", ERAS)
def test_a_waiter_is_woken_wherever_it_is_interrupted(token: Token, era: str) -> None:
    def build() -> Any:
        m = machine(era, waits, ends)
        writeback(m)
        return m

    runs = [kinds(m) for m in two_cuts(build, token, 36)]
    assert len(runs) > 100
    assert not any(runs)


def test_a_lost_wake_up_is_no_deadlock_on_the_page_lock(token: Token) -> None:
    """The sleeper holds the page lock, but that is not what it sleeps for."""

    def build() -> Any:
        m = machine("5.17", waits, ends, gates=("waiters-after-test",))
        writeback(m)
        return m

    lost = [m.findings[0] for m in two_cuts(build, token, 36) if m.findings]
    assert {finding.kind for finding in lost} == {"hung-task"}
    assert {finding.where for finding in lost} == {"folio_wait_bit_common"}
    (detail,) = {finding.detail for finding in lost}
    assert "sleeps for PG_writeback#pfn:00100, held by nobody" in detail[0]
    assert lost[0].locks == ("PG_locked#pfn:00100",)


# -- too early: a is cut off at each of its points ------------------------------------------------


class _CutOff(Only):
    """``cut`` points of a, then the others as far as they go, in this order, a before the last."""

    def __init__(self, cut: int, *names: str) -> None:
        super().__init__(*names)
        self._cut = cut

    def pick(self, enabled: Any, current: Any) -> Any:
        first = [ctx for ctx in enabled if ctx.comm == "a"]
        if self._cut and first:
            self._cut -= 1
            return first[0]
        return super().pick(enabled, current)


def begins_another(m: Any) -> None:
    """The page is written once more, and gets dirty while it is."""
    lock_page(m.page)
    wait_on_page_writeback(m.page)
    set_page_writeback(m.page)
    set_page_dirty(m.page)
    unlock_page(m.page)


def ends_another(m: Any) -> None:
    """The disk is done with the second writeback, long after."""
    if m.page.v_flags & m.page.m_writeback:
        end_page_writeback(m.page)


def writes_a_file(m: Any) -> None:
    """A sync.  No page that it has locked and waited for can be under writeback."""

    def write(page: Any) -> None:
        submit(page)
        end_page_writeback(page)

    write_cache_pages(m.mapping, write)


@pytest.mark.parametrize(
    ("era", "early"),
    [("5.4", False), ("5.9", True), ("5.10", True), ("5.11", False), ("5.17", False)],
)
def test_the_wake_up_of_an_earlier_writeback(token: Token, era: str, early: bool) -> None:
    """a has ended the first writeback and not yet woken anybody when b begins another.

    From 5.9 on c takes a's word for it, until 5.11 (c2407cf7d22d) asks again.  5.4 always has.
    """
    found: list[str] = []
    for cut in range(30):
        m = machine(era, ends, begins_another, writes_a_file, ends_another)
        writeback(m)
        token.run(m, _CutOff(cut, "b", "c", "a", "d"))
        found += titles(m)
    assert set(found) == ({"kernel BUG at mm/page-writeback.c!"} if early else set())


def truncates_and_reuses(m: Any) -> None:
    """Truncation waits for the writeback and frees the page; it is another file's at once."""
    truncate_inode_pages(m.mapping)
    page = alloc_page()
    second = address_space("second", 7)
    filemap_add_folio(second, page, 0)
    set_page_writeback(page)
    unlock_page(page)
    m.again = page


def waits_again(m: Any) -> None:
    """Waits for the page of the other file."""
    if m.again is not None:
        lock_page(m.again)
        wait_on_page_writeback(m.again)
        m.trace.append(PageWriteback(m.again))
        unlock_page(m.again)


def ends_again(m: Any) -> None:
    if m.again is not None:
        end_page_writeback(m.again)


@pytest.mark.parametrize(
    ("era", "touched", "early"),
    [
        ("5.4", True, False),
        ("5.9", True, True),
        ("5.10", False, False),
        ("5.11", False, False),
        ("5.17", False, False),
    ],
)
def test_the_next_life_of_a_page(token: Token, era: str, touched: bool, early: bool) -> None:
    """Between the end of its writeback and the wake-up a page is freed and used again.

    Until 5.10 (073861ed77b6) the interrupt goes on with it.  In 5.4 that is a look at another's
    page and a wake-up too many; in 5.9 the waiter believes it.
    """
    late: list[Event] = []
    told: list[bool] = []
    for cut in range(36):
        m = machine(era, ends, truncates_and_reuses, waits_again, ends_again, dirty=False)
        writeback(m)
        m.again = None
        events: list[Event] = []
        m.instruments.append(Events(events.append))
        token.run(m, _CutOff(cut, "b", "c", "a", "d"))
        assert not m.findings, titles(m)
        told += m.trace
        if m.again is m.page:
            reuse = next(i for i, e in enumerate(events) if e.func == "__set_page_locked")
            late += [e for e in events[reuse:] if e.comm == "a" and e.obj == m.page.name]
    assert bool(late) is touched
    assert any(told) is early
