# SPDX-License-Identifier: GPL-2.0-only
"""The free carrier: the same threads without a token.

The operating system decides who runs; points inject ``sched_yield`` with a seeded probability.
This is the honest statistical experiment.  One mutex makes each *effect* atomic and orders the
log; nothing is held between effects, so everything between two accesses of a CPU can happen in
between.  The order of effects is the whole truth about a run, hence the log is a schedule: the
token carrier replays it.  No atomicity is taken from the interpreter's lock.

Tasks of one CPU exclude each other: a task that is not ``cpu.curr`` is parked.  Interrupts run on
the stack of whatever host the CPU has, at injected points, while it spins, and when it is idle.

With ``gate`` the carrier follows a recorded schedule instead: a context waits before each effect
until the record says it is its turn.
"""

from __future__ import annotations

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
    SLEEPING,
    SPINNING,
    TASK,
    Context,
    Cpu,
    Host,
    tls,
)
from mmsim.engine.door import RunAborted, door
from mmsim.engine.machine import Machine
from mmsim.engine.oops import ContextDied
from mmsim.engine.schedule import Diverged, merge
from mmsim.engine.seeds import stream

PATIENCE = 2_000_000  # yields without an effect by anybody before a gated replay is given up


class FreeCarrier:
    """Runs machines one after the other on free-running threads; ``close()`` ends them."""

    name = "free"

    def __init__(self) -> None:
        self._pool: list[Host] = []
        self._pooled: set[Host] = set()  # waiting for a run
        self._parked: set[Host] = set()  # waiting in the middle of one
        self._closing = False

    # -- a run --------------------------------------------------------------------------------

    def run(
        self, machine: Machine, q: float = 0.25, gate: Sequence[tuple[int, int]] | None = None
    ) -> None:
        """Run ``machine``; at each point yield with probability ``q``, or follow ``gate``."""
        self._machine = machine
        self._scale = 1.0 / math.log1p(-q)
        self._gate = None if gate is None else [list(segment) for segment in reversed(gate)]
        self._mutex = threading.Lock()
        self._over = threading.Event()
        self._aborting = False
        self._stuck = ""
        self._idle_polls = 0
        self.log: list[int] = []
        self._rng = [stream(machine.seed, f"cpu{cpu.id}") for cpu in machine.cpus]
        self._left = [self._draw(cpu) for cpu in machine.cpus]
        used = self._assign(machine)
        first = [cpu for cpu in machine.cpus if cpu.host is not None]
        self._waiting = len(first)
        self._working = 0
        door.open(self, machine)
        door.left = float("-inf")
        try:
            with self._mutex:
                for cpu in first:
                    if cpu.tasks:
                        cpu.curr = cpu.tasks[0]
                    assert cpu.host is not None
                    self._wake(cpu.host)
            self._over.wait()
        finally:
            door.close()
        machine.steps = len(self.log)
        if self._stuck and machine.error is None and machine.on_stuck is not None:
            machine.on_stuck(machine, self._stuck)
        self._unwind(used)
        if machine.error is not None:
            raise machine.error

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """The schedule of the last run."""
        return merge(self.log)

    def _assign(self, machine: Machine) -> list[Host]:
        n = 0
        for cpu in machine.cpus:
            if cpu.tasks or cpu.lines:
                cpu.host = self._host(n)
                for task in cpu.tasks:
                    task.host = self._host(n)
                    n += 1
                n += not cpu.tasks
            for task in cpu.tasks:
                assert task.host is not None
                task.host.thread.cpu = cpu
            if cpu.host is not None:
                cpu.host.thread.cpu = cpu
        return self._pool[:n]

    def _host(self, i: int) -> Host:
        while len(self._pool) <= i:
            host = Host()
            host.lock = threading.Lock()
            host.lock.acquire()
            host.thread = _Thread(self, host, len(self._pool))
            self._pool.append(host)
            self._pooled.add(host)
            host.thread.start()
        return self._pool[i]

    def _unwind(self, hosts: list[Host]) -> None:
        """Let everybody leave; return when all hosts used are back in the pool."""
        self._aborting = True
        while True:
            with self._mutex:
                for host in hosts:
                    if host in self._parked:
                        self._wake(host)
                if self._working == 0:
                    return
            os.sched_yield()

    def close(self) -> None:
        """End the threads.  The carrier cannot be used again."""
        self._closing = True
        for host in self._pool:
            host.lock.release()
        for host in self._pool:
            host.thread.join()
        self._pool.clear()

    # -- what a host does ---------------------------------------------------------------------

    def main(self, host: Host) -> None:
        """The body of every thread."""
        tls.host = host
        while True:
            host.lock.acquire()
            if self._closing:
                return
            try:
                self._serve(host)
            except RunAborted:
                pass
            with self._mutex:
                host.ctx = None
                self._pooled.add(host)
                self._working -= 1

    def _serve(self, host: Host) -> None:
        cpu: Cpu = host.thread.cpu
        with self._mutex:
            task = cpu.curr
            self._waiting -= 1
        while self._waiting > 0 and not self._aborting:
            os.sched_yield()  # all CPUs start together
        if task is not None and task.host is host and task.state == FRESH:
            self._run_task(host, task)
        self._idle(host, cpu, None)

    def _run_task(self, host: Host, task: Context) -> None:
        host.ctx = task
        task.state = READY
        self._run(task)
        with self._mutex:
            task.state = DONE
            cpu = task.cpu
            cpu.curr = None
            cpu.host = host
            if task.died:
                cpu.irqs_off = False
                cpu.bh_off = 0
            self._next(cpu)
            host.ctx = None

    def _run(self, ctx: Context) -> None:
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
            self._machine.error = error
            self.abort()
            raise RunAborted from None

    def _run_irq(self, host: Host, irq: Context) -> None:
        """Deliver ``irq`` on top of what ``host`` is doing.  Its CPU was claimed already."""
        cpu = irq.cpu
        below, host.ctx = host.ctx, irq
        irq.irqs_before = cpu.irqs_off
        if irq.kind is HARDIRQ:
            cpu.irqs_off = True
        irq.host = host
        self._run(irq)
        with self._mutex:
            irq.state = DONE
            cpu.stack.pop()
            cpu.irqs_off = irq.irqs_before
            host.ctx = below

    def _idle(self, host: Host, cpu: Cpu, ctx: Context | None) -> None:
        """Serve the CPU's interrupts until its CPU is given to ``ctx``; to the end if None."""
        while True:
            with self._mutex:
                if self._aborting:
                    raise RunAborted
                if ctx is not None and cpu.curr is ctx:
                    return
                if cpu.curr is None and not cpu.stack:
                    self._next(cpu)
                line = None
                if cpu.curr is None and not cpu.stack and cpu.host is host:
                    line = self._claim(cpu)
                if line is None and ctx is not None and cpu.curr is ctx:
                    return
                if line is None:
                    self._check()
                    gated = self._gate is not None and cpu.lines and cpu.host is host
                    if not gated:
                        if ctx is None and not (cpu.host is host and cpu.lines):
                            return
                        self._parked.add(host)
            if line is not None:
                self._run_irq(host, line)
            elif gated:
                self._poll()
            else:
                host.lock.acquire()

    # -- points -------------------------------------------------------------------------------

    def slow(
        self, kind: str, obj: Any, field: str, effect: Callable[..., Any], *args: Any
    ) -> Any:
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
                if self._aborting:
                    raise RunAborted
                if not self._gate or self._gate[-1][0] == ctx.id:
                    value = effect(*args)
                    if not (kind is LOCK and value is False):
                        self._log(ctx)
                    return value
            self._give_way(host, ctx)

    def _log(self, ctx: Context) -> None:
        self.log.append(ctx.id)
        self._idle_polls = 0
        if self._gate:
            self._gate[-1][1] -= 1
            if self._gate[-1][1] == 0:
                self._gate.pop()
        if len(self.log) > self._machine.max_steps:
            self._finish("budget")

    def spin(self, ctx: Context, lock: Any) -> None:
        """Burn the CPU until ``lock`` looks free, taking interrupts meanwhile."""
        host = tls.host
        with self._mutex:
            ctx.spin = lock
            ctx.state = SPINNING
            self._check()
        while lock.locked and not self._aborting:
            line = None
            with self._mutex:
                line = self._claim(ctx.cpu)
            if line is not None:
                self._run_irq(host, line)
            else:
                os.sched_yield()
        if self._aborting:
            raise RunAborted
        with self._mutex:
            ctx.state = READY
            ctx.spin = None

    def relax(self, ctx: Context) -> None:
        """cpu_relax()."""
        if self._aborting:
            raise RunAborted
        self._inject(tls.host, ctx)
        self._poll()

    def sleep(self, ctx: Context) -> None:
        """Give the CPU away until ``ctx`` is woken and gets it back."""
        host = tls.host
        cpu = ctx.cpu
        with self._mutex:
            cpu.curr = None
            cpu.host = host
            if ctx.state == READY:  # woken since it decided to sleep
                cpu.curr = ctx
                return
            self._next(cpu)
        self._idle(host, cpu, ctx)

    def woken(self, ctx: Context) -> None:
        """``ctx`` became READY.  Called from an effect, with the mutex held."""
        cpu = ctx.cpu
        if cpu.curr is None and not cpu.stack:
            self._next(cpu)

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
        """Nobody performs another effect."""
        self._aborting = True
        self._over.set()

    # -- who has which CPU (mutex held, but for _inject and _poll) -------------------------------

    def _wake(self, host: Host) -> None:
        if host in self._pooled:
            self._pooled.discard(host)
            self._working += 1
        elif host in self._parked:
            self._parked.discard(host)
        else:
            return
        host.lock.release()

    def _next(self, cpu: Cpu) -> None:
        """The CPU has no task: give it one that can run."""
        ready = [t for t in cpu.tasks if t.state <= READY]
        if not ready:
            self._check()
            return
        if self._gate:
            turn = {id: i for i, (id, _) in enumerate(self._gate)}
            task = max(ready, key=lambda t: turn.get(t.id, -1))
        else:
            task = self._rng[cpu.id].choice(ready)
        self._give(cpu, task)

    def _give(self, cpu: Cpu, task: Context) -> None:
        cpu.curr = task
        cpu.host = task.host
        assert task.host is not None
        if task.host is not tls.host:
            if task.state == FRESH:
                self._waiting += 1
            self._wake(task.host)

    def _claim(self, cpu: Cpu) -> Context | None:
        """An interrupt to deliver now, if any: it owns the CPU from here on."""
        lines = [line for line in cpu.lines if cpu.takes(line)]
        if self._gate:
            lines = [line for line in lines if line.id == self._gate[-1][0]]
        if not lines:
            return None
        line = lines[0] if len(lines) == 1 else self._rng[cpu.id].choice(lines)
        cpu.lines.remove(line)
        cpu.stack.append(line)
        line.state = READY
        return line

    def _check(self) -> None:
        """Is anybody left who can go on?  If not: next timer, the end, or stuck."""
        machine = self._machine
        while not machine.enabled():
            late = machine.clock.jump()
            if late is None:
                alive = any(c.state not in (DONE, FRESH) for c in machine.contexts)
                self._finish("stuck" if alive else "")
                return
            if late.state == SLEEPING:
                late.state = READY
                late.task_state = 0
                self.woken(late)

    def _finish(self, stuck: str) -> None:
        if not self._aborting:
            self._stuck = stuck
            self.abort()

    def _draw(self, cpu: Cpu) -> int:
        return int(math.log(1.0 - self._rng[cpu.id].random()) * self._scale)

    def _inject(self, host: Host, ctx: Context) -> None:
        """The injected disturbance: an interrupt, a preemption, or a yield."""
        cpu = ctx.cpu
        line = other = None
        with self._mutex:
            if self._aborting:
                raise RunAborted
            if cpu.lines:
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

    def _give_way(self, host: Host, ctx: Context) -> None:
        """The record says it is somebody else's turn."""
        cpu = ctx.cpu
        line = switched = None
        with self._mutex:
            if not self._gate:
                return
            turn = self._machine.contexts[self._gate[-1][0]]
            if turn.cpu is cpu and turn.state <= READY:
                if turn.kind is not TASK:
                    line = self._claim(cpu)
                elif cpu.preemptible(self._machine.preempt):
                    switched = turn
                    self._give(cpu, turn)
        if line is not None:
            self._run_irq(host, line)
        elif switched is not None:
            self._idle(host, cpu, ctx)
        else:
            self._poll()

    def _poll(self) -> None:
        self._idle_polls += 1
        if self._idle_polls > PATIENCE:
            self._machine.error = Diverged(f"step {len(self.log)}: nobody takes the recorded turn")
            self.abort()
        if self._aborting:
            raise RunAborted
        os.sched_yield()


class _Thread(threading.Thread):
    """A host's thread; ``cpu`` is the CPU it serves in the present run."""

    cpu: Cpu

    def __init__(self, carrier: FreeCarrier, host: Host, n: int) -> None:
        super().__init__(target=carrier.main, args=(host,), name=f"mmsim-free-{n}", daemon=True)
