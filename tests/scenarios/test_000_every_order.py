# SPDX-License-Identifier: GPL-2.0-only
"""Two actors of thread 000 on one page, in every order with two switches: n, then m, then the rest.

What random runs make likely, this makes certain within its bound; for what must not be found
`make test` takes every fourth n, `make slow` all of them.  It also answers a question that rates
cannot: *which* order it takes to come to the oops of the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.detect.finding import Finding
from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.context import Context
from mmsim.engine.door import door
from mmsim.engine.execution import Token
from mmsim.engine.machine import Machine
from mmsim.engine.policy import FOREVER, Policy
from mmsim.linux.watchdog import stuck
from mmsim.lru import activate_page, lru_add_drain, lru_cache_add, release_pages
from mmsim.memblock import memblock_alloc
from mmsim.memcg_move import mem_cgroup_move_charge
from mmsim.mmzone import LRU_INACTIVE_ANON, boot_mm
from mmsim.page import get_page
from mmsim.page_idle import page_idle_bitmap_write
from mmsim.pagemap import address_space
from mmsim.scenarios.invariants import check_mm
from mmsim.scenarios.s000_lock_swap.actors import scanner
from mmsim.vmscan import shrink_inactive_list

Actor = Callable[[Any], None]


class Split(Policy):
    """The first task for ``n`` effects, the second for ``m``, the first to its end, the second."""

    def __init__(self, n: int, m: int) -> None:
        self.plan = [[0, n], [1, m], [0, FOREVER], [1, FOREVER]]
        self.done = [0, 0]  # effects of each, as long as the plan is at its first two parts

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        while len(self.plan) > 1 and (
            self.plan[0][1] <= 0 or all(c.id != self.plan[0][0] for c in enabled)
        ):
            self.plan.pop(0)
        return next((c for c in enabled if c.id == self.plan[0][0]), enabled[0])

    def quantum(self, ctx: Context) -> int:
        return self.plan[0][1] if ctx.id == self.plan[0][0] else 1

    def ran(self, ctx: Context, n: int) -> None:
        if len(self.plan) > 2:
            self.done[ctx.id] += n
        if ctx.id == self.plan[0][0]:
            self.plan[0][1] -= n

    def kicked(self) -> int | None:
        return None


class Stage:
    """One page on the LRU of memcg1 with a reference that the first actor owns, and a bystander."""

    def __init__(self, era: str, gates: tuple[str, ...], config: dict[str, bool]) -> None:
        self.machine = m = Machine(2, era=era, gates=frozenset(gates), config=config)
        door.boot(m)  # until the next one is booted
        m.on_stuck = stuck
        m.max_steps = 4000
        self.vm = boot_mm(m, memcgs=2, pages=2)
        self.page, self.other = (memblock_alloc(self.vm) for _ in range(2))
        self.mapping = address_space("tmpfs0")
        for page in (self.page, self.other):
            page.v_flags |= page.m_swapbacked
            page.v_mem_cgroup = self.vm.memcgs[1]
            lru_cache_add(page)
        lru_add_drain()

    def check(self) -> None:
        if not self.machine.findings:
            owners = [self.other]
            check_mm(self.machine, [self.mapping], owners)


def release(s: Stage) -> None:
    release_pages([s.page])


def activate(s: Stage) -> None:
    """A reader of the file: the pagevec's reference is all it has."""
    activate_page(s.page)
    lru_add_drain()


def reclaim(s: Stage) -> None:
    shrink_inactive_list(1, s.vm.memcgs[1].lruvecs[0], LRU_INACTIVE_ANON)


def scan(s: Stage) -> None:
    scanner([s.page])


def idle(s: Stage) -> None:
    page_idle_bitmap_write([s.page])


def move(s: Stage) -> None:
    mem_cgroup_move_charge(s.mapping, [0], s.vm.memcgs[1], s.vm.memcgs[2])


@pytest.fixture(scope="module")
def token() -> Iterator[Token]:
    carrier = greenlets()
    yield carrier
    carrier.close()


def every_order(
    token: Token,
    era: str,
    first: Actor,
    second: Actor,
    *gates: str,
    cached: bool = False,
    step: int = 1,
    **config: bool,
) -> Iterator[Finding | None]:
    """The first finding of each order (n, m); None where there is none.

    ``step`` is that of n: 1 for all orders.
    """

    def run(n: int, m: int) -> tuple[Finding | None, Split]:
        s = Stage(era, gates, config)
        if cached:
            s.page.v_mapping = s.mapping
            s.mapping.slots[0] = s.page
        s.machine.spawn(first, s, comm="rm", cpu=0)
        s.machine.spawn(second, s, comm="other", cpu=1)
        split = Split(n, m)
        token.run(s.machine, split)
        s.check()
        return next(iter(s.machine.findings), None), split

    for n in count(0, step):
        finding, split = run(n, FOREVER)
        if split.done[0] < n:
            return
        yield finding
        for m in range(1, split.done[1]):
            yield run(n, m)[0]


def title(finding: Finding | None) -> str:
    return finding.title if finding else ""


STEPS = (4, pytest.param(1, marks=pytest.mark.slow))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("second", [reclaim, scan, idle])
@pytest.mark.parametrize("era", ["5.4", "5.17"])
def test_the_release_path_is_right(token: Token, era: str, second: Actor, step: int) -> None:
    """The question of the mail, for one page and two CPUs: no order of two switches hurts."""
    results = every_order(token, era, release, second, step=step, DEBUG_VM=True, DEBUG_LIST=True)
    found = Counter(map(title, results))
    assert found.keys() == {""}
    assert found.total() > 50


@pytest.mark.parametrize("step", STEPS)
def test_charges_move_while_a_pagevec_does(token: Token, step: int) -> None:
    results = every_order(token, "5.17", activate, move, step=step, cached=True, DEBUG_VM=True)
    assert set(map(title, results)) == {""}


def test_which_order_makes_the_oops(token: Token) -> None:
    """A scanner gets from zero.  Only the releaser can die of poison, and only if it lost.

    Where the releaser is first, the page is in its private list when the scanner's list_del comes,
    which goes through: a double free, or a list_del out of that list.
    """
    found = list(filter(None, every_order(token, "5.4", release, scan, "get-from-zero")))
    oopses = [f for f in found if "virtual address 00000104" in f.title]
    assert oopses
    assert {f.comm for f in oopses} == {"rm"}
    assert {f.where for f in oopses} == {"release_pages_v5_4"}  # where the PC of the report is
    assert "double free" in map(title, found)
    assert len(found) > len(oopses)


@pytest.mark.parametrize(
    ("era", "first", "second", "gate", "says"),
    [
        ("5.4", release, scan, "get-from-zero", "page_ref_zero_or_close_to_overflow"),
        ("5.4", release, reclaim, "isolate-plain-get", "!PageLRU(page)"),
        ("5.17", release, reclaim, "isolate-testclear-first", "free list"),
        ("5.17", activate, move, "pagevec-move-no-testclear", "lruvec_memcg(lruvec) != memcg"),
        ("5.17", activate, move, "move-account-noisolate", "lruvec_memcg(lruvec) != memcg"),
    ],
)
def test_each_rule_is_needed(
    token: Token, era: str, first: Actor, second: Actor, gate: str, says: str
) -> None:
    """Some orders show it and some do not; it is over when there is one of each."""
    cached, seen = second is move, set()
    for finding in every_order(token, era, first, second, gate, cached=cached, DEBUG_VM=True):
        seen.add(title(finding))
        if "" in seen and any(says in text for text in seen):
            return
    raise AssertionError(seen)


def test_the_stage_is_set(token: Token) -> None:
    """Left alone, with two references, the page survives its release."""
    s = Stage("5.4", (), {"DEBUG_VM": True})
    get_page(s.page)
    release(s)
    assert s.page.v__refcount == 1
