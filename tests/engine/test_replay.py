# SPDX-License-Identifier: GPL-2.0-only
"""A schedule says everything about a run: between carriers, with a listener, to any kind of end.

The programs are random (fuzz.py): what two runs have to agree on is every value any context saw.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import pytest

from mmsim.engine import policy as policies
from mmsim.engine.carriers.free import FreeCarrier
from mmsim.engine.carriers.threads import threads
from mmsim.engine.events import Event
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Events
from mmsim.engine.machine import Machine
from mmsim.engine.policy import RandomWalk, Replay, RoundRobin
from mmsim.engine.schedule import Diverged, join
from mmsim.engine.seeds import stream
from mmsim.linux import sched, spinlock
from mmsim.linux.bug import BUG
from tests.engine import fuzz
from tests.engine.lab import Lab, needs_the_lock, order, run, steps, titles

Segments = tuple[tuple[int, int], ...]


def effects(segments: Segments) -> Segments:
    """Without the segments of no effects, which one carrier may need to name and another not."""
    return join(segment for segment in segments if segment[1])


@cache
def record(token: Token, seed: int) -> tuple[Any, Segments]:
    """A run of the program with this seed; kept, as several tests follow it."""
    machine = fuzz.boot(seed)
    token.run(machine, policies.make("mix", stream(seed, "policy"), 60))
    return fuzz.outcome(machine), token.segments


def followed(token: Token, seed: int, segments: Segments) -> tuple[Any, Segments]:
    machine = fuzz.boot(seed)
    token.run(machine, Replay(segments))
    return fuzz.outcome(machine), token.segments


TENS = range(0, 120, 10)


@pytest.mark.parametrize("start", TENS)
def test_token_to_token(token: Token, start: int) -> None:
    for seed in range(start, start + 10):
        outcome, segments = record(token, seed)
        assert followed(token, seed, segments) == (outcome, segments), seed


@pytest.mark.parametrize("start", TENS)
def test_listening_changes_nothing(token: Token, start: int) -> None:
    for seed in range(start, start + 10):
        outcome, segments = record(token, seed)
        machine = fuzz.boot(seed)
        events: list[Event] = []
        machine.instruments.append(Events(events.append))
        token.run(machine, Replay(segments))
        assert (fuzz.outcome(machine), token.segments) == (outcome, segments), seed
        told = [event for event in events if event.kind not in ("irq-enter", "irq-exit", "exit")]
        assert [event.step for event in told] == list(range(1, machine.steps + 1)), seed
        assert join((event.entity, 1) for event in told) == effects(segments), seed


@pytest.mark.parametrize("start", range(0, 80, 10))
def test_free_to_token(token: Token, free: FreeCarrier, start: int) -> None:
    for seed in range(start, start + 10):
        machine = fuzz.boot(seed)
        free.run(machine, q=0.3)
        outcome, segments = followed(token, seed, free.segments)
        assert outcome == fuzz.outcome(machine), seed
        assert effects(segments) == effects(free.segments), seed


@pytest.mark.parametrize("start", range(0, 80, 10))
def test_threads_to_greenlets(token: Token, green: Token, start: int) -> None:
    """The same decisions: the same seed and policy give the same run, and a line its replay."""
    for seed in range(start, start + 10):
        recorded = record(token, seed)
        assert record(green, seed) == recorded, seed
        assert followed(green, seed, recorded[1]) == recorded, seed


# Whose turn it is may have its CPU already, may be waiting for time to pass, or for somebody who
# has to be let in without an effect, or may just not have seen yet that its lock is free.
HARD = (206131, 214101, 222587, 409855, 412011, 512867, 568689, 632007, 637869, 706751)


@pytest.mark.parametrize("seed", [*HARD, *range(8)])
def test_free_to_token_where_it_is_hard(token: Token, free: FreeCarrier, seed: int) -> None:
    machine = fuzz.boot(seed)
    free.run(machine, q=0.125)
    outcome, segments = fuzz.outcome(machine), free.segments
    again, followed_segments = followed(token, seed, segments)
    assert again == outcome
    assert effects(followed_segments) == effects(segments)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 3000, 50))
def test_all_directions_at_length(
    token: Token, green: Token, free: FreeCarrier, start: int
) -> None:
    for seed in range(start, start + 50, 10):
        test_token_to_token(token, seed)
        test_listening_changes_nothing(token, seed)
        test_free_to_token(token, free, seed)
        test_threads_to_greenlets(token, green, seed)


def test_the_programs_cover_what_they_should(token: Token) -> None:
    """Otherwise the tests above would agree about nothing."""
    kinds: set[str] = set()
    entered: set[str] = set()
    clock = 0.0
    for seed in range(300):
        machine = fuzz.boot(seed)
        token.run(machine, policies.make("mix", stream(seed, "policy"), 60))
        kinds.update(finding.kind for finding in machine.findings)
        by_id = {ctx.id: ctx for ctx in machine.contexts}
        entered.update(by_id[id].kind for id, n in token.segments if n)
        clock += machine.clock.now
    assert kinds >= {"deadlock", "hung-task", "atomic-sleep", "spinlock", "BUG"}
    assert entered == {"task", "softirq", "hardirq"}
    assert clock > 0


# -- where a run ends --------------------------------------------------------------------------


def test_the_effects_before_a_finding_are_in_the_recording(token: Token) -> None:
    """A run that is cut off by a finding still owes its last segment."""
    m = Lab(2)
    m.task("a", lambda w: (w.n, w.n, BUG("a.c:1")))
    m.task("b", steps(9), cpu=1)
    token.run(m, RoundRobin(5))
    assert token.segments == order(m, "a2")


def finds_without_an_effect(m: Lab) -> None:
    m.task("a", steps(3))
    m.task("b", lambda w: BUG("b.c:1"), cpu=1)
    m.task("c", lambda w: (w.n, w.n, BUG("c.c:1")), cpu=2)


def test_a_finding_before_the_first_effect(token: Token, green: Token) -> None:
    m = Lab(3)
    finds_without_an_effect(m)
    run(token, m, "a2 c b0")
    assert titles(m) == ["kernel BUG at b.c:1!"]
    recorded = token.segments
    assert recorded == (*order(m, "a2 c"), (1, 0))
    for carrier in (token, green):
        again = Lab(3)
        finds_without_an_effect(again)
        carrier.run(again, Replay(recorded))
        assert titles(again) == ["kernel BUG at b.c:1!"]
        assert again.findings[0].step == 3
        assert carrier.segments == recorded


def test_of_two_findings_at_once_the_one_whose_effect_came_first_counts(
    token: Token, free: FreeCarrier
) -> None:
    """Free-running contexts come late to report; a replay reports at once."""

    def build(seed: int) -> Lab:
        m = Lab(4, seed=seed)
        for i, name in enumerate("abcd"):

            def body(word: Any, name: str = name) -> None:
                word.n  # noqa: B018
                BUG(f"{name}.c:1")

            m.task(name, body, cpu=i)
        return m

    found = set()
    for seed in range(60):
        m = build(seed)
        free.run(m, q=0.5)
        assert len(m.findings) == 1
        assert m.steps == m.findings[0].step == sum(n for _, n in free.segments)
        again = build(seed)
        token.run(again, Replay(free.segments))
        assert titles(again) == titles(m)
        found.add(m.findings[0].title)
    assert len(found) > 1


def test_who_stands_under_a_stuck_interrupt_belongs_to_the_recording(
    token: Token, green: Token
) -> None:
    """``a`` comes as far as its first lock and is interrupted there for ever."""

    def build() -> Lab:
        m = Lab(2)
        lock = spinlock.spin_lock_init("lock")
        other = spinlock.spin_lock_init("other")

        def leaves_both_locked(word: Any) -> None:
            spinlock.spin_lock(lock)
            spinlock.spin_lock(other)

        m.task("a", lambda w: spinlock.spin_lock(lock))
        m.interrupt("irq", lambda w: (w.n, spinlock.spin_lock(other)), cpu=0)
        m.task("b", leaves_both_locked, cpu=1)
        return m

    m = build()
    run(token, m, "b2 a0 irq")
    assert titles(m) == ["soft lockup - CPU stuck on lock"]
    recorded = token.segments
    for carrier in (token, green):
        again = build()
        carrier.run(again, Replay(recorded))
        assert again.findings[0].fingerprint == m.findings[0].fingerprint
        assert effects(carrier.segments) == effects(recorded)


def test_who_has_a_cpu_and_never_came_to_an_effect_keeps_others_from_it(
    token: Token,
) -> None:
    def build() -> Lab:
        m = Lab(2)
        lock = spinlock.spin_lock_init("lock")
        m.task("b", lambda w: spinlock.spin_lock(lock), cpu=1)
        m.task("other", steps(3))
        m.task("a", lambda w: spinlock.spin_lock(lock))
        return m

    m = build()
    run(token, m, "b a0")
    # nothing but the last segment keeps ``other`` from running
    assert m.steps == 1
    again = build()
    token.run(again, Replay(token.segments))
    assert again.steps == 1


def test_going_on_past_a_finding_is_fair(token: Token) -> None:
    """After the recording everybody gets a turn: a poller alone would poll for ever."""
    m = Lab(3)
    m.stop_on_first = False
    m.max_steps = 5_000

    def poller(word: Any) -> None:
        while not word.n:
            pass

    m.task("poller", poller)
    m.task("b", lambda w: (w.m, BUG("b.c:1")), cpu=1)
    m.task("setter", lambda w: (w.m, setattr(w, "n", 1)), cpu=2)
    token.run(m, Replay(order(m, "poller2 b")))
    assert titles(m) == ["kernel BUG at b.c:1!"]


# -- going on without an effect ----------------------------------------------------------------


def test_a_timer_that_waited_for_somebody_who_did_nothing(token: Token, green: Token) -> None:
    """Time passes when nobody can run.  ``b`` could, and returned at once: no effect tells."""

    def build() -> Lab:
        m = Lab(2)

        def sleeper(word: Any) -> None:
            sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
            sched.schedule_timeout(1.0)
            word.n  # noqa: B018

        m.task("a", sleeper)
        m.task("b", lambda w: m.says(), cpu=1)
        return m

    m = build()
    token.run(m, RoundRobin())
    recorded = token.segments
    assert recorded == ((0, 3),)
    for carrier in (token, green):
        again = build()
        carrier.run(again, Replay(recorded))
        assert (again.clock.now, again.trace, carrier.segments) == (1.0, ["b"], recorded)


def test_busy_waiting_is_replayed_turn_by_turn(token: Token, free: FreeCarrier) -> None:
    """A free-running poller goes on although nobody else did anything."""

    def build(seed: int) -> Lab:
        m = Lab(2, seed=seed)

        def poller(word: Any) -> None:
            for _ in range(5):
                if word.n:
                    break
                sched.cpu_relax()

        m.task("poller", poller)
        m.task("setter", lambda w: (w.m, setattr(w, "n", 1)), cpu=1)
        return m

    for seed in range(30):
        m = build(seed)
        free.run(m, q=0.3)
        again = build(seed)
        token.run(again, Replay(free.segments))
        assert token.segments == free.segments


# -- what does not fit -------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a b a2", "a3 a b3", "a4"])
def test_an_impossible_order_is_refused(token: Token, text: str) -> None:
    m = Lab(2)
    needs_the_lock(m)
    with pytest.raises(Diverged, match=r"step \d+: context \d cannot run here"):
        run(token, m, text)


def test_contexts_that_do_not_exist_are_refused(token: Token) -> None:
    m = Lab(2)
    needs_the_lock(m)
    with pytest.raises(Diverged):
        token.run(m, Replay(((7, 1),)))


def test_a_carrier_is_as_good_as_new_after_a_refusal(token: Token, free: FreeCarrier) -> None:
    for _ in range(3):
        m = Lab(2)
        needs_the_lock(m)
        with pytest.raises(Diverged):
            run(token, m, "a b")
        m = Lab(2)
        needs_the_lock(m)
        run(token, m, "b a0 b2 a3")
        assert token.segments == order(m, "b a0 b2 a3")


# -- the same seed -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", policies.NAMES)
def test_the_same_seed_gives_the_same_run(token: Token, name: str) -> None:
    def runs(make: Callable[[int], Random]) -> list[Any]:
        out = []
        for seed in range(25):
            machine = fuzz.boot(seed)
            token.run(machine, policies.make(name, make(seed), 60))
            out.append((token.segments, fuzz.outcome(machine)))
        return out

    first = runs(lambda seed: stream(seed, "policy"))
    assert runs(lambda seed: stream(seed, "policy")) == first
    assert runs(lambda seed: stream(seed + 1, "policy")) != first


def test_a_run_does_not_depend_on_those_before_it(token: Token) -> None:
    alone = threads()
    try:
        for seed in (200, 7, 31):
            machine = fuzz.boot(seed)
            alone.run(machine, RandomWalk(stream(seed, "policy")))
            expected = (alone.segments, fuzz.outcome(machine))
            for other in range(5):
                token.run(fuzz.boot(other), RandomWalk(Random(other)))
            machine = fuzz.boot(seed)
            token.run(machine, RandomWalk(stream(seed, "policy")))
            assert (token.segments, fuzz.outcome(machine)) == expected
    finally:
        alone.close()


def test_the_clock_jumps_alike(token: Token, free: FreeCarrier) -> None:
    """Sleepers wake in the order of their timers, whoever carries them."""

    def build() -> Machine:
        m = Lab(3)
        for i, seconds in enumerate((3.0, 1.0, 2.0)):

            def body(word: Any, seconds: float = seconds) -> None:
                sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
                sched.schedule_timeout(seconds)
                m.says(f" {m.clock.now}")

            m.task("abc"[i], body, cpu=i)
        return m

    for carrier, extra in ((token, (RoundRobin(),)), (free, ())):
        m = build()
        carrier.run(m, *extra)
        assert m.trace == ["b 1.0", "c 2.0", "a 3.0"]
