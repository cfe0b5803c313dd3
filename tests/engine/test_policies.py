# SPDX-License-Identifier: GPL-2.0-only
"""Policies: are their distributions what their descriptions say?

Seeds are fixed, so nothing here flickers; the limits are such that a right implementation with
other seeds would pass with the probability stated.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, permutations
from random import Random
from typing import Any

import pytest
from scipy.stats import binom, chisquare

from mmsim.engine import policy as policies
from mmsim.engine.execution import Token
from mmsim.engine.policy import PCT, Geometric, Policy, RandomWalk, RoundRobin
from mmsim.linux import sched, spinlock
from mmsim.linux.irqflags import raise_irq
from tests.engine.lab import Lab, increment, order, steps

UNLIKELY = 1e-6  # a right implementation fails a test below once in a million choices of seeds


def orders(token: Token, make: Any, runs: int, lengths: tuple[int, ...]) -> Counter[str]:
    """How often each interleaving of tasks with so many effects each came up."""
    seen: Counter[str] = Counter()
    for seed in range(runs):
        m = Lab(len(lengths))
        for cpu, n in enumerate(lengths):
            m.task("abc"[cpu], steps(n), cpu=cpu)
        token.run(m, make(Random(seed)))
        seen["".join("abc"[id] * n for id, n in token.segments)] += 1
    return seen


def test_random_walk_is_uniform_at_every_point(token: Token) -> None:
    """Two tasks of two effects: aabb and bbaa have 1/4 each, the four others 1/8."""
    seen = orders(token, RandomWalk, 2000, (2, 2))
    expected = {"aabb": 4, "bbaa": 4, "abab": 2, "abba": 2, "baab": 2, "baba": 2}
    assert set(seen) == set(expected)
    result = chisquare([seen[o] for o in expected], [2000 * n / 16 for n in expected.values()])
    assert result.pvalue > UNLIKELY


def test_random_walk_over_three(token: Token) -> None:
    seen = orders(token, RandomWalk, 1200, (1, 1, 1))
    assert len(seen) == 6
    assert chisquare(list(seen.values())).pvalue > UNLIKELY


@pytest.mark.parametrize("q", [0.5, 0.125])
def test_geometric_switches_with_probability_q_at_each_point(token: Token, q: float) -> None:
    """How long ``a`` runs, if it is first, before ``b`` gets its first turn."""
    lengths: Counter[int] = Counter()
    for text, n in orders(token, lambda rng: Geometric(rng, q), 2000, (6, 6)).items():
        first = len(text) - len(text.lstrip(text[0]))
        lengths[first] += n
    expected = [2000 * q * (1 - q) ** (n - 1) for n in range(1, 6)] + [2000 * (1 - q) ** 5]
    observed = [lengths[n] for n in range(1, 6)] + [sum(lengths[n] for n in range(6, 13))]
    assert chisquare(observed, expected).pvalue > UNLIKELY


def test_geometric_takes_any_of_the_others(token: Token) -> None:
    after_a: Counter[str] = Counter()
    for text, n in orders(token, lambda rng: Geometric(rng, 0.5), 1500, (3, 3, 3)).items():
        after_a[text.lstrip("a")[0]] += n * (text[0] == "a")
    after_a.pop("a", None)
    assert chisquare([after_a["b"], after_a["c"]]).pvalue > UNLIKELY


def test_pct_of_depth_one_is_a_random_permutation(token: Token) -> None:
    seen = orders(token, lambda rng: PCT(rng, 1, 9), 1200, (3, 3, 3))
    assert set(seen) == {"".join(x * 3 for x in order) for order in permutations("abc")}
    assert chisquare(list(seen.values())).pvalue > UNLIKELY


def test_pct_switches_at_most_where_it_has_change_points(token: Token) -> None:
    for depth in (1, 2, 3, 4):
        seen = orders(token, lambda rng, depth=depth: PCT(rng, depth, 20), 300, (10, 10))
        for text in seen:
            assert switches(text) <= depth  # depth - 1 changes, and the end of the first task
        assert max(switches(text) for text in seen) == depth


def switches(text: str) -> int:
    return sum(x != y for x, y in pairwise(text))


def hits(token: Token, build: Any, depth: int, k: int, runs: int) -> int:
    found = 0
    for seed in range(runs):
        m = build()
        token.run(m, PCT(Random(seed), depth, k))
        found += bool(m.findings) or m.vm.v_n < 0
    return found


def lost_update() -> Lab:
    m = Lab(2)

    def body(word: Any) -> None:
        for _ in range(4):
            word.m  # noqa: B018
        increment(word)
        if word.n == 1 and m.trace:
            word.v_n = -1
        m.trace.append("done")

    m.task("a", body)
    m.task("b", body, cpu=1)
    return m


def abba() -> Lab:
    m = Lab(2)
    locks = [spinlock.spin_lock_init("a"), spinlock.spin_lock_init("b")]

    def body(first: Any, second: Any) -> Any:
        def take(word: Any) -> None:
            for _ in range(3):
                word.m  # noqa: B018
            spinlock.spin_lock(first)
            spinlock.spin_lock(second)
            spinlock.spin_unlock(second)
            spinlock.spin_unlock(first)

        return take

    m.task("a", body(*locks))
    m.task("b", body(*locks[::-1]), cpu=1)
    return m


def starvation() -> Lab:
    """Depth 1: ``a`` has to come to its end before ``b`` begins."""
    m = Lab(2)

    def slow(word: Any) -> None:
        for _ in range(20):
            word.m  # noqa: B018
        if word.n == 0:
            word.n = 1

    m.task("a", slow)
    m.task("b", lambda w: setattr(w, "n", -1 if w.n == 1 else 2), cpu=1)
    return m


@pytest.mark.parametrize(
    ("build", "depth", "k"), [(lost_update, 2, 14), (abba, 2, 14), (starvation, 1, 24)]
)
def test_pct_keeps_its_promise(token: Token, build: Any, depth: int, k: int) -> None:
    """At least 1/(n * k**(d-1)) of the runs find a bug of depth d: n contexts, k steps.

    The number of hits in so many runs is not below the lowest millionth of a binomial with that
    chance.
    """
    bound = 1 / (2 * k ** (depth - 1))
    runs = 600
    least = int(binom.ppf(UNLIKELY, runs, bound))
    assert least > 0
    assert hits(token, build, depth, k, runs) >= least


def test_pct_of_depth_one_cannot_find_what_has_depth_two(token: Token) -> None:
    assert hits(token, lost_update, 1, 14, 100) == 0


def test_pct_gives_a_late_interrupt_a_random_place(token: Token) -> None:
    """The line is enabled from the middle of the run on: it must come at once or at the end."""
    positions: Counter[int] = Counter()
    for seed in range(300):
        m = Lab()
        line = m.interrupt("irq", steps(1), armed=False)

        def body(word: Any, line: Any = line) -> None:
            steps(5)(word)
            raise_irq(line)
            steps(5)(word)

        m.task("a", body)
        token.run(m, PCT(Random(seed), 1, 12))
        at = next(i for i, (id, _) in enumerate(token.segments) if id == line.id)
        positions[sum(n for _, n in token.segments[:at])] += 1
    assert set(positions) == {6, 11}
    assert chisquare(list(positions.values())).pvalue > UNLIKELY


def test_round_robin_takes_turns(token: Token) -> None:
    m = Lab(3)
    for i, name in enumerate("abc"):
        m.task(name, steps(3), cpu=i)
    token.run(m, RoundRobin(2))
    assert token.segments == order(m, "a2 b2 c2 a b c")


@pytest.mark.parametrize("name", policies.NAMES)
def test_every_policy_ends_every_run_and_uses_its_seed(token: Token, name: str) -> None:
    seen = set()
    for seed in range(30):
        m = Lab(3)
        for i, task in enumerate("abc"):
            m.task(task, steps(5), cpu=i)
        token.run(m, policies.make(name, Random(seed), 15))
        assert m.steps == 15
        seen.add(token.segments)
    assert len(seen) > 5


def test_mix_draws_from_all(token: Token) -> None:
    kinds = Counter(type(policies.make("mix", Random(seed), 20)) for seed in range(1000))
    assert set(kinds) == {RandomWalk, Geometric, PCT}
    assert min(kinds.values()) > 100


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown policy 'fast': one of portfolio, mix, "):
        policies.make("fast", Random(1), 10)


def test_a_context_alone_is_not_interrupted_by_a_memoryless_policy(token: Token) -> None:
    """That is what makes long stretches of one CPU free."""

    class Counting(RandomWalk):
        asked = 0

        def pick(self, enabled: Any, current: Any) -> Any:
            self.asked += 1
            return super().pick(enabled, current)

    m = Lab()
    m.task("a", steps(500))
    policy = Counting(Random(1))
    token.run(m, policy)
    assert policy.asked == 1


def test_a_wake_up_ends_such_a_stretch(token: Token) -> None:
    """``b`` is let in soon after it was woken, not when ``a`` has done its 400."""

    def sleeper(word: Any) -> None:
        sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
        sched.schedule()
        steps(5)(word)

    for name in policies.NAMES:
        ends = []
        for seed in range(40):
            m = Lab(2)
            b = m.task("b", sleeper, cpu=1)
            m.task("a", lambda w, b=b: (steps(5)(w), sched.wake_up_process(b), steps(400)(w)))
            token.run(m, policies.make(name, Random(seed), 40))
            last = max(i for i, (id, _) in enumerate(token.segments) if id == b.id)
            ends.append(sum(n for _, n in token.segments[: last + 1]))
        assert min(ends) < 40, name


def test_a_policy_that_raises_ends_the_run_with_its_error(token: Token) -> None:
    class Broken(Policy):
        def pick(self, enabled: Any, current: Any) -> Any:
            if current is not None:
                raise ZeroDivisionError
            return enabled[0]

    m = Lab(2)
    m.task("a", steps(3))
    m.task("b", steps(3), cpu=1)
    with pytest.raises(ZeroDivisionError):
        token.run(m, Broken())
