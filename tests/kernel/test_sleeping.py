# SPDX-License-Identifier: GPL-2.0-only
"""Sleeping, waking, timers and wait queues."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.context import SOFTIRQ
from mmsim.engine.events import Event
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Events
from mmsim.engine.op import RELEASE, WRITE, WRITES
from mmsim.engine.policy import RandomWalk, RoundRobin
from mmsim.linux import irqflags, sched, sleeplock, spinlock, wait
from mmsim.linux.list import list_nodes
from mmsim.scenarios.api import BLOCKED, Sequencer, before
from mmsim.scenarios.api import run as step
from tests.engine.lab import Lab, every_order, kinds, run, steps, titles

UNINTERRUPTIBLE = sched.TASK_UNINTERRUPTIBLE


def sleep_for(seconds: float) -> None:
    sched.set_current_state(UNINTERRUPTIBLE)
    sched.schedule_timeout(seconds)


# -- schedule() --------------------------------------------------------------------------------


def test_schedule_returns_at_once_if_nobody_said_to_sleep(token: Token) -> None:
    m = Lab()
    m.task("a", lambda w: (sched.schedule(), m.says()))
    token.run(m, RoundRobin())
    assert (m.trace, m.findings) == (["a"], [])


def test_a_wake_up_between_the_two_steps_is_not_lost(token: Token) -> None:
    m = Lab(2)
    woken = []
    a = m.task("a", lambda w: (sched.set_current_state(UNINTERRUPTIBLE), sched.schedule()))
    m.task("b", lambda w: woken.append(sched.wake_up_process(a)), cpu=1)
    token.run(m, Sequencer(step("a", until=before("sleep")), step("b"), step("a")))
    assert (woken, m.findings) == ([True], [])


def test_waking_somebody_who_runs_does_nothing(token: Token) -> None:
    m = Lab(2)
    woken = []
    a = m.task("a", steps(3))
    m.task("b", lambda w: woken.append(sched.wake_up_process(a)), cpu=1)
    run(token, m, "a b a2")
    assert woken == [False]


def test_waking_somebody_who_waits_for_a_mutex_does_nothing(token: Token) -> None:
    """Only the mutex can let it in; a stray wake-up must not."""
    m = Lab(3)
    lock = sleeplock.mutex_init("mutex")
    woken = []

    def inside(word: Any) -> None:
        sleeplock.mutex_lock(lock)
        m.says(" in")
        word.n  # noqa: B018
        m.says(" out")
        sleeplock.mutex_unlock(lock)

    def prepared(word: Any) -> None:
        sched.set_current_state(UNINTERRUPTIBLE)  # and then takes a mutex, which is bad style
        inside(word)

    m.task("a", inside)
    b = m.task("b", prepared, cpu=1)
    m.task("c", lambda w: woken.append(sched.wake_up_process(b)), cpu=2)
    run(token, m, "a b2 c a2 b2")
    assert woken == [False]
    assert m.trace == ["a in", "a out", "b in", "b out"]


ATOMIC: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "irqs off": lambda f: (irqflags.local_irq_disable(), f()),
    "bottom halves off": lambda f: (irqflags.local_bh_disable(), f()),
    "preemption off": lambda f: (sched.preempt_disable(), f()),
    "spinlock": lambda f: (spinlock.spin_lock(spinlock.spin_lock_init("lock")), f()),
}


@pytest.mark.parametrize("how", ATOMIC)
def test_scheduling_while_atomic(token: Token, how: str) -> None:
    m = Lab()
    m.task("a", lambda w: ATOMIC[how](lambda: (sched.set_current_state(2), sched.schedule())))
    token.run(m, RoundRobin())
    assert titles(m) == ["BUG: scheduling while atomic"]
    assert kinds(m) == ["atomic-sleep"]


@pytest.mark.parametrize("how", ATOMIC)
@pytest.mark.parametrize("take", ["mutex_lock", "down_read", "down_write"])
def test_a_sleeping_lock_in_atomic_context_is_reported_even_if_it_is_free(
    token: Token, how: str, take: str
) -> None:
    m = Lab()
    lock = sleeplock.mutex_init("mutex")
    m.task("a", lambda w: ATOMIC[how](lambda: getattr(sleeplock, take)(lock)))
    token.run(m, RoundRobin())
    (title,) = titles(m)
    assert title.startswith("BUG: sleeping function called from invalid context at kernel/locking")


@pytest.mark.parametrize("kind", ["hardirq", SOFTIRQ])
def test_an_interrupt_must_not_sleep(token: Token, kind: str) -> None:
    m = Lab()
    m.interrupt("irq", lambda w: sleep_for(1.0), kind=kind)
    token.run(m, RoundRobin())
    assert titles(m) == ["BUG: scheduling while atomic"]
    m = Lab()
    m.interrupt("irq", lambda w: sched.might_sleep("mm/x.c:1"), kind=kind)
    token.run(m, RoundRobin())
    assert titles(m) == ["BUG: sleeping function called from invalid context at mm/x.c:1"]


def test_might_sleep_is_silent_where_one_may(token: Token) -> None:
    m = Lab()
    m.task("a", lambda w: sched.might_sleep("mm/x.c:1"))
    token.run(m, RoundRobin())
    assert not m.findings


# -- timers ------------------------------------------------------------------------------------


def test_time_stands_still_while_anybody_can_run(token: Token) -> None:
    m = Lab(2)
    at = []
    m.task("a", lambda w: (sleep_for(5.0), at.append(m.clock.now)))
    m.task("b", lambda w: [(w.n, at.append(m.clock.now)) for _ in range(3)], cpu=1)
    run(token, m, "a2 b3")
    assert at == [0.0, 0.0, 0.0, 5.0]


def test_woken_before_its_time(token: Token) -> None:
    """And the timer that is left over wakes nobody out of another sleep."""
    m = Lab(2)
    at = []

    def sleeper(word: Any) -> None:
        sleep_for(5.0)
        at.append(m.clock.now)
        sleep_for(7.0)
        at.append(m.clock.now)

    a = m.task("a", sleeper)
    m.task("b", lambda w: sched.wake_up_process(a), cpu=1)
    run(token, m, "a2 b a2")
    assert at == [0.0, 7.0]


def test_timers_of_several_sleepers(token: Token, free: FreeCarrier) -> None:
    for carrier, extra in ((token, (RandomWalk(Random(4)),)), (free, ())):
        m = Lab(2)
        order = []
        for i, seconds in enumerate((3.0, 1.0, 2.0, 1.0)):
            m.task(
                "abcd"[i],
                lambda w, m=m, order=order, seconds=seconds: (
                    sleep_for(seconds),
                    order.append(m.clock.now),
                ),
                cpu=i,
            )
        carrier.run(m, *extra)
        assert order == [1.0, 1.0, 2.0, 3.0]


def test_a_sleeper_without_a_timer_is_not_woken_by_time(token: Token) -> None:
    m = Lab(2)
    m.task("a", lambda w: (sched.set_current_state(UNINTERRUPTIBLE), sched.schedule()))
    m.task("b", lambda w: sleep_for(3.0), cpu=1)
    token.run(m, RoundRobin())
    assert kinds(m) == ["hung-task"]
    assert m.clock.now == 3.0


def test_an_interrupt_comes_before_the_clock_moves(token: Token) -> None:
    m = Lab()
    a = m.task("a", lambda w: (sleep_for(9.0), m.says(f" at {m.clock.now}")))
    m.interrupt("irq", lambda w: sched.wake_up_process(a))
    token.run(m, RoundRobin())
    assert m.trace == ["a at 0.0"]


# -- wait queues -------------------------------------------------------------------------------


def wait_for(queue: Any, word: Any, *, exclusive: bool = False) -> None:
    """wait_event(queue, word.n)"""
    entry = wait.wait_queue_entry(wait.autoremove_wake_function)
    prepare = wait.prepare_to_wait_exclusive if exclusive else wait.prepare_to_wait
    while True:
        prepare(queue, entry, UNINTERRUPTIBLE)
        if word.n:
            break
        sched.schedule()
    wait.finish_wait(queue, entry)


def test_wait_event_never_misses_its_wake_up(token: Token, free: FreeCarrier) -> None:
    for seed in range(150):
        m = Lab(3, seed=seed)
        queue = wait.wait_queue_head("queue")
        m.task("a", lambda w, q=queue: wait_for(q, w))
        m.task("b", lambda w, q=queue: wait_for(q, w), cpu=1)
        m.task("c", lambda w, q=queue: (setattr(w, "n", 1), wait.wake_up(q)), cpu=2)
        if seed % 3:
            token.run(m, RandomWalk(Random(seed)))
        else:
            free.run(m, q=0.5)
        assert not m.findings, seed
        assert queue.head.v_next is queue.head


def test_looking_before_queueing_misses_it_in_some_orders(token: Token) -> None:
    def careless(queue: Any, word: Any) -> None:
        if word.n:
            return
        entry = wait.wait_queue_entry(wait.autoremove_wake_function)
        wait.prepare_to_wait(queue, entry, UNINTERRUPTIBLE)
        sched.schedule()
        wait.finish_wait(queue, entry)

    hung = 0
    for seed in range(100):
        m = Lab(2)
        queue = wait.wait_queue_head("queue")
        m.task("a", lambda w, q=queue: careless(q, w))
        m.task("c", lambda w, q=queue: (setattr(w, "n", 1), wait.wake_up(q)), cpu=1)
        token.run(m, RandomWalk(Random(seed)))
        hung += kinds(m) == ["hung-task"]
    assert 10 < hung < 90


@pytest.mark.parametrize(
    ("wake", "expected"), [(wait.wake_up, "plain one"), (wait.wake_up_all, "plain one two")]
)
def test_wake_up_takes_one_exclusive_waiter(
    token: Token, wake: Callable[[Any], None], expected: str
) -> None:
    """Whoever is not exclusive stands in front of those who are, however late it came."""
    m = Lab(4)
    queue = wait.wait_queue_head("queue")
    m.task("one", lambda w: (wait_for(queue, w, exclusive=True), m.says()))
    m.task("two", lambda w: (wait_for(queue, w, exclusive=True), m.says()), cpu=1)
    m.task("plain", lambda w: (wait_for(queue, w), m.says()), cpu=2)

    def waker(word: Any) -> None:
        word.n = 1
        wake(queue)

    m.task("waker", waker, cpu=3)
    token.run(m, _InOrder("one", "two", "plain", "waker"))
    assert sorted(m.trace) == sorted(expected.split())
    assert kinds(m) == ["hung-task"] * (wake is wait.wake_up)


class _InOrder(RoundRobin):
    """Everybody as far as it goes, in this order."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._names = names

    def pick(self, enabled: Any, current: Any) -> Any:
        return min(enabled, key=lambda c: self._names.index(c.comm))


def test_an_exclusive_waiter_that_has_not_slept_yet_takes_the_wake_up(
    token: Token,
) -> None:
    """It is about to sleep, and was told not to: nobody else has to be woken for it."""
    m = Lab(3)
    queue = wait.wait_queue_head("queue")

    def exclusive(word: Any) -> None:
        entry = wait.wait_queue_entry(wait.autoremove_wake_function)
        wait.prepare_to_wait_exclusive(queue, entry, UNINTERRUPTIBLE)
        word.m  # noqa: B018
        sched.schedule()
        m.says()
        wait.finish_wait(queue, entry)

    m.task("first", exclusive)
    m.task("second", exclusive, cpu=1)
    m.task("waker", lambda w: (w.m, wait.wake_up(queue)), cpu=2)

    place = before("m")  # it is on the queue, and about to sleep
    token.run(
        m, Sequencer(step("first", until=place), step("second", until=BLOCKED), step("waker"))
    )
    assert m.trace == ["first"]
    assert m.findings[0].comm == "second"


def test_a_custom_wake_function_can_refuse_or_stop_the_walk(token: Token) -> None:
    calls = []

    def refuses(entry: Any, mode: int, key: Any) -> bool:
        calls.append("refuses")
        return False

    def stops(entry: Any, mode: int, key: Any) -> int:
        calls.append("stops")
        return -1

    m = Lab()

    def body(word: Any) -> None:
        queue = wait.wait_queue_head("queue")
        for func in (refuses, stops, refuses):
            wait.add_wait_queue_exclusive(queue, wait.wait_queue_entry(func))
        wait.wake_up_all(queue)

    m.task("a", body)
    token.run(m, RoundRobin())
    assert calls == ["refuses", "stops"]


def test_who_stands_where(token: Token) -> None:
    m = Lab()
    entries = {}

    def body(word: Any) -> None:
        queue = wait.wait_queue_head("queue")
        for name, add in (
            ("first", wait.add_wait_queue_exclusive),
            ("second", wait.add_wait_queue_exclusive),
            ("plain", wait.add_wait_queue),
        ):
            entries[name] = wait.wait_queue_entry()
            add(queue, entries[name])
        order = [node.owner for node in list_nodes(queue.head)]
        assert order == [entries[name] for name in ("plain", "first", "second")]

    m.task("a", body)
    token.run(m, RoundRobin())


@pytest.mark.parametrize(
    ("era", "stores"),
    [("5.4", ["next", "prev"]), ("5.17", ["prev", "next"])],
)
def test_the_last_word_that_a_waker_writes(token: Token, era: str, stores: list[str]) -> None:
    """The waiter looks at ``next`` without the lock; its stack may be gone right after."""
    m = Lab(era=era)
    queue = wait.wait_queue_head("queue")
    stores_seen: list[Event] = []

    def waits(word: Any) -> None:
        entry = wait.wait_queue_entry(wait.autoremove_wake_function)
        wait.prepare_to_wait(queue, entry, UNINTERRUPTIBLE)
        wait.wake_up(queue)

    def listen(event: Event) -> None:
        if event.obj == "wait_queue_entry.entry" and event.kind in WRITES:
            stores_seen.append(event)

    m.task("a", waits)
    m.instruments.append(Events(listen))
    token.run(m, RoundRobin())
    last = stores_seen[-2:]
    assert [event.label for event in last] == stores
    assert last[-1].kind is (RELEASE if era == "5.17" else WRITE)


def test_add_and_remove(token: Token) -> None:
    m = Lab()

    def body(word: Any) -> None:
        queue = wait.wait_queue_head("queue")
        entry = wait.wait_queue_entry()
        wait.add_wait_queue(queue, entry)
        assert queue.head.v_next is entry.entry
        wait.remove_wait_queue(queue, entry)
        assert queue.head.v_next is queue.head

    m.task("a", body)
    token.run(m, RoundRobin())


def test_finish_wait_does_not_depend_on_when_it_looks(token: Token) -> None:
    """The waker may be taking the entry off at that very moment."""

    def build() -> Lab:
        m = Lab(2)
        queue = wait.wait_queue_head("queue")

        def waiter(word: Any) -> None:
            entry = wait.wait_queue_entry(wait.autoremove_wake_function)
            entry.entry.v_next = entry.entry.v_prev = queue.head
            queue.head.v_next = queue.head.v_prev = entry.entry  # queued already: fewer orders
            word.m  # noqa: B018
            sched.set_current_state(UNINTERRUPTIBLE)
            wait.finish_wait(queue, entry)

        def waker(word: Any) -> None:
            wait.wake_up(queue)

        m.task("a", waiter)
        m.task("b", waker, cpu=1)
        m.queue = queue
        return m

    count = 0
    for m in every_order(token, build):
        count += 1
        assert not m.findings
        assert m.queue.head.v_next is m.queue.head
        if count == 1500:
            break
    assert count > 100
