# SPDX-License-Identifier: GPL-2.0-only
"""Bit operations, atomic and not (include/linux/bitops.h).

The difference is the subject of half the races here.  ``set_bit`` is one effect.  ``__set_bit``
is a load and a store with a point between: whatever another CPU does to the word in between is
undone by the store.
"""

from mmsim.engine.access import READ, READ_ONCE, RMW, RMW_ACQUIRE, RMW_RELAXED, RMW_RELEASE, WRITE
from mmsim.model.struct import access_field

__mmsim_primitive__ = True


def _load(obj, raw, _):
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
    return access_field(READ_ONCE, obj, field, _test, 1 << nr)


def set_bit(nr, obj, field):
    """Atomic, no ordering."""
    access_field(RMW_RELAXED, obj, field, _set, 1 << nr)


def clear_bit(nr, obj, field):
    """Atomic, no ordering."""
    access_field(RMW_RELAXED, obj, field, _clear, 1 << nr)


def test_and_set_bit(nr, obj, field):
    """The old value; fully ordered."""
    return access_field(RMW, obj, field, _set, 1 << nr)


def test_and_clear_bit(nr, obj, field):
    """The old value; fully ordered."""
    return access_field(RMW, obj, field, _clear, 1 << nr)


def test_and_set_bit_lock(nr, obj, field):
    """The old value; acquire ordering if it was clear."""
    return access_field(RMW_ACQUIRE, obj, field, _set, 1 << nr)


def clear_bit_unlock(nr, obj, field):
    """Atomic, release ordering."""
    access_field(RMW_RELEASE, obj, field, _clear, 1 << nr)


def __set_bit(nr, obj, field):
    """Not atomic: load, point, store."""
    value = access_field(READ, obj, field, _load)
    access_field(WRITE, obj, field, _store, value | 1 << nr)


def __clear_bit(nr, obj, field):
    """Not atomic: load, point, store."""
    value = access_field(READ, obj, field, _load)
    access_field(WRITE, obj, field, _store, value & ~(1 << nr))
