# SPDX-License-Identifier: GPL-2.0-only
"""A machine: CPUs, contexts, a clock and a configuration.  One run boots one.

The engine does not know what the machine computes.  Whoever boots it hangs the kernel's globals
on ``vm``, says what to do when everybody is stuck (``on_stuck``), and reads ``findings`` and
``metrics`` when it is over.

    with machine.booted():
        ...                             set-up: kernel code sees this machine, points pass silently
        token.run(machine, policy)
        ...                             checks, likewise
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

from mmsim.engine.clock import Clock
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
)
from mmsim.engine.door import RunAborted, access, current, door
from mmsim.engine.instruments import Instrument
from mmsim.engine.op import SPAWN, Op
from mmsim.engine.seeds import stream

NO_CONFIG: Mapping[str, Any] = {}
NEW_CONTEXT = Op(SPAWN, "contexts")
_telling = threading.Lock()  # free-running threads report, and count


class Machine:
    """``cpus`` CPUs; ``preempt`` is CONFIG_PREEMPT, ``smp`` False a UP build (one CPU).

    ``seed`` is the run's; ``gates`` the names of the patches applied; ``config`` kernel options
    without their ``CONFIG_``.
    """

    def __init__(
        self,
        cpus: int,
        *,
        preempt: bool = False,
        smp: bool = True,
        seed: int = 0,
        config: Mapping[str, Any] = NO_CONFIG,
        gates: frozenset[str] = frozenset(),
        era: str = "",
    ) -> None:
        self.cpus = list(map(Cpu, range(cpus)))
        self.preempt = preempt
        self.smp = smp
        self.seed = seed
        self.config = config
        self.gates = gates
        self.era = era
        self.contexts: list[Context] = []
        self.clock = Clock()
        self.vm: Any = None
        self.findings: list[Any] = []
        self.metrics: dict[str, float] = {}
        self.notes: list[str] = []  # what this run did not check
        self.stop_on_first = True
        self.panicked = False
        self.error: BaseException | None = None
        self.instruments: list[Instrument] = []
        self.memory: Any = None  # a WeakMemory; None is sequentially consistent
        self.on_stuck: Callable[[Machine, str], None] | None = None
        self.max_steps = 100_000
        self.steps = 0
        self.over = False  # nobody runs any more: a finding ends nothing
        self._rng: random.Random | None = None
        self._boot: Context | None = None

    known_as: int = -1  # the number that a search has given it

    def identity(self) -> tuple[str, None]:
        """There is one in a run."""
        return "Machine", None

    def booted(self) -> Machine:
        """Kernel code runs on this machine: set-up, the run, and checks, one after the other.

        For ``with``; a generator of contextlib's would cost as much as all else that is booted.
        """
        return self

    def __enter__(self) -> Machine:
        door.boot(self)
        return self

    def __exit__(self, *raised: object) -> None:
        door.close()
        door.machine = None

    @property
    def boot(self) -> Context:
        """Who runs while nobody does: it lends its name to set-up and checks."""
        if self._boot is None:
            self._boot = Context(-1, TASK, self.cpus[0], "swapper/0", 0, _nothing, ())
        return self._boot

    @property
    def rng(self) -> random.Random:
        """Randomness for set-up: the same for a run however it is scheduled."""
        if self._rng is None:
            self._rng = stream(self.seed, "setup")
        return self._rng

    @property
    def drew(self) -> bool:
        """Has the set-up drawn random numbers?  Then another seed may boot another machine."""
        return self._rng is not None

    def spawn(self, fn: Callable[..., Any], *args: Any, comm: str, cpu: int = 0) -> Context:
        """A task on ``cpu`` (taken modulo the number of CPUs) that will run ``fn(*args)``.

        While the machine runs this is an effect of the caller's, and its ``fork``.
        """
        if door.execution is None:
            return self._add(TASK, fn, args, comm, cpu)
        made: Context = access(NEW_CONTEXT, self, self._fork, fn, args, comm, cpu)
        return made

    def _fork(self, fn: Callable[..., Any], args: tuple[Any, ...], comm: str, cpu: int) -> Context:
        task = self._add(TASK, fn, args, comm, cpu)
        if door.execution is not None:
            door.execution.spawned(task)
        return task

    def irq(
        self,
        fn: Callable[..., Any],
        *args: Any,
        comm: str,
        cpu: int = 0,
        kind: str = HARDIRQ,
        armed: bool = True,
    ) -> Context:
        """An interrupt that will fire once on ``cpu``, at any point where it is let in.

        With ``armed=False`` it waits for ``raise_irq``, which may raise it again and again.
        Raises RuntimeError while the machine runs: a device is there from boot on.
        """
        if door.execution is not None:
            raise RuntimeError(f"{comm}: interrupt lines are made while the machine is set up")
        line = self._add(kind, fn, args, comm, cpu)
        line.armed = armed
        return line

    def _add(
        self, kind: str, fn: Callable[..., Any], args: tuple[Any, ...], comm: str, cpu: int
    ) -> Context:
        n = len(self.contexts)
        on = self.cpus[cpu % len(self.cpus)]
        ctx = Context(n, kind, on, comm, 100 + n, fn, args)
        self.contexts.append(ctx)
        (on.tasks if kind is TASK else on.lines).append(ctx)
        return ctx

    def raised(self, line: Context) -> bool:
        """Effect of a device that raises ``line``; false if that merges with an earlier raise.

        A line that is raised while it is being handled is handled once more afterwards.  A line
        that is raised already stays so, and so does one whose handler has not done anything yet:
        what was meant to be two interrupts is one.
        """
        if line.state == FRESH:
            merged, line.armed = line.armed, True
        elif line.state == DONE:
            merged = False
            self._rearm(line)
        elif line.stamp < 0 and current() is not line:
            merged = True
        else:
            merged, line.again = line.again, True
        return not merged

    def handled(self, line: Context) -> None:
        """The handler of ``line`` has returned."""
        line.state = DONE
        if line.again:
            line.again = False
            self._rearm(line)

    @staticmethod
    def _rearm(line: Context) -> None:
        line.state = FRESH
        line.armed = True
        line.host = None
        line.pending = BEGINS
        line.cpu.lines.append(line)

    def retire(self, task: Context) -> None:
        """``task`` has returned, or died, and leaves its CPU."""
        task.state = DONE
        cpu = task.cpu
        cpu.tasks.remove(task)
        cpu.curr = None
        if task.died:
            cpu.irqs_off = False
            cpu.bh_off = 0

    def enabled(self) -> list[Context]:
        """Every context that could go on now, CPU by CPU: the choices of a policy."""
        return [ctx for cpu in self.cpus for ctx in self.choices(cpu)]

    def choices(self, cpu: Cpu) -> list[Context]:
        """Those of one CPU.

        A spinner whose lock is taken is not among them: a simulator need not burn time to wait.
        """
        top = cpu.stack[-1] if cpu.stack else cpu.curr
        if top is None:
            out = [task for task in cpu.tasks if task.state <= READY]
        else:
            state = top.state
            if state <= READY or (state == SPINNING and not top.spin.locked):
                out = [top]
            elif state == SLEEPING:  # a task on its way out
                out = [task for task in cpu.tasks if task.state <= READY]
                state = DONE
            else:
                out = []
            if len(cpu.tasks) > 1 and state != DONE and cpu.preemptible(self.preempt):
                out += [t for t in cpu.tasks if t is not top and t.state <= READY]
        if cpu.lines:
            out += [line for line in cpu.lines if cpu.takes(line)]
        return out

    def seated(self) -> tuple[tuple[int, int], ...]:
        """Segments of no effects for whoever has a CPU, what was interrupted first.

        They end the recording of a run that is stuck: who got a CPU, and never came to an effect
        there, keeps others from it all the same.
        """
        return tuple(
            (ctx.id, 0)
            for cpu in self.cpus
            for ctx in (cpu.curr, *cpu.stack)
            if ctx is not None and ctx.state != SLEEPING
        )

    def position(self) -> int:
        """Effects of the run before this moment."""
        execution = door.execution
        return self.steps if self.over or execution is None else execution.position()

    def report(self, finding: Any) -> None:
        """Keep a finding; end the run there unless it is to go on to quiescence."""
        with _telling:
            self.findings.append(finding)
        execution = door.execution
        if self.stop_on_first and execution is not None and not self.over:
            execution.abort()
            raise RunAborted

    def count(self, name: str, n: float = 1) -> None:
        """Add to a metric of the run."""
        with _telling:
            self.metrics[name] = self.metrics.get(name, 0) + n


def _nothing() -> None:
    """The boot context runs no function."""
