# SPDX-License-Identifier: GPL-2.0-only
"""The free carrier: the same threads without a token.

The operating system decides who runs; points inject ``sched_yield`` with a seeded probability.
This is the honest statistical experiment.  One mutex makes each *effect* atomic and orders the
log; nothing is held between effects, so everything between two accesses of a CPU can happen in
between.  The order of effects is the whole truth about a run, hence the log is a schedule: the
token carrier replays it.  No atomicity is taken from the interpreter's lock.

Tasks of one CPU exclude each other: a task that is not ``cpu.curr`` is parked.  Interrupts run on
the stack of whatever host the CPU has, at injected points, while it spins, and when it is idle.

A run ends in two steps.  First it is *over*: whoever comes to a point stays there, so that stacks
can be looked at.  Then everybody leaves.

With ``gate`` the carrier follows a recorded schedule instead: a context waits before each effect
until the record says it is its turn.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from mmsim.engine.access import LOCK
from mmsim.engine.context import (
    DONE,
    FRESH,
    HARDIRQ,
    READY,
    SPINNING,
    TASK,
    Context,
    Cpu,
    Host,
    tls,
)
from mmsim.engine.door import RunAborted, door
from mmsim.engine.hosts import WATCH, Hosts
from mmsim.engine.machine import Machine
from mmsim.engine.oops import ContextDied
from mmsim.engine.schedule import Diverged, join, merge
from mmsim.engine.seats import Seats

PATIENCE = 2_000_000  # yields without an effect by anybody before a run is given up


class FreeCarrier(Seats):
    """Runs machines one after the other on free-running threads; ``close()`` ends them."""

    name = "free"

    def __init__(self) -> None:
        self._hosts = Hosts("mmsim-free", self._serve)

    # -- a run --------------------------------------------------------------------------------

    def run(
        self, machine: Machine, q: float = 0.25, gate: Sequence[tuple[int, int]] | None = None
    ) -> None:
        """Run ``machine``; at each point yield with probability ``q``, or follow ``gate``.

        Raises what a context raised, and Diverged if the gate cannot be followed.
        KeyboardInterrupt ends the run and its threads.
        """
        self._seat(machine, gate)
        self._scale = 1.0 / math.log1p(-q)
        self._mutex = threading.Lock()
        self._over = threading.Event()  # set: the control thread goes on
        self._leave = threading.Lock()  # taken until everybody else is to leave
        self._leave.acquire()
        self._ending = False  # nobody performs another effect
        self._stuck = ""
        self._idle_polls = 0
        self._reporters: list[tuple[int, int]] = []
        self._left = [self._draw(cpu) for cpu in machine.cpus]
        try:
            self._start(machine)
            while not self._over.wait(WATCH):
                pass
            machine.steps = len(self._log)
            machine.over = True
            if self._stuck and machine.error is None and machine.on_stuck is not None:
                machine.on_stuck(machine, self._stuck)
            self._unwind()
        except BaseException:  # Ctrl-C, at any moment
            self.close()
            raise
        finally:
            door.close()
        self._settle_findings()
        if machine.error is not None:
            raise machine.error

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """The schedule of the last run."""
        out: list[tuple[int, int]] = []
        start = 0
        for end, id in [*self._marks, (len(self._log), -1)]:
            out += merge(self._log[start:end])
            out += [(id, 0)] * (id >= 0)
            start = end
        return join(out)

    @property
    def followed(self) -> bool:
        """Has the whole gate been followed?"""
        return not self._gate or all(n == 0 for _, n in self._gate)

    def _start(self, machine: Machine) -> None:
        n = 0
        for cpu in machine.cpus:
            if cpu.tasks or cpu.lines:
                cpu.host = self._hosts[n]
                for task in cpu.tasks:
                    task.host = self._hosts[n]
                    n += 1
                n += not cpu.tasks
                for host in (cpu.host, *(task.host for task in cpu.tasks)):
                    assert host is not None
                    self._cpu[host] = cpu
        self._pooled.update(self._hosts.first(n))
        door.open(self, machine)
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

    def _settle_findings(self) -> None:
        """Put findings in the order of the effects they follow, which is that of a replay.

        Two contexts may find something at once; and others go on for a moment after a finding.
        """
        machine = self._machine
        if self._stuck == "stuck":
            self._marks += [(len(self._log), id) for id, _ in machine.seated()]
        machine.findings.sort(key=lambda finding: int(getattr(finding, "step", 0)))
        if not self._reporters:
            return
        if machine.stop_on_first:
            del machine.findings[1:]
        step, id = min(self._reporters, key=lambda reporter: reporter[0])
        del self._log[step:]
        machine.steps = step
        self._marks = [mark for mark in self._marks if mark[0] <= step]
        if not self._log or self._log[-1] != id:
            self._marks.append((step, id))

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
        hosts, self._hosts = self._hosts, Hosts("mmsim-free", self._serve)
        hosts.end(self._push)

    def _push(self) -> None:
        if door.carrier is self:
            self._ending = True
            with contextlib.suppress(RuntimeError):  # it was released already
                self._leave.release()

    # -- what a host does ---------------------------------------------------------------------

    def _serve(self, host: Host) -> None:
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
        self._call(irq)
        with self._mutex:
            irq.state = DONE
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
            gated = False
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
                    serves = cpu.host is host and curr is None
                    gated = serves and bool(self._gate)
                    if not gated:
                        if ctx is None and not (cpu.host is host and cpu.lines):
                            self._retire(host)
                            return False
                        self._parked.add(host)
            if line is not None:
                self._run_irq(host, line)
            elif self._ending:
                self._stay()
            elif gated:
                self._poll()
            else:
                host.lock.acquire()

    def _stay(self) -> None:
        """The run is over: remain on this stack as long as somebody may want to see it."""
        self._leave.acquire()  # no threading.Event: its frames would lie on the stacks to be shown
        self._leave.release()
        raise RunAborted

    # -- points -------------------------------------------------------------------------------

    def slow(self, kind: str, obj: Any, field: str, effect: Callable[..., Any], *args: Any) -> Any:
        """Every access of every context comes through here."""
        host = tls.host
        ctx = host.ctx
        assert ctx is not None
        ctx.pending = (kind, obj, field)
        cpu = ctx.cpu
        if self._gate is None:
            self._left[cpu.id] -= 1
            if self._left[cpu.id] < 0:
                self._left[cpu.id] = self._draw(cpu)
                self._inject(host, ctx)
        while True:
            with self._mutex:
                if not self._ending:
                    if self._gate and self._gate[-1] == [ctx.id, 0]:
                        self._gate.pop()  # it was only to come this far
                    if not self._gate or self._gate[-1][0] == ctx.id:
                        value = effect(*args)
                        if not (kind is LOCK and value is False):
                            self._note(ctx)
                        return value
                    if kind is LOCK and obj.locked:
                        return False  # a failed attempt is no effect, and is nobody's turn
            if self._ending:
                if ctx.id < 0:  # a look at the machine when the run is over
                    return effect(*args)
                self._stay()
            self._give_way(host, ctx)

    def _note(self, ctx: Context) -> None:
        self._log.append(ctx.id)
        ctx.stamp = len(self._log)
        self._idle_polls = 0
        if self._gate:
            self._gate[-1][1] -= 1
            if self._gate[-1][1] <= 0:
                self._gate.pop()
        if len(self._log) > self._machine.max_steps:
            self._finish("budget")

    def spin(self, ctx: Context, lock: Any) -> None:
        """Burn the CPU until ``lock`` looks free, taking interrupts meanwhile."""
        host = tls.host
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
        """cpu_relax()."""
        ctx.pending = ("relax", None, "")
        if self._ending:
            self._stay()
        self._inject(tls.host, ctx)
        self._poll()

    def sleep(self, ctx: Context) -> None:
        """Give the CPU away until ``ctx`` is woken and gets it back."""
        host = tls.host
        cpu = ctx.cpu
        ctx.pending = ("sleep", None, "")
        with self._mutex:
            cpu.curr = None
            cpu.host = host
            if ctx.state == READY and not self._gate:  # woken since it decided to sleep
                cpu.curr = ctx
                ctx.stamp = -1
                return
            self._next(cpu)
        self._idle(host, cpu, ctx)

    def irq_raised(self, ctx: Context) -> None:
        """A line was armed.  Called from an effect, with the mutex held."""
        host = ctx.cpu.host
        if ctx.cpu.curr is None and host is not None:
            self._wake(host)

    def opened(self, cpu: Cpu) -> None:
        """Pending interrupts are looked for at injected points."""

    def lock_freed(self, lock: Any) -> None:
        """Spinners look for themselves."""

    def abort(self) -> None:
        """The calling context has found something that ends the run."""
        ctx = tls.host.ctx
        if ctx is not None:
            self._reporters.append((self.position(), ctx.id))
        self._finish()

    def position(self) -> int:
        """Effects of the run before what the calling context does now.

        Between two effects it does nothing that others could see, so that is at once after its
        last effect, however late it comes to it; before its first effect it is now.
        """
        ctx = tls.host.ctx
        if ctx is None or ctx.id < 0:
            return len(self._log)
        if ctx.stamp < 0:
            ctx.stamp = len(self._log)
        return ctx.stamp

    def still(self) -> contextlib.AbstractContextManager[Any]:
        """Nobody performs an effect meanwhile."""
        return self._mutex

    def _finish(self, stuck: str | None = None) -> None:
        """Nobody performs another effect.  If stuck, or at the regular end, all stay for a look."""
        if not self._ending and stuck is not None:
            self._stuck = stuck
        self._ending = True
        self._over.set()

    # -- at a point: somebody else instead ----------------------------------------------------

    def _draw(self, cpu: Cpu) -> int:
        return int(math.log(1.0 - self._rng[cpu.id].random()) * self._scale)

    def _inject(self, host: Host, ctx: Context) -> None:
        """The injected disturbance: an interrupt, a preemption, or a yield."""
        cpu = ctx.cpu
        line = other = None
        with self._mutex:
            if not self._ending:
                line = self._claim(cpu)
                if line is None and len(cpu.tasks) > 1 and cpu.preemptible(self._machine.preempt):
                    ready = [t for t in cpu.tasks if t is not ctx and t.state <= READY]
                    if ready and not self._gate:
                        other = self._rng[cpu.id].choice(ready)
                        self._give(cpu, other)
        if line is not None:
            self._run_irq(host, line)
        elif other is not None:
            self._idle(host, cpu, ctx)
        else:
            os.sched_yield()

    def _give_way(self, host: Host, ctx: Context) -> None:
        """The record says it is somebody else's turn."""
        cpu = ctx.cpu
        line = switched = None
        with self._mutex:
            if not self._gate or self._ending:
                return
            turn = self._machine.contexts[self._gate[-1][0]]
            if turn.cpu is cpu and turn.state <= READY:
                if turn.kind is not TASK:
                    line = self._claim(cpu)
                elif cpu.curr is ctx and (
                    cpu.preemptible(self._machine.preempt) or not self._started(ctx)
                ):
                    switched = turn
                    self._give(cpu, turn)
        if line is not None:
            self._run_irq(host, line)
        elif switched is not None:
            self._idle(host, cpu, ctx)
        else:
            self._poll()

    def _started(self, ctx: Context) -> bool:
        """Has ``ctx`` performed an effect since it got its CPU?  If not, it may still wait."""
        return ctx.stamp >= 0

    def _poll(self) -> None:
        self._idle_polls += 1
        if self._idle_polls > PATIENCE:
            if self._gate is None:
                self._finish("budget")
            else:
                step = len(self._log)
                self._fail(Diverged(f"step {step}: nobody takes the recorded turn"))
        if self._ending:
            self._stay()
        os.sched_yield()
