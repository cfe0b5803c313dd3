# SPDX-License-Identifier: GPL-2.0-only
"""Small programs to explore, and the helper that explores them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmsim.engine.execution import Token
from mmsim.engine.explore import Dpor, Search, executions
from mmsim.engine.policy import RandomWalk
from mmsim.engine.seeds import stream
from mmsim.linux import spinlock
from tests.engine.lab import Lab


def explore(
    token: Token,
    build: Callable[[], Any],
    outcome: Callable[[Any], Any] = lambda m: None,
    *,
    search: Search | None = None,
    learn: int = 0,
    at_most: int = 1_000_000,
) -> tuple[Search, list[Any]]:
    """All executions of what ``build`` boots: the search, and the outcome of each."""
    search = search or Dpor()
    for seed in range(learn):
        machine = build()
        machine.instruments.append(search.learner())
        token.run(machine, RandomWalk(stream(seed, "learn")))
    if learn:
        search.words.settle()

    def run(policy: Search) -> Any:
        machine = build()
        token.run(machine, policy)
        return machine

    outcomes: list[Any] = []
    restarts = 0
    for machine in executions(search, run):
        if search.restarts != restarts:
            restarts = search.restarts
            outcomes.clear()
        outcomes.append(outcome(machine))
        if len(outcomes) >= at_most:
            break
    return search, outcomes


def writers(n: int) -> Lab:
    m = Lab(n)
    for cpu in range(n):

        def body(word: Any, value: int = cpu) -> None:
            word.n = value

        m.task(f"w{cpu}", body, cpu=cpu)
    return m


def increments(n: int, times: int = 1) -> Lab:
    m = Lab(n)

    def body(word: Any) -> None:
        for _ in range(times):
            word.n = word.n + 1

    for cpu in range(n):
        m.task(f"t{cpu}", body, cpu=cpu)
    return m


def sections(n: int) -> Lab:
    m = Lab(n)
    lock = spinlock.spin_lock_init("lock")

    def body(word: Any) -> None:
        spinlock.spin_lock(lock)
        word.n = word.n + 1
        spinlock.spin_unlock(lock)

    for cpu in range(n):
        m.task(f"t{cpu}", body, cpu=cpu)
    return m
