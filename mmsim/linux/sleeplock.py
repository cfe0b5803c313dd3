# SPDX-License-Identifier: GPL-2.0-only
"""rwsem and mutex: locks one sleeps on (include/linux/rwsem.h, mutex.h).

Only their contract is modelled: shared or exclusive ownership, first come first served, never
from atomic context.  Queueing is one effect with the failed attempt, so no wake-up is lost in
between; how the kernel achieves that is not what the five threads argue about.  The page lock is:
it stands written out in filemap.py.
"""

from mmsim.engine.context import READY, SLEEPING
from mmsim.engine.door import access, current, door
from mmsim.engine.op import DOWN, UP, Op
from mmsim.linux.bug import report
from mmsim.linux.sched import TASK_RUNNING, might_sleep
from mmsim.model.struct import Struct

__mmsim_primitive__ = True


_STATE = Op(DOWN, "state")


def _queues(sem, _, ctx, write):
    """Whoever cannot come in goes to sleep in the same effect."""
    return [(ctx, _STATE)]


def _lets_in(sem, *_):
    """Whoever leaves may wake those who wait."""
    return [(waiter, _STATE) for waiter, _write in sem.waiters]


def _taken(sem, _, ctx, write):
    return bool(sem.waiters) or sem.owner is not None or bool(write and sem.readers)


_DOWN = Op(DOWN, "sem", also=_queues)
_TRIES = Op(DOWN, "sem", unchanged=False, fails=_taken)
_UP = Op(UP, "sem", also=_lets_in)


class rw_semaphore(Struct):
    """``readers`` and ``owner`` (a writer) exclude each other; ``waiters``: (context, write).

    Together they are one word, ``sem``.
    """

    def __init__(self, name):
        self.name = name
        self.owner = None
        self.readers = []
        self.waiters = []

    def holders(self):
        """Everybody who is inside."""
        return [self.owner] if self.owner is not None else list(self.readers)


class mutex(rw_semaphore):
    """A rw_semaphore that is only ever taken for writing."""


def init_rwsem(name):
    """A new semaphore."""
    return rw_semaphore(name)


def mutex_init(name):
    """A new mutex."""
    return mutex(name)


def _enter(sem, ctx, write):
    if sem.owner is not None or (write and sem.readers):
        return False
    if write:
        sem.owner = ctx
    else:
        sem.readers.append(ctx)
    ctx.locks.append(sem)
    return True


def _try_enter(sem, ctx, write):
    """Nobody overtakes those who queue."""
    return not sem.waiters and _enter(sem, ctx, write)


def _enter_or_queue(sem, ctx, write):
    if _try_enter(sem, ctx, write):
        return True
    sem.waiters.append((ctx, write))
    ctx.task_state = TASK_RUNNING  # only the lock wakes it, whatever it meant to wait for before
    ctx.blocked_on = sem
    ctx.state = SLEEPING
    return False


def _leave(sem, ctx, write):
    if write:
        if sem.owner is not None:
            ctx = sem.owner
        sem.owner = None
    elif ctx in sem.readers:
        sem.readers.remove(ctx)
    if sem in ctx.locks:
        ctx.locks.remove(sem)
    while sem.waiters and _enter(sem, *sem.waiters[0]):
        waiter, _ = sem.waiters.pop(0)
        waiter.blocked_on = None
        waiter.state = READY
        if door.execution is not None:
            door.execution.woken(waiter)


def _down(sem, write, where):
    might_sleep(where)
    ctx = current()
    if ctx.preempt_count or ctx.cpu.irqs_off or ctx.cpu.stack:
        report("atomic-sleep", "BUG: scheduling while atomic", fatal=True)
    if not access(_DOWN, sem, _enter_or_queue, sem, ctx, write):
        if door.execution is None:
            raise RuntimeError(f"{sem.name} is taken while nothing runs")
        door.execution.sleep(ctx)


def down_read(sem):
    """Shared; sleeps while a writer is inside or queued before."""
    _down(sem, False, "kernel/locking/rwsem.c")


def down_write(sem):
    """Exclusive; sleeps while anybody is inside."""
    _down(sem, True, "kernel/locking/rwsem.c")


def down_read_trylock(sem):
    """Shared if no writer is inside; true if taken.  Never sleeps."""
    return access(_TRIES, sem, _try_enter, sem, current(), False)


def down_write_trylock(sem):
    """Exclusive if nobody is inside; true if taken.  Never sleeps."""
    return access(_TRIES, sem, _try_enter, sem, current(), True)


def up_read(sem):
    """Undo down_read()."""
    access(_UP, sem, _leave, sem, current(), False)


def up_write(sem):
    """Undo down_write()."""
    access(_UP, sem, _leave, sem, current(), True)


def mutex_lock(lock):
    """Sleeps while somebody else has it."""
    _down(lock, True, "kernel/locking/mutex.c")


def mutex_trylock(lock):
    """True if taken.  Never sleeps."""
    return access(_TRIES, lock, _try_enter, lock, current(), True)


def mutex_unlock(lock):
    """Undo mutex_lock()."""
    access(_UP, lock, _leave, lock, current(), True)
