# SPDX-License-Identifier: GPL-2.0-only
"""The door: what passes it, what that costs, and that a point comes before its effect."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mmsim.engine import op
from mmsim.engine.door import access, door
from mmsim.engine.execution import Token
from mmsim.engine.op import READ, Op
from mmsim.engine.policy import FOREVER, RoundRobin
from mmsim.linux import atomic, bitops, irqflags, sched, spinlock
from tests.engine.lab import Lab, Word, increment, run, steps

LOADS = Op(READ, "n")


def loads(word: Any) -> None:
    word.n  # noqa: B018


def stores(word: Any) -> None:
    word.n = 1


def through_access(word: Any) -> None:
    access(LOADS, word, getattr, word, "v_n")


POINTS = {
    "plain load": (loads, 1),
    "plain store": (stores, 1),
    "access()": (through_access, 1),
    "raw value": (lambda w: w.v_n, 0),
    "READ_ONCE": (lambda w: atomic.READ_ONCE(w, "n"), 1),
    "WRITE_ONCE": (lambda w: atomic.WRITE_ONCE(w, "n", 1), 1),
    "atomic_inc": (lambda w: atomic.atomic_inc(w, "n"), 1),
    "atomic_inc_return": (lambda w: atomic.atomic_inc_return(w, "n"), 1),
    "set_bit": (lambda w: bitops.set_bit(3, w, "n"), 1),
    "__set_bit": (lambda w: bitops.__set_bit(3, w, "n"), 2),
    "smp_mb": (lambda w: atomic.smp_mb(), 1),
    "local_irq_disable": (lambda w: irqflags.local_irq_disable(), 1),
    "preempt_disable": (lambda w: sched.preempt_disable(), 0),
    "cond_resched": (lambda w: sched.cond_resched(), 1),
    "in_interrupt": (lambda w: sched.in_interrupt(), 0),
}


@pytest.mark.parametrize("what", POINTS)
def test_how_many_effects_an_operation_has(token: Token, what: str) -> None:
    body, expected = POINTS[what]
    m = Lab()
    m.task("a", body)
    token.run(m, RoundRobin(FOREVER))
    assert m.steps == expected


def test_a_point_without_a_switch_is_one_decrement_and_never_asks_the_carrier(
    token: Token,
) -> None:
    m = Lab()
    left = []

    def body(word: Any) -> None:
        left.append(door.left)
        for _ in range(10):
            word.n  # noqa: B018
        word.n = 1
        left.append(door.left)
        asked, door.slow = door.slow, None
        atomic.atomic_inc(word, "n")  # would call None
        door.slow = asked

    m.task("a", body)
    token.run(m, RoundRobin(FOREVER))
    assert left[0] - left[1] == 11


def test_a_point_comes_before_its_effect(token: Token) -> None:
    """``a`` stands before its store while ``b`` stores: so ``a`` has the last word."""
    m = Lab(2)
    m.task("a", lambda w: setattr(w, "n", "from a"))
    m.task("b", lambda w: setattr(w, "n", "from b"), cpu=1)
    run(token, m, "b a")
    assert m.vm.v_n == "from a"


def test_nothing_between_two_effects_of_a_context_is_seen_from_outside(
    token: Token,
) -> None:
    m = Lab(2)

    def body(word: Any) -> None:
        word.n  # noqa: B018
        m.says(" then at once")
        word.n  # noqa: B018

    m.task("a", body)
    m.task("b", lambda w: (w.n, m.says()), cpu=1)
    run(token, m, "a b a")
    assert m.trace == ["a then at once", "b"]


def test_while_nothing_runs_points_pass_silently() -> None:
    word = Word()
    lock = spinlock.spin_lock_init("lock")
    m = Lab()
    increment(word)
    spinlock.spin_lock(lock)
    assert lock.locked
    spinlock.spin_unlock(lock)
    assert (word.v_n, m.steps) == (1, 0)


def test_effects_are_counted_exactly_whatever_the_slices(token: Token) -> None:
    for slice in (1, 2, 3, 7, FOREVER):
        m = Lab(3)
        for i, name in enumerate("abc"):
            m.task(name, steps(5 + i), cpu=i)
        token.run(m, RoundRobin(slice))
        assert m.steps == 5 + 6 + 7 == sum(n for _, n in token.segments)


def test_a_machine_without_anything_to_do_is_over_at_once(token: Token, free: Any) -> None:
    for carrier, extra in ((token, (RoundRobin(),)), (free, ())):
        m = Lab(2)
        m.interrupt("never", steps(1), armed=False)
        carrier.run(m, *extra)
        assert (m.steps, m.findings) == (0, [])


@pytest.mark.parametrize("carrier", ["token", "green"])
def test_a_task_that_forks_is_one_effect_and_its_child_runs(
    carrier: str, request: pytest.FixtureRequest
) -> None:
    execution: Token = request.getfixturevalue(carrier)
    m = Lab(2)
    m.task("a", lambda w: (w.n, m.task("late", increment, cpu=1), w.m))
    execution.run(m, RoundRobin())
    assert (m.steps, m.vm.v_n) == (5, 1)


def test_interrupt_lines_are_made_before_the_run(token: Token) -> None:
    m = Lab()
    m.task("a", lambda w: m.interrupt("late", steps(1)))
    with pytest.raises(RuntimeError, match="late: interrupt lines are made while"):
        token.run(m, RoundRobin())


def test_a_line_is_raised_again_and_a_pending_one_is_merged(token: Token) -> None:
    m = Lab(2)
    line = m.interrupt("irq", increment, cpu=1, armed=False)
    told = []

    def device(word: Any) -> None:
        told.append(irqflags.raise_irq(line))
        told.append(irqflags.raise_irq(line))  # still pending: one interrupt, not two
        word.m  # noqa: B018
        told.append(irqflags.raise_irq(line))

    m.task("a", device)
    run(token, m, "a2 irq2 a2 irq2")
    assert (told, m.vm.v_n) == ([True, False, True], 2)


def test_a_kind_is_the_one_string_of_its_text() -> None:
    """Kinds are compared with ``is``, also by compiled code, which has constants of its own."""
    kinds = {name: kind for name, kind in vars(op).items() if name.isupper()}
    kinds = {name: kind for name, kind in kinds.items() if isinstance(kind, str)}
    assert len(kinds) > 25
    for kind in kinds.values():
        assert sys.intern("".join(list(kind))) is kind
