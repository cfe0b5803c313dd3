# SPDX-License-Identifier: GPL-2.0-only
"""Atomics, marked accesses and barriers (include/linux/atomic, include/asm-generic/barrier.h).

A counter is a shared field; operations name it: ``atomic_inc(page, "_refcount")``.  What makes
an operation atomic is that its effect is one function: the token carrier has no point inside it,
the free carrier performs it under its mutex.  The interpreter's lock plays no part.
"""

from mmsim.engine import op
from mmsim.engine.door import access
from mmsim.engine.op import Op, Ops
from mmsim.model.struct import InLine

__mmsim_primitive__ = True

_MB, _RMB, _WMB = Op(op.MB), Op(op.RMB), Op(op.WMB)
_RELAXED = Ops(op.RMW_RELAXED)
_ORDERED = Ops(op.RMW)
_UNLESS = Ops(op.RMW, unchanged=False, fails_on=lambda value, obj, raw, how: value == how[1])
_COMPARING = Ops(op.RMW, fails_on=lambda value, obj, raw, how: value != how[0])

# The effects, as statements on the field, which is RAW there: see mmsim.model.struct.InLine.

LOAD = "return obj.RAW"
STORE = "obj.RAW = arg"
ADD = """
    value = obj.RAW + arg
    obj.RAW = value
    return value
"""
ADD_UNLESS = """
    n, unless = arg
    value = obj.RAW
    if value == unless:
        return False
    obj.RAW = value + n
    return True
"""
CMPXCHG = """
    old, new = arg
    value = obj.RAW
    if value == old:
        obj.RAW = new
    return value
"""
XCHG = """
    value = obj.RAW
    obj.RAW = arg
    return value
"""

_load = InLine(Ops(op.READ_ONCE), LOAD)
_store = InLine(Ops(op.WRITE_ONCE), STORE)
_load_acquire = InLine(Ops(op.ACQUIRE), LOAD)
_store_release = InLine(Ops(op.RELEASE), STORE)
_add = InLine(_RELAXED, ADD)
_add_return = InLine(_ORDERED, ADD)
_add_unless = InLine(_UNLESS, ADD_UNLESS)
_cmpxchg = InLine(_COMPARING, CMPXCHG)
_xchg = InLine(_ORDERED, XCHG)


def READ_ONCE(obj, field):
    """Marked load."""
    return _load[field](obj)


def WRITE_ONCE(obj, field, value):
    """Marked store."""
    _store[field](obj, value)


def smp_load_acquire(obj, field):
    """Load; later accesses stay after it."""
    return _load_acquire[field](obj)


def smp_store_release(obj, field, value):
    """Store; earlier accesses stay before it."""
    _store_release[field](obj, value)


def atomic_read(obj, field):
    """A marked load."""
    return _load[field](obj)


def atomic_set(obj, field, value):
    """A marked store."""
    _store[field](obj, value)


def atomic_inc(obj, field):
    """No value, no ordering."""
    _add[field](obj, 1)


def atomic_dec(obj, field):
    """No value, no ordering."""
    _add[field](obj, -1)


def atomic_add(obj, field, n):
    """No value, no ordering."""
    _add[field](obj, n)


def atomic_add_return(obj, field, n):
    """The new value; fully ordered."""
    return _add_return[field](obj, n)


def atomic_inc_return(obj, field):
    """The new value; fully ordered."""
    return _add_return[field](obj, 1)


def atomic_dec_and_test(obj, field):
    """Decrement; true if that made it 0.  Fully ordered."""
    return _add_return[field](obj, -1) == 0


def atomic_inc_and_test(obj, field):
    """Increment; true if that made it 0.  Fully ordered."""
    return _add_return[field](obj, 1) == 0


def atomic_add_negative(obj, field, n):
    """Add; true if the result is negative.  Fully ordered."""
    return _add_return[field](obj, n) < 0


def atomic_add_unless(obj, field, n, unless):
    """Add unless it is ``unless``; true if added.  Fully ordered if so."""
    return _add_unless[field](obj, (n, unless))


def atomic_inc_not_zero(obj, field):
    """Increment unless it is 0; true if incremented.  Fully ordered if so."""
    return _add_unless[field](obj, (1, 0))


def atomic_cmpxchg(obj, field, old, new):
    """The old value; stored ``new`` if that was ``old``.  Fully ordered if so."""
    return _cmpxchg[field](obj, (old, new))


def xchg(obj, field, new):
    """Store ``new``, return the old value.  Fully ordered."""
    return _xchg[field](obj, new)


def _nothing():
    return None


def smp_mb():
    """Full barrier."""
    access(_MB, None, _nothing)


def smp_rmb():
    """Loads before stay before loads after."""
    access(_RMB, None, _nothing)


def smp_wmb():
    """Stores before stay before stores after."""
    access(_WMB, None, _nothing)
