# SPDX-License-Identifier: GPL-2.0-only
"""What a listener is told of a run: every effect, by whom and where, and nothing that is alive."""

from __future__ import annotations

from typing import Any

import pytest

from mmsim.engine.context import HARDIRQ
from mmsim.engine.events import Event
from mmsim.engine.execution import Token
from mmsim.engine.instruments import Events
from mmsim.engine.policy import RoundRobin
from mmsim.linux import spinlock
from tests.engine.lab import Lab, increment, needs_the_lock, run


def test_what_a_listener_is_told(token: Token) -> None:
    m = Lab(2)
    events: list[Event] = []
    m.instruments.append(Events(events.append))
    lock = spinlock.spin_lock_init("lock")

    def body(word: Any) -> None:
        flags = spinlock.spin_lock_irqsave(lock)
        increment(word)
        spinlock.spin_unlock_irqrestore(lock, flags)

    m.task("a", body)
    m.interrupt("irq", increment, cpu=1)
    run(token, m, "a2 irq a4")
    kinds = [(e.kind, e.comm, e.cpu, e.context, e.obj, e.label, e.func) for e in events]
    assert kinds[:6] == [
        ("irq-off", "a", 0, "task", "Cpu", "irqs", "body"),
        ("lock", "a", 0, "task", "lock", "locked", "body"),
        ("irq-enter", "irq", 1, HARDIRQ, "", "", ""),
        ("read", "irq", 1, HARDIRQ, "word", "n", "increment"),
        ("read", "a", 0, "task", "word", "n", "increment"),
        ("write", "a", 0, "task", "word", "n", "increment"),
    ]
    assert [e.step for e in events[:6]] == [1, 2, 2, 3, 4, 5]
    assert ("exit", "a") in [(e.kind, e.comm) for e in events]


def test_a_failed_attempt_at_a_lock_is_no_event(token: Token) -> None:
    m = Lab(2)
    events: list[Event] = []
    m.instruments.append(Events(events.append))
    needs_the_lock(m)
    run(token, m, "a b0 a2 b3")
    assert [(e.comm, e.kind) for e in events if e.kind == "lock"] == [("a", "lock"), ("b", "lock")]


def test_a_name_may_look_at_shared_fields(token: Token) -> None:
    """Making an event passes no point."""

    class Curious(type(Lab().vm)):  # type: ignore[misc]
        @property
        def name(self) -> str:
            return f"word {self.n}"

    m = Lab()
    m.vm = Curious()
    events: list[Event] = []
    m.instruments.append(Events(events.append))
    m.task("a", increment)
    token.run(m, RoundRobin())
    assert [event.obj for event in events[:2]] == ["word 0", "word 1"]
    assert m.steps == 2


def test_a_listener_that_raises_ends_the_run_with_its_error(token: Token) -> None:
    def listener(event: Event) -> None:
        if event.kind == "exit":
            raise ZeroDivisionError

    m = Lab(2)
    m.instruments.append(Events(listener))
    m.task("a", increment)
    m.task("b", increment, cpu=1)
    with pytest.raises(ZeroDivisionError):
        token.run(m, RoundRobin())
