# SPDX-License-Identifier: GPL-2.0-only
"""Plain read-modify-writes as i386 does them: ``nr_inactive_pages++``, ``page->flags &= mask``.

The compiler makes one instruction of each, without a lock prefix.  On SMP another CPU gets in
between its load and its store.  An interrupt does not: on a UP machine the statement is whole.
"""

from mmsim.engine.door import door
from mmsim.engine.op import RMW_RELAXED, Ops
from mmsim.model.struct import InLine

__mmsim_primitive__ = True

_add = InLine(Ops(RMW_RELAXED), "obj.RAW += arg")
_and = InLine(Ops(RMW_RELAXED), "obj.RAW &= arg")


def add_to(obj, field, n):
    """``obj->field += n``."""
    if door.machine.smp:
        setattr(obj, field, getattr(obj, field) + n)
    else:
        _add[field](obj, n)


def and_with(obj, field, mask):
    """``obj->field &= mask``."""
    if door.machine.smp:
        setattr(obj, field, getattr(obj, field) & mask)
    else:
        _and[field](obj, mask)
