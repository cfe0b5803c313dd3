# SPDX-License-Identifier: GPL-2.0-only
"""What a free-running context does at a point instead of going on.

Either it is disturbed, with a seeded probability: by an interrupt, by another task of its CPU, or
by a ``sched_yield`` that lets other threads overtake it.  Or a recorded schedule says that it is
somebody else's turn.
"""

from __future__ import annotations

import math
import os

from mmsim.engine.context import FRESH, READY, TASK, Context, Cpu, Host, tls
from mmsim.engine.machine import Machine
from mmsim.engine.schedule import Diverged
from mmsim.engine.seats import Seats

PATIENCE = 2_000_000  # yields without an effect by anybody before a run is given up


class Injection(Seats):
    """Yields, interrupts and preemptions, at random or as recorded."""

    def _expect(self, machine: Machine, q: float) -> None:
        """A run begins: each point is a disturbance with probability ``q``."""
        self._scale = 1.0 / math.log1p(-q)
        self._left = [self._draw(cpu) for cpu in machine.cpus]
        self._idle_polls = 0

    def _draw(self, cpu: Cpu) -> int:
        return int(math.log(1.0 - self._rng[cpu.id].random()) * self._scale)

    def _run_irq(self, host: Host, irq: Context) -> None:
        raise NotImplementedError

    def _idle(self, host: Host, cpu: Cpu, ctx: Context | None) -> bool:
        raise NotImplementedError

    def _stay(self) -> None:
        raise NotImplementedError

    def _fail(self, error: BaseException) -> None:
        raise NotImplementedError

    def _disturb(self, host: Host, ctx: Context) -> None:
        """Is it time for a disturbance?  Then have it."""
        cpu = ctx.cpu
        self._left[cpu.id] -= 1
        if self._left[cpu.id] < 0:
            self._left[cpu.id] = self._draw(cpu)
            self._inject(host, ctx)

    def _inject(self, host: Host, ctx: Context) -> None:
        cpu = ctx.cpu
        line = other = None
        with self._mutex:
            if not self._ending:
                line = self._claim(cpu)
                if line is None and len(cpu.tasks) > 1 and cpu.preemptible(self._machine.preempt):
                    ready = [t for t in cpu.tasks if t is not ctx and t.state <= READY]
                    if ready and not self._lead:
                        other = self._rng[cpu.id].choice(ready)
                        self._give(cpu, other)
        if line is not None:
            self._run_irq(host, line)
        elif other is not None:
            self._idle(host, cpu, ctx)
        else:
            os.sched_yield()

    def _give_way(self, host: Host, ctx: Context) -> None:
        """The recording says it is somebody else's turn."""
        cpu = ctx.cpu
        line = task = None
        with self._mutex:
            turn = self._lead.turn()
            if not self._lead or self._ending:
                return
            if turn is None:  # it waits: for time to pass, say, or for somebody who needs no effect
                line = self._claim(cpu)
                task = next((t for t in cpu.tasks if t.state == FRESH), None)
            elif turn.cpu is cpu:
                line = None if turn.kind is TASK else self._claim(cpu)
                task = turn if turn.kind is TASK else None
            if task is ctx or line is not None or not self._may_go(ctx):
                task = None
            if task is not None:
                self._give(cpu, task)
        if line is not None:
            self._run_irq(host, line)
        elif task is not None:
            self._idle(host, cpu, ctx)
        else:
            self._poll()

    def _may_go(self, ctx: Context) -> bool:
        """May its CPU be given to another task?  It may if ``ctx`` has done nothing on it yet."""
        cpu = ctx.cpu
        return cpu.curr is ctx and (ctx.stamp < 0 or cpu.preemptible(self._machine.preempt))

    def _turn_elsewhere(self, ctx: Context) -> bool:
        """Is it the turn of somebody on another CPU?"""
        with self._mutex:
            turn = None if self._ending else self._lead.turn()
            return turn is not None and turn.cpu is not ctx.cpu

    def relax(self, ctx: Context) -> None:
        """cpu_relax()."""
        ctx.pending = ("relax", None, "")
        if self._ending:
            self._stay()
        if self._lead:
            while self._turn_elsewhere(ctx):
                self._poll()
            self._give_way(tls.host, ctx)  # perhaps the last moment at which it may be preempted
        else:
            self._inject(tls.host, ctx)
            self._poll()

    def _poll(self) -> None:
        """Let others run; give the run up if nobody does anything."""
        self._idle_polls += 1
        if self._idle_polls > PATIENCE:
            if self._lead.free:
                self._finish("budget")
            else:
                step = len(self._record)
                self._fail(Diverged(f"step {step}: nobody takes the recorded turn"))
        if self._ending:
            self._stay()
        os.sched_yield()
