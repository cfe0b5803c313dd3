# SPDX-License-Identifier: GPL-2.0-only
"""Atomics, marked accesses and barriers (include/linux/atomic, include/asm-generic/barrier.h).

A counter is a shared field; operations name it: ``atomic_inc(page, "_refcount")``.  What makes
an operation atomic is that its effect is one function: the token carrier has no point inside it,
the free carrier performs it under its mutex.  The interpreter's lock plays no part.
"""

from mmsim.engine import op
from mmsim.engine.door import access
from mmsim.engine.op import Op, Ops
from mmsim.model.struct import access_field

__mmsim_primitive__ = True

_LOAD = Ops(op.READ_ONCE)
_STORE = Ops(op.WRITE_ONCE)
_LOAD_ACQUIRE = Ops(op.ACQUIRE)
_STORE_RELEASE = Ops(op.RELEASE)
_RELAXED = Ops(op.RMW_RELAXED)
_ORDERED = Ops(op.RMW)
_UNLESS = Ops(op.RMW, unchanged=False, fails_on=lambda value, obj, raw, how: value == how[1])
_CMPXCHG = Ops(op.RMW, fails_on=lambda value, obj, raw, how: value != how[0])
_MB, _RMB, _WMB = Op(op.MB), Op(op.RMB), Op(op.WMB)


def _load(obj, raw, _):
    return getattr(obj, raw)


def _store(obj, raw, value):
    setattr(obj, raw, value)


def _add(obj, raw, n):
    value = getattr(obj, raw) + n
    setattr(obj, raw, value)
    return value


def _add_unless(obj, raw, how):
    n, unless = how
    value = getattr(obj, raw)
    if value == unless:
        return False
    setattr(obj, raw, value + n)
    return True


def _cmpxchg(obj, raw, how):
    old, new = how
    value = getattr(obj, raw)
    if value == old:
        setattr(obj, raw, new)
    return value


def _xchg(obj, raw, new):
    value = getattr(obj, raw)
    setattr(obj, raw, new)
    return value


def READ_ONCE(obj, field):
    """Marked load."""
    return access_field(_LOAD, obj, field, _load)


def WRITE_ONCE(obj, field, value):
    """Marked store."""
    access_field(_STORE, obj, field, _store, value)


def smp_load_acquire(obj, field):
    """Load; later accesses stay after it."""
    return access_field(_LOAD_ACQUIRE, obj, field, _load)


def smp_store_release(obj, field, value):
    """Store; earlier accesses stay before it."""
    access_field(_STORE_RELEASE, obj, field, _store, value)


def atomic_read(obj, field):
    """A marked load."""
    return access_field(_LOAD, obj, field, _load)


def atomic_set(obj, field, value):
    """A marked store."""
    access_field(_STORE, obj, field, _store, value)


def atomic_inc(obj, field):
    """No value, no ordering."""
    access_field(_RELAXED, obj, field, _add, 1)


def atomic_dec(obj, field):
    """No value, no ordering."""
    access_field(_RELAXED, obj, field, _add, -1)


def atomic_add(obj, field, n):
    """No value, no ordering."""
    access_field(_RELAXED, obj, field, _add, n)


def atomic_add_return(obj, field, n):
    """The new value; fully ordered."""
    return access_field(_ORDERED, obj, field, _add, n)


def atomic_inc_return(obj, field):
    """The new value; fully ordered."""
    return access_field(_ORDERED, obj, field, _add, 1)


def atomic_dec_and_test(obj, field):
    """Decrement; true if that made it 0.  Fully ordered."""
    return access_field(_ORDERED, obj, field, _add, -1) == 0


def atomic_inc_and_test(obj, field):
    """Increment; true if that made it 0.  Fully ordered."""
    return access_field(_ORDERED, obj, field, _add, 1) == 0


def atomic_add_negative(obj, field, n):
    """Add; true if the result is negative.  Fully ordered."""
    return access_field(_ORDERED, obj, field, _add, n) < 0


def atomic_add_unless(obj, field, n, unless):
    """Add unless it is ``unless``; true if added.  Fully ordered if so."""
    return access_field(_UNLESS, obj, field, _add_unless, (n, unless))


def atomic_inc_not_zero(obj, field):
    """Increment unless it is 0; true if incremented.  Fully ordered if so."""
    return access_field(_UNLESS, obj, field, _add_unless, (1, 0))


def atomic_cmpxchg(obj, field, old, new):
    """The old value; stored ``new`` if that was ``old``.  Fully ordered if so."""
    return access_field(_CMPXCHG, obj, field, _cmpxchg, (old, new))


def xchg(obj, field, new):
    """Store ``new``, return the old value.  Fully ordered."""
    return access_field(_ORDERED, obj, field, _xchg, new)


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
