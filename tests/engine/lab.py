# SPDX-License-Identifier: GPL-2.0-only
"""Small machines with hand-written schedules.

``order(m, "a2 irq1 b")`` is a schedule in names: task ``a`` performs two effects, the interrupt
``irq`` one, then ``b`` one.  A schedule that the rules of the machine forbid raises Diverged, which
is how these tests ask whether something *can* happen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

from mmsim.engine.door import current, door
from mmsim.engine.execution import Token
from mmsim.engine.machine import Machine
from mmsim.engine.policy import Policy, Replay
from mmsim.linux import spinlock
from mmsim.linux.watchdog import stuck
from mmsim.model.struct import Struct, shared


class Word(Struct):
    """One shared word, ``n``, and a second one, ``m``."""

    name = "word"
    n = shared(0)
    m = shared(0)


class Lab(Machine):
    """A machine with a word to fight for, ``vm``, and a trace of who came past where."""

    vm: Any

    def __init__(self, cpus: int = 1, **options: Any) -> None:
        options.setdefault("era", "5.17")
        super().__init__(cpus, **options)
        door.boot(self)  # until the next one is booted
        self.vm = Word()
        self.trace: list[str] = []
        self.on_stuck = stuck

    def says(self, what: str = "") -> None:
        """Called by a context: its name goes into the trace."""
        self.trace.append(f"{current().comm}{what}")

    def task(self, name: str, fn: Callable[[Any], Any], cpu: int = 0) -> Any:
        return self.spawn(fn, self.vm, comm=name, cpu=cpu)

    def interrupt(self, name: str, fn: Callable[[Any], Any], **options: Any) -> Any:
        return self.irq(fn, self.vm, comm=name, **options)


def order(machine: Machine, text: str) -> tuple[tuple[int, int], ...]:
    """Segments from names: "a2 irq1 b"."""
    ids = {ctx.comm: ctx.id for ctx in machine.contexts}
    segments = []
    for part in text.split():
        found = re.fullmatch(r"([a-z_]+)(\d*)", part)
        assert found, part
        segments.append((ids[found[1]], int(found[2] or 1)))
    return tuple(segments)


def run(token: Token, machine: Machine, text: str) -> None:
    """Run ``machine`` in exactly this order, then to its end."""
    token.run(machine, Replay(order(machine, text)))


def steps(n: int) -> Callable[[Any], None]:
    """A body of ``n`` effects that matter to nobody."""

    def body(word: Any) -> None:
        for _ in range(n):
            word.m  # noqa: B018

    return body


def increment(word: Any) -> None:
    """Load, point, store: the lost update."""
    value = word.n
    word.n = value + 1


def needs_the_lock(m: Lab) -> None:
    """Two tasks on two CPUs that take one lock."""
    lock = spinlock.spin_lock_init("lock")
    m.task("a", lambda w: (spinlock.spin_lock(lock), w.n, spinlock.spin_unlock(lock)))
    m.task("b", lambda w: (spinlock.spin_lock(lock), w.n, spinlock.spin_unlock(lock)), cpu=1)


def kinds(machine: Machine) -> list[str]:
    return [finding.kind for finding in machine.findings]


def titles(machine: Machine) -> list[str]:
    return [finding.title for finding in machine.findings]


class Only(Policy):
    """Whoever comes first in ``names`` and can run; a hand-written priority order."""

    def __init__(self, *names: str, quantum: int = 1) -> None:
        self._names = names
        self._quantum = quantum

    def pick(self, enabled: Sequence[Any], current: Any) -> Any:
        return min(enabled, key=lambda c: self._names.index(c.comm))

    def quantum(self, ctx: Any) -> int:
        return self._quantum


class _Branch(Policy):
    """Takes the choices of ``prefix``, then always the first, and notes how many there were."""

    fair = True

    def __init__(self, prefix: list[int]) -> None:
        self._prefix = prefix
        self.taken: list[tuple[int, int]] = []

    def pick(self, enabled: Sequence[Any], current: Any) -> Any:
        depth = len(self.taken)
        choice = self._prefix[depth] if depth < len(self._prefix) else 0
        self.taken.append((choice, len(enabled)))
        return enabled[choice]


def every_order(token: Token, build: Callable[[], Any]) -> Iterator[Any]:
    """Run what ``build`` boots once for every sequence of choices there is; yield each machine.

    Its ``probability`` is that of a random walk.
    """
    prefix: list[int] | None = []
    while prefix is not None:
        machine = build()
        branch = _Branch(prefix)
        token.run(machine, branch)
        machine.probability = 1 / prod(options for _, options in branch.taken)
        yield machine
        left = branch.taken
        while left and left[-1][0] + 1 == left[-1][1]:
            left.pop()
        prefix = [choice for choice, _ in left[:-1]] + [left[-1][0] + 1] if left else None
