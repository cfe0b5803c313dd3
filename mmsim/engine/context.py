# SPDX-License-Identifier: GPL-2.0-only
"""Contexts and CPUs: what can be running, and where.

A *context* is a task, a softirq or a hardirq: one thing the policy can choose.  A task has a
Python stack of its own (its *host*), because it may sleep while another task of the same CPU runs.
An interrupt has none: it runs on the stack of whatever its CPU was doing, as on a real machine.  At
most one context of a CPU is executing at a time.

Class attributes serve as defaults, so that building a context (done thousands of times a
second) costs one dictionary.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from mmsim.engine.op import BEGIN, RESCHED, Pending

TASK: Final = "task"
SOFTIRQ: Final = "softirq"
HARDIRQ: Final = "hardirq"

FRESH: Final = 0  # never ran
READY: Final = 1  # at a point, or woken
SPINNING: Final = 2  # waits for ``spin`` to be free, burning its CPU
SLEEPING: Final = 3  # waits to be woken; its CPU is free for others
DONE: Final = 4  # returned, or died of an oops

BEGINS: Final[Pending] = (BEGIN, None, ())

STATE_NAMES: Final = ("fresh", "ready", "spinning", "sleeping", "done")


class Host:
    """A stack that contexts run on, lent by a carrier; ``ctx`` is the one it runs now."""

    __slots__ = ("ctx",)

    def __init__(self) -> None:
        self.ctx: Context | None = None

    def frame(self) -> FrameType | None:
        """Its innermost Python frame, while it does not run."""
        raise NotImplementedError


class Context:
    """A task, softirq or hardirq of one run.

    ``id`` numbers the contexts of a machine from 0 in order of creation and is what schedules
    are made of.  ``task_state`` and ``preempt_count`` belong to :mod:`mmsim.linux.sched`, which
    may hang further task_struct fields on the object.
    """

    state: int = FRESH
    spin: Any = None  # the lock it spins on; has ``locked`` and ``owner``
    shut: Any = None  # whether that was taken when somebody last looked
    relaxed: bool = False  # said cpu_relax() and nothing has happened since
    at_point: bool = False  # parked before an access that it has announced
    pending: Pending = BEGINS  # what it does next, when it is not running
    armed: bool = True  # an interrupt that has been raised
    died: bool = False
    host: Host | None = None
    blocked_on: Any = None  # what it sleeps for (has ``owner``), if anybody knows
    timeout: float | None = None
    task_state: int = 0
    preempt_count: int = 0
    flags: int = 0
    births: int = 0  # objects it has made
    again: bool = False  # an interrupt: raised once more while it was being handled
    known_as: int = -1  # the number that a search has given it
    stamp: int = -1  # effects of the run up to its last one; -1 before its first on its CPU

    def __init__(
        self,
        id: int,
        kind: str,
        cpu: Cpu,
        comm: str,
        pid: int,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        self.id = id
        self.kind = kind
        self.cpu = cpu
        self.comm = comm
        self.pid = pid
        self.fn = fn
        self.args = args
        self.locks: list[Any] = []

    def identity(self) -> tuple[str, int]:
        """Hashable, and the same for the same context in every schedule."""
        return "Context", self.id

    def __repr__(self) -> str:
        return f"<{self.kind} {self.comm}/{self.pid} cpu{self.cpu.id} {STATE_NAMES[self.state]}>"


class Cpu:
    """One simulated CPU: the task on it, the interrupts on top, and its flags."""

    irqs_off: bool = False
    bh_off: int = 0
    curr: Context | None = None
    host: Host | None = None
    known_as: int = -1  # the number that a search has given it
    lone: bool = False  # has one task and no interrupt: nothing but its state changes the choices

    def __init__(self, id: int) -> None:
        self.id = id
        self.tasks: list[Context] = []
        self.lines: list[Context] = []  # interrupts still to be delivered
        self.stack: list[Context] = []  # interrupts being handled, innermost last
        self.data: dict[Any, Any] = {}  # per-CPU variables

    def identity(self) -> tuple[str, int]:
        """Hashable, and the same for the same CPU in every schedule."""
        return "Cpu", self.id

    def top(self) -> Context | None:
        """The context that owns the CPU right now; None when idle."""
        return self.stack[-1] if self.stack else self.curr

    def takes(self, line: Context) -> bool:
        """Would the CPU accept this pending interrupt at its present point?"""
        if self.irqs_off or not line.armed:
            return False
        if line.kind is HARDIRQ:
            return True
        return self.bh_off == 0 and not self.stack

    def preemptible(self, preempt: bool) -> bool:
        """May another task of this CPU be switched in although ``curr`` could go on?"""
        curr = self.curr
        if curr is None or self.stack or self.irqs_off or self.bh_off or curr.preempt_count:
            return False
        return preempt or curr.pending[0].kind is RESCHED
