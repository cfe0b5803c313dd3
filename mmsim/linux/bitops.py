# SPDX-License-Identifier: GPL-2.0-only
"""Bit operations, atomic and not (include/linux/bitops.h).

The difference is the subject of half the races here.  ``set_bit`` is one effect.  ``__set_bit``
is a load and a store with a point between: whatever another CPU does to the word in between is
undone by the store.

A bit of a word is named by its number here; struct pages name theirs (page.py).
"""

from mmsim.engine.door import door
from mmsim.engine.op import (
    READ,
    READ_ONCE,
    RMW,
    RMW_ACQUIRE,
    RMW_RELAXED,
    RMW_RELEASE,
    WRITE,
    Op,
    Ops,
)
from mmsim.model.struct import access_field

__mmsim_primitive__ = True


BITS = 64  # of a word


class _BitOps(dict):
    """Operations of one kind: for each word, when it is first named, those on its bits.

    A bit's entry is all that an access needs: (operation, raw name, mask).
    """

    def __init__(self, kind, fails_on=None):
        super().__init__()
        self.kind = kind
        self.fails_on = fails_on

    def __missing__(self, field):
        self[field] = bits = [self._make(field, nr) for nr in range(BITS)]
        return bits

    def _make(self, field, nr):
        bit = frozenset([str(nr)])
        quiet = self.kind is READ_ONCE
        writes = frozenset() if quiet else bit
        op = Op(self.kind, field, reads=bit, writes=writes, fails_on=self.fails_on)
        op.label = f"{field}:{nr}"
        return op, op.raw, 1 << nr


def _is_set(value, obj, raw, mask):
    return value & mask != 0


def _is_clear(value, obj, raw, mask):
    return value & mask == 0


_TEST = _BitOps(READ_ONCE)
_CHANGE = _BitOps(RMW_RELAXED)
_TEST_AND_SET = _BitOps(RMW, _is_set)
_TEST_AND_CLEAR = _BitOps(RMW, _is_clear)
_LOCK_BIT = _BitOps(RMW_ACQUIRE, _is_set)
_UNLOCK_BIT = _BitOps(RMW_RELEASE)
_READ_WORD = Ops(READ)
_WRITE_WORD = Ops(WRITE)


def _access_bit(ops, nr, obj, field, effect):
    op, raw, mask = ops[field][nr]
    door.left -= 1
    if door.left < 0:
        return door.slow(op, obj, effect, obj, raw, mask)
    return effect(obj, raw, mask)


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
    return _access_bit(_TEST, nr, obj, field, _test)


def set_bit(nr, obj, field):
    """Atomic, no ordering."""
    _access_bit(_CHANGE, nr, obj, field, _set)


def clear_bit(nr, obj, field):
    """Atomic, no ordering."""
    _access_bit(_CHANGE, nr, obj, field, _clear)


def test_and_set_bit(nr, obj, field):
    """The old value; fully ordered.  From 4.19 to 5.19 only if that was clear."""
    return _access_bit(_TEST_AND_SET, nr, obj, field, _set)


def test_and_clear_bit(nr, obj, field):
    """The old value; fully ordered.  From 4.19 to 5.19 only if that was set."""
    return _access_bit(_TEST_AND_CLEAR, nr, obj, field, _clear)


def test_and_set_bit_lock(nr, obj, field):
    """The old value; acquire ordering if it was clear."""
    return _access_bit(_LOCK_BIT, nr, obj, field, _set)


def clear_bit_unlock(nr, obj, field):
    """Atomic, release ordering."""
    _access_bit(_UNLOCK_BIT, nr, obj, field, _clear)


def __set_bit(nr, obj, field):
    """Not atomic: load, point, store."""
    value = access_field(_READ_WORD, obj, field, _load)
    access_field(_WRITE_WORD, obj, field, _store, value | 1 << nr)


def __clear_bit(nr, obj, field):
    """Not atomic: load, point, store."""
    value = access_field(_READ_WORD, obj, field, _load)
    access_field(_WRITE_WORD, obj, field, _store, value & ~(1 << nr))
