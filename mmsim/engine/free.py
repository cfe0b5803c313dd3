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
from mmsim.engine.inject import Injection
from mmsim.engine.machine import Machine
from mmsim.engine.oops import ContextDied


class FreeCarrier(Injection):
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
        self._expect(machine, q)
        self._over = threading.Event()  # set: the control thread goes on
        self._leave = threading.Lock()  # taken until everybody else is to leave
        self._leave.acquire()
        self._stuck = ""
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

    @property
    def followed(self) -> bool:
        """Has the whole gate been followed?"""
        return self._lead.followed

    def _start(self, machine: Machine) -> None:
        self._pooled.update(self._hosts.assign(machine))
        for cpu in machine.cpus:
            for host in (cpu.host, *(task.host for task in cpu.tasks)):
                if host is not None:
                    self._cpu[host] = cpu
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
                    gated = serves and bool(self._lead)
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
        if self._lead.free:
            self._disturb(host, ctx)
        while True:
            with self._mutex:
                if not self._ending:
                    if self._lead.admits(ctx):
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
        self._record.note(ctx)
        self._lead.took()
        self._idle_polls = 0
        if len(self._record) > self._machine.max_steps:
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

    def sleep(self, ctx: Context) -> None:
        """Give the CPU away until ``ctx`` is woken and gets it back."""
        host = tls.host
        cpu = ctx.cpu
        ctx.pending = ("sleep", None, "")
        with self._mutex:
            cpu.curr = None
            cpu.host = host
            if ctx.state == READY and not self._lead:  # woken since it decided to sleep
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
            self._record.reported(ctx)
        self._finish()

    def position(self) -> int:
        """Effects of the run before what the calling context does now."""
        return self._record.position(tls.host.ctx)

    def still(self) -> contextlib.AbstractContextManager[Any]:
        """Nobody performs an effect meanwhile."""
        return self._mutex

    def _finish(self, stuck: str | None = None) -> None:
        """Nobody performs another effect.  If stuck, or at the regular end, all stay for a look."""
        if not self._ending and stuck is not None:
            self._stuck = stuck
        self._ending = True
        self._over.set()
