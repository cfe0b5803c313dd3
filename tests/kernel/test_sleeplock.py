# SPDX-License-Identifier: GPL-2.0-only
"""rwsem and mutex keep their contracts, whatever is asked of them and in whatever order.

Hypothesis draws who takes what for how long, and the seed of the schedule; the contexts write down
when they enter and leave.  Nobody is to be inside with a writer, and nobody to overtake.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsim.engine import policy as policies
from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.events import Event
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Events
from mmsim.engine.op import DOWN
from mmsim.linux import sleeplock
from tests.engine.lab import Lab, every_order, increment, kinds, run

TAKE = {
    "read": (sleeplock.down_read, sleeplock.up_read),
    "write": (sleeplock.down_write, sleeplock.up_write),
    "try read": (sleeplock.down_read_trylock, sleeplock.up_read),
    "try write": (sleeplock.down_write_trylock, sleeplock.up_write),
}
BODIES = st.lists(st.tuples(st.sampled_from(sorted(TAKE)), st.integers(0, 3)), max_size=4)
PROGRAMS = st.lists(st.tuples(BODIES, st.integers(0, 2)), min_size=2, max_size=5)


def build(program: Any, seed: int = 0) -> Lab:
    m = Lab(3, seed=seed, preempt=True)
    sem = sleeplock.init_rwsem("sem")
    inside: list[tuple[str, int]] = []
    m.inside = inside
    m.entered = 0

    def body(bodies: Any, me: int) -> Any:
        def task(word: Any) -> None:
            for how, effects in bodies:
                take, drop = TAKE[how]
                if take(sem) is False:
                    assert how.startswith("try")
                    continue
                kind = how.split()[-1]
                assert not any(kind == "write" or other == "write" for other, _ in inside)
                inside.append((kind, me))
                m.entered += 1
                for _ in range(effects):
                    word.m  # noqa: B018
                inside.remove((kind, me))
                drop(sem)

        return task

    for i, (bodies, cpu) in enumerate(program):
        m.task(f"t{i}", body(bodies, i), cpu=cpu)
    m.sem = sem
    return m


def is_as_new(sem: Any) -> bool:
    return sem.owner is None and not sem.readers and not sem.waiters


@given(PROGRAMS, st.integers(0, 2**32), st.sampled_from(policies.NAMES))
def test_readers_together_writers_alone(
    token: Token, program: Any, seed: int, policy: str
) -> None:
    m = build(program)
    token.run(m, policies.make(policy, Random(seed), 30))
    assert not m.findings
    assert is_as_new(m.sem)
    asked = [how for bodies, _ in program for how, _ in bodies]
    waited = [how for how in asked if not how.startswith("try")]
    assert len(waited) <= m.entered <= len(asked)
    assert all(not ctx.locks for ctx in m.contexts)


@given(PROGRAMS, st.integers(0, 2**32))
def test_first_come_first_served(token: Token, program: Any, seed: int) -> None:
    """Who queues earlier gets in earlier; trylock never overtakes the queue."""
    m = build(program)
    queue: list[tuple[Any, bool]] = []

    def listener(event: Event) -> None:
        nonlocal queue
        if event.kind == DOWN:
            if event.value:
                assert not queue, "somebody overtook"
            elif m.sem.waiters and m.sem.waiters[-1][0].id == event.entity:
                queue.append(m.sem.waiters[-1])
        left = m.sem.waiters
        assert left == queue[len(queue) - len(left) :], "somebody was served out of turn"
        queue = list(left)

    m.instruments.append(Events(listener))
    token.run(m, policies.make("random-walk", Random(seed), 30))


def test_free_running(free: FreeCarrier) -> None:
    program = [([("write", 1), ("read", 2)], i) for i in range(3)] + [([("try write", 1)], 0)]
    for seed in range(40):
        m = build(program, seed)
        free.run(m, q=0.5)
        assert not m.findings
        assert is_as_new(m.sem)


def test_two_readers_are_inside_at_once_in_some_order(token: Token) -> None:
    def two() -> Lab:
        return build([([("read", 1)], 0), ([("read", 1)], 1)])

    together = 0
    for _ in every_order(token, two):
        together += len(token.segments) > 2
    assert together


def test_a_reader_waits_behind_a_writer_that_waits(token: Token) -> None:
    """Otherwise readers could keep writers out for ever."""
    m = Lab(3)
    sem = sleeplock.init_rwsem("sem")
    m.task("a", lambda w: (sleeplock.down_read(sem), w.m, sleeplock.up_read(sem)))
    m.task("b", lambda w: (sleeplock.down_write(sem), m.says(), sleeplock.up_write(sem)), cpu=1)

    def late(word: Any) -> None:
        m.says(f" {sleeplock.down_read_trylock(sem)}")
        sleeplock.down_read(sem)
        m.says()
        sleeplock.up_read(sem)

    m.task("c", late, cpu=2)
    run(token, m, "a b c2")
    assert m.trace == ["c False", "b", "c"]


def test_a_mutex_excludes_and_trylock_tells(token: Token) -> None:
    def two() -> Lab:
        m = Lab(2)
        lock = sleeplock.mutex_init("mutex")
        m.got = []

        def locks(word: Any) -> None:
            sleeplock.mutex_lock(lock)
            increment(word)
            sleeplock.mutex_unlock(lock)

        def tries(word: Any) -> None:
            m.got.append(sleeplock.mutex_trylock(lock))
            if m.got[-1]:
                increment(word)
                sleeplock.mutex_unlock(lock)

        m.task("a", locks)
        m.task("b", tries, cpu=1)
        return m

    seen = set()
    for m in every_order(token, two):
        assert m.vm.v_n == 1 + m.got[0]
        assert not m.findings
        seen.add(m.got[0])
    assert seen == {True, False}


def test_a_mutex_held_for_ever_is_a_hung_task_that_names_its_holder(
    token: Token,
) -> None:
    m = Lab(2)
    lock = sleeplock.mutex_init("cgroup_mutex")
    m.task("a", lambda w: sleeplock.mutex_lock(lock))
    m.task("b", lambda w: sleeplock.mutex_lock(lock), cpu=1)
    run(token, m, "a b")
    assert kinds(m) == ["hung-task"]
    assert m.findings[0].comm == "b"
    assert m.findings[0].detail == (
        "b/101 (task, CPU#1) sleeps for cgroup_mutex, held by a/100 (exited)",
    )


def test_unlocking_for_somebody_else_takes_it_off_the_right_list(token: Token) -> None:
    m = Lab(2)
    lock = sleeplock.mutex_init("mutex")
    a = m.task("a", lambda w: (sleeplock.mutex_lock(lock), w.m))
    m.task("b", lambda w: sleeplock.mutex_unlock(lock), cpu=1)
    run(token, m, "a b")
    assert a.locks == []
    assert is_as_new(lock)


def test_a_sleeping_lock_taken_at_boot_and_kept_is_an_error_there() -> None:
    Lab()
    lock = sleeplock.mutex_init("mutex")
    sleeplock.mutex_lock(lock)
    with pytest.raises(RuntimeError, match="mutex is taken while nothing runs"):
        sleeplock.mutex_lock(lock)
