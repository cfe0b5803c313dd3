# SPDX-License-Identifier: GPL-2.0-only
"""What is kept from one decision to the next is what a look at the whole machine would say."""

from __future__ import annotations

from typing import Any

import pytest

from mmsim.engine import policy as policies
from mmsim.engine.choices import Choices
from mmsim.engine.execution import Token
from mmsim.engine.machine import Machine
from mmsim.engine.policy import RoundRobin
from mmsim.engine.seeds import stream
from mmsim.linux import sched, sleeplock, spinlock
from mmsim.linux.irqflags import local_irq_restore, local_irq_save, raise_irq
from tests.engine import fuzz
from tests.engine.lab import Lab, steps


class Checked(Choices):
    """Looks at the whole machine as well, at every decision."""

    decisions = 0

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._machine = machine

    def after(self, ran: Any) -> list[Any]:
        kept = super().after(ran)
        assert kept == self._machine.enabled()
        Checked.decisions += 1
        return kept


@pytest.fixture(autouse=True)
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsim.engine.execution.Choices", Checked)
    monkeypatch.setattr(Checked, "decisions", 0)


@pytest.mark.parametrize("start", range(0, 400, 40))
def test_random_programs(token: Token, start: int) -> None:
    for seed in range(start, start + 40):
        machine = fuzz.boot(seed, stop_on_first=bool(seed % 2))
        token.run(machine, policies.make("mix", stream(seed, "policy"), 60))
    assert Checked.decisions > 100


def test_every_way_in_which_another_cpu_changes_what_one_can_do(token: Token) -> None:
    """A lock it spins for, a wake-up, a sleeping lock, a timer, an interrupt that is raised."""
    lock = spinlock.spin_lock_init("lock")
    mutex = sleeplock.mutex_init("mutex")

    def build() -> Lab:
        m = Lab(3, preempt=True)
        late = m.interrupt("late", steps(2), cpu=1, armed=False)

        def busy(word: Any) -> None:
            for _ in range(3):
                flags = local_irq_save()
                spinlock.spin_lock(lock)
                word.n += 1
                spinlock.spin_unlock(lock)
                local_irq_restore(flags)
            sleeplock.mutex_lock(mutex)
            word.m = 1
            sleeplock.mutex_unlock(mutex)

        def sleeper(word: Any) -> None:
            sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
            sched.schedule_timeout(1.0)

        asleep = m.task("sleeper", sleeper, cpu=2)

        def waker(word: Any) -> None:
            raise_irq(late)
            sched.wake_up_process(asleep)
            busy(word)

        m.task("a", busy)
        m.task("b", busy, cpu=1)
        m.task("c", waker, cpu=2)
        return m

    for turn in range(1, 9):
        m = build()
        token.run(m, RoundRobin(turn))
        assert not m.findings
        assert all(ctx.state == 4 for ctx in m.contexts)
