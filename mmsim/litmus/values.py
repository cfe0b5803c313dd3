# SPDX-License-Identifier: GPL-2.0-only
"""What an expression is worth: numbers, and addresses as far as C lets one compute with them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Final

from mmsim.litmus.program import Value


class NoValue(Exception):
    """There is no such value; the message says why."""


def _divided(left: int, right: int) -> int:
    if right == 0:
        raise NoValue("division by 0")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _shifted(shift: Callable[[int, int], int]) -> Callable[[int, int], int]:
    def checked(left: int, right: int) -> int:
        if not 0 <= right < 64:
            raise NoValue(f"a shift by {right}")
        return shift(left, right)

    return checked


_NUMBERS: Final[dict[str, Callable[[int, int], int]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "%": lambda left, right: left - right * _divided(left, right),
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "&~": lambda left, right: left & ~right,
    "<<": _shifted(operator.lshift),
    ">>": _shifted(operator.rshift),
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def binary(what: str, left: Value, right: Value) -> Value:
    """Raises NoValue. A result of a comparison is 0 or 1."""
    if what == "==":
        return int(left == right)
    if what == "!=":
        return int(left != right)
    if what == "&&":
        return int(bool(left) and bool(right))
    if what == "||":
        return int(bool(left) or bool(right))
    if isinstance(left, int) and isinstance(right, int):
        return int(_NUMBERS[what](left, right))
    # What is left of address arithmetic: x + 0, x ^ x, x - x, x & 0, which make dependencies.
    if what in ("+", "|", "^", "-") and right == 0:
        return left
    if what in ("+", "|", "^") and left == 0:
        return right
    if what in ("-", "^") and left == right:
        return 0
    if what in ("&", "*") and 0 in (left, right):
        return 0
    raise NoValue(f"{left} {what} {right}, where one is an address")


def unary(what: str, value: Value) -> Value:
    """Raises NoValue."""
    if what == "!":
        return int(not value)
    if isinstance(value, str):
        raise NoValue(f"{what}{value}, where that is an address")
    return ~value if what == "~" else -value
