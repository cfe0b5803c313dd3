# SPDX-License-Identifier: GPL-2.0-only
"""Emptying the pagevecs of all CPUs (mm/swap.c, 5.17).

A page in a pagevec is not on the LRU, so whoever wants to isolate pages by address or by frame
number misses it, and its reference makes migration fail.  Draining one's own CPU's pagevecs does
not help with those of others; and between a drain and the isolation they fill again.  So
move_pages(2) and memory offlining (from 5.13 on) switch pagevecs off while they are at work.
"""

from mmsim.engine.door import door
from mmsim.linux.atomic import WRITE_ONCE, atomic_dec, atomic_inc, smp_load_acquire, smp_mb
from mmsim.linux.percpu import per_cpu
from mmsim.linux.sleeplock import mutex_lock, mutex_unlock
from mmsim.linux.workqueue import flush_work, queue_work_on, work_struct
from mmsim.lru import lru_add_drain
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.pagevec import pagevec_count, pvecs


def _has_pages(cpu):
    return any(pagevec_count(pvec) for pvec in per_cpu(pvecs, cpu).all())


@cite("mm/swap.c", "5.17")
def __lru_add_drain_all(force_all_cpus=False):
    """Every CPU empties its pagevecs: those that have any pages, or all.

    *Locks:* sleeps, for one drain at a time and for the CPUs' kworkers.  *Race:* a CPU fills its
    pagevecs again as soon as it has done its work.
    """
    if door.execution is None:  # nothing runs yet, or any more: there is one CPU, as on UP
        lru_add_drain()
        return
    drain = kernel().lru_disable
    smp_mb()  # what we have put in our pagevecs, before the generation
    this_gen = smp_load_acquire(drain, "generation")
    mutex_lock(drain.lock)
    if this_gen != drain.generation and not force_all_cpus:
        mutex_unlock(drain.lock)  # somebody has begun after us, and is done
        return
    WRITE_ONCE(drain, "generation", drain.generation + 1)
    smp_mb()
    has_work = []
    for cpu in range(len(door.machine.cpus)):
        if force_all_cpus or _has_pages(cpu):
            work = work_struct(f"lru_add_drain_work[{cpu}]", lru_add_drain)
            queue_work_on(cpu, work)
            has_work.append(work)
    for work in has_work:
        flush_work(work)
    mutex_unlock(drain.lock)


@cite("mm/swap.c", "5.17")
def lru_add_drain_all():
    """Every CPU that has pages in its pagevecs puts them on the LRU.  *Locks:* sleeps."""
    __lru_add_drain_all(False)


@cite("mm/swap.c", "5.17")
def lru_cache_disable():
    """From its return until lru_cache_enable() pages go to the LRU at once.

    *Locks:* sleeps.  *Race:* the count is up before a CPU is asked to drain, so that what is put
    into a pagevec after the drain is drained by whoever put it there.
    """
    atomic_inc(kernel().lru_disable, "count")
    __lru_add_drain_all(True)


@cite("include/linux/swap.h", "5.17")
def lru_cache_enable():
    """Undo lru_cache_disable()."""
    atomic_dec(kernel().lru_disable, "count")
