# SPDX-License-Identifier: GPL-2.0-only
"""Orders written by hand: they are followed to the effect, and what cannot be followed is told."""

from __future__ import annotations

from typing import Any

import pytest

from mmsim.engine.execution import Token
from mmsim.engine.instruments import Instrument
from mmsim.engine.policy import Replay
from mmsim.errors import UsageError
from mmsim.linux import irqflags, sched, spinlock
from mmsim.linux.atomic import atomic_dec_and_test, atomic_inc
from mmsim.page import TestClearPageLRU
from mmsim.scenarios.api import (
    BLOCKED,
    END,
    NeverThere,
    Sequencer,
    Step,
    after,
    anon_page,
    before,
    memory,
    run,
)
from tests.engine.lab import Lab, increment, order, steps, titles

UNINTERRUPTIBLE = sched.TASK_UNINTERRUPTIBLE


def two(body: Any = increment, other: Any = None) -> Lab:
    """Tasks a and b on a CPU each."""
    m = Lab(2)
    m.task("a", body)
    m.task("b", other or body, cpu=1)
    return m


def refused(token: Token, m: Any, *script: Step) -> str:
    """What is said of a script that cannot be followed."""
    with pytest.raises(NeverThere) as error:
        token.run(m, Sequencer(*script))
    text = str(error.value)
    assert "\n" not in text
    return text


# -- where a step ends -----------------------------------------------------------------------------


def test_the_lost_update(token: Token) -> None:
    m = two()
    token.run(m, Sequencer(run("a", until=before("write n")), run("b"), run("a")))
    assert m.vm.v_n == 1
    assert token.segments == order(m, "a b2 a")


@pytest.mark.parametrize("nth", range(1, 8))
@pytest.mark.parametrize("place", [before, after])
def test_a_step_ends_at_the_effect(token: Token, place: Any, nth: int) -> None:
    m = two(steps(7), steps(2))
    token.run(m, Sequencer(run("a", until=place("read m", nth=nth)), run("b"), run("a")))
    first = nth - (place is before)
    words = [f"a{first}" * bool(first), "b2", f"a{7 - first}" * bool(7 - first)]
    expected = order(m, " ".join(word for word in words if word))
    assert tuple(s for s in token.segments if s[1]) == expected


def test_before_the_next_one_is_not_where_it_stands(token: Token) -> None:
    """A second ``before`` goes on; an ``after`` means the operation that it stands before."""
    m = two(steps(5), steps(3))
    next_read = before("read m")
    script = (
        run("a", until=next_read),
        run("a", until=next_read),  # one effect
        run("b", until=after("read m")),
        run("a", until=after("read m")),  # another
        run("b", until=next_read),  # it stands there, and nobody has named it yet
        run("a"),
    )
    token.run(m, Sequencer(*script))
    assert tuple(s for s in token.segments if s[1]) == order(m, "a b a4 b2")


def test_a_bit_and_its_verb(token: Token) -> None:
    m = Lab(2)
    with memory(m, pages=2) as vm:
        page = anon_page(vm)
        other = anon_page(vm)

    def clears() -> None:
        TestClearPageLRU(other)
        TestClearPageLRU(page)

    m.spawn(clears, comm="a")

    def looks() -> None:
        m.trace += ["lru" in one.flag_names() for one in (other, page)]

    m.spawn(looks, comm="b", cpu=1)
    place = before("test_and_clear lru", of=page.name)
    token.run(m, Sequencer(run("a", until=place), run("b"), run("a")))
    assert m.trace == [False, True]


def test_a_function_is_the_one_it_is_done_in_or_below(token: Token) -> None:
    def below(word: Any) -> None:
        word.m  # noqa: B018

    def middle(word: Any) -> None:
        below(word)

    for name in ("middle", "below"):
        m = two(lambda w: (below(w) if name == "middle" else w.m, middle(w)), steps(1))  # noqa: B023
        token.run(m, Sequencer(run("a", until=after("read m", function=name)), run("b"), run("a")))
        assert token.segments == order(m, "a2 b")


def test_a_second_attempt_at_a_lock_is_not_a_second_lock(token: Token) -> None:
    lock, other = (spinlock.spin_lock_init(name) for name in ("lock", "other"))

    def body(word: Any) -> None:
        for one in (lock, other):
            spinlock.spin_lock(one)
            spinlock.spin_unlock(one)

    m = Lab(3)
    for cpu, name in enumerate("ab"):
        m.task(name, body, cpu)
    m.task("c", steps(1), 2)
    script = (
        run("a", until=after("lock")),
        run("b", until=BLOCKED),
        run("a"),
        run("b", until=before("lock")),  # of the other one
        run("c"),
        run("b"),
    )
    token.run(m, Sequencer(*script))
    assert tuple(s for s in token.segments if s[1]) == order(m, "a4 b2 c b2")


def test_a_primitive_is_a_name_of_its_operation(token: Token) -> None:
    def body(word: Any) -> None:
        atomic_inc(word, "n")
        atomic_dec_and_test(word, "n")

    m = two(body, steps(1))
    place = before("atomic_dec_and_test n")
    token.run(m, Sequencer(run("a", until=place), run("b"), run("a")))
    assert token.segments == order(m, "a b a")


def test_as_far_as_it_goes(token: Token) -> None:
    """It sleeps, it spins, or it has returned: each is the end of a step that says BLOCKED."""
    lock = spinlock.spin_lock_init("lock")

    def sleeps(word: Any) -> None:
        sched.set_current_state(UNINTERRUPTIBLE)
        sched.schedule()
        m.says()

    def spins(word: Any) -> None:
        spinlock.spin_lock(lock)
        m.says()
        spinlock.spin_unlock(lock)

    m = Lab(3)
    a = m.task("a", sleeps)
    m.task("b", lambda w: (spinlock.spin_lock(lock), sched.wake_up_process(a), m.says()), cpu=1)
    m.task("c", spins, cpu=2)
    far = [run(name, until=BLOCKED) for name in "abc"]
    token.run(m, Sequencer(far[0], run("b", until=after("lock")), far[2], far[1], far[0], far[0]))
    assert m.trace == ["b", "a"]
    assert len(m.findings) == 1, "b has kept the lock, and c waits for it"


def test_a_lock_that_is_taken_is_waited_for(token: Token) -> None:
    """An attempt that fails is no effect: ``after`` means that the lock is had."""
    lock = spinlock.spin_lock_init("lock")

    def body(word: Any) -> None:
        spinlock.spin_lock(lock)
        m.says()
        spinlock.spin_unlock(lock)

    m = two(body)
    script = (
        run("a", until=after("lock")),
        run("b", until=BLOCKED),
        run("a"),
        run("b", until=after("lock")),
        run("b"),
    )
    token.run(m, Sequencer(*script))
    assert m.trace == ["a", "b"]
    m = two(body)
    said = refused(token, m, run("a", until=after("lock")), run("b", until=after("lock")))
    assert "b does not come there: it spins in body" in said
    assert "for lock, which a has" in said


def test_an_interrupt_is_a_context_like_any_other(token: Token) -> None:
    m = Lab(1)
    m.task("a", steps(3))
    m.interrupt("irq", steps(2))
    script = (
        run("a", until=after("read m")),
        run("irq", until=after("read m")),
        run("irq"),
        run("a"),
    )
    token.run(m, Sequencer(*script))
    assert token.segments == order(m, "a irq2 a2")


def test_an_interrupt_that_is_raised_again_has_come_to_its_end(token: Token) -> None:
    m = Lab(2)
    line = m.interrupt("irq", steps(2), armed=False, cpu=1)
    m.task("a", lambda w: (irqflags.raise_irq(line), irqflags.raise_irq(line)))
    raised = after(function="raise_irq")
    script = (
        run("a", until=raised),
        run("irq", until=after("read m")),
        run("a"),  # while it is handled: it is handled once more
        run("irq"),
        run("irq"),
    )
    token.run(m, Sequencer(*script))
    assert token.segments == order(m, "a irq a irq3")


def test_a_task_that_is_forked_meanwhile_has_its_step(token: Token) -> None:
    m = Lab(2)
    m.task("a", lambda w: (m.spawn(increment, w, comm="child", cpu=1), w.n, w.n))
    script = run("a", until=before("read n")), run("child"), run("a")
    token.run(m, Sequencer(*script))
    assert m.vm.v_n == 1


# -- what comes of it ------------------------------------------------------------------------------


def test_it_is_the_same_on_every_carrier_and_when_it_is_used_again(
    token: Token, green: Token
) -> None:
    script = Sequencer(run("a", until=before("write n")), run("b"))
    seen = set()
    for carrier, heard in ((token, []), (green, []), (token, [Instrument()])):
        m = two()
        m.instruments += heard
        carrier.run(m, script)
        assert script.finished
        seen.add((m.vm.v_n, carrier.segments))
    assert len(seen) == 1
    m = two()
    token.run(m, Replay(seen.pop()[1]))
    assert m.vm.v_n == 1


def test_what_comes_after_the_script_is_run_in_turns(token: Token) -> None:
    m = two(steps(100))
    token.run(m, Sequencer(run("a", until=after("read m"))))
    assert m.steps == 200


def test_a_finding_ends_the_run_and_the_script(token: Token) -> None:
    def dies(word: Any) -> None:
        word.n  # noqa: B018
        spinlock.spin_unlock(spinlock.spin_lock_init("lock"))

    m = two(dies, steps(1))
    m.config = {"DEBUG_SPINLOCK": True}
    token.run(m, Sequencer(run("a"), run("b", until=before("nothing like it"))))
    assert titles(m) == ["BUG: spinlock already unlocked"]


# -- what cannot be --------------------------------------------------------------------------------


def test_it_says_where_the_program_went_instead(token: Token) -> None:
    place = before("writ n", function="incremen")
    said = refused(token, two(), run("b"), run("a", until=place), run("b"))
    assert said.startswith(
        "step 2 of 3, run('a', until=before('writ n', function='incremen')): "
        "a does not come there: it has returned; "
        "nearest: write n of word in increment (lab.py:"
    )


def test_too_few_times(token: Token) -> None:
    said = refused(token, two(steps(2)), run("a", until=after("read m", nth=3)))
    assert "a does not come there 3 times, but 2: it has returned" in said


def test_a_step_that_meets_a_sleeper(token: Token) -> None:
    def sleeps(word: Any) -> None:
        sched.set_current_state(UNINTERRUPTIBLE)
        sched.schedule()

    said = refused(token, two(sleeps, steps(1)), run("a"))
    assert "a does not come to its end: it sleeps in sleeps (test_sequencer.py:" in said


def test_a_cpu_that_is_taken(token: Token) -> None:
    m = Lab(1)
    m.task("a", steps(3))
    m.task("b", steps(3))
    said = refused(token, m, run("a", until=after("read m")), run("b"))
    assert "b does not come to its end: it cannot go on: a has CPU0" in said


def test_an_interrupt_that_cannot_come(token: Token) -> None:
    m = Lab(1)
    m.task("a", lambda w: (irqflags.local_irq_disable(), w.n))
    m.interrupt("irq", steps(1))
    said = refused(token, m, run("a", until=after("irq-off")), run("irq"))
    assert (
        "irq does not come to its end: it is not let in: CPU0, where a runs, has it masked" in said
    )
    m = Lab(1)
    m.task("a", steps(1))
    m.interrupt("irq", steps(1), armed=False)
    assert "it has not been raised" in refused(token, m, run("irq"))


def test_a_task_that_has_gone(token: Token) -> None:
    said = refused(token, two(), run("a"), run("b"), run("a"))
    assert said.startswith("step 3 of 3, run('a'): a does not come to its end: it had returned")


def test_a_loop(token: Token) -> None:
    def tries(word: Any) -> None:
        while not spinlock.spin_trylock(lock):
            pass

    for most in (100_000, 1000):  # with few steps in all a fair policy takes over, and it ends
        lock = spinlock.spin_lock_init("lock")
        m = two(lambda w, lock=lock: (spinlock.spin_lock(lock), spinlock.spin_unlock(lock)), tries)
        m.max_steps = most
        said = refused(token, m, run("a", until=after("lock")), run("b"))
        assert "b does not come to its end: it goes on and on in tries" in said


def test_a_busy_wait_is_none(token: Token) -> None:
    def waits(word: Any) -> None:
        while not word.n:
            sched.cpu_relax()

    said = refused(token, two(waits, increment), run("a"))
    assert "it waits in waits" in said
    assert "cpu_relax()" in said
    m = Lab(1)
    m.task("a", waits)
    assert "it waits in waits" in refused(token, m, run("a")), "with nobody else there, too"
    m = two(waits, increment)
    token.run(m, Sequencer(run("a", until=BLOCKED), run("b"), run("a")))
    assert not m.findings


def test_names(token: Token) -> None:
    said = refused(token, two(), run("aa"))
    assert said == "step 1 of 1, run('aa'): nobody has that name (nearest: a)"
    m = two()
    m.task("a", increment)
    said = refused(token, m, run("a"))
    assert "there are 2 of that name: a/100, a/102" in said
    m = two()
    m.task("a", increment)
    token.run(m, Sequencer(run("a/102"), run("a/100")))
    assert m.vm.v_n == 3


def test_what_is_no_script() -> None:
    with pytest.raises(UsageError, match="takes steps"):
        Sequencer()
    with pytest.raises(UsageError, match="takes steps"):
        Sequencer("a2 b")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"before\(\) has to name"):
        before(" ")
    with pytest.raises(UsageError, match="nth is 0"):
        after("lock", nth=0)
    assert str(run("a")) == "run('a')" == str(run("a", until=END))
