# SPDX-License-Identifier: GPL-2.0-only
"""Telling devices that ptes are about to change (mm/mmu_notifier.c, 5.17: interval notifiers).

A device that translates addresses by itself has copies of ptes.  Before the kernel takes a pte away
it calls those who subscribed to the range; they drop their copy.  Who wants a copy reads a sequence
number first, waits while an invalidation is under way, and looks at the number again before the
copy is put to use.

What makes devices interesting in thread 003: an invalidation sends all of them back to the page
tables at once, and what they find there is the migration entry that has just been put.
"""

from mmsim.linux.atomic import READ_ONCE, WRITE_ONCE
from mmsim.linux.sched import TASK_UNINTERRUPTIBLE, schedule
from mmsim.linux.spinlock import spin_lock, spin_lock_init, spin_unlock
from mmsim.linux.wait import (
    autoremove_wake_function,
    finish_wait,
    prepare_to_wait,
    wait_queue_entry,
    wait_queue_head,
    wake_up_all,
)
from mmsim.model.cite import cite
from mmsim.model.struct import Struct, shared


class mmu_notifier_subscriptions(Struct):
    """An mm's subscribers.  ``invalidate_seq`` is odd while an invalidation is under way."""

    invalidate_seq = shared(0)
    active_invalidate_ranges = shared(0)

    def __init__(self, mm):
        self.name = f"{mm.name}.notifier_subscriptions"
        self.lock = spin_lock_init(f"&subscriptions->lock#{mm.name}")
        self.wq = wait_queue_head(f"{mm.name}.notifier_wq")
        self.itree = []


class mmu_interval_notifier(Struct):
    """One subscription.  ``invalidate(sub, seq)`` is called with no lock held."""

    invalidate_seq = shared(0)

    def __init__(self, mm, start, end, invalidate):
        self.name = f"{mm.name}.interval[{start:x}]"
        self.mm = mm
        self.start = start
        self.end = end
        self.invalidate = invalidate
        if mm.notifier_subscriptions is None:
            mm.notifier_subscriptions = mmu_notifier_subscriptions(mm)
        mm.notifier_subscriptions.itree.append(self)


@cite("mm/mmu_notifier.c", "5.17")
def mmu_interval_set_seq(sub, seq):
    """The driver's callback has to say so first.  *Locks:* the driver's."""
    WRITE_ONCE(sub, "invalidate_seq", seq)


@cite("mm/mmu_notifier.c", "5.17")
def mmu_interval_read_begin(sub):
    """The number to compare with later.  *Locks:* sleeps while an invalidation is under way."""
    subscriptions = sub.mm.notifier_subscriptions
    spin_lock(subscriptions.lock)
    seq = READ_ONCE(sub, "invalidate_seq")
    is_invalidating = seq == subscriptions.invalidate_seq
    spin_unlock(subscriptions.lock)
    if is_invalidating:
        wait = wait_queue_entry(autoremove_wake_function)
        while True:
            prepare_to_wait(subscriptions.wq, wait, TASK_UNINTERRUPTIBLE)
            if READ_ONCE(subscriptions, "invalidate_seq") != seq:
                break
            schedule()
        finish_wait(subscriptions.wq, wait)
    return seq


@cite("include/linux/mmu_notifier.h", "5.17")
def mmu_interval_read_retry(sub, seq):
    """Was there an invalidation since?  *Locks:* the driver's, which its callback takes too."""
    return READ_ONCE(sub, "invalidate_seq") != seq


@cite("mm/mmu_notifier.c", "5.17", thread="003")
def mmu_notifier_invalidate_range_start(mm, start, end):
    """Every subscriber of the range drops its copies.  *Locks:* sleeps."""
    subscriptions = mm.notifier_subscriptions
    if subscriptions is None:
        return
    spin_lock(subscriptions.lock)
    subscriptions.active_invalidate_ranges = subscriptions.active_invalidate_ranges + 1
    subs = [sub for sub in subscriptions.itree if sub.start < end and start < sub.end]
    if subs:
        subscriptions.invalidate_seq = subscriptions.invalidate_seq | 1
    seq = subscriptions.invalidate_seq
    spin_unlock(subscriptions.lock)
    for sub in subs:
        sub.invalidate(sub, seq)


@cite("mm/mmu_notifier.c", "5.17", thread="003")
def mmu_notifier_invalidate_range_end(mm, start, end):
    """The ptes have changed: whoever waits may look.  *Locks:* none held."""
    subscriptions = mm.notifier_subscriptions
    if subscriptions is None:
        return
    spin_lock(subscriptions.lock)
    active = subscriptions.active_invalidate_ranges - 1
    subscriptions.active_invalidate_ranges = active
    seq = subscriptions.invalidate_seq
    if active or not seq & 1:
        spin_unlock(subscriptions.lock)
        return
    subscriptions.invalidate_seq = seq + 1
    spin_unlock(subscriptions.lock)
    wake_up_all(subscriptions.wq)
