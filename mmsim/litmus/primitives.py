# SPDX-License-Identifier: GPL-2.0-only
"""The functions of the kernel that a litmus test may call, and what each of them means.

Source: tools/memory-model/linux-kernel.def; atomic_t.txt for the orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from mmsim.litmus.program import Fence, Order

Argument = Literal["object", "pointer", "value"]
"""`*x` as in READ_ONCE(*x), `x` as in smp_load_acquire(x), or something to compute with."""


@dataclass(frozen=True, slots=True)
class Loading:
    takes: tuple[Argument, ...]
    order: Order = "relaxed"
    dereference: bool = False


@dataclass(frozen=True, slots=True)
class Storing:
    takes: tuple[Argument, ...]
    order: Order = "relaxed"


@dataclass(frozen=True, slots=True)
class Fencing:
    """``fence`` None: for the compiler alone."""

    fence: Fence | None
    takes: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Updating:
    """An atomic. ``operator`` "=" exchanges; ``gives`` "test" is whether the new value is 0,
    "negative" whether it is below."""

    takes: tuple[Argument, ...]
    operator: str
    order: Order
    gives: Literal["old", "new", "nothing", "test", "negative"]


@dataclass(frozen=True, slots=True)
class Comparing:
    takes: tuple[Argument, ...]
    order: Order


@dataclass(frozen=True, slots=True)
class Special:
    takes: tuple[Argument, ...]
    what: Literal["lock", "unlock", "trylock", "is-locked", "add-unless"]


Primitive: TypeAlias = Loading | Storing | Fencing | Updating | Comparing | Special

_ORDERS: Final[dict[str, Order]] = {
    "": "full",
    "_relaxed": "relaxed",
    "_acquire": "acquire",
    "_release": "release",
}
_OPERATORS: Final = {
    "add": "+",
    "sub": "-",
    "inc": "+",
    "dec": "-",
    "and": "&",
    "or": "|",
    "xor": "^",
    "andnot": "&~",
}
_COUNTING: Final = ("add", "sub", "inc", "dec")


def _updates(prefix: str) -> Iterator[tuple[str, Primitive]]:
    """The family of one type: atomic_, atomic_long_, atomic64_."""
    for name, operator in _OPERATORS.items():
        # inc and dec have their 1 built in
        takes: tuple[Argument, ...] = (
            ("pointer",) if name in ("inc", "dec") else ("value", "pointer")
        )
        yield prefix + name, Updating(takes, operator, "noreturn", "nothing")
        for suffix, order in _ORDERS.items():
            yield f"{prefix}fetch_{name}{suffix}", Updating(takes, operator, order, "old")
            if name in _COUNTING:
                yield f"{prefix}{name}_return{suffix}", Updating(takes, operator, order, "new")
                if name == "add":
                    negative = Updating(takes, operator, order, "negative")
                    yield f"{prefix}add_negative{suffix}", negative
        if name in ("sub", "inc", "dec"):
            yield f"{prefix}{name}_and_test", Updating(takes, operator, "full", "test")
    yield f"{prefix}add_unless", Special(("pointer", "value", "value"), "add-unless")
    yield f"{prefix}read", Loading(("pointer",))
    yield f"{prefix}read_acquire", Loading(("pointer",), "acquire")
    yield f"{prefix}set", Storing(("pointer", "value"))
    yield f"{prefix}set_release", Storing(("pointer", "value"), "release")
    yield from _exchanges(prefix)


def _exchanges(prefix: str) -> Iterator[tuple[str, Primitive]]:
    for suffix, order in _ORDERS.items():
        yield f"{prefix}xchg{suffix}", Updating(("pointer", "value"), "=", order, "old")
        yield f"{prefix}cmpxchg{suffix}", Comparing(("pointer", "value", "value"), order)


PRIMITIVES: Final[dict[str, Primitive]] = {
    "READ_ONCE": Loading(("object",)),
    "WRITE_ONCE": Storing(("object", "value")),
    "smp_load_acquire": Loading(("pointer",), "acquire"),
    "smp_store_release": Storing(("pointer", "value"), "release"),
    "smp_store_mb": Storing(("object", "value"), "full"),
    "rcu_dereference": Loading(("object",), dereference=True),
    "rcu_dereference_protected": Loading(("object",)),
    "lockless_dereference": Loading(("object",), dereference=True),
    "rcu_assign_pointer": Storing(("object", "value"), "release"),
    "RCU_INIT_POINTER": Storing(("object", "value")),
    "smp_mb": Fencing("mb"),
    "smp_rmb": Fencing("rmb"),
    "smp_wmb": Fencing("wmb"),
    "smp_read_barrier_depends": Fencing("depends"),
    "smp_mb__before_atomic": Fencing("before-atomic"),
    "smp_mb__after_atomic": Fencing("after-atomic"),
    "smp_mb__after_spinlock": Fencing("after-spinlock"),
    "smp_mb__after_unlock_lock": Fencing("after-unlock-lock"),
    "barrier": Fencing(None),
    "rcu_read_lock": Fencing("rcu-lock"),
    "rcu_read_unlock": Fencing("rcu-unlock"),
    "synchronize_rcu": Fencing("synchronize"),
    "synchronize_rcu_expedited": Fencing("synchronize"),
    "spin_lock": Special(("pointer",), "lock"),
    "spin_unlock": Special(("pointer",), "unlock"),
    "spin_trylock": Special(("pointer",), "trylock"),
    "spin_is_locked": Special(("pointer",), "is-locked"),
    **dict(_exchanges("")),
    **dict(_updates("atomic_")),
    **dict(_updates("atomic_long_")),
    **dict(_updates("atomic64_")),
}

TYPES: Final = frozenset(
    (
        "void",
        "char",
        "short",
        "int",
        "long",
        "signed",
        "unsigned",
        "bool",
        "_Bool",
        "size_t",
        "intptr_t",
        "uintptr_t",
        "int8_t",
        "uint8_t",
        "int16_t",
        "uint16_t",
        "int32_t",
        "uint32_t",
        "int64_t",
        "uint64_t",
        "u8",
        "u16",
        "u32",
        "u64",
        "s8",
        "s16",
        "s32",
        "s64",
        "atomic_t",
        "atomic64_t",
        "atomic_long_t",
        "spinlock_t",
        "volatile",
        "const",
    )
)

UNSUPPORTED: Final = {
    "while": "loops are not supported; unroll it, or use a filter",
    "for": "loops are not supported; unroll it, or use a filter",
    "do": "loops are not supported; unroll it, or use a filter",
    "goto": "goto is not supported",
    "switch": "switch is not supported; use if and else",
    "return": "return is not supported; use if and else",
    "struct": "structures are not supported; use a variable for each member",
    "union": "structures are not supported; use a variable for each member",
    "srcu_read_lock": "SRCU is not supported; RCU is",
    "srcu_read_unlock": "SRCU is not supported; RCU is",
    "srcu_down_read": "SRCU is not supported; RCU is",
    "srcu_up_read": "SRCU is not supported; RCU is",
    "synchronize_srcu": "SRCU is not supported; RCU is",
    "synchronize_srcu_expedited": "SRCU is not supported; RCU is",
    "call_rcu": "call_rcu is not supported; use a thread that calls synchronize_rcu()",
}
