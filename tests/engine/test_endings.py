# SPDX-License-Identifier: GPL-2.0-only
"""Every run ends, and says how: deadlock, hung task, soft lockup, livelock, oops, panic."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from mmsim.engine import policy as policies
from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.execution import Token
from mmsim.engine.machine import Machine
from mmsim.engine.policy import PCT, RandomWalk, RoundRobin
from mmsim.linux import irqflags, sched, sleeplock, spinlock
from mmsim.linux.bug import BUG
from tests.engine.lab import Lab, kinds, run, steps, titles


class Locks(Lab):
    """With two spinlocks, a mutex and a semaphore."""

    def __init__(self, cpus: int = 1, **options: Any) -> None:
        super().__init__(cpus, **options)
        self.a = spinlock.spin_lock_init("lock_a")
        self.b = spinlock.spin_lock_init("lock_b")
        self.mutex = sleeplock.mutex_init("some_mutex")
        self.sem = sleeplock.init_rwsem("some_sem")


def self_deadlock(m: Locks) -> None:
    m.task("a", lambda w: (spinlock.spin_lock(m.a), spinlock.spin_lock(m.a)))


def interrupt_on_the_same_cpu(m: Locks) -> None:
    m.task("a", lambda w: (spinlock.spin_lock(m.a), w.n, spinlock.spin_unlock(m.a)))
    m.interrupt("irq", lambda w: (spinlock.spin_lock(m.a), spinlock.spin_unlock(m.a)))


def abba(m: Locks) -> None:
    def take(first: Any, second: Any) -> Callable[[Any], None]:
        def body(word: Any) -> None:
            spinlock.spin_lock(first)
            spinlock.spin_lock(second)
            spinlock.spin_unlock(second)
            spinlock.spin_unlock(first)

        return body

    m.task("a", take(m.a, m.b))
    m.task("b", take(m.b, m.a), cpu=1)


def mutexes(m: Locks) -> None:
    other = sleeplock.mutex_init("other_mutex")
    m.task("a", lambda w: (sleeplock.mutex_lock(m.mutex), sleeplock.mutex_lock(other)))
    m.task("b", lambda w: (sleeplock.mutex_lock(other), sleeplock.mutex_lock(m.mutex)), cpu=1)


def reader_behind_a_writer(m: Locks) -> None:
    """down_read() twice, and a writer that queues in between."""
    m.task("a", lambda w: (sleeplock.down_read(m.sem), w.n, sleeplock.down_read(m.sem)))
    m.task("b", lambda w: sleeplock.down_write(m.sem), cpu=1)


def mutex_and_spinlock(m: Locks) -> None:
    """``a`` sleeps for a mutex whose holder spins for a lock that ``a`` should not have kept."""

    def wrong(word: Any) -> None:
        spinlock.spin_lock(m.a)
        sched.preempt_enable()  # hides what it holds from the checks
        sleeplock.mutex_lock(m.mutex)

    m.task("a", wrong)
    m.task("b", lambda w: (sleeplock.mutex_lock(m.mutex), spinlock.spin_lock(m.a)), cpu=1)


def interrupt_over_a_holder_that_others_wait_for(m: Locks) -> None:
    """``a`` holds A under an interrupt that spins on B, whose holder spins on A."""
    m.task("a", lambda w: (spinlock.spin_lock(m.a), w.n, spinlock.spin_unlock(m.a)))
    m.interrupt("irq", lambda w: (w.n, spinlock.spin_lock(m.b), spinlock.spin_unlock(m.b)))
    m.task("b", lambda w: (spinlock.spin_lock(m.b), spinlock.spin_lock(m.a)), cpu=1)


DEADLOCKS = {
    "self": (self_deadlock, 1, "a", "deadlock on lock_a"),
    "irq": (interrupt_on_the_same_cpu, 1, "a irq", "deadlock on lock_a"),
    "abba": (abba, 2, "a b", "deadlock on lock_a, lock_b"),
    "mutex": (mutexes, 2, "a b a b", "deadlock on other_mutex, some_mutex"),
    "rwsem": (reader_behind_a_writer, 2, "a2 b a", "deadlock on some_sem"),
    "mixed": (mutex_and_spinlock, 2, "a b a", "deadlock on lock_a, some_mutex"),
    "irq over a holder": (
        interrupt_over_a_holder_that_others_wait_for,
        2,
        "a b irq",
        "deadlock on lock_a, lock_b",
    ),
}


@pytest.mark.parametrize("what", DEADLOCKS)
def test_a_cycle_of_waiting_is_a_deadlock(token: Token, what: str) -> None:
    build, cpus, text, title = DEADLOCKS[what]
    m = Locks(cpus)
    build(m)
    run(token, m, text)
    assert titles(m) == [title]
    assert kinds(m) == ["deadlock"]


@pytest.mark.parametrize("what", DEADLOCKS)
def test_free_running_deadlocks_replay_with_the_same_fingerprint(
    token: Token, free: FreeCarrier, what: str
) -> None:
    """The system decides how often they meet: on a busy computer once in a hundred runs.

    With so many tries, each of a millisecond, all would be in vain once in 10**13 times.
    """
    build, cpus, _, _ = DEADLOCKS[what]
    found = 0
    for seed in range(3_000):
        m = Locks(cpus, seed=seed)
        build(m)
        free.run(m, q=0.5)
        if not m.findings:
            continue
        found += 1
        again = Locks(cpus, seed=seed)
        build(again)
        token.run(again, policies.Replay(free.segments))
        assert again.findings[0].fingerprint == m.findings[0].fingerprint
        if found == 5:
            break
    assert found


def test_a_deadlock_shows_the_stacks_of_those_in_it(token: Token) -> None:
    m = Locks()

    def inner(word: Any) -> None:
        spinlock.spin_lock(m.a)

    def outer(word: Any) -> None:
        spinlock.spin_lock(m.a)
        inner(word)

    m.task("a", outer)
    run(token, m, "a")
    (finding,) = m.findings
    assert [frame.func for frame in finding.frames] == ["inner", "outer"]
    assert finding.where == "inner"
    assert finding.locks == ("lock_a",)
    assert finding.detail == ("a/100 (task, CPU#0) spins on lock_a, held by a/100",)


def test_the_stack_of_an_interrupt_ends_where_its_task_begins(token: Token) -> None:
    m = Locks()
    interrupt_on_the_same_cpu(m)

    def handler(word: Any) -> None:
        spinlock.spin_lock(m.a)

    m.contexts[1].fn = handler
    run(token, m, "a irq")
    (finding,) = m.findings
    assert (finding.comm, finding.context) == ("irq", "hardirq")
    assert [frame.func for frame in finding.frames] == ["handler"]


def never_woken(m: Locks) -> None:
    def sleeper(word: Any) -> None:
        sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
        sched.schedule()

    m.task("a", sleeper)
    m.task("b", steps(3), cpu=1)


def test_a_sleeper_nobody_wakes_is_a_hung_task(token: Token, free: FreeCarrier) -> None:
    for carrier, extra in ((token, (RoundRobin(),)), (free, ())):
        m = Locks(2)
        never_woken(m)
        carrier.run(m, *extra)
        assert kinds(m) == ["hung-task"]
        assert (m.findings[0].comm, m.findings[0].where) == ("a", "sleeper")


def test_a_wake_up_that_comes_too_early_is_lost(token: Token) -> None:
    """Look first, then say that one sleeps: the order that loses wake-ups."""

    def lost(m: Lab) -> None:
        def waiter(word: Any) -> None:
            if not word.n:
                sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
                sched.schedule()

        def waker(word: Any) -> None:
            word.n = 1
            sched.wake_up_process(m.contexts[0])

        m.task("a", waiter)
        m.task("b", waker, cpu=1)

    for text, expected in (
        ("a b2 a2", ["hung-task"]),
        ("a3 b2", []),
        ("b2 a", []),
        ("a2 b2 a", []),
    ):
        m = Lab(2)
        lost(m)
        run(token, m, text)
        assert kinds(m) == expected, text


def test_who_spins_on_a_lock_that_the_dead_left_behind_is_locked_up(
    token: Token, free: FreeCarrier
) -> None:
    for carrier, extra in ((token, (RoundRobin(),)), (free, ())):
        m = Locks(2)
        m.stop_on_first = False
        m.task("a", lambda w, m=m: (spinlock.spin_lock(m.a), BUG("a.c:1")))
        m.task(
            "b",
            lambda w, m=m: (
                [sched.cpu_relax() for _ in iter(lambda w=w, m=m: m.contexts[0].died, True)],
                spinlock.spin_lock(m.a),
            ),
            cpu=1,
        )
        carrier.run(m, *extra)
        assert titles(m) == ["kernel BUG at a.c:1!", "soft lockup - CPU stuck on lock_a"]
        assert kinds(m) == ["BUG", "soft-lockup"]


def ping_pong(word: Any) -> None:
    """Two of these undo each other's work for ever, however fairly they take turns."""
    while word.n != 2:
        word.n = 1
        word.n = 0


@pytest.mark.parametrize("name", policies.NAMES)
def test_what_does_not_end_under_fair_scheduling_is_a_livelock(token: Token, name: str) -> None:
    m = Lab(2)
    m.max_steps = 2_000
    m.task("a", ping_pong)
    m.task("b", ping_pong, cpu=1)
    token.run(m, policies.make(name, Random(3), 20))
    assert kinds(m) == ["livelock"]
    assert m.steps == m.max_steps + 1


def test_a_free_running_livelock_ends_as_well(free: FreeCarrier, token: Token) -> None:
    m = Lab(2)
    m.max_steps = 500
    m.task("a", ping_pong)
    m.task("b", ping_pong, cpu=1)
    free.run(m)
    assert kinds(m) == ["livelock"]
    again = Lab(2)
    again.max_steps = 500
    again.task("a", ping_pong)
    again.task("b", ping_pong, cpu=1)
    token.run(again, policies.Replay(free.segments))
    assert again.findings[0].fingerprint == m.findings[0].fingerprint


def poller(word: Any) -> None:
    while not word.n:
        pass


def test_pct_starving_somebody_is_no_livelock(token: Token) -> None:
    """The poller has the higher priority in half of the runs, and there is no change point."""
    starved = 0
    for seed in range(20):
        m = Lab(2)
        m.max_steps = 400
        m.task("poller", poller)
        m.task("setter", lambda w: setattr(w, "n", 1), cpu=1)
        token.run(m, PCT(Random(seed), 1, 10))
        assert not m.findings
        starved += m.steps > m.max_steps // 2
        again = Lab(2)
        again.max_steps = 400
        again.task("poller", poller)
        again.task("setter", lambda w: setattr(w, "n", 1), cpu=1)
        token.run(again, policies.Replay(token.segments))
        assert (again.steps, again.findings) == (m.steps, [])
    assert 5 <= starved <= 15


def test_a_busy_wait_that_relaxes_does_not_starve_anybody(token: Token) -> None:
    def polite(word: Any) -> None:
        while not word.n:
            sched.cpu_relax()

    for seed in range(20):
        m = Lab(2)
        m.task("poller", polite)
        m.task("setter", lambda w: (w.m, w.m, setattr(w, "n", 1)), cpu=1)
        token.run(m, PCT(Random(seed), 1, 10))
        assert not m.findings
        assert m.steps <= 8


def test_a_recording_may_let_a_busy_waiter_go_on_alone(token: Token) -> None:
    """Free-running threads do: nobody has to have done anything between two of its turns."""
    m = Lab(2)

    def polite(word: Any) -> None:
        while not word.n:
            sched.cpu_relax()

    m.task("poller", polite)
    m.task("setter", lambda w: setattr(w, "n", 1), cpu=1)
    run(token, m, "poller3 setter poller")
    assert m.steps == 5
    assert not m.findings


def test_relaxing_for_ever_ends(token: Token) -> None:
    def forever(word: Any) -> None:
        while True:
            sched.cpu_relax()

    for policy in (RandomWalk(Random(1)), PCT(Random(1), 2, 10), RoundRobin()):
        m = Lab(1)
        m.max_steps = 300
        m.task("a", forever)
        token.run(m, policy)
        assert kinds(m) == ["livelock"]


def test_an_oops_ends_its_task_and_leaves_its_locks_held(token: Token) -> None:
    m = Locks(2)
    m.stop_on_first = False

    def dies(word: Any) -> None:
        flags = spinlock.spin_lock_irqsave(m.a)
        BUG("a.c:1")
        spinlock.spin_unlock_irqrestore(m.a, flags)

    m.task("a", dies)
    m.task("after", lambda w: (w.n, m.says(), m.says(f" irqs {int(sched.irqs_disabled())}")))
    run(token, m, "a2 after")
    assert m.trace == ["after", "after irqs 0"]  # its CPU goes on, interrupts on
    assert m.a.locked
    assert m.a.owner is m.contexts[0]
    assert m.contexts[0].died
    assert titles(m) == ["kernel BUG at a.c:1!"]


def test_an_oops_in_an_interrupt_is_a_panic(token: Token, free: FreeCarrier) -> None:
    for carrier, extra in ((token, (RandomWalk(Random(1)),)), (free, ())):
        m = Lab(2)
        m.stop_on_first = False
        m.task("a", lambda w: [w.n for _ in range(1000)])
        m.interrupt("irq", lambda w: (w.n, BUG("irq.c:1")), cpu=1)
        carrier.run(m, *extra)
        assert m.panicked
        assert m.steps < 1000
        assert titles(m) == ["kernel BUG at irq.c:1!"]
        assert m.findings[0].context == "hardirq"


def test_the_first_finding_ends_the_run_unless_it_is_to_go_on(token: Token) -> None:
    for stop, expected in ((True, 1), (False, 2)):
        m = Lab(2)
        m.stop_on_first = stop
        m.task("a", lambda w: (w.n, BUG("a.c:1")))
        m.task("b", lambda w: (w.n, BUG("b.c:1")), cpu=1)
        run(token, m, "a b")
        assert len(m.findings) == expected


def test_a_finding_knows_how_many_effects_came_before_it(token: Token) -> None:
    m = Lab(2)
    m.task("a", lambda w: (w.n, w.n, w.n, BUG("a.c:1")))
    m.task("b", steps(4), cpu=1)
    run(token, m, "a2 b3 a b")
    assert m.findings[0].step == 6
    assert m.steps == 6


def test_interrupts_off_for_ever_is_not_hidden(token: Token) -> None:
    """A pending interrupt that can never come in is no reason to call the run stuck."""
    m = Lab()
    m.task("a", lambda w: irqflags.local_irq_disable())
    m.interrupt("irq", steps(1))
    run(token, m, "a")
    assert not m.findings


def test_who_reports_nothing_leaves_no_trace(token: Token) -> None:
    word = Lab().vm
    m = Machine(1)
    with m.booted():
        m.spawn(steps(2), word, comm="a")
        token.run(m, RoundRobin())
    assert (m.findings, m.metrics, m.notes) == ([], {}, [])
