# SPDX-License-Identifier: GPL-2.0-only
"""Random little kernels, to find out whether a schedule says everything about a run.

A program is drawn from a seed: tasks, softirqs and hardirqs on a few CPUs, each a list of
operations on the same few words and locks: plain and atomic accesses, all forms of locks, sleeping,
waking, timers, preemption, busy waiting.  Nothing keeps such a program from deadlocking, sleeping
in atomic context or missing a wake-up: how it goes wrong has to be reproducible as well.

Every context writes down each value it sees.  Two runs are the same if all of that is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from mmsim.engine.context import HARDIRQ, SOFTIRQ
from mmsim.engine.door import current, door
from mmsim.engine.machine import Machine
from mmsim.linux import atomic, bitops, irqflags, sched, sleeplock, spinlock, wait
from mmsim.linux import list as lists
from mmsim.linux.bug import report
from mmsim.linux.watchdog import stuck
from mmsim.model.struct import Struct, shared

Step = Callable[["World"], None]


class Cell(Struct):
    """Two words everybody fights for, and a list node."""

    a = shared(0)
    b = shared(0)

    def __init__(self, name: str) -> None:
        self.name = name
        self.node = lists.list_head("node", self)
        self.node.v_next = self.node.v_prev = self.node
        self.address = 0x1000


class World:
    """What a program works on, and the log of what its contexts saw."""

    def __init__(self) -> None:
        self.cells = [Cell(f"cell{i}") for i in range(2)]
        self.locks = [spinlock.spin_lock_init(f"lock{i}") for i in range(2)]
        self.mutex = sleeplock.mutex_init("mutex")
        self.sem = sleeplock.init_rwsem("sem")
        self.queue = wait.wait_queue_head("queue")
        self.head = lists.LIST_HEAD("head")
        self.lines: list[Any] = []
        self.tasks: list[Any] = []
        self.seen: dict[int, list[Any]] = {}

    def note(self, value: Any) -> None:
        self.seen.setdefault(current().id, []).append(value)


def boot(seed: int, *, stop_on_first: bool = True) -> Machine:
    """The program of ``seed``, ready to run.  ``machine.vm`` is its World."""
    rng = Random(seed)
    machine = Machine(
        rng.choice((1, 2, 2, 3)),
        seed=seed,
        era="5.17",
        preempt=rng.random() < 0.5,
        config={"DEBUG_LIST": True, "DEBUG_SPINLOCK": rng.random() < 0.3},
    )
    door.boot(machine)  # until the next one is booted
    machine.max_steps = 3_000
    machine.stop_on_first = stop_on_first
    machine.on_stuck = stuck
    world = machine.vm = World()
    for i in range(rng.randint(1, 2 * len(machine.cpus))):
        body = block(rng, 3, may_sleep=True)
        world.tasks.append(machine.spawn(run, world, body, comm=f"task{i}", cpu=i))
    for i in range(rng.randint(0, 3)):
        kind = rng.choice((HARDIRQ, SOFTIRQ))
        body = block(rng, 2, may_sleep=False)
        armed = rng.random() < 0.6
        line = machine.irq(
            run, world, body, comm=f"irq{i}", cpu=rng.randrange(3), kind=kind, armed=armed
        )
        world.lines.append(line)
    return machine


def run(world: World, body: list[Step]) -> None:
    for step in body:
        step(world)


def outcome(machine: Machine) -> tuple[Any, ...]:
    """Everything that two runs have to agree on."""
    world = machine.vm
    words = tuple((cell.v_a, cell.v_b) for cell in world.cells)
    findings = tuple(
        (f.kind, f.title, f.where, f.comm, f.context, f.step) for f in machine.findings
    )
    return (world.seen, words, machine.clock.now, findings)


# -- operations --------------------------------------------------------------------------------


def block(rng: Random, depth: int, *, may_sleep: bool) -> list[Step]:
    """A few random operations; ``depth`` levels of locked regions inside each other."""
    return [_step(rng, depth, may_sleep) for _ in range(rng.randint(0, 4))]


def _step(rng: Random, depth: int, may_sleep: bool) -> Step:
    makers = [_access] * 6 + [_odd] * 2
    if depth:
        makers += [_atomic_region] * 3
    if depth and may_sleep:
        makers += [_sleeping_region] * 2
    if may_sleep or rng.random() < 0.05:
        makers += [_wait] * 2
    return rng.choice(makers)(rng, depth, may_sleep)


def _access(rng: Random, depth: int, may_sleep: bool) -> Step:
    i, field, n = rng.randrange(2), rng.choice("ab"), rng.randrange(3)

    def read(w: World) -> None:
        w.note(getattr(w.cells[i], field))

    def write(w: World) -> None:
        setattr(w.cells[i], field, n)

    def add(w: World) -> None:
        setattr(w.cells[i], field, getattr(w.cells[i], field) + 1)

    def atomic_add(w: World) -> None:
        w.note(atomic.atomic_add_return(w.cells[i], field, n))

    def bits(w: World) -> None:
        w.note(bitops.test_and_set_bit(n, w.cells[i], field))

    def bits_not_atomic(w: World) -> None:
        bitops.__clear_bit(n, w.cells[i], field)

    return rng.choice((read, write, add, add, atomic_add, bits, bits_not_atomic))


def _atomic_region(rng: Random, depth: int, may_sleep: bool) -> Step:
    i = rng.randrange(2)
    body = block(rng, depth - 1, may_sleep=rng.random() < 0.03)

    def irqsave(w: World) -> None:
        flags = spinlock.spin_lock_irqsave(w.locks[i])
        run(w, body)
        spinlock.spin_unlock_irqrestore(w.locks[i], flags)

    def plain(w: World) -> None:
        spinlock.spin_lock(w.locks[i])
        run(w, body)
        spinlock.spin_unlock(w.locks[i])

    def bh(w: World) -> None:
        spinlock.spin_lock_bh(w.locks[i])
        run(w, body)
        spinlock.spin_unlock_bh(w.locks[i])

    def trylock(w: World) -> None:
        taken = spinlock.spin_trylock(w.locks[i])
        w.note(taken)
        if taken:
            run(w, body)
            spinlock.spin_unlock(w.locks[i])

    def irqs_off(w: World) -> None:
        flags = irqflags.local_irq_save()
        run(w, body)
        irqflags.local_irq_restore(flags)

    def no_preemption(w: World) -> None:
        sched.preempt_disable()
        run(w, body)
        sched.preempt_enable()

    def on_the_list(w: World) -> None:
        flags = spinlock.spin_lock_irqsave(w.locks[0])
        if lists.list_empty(w.cells[i].node):
            lists.list_add(w.cells[i].node, w.head)
        else:
            lists.list_del_init(w.cells[i].node)
        spinlock.spin_unlock_irqrestore(w.locks[0], flags)

    return rng.choice((irqsave, irqsave, plain, bh, trylock, irqs_off, no_preemption, on_the_list))


def _sleeping_region(rng: Random, depth: int, may_sleep: bool) -> Step:
    body = block(rng, depth - 1, may_sleep=may_sleep)

    def mutex(w: World) -> None:
        sleeplock.mutex_lock(w.mutex)
        run(w, body)
        sleeplock.mutex_unlock(w.mutex)

    def mutex_trylock(w: World) -> None:
        taken = sleeplock.mutex_trylock(w.mutex)
        w.note(taken)
        if taken:
            run(w, body)
            sleeplock.mutex_unlock(w.mutex)

    def read(w: World) -> None:
        sleeplock.down_read(w.sem)
        run(w, body)
        sleeplock.up_read(w.sem)

    def write(w: World) -> None:
        sleeplock.down_write(w.sem)
        run(w, body)
        sleeplock.up_write(w.sem)

    return rng.choice((mutex, mutex_trylock, read, write))


def _wait(rng: Random, depth: int, may_sleep: bool) -> Step:
    seconds = rng.choice((0.5, 1.0, 1.0, 2.0))

    def timer(w: World) -> None:
        sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
        sched.schedule_timeout(seconds)

    def queue(w: World) -> None:
        entry = wait.wait_queue_entry(wait.autoremove_wake_function)
        wait.prepare_to_wait(w.queue, entry, sched.TASK_UNINTERRUPTIBLE)
        if not w.cells[0].a:
            sched.schedule_timeout(seconds)
        wait.finish_wait(w.queue, entry)

    def for_ever(w: World) -> None:
        sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
        if not w.cells[1].b:
            sched.schedule()
        sched.set_current_state(sched.TASK_RUNNING)

    def nothing(w: World) -> None:
        """A task may come to its end without another effect."""

    return rng.choice((timer, timer, queue, queue, for_ever, nothing))


def _odd(rng: Random, depth: int, may_sleep: bool) -> Step:
    i = rng.randrange(8)

    def wake(w: World) -> None:
        w.note(sched.wake_up_process(w.tasks[i % len(w.tasks)]))

    def wake_queue(w: World) -> None:
        wait.wake_up(w.queue)

    def raise_line(w: World) -> None:
        if w.lines:
            irqflags.raise_irq(w.lines[i % len(w.lines)])

    def poll(w: World) -> None:
        for _ in range(4):
            if atomic.READ_ONCE(w.cells[i % 2], "b"):
                break
            sched.cpu_relax()

    def resched(w: World) -> None:
        sched.cond_resched()

    def assertion(w: World) -> None:
        if i == 0:
            if not door.machine.stop_on_first:
                w.note(w.cells[0].a)  # only the finding that ends a run may follow no effect
            report("BUG", "kernel BUG at fuzz.c:1!", fatal=True)
        elif i == 1 and w.cells[0].a > 2:
            report("BUG", "kernel BUG at fuzz.c:2!", fatal=True)

    return rng.choice((wake, wake_queue, raise_line, poll, poll, resched, assertion))
