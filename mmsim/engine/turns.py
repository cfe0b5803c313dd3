# SPDX-License-Identifier: GPL-2.0-only
"""Turns: who goes on when somebody holds the token, for how long, and what came of it.

Nothing here knows of threads.  The carrier says that a context has used up what it was granted, or
spins, or sleeps; the answer is the context whose turn it is now.

Accounting.  A *segment* is a stretch of effects by one context.  ``_granted`` is what the policy
gave, ``left`` what remains; a context that resumes at an announced point performs that access
without passing the door again, which is why it gets one less.  A failed attempt to take a lock is
not an effect and is handed back.  The segments are the schedule: exact, and the same that a
record of free-running threads yields.

What runs between two effects of a context touches nothing shared, and happens at once after the
first of them.  So the order of effects says everything, but for contexts whose first effect never
came: one that finds something before it, is interrupted or stuck before it.  Segments of no effects
stand for them.
"""

from __future__ import annotations

import contextlib
from typing import Any

from mmsim.engine.choices import Choices
from mmsim.engine.context import DONE, FRESH, READY, SLEEPING, TASK, Context, Cpu
from mmsim.engine.door import door
from mmsim.engine.machine import Machine
from mmsim.engine.policy import FOREVER, Policy, RandomWalk
from mmsim.engine.schedule import join
from mmsim.engine.seeds import stream

PATIENCE = 1_000  # turns of busy waiting, without an effect by anybody, that cost nothing


class Turns:
    """The decisions of one run after the other.  Touched only by the holder of the token."""

    steps = 0

    def _deal(self, machine: Machine, policy: Policy) -> None:
        """A run begins."""
        self._machine = machine
        self._obey(policy)
        self._observed = machine.listener is not None
        self._choices = Choices(machine)
        self._running: Context | None = None
        self._aborting = False
        self._stuck = ""
        self._relaxed: list[Context] = []
        self._turns = 0  # of busy waiting, since anybody did anything
        self._granted = 0
        self._left = 0  # what is left when somebody listens; else door.left
        self._budget = machine.max_steps + 1
        self._limit = self._budget if policy.fair else self._budget // 2
        self._log: list[tuple[int, int]] = []
        self.steps = 0

    def _obey(self, policy: Policy) -> None:
        self._policy = policy
        self._tell = type(policy).ran is not Policy.ran

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """The schedule of the last run."""
        return join(self._log)

    def position(self) -> int:
        """Effects of the run so far."""
        return self.steps + self._granted - (self._left if self._observed else door.left)

    def still(self) -> contextlib.AbstractContextManager[Any]:
        """Nobody performs an effect meanwhile: here nobody can."""
        return _STILL

    # -- somebody may have become able to run -------------------------------------------------

    def woken(self, ctx: Context) -> None:
        """``ctx`` became READY."""
        self._choices.touch(ctx.cpu)
        self._kick()

    def irq_raised(self, ctx: Context) -> None:
        """A line was armed."""
        self._choices.touch(ctx.cpu)
        self._kick()

    def opened(self, cpu: Cpu) -> None:
        """``cpu`` may take an interrupt or switch tasks, which it could not before."""
        self._kick()

    def lock_freed(self, lock: Any) -> None:
        """Those who spin on ``lock`` can go on."""
        if lock.spinners:
            self._kick()

    def _kick(self) -> None:
        """Ask the policy when it wants to decide."""
        soon = self._policy.kicked()
        if soon is None:
            return
        if self._observed:
            self._granted += soon - self._left
            self._left = soon
        else:
            self._granted += soon - door.left
            door.left = soon

    # -- accounting ---------------------------------------------------------------------------

    def _end_segment(self, undone: int) -> None:
        """Close the running context's segment; ``undone`` points passed without an effect."""
        n = self._granted - (self._left if self._observed else door.left) - undone
        if n > 0:
            assert self._running is not None
            self._account(self._running, n)
        self._granted = self._left = 0
        door.left = 0

    def _account(self, ctx: Context, n: int) -> None:
        self.steps += n
        ctx.stamp = self.steps
        self._log.append((ctx.id, n))
        if self._tell:
            self._policy.ran(ctx, n)
        if self._relaxed:
            self._turns = 0
            for other in self._relaxed:
                if other is not ctx:
                    other.relaxed = False
            self._relaxed = [c for c in self._relaxed if c.relaxed]

    def _stand_back(self, ctx: Context) -> None:
        """``ctx`` is not to be chosen, if it can be helped, before somebody has done something."""
        self._end_segment(0)
        self._turns += 1
        if self._turns > PATIENCE:  # a loop of nothing but relaxing has to end
            self._limit -= 1
            self._budget -= 1
        ctx.relaxed = True
        self._relaxed.append(ctx)

    def abort(self) -> None:
        """The running context has found something that ends the run here."""
        ctx = self._running
        if self._aborting or ctx is None:
            return
        self._end_segment(0)
        if not self._log or self._log[-1][0] != ctx.id:
            self._log.append((ctx.id, 0))
        self._aborting = True

    def _fail(self, error: BaseException) -> None:
        """Not a finding: the simulated code, or the simulator, is broken."""
        if self._machine.error is None:
            self._machine.error = error
        self._aborting = True

    # -- decisions ----------------------------------------------------------------------------

    def _choose(self, ctx: Context | None) -> Context | None:
        """Ask the policy; grant the chosen its quantum.  None: nobody goes on."""
        if self.steps >= self._limit and self._at_limit():
            return None
        enabled = self._choices.after(self._running) or self._let_time_pass()
        if not enabled:
            return None
        policy = self._policy
        if self._relaxed and not policy.directed:
            enabled = [c for c in enabled if not c.relaxed] or enabled
        try:
            chosen = policy.pick(enabled, ctx)
            alone = policy.memoryless and len(enabled) == 1
            granted = FOREVER if alone else policy.quantum(chosen)
        except BaseException as error:
            self._fail(error)
            return None
        if granted > self._limit - self.steps:
            granted = self._limit - self.steps
        self._granted = granted
        left = granted
        if chosen.at_point:
            chosen.at_point = False
            left -= 1
        if self._observed:
            self._left = left
            door.left = 0
        else:
            door.left = left
        self._running = chosen
        if chosen.kind is TASK:
            cpu = chosen.cpu
            cpu.curr = chosen
            cpu.host = chosen.host
        return chosen

    def _at_limit(self) -> bool:
        """The budget is spent.  Only a loop that survives fair scheduling is a livelock."""
        if self._aborting:
            return True
        if self.steps < self._budget and not self._policy.fair:
            self._obey(RandomWalk(stream(self._machine.seed, "fair")))
            self._limit = self._budget
            return False
        self._stuck = "budget"
        return True

    def _let_time_pass(self) -> list[Context]:
        """Nobody can run: go to the next timers.  An empty list: the run is over, or stuck."""
        machine = self._machine
        while (late := machine.clock.jump()) is not None:
            if late.state == SLEEPING:
                late.state = READY
                late.task_state = 0
                self._choices.touch(late.cpu)
            enabled = self._choices.after(None)
            if enabled:
                return enabled
        if any(c.state not in (DONE, FRESH) for c in machine.contexts):
            self._stuck = "stuck"
            self._log += machine.seated()
        return []


_STILL = contextlib.nullcontext()
