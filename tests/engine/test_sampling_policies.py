# SPDX-License-Identifier: GPL-2.0-only
"""Policies that promise something: uniform orders, few delays, few preemptions."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from mmsim.engine.context import Context
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Instrument
from mmsim.engine.op import WRITE, Op
from mmsim.engine.policy import SURW, URW, Delays, Preemptions, Profile, RandomWalk
from mmsim.run import Runner
from mmsim.stress.source import Library, find_variant
from tests.engine.lab import Lab, Word, steps

RUNS = 1_200


def unequal() -> Lab:
    """One task of four writes, one of one: five orders of their effects."""
    m = Lab(2)

    def many(word: Any) -> None:
        for _ in range(4):
            word.n = 1

    def one(word: Any) -> None:
        word.n = 2

    m.task("many", many)
    m.task("one", one, cpu=1)
    return m


def watched(token: Token, m: Lab) -> Profile:
    profile = Profile()
    m.instruments.append(profile)
    token.run(m, RandomWalk(Random(1)))
    return profile


def places(token: Token, policy: object) -> int:
    """Effects of the long task before that of the short one."""
    m = unequal()
    token.run(m, policy)  # type: ignore[arg-type]
    before = 0
    for id, n in token.segments:
        if id == 1 and n:
            break
        before += n
    return before


def test_every_order_is_as_likely_as_the_others(green: Token) -> None:
    """Each of five orders a fifth of 1,200 times: 240, deviation 14; 60 off is beyond four of them.

    A random walk takes the short task first half of the time: 600.
    """
    profile = watched(green, unequal())
    rng = Random(7)
    uniform = Counter(places(green, URW(rng, profile.all)) for _ in range(RUNS))
    assert sorted(uniform) == [0, 1, 2, 3, 4]
    assert all(abs(n - RUNS / 5) < 60 for n in uniform.values()), uniform
    walk = Counter(places(green, RandomWalk(rng)) for _ in range(RUNS))
    assert walk[0] > 500


def test_what_is_not_selected_does_not_count(green: Token) -> None:
    """After the writes of one word come eight reads of the other, by one of the two tasks alone.

    Each of the six orders of two and two writes should come a sixth of 1,200 times: 200, deviation
    13; 60 off is beyond four.  With the reads counted the first to read all but always writes last.
    """

    def build() -> Lab:
        m = Lab(2)
        cell = Word()

        def writes(word: Any, own: Any, reads: int) -> None:
            for _ in range(2):
                word.n = 1
            for _ in range(reads):
                own.m  # noqa: B018

        m.spawn(writes, m.vm, cell, 0, comm="a", cpu=0)
        m.spawn(writes, m.vm, cell, 8, comm="b", cpu=1)
        return m

    profile = watched(green, build())
    rng = Random(3)
    orders: Counter[tuple[int, ...]] = Counter()
    for _ in range(RUNS):
        m = build()
        writes = Writes()
        m.instruments.append(writes)
        green.run(m, SURW(rng, profile))
        orders[tuple(writes.by)] += 1
    assert len(orders) == 6
    assert all(abs(n - RUNS / 6) < 60 for n in orders.values()), orders


class Writes(Instrument):
    """Who wrote, in order."""

    def __init__(self) -> None:
        self.by: list[int] = []

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        if op.kind is WRITE:
            self.by.append(ctx.id)


def test_it_says_how_often_it_could_not_choose_as_intended(green: Token) -> None:
    policy = URW(Random(1), Counter())
    green.run(unequal(), policy)
    assert policy.deviations > 0
    exact = URW(Random(1), watched(green, unequal()).all)
    green.run(unequal(), exact)
    assert exact.deviations == 0


@pytest.mark.parametrize("kind", [Delays, Preemptions])
@pytest.mark.parametrize("most", [0, 1, 2])
def test_no_more_switches_than_asked_for(green: Token, kind: type[Delays], most: int) -> None:
    """Two tasks of eight effects: each place can switch once, and the end of a task once more."""
    seen = set()
    for seed in range(200):
        m = Lab(2)
        m.task("a", steps(8))
        m.task("b", steps(8), cpu=1)
        green.run(m, kind(Random(seed), most, 16))
        seen.add(len(green.segments) - 1)
    assert max(seen) <= most + 1
    assert max(seen) > most - 1


@pytest.mark.parametrize("policy", ["urw", "surw", "delays", "preemptions"])
def test_by_name_and_on_a_real_race(policy: str) -> None:
    """Two runs with one seed are the same, and their lines replay under threads."""
    variant = find_variant(Library(), "002.flawed")
    lines = []
    for _ in range(2):
        with Runner(variant, cpus=8, seed=5, engine="green", policy=policy) as runner:
            results = [runner.run(index) for index in range(60)]
        lines.append([result.schedule for result in results])
    assert lines[0] == lines[1]
    found = next((line for line in lines[0] if line), None)
    if found is not None:
        with Runner(variant, cpus=8, seed=0) as runner:
            assert runner.replay(found).findings
