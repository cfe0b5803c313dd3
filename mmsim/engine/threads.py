# SPDX-License-Identifier: GPL-2.0-only
"""The token carrier: OS threads, one of which holds the token.

Every task has a host thread, kept across runs.  Each host sleeps on a lock of its own; handing
the token over is releasing the other's lock and taking one's own, so a hand-over costs one
wake-up and a run costs as many as its schedule has switches.  All state below is touched only by
the holder of the token.

Accounting.  A *segment* is a stretch of effects by one context.  ``_granted`` is what the policy
gave, ``left`` what remains; a context that resumes at an announced point performs that access
without passing the door again, which is why it gets one less.  A failed attempt to take a lock is
not an effect and is handed back.  The segments are the schedule: exact, and the same that a
record of free-running threads yields.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
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
from mmsim.engine.events import Event, plain, printable
from mmsim.engine.machine import Machine
from mmsim.engine.oops import ContextDied
from mmsim.engine.policy import FOREVER, Policy, RandomWalk
from mmsim.engine.seeds import stream


class ThreadsCarrier:
    """Runs machines one after the other; ``close()`` ends its threads.

    ``pin`` keeps all its threads on one core, which makes a hand-over two to four times cheaper.
    """

    name = "threads"

    def __init__(self, pin: int | None = None) -> None:
        self._pool: list[Host] = []
        self._pin = pin
        self._closing = False
        self._control = threading.Lock()
        self._control.acquire()

    # -- a run --------------------------------------------------------------------------------

    def run(self, machine: Machine, policy: Policy) -> None:
        """Run every context of ``machine`` to its end, or until nobody can go on."""
        self._machine = machine
        self._policy = policy
        self._running: Context | None = None
        self._aborting = False
        self._stuck = False
        self._relaxed: list[Context] = []
        self._granted = 0
        self._left = 0
        self.steps = 0
        self.handovers = 0
        self.segments: list[tuple[int, int]] = []
        used = self._assign(machine)
        self.slow = self._slow if machine.listener is None else self._slow_observed
        door.open(self, machine)
        try:
            first = self._choose()
            if first is not None:
                self._host_of(first).lock.release()
                self._control.acquire()
        finally:
            door.close()
        machine.steps = self.steps
        if self._stuck and machine.error is None and machine.on_stuck is not None:
            # before the stacks are unwound, so that they can be shown
            machine.on_stuck(machine, "budget" if self.steps > machine.max_steps else "stuck")
        self._unwind(used)
        if machine.error is not None:
            raise machine.error

    def _assign(self, machine: Machine) -> list[Host]:
        """Give every task a host, and every CPU one that serves its interrupts when idle."""
        n = 0
        for cpu in machine.cpus:
            if cpu.tasks or cpu.lines:
                cpu.host = self._host(n)
                for task in cpu.tasks:
                    task.host = self._host(n)
                    n += 1
                n += not cpu.tasks
        return self._pool[:n]

    def _host(self, i: int) -> Host:
        while len(self._pool) <= i:
            host = Host()
            host.lock = threading.Lock()
            host.lock.acquire()
            host.thread = threading.Thread(
                target=self._main, args=(host,), name=f"mmsim-{len(self._pool)}", daemon=True
            )
            self._pool.append(host)
            host.thread.start()
        return self._pool[i]

    def _unwind(self, hosts: list[Host]) -> None:
        """Let every context that is still on a stack leave it."""
        self._aborting = True
        for host in hosts:
            if host.ctx is not None:
                host.lock.release()
                self._control.acquire()

    def close(self) -> None:
        """End the threads.  The carrier cannot be used again."""
        self._closing = True
        for host in self._pool:
            host.lock.release()
        for host in self._pool:
            host.thread.join()
        self._pool.clear()

    # -- what a host does ---------------------------------------------------------------------

    def _main(self, host: Host) -> None:
        tls.host = host
        if self._pin is not None:
            os.sched_setaffinity(0, {self._pin})
        while True:
            host.lock.acquire()
            if self._closing:
                return
            try:
                self._serve(host)
            except RunAborted:
                host.ctx = None
                self._control.release()

    def _serve(self, host: Host) -> None:
        """Run contexts that begin on this host until the token has to go elsewhere."""
        ctx = self._running
        while True:
            assert ctx is not None
            if ctx.kind is TASK:
                self._run_task(host, ctx)
            else:
                self._run_irq(host, ctx)
            ctx = self._choose(ctx)
            if ctx is None:
                self._control.release()
                return
            there = self._host_of(ctx)
            if there is not host:
                self.handovers += 1
                there.lock.release()
                return

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
            self._machine.error = error
            self.abort()
            raise RunAborted from None
        self._end_segment(0)
        task.state = DONE
        host.ctx = None
        cpu = task.cpu
        cpu.curr = None
        if task.died:
            cpu.irqs_off = False
            cpu.bh_off = 0
        if self._machine.listener is not None:
            self._emit("exit", None, "", "oops" if task.died else "", "", 0)

    def _run_irq(self, host: Host, irq: Context) -> None:
        cpu = irq.cpu
        cpu.lines.remove(irq)
        cpu.stack.append(irq)
        irq.irqs_before = cpu.irqs_off
        if irq.kind is HARDIRQ:
            cpu.irqs_off = True
        irq.host = host
        irq.state = READY
        below, host.ctx = host.ctx, irq
        listening = self._machine.listener is not None
        if listening:
            self._emit("irq-enter", None, "", irq.kind, "", 0)
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
            self._machine.error = error
            self.abort()
            raise RunAborted from None
        self._end_segment(0)
        if listening:
            self._emit("irq-exit", None, "", irq.kind, "", 0)
        irq.state = DONE
        cpu.stack.pop()
        cpu.irqs_off = irq.irqs_before
        host.ctx = below

    # -- points -------------------------------------------------------------------------------

    def _slow(
        self, kind: str, obj: Any, field: str, effect: Callable[..., Any], *args: Any
    ) -> Any:
        ctx = self._running
        assert ctx is not None
        ctx.pending = (kind, obj, field)
        self._left = int(door.left)
        self._end_segment(1)
        ctx.at_point = True
        self._wait_for_turn(ctx)
        return effect(*args)

    def _slow_observed(
        self, kind: str, obj: Any, field: str, effect: Callable[..., Any], *args: Any
    ) -> Any:
        ctx = self._running
        assert ctx is not None
        ctx.pending = (kind, obj, field)
        self._left -= 1
        if self._left < 0:
            self._end_segment(1)
            ctx.at_point = True
            self._wait_for_turn(ctx)
        door.left = 0
        frame = sys._getframe(1)
        while frame.f_back is not None and "/mmsim/engine/" in frame.f_code.co_filename:
            frame = frame.f_back
        while frame.f_back is not None and frame.f_globals.get("__mmsim_primitive__"):
            frame = frame.f_back
        value = effect(*args)
        if not (kind is LOCK and value is False):
            self._emit(kind, obj, field, value, frame.f_code.co_name, frame.f_lineno)
        return value

    def _emit(self, kind: str, obj: Any, field: str, value: Any, func: str, line: int) -> None:
        ctx = self._running
        listener = self._machine.listener
        assert ctx is not None and listener is not None
        step = self.steps + self._granted - self._left
        listener(
            Event(
                step,
                ctx.id,
                ctx.comm,
                ctx.pid,
                ctx.cpu.id,
                ctx.kind,
                kind,
                printable(obj),
                field,
                plain(value),
                func,
                line,
            )
        )

    def spin(self, ctx: Context, lock: Any) -> None:
        """``ctx`` found ``lock`` taken: let others run until it is free again."""
        self._sync()
        self._end_segment(1)
        ctx.spin = lock
        ctx.state = SPINNING
        lock.spinners += 1
        self._wait_for_turn(ctx)
        lock.spinners -= 1
        ctx.state = READY
        ctx.spin = None

    def relax(self, ctx: Context) -> None:
        """cpu_relax(): nothing will change until somebody else has done something."""
        self._sync()
        self._end_segment(0)
        self.steps += 1  # so that a loop of nothing but relaxing ends
        ctx.relaxed = True
        self._relaxed.append(ctx)
        self._wait_for_turn(ctx)
        ctx.relaxed = False

    def sleep(self, ctx: Context) -> None:
        """``ctx``, whose state is SLEEPING already, gives its CPU away until it is woken."""
        self._sync()
        self._end_segment(0)
        ctx.cpu.curr = None
        self._wait_for_turn(ctx)

    def woken(self, ctx: Context) -> None:
        self.kick()

    def irq_raised(self, ctx: Context) -> None:
        self.kick()

    def opened(self, cpu: Cpu) -> None:
        """``cpu`` may take an interrupt or switch tasks, which it could not before."""
        self.kick()

    def lock_freed(self, lock: Any) -> None:
        if lock.spinners:
            self.kick()

    def kick(self) -> None:
        """Somebody may have become able to run: ask the policy when it wants to decide."""
        soon = self._policy.kicked()
        if soon is None:
            return
        self._sync()
        self._granted += soon - self._left
        self._left = soon
        if self._machine.listener is None:
            door.left = soon

    def abort(self) -> None:
        self._aborting = True

    # -- decisions ----------------------------------------------------------------------------

    def _sync(self) -> None:
        if self._machine.listener is None:
            self._left = int(door.left)

    def _end_segment(self, undone: int) -> None:
        """Close the running context's segment; ``undone`` points passed without an effect."""
        if undone == 0:
            self._sync()
        ctx = self._running
        assert ctx is not None
        n = self._granted - self._left - undone
        self._granted = self._left = 0
        door.left = 0
        if n <= 0:
            return
        self.steps += n
        self._policy.ran(ctx, n)
        segments = self.segments
        if segments and segments[-1][0] == ctx.id:
            segments[-1] = (ctx.id, segments[-1][1] + n)
        else:
            segments.append((ctx.id, n))
        if self._relaxed:
            for other in self._relaxed:
                if other is not ctx:
                    other.relaxed = False
            self._relaxed = [c for c in self._relaxed if c.relaxed]

    def _wait_for_turn(self, ctx: Context) -> None:
        """Return when ``ctx`` is chosen; meanwhile run interrupts on top of it."""
        host = ctx.host
        assert host is not None
        while True:
            chosen = self._choose(ctx)
            if chosen is ctx:
                return
            if chosen is None:
                self._control.release()
                host.lock.acquire()
                raise RunAborted
            there = self._host_of(chosen)
            if there is not host:
                self.handovers += 1
                there.lock.release()
                host.lock.acquire()
                if self._aborting:
                    raise RunAborted
                chosen = self._running
                if chosen is ctx:
                    return
                assert chosen is not None
            self._run_irq(host, chosen)

    def _host_of(self, ctx: Context) -> Host:
        host = ctx.cpu.host if ctx.kind is not TASK and ctx.state == FRESH else ctx.host
        assert host is not None
        return host

    def _choose(self, ctx: Context | None = None) -> Context | None:
        """Ask the policy; grant the chosen its quantum.  None: nobody can run."""
        machine = self._machine
        if self.steps > machine.max_steps:
            self._stuck = True
            return None
        if self.steps * 2 > machine.max_steps and not self._policy.fair:
            # only a loop that survives fair scheduling is a livelock
            self._policy = RandomWalk(stream(machine.seed, "fair"))
        enabled = self._enabled()
        while not enabled:
            late = machine.clock.jump()
            if late is None:
                self._stuck = any(c.state not in (DONE, FRESH) for c in machine.contexts)
                return None
            if late.state == SLEEPING:
                late.state = READY
                late.task_state = 0
            enabled = self._enabled()
        policy = self._policy
        try:
            chosen = policy.pick(enabled, ctx)
        except BaseException as error:
            machine.error = error
            self._stuck = True
            return None
        if len(enabled) == 1 and policy.memoryless:
            granted = FOREVER
        else:
            granted = policy.quantum(chosen)
        granted = min(granted, machine.max_steps - self.steps + 1)
        if chosen.at_point:
            chosen.at_point = False
            self._left = granted - 1
        else:
            self._left = granted
        self._granted = granted
        self._running = chosen
        door.left = self._left if machine.listener is None else 0
        if chosen.kind is TASK:
            cpu = chosen.cpu
            cpu.curr = chosen
            cpu.host = chosen.host
        return chosen

    def _enabled(self) -> list[Context]:
        out = self._machine.enabled()
        if self._relaxed:
            out = [c for c in out if not c.relaxed] or out
        return out
