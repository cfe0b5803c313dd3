# SPDX-License-Identifier: GPL-2.0-only
"""The execution with a token: whose turn it is, for how long, and what came of it.

One context holds the token and runs; at a point where its grant is used up the policy says who goes
on.  All state here is touched only by the holder.  How a stack is left and another gone on with is
the carrier's business (``carriers/``): it knows how, this file knows who.

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
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mmsim.engine.choices import Choices
from mmsim.engine.context import (
    BEGINS,
    DONE,
    FRESH,
    HARDIRQ,
    READY,
    SLEEPING,
    SPINNING,
    TASK,
    Context,
    Cpu,
    Host,
)
from mmsim.engine.door import SILENT, RunAborted, door
from mmsim.engine.instruments import EXIT, IRQ_ENTER, IRQ_EXIT, STALE
from mmsim.engine.machine import Machine
from mmsim.engine.oops import ContextDied
from mmsim.engine.op import ASLEEP, LOCK, STANDS_BACK, Op
from mmsim.engine.policy import FOREVER, Policy, RandomWalk
from mmsim.engine.schedule import join
from mmsim.engine.seeds import stream

IDLE_TURNS = 1_000  # turns of busy waiting, without an effect by anybody, that cost nothing
SPINS = Op(LOCK, "locked")
_STILL = contextlib.nullcontext()

Serve = Callable[[Host], Host | None]


class Carrier(Protocol):
    """How a stack goes on.  A *host* is a stack; the caller of :meth:`start` has one of its own."""

    name: str

    def assign(self, machine: Machine, serve: Serve) -> None:
        """A host for each task, and for each CPU that has only interrupts one to serve them.

        A host that is given control for the first time calls ``serve(host)``, which returns the
        host to go on with; None is the caller of ``start``.
        """

    def lend(self) -> Host:
        """One more host for this run: a task was forked."""

    def start(self, host: Host) -> None:
        """Give control to ``host``; return when it comes back, whoever had it in between."""

    def switch(self, here: Host, there: Host | None) -> None:
        """Called on ``here``: give control to ``there``; return when it comes back to ``here``."""

    def hosts(self) -> Sequence[Host]:
        """Those of this run."""

    def close(self, push: Callable[[], None]) -> None:
        """End all stacks.  ``push()`` makes a context that runs leave at its next point."""


class Token:
    """Runs machines one after the other on one carrier; ``close()`` ends its stacks."""

    steps = 0
    handovers = 0

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self.name = carrier.name

    # -- a run --------------------------------------------------------------------------------

    def run(self, machine: Machine, policy: Policy) -> None:
        """Run every context of ``machine``, which is booted, to its end or until nobody can go on.

        Raises what a context or the policy raised.  KeyboardInterrupt ends the run and its stacks.
        """
        if door.machine is not machine:
            raise RuntimeError("the machine is not booted: run it within machine.booted()")
        self._deal(machine, policy)
        try:
            self._carrier.assign(machine, self._serve)
            door.open(self)
            first = self._choose(None)
            if first is not None:
                self._carrier.start(self._host_of(first))
            machine.steps = self.steps
            machine.over = True
            door.left = SILENT
            if self._stuck and machine.error is None and machine.on_stuck is not None:
                # before the stacks are unwound, so that they can be shown
                machine.on_stuck(machine, self._stuck)
            if self._stuck or self._aborting:
                self._unwind()
        except BaseException:  # Ctrl-C, at any moment: nobody knows who holds the token
            self.close()
            raise
        finally:
            door.close()
        if machine.error is not None:
            raise machine.error
        policy.ended(machine)

    def _deal(self, machine: Machine, policy: Policy) -> None:
        """A run begins."""
        self._machine = machine
        self._obey(policy)
        self._instruments = machine.instruments
        self._memory = machine.memory
        self._observed = bool(machine.instruments) or self._memory is not None
        if self._observed:
            self.slow = self._slow_observed
        else:
            self.slow = self._slow_passing if self._asks else self._slow
        if self._memory is not None:
            self.slow = self._slow_weak
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
        self.handovers = 0

    def _obey(self, policy: Policy) -> None:
        self._policy = policy
        self._pick = policy.pick
        self._quantum = policy.quantum
        self._memoryless = policy.memoryless
        self._ran = None if type(policy).ran is Policy.ran else policy.ran
        self._passes = policy.passes
        self._asks = policy.quiet is not None

    def _unwind(self) -> None:
        """Let every context that is still on a stack leave it."""
        self._aborting = True
        for host in self._carrier.hosts():
            if host.ctx is not None:
                self._carrier.start(host)

    def close(self) -> None:
        """End the stacks, wherever they are.  The next run starts new ones."""
        self._carrier.close(self._push)

    def _push(self) -> None:
        """Whoever runs now leaves at its next point.  Called from outside, again and again."""
        self._aborting = True
        self._limit = -1
        if door.execution is self:
            door.slow = self._leave
            door.left = float("-inf")

    def _leave(self, *args: Any) -> Any:
        raise RunAborted

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

    # -- what a host does ---------------------------------------------------------------------

    def _serve(self, host: Host) -> Host | None:
        """Run contexts that begin on this host until another has to go on; which one."""
        try:
            ctx = self._running
            while True:
                assert ctx is not None
                if ctx.kind is TASK:
                    self._run_task(host, ctx)
                else:
                    self._run_irq(host, ctx)
                cpu = ctx.cpu
                ctx = self._choose(ctx)
                if ctx is None:
                    return None
                there = ctx.host or self._host_of(ctx)
                if there is not host and not self._taken_in(ctx, host, cpu):
                    self.handovers += 1
                    return there
        except RunAborted:
            host.ctx = None
        except BaseException as error:  # an instrument, or this file
            host.ctx = None
            self._fail(error)
        return None

    def _taken_in(self, ctx: Context, host: Host, cpu: Cpu) -> bool:
        """If nobody is left on ``cpu``, its host can have who begins next, without a hand-over."""
        if cpu.tasks or cpu.lines or ctx.state != FRESH:
            return False
        if ctx.kind is TASK:
            ctx.host = host
        elif ctx.cpu.top() is not None:
            return False  # it interrupts somebody, on whose stack it belongs
        ctx.cpu.host = host
        return True

    def _run_task(self, host: Host, task: Context) -> None:
        host.ctx = task
        task.state = READY
        try:
            task.fn(*task.args)
        except ContextDied:
            task.died = True
        except RunAborted:
            raise
        except BaseException as error:
            self._fail(error)
            raise RunAborted from None
        self._end_segment(0)
        host.ctx = None
        self._machine.retire(task)
        if self._observed:
            self._mark(task, EXIT, "oops" if task.died else "")

    def _run_irq(self, host: Host, irq: Context) -> None:
        cpu = irq.cpu
        below = cpu.top()
        if below is not None and below.stamp < 0:
            self._log.append((below.id, 0))  # it has come this far, and nothing else tells
        cpu.lines.remove(irq)
        cpu.stack.append(irq)
        if irq.kind is HARDIRQ:
            cpu.irqs_off = True
        irq.host = host
        irq.state = READY
        irq.stamp = -1
        outer, host.ctx = host.ctx, irq
        if self._observed:
            self._mark(irq, IRQ_ENTER, irq.kind)
        try:
            irq.fn(*irq.args)
        except ContextDied:
            irq.died = True
            self._machine.panicked = True
            self.abort()
            raise RunAborted from None
        except RunAborted:
            raise
        except BaseException as error:
            self._fail(error)
            raise RunAborted from None
        self._end_segment(0)
        if self._observed:
            self._mark(irq, IRQ_EXIT, irq.kind)
        self._machine.handled(irq)
        cpu.stack.pop()
        cpu.irqs_off = False  # or it would not have come in
        host.ctx = outer

    # -- points -------------------------------------------------------------------------------

    def _slow(self, op: Op, obj: Any, effect: Callable[..., Any], *args: Any) -> Any:
        """The grant is used up: somebody decides, then this access is the next effect."""
        ctx: Context = self._running  # type: ignore[assignment]
        ctx.pending = (op, obj, args)
        if granted := self._granted:
            self._account(ctx, granted)
        ctx.at_point = True
        chosen = self._choose(ctx)
        if chosen is not ctx:
            self._wait(ctx, chosen)
        return effect(*args)

    def _slow_passing(self, op: Op, obj: Any, effect: Callable[..., Any], *args: Any) -> Any:
        """The same under a policy that lets some pass."""
        ctx: Context = self._running  # type: ignore[assignment]
        ctx.pending = (op, obj, args)
        granted = self._granted
        policy = self._policy
        quiet: Any = policy.quiet
        try:
            passes = (op, ctx.id, 0 if obj is None else obj.known_as) in quiet
        except AttributeError:  # nothing of ours
            passes = False
        if (passes and granted < policy.longest) or self._passes(ctx, granted, self._choices):
            self._granted = granted + 1
            door.left = 0
            return effect(*args)
        return self._slow(op, obj, effect, *args)

    def _slow_observed(self, op: Op, obj: Any, effect: Callable[..., Any], *args: Any) -> Any:
        ctx = self._running
        assert ctx is not None
        ctx.pending = (op, obj, args)
        self._left -= 1
        if self._left < 0 and self._asks and self._passes(ctx, self._granted, self._choices):
            self._granted += 1
            self._left = 0
        elif self._left < 0:
            if self._granted:
                self._account(ctx, self._granted)
            ctx.at_point = True
            self._pause(ctx)
        door.left = SILENT
        step = self.position()
        for instrument in self._instruments:
            instrument.before(ctx, step, op, obj, args)
        door.left = 0
        value = effect(*args)
        if not (op.kind is LOCK and value is False):
            door.left = SILENT
            for instrument in self._instruments:
                instrument.after(ctx, step, op, obj, value)
            door.left = 0
        return value

    def _slow_weak(self, op: Op, obj: Any, effect: Callable[..., Any], *args: Any) -> Any:
        """Every access of a run in which a read may return what was overwritten."""
        ctx = self._running
        assert ctx is not None
        ctx.pending = (op, obj, args)
        self._left -= 1
        if self._left < 0:
            if self._granted:
                self._account(ctx, self._granted)
            ctx.at_point = True
            self._pause(ctx)
        step = self.steps + self._granted - self._left
        if not self._instruments:
            return self._memory.perform(ctx, step, op, obj, effect, args)
        door.left = SILENT
        for instrument in self._instruments:
            instrument.before(ctx, step, op, obj, args)
        door.left = 0
        stale = len(self._memory.stale)
        value = self._memory.perform(ctx, step, op, obj, effect, args)
        if not (op.kind is LOCK and value is False):
            door.left = SILENT
            for instrument in self._instruments:
                if len(self._memory.stale) > stale:
                    instrument.mark(ctx, step, STALE, str(self._memory.stale[-1][1]))
                instrument.after(ctx, step, op, obj, value)
            door.left = 0
        return value

    def _mark(self, ctx: Context, what: str, value: str) -> None:
        step = self.position()
        door.left = SILENT
        for instrument in self._instruments:
            instrument.mark(ctx, step, what, value)
        door.left = 0

    def spin(self, ctx: Context, lock: Any) -> None:
        """``ctx`` found ``lock`` taken: let others run until it is free again."""
        self._end_segment(1)
        ctx.pending = (SPINS, lock, ())
        ctx.spin = lock
        ctx.shut = None
        ctx.state = SPINNING
        lock.spinners += 1
        self._choices.spinning.append(ctx)
        self._pause(ctx)
        self._choices.spinning.remove(ctx)
        lock.spinners -= 1
        ctx.state = READY
        ctx.spin = None

    def relax(self, ctx: Context) -> None:
        """cpu_relax(): nothing will change until somebody else has done something."""
        ctx.pending = (STANDS_BACK, None, ())
        self._stand_back(ctx)
        self._pause(ctx)
        ctx.relaxed = False

    def sleep(self, ctx: Context) -> None:
        """``ctx``, whose state is SLEEPING already, gives its CPU away until it is woken."""
        self._end_segment(0)
        ctx.pending = (ASLEEP, None, ())
        ctx.cpu.curr = None
        ctx.stamp = -1
        self._pause(ctx)

    def _pause(self, ctx: Context) -> None:
        chosen = self._choose(ctx)
        if chosen is not ctx:
            self._wait(ctx, chosen)

    def _wait(self, ctx: Context, chosen: Context | None) -> None:
        """Another was chosen: return when it is ``ctx``.  Interrupts run on top of it meanwhile."""
        host = ctx.host
        assert host is not None
        if ctx.at_point and ctx.stamp < 0:
            # it has come to its first point and looked at per-CPU data on the way: nothing else
            # tells that it began before the one that goes on now
            self._log.append((ctx.id, 0))
        while chosen is not ctx:
            if chosen is None:
                self._carrier.switch(host, None)
                raise RunAborted
            there = chosen.host or self._host_of(chosen)
            if there is not host:
                self.handovers += 1
                self._carrier.switch(host, there)
                if self._aborting:
                    raise RunAborted
                chosen = self._running
                if chosen is ctx:
                    return
                assert chosen is not None
            self._run_irq(host, chosen)
            chosen = self._choose(ctx)

    @staticmethod
    def _host_of(ctx: Context) -> Host:
        """Where ``ctx`` goes on: an interrupt that has not begun takes its CPU's present stack."""
        host = ctx.host or ctx.cpu.host
        assert host is not None
        return host

    # -- somebody may have become able to run -------------------------------------------------

    def woken(self, ctx: Context) -> None:
        """``ctx`` became READY."""
        ctx.pending = BEGINS
        self._choices.touch(ctx.cpu)
        self._kick()

    def irq_raised(self, ctx: Context) -> None:
        """A line was armed."""
        cpu = ctx.cpu
        if len(cpu.lines) == 1 and not cpu.tasks and cpu.top() is None:
            # its stack may have gone to another CPU when nothing was left to do here
            cpu.host = self._carrier.lend()
        self._choices.touch(ctx.cpu)
        self._kick()

    def spawned(self, ctx: Context) -> None:
        """A task was forked."""
        ctx.host = self._carrier.lend()
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
        ctx.stamp = self.steps = self.steps + n
        self._log.append((ctx.id, n))
        if (ran := self._ran) is not None:
            ran(ctx, n)
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
        if self._turns > IDLE_TURNS:  # a loop of nothing but relaxing has to end
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
        room = self._limit - self.steps
        if room <= 0:
            if self._at_limit():
                return None
            room = self._limit - self.steps
        enabled = self._choices.after(self._running)
        if not enabled and not (enabled := self._let_time_pass()):
            return None
        if self._relaxed and not self._policy.directed:
            enabled = [c for c in enabled if not c.relaxed] or enabled
        pick, quantum = self._pick, self._quantum  # called faster so (see model/struct.py)
        try:
            chosen = pick(enabled, ctx)
            granted = FOREVER if self._memoryless and len(enabled) == 1 else quantum(chosen)
        except BaseException as error:
            self._fail(error)
            return None
        left = self._granted = granted if granted < room else room
        if chosen.at_point:
            chosen.at_point = False
            left -= 1
        if self._observed:
            self._left = left
            door.left = 0
        else:
            door.left = left
        self._running = door.running = chosen
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
                late.pending = BEGINS
                self._choices.touch(late.cpu)
            enabled = self._choices.after(None)
            if enabled:
                return enabled
        for ctx in machine.contexts:
            if ctx.state != DONE and ctx.state != FRESH:
                self._stuck = "stuck"
                self._log += machine.seated()
                break
        return []
