# SPDX-License-Identifier: GPL-2.0-only
"""Keeping a page in its memcg without isolating it (mm/memcontrol.c: lock_page_memcg).

Whoever changes a state that memcgs count (mapped, dirty, under writeback) has to take the page off
one memcg's books and not another's.  As long as no charges of the memcg are being moved, which is
nearly always, that costs two loads; while they are, it takes the memcg's ``move_lock``, which
mem_cgroup_move_account() holds too.

The books themselves are not kept here, nor is RCU: those who have seen that nothing moves are
readers, and mem_cgroup_move_charge() waits for them (synchronize_rcu()) before the first page.
Here it does not wait.  What they would lose is a count.  Otherwise that only adds orders of events
to those that a kernel has, and a variant declared Never has to be clean in these, too.
"""

from mmsim.engine.door import current
from mmsim.linux.atomic import atomic_read
from mmsim.linux.spinlock import spin_lock_irqsave, spin_unlock_irqrestore
from mmsim.model.cite import cite


@cite("mm/memcontrol.c", "5.17", symbol="folio_memcg_lock")
def lock_page_memcg(page):
    """Keep the page in its memcg, which is returned for __unlock_page_memcg(); None: in none.

    *Locks:* takes move_lock, interrupts off, while charges are being moved.
    *Race:* the memcg is read before its lock is taken, so it is read again after.
    """
    while True:
        memcg = page.mem_cgroup
        if memcg is None:
            return None
        if atomic_read(memcg, "moving_account") <= 0:
            return memcg
        flags = spin_lock_irqsave(memcg.move_lock)
        if memcg is page.mem_cgroup:
            break
        spin_unlock_irqrestore(memcg.move_lock, flags)
    memcg.move_lock_task = current()
    memcg.move_lock_flags = flags
    return memcg


@cite("mm/memcontrol.c", "5.17", symbol="folio_memcg_unlock")
def unlock_page_memcg(page):
    """Undo lock_page_memcg() for a page that is certain to be there still."""
    __unlock_page_memcg(page.mem_cgroup)


@cite("mm/memcontrol.c", "5.17", symbol="__folio_memcg_unlock")
def __unlock_page_memcg(memcg):
    """Undo lock_page_memcg(), whichever of its two ways it took.

    *Race:* others read ``move_lock_task`` without the lock, and do not find themselves there.
    """
    if memcg is not None and memcg.move_lock_task is current():
        flags = memcg.move_lock_flags
        memcg.move_lock_task = None
        memcg.move_lock_flags = 0
        spin_unlock_irqrestore(memcg.move_lock, flags)
