# SPDX-License-Identifier: GPL-2.0-only
"""Spinlocks: every form takes and gives back what it should; misuse is reported on the spot."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.door import current
from mmsim.engine.execution import Token
from mmsim.engine.policy import RandomWalk, Replay, RoundRobin
from mmsim.linux import sched, spinlock
from tests.engine.lab import Lab, every_order, increment, kinds, run, steps, titles


def save(lock: Any) -> Callable[[], None]:
    flags = spinlock.spin_lock_irqsave(lock)
    return lambda: spinlock.spin_unlock_irqrestore(lock, flags)


def form(take: str, drop: str) -> Callable[[Any], Callable[[], None]]:
    def taken(lock: Any) -> Callable[[], None]:
        getattr(spinlock, take)(lock)
        return lambda: getattr(spinlock, drop)(lock)

    return taken


def try_save(lock: Any) -> Callable[[], None]:
    taken, flags = spinlock.spin_trylock_irqsave(lock)
    assert taken
    return lambda: spinlock.spin_unlock_irqrestore(lock, flags)


# what it takes: (irqs off, bottom halves off) while the lock is held
FORMS = {
    "spin_lock": (form("spin_lock", "spin_unlock"), False, 0),
    "spin_trylock": (form("spin_trylock", "spin_unlock"), False, 0),
    "spin_lock_irq": (form("spin_lock_irq", "spin_unlock_irq"), True, 0),
    "spin_lock_irqsave": (save, True, 0),
    "spin_trylock_irqsave": (try_save, True, 0),
    "spin_lock_bh": (form("spin_lock_bh", "spin_unlock_bh"), False, 1),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("smp", [True, False])
def test_what_a_form_takes_and_gives_back(token: Token, name: str, smp: bool) -> None:
    take, irqs, bh = FORMS[name]
    m = Lab(smp=smp)
    lock = spinlock.spin_lock_init("lock")
    seen = []

    def look() -> tuple[Any, ...]:
        ctx = current()
        return ctx.cpu.irqs_off, ctx.cpu.bh_off, ctx.preempt_count, lock.locked, lock in ctx.locks

    def body(word: Any) -> None:
        seen.append(look())
        drop = take(lock)
        seen.append(look())
        drop()
        seen.append(look())

    m.task("a", body)
    token.run(m, RoundRobin())
    free = (False, 0, 0, False, False)
    assert seen == [free, (irqs, bh, 1, smp, smp), free]


@pytest.mark.parametrize("irqs_off", [True, False])
def test_irqsave_restores_and_irq_does_not(token: Token, irqs_off: bool) -> None:
    m = Lab()
    after = []
    lock = spinlock.spin_lock_init("lock")

    def body(word: Any) -> None:
        for name in ("spin_lock_irqsave", "spin_lock_irq"):
            current().cpu.irqs_off = irqs_off
            FORMS[name][0](lock)()
            after.append(current().cpu.irqs_off)
        current().cpu.irqs_off = False

    m.task("a", body)
    token.run(m, RoundRobin())
    assert after == [irqs_off, False]


def test_a_failed_trylock_leaves_everything_as_it_was(token: Token) -> None:
    m = Lab(2)
    lock = spinlock.spin_lock_init("lock")
    seen = []

    def tries(word: Any) -> None:
        seen.append(spinlock.spin_trylock(lock))
        seen.append(spinlock.spin_trylock_irqsave(lock))
        seen.append((sched.preempt_count(), sched.irqs_disabled()))

    m.task("a", lambda w: spinlock.spin_lock(lock))
    m.task("b", tries, cpu=1)
    run(token, m, "a b4")
    assert seen == [False, (False, False), (0, False)]


@pytest.mark.parametrize("carrier", ["token", "free"])
def test_a_lock_excludes(carrier: str, token: Token, free: FreeCarrier) -> None:
    """Every second access of an unlocked run of this program would be wrong."""
    for seed in range(30):
        m = Lab(4, seed=seed)
        lock = spinlock.spin_lock_init("lock")

        def body(word: Any, lock: Any = lock) -> None:
            for name in ("spin_lock", "spin_lock_irqsave", "spin_lock_bh"):
                drop = FORMS[name][0](lock)
                increment(word)
                drop()

        for i in range(4):
            m.task("abcd"[i], body, cpu=i)
        if carrier == "token":
            token.run(m, RandomWalk(Random(seed)))
        else:
            free.run(m, q=0.5)
        assert (m.vm.v_n, m.findings) == (12, [])


def test_waiting_for_a_lock_costs_no_effects(token: Token) -> None:
    """A spinner is not run until its lock is free: two effects each, and what is done inside."""

    def build() -> Lab:
        m = Lab(3)
        lock = spinlock.spin_lock_init("lock")
        for i in range(3):
            m.task(
                "abc"[i],
                lambda w: (spinlock.spin_lock(lock), w.m, spinlock.spin_unlock(lock)),
                cpu=i,
            )
        return m

    assert {m.steps for m in every_order(token, build)} == {9}


def test_in_a_up_build_an_interrupt_gets_into_a_spinlocked_section(token: Token) -> None:
    lost = {}
    for name in ("spin_lock", "spin_lock_irqsave"):

        def build(name: str = name) -> Lab:
            m = Lab(smp=False)
            lock = spinlock.spin_lock_init("lock")

            def body(word: Any) -> None:
                drop = FORMS[name][0](lock)
                increment(word)
                drop()

            m.task("a", body)
            m.interrupt("irq", body)
            return m

        lost[name] = sum(m.vm.v_n < 2 for m in every_order(token, build))
        assert not any(m.findings for m in every_order(token, build))
    assert lost["spin_lock"] > 0
    assert lost["spin_lock_irqsave"] == 0


# -- DEBUG_SPINLOCK ----------------------------------------------------------------------------


def debug(cpus: int = 1, **options: Any) -> Any:
    m = Lab(cpus, config={"DEBUG_SPINLOCK": True}, **options)
    return m, spinlock.spin_lock_init("zone->lock")


def test_recursion(token: Token) -> None:
    m, lock = debug()
    m.task("a", lambda w: (spinlock.spin_lock(lock), spinlock.spin_lock(lock)))
    token.run(m, RoundRobin())
    (finding,) = m.findings
    assert (finding.kind, finding.title) == ("spinlock", "BUG: spinlock recursion")
    assert finding.detail == (
        "BUG: spinlock recursion on CPU#0, a/100",
        " lock: zone->lock, .magic: dead4ead, .owner: a/100, .owner_cpu: 0",
    )


def test_an_interrupt_that_takes_its_tasks_lock_recurses(token: Token) -> None:
    m, lock = debug()
    m.task("a", lambda w: (spinlock.spin_lock(lock), w.n, spinlock.spin_unlock(lock)))
    m.interrupt("irq", lambda w: spinlock.spin_lock(lock))
    run(token, m, "a irq")
    assert titles(m) == ["BUG: spinlock recursion"]


def test_two_tasks_of_one_cpu(token: Token) -> None:
    """Whoever sleeps with a spinlock held gives the next task of its CPU a recursion."""
    m, lock = debug(preempt=True)
    m.task("a", lambda w: (spinlock.spin_lock(lock), sched.preempt_enable(), w.n, w.n))
    m.task("b", lambda w: spinlock.spin_lock(lock))
    run(token, m, "a2 b")
    assert titles(m) == ["BUG: spinlock cpu recursion"]


def test_two_idle_cpus_are_not_the_same_task(token: Token) -> None:
    """Interrupts of idle CPUs run on top of their own idle tasks."""

    def build() -> Any:
        m, lock = debug(2)
        for i, name in enumerate(("left", "right")):
            m.interrupt(
                name,
                lambda w: (spinlock.spin_lock(lock), w.n, spinlock.spin_unlock(lock)),
                cpu=i,
            )
        return m

    assert not any(m.findings for m in every_order(token, build))


def test_already_unlocked(token: Token) -> None:
    m, lock = debug()
    m.task("a", lambda w: spinlock.spin_unlock(lock))
    token.run(m, RoundRobin())
    assert titles(m) == ["BUG: spinlock already unlocked"]
    assert ".owner: <none>/-1, .owner_cpu: -1" in m.findings[0].detail[1]


def test_wrong_owner(token: Token) -> None:
    m, lock = debug(2)
    m.task("a", lambda w: (spinlock.spin_lock(lock), w.n))
    m.task("b", lambda w: spinlock.spin_unlock(lock), cpu=1)
    run(token, m, "a b")
    assert titles(m) == ["BUG: spinlock wrong owner"]
    assert ".owner: a/100, .owner_cpu: 0" in m.findings[0].detail[1]


def test_wrong_cpu(token: Token) -> None:
    """Tasks do not migrate here, so it takes a lock word that was overwritten."""
    m, lock = debug(2)

    def body(word: Any) -> None:
        spinlock.spin_lock(lock)
        lock.owner_cpu = m.cpus[1]
        spinlock.spin_unlock(lock)

    m.task("a", body)
    token.run(m, RoundRobin())
    assert titles(m) == ["BUG: spinlock wrong CPU"]


def test_misuse_is_silent_without_the_option(token: Token) -> None:
    m = Lab(2)
    lock = spinlock.spin_lock_init("lock")
    m.task("a", lambda w: (spinlock.spin_lock(lock), w.n))
    m.task("b", lambda w: (spinlock.spin_unlock(lock), spinlock.spin_unlock(lock)), cpu=1)
    run(token, m, "a b2")
    assert not m.findings
    assert not lock.locked
    assert m.contexts[0].locks == []  # what it held is not on record any more


def test_going_on_after_a_recursion_is_a_deadlock(token: Token) -> None:
    m, lock = debug()
    m.stop_on_first = False
    m.task("a", lambda w: (spinlock.spin_lock(lock), spinlock.spin_lock(lock)))
    token.run(m, RoundRobin())
    assert kinds(m) == ["spinlock", "deadlock"]


def test_what_is_wrong_with_an_unlock_is_seen_as_it_happens(
    token: Token, free: FreeCarrier
) -> None:
    """Two unlocks race for one lock: the second to happen is wrong, in a replay as well."""
    seen = set()
    for seed in range(40):

        def build(seed: int = seed) -> Any:
            m, lock = debug(3, seed=seed)
            m.task("a", lambda w: (spinlock.spin_lock(lock), w.n, spinlock.spin_unlock(lock)))
            m.task("b", lambda w: (w.n, w.n, spinlock.spin_unlock(lock)), cpu=1)
            m.task("c", steps(2), cpu=2)
            return m

        m = build()
        free.run(m, q=0.5)
        again = build()
        token.run(again, Replay(free.segments))
        assert titles(again) == titles(m)
        assert again.findings[0].step == m.findings[0].step
        seen.update(titles(m))
    assert len(seen) == 2


# -- looking at a lock -------------------------------------------------------------------------


def test_spin_is_locked_is_a_point(token: Token) -> None:
    m = Lab(2)
    lock = spinlock.spin_lock_init("lock")
    seen = []
    m.task("a", lambda w: (spinlock.spin_lock(lock), spinlock.spin_unlock(lock)))
    m.task("b", lambda w: [seen.append(spinlock.spin_is_locked(lock)) for _ in range(2)], cpu=1)
    run(token, m, "b a b a")
    assert seen == [False, True]


@pytest.mark.parametrize(("smp", "expected"), [(True, ["BUG: lru_lock is not held"]), (False, [])])
def test_assert_spin_locked(token: Token, smp: bool, expected: list[str]) -> None:
    m = Lab(smp=smp)
    lock = spinlock.spin_lock_init("lru_lock")

    def body(word: Any) -> None:
        spinlock.spin_lock(lock)
        spinlock.assert_spin_locked(lock)
        spinlock.spin_unlock(lock)
        m.says()
        spinlock.assert_spin_locked(lock)

    m.task("a", body)
    token.run(m, RoundRobin())
    assert m.trace == ["a"]
    assert titles(m) == expected


def test_a_lock_taken_at_boot_and_never_released_is_an_error_there() -> None:
    Lab()
    lock = spinlock.spin_lock_init("lock")
    spinlock.spin_lock(lock)
    with pytest.raises(RuntimeError, match="lock is taken while nothing runs"):
        spinlock.spin_lock(lock)
