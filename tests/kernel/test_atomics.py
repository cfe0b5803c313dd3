# SPDX-License-Identifier: GPL-2.0-only
"""Atomic operations, bit operations and plain ones: values, and what can come between.

What can come between is not sampled: all orders of each little program are run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsim.engine import op as kinds
from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.events import Event
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Events
from mmsim.engine.policy import RoundRobin
from mmsim.linux import atomic, bitops
from tests.engine.lab import Lab, Word, every_order

ADDERS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "atomic_inc": (lambda w: atomic.atomic_inc(w, "n"), 1),
    "atomic_dec": (lambda w: atomic.atomic_dec(w, "n"), -1),
    "atomic_add": (lambda w: atomic.atomic_add(w, "n", 3), 3),
    "atomic_inc_return": (lambda w: atomic.atomic_inc_return(w, "n"), 1),
    "atomic_add_return": (lambda w: atomic.atomic_add_return(w, "n", -2), -2),
    "atomic_dec_and_test": (lambda w: atomic.atomic_dec_and_test(w, "n"), -1),
    "atomic_inc_and_test": (lambda w: atomic.atomic_inc_and_test(w, "n"), 1),
    "atomic_add_negative": (lambda w: atomic.atomic_add_negative(w, "n", 1), 1),
    "atomic_add_unless": (lambda w: atomic.atomic_add_unless(w, "n", 1, -9), 1),
    "set_bit": (lambda w: bitops.set_bit(0, w, "n"), 1),
    "test_and_set_bit": (lambda w: bitops.test_and_set_bit(0, w, "n"), 1),
    "test_and_set_bit_lock": (lambda w: bitops.test_and_set_bit_lock(0, w, "n"), 1),
}


def against(operation: Callable[[Any], Any]) -> Callable[[], Lab]:
    """``operation`` on one CPU, an atomic set of bit 8 on the other."""

    def build() -> Lab:
        m = Lab(2)
        m.task("a", operation)
        m.task("b", lambda w: bitops.set_bit(8, w, "n"), cpu=1)
        return m

    return build


@pytest.mark.parametrize("name", ADDERS)
def test_nothing_comes_into_an_atomic_operation(token: Token, name: str) -> None:
    operation, change = ADDERS[name]
    outcomes = [m.vm.v_n for m in every_order(token, against(operation))]
    allowed = {256 | change, 256 + change, (change | 256)}
    assert len(outcomes) == 2
    assert set(outcomes) <= allowed


@pytest.mark.parametrize(
    "operation",
    [
        lambda w: bitops.__set_bit(0, w, "n"),
        lambda w: bitops.__clear_bit(0, w, "n"),
        lambda w: setattr(w, "n", w.n + 1),
    ],
)
def test_what_is_not_atomic_loses_the_other_cpus_bit(token: Token, operation: Any) -> None:
    outcomes = [m.vm.v_n & 256 for m in every_order(token, against(operation))]
    assert sorted(outcomes) == [0, 256, 256]


def test_marking_an_access_does_not_make_a_pair_atomic(token: Token) -> None:
    def operation(word: Any) -> None:
        atomic.WRITE_ONCE(word, "n", atomic.READ_ONCE(word, "n") + 1)

    assert any(not m.vm.v_n & 256 for m in every_order(token, against(operation)))


def test_of_two_that_test_and_set_exactly_one_wins(token: Token) -> None:
    def build() -> Lab:
        m = Lab(2)
        m.won = []
        for cpu, name in enumerate("ab"):
            m.task(name, lambda w: m.won.append(not bitops.test_and_set_bit(3, w, "n")), cpu=cpu)
        return m

    for m in every_order(token, build):
        assert sorted(m.won) == [False, True]


def test_of_two_that_drop_the_last_references_exactly_one_frees(token: Token) -> None:
    def build() -> Lab:
        m = Lab(2)
        m.vm.v_n = 2
        m.freed = []
        for cpu, name in enumerate("ab"):
            m.task(name, lambda w: m.freed.append(atomic.atomic_dec_and_test(w, "n")), cpu=cpu)
        return m

    for m in every_order(token, build):
        assert sorted(m.freed) == [False, True]


def test_get_unless_zero_against_the_last_put(token: Token) -> None:
    """Either the get comes first and keeps it alive, or it fails: never both freed and got."""

    def build() -> Lab:
        m = Lab(2)
        m.vm.v_n = 1
        m.got = m.freed = None

        def get(word: Any) -> None:
            m.got = atomic.atomic_inc_not_zero(word, "n")

        def put(word: Any) -> None:
            m.freed = atomic.atomic_dec_and_test(word, "n")

        m.task("a", get)
        m.task("b", put, cpu=1)
        return m

    assert {(m.got, m.freed) for m in every_order(token, build)} == {(True, False), (False, True)}


def test_free_running_atomics_lose_nothing(free: FreeCarrier) -> None:
    for seed in range(30):
        m = Lab(4, seed=seed)
        for cpu in range(4):
            m.task("abcd"[cpu], lambda w: [atomic.atomic_inc(w, "n") for _ in range(5)], cpu=cpu)
        free.run(m, q=0.5)
        assert m.vm.v_n == 20


def test_free_running_plain_increments_do(free: FreeCarrier) -> None:
    lost = 0
    for seed in range(30):
        m = Lab(4, seed=seed)
        for cpu in range(4):
            m.task("abcd"[cpu], lambda w: [setattr(w, "n", w.n + 1) for _ in range(5)], cpu=cpu)
        free.run(m, q=0.5)
        lost += m.vm.v_n < 20
    assert lost > 10


# -- values ------------------------------------------------------------------------------------

INTS = st.integers(-(1 << 40), 1 << 40)


@given(INTS, INTS, INTS)
def test_values(start: int, n: int, other: int) -> None:
    def after(call: Callable[[Any], Any]) -> tuple[Any, int]:
        word = Word()
        word.v_n = start
        return call(word), word.v_n

    assert after(lambda w: atomic.atomic_add_return(w, "n", n)) == (start + n, start + n)
    assert after(lambda w: atomic.atomic_inc_return(w, "n")) == (start + 1, start + 1)
    assert after(lambda w: atomic.atomic_dec_and_test(w, "n")) == (start == 1, start - 1)
    assert after(lambda w: atomic.atomic_inc_and_test(w, "n")) == (start == -1, start + 1)
    assert after(lambda w: atomic.atomic_add_negative(w, "n", n)) == (start + n < 0, start + n)
    assert after(lambda w: atomic.xchg(w, "n", n)) == (start, n)
    assert after(lambda w: atomic.atomic_cmpxchg(w, "n", start, n)) == (start, n)
    assert after(lambda w: atomic.atomic_cmpxchg(w, "n", start + 1, n)) == (start, start)
    assert after(lambda w: atomic.atomic_add_unless(w, "n", n, start)) == (False, start)
    assert after(lambda w: atomic.atomic_add_unless(w, "n", n, start + 1)) == (True, start + n)
    assert after(lambda w: atomic.atomic_read(w, "n")) == (start, start)
    assert after(lambda w: atomic.smp_load_acquire(w, "n")) == (start, start)
    assert after(lambda w: atomic.atomic_set(w, "n", other)) == (None, other)
    assert after(lambda w: atomic.smp_store_release(w, "n", other)) == (None, other)


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 63))
def test_bits(start: int, nr: int) -> None:
    def after(call: Callable[..., Any]) -> tuple[Any, int]:
        word = Word()
        word.v_n = start
        return call(nr, word, "n"), word.v_n

    was = bool(start >> nr & 1)
    on, off = start | 1 << nr, start & ~(1 << nr)
    assert after(bitops.test_bit) == (was, start)
    assert after(bitops.set_bit) == (None, on)
    assert after(bitops.clear_bit) == (None, off)
    assert after(bitops.test_and_set_bit) == (was, on)
    assert after(bitops.test_and_set_bit_lock) == (was, on)
    assert after(bitops.test_and_clear_bit) == (was, off)
    assert after(bitops.clear_bit_unlock) == (None, off)
    assert after(bitops.__set_bit) == (None, on)
    assert after(bitops.__clear_bit) == (None, off)


# -- what the door is told ---------------------------------------------------------------------

ORDERING = {
    kinds.READ: lambda w: w.n,
    kinds.WRITE: lambda w: setattr(w, "n", 1),
    kinds.READ_ONCE: lambda w: atomic.READ_ONCE(w, "n"),
    kinds.WRITE_ONCE: lambda w: atomic.WRITE_ONCE(w, "n", 1),
    kinds.ACQUIRE: lambda w: atomic.smp_load_acquire(w, "n"),
    kinds.RELEASE: lambda w: atomic.smp_store_release(w, "n", 1),
    kinds.RMW: lambda w: atomic.atomic_dec_and_test(w, "n"),
    kinds.RMW_RELAXED: lambda w: atomic.atomic_inc(w, "n"),
    kinds.RMW_ACQUIRE: lambda w: bitops.test_and_set_bit_lock(0, w, "n"),
    kinds.RMW_RELEASE: lambda w: bitops.clear_bit_unlock(0, w, "n"),
    kinds.MB: lambda w: atomic.smp_mb(),
    kinds.RMB: lambda w: atomic.smp_rmb(),
    kinds.WMB: lambda w: atomic.smp_wmb(),
}


@pytest.mark.parametrize("kind", ORDERING)
def test_the_ordering_that_was_asked_for_reaches_the_door(token: Token, kind: str) -> None:
    """Race detectors and weak memory will tell accesses apart by nothing else."""
    m = Lab()
    events: list[Event] = []
    m.instruments.append(Events(events.append))
    m.task("a", ORDERING[kind])
    token.run(m, RoundRobin())
    assert events[0].kind == kind


def test_relaxed_and_ordered_bit_operations_are_told_apart(token: Token) -> None:
    m = Lab()
    events: list[Event] = []
    m.instruments.append(Events(events.append))
    m.task("a", lambda w: (bitops.set_bit(0, w, "n"), bitops.test_and_clear_bit(0, w, "n")))
    token.run(m, RoundRobin())
    assert [event.kind for event in events[:2]] == [kinds.RMW_RELAXED, kinds.RMW]
