# SPDX-License-Identifier: GPL-2.0-only
"""Bit operations, atomic and not (include/linux/bitops.h).

The difference is the subject of half the races here.  ``set_bit`` is one effect.  ``__set_bit``
is a load and a store with a point between: whatever another CPU does to the word in between is
undone by the store.
"""

from mmsim.engine.access import READ, READ_ONCE, RMW, RMW_ACQUIRE, RMW_RELAXED, RMW_RELEASE, WRITE
from mmsim.engine.door import access

__mmsim_primitive__ = True


def _load(obj, raw):
    return getattr(obj, raw)


def _store(obj, raw, value):
    setattr(obj, raw, value)


def _test(obj, raw, mask):
    return getattr(obj, raw) & mask != 0


def _set(obj, raw, mask):
    value = getattr(obj, raw)
    setattr(obj, raw, value | mask)
    return value & mask != 0


def _clear(obj, raw, mask):
    value = getattr(obj, raw)
    setattr(obj, raw, value & ~mask)
    return value & mask != 0


def test_bit(nr, obj, field):
    """Is bit ``nr`` of the field set?"""
    return access(READ_ONCE, obj, field, _test, obj, "v_" + field, 1 << nr)


def set_bit(nr, obj, field):
    """Atomic, no ordering."""
    access(RMW_RELAXED, obj, field, _set, obj, "v_" + field, 1 << nr)


def clear_bit(nr, obj, field):
    """Atomic, no ordering."""
    access(RMW_RELAXED, obj, field, _clear, obj, "v_" + field, 1 << nr)


def test_and_set_bit(nr, obj, field):
    """The old value; fully ordered."""
    return access(RMW, obj, field, _set, obj, "v_" + field, 1 << nr)


def test_and_clear_bit(nr, obj, field):
    """The old value; fully ordered."""
    return access(RMW, obj, field, _clear, obj, "v_" + field, 1 << nr)


def test_and_set_bit_lock(nr, obj, field):
    """The old value; acquire ordering if it was clear."""
    return access(RMW_ACQUIRE, obj, field, _set, obj, "v_" + field, 1 << nr)


def clear_bit_unlock(nr, obj, field):
    """Atomic, release ordering."""
    access(RMW_RELEASE, obj, field, _clear, obj, "v_" + field, 1 << nr)


def __set_bit(nr, obj, field):
    """Not atomic: load, point, store."""
    value = access(READ, obj, field, _load, obj, "v_" + field)
    access(WRITE, obj, field, _store, obj, "v_" + field, value | 1 << nr)


def __clear_bit(nr, obj, field):
    """Not atomic: load, point, store."""
    value = access(READ, obj, field, _load, obj, "v_" + field)
    access(WRITE, obj, field, _store, obj, "v_" + field, value & ~(1 << nr))
