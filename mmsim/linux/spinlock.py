# SPDX-License-Identifier: GPL-2.0-only
"""Spinlocks (include/linux/spinlock.h, kernel/locking/spinlock_debug.c).

Taking a lock is one effect; an attempt on a taken lock is none, and the CPU spins with its
interrupts as they are.  In a UP build (CONFIG_SMP=n) there is no lock word at all: only the
interrupt and preemption parts of each form remain, which is how an interrupt gets into the
middle of a list operation in thread 002.

With DEBUG_SPINLOCK misuse is reported where it happens (recursion, wrong owner, wrong CPU,
already unlocked); without it the CPU simply spins, and the engine finds out that it spins for ever.
"""

from mmsim.engine.context import TASK
from mmsim.engine.door import access, current, door, touch
from mmsim.engine.op import LOCK, READ_ONCE, TRYLOCK, UNLOCK, Op
from mmsim.linux.bug import report
from mmsim.linux.irqflags import (
    local_bh_disable,
    local_bh_enable,
    local_irq_disable,
    local_irq_enable,
    local_irq_restore,
    local_irq_save,
)
from mmsim.linux.sched import preempt_disable, preempt_enable
from mmsim.model.era import IS_ENABLED
from mmsim.model.struct import Struct

__mmsim_primitive__ = True


_LOCKS = Op(LOCK, "locked", unchanged=False)
_TRIES = Op(TRYLOCK, "locked", unchanged=False, fails=lambda lock, *_: lock.locked)
_UNLOCKS = Op(UNLOCK, "locked")
_LOOKS = Op(READ_ONCE, "locked")


class spinlock(Struct):
    """``locked`` is the lock's word.

    ``owner`` and ``owner_cpu`` say who holds it, for reports and for finding deadlocks.  They
    change with the word, in the same effect, and no kernel code decides anything by them.
    """

    locked = False
    owner = None
    owner_cpu = None
    spinners = 0

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"<spinlock {self.name} {'held by ' + repr(self.owner) if self.locked else 'free'}>"


def spin_lock_init(name):
    """A new lock; ``name`` is the C expression, as lockdep prints it."""
    return spinlock(name)


def _try(lock, ctx):
    if lock.locked:
        return False
    lock.locked = True
    lock.owner = ctx
    lock.owner_cpu = ctx.cpu
    ctx.locks.append(lock)
    return True


def _release(lock, ctx):
    owner = lock.owner
    lock.locked = False
    lock.owner = None
    if owner is not None and lock in owner.locks:
        owner.locks.remove(lock)
    if lock.spinners and door.execution is not None:
        door.execution.lock_freed(lock)


def _release_checked(lock, ctx):
    """The same, and what DEBUG_SPINLOCK finds wrong with it, as of the moment it happens."""
    owner = lock.owner
    if not lock.locked:
        wrong = "already unlocked"
    elif _task_of(owner) is not _task_of(ctx):
        wrong = "wrong owner"
    elif lock.owner_cpu is not ctx.cpu:
        wrong = "wrong CPU"
    else:
        wrong = ""
    _release(lock, ctx)
    return wrong, owner


def _spin_bug(lock, what, owner):
    ctx = current()
    report(
        "spinlock",
        f"BUG: spinlock {what}",
        detail=(
            f"BUG: spinlock {what} on CPU#{ctx.cpu.id}, {ctx.comm}/{ctx.pid}",
            f" lock: {lock.name}, .magic: dead4ead, .owner: "
            f"{'<none>/-1' if owner is None else f'{owner.comm}/{owner.pid}'}, "
            f".owner_cpu: {-1 if owner is None else owner.cpu.id}",
        ),
    )


def _task_of(ctx):
    """``current`` in C: an interrupt's is the task below it, on an idle CPU the idle task."""
    return ctx if ctx.kind is TASK else ctx.cpu.curr or ctx.cpu


def _debug_lock(lock, ctx):
    # A lock that this task or this CPU holds cannot change hands meanwhile: no point is needed.
    owner = lock.owner
    if owner is not None:
        if _task_of(owner) is _task_of(ctx):
            _spin_bug(lock, "recursion", owner)
        elif owner.cpu is ctx.cpu:
            _spin_bug(lock, "cpu recursion", owner)


def _acquire(lock):
    if not door.machine.smp:
        return
    ctx = current()
    if IS_ENABLED("DEBUG_SPINLOCK"):
        _debug_lock(lock, ctx)
    while not touch(_LOCKS, lock, _try, ctx):
        if door.execution is None:
            raise RuntimeError(f"{lock.name} is taken while nothing runs")
        door.execution.spin(ctx, lock)


def _drop(lock):
    if not door.machine.smp:
        return
    ctx = current()
    if not IS_ENABLED("DEBUG_SPINLOCK"):
        touch(_UNLOCKS, lock, _release, ctx)
        return
    wrong, owner = touch(_UNLOCKS, lock, _release_checked, ctx)
    if wrong:
        _spin_bug(lock, wrong, owner)


def _try_acquire(lock):
    if not door.machine.smp:
        return True
    return touch(_TRIES, lock, _try, current())


def spin_lock(lock):
    """Interrupts stay as they are."""
    preempt_disable()
    _acquire(lock)


def spin_unlock(lock):
    """Undo spin_lock()."""
    _drop(lock)
    preempt_enable()


def spin_trylock(lock):
    """Take it if it is free; true if taken."""
    preempt_disable()
    if _try_acquire(lock):
        return True
    preempt_enable()
    return False


def spin_lock_irq(lock):
    """Interrupts off first, then the lock."""
    local_irq_disable()
    preempt_disable()
    _acquire(lock)


def spin_unlock_irq(lock):
    """Undo spin_lock_irq(): interrupts on, whatever they were."""
    _drop(lock)
    local_irq_enable()
    preempt_enable()


def spin_lock_irqsave(lock):
    """Interrupts off, then the lock; the value remembers how interrupts were."""
    flags = local_irq_save()
    preempt_disable()
    _acquire(lock)
    return flags


def spin_unlock_irqrestore(lock, flags):
    """Undo spin_lock_irqsave()."""
    _drop(lock)
    local_irq_restore(flags)
    preempt_enable()


def spin_trylock_irqsave(lock):
    """(taken, flags): interrupts are as before if it was not taken."""
    flags = local_irq_save()
    if spin_trylock(lock):
        return True, flags
    local_irq_restore(flags)
    return False, flags


def spin_lock_bh(lock):
    """Bottom halves off, then the lock."""
    local_bh_disable()
    preempt_disable()
    _acquire(lock)


def spin_unlock_bh(lock):
    """Undo spin_lock_bh()."""
    _drop(lock)
    preempt_enable()
    local_bh_enable()


def _is_locked(lock):
    return lock.locked


def spin_is_locked(lock):
    """A look at the lock word (for assertions); never set in a UP build."""
    return access(_LOOKS, lock, _is_locked, lock)


def assert_spin_locked(lock):
    """BUG unless the lock is held by somebody; says nothing in a UP build."""
    if door.machine.smp and not spin_is_locked(lock):
        report("BUG", f"BUG: {lock.name} is not held", fatal=True)
