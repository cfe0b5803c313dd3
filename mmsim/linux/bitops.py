# SPDX-License-Identifier: GPL-2.0-only
"""Bit operations, atomic and not (include/linux/bitops.h).

The difference is the subject of half the races here.  ``set_bit`` is one effect.  ``__set_bit``
is a load and a store with a point between: whatever another CPU does to the word in between is
undone by the store.

A bit of a word is named by its number here; struct pages name theirs (page.py).
"""

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
from mmsim.linux.atomic import LOAD, STORE
from mmsim.model.struct import InLine, in_line

__mmsim_primitive__ = True


# The effects, as statements on the word, which is RAW there; ``arg`` is the bit's mask.

_IS_SET = "return obj.RAW & arg != 0"
_SET = """
    value = obj.RAW
    obj.RAW = value | arg
    return value & arg != 0
"""
_CLEAR = """
    value = obj.RAW
    obj.RAW = value & ~arg
    return value & arg != 0
"""


def _is_set(value, obj, raw, mask):
    return value & mask != 0


def _is_clear(value, obj, raw, mask):
    return value & mask == 0


class _OfWord(dict):
    """One primitive on one word: for each bit, when its number is first named."""

    def __init__(self, field, kind, effect, fails_on):
        super().__init__()
        self.field = field
        self.kind = kind
        self.effect = effect
        self.fails_on = fails_on

    def __missing__(self, nr):
        bit = frozenset([str(nr)])
        writes = frozenset() if self.kind is READ_ONCE else bit
        label = f"{self.field}:{nr}"
        op = Op(
            self.kind, self.field, reads=bit, writes=writes, label=label, fails_on=self.fails_on
        )
        self[nr] = perform = in_line(op, self.effect, default=1 << nr)
        return perform


class _BitOps(dict):
    """One primitive: for each word, when it is first named, what it does to its bits."""

    def __init__(self, kind, effect, fails_on=None):
        super().__init__()
        self.how = kind, effect, fails_on

    def __missing__(self, field):
        self[field] = bits = _OfWord(field, *self.how)
        return bits


_test = _BitOps(READ_ONCE, _IS_SET)
_set = _BitOps(RMW_RELAXED, _SET)
_clear = _BitOps(RMW_RELAXED, _CLEAR)
_test_and_set = _BitOps(RMW, _SET, _is_set)
_test_and_clear = _BitOps(RMW, _CLEAR, _is_clear)
_set_lock = _BitOps(RMW_ACQUIRE, _SET, _is_set)
_clear_unlock = _BitOps(RMW_RELEASE, _CLEAR)
_read_word = InLine(Ops(READ), LOAD)
_write_word = InLine(Ops(WRITE), STORE)


def test_bit(nr, obj, field):
    """Is bit ``nr`` of the field set?"""
    return _test[field][nr](obj)


def set_bit(nr, obj, field):
    """Atomic, no ordering."""
    _set[field][nr](obj)


def clear_bit(nr, obj, field):
    """Atomic, no ordering."""
    _clear[field][nr](obj)


def test_and_set_bit(nr, obj, field):
    """The old value; fully ordered.  From 4.19 to 5.19 only if that was clear."""
    return _test_and_set[field][nr](obj)


def test_and_clear_bit(nr, obj, field):
    """The old value; fully ordered.  From 4.19 to 5.19 only if that was set."""
    return _test_and_clear[field][nr](obj)


def test_and_set_bit_lock(nr, obj, field):
    """The old value; acquire ordering if it was clear."""
    return _set_lock[field][nr](obj)


def clear_bit_unlock(nr, obj, field):
    """Atomic, release ordering."""
    _clear_unlock[field][nr](obj)


def __set_bit(nr, obj, field):
    """Not atomic: load, point, store."""
    value = _read_word[field](obj)
    _write_word[field](obj, value | 1 << nr)


def __clear_bit(nr, obj, field):
    """Not atomic: load, point, store."""
    value = _read_word[field](obj)
    _write_word[field](obj, value & ~(1 << nr))
