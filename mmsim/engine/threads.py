# SPDX-License-Identifier: GPL-2.0-only
"""The token carrier: OS threads, one of which holds the token.

Every task has a host thread, kept across runs.  Each host sleeps on a lock of its own; handing
the token over is releasing the other's lock and taking one's own, so a hand-over costs one
wake-up and a run costs as many as its schedule has switches.  Whose turn it is, and for how long,
is decided in ``turns.py``; all state, there and here, is touched only by the holder of the token.
"""

from __future__ import annotations

from collections.abc import Callable
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
)
from mmsim.engine.door import RunAborted, door
from mmsim.engine.hosts import WATCH, Hosts
from mmsim.engine.machine import Machine
from mmsim.engine.observe import accessor, emit, here
from mmsim.engine.oops import ContextDied
from mmsim.engine.policy import Policy
from mmsim.engine.turns import Turns


class ThreadsCarrier(Turns):
    """Runs machines one after the other; ``close()`` ends its threads.

    ``pin`` keeps all its threads on one core, which makes a hand-over two to four times cheaper.
    """

    name = "threads"

    def __init__(self, pin: int | None = None) -> None:
        self._pin = pin
        self._renew()

    # -- a run --------------------------------------------------------------------------------

    def run(self, machine: Machine, policy: Policy) -> None:
        """Run every context of ``machine`` to its end, or until nobody can go on.

        Raises what a context or the policy raised.  KeyboardInterrupt ends the run and its threads.
        """
        self._deal(machine, policy)
        self.handovers = 0
        self.slow = self._slow_observed if self._observed else self._slow
        try:
            used = self._hosts.assign(machine)
            door.open(self, machine)
            first = self._choose(None)
            if first is not None:
                self._host_of(first).lock.release()
                while not self._hosts.control.acquire(timeout=WATCH):
                    pass
            machine.steps = self.steps
            machine.over = True
            door.left = float("inf")
            if self._stuck and machine.error is None and machine.on_stuck is not None:
                # before the stacks are unwound, so that they can be shown
                machine.on_stuck(machine, self._stuck)
            self._unwind(used)
        except BaseException:  # Ctrl-C, at any moment: nobody knows who holds the token
            self.close()
            raise
        finally:
            door.close()
        if machine.error is not None:
            raise machine.error

    def _unwind(self, hosts: list[Host]) -> None:
        """Let every context that is still on a stack leave it."""
        self._aborting = True
        for host in hosts:
            if host.ctx is not None:
                host.lock.release()
                self._hosts.control.acquire()

    def close(self) -> None:
        """End the threads, wherever they are.  The next run starts new ones."""
        hosts = self._hosts
        hosts.closing = True
        self._renew()
        hosts.end(self._push)

    def _renew(self) -> None:
        self._hosts = Hosts("mmsim", self._serve, self._pin, batch=True)

    def _push(self) -> None:
        """Whoever runs now leaves at its next point.  Called from outside, again and again."""
        self._aborting = True
        self._limit = -1
        if door.carrier is self:
            door.slow = self._leave
            door.left = float("-inf")

    def _leave(self, *args: Any) -> Any:
        raise RunAborted

    # -- what a host does ---------------------------------------------------------------------

    def _serve(self, host: Host) -> None:
        """Run contexts that begin on this host until the token has to go elsewhere."""
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
                    break
                there = self._host_of(ctx)
                if there is not host and not self._taken_in(ctx, host, cpu):
                    self.handovers += 1
                    there.lock.release()
                    return
        except RunAborted:
            host.ctx = None
        except BaseException as error:  # a listener, or this file
            host.ctx = None
            self._fail(error)
        host.pool.done()

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
            self._emit("exit", None, "", "oops" if task.died else "")

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
        outer, host.ctx = host.ctx, irq
        if self._observed:
            self._emit("irq-enter", None, "", irq.kind)
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
            self._emit("irq-exit", None, "", irq.kind)
        irq.state = DONE
        cpu.stack.pop()
        cpu.irqs_off = False  # or it would not have come in
        host.ctx = outer

    # -- points -------------------------------------------------------------------------------

    def _slow(self, kind: str, obj: Any, field: str, effect: Callable[..., Any], *args: Any) -> Any:
        """The grant is used up: somebody decides, then this access is the next effect."""
        ctx = self._running
        assert ctx is not None
        ctx.pending = (kind, obj, field)
        if self._granted:
            self._account(ctx, self._granted)
        ctx.at_point = True
        chosen = self._choose(ctx)
        if chosen is not ctx:
            self._wait(ctx, chosen)
        return effect(*args)

    def _slow_observed(
        self, kind: str, obj: Any, field: str, effect: Callable[..., Any], *args: Any
    ) -> Any:
        ctx = self._running
        assert ctx is not None
        ctx.pending = (kind, obj, field)
        self._left -= 1
        if self._left < 0:
            if self._granted:
                self._account(ctx, self._granted)
            ctx.at_point = True
            self._pause(ctx)
        door.left = 0
        where = accessor(here(1))
        value = effect(*args)
        if not (kind is LOCK and value is False):
            self._emit(kind, obj, field, value, where)
        return value

    def _emit(self, *what: Any) -> None:
        listener, ctx = self._machine.listener, self._running
        assert listener is not None and ctx is not None
        emit(listener, ctx, self.position(), *what)

    def spin(self, ctx: Context, lock: Any) -> None:
        """``ctx`` found ``lock`` taken: let others run until it is free again."""
        self._end_segment(1)
        ctx.pending = (LOCK, lock, "")
        ctx.spin = lock
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
        ctx.pending = ("relax", None, "")
        self._stand_back(ctx)
        self._pause(ctx)
        ctx.relaxed = False

    def sleep(self, ctx: Context) -> None:
        """``ctx``, whose state is SLEEPING already, gives its CPU away until it is woken."""
        self._end_segment(0)
        ctx.pending = ("sleep", None, "")
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
        while chosen is not ctx:
            if chosen is None:
                host.pool.done()
                host.lock.acquire()
                raise RunAborted
            there = chosen.host or chosen.cpu.host
            if there is not host:
                assert there is not None
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
            chosen = self._choose(ctx)

    def _host_of(self, ctx: Context) -> Host:
        """Where ``ctx`` goes on: an interrupt that has not begun takes its CPU's present stack."""
        host = ctx.host or ctx.cpu.host
        assert host is not None
        return host
