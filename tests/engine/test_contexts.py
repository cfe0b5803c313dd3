# SPDX-License-Identifier: GPL-2.0-only
"""Tasks, softirqs and hardirqs: what may run on top of what, and when a CPU lets it in.

``run`` follows a schedule by name and raises Diverged where the machine does not allow it.
"""

from __future__ import annotations

from typing import Any

from mmsim.engine.context import SOFTIRQ
from mmsim.engine.door import current
from mmsim.engine.execution import Token
from mmsim.engine.policy import RandomWalk
from mmsim.engine.schedule import Diverged
from mmsim.engine.seeds import stream
from mmsim.linux import irqflags, sched, spinlock
from tests.engine.lab import Lab, increment, run, steps


def can(token: Token, m: Lab, text: str) -> bool:
    try:
        run(token, m, text)
    except Diverged:
        return False
    return True


def test_an_interrupt_lands_at_any_point_of_its_cpu(token: Token) -> None:
    for text in ("irq2 a2", "a irq2 a", "a2 irq2"):
        m = Lab()
        m.task("a", increment)
        m.interrupt("irq", increment)
        run(token, m, text)
        assert m.vm.v_n == (1 if text == "a irq2 a" else 2)


def test_an_interrupt_runs_on_the_stack_of_the_task_below_it(token: Token) -> None:
    m = Lab()
    hosts = []

    def body(word: Any) -> None:
        word.n  # noqa: B018
        hosts.append(current().host)
        word.n  # noqa: B018

    m.task("a", body)
    m.interrupt("irq", body)
    run(token, m, "a irq2 a")
    assert hosts[0] is hosts[1]


def test_the_task_waits_until_its_interrupt_returns(token: Token) -> None:
    m = Lab()
    m.task("a", steps(2))
    m.interrupt("irq", steps(2))
    assert not can(token, m, "a irq a irq")


def test_interrupts_off_keep_a_hardirq_out(token: Token) -> None:
    def body(word: Any) -> None:
        irqflags.local_irq_disable()
        word.n  # noqa: B018
        irqflags.local_irq_enable()

    for text, allowed in (
        ("irq a3", True),
        ("a irq a2", False),
        ("a2 irq a", False),
        ("a3 irq", True),
    ):
        m = Lab()
        m.task("a", body)
        m.interrupt("irq", steps(1))
        assert can(token, m, text) is allowed, text


def test_interrupts_of_another_cpu_are_its_own_affair(token: Token) -> None:
    m = Lab(2)
    m.task("a", lambda w: irqflags.local_irq_disable())
    m.task("b", steps(2), cpu=1)
    m.interrupt("irq", steps(1), cpu=1)
    assert can(token, m, "a b irq b")


def test_a_handler_starts_with_interrupts_off_and_they_are_back_after_it(
    token: Token,
) -> None:
    m = Lab()
    seen = []

    def handler(word: Any) -> None:
        seen.append(sched.irqs_disabled())
        word.n  # noqa: B018

    m.task("a", lambda w: (w.n, w.n, seen.append(sched.irqs_disabled())))
    m.interrupt("irq", handler)
    run(token, m, "a irq a")
    assert seen == [True, False]


def test_no_second_hardirq_inside_a_hardirq(token: Token) -> None:
    for text, allowed in (("irq other irq", False), ("irq2 other", True)):
        m = Lab()
        m.interrupt("irq", steps(2))
        m.interrupt("other", steps(1))
        assert can(token, m, text) is allowed, text


def test_a_softirq_can_be_interrupted_by_a_hardirq_but_not_the_other_way_round(
    token: Token,
) -> None:
    for text, allowed in (("soft hard2 soft", True), ("hard soft2 hard", False)):
        m = Lab()
        m.task("a", steps(1))
        m.interrupt("soft", steps(2), kind=SOFTIRQ)
        m.interrupt("hard", steps(2))
        assert can(token, m, text) is allowed, text


def test_a_softirq_does_not_interrupt_a_softirq(token: Token) -> None:
    m = Lab()
    m.interrupt("soft", steps(2), kind=SOFTIRQ)
    m.interrupt("other", steps(2), kind=SOFTIRQ)
    assert not can(token, m, "soft other2 soft")


def test_three_levels_on_one_stack(token: Token) -> None:
    m = Lab()
    depth = []

    def look(word: Any) -> None:
        word.n  # noqa: B018
        cpu = current().cpu
        depth.append((sched.in_interrupt(), sched.in_irq(), len(cpu.stack)))
        word.n  # noqa: B018

    m.task("a", look)
    m.interrupt("soft", look, kind=SOFTIRQ)
    m.interrupt("hard", look)
    run(token, m, "a soft hard2 soft a")
    assert depth == [(False, False, 0), (True, False, 1), (True, True, 2)]


def test_bottom_halves_off_keep_softirqs_out_and_let_hardirqs_in(token: Token) -> None:
    def body(word: Any) -> None:
        irqflags.local_bh_disable()
        irqflags.local_bh_disable()
        irqflags.local_bh_enable()
        irqflags.local_bh_enable()

    for text, allowed in (
        ("a soft", False),
        ("a3 soft", False),
        ("a4 soft", True),
        ("a hard", True),
    ):
        m = Lab()
        m.task("a", body)
        m.interrupt("soft", steps(1), kind=SOFTIRQ)
        m.interrupt("hard", steps(1))
        assert can(token, m, text) is allowed, text


def test_interrupts_off_keep_softirqs_out_as_well(token: Token) -> None:
    m = Lab()
    m.task("a", lambda w: (irqflags.local_irq_disable(), irqflags.local_irq_enable()))
    m.interrupt("soft", steps(1), kind=SOFTIRQ)
    assert not can(token, m, "a soft a")


def test_an_interrupt_needs_no_task(token: Token) -> None:
    m = Lab(2)
    m.task("a", steps(2))
    m.interrupt("irq", increment, cpu=1)
    run(token, m, "a irq a irq")
    assert m.vm.v_n == 1


def test_an_interrupt_on_a_cpu_whose_tasks_are_gone(token: Token) -> None:
    m = Lab()
    m.task("a", steps(1))
    m.task("b", steps(1))
    m.interrupt("irq", increment)
    run(token, m, "a b irq2")
    assert m.vm.v_n == 1


def test_an_interrupt_on_a_cpu_whose_task_sleeps_and_which_it_wakes(token: Token) -> None:
    m = Lab()

    def sleeper(word: Any) -> None:
        sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
        sched.schedule()
        m.says(" woken")

    a = m.task("a", sleeper)
    m.interrupt("irq", lambda w: (m.says(), sched.wake_up_process(a), w.n))
    run(token, m, "a2 irq2")
    assert m.trace == ["irq", "a woken"]
    assert not m.findings


def test_the_woken_task_waits_for_the_interrupt_that_woke_it(token: Token) -> None:
    m = Lab()

    def sleeper(word: Any) -> None:
        sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
        sched.schedule()
        word.n  # noqa: B018

    a = m.task("a", sleeper)
    m.interrupt("irq", lambda w: (sched.wake_up_process(a), w.n))
    assert not can(token, m, "a2 irq a irq")


def test_an_interrupt_on_a_spinning_cpu(token: Token) -> None:
    """A spinner has its interrupts as it left them."""
    lock = spinlock.spin_lock_init("lock")

    def holder(word: Any) -> None:
        spinlock.spin_lock(lock)
        word.n  # noqa: B018
        spinlock.spin_unlock(lock)

    m = Lab(2)
    m.task("a", holder)
    m.task("b", lambda w: (spinlock.spin_lock(lock), spinlock.spin_unlock(lock)), cpu=1)
    m.interrupt("irq", increment, cpu=1)
    run(token, m, "a irq2 a2 b2")
    assert m.vm.v_n == 1


def test_an_unarmed_line_fires_only_when_raised(token: Token) -> None:
    for text, allowed in (("irq a b", False), ("a irq b", True)):
        m = Lab(2)
        line = m.interrupt("irq", steps(1), cpu=1, armed=False)
        m.task("a", lambda w, line=line: irqflags.raise_irq(line))
        m.task("b", steps(1), cpu=1)
        assert can(token, m, text) is allowed, text


def test_an_interrupt_fires_once(token: Token) -> None:
    m = Lab()
    m.task("a", steps(3))
    m.interrupt("irq", lambda w: (w.n, m.says()))
    token.run(m, RandomWalk(stream(1, "policy")))
    assert m.trace == ["irq"]


def test_a_handler_may_turn_interrupts_on_and_be_interrupted(token: Token) -> None:
    m = Lab()
    m.interrupt("irq", lambda w: (irqflags.local_irq_enable(), w.n))
    m.interrupt("other", steps(1))
    assert can(token, m, "irq other irq")


def test_save_and_restore_nest(token: Token) -> None:
    m = Lab()
    states = []

    def body(word: Any) -> None:
        outer = irqflags.local_irq_save()
        inner = irqflags.local_irq_save()
        irqflags.local_irq_restore(inner)
        states.append(sched.irqs_disabled())
        irqflags.local_irq_restore(outer)
        states.append(sched.irqs_disabled())

    m.task("a", body)
    run(token, m, "a4")
    assert states == [True, False]
