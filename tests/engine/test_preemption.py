# SPDX-License-Identifier: GPL-2.0-only
"""Several tasks of one CPU: when another may be switched in.

With PREEMPT=n only where a task sleeps, ends or calls cond_resched(); with PREEMPT=y at any point
with interrupts and preemption on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from mmsim.engine import policy as policies
from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.context import SOFTIRQ
from mmsim.engine.execution import Token
from mmsim.engine.schedule import Diverged
from mmsim.linux import irqflags, sched, spinlock
from tests.engine.lab import Lab, increment, run, steps


def can(token: Token, m: Lab, text: str) -> bool:
    try:
        run(token, m, text)
    except Diverged:
        return False
    return True


def two_tasks(body: Callable[[Any], None], *, preempt: bool, **options: Any) -> Lab:
    m = Lab(preempt=preempt, **options)
    m.task("a", body)
    m.task("b", steps(1))
    return m


@pytest.mark.parametrize("preempt", [False, True])
def test_plain_code_is_preempted_only_with_preempt(token: Token, preempt: bool) -> None:
    assert can(token, two_tasks(steps(2), preempt=preempt), "a b a") is preempt
    assert can(token, two_tasks(steps(2), preempt=preempt), "b a2")  # who is first is open


def irqs_off(word: Any) -> None:
    irqflags.local_irq_disable()
    word.n  # noqa: B018
    irqflags.local_irq_enable()


def bh_off(word: Any) -> None:
    irqflags.local_bh_disable()
    word.n  # noqa: B018
    irqflags.local_bh_enable()


def preemption_off(word: Any) -> None:
    word.n  # noqa: B018
    sched.preempt_disable()
    word.n  # noqa: B018
    sched.preempt_enable()
    word.n  # noqa: B018


@pytest.mark.parametrize("body", [irqs_off, bh_off, preemption_off])
def test_atomic_regions_are_not_preempted(token: Token, body: Callable[[Any], None]) -> None:
    assert not can(token, two_tasks(body, preempt=True), "a b a2")
    assert can(token, two_tasks(body, preempt=True), "a3 b")


@pytest.mark.parametrize("smp", [True, False])
def test_a_spinlock_holder_is_not_preempted_not_even_in_a_up_build(token: Token, smp: bool) -> None:
    def body(word: Any) -> None:
        lock = spinlock.spin_lock_init("lock")
        word.n  # noqa: B018
        spinlock.spin_lock(lock)  # turns preemption off before it tries
        word.n  # noqa: B018
        spinlock.spin_unlock(lock)
        word.n  # noqa: B018

    smp_build = {"b a": True, "a b": False, "a2 b": False, "a3 b": False, "a4 b": True}
    up_build = {"b a": True, "a b": False, "a2 b": True}
    for text, allowed in (smp_build if smp else up_build).items():
        assert can(token, two_tasks(body, preempt=True, smp=smp), text) is allowed, text


def test_a_handler_is_not_preempted(token: Token) -> None:
    for kind in ("hardirq", SOFTIRQ):
        m = two_tasks(steps(2), preempt=True)
        m.interrupt("irq", steps(2), kind=kind)
        assert not can(token, m, "a irq b irq a")


def test_preempt_disable_nests(token: Token) -> None:
    def body(word: Any) -> None:
        sched.preempt_disable()
        sched.preempt_disable()
        sched.preempt_enable()
        word.n  # noqa: B018
        sched.preempt_enable()
        word.n  # noqa: B018

    m = two_tasks(body, preempt=True)
    m.contexts[1].fn = lambda w: m.says()
    assert not can(token, two_tasks(lambda w: (w.n, body(w)), preempt=True), "a b a2")
    assert can(token, two_tasks(body, preempt=True), "a b a")


def resched(word: Any) -> None:
    word.n  # noqa: B018
    sched.cond_resched()
    word.n  # noqa: B018


@pytest.mark.parametrize("preempt", [False, True])
def test_cond_resched_lets_others_in_before_it(token: Token, preempt: bool) -> None:
    assert can(token, two_tasks(resched, preempt=preempt), "a b a2")
    assert can(token, two_tasks(resched, preempt=preempt), "a2 b a") is preempt


@pytest.mark.parametrize("name", policies.NAMES)
def test_every_policy_switches_at_cond_resched(token: Token, name: str) -> None:
    """One CPU, PREEMPT=n: nothing but the switch makes ``b`` overtake ``a``."""

    def orders() -> Iterator[str]:
        for seed in range(3_000):  # geometric-128 switches there in one run of 128
            m = Lab()
            m.task("a", lambda w, m=m: (w.n, sched.cond_resched(), m.says()))
            m.task("b", lambda w, m=m: (w.n, sched.cond_resched(), m.says()))
            token.run(m, policies.make(name, Random(seed), 6))
            first = "a" if token.segments[0][0] == 0 else "b"
            yield first + " then " + "".join(m.trace)

    assert "a then ba" in orders()


def test_the_switched_out_task_goes_on_where_it_was(token: Token) -> None:
    m = two_tasks(increment, preempt=True)
    m.contexts[1].fn = increment
    run(token, m, "a b2 a")
    assert m.vm.v_n == 1


def test_three_tasks_of_one_cpu_race_as_if_on_three(token: Token) -> None:
    m = Lab(preempt=True)
    for name in "abc":
        m.task(name, increment)
    run(token, m, "a b c a b c")
    assert m.vm.v_n == 1


def test_a_task_that_sleeps_leaves_its_cpu_and_gets_it_back(token: Token) -> None:
    m = Lab()

    def sleeper(word: Any) -> None:
        sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
        sched.schedule()
        m.says()

    a = m.task("a", sleeper)
    m.task("b", lambda w: (sched.wake_up_process(a), w.n, m.says()))
    assert not can(token, m, "a2 b a b")
    assert m.trace == []
    m.trace.clear()
    n = Lab()
    n.task("a", lambda w: (sched.set_current_state(2), sched.schedule(), n.says()))
    n.task("b", lambda w: (sched.wake_up_process(n.contexts[0]), w.n, n.says()))
    run(token, n, "a2 b2")
    assert n.trace == ["b", "a"]


def test_tasks_of_one_cpu_under_the_free_carrier(free: FreeCarrier) -> None:
    """PREEMPT=n and no sleeping: the tasks of a CPU follow each other, in any order."""
    orders = set()
    for seed in range(40):
        m = Lab(seed=seed)
        for name in "abc":
            m.task(name, lambda w, m=m: (increment(w), increment(w), m.says()))
        free.run(m, q=0.5)
        assert m.vm.v_n == 6
        assert len(free.segments) == 3
        orders.add("".join(m.trace))
    assert len(orders) == 6


def test_free_running_tasks_of_one_cpu_preempt_each_other(free: FreeCarrier) -> None:
    lost = 0
    for seed in range(40):
        m = Lab(preempt=True, seed=seed)
        for name in "abc":
            m.task(name, increment)
        free.run(m, q=0.5)
        lost += m.vm.v_n < 3
    assert lost > 5
