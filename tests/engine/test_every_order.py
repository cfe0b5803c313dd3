# SPDX-License-Identifier: GPL-2.0-only
"""What the rules of the machine allow, counted: all orders of small programs, known numbers.

A choice too many or too few anywhere in the engine changes these counts.
"""

from __future__ import annotations

from math import factorial, prod
from typing import Any

import pytest

from mmsim.engine.context import SOFTIRQ
from mmsim.engine.execution import Token
from mmsim.linux import irqflags, sched, spinlock
from tests.engine.lab import Lab, every_order, increment, steps


def interleavings(*lengths: int) -> int:
    return factorial(sum(lengths)) // prod(factorial(n) for n in lengths)


@pytest.mark.parametrize(("tasks", "orders"), [(2, 6), (3, 90)])
def test_lost_updates_of_single_increments(token: Token, tasks: int, orders: int) -> None:
    """Of the orders of n times load and store, n! lose nothing."""

    def build() -> Lab:
        m = Lab(tasks)
        for cpu in range(tasks):
            m.task("abc"[cpu], increment, cpu=cpu)
        return m

    sums = [m.vm.v_n for m in every_order(token, build)]
    assert len(sums) == orders == interleavings(*[2] * tasks)
    assert sums.count(tasks) == factorial(tasks)
    assert min(sums) == 1


@pytest.mark.slow
def test_four_increments(token: Token) -> None:
    def build() -> Lab:
        m = Lab(4)
        for cpu in range(4):
            m.task("abcd"[cpu], increment, cpu=cpu)
        return m

    assert sum(1 for _ in every_order(token, build)) == 2520


@pytest.mark.parametrize("lengths", [(1, 1), (3, 2), (4, 1), (2, 1, 1)])
def test_independent_tasks_interleave_in_every_way(
    token: Token, lengths: tuple[int, ...]
) -> None:
    def build() -> Lab:
        m = Lab(len(lengths))
        for cpu, n in enumerate(lengths):
            m.task("abc"[cpu], steps(n), cpu=cpu)
        return m

    seen = [token.segments for _ in every_order(token, build)]
    assert len(seen) == len(set(seen)) == interleavings(*lengths)


def test_tasks_of_one_cpu_take_turns_without_preemption(token: Token) -> None:
    def build() -> Lab:
        m = Lab()
        for name in "abc":
            m.task(name, steps(3))
        return m

    assert sum(1 for _ in every_order(token, build)) == factorial(3)


def test_tasks_of_one_cpu_interleave_with_preemption(token: Token) -> None:
    def build() -> Lab:
        m = Lab(preempt=True)
        m.task("a", steps(2))
        m.task("b", steps(2))
        return m

    assert sum(1 for _ in every_order(token, build)) == interleavings(2, 2)


@pytest.mark.parametrize("kind", ["hardirq", SOFTIRQ])
def test_an_interrupt_has_one_place_more_than_its_cpu_has_effects(
    token: Token, kind: str
) -> None:
    def build() -> Lab:
        m = Lab()
        m.task("a", steps(4))
        m.interrupt("irq", steps(3), kind=kind)
        return m

    assert sum(1 for _ in every_order(token, build)) == 5


def test_a_hardirq_in_a_softirq_in_a_task(token: Token) -> None:
    """One effect each, and every order of the three is possible."""

    def build() -> Lab:
        m = Lab()
        m.task("a", steps(1))
        m.interrupt("soft", steps(1), kind=SOFTIRQ)
        m.interrupt("hard", steps(1))
        return m

    assert len({token.segments for _ in every_order(token, build)}) == factorial(3)


def test_a_critical_section_is_passed_in_one_order_or_the_other(token: Token) -> None:
    def build() -> Lab:
        m = Lab(2)
        lock = spinlock.spin_lock_init("lock")

        def body(word: Any) -> None:
            spinlock.spin_lock(lock)
            increment(word)
            spinlock.spin_unlock(lock)

        m.task("a", body)
        m.task("b", body, cpu=1)
        return m

    outcomes = set()
    for m in every_order(token, build):
        assert (m.vm.v_n, m.findings) == (2, [])
        outcomes.add(token.segments)
    assert outcomes == {((0, 4), (1, 4)), ((1, 4), (0, 4))}


def test_abba_deadlocks_in_two_of_four_starts(token: Token) -> None:
    """Each takes its first lock before the other takes its second: both orders of the first two."""

    def build() -> Lab:
        m = Lab(2)
        locks = [spinlock.spin_lock_init("a"), spinlock.spin_lock_init("b")]

        def take(first: Any, second: Any) -> Any:
            return lambda w: (
                spinlock.spin_lock(first),
                spinlock.spin_lock(second),
                spinlock.spin_unlock(second),
                spinlock.spin_unlock(first),
            )

        m.task("a", take(*locks))
        m.task("b", take(*reversed(locks)), cpu=1)
        return m

    stuck = {token.segments[:2] for m in every_order(token, build) if m.findings}
    assert stuck == {((0, 1), (1, 1)), ((1, 1), (0, 1))}


def test_interrupts_off_take_places_away(token: Token) -> None:
    def build() -> Lab:
        m = Lab()

        def body(word: Any) -> None:
            irqflags.local_irq_disable()
            increment(word)
            irqflags.local_irq_enable()

        m.task("a", body)
        m.interrupt("irq", increment)
        return m

    machines = list(every_order(token, build))
    assert len(machines) == 2
    assert all(m.vm.v_n == 2 for m in machines)


def test_the_right_way_to_sleep_never_loses_a_wake_up(token: Token) -> None:
    """State first, then the condition, then schedule(): in every order there is."""

    def build() -> Lab:
        m = Lab(2)

        def waiter(word: Any) -> None:
            sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
            while not word.n:
                sched.schedule()
                sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
            sched.set_current_state(sched.TASK_RUNNING)

        def waker(word: Any) -> None:
            word.n = 1
            sched.wake_up_process(m.contexts[0])

        m.task("a", waiter)
        m.task("b", waker, cpu=1)
        return m

    orders = list(every_order(token, build))
    assert len(orders) > 5
    assert not any(m.findings for m in orders)
