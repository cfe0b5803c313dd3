# SPDX-License-Identifier: GPL-2.0-only
"""The hole of 12 February: one page, one last put, one kswapd, in every order with three switches.

kswapd for n looks at the page, the other for m, kswapd for up to three, then the other to its end:
every n and m.  A look is an access to one of the words that say whose the page is: its count,
mapping, buffers, PG_locked and PG_lru.  Random runs hardly hit the hole; here it is found each
time, and where it is not found it is not there within this bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401  (declares what patched() asks for)
from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.choices import Choices
from mmsim.engine.context import Context
from mmsim.engine.execution import Token
from mmsim.engine.machine import Machine
from mmsim.engine.policy.base import FOREVER, Policy
from mmsim.linux.watchdog import stuck
from mmsim.scenarios.api import NeverThere, Sequencer, after, before
from mmsim.scenarios.api import run as step
from mmsim.scenarios.s002_double_free.actors import set_stage
from mmsim.scenarios.s002_double_free.casts import Cast
from mmsim.scenarios.s002_double_free.check import check
from mmsim.scenarios.s002_double_free.stage import globals_2_4

PRE9 = ("ben-2002-01-01",)
PAGELOCKED = (*PRE9, "hugh-2002-02-12")
NO_COUNT_ONE = (*PAGELOCKED, "count-one-left-out")
IN_INTERRUPT = (*NO_COUNT_ONE, "park-in-interrupt-only")
GET_FIRST = (*PAGELOCKED, "get-before-trylock")
GET_FIRST_ALONE = (*NO_COUNT_ONE, "get-before-trylock")

WORDS = {"count", "mapping", "buffers", "flags", "flags:locked", "flags:lru"}
ALL = 1_000_000

LOCKED = "kernel BUG at page_alloc.c:82!"  # the page is locked already
TRYLOCK = "kernel BUG at page_alloc.c:93!"  # kswapd was faster between the two tests


class Turns(Policy):
    """Each context in turn for so many looks at the page; the last turns are without end.

    Looks are counted where a turn can end with one: ALL is more than there are, and counts them.
    """

    def __init__(self, page: Any, turns: Sequence[tuple[str, int]]) -> None:
        self.page = page
        self.turns = [list(turn) for turn in turns]
        self.taken: Counter[str] = Counter()  # looks at the page, by context

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        by_name = {ctx.comm: ctx for ctx in enabled}
        while len(self.turns) > 1:
            name, left = self.turns[0]
            if name in by_name and (left > 0 or not self._looks(by_name[name])):
                break
            self.turns.pop(0)
        ctx = by_name.get(str(self.turns[0][0]), enabled[0])
        if self._looks(ctx) and self.turns[0][1] != FOREVER:
            self.taken[ctx.comm] += 1
            if ctx.comm == self.turns[0][0]:
                self.turns[0][1] -= 1
        return ctx

    def _looks(self, ctx: Context) -> bool:
        op, obj, _ = ctx.pending
        return ctx.at_point and obj is self.page and op.label in WORDS

    def quantum(self, ctx: Context) -> int:
        """Whoever's turn has no end is asked again when somebody else can run, or has to wait."""
        return FOREVER if self.turns[0] == [ctx.comm, FOREVER] else 1

    def passes(self, ctx: Context, choices: Choices) -> bool:
        """Between two looks a turn goes on."""
        op, obj, _ = ctx.pending
        return ctx.comm == self.turns[0][0] and (obj is not self.page or op.label not in WORDS)

    def kicked(self) -> int | None:
        return 0


@pytest.fixture(scope="module")
def token() -> Iterator[Token]:
    token = greenlets()
    yield token
    token.close()


def run_with(
    token: Token, gates: tuple[str, ...], part: str, policy: Callable[[Any], Policy]
) -> str:
    """The title of the first finding, or "".  ``policy`` is made for the page."""
    m = Machine(2, era="2.4.18-pre9", gates=frozenset(gates))
    m.on_stuck = stuck
    m.max_steps = 2000
    with m.booted():
        m.vm = globals_2_4()
        set_stage(m, Cast((part,)))
        token.run(m, policy(m.vm.mem_map[0]))
        if not m.findings:
            check(m, None)
    return m.findings[0].title if m.findings else ""


def run(
    token: Token, gates: tuple[str, ...], part: str, *turns: tuple[str, int]
) -> tuple[str, Counter[str]]:
    """The title of the first finding, or ""; and who looked at the page how often."""
    made: list[Turns] = []

    def policy(page: Any) -> Turns:
        made.append(Turns(page, turns))
        return made[-1]

    return run_with(token, gates, part, policy), made[0].taken


def every_order(
    token: Token, gates: tuple[str, ...], part: str, other: str, step: int, last: str = ""
) -> Counter[str]:
    """What all orders come to.  ``last`` is the context of the last put, if it is not ``other``.

    ``step`` is that of m: 1 for all orders.
    """
    last = last or other
    _, alone = run(token, gates, part, ("kswapd", ALL))
    _, first = run(token, gates, part, (other, ALL), (last, FOREVER))
    assert alone["kswapd"] > 3
    assert first[other] > 5
    found: Counter[str] = Counter()
    for n in range(alone["kswapd"] + 1):
        for m in range(0, first[other] + 1, step):
            for j in range(1, 4):
                turns = [("kswapd", n), (other, m), ("kswapd", j), (last, FOREVER)]
                rest = [(other, FOREVER), ("kswapd", FOREVER)]
                found[run(token, gates, part, *turns, *rest)[0]] += 1
    assert found.total() > 200 / step
    return found


SLOW = pytest.mark.slow
STEPS = (3, pytest.param(1, marks=SLOW))
SWAPOFF = [("swapoff", "swapoff"), pytest.param("swapoff+buffers", "swapoff", marks=SLOW)]
EXIT = [("swap", "make"), pytest.param("swap+buffers", "make", marks=SLOW)]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("part", "other"), SWAPOFF)
def test_swapoff_puts_the_last_reference_while_kswapd_has_the_page_lock(
    token: Token, part: str, other: str, step: int
) -> None:
    found = every_order(token, PAGELOCKED, part, other, step)
    assert found.keys() == {"", LOCKED, TRYLOCK}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("part", "other"), EXIT)
def test_so_does_a_process_that_exits_without_the_three_hunks(
    token: Token, part: str, other: str, step: int
) -> None:
    found = every_order(token, NO_COUNT_ONE, part, other, step)
    assert found.keys() == {"", LOCKED, TRYLOCK}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("part", "other"), EXIT)
def test_with_them_it_waits_for_the_lock_that_kswapd_holds(
    token: Token, part: str, other: str, step: int
) -> None:
    assert every_order(token, PAGELOCKED, part, other, step).keys() == {""}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("part", "other"), [*SWAPOFF, *EXIT])
@pytest.mark.parametrize("gates", [PRE9, IN_INTERRUPT], ids=["pre9", "in-interrupt"])
def test_who_takes_the_lru_lock_for_the_last_put_is_safe(
    token: Token, gates: tuple[str, ...], part: str, other: str, step: int
) -> None:
    assert every_order(token, gates, part, other, step).keys() == {""}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("part", "other"), [*SWAPOFF, *EXIT])
def test_a_reference_before_the_trylock_closes_the_hole(
    token: Token, part: str, other: str, step: int
) -> None:
    """With the three hunks and without: it does not rest on them."""
    for gates in (GET_FIRST, GET_FIRST_ALONE):
        assert every_order(token, gates, part, other, step).keys() == {""}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("gates", "part", "titles"),
    [
        (PAGELOCKED, "swapped+buffers", {"", LOCKED}),
        (IN_INTERRUPT, "swapped+buffers", {"", LOCKED}),  # the last put is in an interrupt
        (GET_FIRST, "swapped+buffers", {""}),
        # without buffers kswapd does not try: the pin makes the count 2
        (PAGELOCKED, "swapped", {""}),
    ],
    ids=["pagelocked", "in-interrupt", "get-first", "no-buffers"],
)
def test_full_swap_leaves_the_last_put_to_an_interrupt(
    token: Token, gates: tuple[str, ...], part: str, titles: set[str], step: int
) -> None:
    """No swapoff is needed: the page had buffers when kswapd looked, and was in the swap cache."""
    assert every_order(token, gates, part, "tvtime", step, "bttv").keys() == titles


# -- the same in words -----------------------------------------------------------------------------


def hole(freed: str) -> Sequencer:
    """kswapd has looked at the page and wants its lock when the last reference goes.

    ``freed`` is where __free_pages_ok() stands when kswapd gets it.
    """
    trylock = {"what": "test_and_set locked", "function": "shrink_cache"}
    return Sequencer(
        step("kswapd", until=before(**trylock)),
        step("swapoff", until=before(freed, function="__free_pages_ok")),
        step("kswapd", until=after(**trylock)),
        step("swapoff"),
    )


@pytest.mark.parametrize(
    ("freed", "title"), [("read-once locked", LOCKED), ("test_and_set locked", TRYLOCK)]
)
def test_the_order_of_the_hole(token: Token, freed: str, title: str) -> None:
    assert run_with(token, PAGELOCKED, "swapoff", lambda page: hole(freed)) == title


def test_before_the_patch_the_lru_lock_is_in_the_way_of_it(token: Token) -> None:
    with pytest.raises(NeverThere, match=r"spins in .* for pagemap_lru_lock, which kswapd has"):
        run_with(token, PRE9, "swapoff", lambda page: hole("read-once locked"))


def test_a_reference_is_in_the_way_of_it(token: Token) -> None:
    """kswapd holds one when it tries: the put of swapoff is not the last, and frees nothing."""
    with pytest.raises(NeverThere, match="swapoff does not come there: it has returned"):
        run_with(token, GET_FIRST, "swapoff", lambda page: hole("read-once locked"))
