# SPDX-License-Identifier: GPL-2.0-only
"""Random programs small enough for brute force: locks, interrupts, sleep, timers, several tasks.

``program(seed, flavour)`` returns a function that boots the same program each time; its machine has
``logs``, what each context saw.  :func:`final` is what a run came to.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from mmsim.engine.context import DONE, HARDIRQ, SOFTIRQ
from mmsim.engine.door import access
from mmsim.engine.op import RMW, Op
from mmsim.linux import irqflags, sched, sleeplock, spinlock
from mmsim.linux.atomic import atomic_add_return
from tests.engine.lab import Lab

FLAVOURS = ("locks", "interrupts", "sleep", "tasks", "preempt")
TASK_OPS = {
    "locks": ("read", "write", "inc", "lock", "try", "add", "trybit"),
    "interrupts": ("read", "write", "inc", "lock", "try", "add", "irqoff", "bh", "raise"),
    "sleep": (
        "read",
        "write",
        "sem",
        "semtry",
        "semread",
        "semtryread",
        "wait",
        "wake",
        "timer",
        "lock",
    ),
    "tasks": ("read", "write", "inc", "resched", "wait", "wake", "sem", "lock", "spawn"),
    "preempt": ("read", "write", "lock", "try", "add", "sem", "wake", "irqoff"),
}
IRQ_OPS = ("read", "write", "inc", "try", "trybit", "lock", "wake", "raise")
TRIES_BIT = Op(RMW, "m", unchanged=False, fails=lambda word, *_: word.v_m != 0)


def try_bit(word: Any) -> bool:
    """Effect: what a trylock of a page does to its flags."""
    if word.v_m:
        return False
    word.v_m = 1
    return True


def program(seed: int, flavour: str) -> Callable[[], Lab]:
    rng = random.Random(seed * 8 + FLAVOURS.index(flavour))
    several = flavour in ("tasks", "preempt")
    tasks = 3 if several else rng.choice((2, 2, 3))
    cpus = 2 if several else tasks
    longest = 2 if tasks == 3 else 3
    bodies = [
        [
            (rng.choice(TASK_OPS[flavour]), rng.choice("nm"), rng.randrange(3))
            for _ in range(rng.randrange(1, longest + 1))
        ]
        for _ in range(tasks)
    ]
    irqs = rng.choice((1, 1, 2)) if flavour == "interrupts" else rng.choice((0, 0, 1))
    lines = [
        (
            rng.randrange(cpus),
            rng.choice((HARDIRQ, HARDIRQ, SOFTIRQ)),
            rng.random() < 0.6,
            [
                (rng.choice(IRQ_OPS), rng.choice("nm"), rng.randrange(2))
                for _ in range(rng.randrange(1, 3))
            ],
        )
        for _ in range(irqs)
    ]

    def build() -> Lab:
        m = Lab(cpus, preempt=flavour == "preempt")
        m.logs = {}  # type: ignore[attr-defined]
        locks = [spinlock.spin_lock_init(f"lock{i}") for i in range(2)]
        sem = sleeplock.init_rwsem("sem")
        made: set[str] = set()

        def child(word: Any) -> None:
            word.n = word.n + 7

        def body(word: Any, name: str, ops: Any) -> None:
            log = m.logs.setdefault(name, [])  # type: ignore[attr-defined]
            for op, field, value in ops:
                step(word, log, name, op, field, value)

        def step(word: Any, log: Any, name: str, op: str, field: str, value: int) -> None:
            lock = locks[value & 1]
            if op == "read":
                log.append(getattr(word, field))
            elif op == "write":
                setattr(word, field, value + 10 * (1 + len(name) + ord(name[-1]) % 7))
            elif op == "inc":
                setattr(word, field, getattr(word, field) + 1)
            elif op == "add":
                log.append(atomic_add_return(word, field, 1))
            elif op == "lock":
                flags = spinlock.spin_lock_irqsave(lock)
                setattr(word, field, getattr(word, field) + 1)
                spinlock.spin_unlock_irqrestore(lock, flags)
            elif op == "try":
                taken = spinlock.spin_trylock(lock)
                log.append(taken)
                if taken:
                    word.m = word.m + 1
                    spinlock.spin_unlock(lock)
            elif op == "trybit":
                taken = access(TRIES_BIT, word, try_bit, word)
                log.append(taken)
                if taken:
                    word.n = word.n + 5
                    word.m = 0
            elif op == "irqoff":
                irqflags.local_irq_disable()
                setattr(word, field, getattr(word, field) + 2)
                irqflags.local_irq_enable()
            elif op == "bh":
                irqflags.local_bh_disable()
                setattr(word, field, getattr(word, field) + 3)
                irqflags.local_bh_enable()
            elif op == "raise":
                line = value % len(lines) if lines else 0
                if lines and (name[0] == "t" or name < f"irq{line}"):
                    # no interrupt raises itself: that would never end
                    log.append(irqflags.raise_irq(m.lines_made[line]))  # type: ignore[attr-defined]
            elif op == "sem":
                sleeplock.down_write(sem)
                word.n = word.n + 1
                sleeplock.up_write(sem)
            elif op == "semread":
                sleeplock.down_read(sem)
                log.append(word.n)
                sleeplock.up_read(sem)
            elif op == "semtry":
                taken = sleeplock.down_write_trylock(sem)
                log.append(taken)
                if taken:
                    sleeplock.up_write(sem)
            elif op == "semtryread":
                taken = sleeplock.down_read_trylock(sem)
                log.append(taken)
                if taken:
                    log.append(word.n)
                    sleeplock.up_read(sem)
            elif op == "wait":
                sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
                if not getattr(word, field):
                    sched.schedule()
                sched.set_current_state(sched.TASK_RUNNING)
            elif op == "timer":
                sched.set_current_state(sched.TASK_UNINTERRUPTIBLE)
                if value:
                    sched.schedule_timeout(value)
                sched.set_current_state(sched.TASK_RUNNING)
                log.append(getattr(word, field))
            elif op == "wake":
                log.append(sched.wake_up_process(m.contexts[value % tasks]))
            elif op == "resched":
                sched.cond_resched()
            elif op == "spawn" and name not in made:
                made.add(name)  # one each: what others did must not be looked at here
                sched.kthread_run(child, word, comm="child", cpu=value % cpus)

        for i, ops in enumerate(bodies):
            m.spawn(body, m.vm, f"t{i}", ops, comm=f"t{i}", cpu=i % cpus)
        m.lines_made = [  # type: ignore[attr-defined]
            m.irq(body, m.vm, f"irq{i}", ops, comm=f"irq{i}", cpu=cpu, kind=kind, armed=armed)
            for i, (cpu, kind, armed, ops) in enumerate(lines)
        ]
        return m

    build.text = f"{cpus} CPUs, tasks {bodies}, lines {lines}"  # type: ignore[attr-defined]
    return build


def final(m: Any) -> Any:
    """What an execution came to."""
    return (
        m.vm.v_n,
        m.vm.v_m,
        tuple(sorted((name, tuple(log)) for name, log in m.logs.items())),
        tuple(c.state == DONE for c in m.contexts),
        tuple(f.kind for f in m.findings),
        m.clock.now,
    )
