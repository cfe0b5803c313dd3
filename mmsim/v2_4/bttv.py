# SPDX-License-Identifier: GPL-2.0-only
"""A TV card that writes into user pages (drivers/media/video/bttv-driver.c, 0.8).

The user pages are pinned with a kiobuf; when a frame is in, the card interrupts.  Early 2002 the
driver dropped the pins right there, and with them, if the process had unmapped its buffer
meanwhile, the last reference of an anonymous page on the LRU.  Nobody had foreseen that an
interrupt could do such a thing.
"""

from mmsim.linux.sched import (
    TASK_RUNNING,
    TASK_UNINTERRUPTIBLE,
    __set_current_state,
    schedule,
    set_current_state,
)
from mmsim.linux.wait import (
    add_wait_queue,
    remove_wait_queue,
    wait_queue_entry,
    wait_queue_head,
    wake_up,
)
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.model.struct import Struct, shared
from mmsim.v2_4.memory import unmap_kiobuf


class bttv(Struct):
    """One frame grabber: the buffer in flight and who waits for it."""

    done = shared(False)
    name = "bttv"

    def __init__(self, iobuf):
        self.iobuf = iobuf
        if patched("gerd-2002-02-13"):
            self.capq = wait_queue_head("bttv.capq")


@cite("drivers/media/video/bttv-driver.c", "2.4.17", thread="002")
def bttv_irq(btv):
    """A frame is in.

    *Locks:* interrupt; takes whatever the last put takes.  *Race:* thread 002.
    """
    if patched("gerd-2002-02-13"):
        btv.done = True
        wake_up(btv.capq)
    else:
        unmap_kiobuf(btv.iobuf)


@cite("drivers/media/video/bttv-driver.c", "2.4.18-pre9", thread="002")
def bttv_sync(btv):
    """Wait for the frame, then drop the pins: process context.  *Locks:* sleeps.  *Race:* none."""
    wait = wait_queue_entry()
    add_wait_queue(btv.capq, wait)
    while True:
        set_current_state(TASK_UNINTERRUPTIBLE)
        if btv.done:
            break
        schedule()
    __set_current_state(TASK_RUNNING)
    remove_wait_queue(btv.capq, wait)
    unmap_kiobuf(btv.iobuf)
