# SPDX-License-Identifier: GPL-2.0-only
"""Thread 003's devices: drivers that mirror page tables, as Documentation/vm/hmm.rst prescribes.

A device has a copy of a pte.  It is told when the pte is about to change, drops the copy and comes
back for another; in the case of migration it comes back to the entry that has just been put.
"""

from mmsim.hmm import EBUSY, hmm_range_fault
from mmsim.linux.bug import report
from mmsim.linux.sched import (
    TASK_INTERRUPTIBLE,
    TASK_RUNNING,
    __set_current_state,
    schedule_timeout,
    set_current_state,
    wake_up_process,
)
from mmsim.linux.spinlock import spin_lock, spin_lock_init, spin_unlock
from mmsim.mm_types import PAGE_SIZE
from mmsim.mmu_notifier import (
    mmu_interval_notifier,
    mmu_interval_read_begin,
    mmu_interval_read_retry,
    mmu_interval_set_seq,
)
from mmsim.model.struct import shared


class mirror(mmu_interval_notifier):
    """A device's copy of one pte: ``page``, or None.  ``task`` keeps it up to date."""

    page = shared(None)

    def __init__(self, mm, address):
        mmu_interval_notifier.__init__(self, mm, address, address + PAGE_SIZE, _invalidate)
        self.name = f"{mm.name}.mirror[{address:x}]"
        self.lock = spin_lock_init(f"&driver->update#{address:x}")
        self.task = None


def _invalidate(copy, seq):
    """The device must not use the page any more; its driver will ask for it again."""
    spin_lock(copy.lock)
    mmu_interval_set_seq(copy, seq)
    copy.page = None
    spin_unlock(copy.lock)
    wake_up_process(copy.task)


def mirror_fault(copy):
    """Bring the copy up to date: what the page contains, or None if there is no page.

    *Locks:* sleeps.  Under the driver's lock the copy is valid: an invalidation waits for it.
    """
    while True:
        seq = mmu_interval_read_begin(copy)
        ret, page = hmm_range_fault(copy.mm, copy.start)
        if ret == -EBUSY:
            continue
        if ret or page is None:
            return None
        spin_lock(copy.lock)
        if mmu_interval_read_retry(copy, seq):
            spin_unlock(copy.lock)
            continue
        copy.page = page
        data = page.data
        spin_unlock(copy.lock)
        return data


def device_user(copies, names):
    """A device that has pages in its own page table: it comes back for each that is taken away.

    It gives up when it has had its pages for a second and nobody has asked for them.
    """
    while True:
        for copy, name in zip(copies, names, strict=True):
            if copy.page is not None:
                continue
            data = mirror_fault(copy)
            if data is None:
                return
            if data != name:
                report("invariant", "a task reads memory that is not its own", where="user")
        set_current_state(TASK_INTERRUPTIBLE)
        if any(copy.page is None for copy in copies):
            __set_current_state(TASK_RUNNING)
            continue
        schedule_timeout(1)
        if all(copy.page is not None for copy in copies):
            return
