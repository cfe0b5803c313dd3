# SPDX-License-Identifier: GPL-2.0-only
"""The free carrier: the same threads without a token.

The operating system decides who runs; points inject ``sched_yield`` with a seeded probability.
This is the honest statistical experiment.  One mutex makes each *effect* atomic and orders the
log; nothing is held between effects, so everything between two accesses of a CPU can happen in
between.  The order of effects is the whole truth about a run, hence the log is a schedule, which is
replayed with the token.  No atomicity is taken from the interpreter's lock.

Tasks of one CPU exclude each other: a task that is not ``cpu.curr`` is parked.  Interrupts run on
the stack of whatever host the CPU has, at injected points, while it spins, and when it is idle.

A run ends in two steps.  First it is *over*: whoever comes to a point stays there, so that stacks
can be looked at.  Then everybody leaves.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable
from random import Random
from typing import Any, NoReturn

from mmsim.engine.carriers.threads import WATCH, Pool, Thread
from mmsim.engine.context import (
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
from mmsim.engine.door import RunAborted, door
from mmsim.engine.instruments import EXIT, IRQ_ENTER, IRQ_EXIT
from mmsim.engine.machine import Machine
from mmsim.engine.oops import ContextDied
from mmsim.engine.op import ASLEEP, BEGIN, LOCK, STANDS_BACK, Op
from mmsim.engine.schedule import join, merge
from mmsim.engine.seeds import stream

IDLE_YIELDS = 2_000_000  # yields without an effect by anybody before a run is given up


class _Mine(threading.local):
    host: Thread | None = None


_mine = _Mine()


def _my_context() -> Context | None:
    host = _mine.host
    return door.machine.boot if host is None else host.ctx


class FreeCarrier:
    """Runs machines one after the other on free-running threads; ``close()`` ends them.

    All of a run's state is looked at and changed under one mutex, but for the countdowns to the
    next disturbance, of which each CPU has its own.
    """

    name = "free"
    handovers = 0

    def __init__(self) -> None:
        self._pool = Pool("mmsim-free", self._serve)

    # -- a run --------------------------------------------------------------------------------

    def run(self, machine: Machine, q: float = 0.25) -> None:
        """Run ``machine``, which is booted; each point is a disturbance with probability ``q``.

        Raises what a context raised.  KeyboardInterrupt ends the run and its threads.
        """
        if door.machine is not machine:
            raise RuntimeError("the machine is not booted: run it within machine.booted()")
        self._machine = machine
        self._instruments = machine.instruments
        self._mutex = threading.Lock()
        self._record = Record()
        self._ending = False  # nobody performs another effect
        self._stuck = ""
        self._over = threading.Event()  # set: the control thread goes on
        self._leave = threading.Lock()  # taken until everybody else is to leave
        self._leave.acquire()
        self._rng: list[Random] = [stream(machine.seed, f"cpu{cpu.id}") for cpu in machine.cpus]
        self._scale = 1.0 / math.log1p(-q)
        self._left = [self._draw(cpu) for cpu in machine.cpus]  # points to the next disturbance
        self._idle_yields = 0
        self._pooled: set[Host] = set()  # hosts that wait for a run
        self._parked: set[Host] = set()  # hosts that wait in the middle of one
        self._cpu: dict[Host, Cpu] = {}
        self._working = 0  # hosts that do not wait for a run
        self._arriving: set[Host] = set()  # hosts of the start that are not there yet
        self._watched: Host | None = None  # whose effect instruments are told of
        try:
            self._start(machine)
            while not self._over.wait(WATCH):
                pass
            machine.steps = len(self._record)
            machine.over = True
            if self._stuck and machine.error is None and machine.on_stuck is not None:
                machine.on_stuck(machine, self._stuck)
            self._unwind()
        except BaseException:  # Ctrl-C, at any moment
            self.close()
            raise
        finally:
            door.close()
        self._record.settle(machine, stuck=self._stuck == "stuck")
        if machine.error is not None:
            raise machine.error

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """The schedule of the last run."""
        return self._record.segments

    def _start(self, machine: Machine) -> None:
        self._pool.assign(machine)
        self._pooled.update(self._pool.lent())
        for cpu in machine.cpus:
            for host in (cpu.host, *(task.host for task in cpu.tasks)):
                if host is not None:
                    self._cpu[host] = cpu
        door.open(self)
        door.running, door.find = None, _my_context
        door.left = float("-inf")
        with self._mutex:
            first = [cpu for cpu in machine.cpus if cpu.host is not None]
            for cpu in first:
                if cpu.tasks:
                    self._give_next(cpu)
                assert cpu.host is not None
                self._arriving.add(cpu.host)
                self._wake(cpu.host)
            self._check()

    def _unwind(self) -> None:
        """Let everybody leave; return when all hosts used are back in the pool."""
        self._ending = True
        self._leave.release()
        while True:
            with self._mutex:
                for host in list(self._parked):
                    self._wake(host)
                if self._working == 0:
                    return
            os.sched_yield()

    def close(self) -> None:
        """End the threads, wherever they are.  The next run starts new ones."""
        pool, self._pool = self._pool, Pool("mmsim-free", self._serve)
        pool.end(self._push)

    def _push(self) -> None:
        if door.execution is self:
            self._ending = True
            with contextlib.suppress(RuntimeError):  # it was released already
                self._leave.release()

    # -- what a host does ---------------------------------------------------------------------

    def _serve(self, host: Thread) -> None:
        _mine.host = host
        try:
            cpu = self._cpu[host]
            with self._mutex:
                self._arriving.discard(host)
            while self._arriving and not self._ending:
                os.sched_yield()  # all CPUs start together
            while self._idle(host, cpu, None):
                assert cpu.curr is not None
                self._run_task(host, cpu.curr)
            return
        except RunAborted:
            pass
        except BaseException as error:  # this file is broken
            self._fail(error)
        with self._mutex:
            host.ctx = None
            self._retire(host)

    def _run_task(self, host: Host, task: Context) -> None:
        host.ctx = task
        task.state = READY
        self._call(task)
        with self._mutex:
            self._mark(task, EXIT, "oops" if task.died else "")
            self._machine.retire(task)
            host.ctx = None
            task.cpu.host = host
            self._next(task.cpu)

    def _call(self, ctx: Context) -> None:
        ctx.stamp = -1
        try:
            ctx.fn(*ctx.args)
        except ContextDied:
            ctx.died = True
            if ctx.kind is not TASK:
                self._machine.panicked = True
                self.abort()
                raise RunAborted from None
        except RunAborted:
            raise
        except BaseException as error:
            self._fail(error)
            raise RunAborted from None

    def _fail(self, error: BaseException) -> None:
        """Not a finding: the simulated code, or the simulator, is broken."""
        if self._machine.error is None:
            self._machine.error = error
        self._finish()

    def _run_irq(self, host: Host, irq: Context) -> None:
        """Deliver ``irq`` on top of what ``host`` is doing.  Its CPU was claimed already."""
        cpu = irq.cpu
        below, host.ctx = host.ctx, irq
        if irq.kind is HARDIRQ:
            cpu.irqs_off = True
        irq.host = host
        with self._mutex:
            self._mark(irq, IRQ_ENTER, irq.kind)
        self._call(irq)
        with self._mutex:
            self._mark(irq, IRQ_EXIT, irq.kind)
            self._machine.handled(irq)
            cpu.stack.pop()
            cpu.irqs_off = False  # or it would not have come in
            host.ctx = below

    def _idle(self, host: Host, cpu: Cpu, ctx: Context | None) -> bool:
        """Serve the CPU's interrupts until the CPU is given to ``ctx``.

        With no ``ctx`` until it is given to a task that begins on this host, or, false, the host is
        not needed any more.
        """
        while True:
            line = None
            with self._mutex:
                if cpu.curr is None and not cpu.stack and not self._ending:
                    self._next(cpu)
                    if cpu.curr is None and cpu.host is host:
                        line = self._claim(cpu)
                curr = cpu.curr
                if curr is not None and not self._ending:
                    if curr is ctx:
                        ctx.stamp = -1
                        return True
                    if ctx is None and curr.host is host and curr.state == FRESH:
                        return True
                if line is None and not self._ending:
                    self._check()
                    if ctx is None and not (cpu.host is host and cpu.lines):
                        self._retire(host)
                        return False
                    self._parked.add(host)
            if line is not None:
                self._run_irq(host, line)
            elif self._ending:
                self._stay()
            else:
                host.lock.acquire()  # type: ignore[attr-defined]

    def _stay(self) -> NoReturn:
        """The run is over: remain on this stack as long as somebody may want to see it."""
        self._leave.acquire()  # no threading.Event: its frames would lie on the stacks to be shown
        self._leave.release()
        raise RunAborted

    # -- points -------------------------------------------------------------------------------

    def slow(self, op: Op, obj: Any, effect: Callable[..., Any], *args: Any) -> Any:
        """Every access of every context comes through here."""
        host = _mine.host
        if host is None or host is self._watched:  # the run is over, or an instrument looks
            return effect(*args)
        ctx = host.ctx
        assert ctx is not None
        ctx.pending = (op, obj, args)
        cpu = ctx.cpu
        self._left[cpu.id] -= 1
        if self._left[cpu.id] < 0:
            self._left[cpu.id] = self._draw(cpu)
            self._disturb(host, ctx)
        with self._mutex:
            if not self._ending:
                return self._perform(ctx, op, obj, effect, args)
        return self._stay()

    def _perform(
        self, ctx: Context, op: Op, obj: Any, effect: Callable[..., Any], args: tuple[Any, ...]
    ) -> Any:
        """The effect, mutex held."""
        step = len(self._record) + 1
        if self._instruments:
            self._watched = ctx.host
            for instrument in self._instruments:
                instrument.before(ctx, step, op, obj, args)
            self._watched = None
        value = effect(*args)
        if not (op.kind is LOCK and value is False):
            self._record.note(ctx)
            self._idle_yields = 0
            if step > self._machine.max_steps:
                self._finish("budget")
            if self._instruments:
                self._watched = ctx.host
                for instrument in self._instruments:
                    instrument.after(ctx, step, op, obj, value)
                self._watched = None
        return value

    def _mark(self, ctx: Context, what: str, value: str) -> None:
        for instrument in self._instruments:
            instrument.mark(ctx, len(self._record), what, value)

    def _draw(self, cpu: Cpu) -> int:
        return int(math.log(1.0 - self._rng[cpu.id].random()) * self._scale)

    def _disturb(self, host: Host, ctx: Context) -> None:
        """An interrupt, another task of the CPU, or a moment in which others can overtake."""
        cpu = ctx.cpu
        line = other = None
        with self._mutex:
            if not self._ending:
                line = self._claim(cpu)
                if line is None and len(cpu.tasks) > 1 and cpu.preemptible(self._machine.preempt):
                    ready = [t for t in cpu.tasks if t is not ctx and t.state <= READY]
                    if ready:
                        other = self._rng[cpu.id].choice(ready)
                        self._give(cpu, other)
        if line is not None:
            self._run_irq(host, line)
        elif other is not None:
            self._idle(host, cpu, ctx)
        else:
            os.sched_yield()

    def spin(self, ctx: Context, lock: Any) -> None:
        """Burn the CPU until ``lock`` looks free, taking interrupts meanwhile."""
        host = ctx.host
        assert host is not None
        with self._mutex:
            ctx.spin = lock
            ctx.state = SPINNING
            self._check()
        while lock.locked and not self._ending:
            with self._mutex:
                line = self._claim(ctx.cpu)
            if line is not None:
                self._run_irq(host, line)
                with self._mutex:
                    self._check()
            else:
                os.sched_yield()
        with self._mutex:
            if not self._ending:
                ctx.state = READY
                ctx.spin = None
                return
        self._stay()

    def relax(self, ctx: Context) -> None:
        """cpu_relax(): let others run; give the run up if nobody ever does anything."""
        assert ctx.host is not None
        ctx.pending = (STANDS_BACK, None, ())
        if self._ending:
            self._stay()
        self._disturb(ctx.host, ctx)
        self._idle_yields += 1
        if self._idle_yields > IDLE_YIELDS:
            self._finish("budget")
        if self._ending:
            self._stay()
        os.sched_yield()

    def sleep(self, ctx: Context) -> None:
        """Give the CPU away until ``ctx`` is woken and gets it back."""
        host, cpu = ctx.host, ctx.cpu
        assert host is not None
        ctx.pending = (ASLEEP, None, ())
        with self._mutex:
            cpu.curr = None
            cpu.host = host
            if ctx.state == READY:  # woken since it decided to sleep
                cpu.curr = ctx
                ctx.stamp = -1
                return
            self._next(cpu)
        self._idle(host, cpu, ctx)

    # -- somebody may have become able to run.  Called from effects, with the mutex held --------

    def woken(self, ctx: Context) -> None:
        """``ctx`` became READY."""
        ctx.pending = (BEGIN, None, ())
        cpu = ctx.cpu
        if cpu.curr is None and not cpu.stack:
            self._next(cpu)

    def irq_raised(self, ctx: Context) -> None:
        """A line was armed."""
        host = ctx.cpu.host
        if ctx.cpu.curr is None and host is not None:
            self._wake(host)

    def spawned(self, ctx: Context) -> None:
        """A task was forked."""
        cpu = ctx.cpu
        host = ctx.host = self._pool.lend()
        self._cpu[host] = cpu
        self._pooled.add(host)
        if cpu.curr is None and not cpu.stack:
            self._next(cpu)

    def opened(self, cpu: Cpu) -> None:
        """Pending interrupts are looked for at disturbances."""

    def lock_freed(self, lock: Any) -> None:
        """Spinners look for themselves."""

    # -- the end ------------------------------------------------------------------------------

    def abort(self) -> None:
        """The calling context has found something that ends the run."""
        ctx = _my_context()
        if ctx is not None:
            self._record.reported(ctx)
        self._finish()

    def position(self) -> int:
        """Effects of the run before what the calling context does now."""
        return self._record.position(_my_context())

    def still(self) -> contextlib.AbstractContextManager[Any]:
        """Nobody performs an effect meanwhile."""
        return self._mutex

    def _finish(self, stuck: str | None = None) -> None:
        """Nobody performs another effect.  If stuck, or at the regular end, all stay for a look."""
        if not self._ending and stuck is not None:
            self._stuck = stuck
        self._ending = True
        self._over.set()

    def _check(self) -> None:
        """Is anybody left who can go on?  If not: next timer, the end, or stuck.  Mutex held."""
        machine = self._machine
        while not any(map(machine.choices, machine.cpus)):
            late = machine.clock.jump()
            if late is None:
                alive = any(c.state not in (DONE, FRESH) for c in machine.contexts)
                self._finish("stuck" if alive else "")
                return
            if late.state == SLEEPING:
                late.state = READY
                late.task_state = 0
                self.woken(late)

    # -- who has which CPU, mutex held --------------------------------------------------------

    def _retire(self, host: Host) -> None:
        """The host waits for another run, or for another task in this one."""
        self._pooled.add(host)
        self._working -= 1

    def _wake(self, host: Host) -> None:
        if host in self._pooled:
            self._pooled.discard(host)
            self._working += 1
        elif host in self._parked:
            self._parked.discard(host)
        else:
            return
        host.lock.release()  # type: ignore[attr-defined]

    def _next(self, cpu: Cpu) -> None:
        """The CPU has no task: give it one that can run."""
        if not self._give_next(cpu):
            self._check()

    def _give_next(self, cpu: Cpu) -> bool:
        ready = [t for t in cpu.tasks if t.state <= READY]
        if ready:
            self._give(cpu, ready[0] if len(ready) == 1 else self._rng[cpu.id].choice(ready))
        return bool(ready)

    def _give(self, cpu: Cpu, task: Context) -> None:
        cpu.curr = task
        cpu.host = task.host
        assert task.host is not None
        if task.host is not _mine.host:
            self._wake(task.host)

    def _claim(self, cpu: Cpu) -> Context | None:
        """An interrupt to deliver now, if any: it owns the CPU from here on."""
        if not cpu.lines:
            return None
        lines = [line for line in cpu.lines if cpu.takes(line)]
        if not lines:
            return None
        line = lines[0] if len(lines) == 1 else self._rng[cpu.id].choice(lines)
        below = cpu.top()
        if below is not None and below.stamp < 0:
            self._record.mark(below)
        cpu.lines.remove(line)
        cpu.stack.append(line)
        line.state = READY
        return line


class Record:
    """Whose effect came after whose: what free-running threads did, as a schedule."""

    def __init__(self) -> None:
        self._effects: list[int] = []  # ids
        self._marks: list[tuple[int, int]] = []  # (effects before, id): a segment of no effects
        self._reporters: list[tuple[int, int]] = []  # (effects before, id) of what ended the run

    def __len__(self) -> int:
        return len(self._effects)

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """The schedule."""
        out: list[tuple[int, int]] = []
        start = 0
        for end, id in [*self._marks, (len(self), -1)]:
            out += merge(self._effects[start:end])
            out += [(id, 0)] * (id >= 0)
            start = end
        return join(out)

    def note(self, ctx: Context) -> None:
        """``ctx`` performed an effect."""
        self._effects.append(ctx.id)
        ctx.stamp = len(self._effects)

    def mark(self, ctx: Context) -> None:
        """``ctx`` has come this far, which no effect tells."""
        self._marks.append((len(self), ctx.id))

    def reported(self, ctx: Context) -> None:
        """``ctx`` has found something that ends the run."""
        self._reporters.append((self.position(ctx), ctx.id))

    def position(self, ctx: Context | None) -> int:
        """Effects of the run before what ``ctx`` does now.

        Between two effects it does nothing that others could see, so that is at once after its
        last effect, however late it comes to it; before its first effect it is now.
        """
        if ctx is None or ctx.id < 0:
            return len(self)
        if ctx.stamp < 0:
            ctx.stamp = len(self)
        return ctx.stamp

    def settle(self, machine: Machine, *, stuck: bool) -> None:
        """Put findings in the order of the effects they follow, which is that of a replay.

        Two contexts may find something at once; and others go on for a moment after a finding.
        """
        if stuck:
            self._marks += [(len(self), id) for id, _ in machine.seated()]
        machine.findings.sort(key=lambda finding: int(getattr(finding, "step", 0)))
        if not self._reporters:
            return
        if machine.stop_on_first:
            del machine.findings[1:]
        step, id = min(self._reporters, key=lambda reporter: reporter[0])
        del self._effects[step:]
        machine.steps = step
        self._marks = [mark for mark in self._marks if mark[0] <= step]
        if not self._effects or self._effects[-1] != id:
            self._marks.append((step, id))
