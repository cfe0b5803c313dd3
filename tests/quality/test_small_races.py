# SPDX-License-Identifier: GPL-2.0-only
"""How good is the search?  Small races whose chance is known, and what each policy makes of them.

For a random walk the chance of a race is computed, not measured: all orders of the program are run
and the probabilities of the choices on the way are multiplied.  What sampling finds has to agree.
The other policies are held to a number of schedules within which they find the race; next to it
stands how likely they are to miss it, from the chance per run that was measured in 4,000 runs.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from scipy.stats import binomtest

from mmsim.engine import policy as policies
from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.execution import Token
from mmsim.engine.policy import PCT, RandomWalk, RoundRobin
from mmsim.linux import spinlock
from mmsim.linux.atomic import atomic_inc
from tests.engine.lab import Lab, every_order, increment, steps

UNLIKELY = 1e-6


def lost_update(seed: int = 0) -> Lab:
    """Depth 2: two increments, a load and a store each."""
    m = Lab(2, seed=seed)
    m.task("a", increment)
    m.task("b", increment, cpu=1)
    m.hit = lambda: m.vm.v_n < 2
    return m


def abba(seed: int = 0) -> Lab:
    """Depth 2: two locks in two orders."""
    m = Lab(2, seed=seed)
    locks = [spinlock.spin_lock_init("a"), spinlock.spin_lock_init("b")]

    def take(first: Any, second: Any) -> Callable[[Any], None]:
        def body(word: Any) -> None:
            spinlock.spin_lock(first)
            spinlock.spin_lock(second)
            spinlock.spin_unlock(second)
            spinlock.spin_unlock(first)

        return body

    m.task("a", take(*locks))
    m.task("b", take(*reversed(locks)), cpu=1)
    m.hit = lambda: bool(m.findings)
    return m


def starvation(seed: int = 0) -> Lab:
    """Depth 1: ``a`` has to make 20 steps before ``b`` makes its first."""
    m = Lab(2, seed=seed)

    def slow(word: Any) -> None:
        steps(20)(word)
        m.early = word.n == 0

    m.early = False
    m.task("a", slow)
    m.task("b", lambda w: setattr(w, "n", 1), cpu=1)
    m.hit = lambda: m.early
    return m


def chain(depth: int) -> Callable[[int], Lab]:
    """Depth d: writes of two tasks that have to alternate, with two steps between them."""

    def build(seed: int = 0) -> Lab:
        m = Lab(2, seed=seed)

        def body(mine: int) -> Callable[[Any], None]:
            def task(word: Any) -> None:
                for n in range(mine, depth, 2):
                    steps(2)(word)
                    if word.n == n:
                        word.n = n + 1

            return task

        m.task("a", body(0))
        m.task("b", body(1), cpu=1)
        m.hit = lambda: m.vm.v_n == depth
        return m

    return build


def flags(seed: int = 0) -> Lab:
    """Depth 2: a store of a whole word against an atomic operation on one bit of it."""
    m = Lab(2, seed=seed)

    def plain(word: Any) -> None:
        steps(4)(word)
        increment(word)
        steps(4)(word)

    def marked(word: Any) -> None:
        steps(4)(word)
        atomic_inc(word, "n")
        steps(4)(word)

    m.task("a", plain)
    m.task("b", marked, cpu=1)
    m.hit = lambda: m.vm.v_n == 1
    return m


def preempted(seed: int = 0) -> Lab:
    """Depth 3, of three parties, on one CPU: only preemption shows it."""
    m = Lab(1, preempt=True, seed=seed)
    for name in "abc":
        m.task(name, increment)
    m.hit = lambda: m.vm.v_n == 1
    return m


def interrupted(seed: int = 0) -> Lab:
    """Depth 2: an interrupt between the load and the store of the task below it."""
    m = Lab(1, seed=seed)
    m.task("a", lambda w: (steps(3)(w), increment(w), steps(3)(w)))
    m.interrupt("irq", increment)
    m.hit = lambda: m.vm.v_n == 1
    return m


def chance(token: Token, build: Callable[[], Lab]) -> float:
    """The exact chance of a hit under a random walk."""
    total = hit = 0.0
    for m in every_order(token, build):
        total += m.probability
        hit += m.probability * m.hit()
    assert total == pytest.approx(1.0)
    return hit


@pytest.mark.parametrize(
    ("build", "expected"),
    [(lost_update, 1 / 2), (abba, 1 / 2), (interrupted, None), (preempted, None), (chain(2), None)],
)
def test_a_random_walk_finds_a_race_as_often_as_it_should(
    token: Token, build: Callable[..., Lab], expected: float | None
) -> None:
    exact = chance(token, build)
    if expected is not None:
        assert exact == pytest.approx(expected)
    assert 0.01 < exact < 0.99
    hits = 0
    for seed in range(800):
        m = build()
        token.run(m, RandomWalk(Random(seed)))
        hits += m.hit()
    assert binomtest(hits, 800, exact).pvalue > UNLIKELY


# (program, policy, chance per run, schedules allowed): the chance is a tenth below what 4,000 runs
# showed, and the schedules are so many that they miss with at most one chance in 10,000
WITHIN = [
    (lost_update, "random-walk", 0.45, 16),
    (lost_update, "geometric", 0.20, 42),
    (lost_update, "pct", 0.18, 47),
    (lost_update, "mix", 0.23, 36),
    (abba, "random-walk", 0.45, 16),
    (abba, "pct", 0.23, 36),
    (abba, "mix", 0.26, 31),
    (flags, "random-walk", 0.11, 80),
    (flags, "mix", 0.055, 164),
    (starvation, "pct", 0.19, 44),
    (starvation, "mix", 0.11, 80),
    (chain(3), "random-walk", 0.17, 50),
    (chain(3), "mix", 0.11, 80),
    (chain(4), "mix", 0.04, 226),
    (interrupted, "mix", 0.029, 313),
    (preempted, "mix", 0.14, 62),
]


@pytest.mark.parametrize(
    ("build", "name", "rate", "schedules"),
    WITHIN,
)
def test_found_within(
    token: Token, build: Callable[..., Lab], name: str, rate: float, schedules: int
) -> None:
    """From five different seeds, so that luck would have to be bad or good five times."""
    assert (1 - rate) ** schedules < 1e-4
    m = build()
    token.run(m, RoundRobin())
    length = m.steps
    for seed in range(5):
        rng = Random(f"{name} {seed}")
        for _ in range(schedules):
            m = build()
            token.run(m, policies.make(name, rng, length))
            if m.hit():
                break
        else:
            pytest.fail(f"not found in {schedules} schedules from seed {seed}")


def test_nothing_that_shares_time_starves_anybody(token: Token) -> None:
    """Why the mix contains PCT: a random walk has a chance of 2**-21 here."""
    for seed in range(300):
        m = starvation()
        token.run(m, RandomWalk(Random(seed)))
        assert not m.hit()


def test_pct_of_depth_one_finds_starvation_in_every_second_run(token: Token) -> None:
    hits = 0
    for seed in range(400):
        m = starvation()
        token.run(m, PCT(Random(seed), 1, 22))
        hits += m.hit()
    assert binomtest(hits, 400, 0.5).pvalue > UNLIKELY


@pytest.mark.parametrize("build", [lost_update, abba, flags, interrupted, preempted])
def test_free_running_threads_find_it_too(free: FreeCarrier, build: Callable[..., Lab]) -> None:
    """By injected yields alone; how often depends on the machine, that it happens does not."""
    for seed in range(3_000):
        m = build(seed)
        free.run(m, q=(0.5, 0.125)[seed % 2])
        if m.hit():
            return
    pytest.fail("not found in 3,000 runs")


def test_what_is_right_is_never_hit(token: Token) -> None:
    def right(seed: int = 0) -> Lab:
        m = Lab(3, seed=seed, preempt=True)
        for cpu, name in enumerate("abc"):
            m.task(name, lambda w: atomic_inc(w, "n"), cpu=cpu)
        m.interrupt("irq", lambda w: atomic_inc(w, "n"))
        return m

    for seed in range(500):
        m = right()
        token.run(m, policies.make("mix", Random(seed), 8))
        assert m.vm.v_n == 4
