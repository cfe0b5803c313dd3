# SPDX-License-Identifier: GPL-2.0-only
"""A litmus test, parsed: expressions, operations, threads, the condition.

A thread is a flat list of operations. Branches only go forward (there are no loops), so the place
of an operation names it. Every access to shared memory is an operation of its own; what is read
goes to a register, and expressions are made of registers, numbers and addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from mmsim.errors import UsageError

Value: TypeAlias = int | str
"""A number, or the address of the variable of that name."""


class LitmusError(UsageError):
    """A file that is no litmus test, or not of a supported kind: one line, with its place."""

    def __init__(self, file: str, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.file, self.line, self.message = file, line, message


# Expressions.


@dataclass(frozen=True, slots=True)
class Constant:
    value: Value


@dataclass(frozen=True, slots=True)
class Register:
    """By number; `Thread.registers` has the names."""

    number: int


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Expression
    right: Expression


Expression: TypeAlias = Constant | Register | Unary | Binary


def registers(expression: Expression) -> Iterator[int]:
    """The registers it is made of."""
    if isinstance(expression, Register):
        yield expression.number
    elif isinstance(expression, Unary):
        yield from registers(expression.operand)
    elif isinstance(expression, Binary):
        yield from registers(expression.left)
        yield from registers(expression.right)


# Operations.

Order = Literal["relaxed", "acquire", "release", "full", "noreturn"]
"""Of an access; "noreturn" is an atomic that returns nothing (no order, and smp_rmb() skips it)."""

Fence = Literal[
    "mb",
    "before-atomic",
    "after-atomic",
    "after-spinlock",
    "after-unlock-lock",
    "rmb",
    "wmb",
    "depends",
    "rcu-lock",
    "rcu-unlock",
    "synchronize",
]
"""What stands alone; "depends" is smp_read_barrier_depends(), which only Alpha needs."""

FULL: Final = frozenset(
    {"mb", "before-atomic", "after-atomic", "after-spinlock", "after-unlock-lock"}
)
"""smp_mb(), and what is one next to the right operation."""


@dataclass(frozen=True, slots=True)
class Assign:
    target: int
    value: Expression


@dataclass(frozen=True, slots=True)
class Branch:
    """Go on if the condition holds, to ``otherwise`` if not."""

    condition: Expression
    otherwise: int


@dataclass(frozen=True, slots=True)
class Jump:
    to: int


@dataclass(frozen=True, slots=True)
class Load:
    target: int
    address: Expression
    order: Order = "relaxed"
    dereference: bool = False
    """rcu_dereference(): what is read through the value comes later, even on Alpha."""


@dataclass(frozen=True, slots=True)
class Store:
    address: Expression
    value: Expression
    order: Order = "relaxed"


@dataclass(frozen=True, slots=True)
class Barrier:
    fence: Fence


@dataclass(frozen=True, slots=True)
class Rmw:
    """``operator`` "=" is an exchange; ``gives`` what goes to the target."""

    target: int
    address: Expression
    operator: str
    operand: Expression
    order: Order
    gives: Literal["old", "new"]


@dataclass(frozen=True, slots=True)
class CompareExchange:
    """The old value goes to the target; one that fails has no order."""

    target: int
    address: Expression
    expected: Expression
    value: Expression
    order: Order


@dataclass(frozen=True, slots=True)
class AddUnless:
    """Add ``addend`` unless the value is ``unless``; whether it did goes to the target."""

    target: int
    address: Expression
    addend: Expression
    unless: Expression


@dataclass(frozen=True, slots=True)
class Lock:
    """spin_lock(), or with a target spin_trylock()."""

    address: Expression
    target: int | None = None


@dataclass(frozen=True, slots=True)
class Unlock:
    address: Expression


@dataclass(frozen=True, slots=True)
class IsLocked:
    target: int
    address: Expression


Operation: TypeAlias = (
    Assign
    | Branch
    | Jump
    | Load
    | Store
    | Barrier
    | Rmw
    | CompareExchange
    | AddUnless
    | Lock
    | Unlock
    | IsLocked
)


@dataclass(frozen=True)
class Thread:
    """One process. ``lines`` has the line of the file for every operation."""

    registers: tuple[str, ...]
    operations: tuple[Operation, ...]
    lines: tuple[int, ...]
    initial: tuple[Value, ...]
    """What the registers hold in the beginning."""


# The condition.


@dataclass(frozen=True, slots=True, order=True)
class RegisterName:
    """`1:r0` in a condition."""

    thread: int
    name: str

    def __str__(self) -> str:
        return f"{self.thread}:{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Variable:
    """`x` in a condition: its final value, the one that no store comes behind."""

    name: str

    def __str__(self) -> str:
        return f"[{self.name}]"


Place: TypeAlias = RegisterName | Variable


@dataclass(frozen=True, slots=True)
class Equal:
    left: Place
    right: Value | Place


@dataclass(frozen=True, slots=True)
class Not:
    inner: Proposition


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Proposition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Proposition, ...]


Proposition: TypeAlias = Equal | Not | And | Or
"""`And(())` is true, `Or(())` false."""


def holds(proposition: Proposition, state: Mapping[Place, Value]) -> bool:
    """Whether a final state is one of those."""
    match proposition:
        case Equal(left, right):
            other = state[right] if isinstance(right, RegisterName | Variable) else right
            return state[left] == other
        case Not(inner):
            return not holds(inner, state)
        case And(parts):
            return all(holds(part, state) for part in parts)
        case Or(parts):
            return any(holds(part, state) for part in parts)


def places(proposition: Proposition) -> Iterator[Place]:
    """What it speaks of."""
    match proposition:
        case Equal(left, right):
            yield left
            if isinstance(right, RegisterName | Variable):
                yield right
        case Not(inner):
            yield from places(inner)
        case And(parts) | Or(parts):
            for part in parts:
                yield from places(part)


def in_words(proposition: Proposition, *, inside: bool = False) -> str:
    """As it is written in a litmus test."""
    match proposition:
        case Equal(left, right):
            return f"{_bare(left)}={_bare(right)}"
        case Not(inner):
            return f"~{in_words(inner, inside=True)}"
        case And(()):
            return "true"
        case Or(()):
            return "false"
        case And(parts):
            text = " /\\ ".join(in_words(part, inside=True) for part in parts)
        case Or(parts):
            text = " \\/ ".join(in_words(part, inside=True) for part in parts)
    return f"({text})" if inside else text


def _bare(place: Value | Place) -> str:
    return place.name if isinstance(place, Variable) else str(place)


Quantifier = Literal["exists", "~exists", "forall"]
Verdict = Literal["Never", "Sometimes", "Always"]


@dataclass(frozen=True)
class Litmus:
    """A whole test."""

    file: str
    name: str
    initial: Mapping[str, Value]
    """Every shared variable with its first value."""
    threads: tuple[Thread, ...]
    quantifier: Quantifier
    condition: Proposition
    filter: Proposition | None
    observed: tuple[Place, ...]
    """What a state consists of: what the condition speaks of, and `locations`. Sorted."""
    expected: Verdict | None
    """From a comment `Result: Never`, as the kernel's own tests have it."""
    plain: int
    """How many accesses are neither marked nor atomic."""


Model = Literal["weak", "sc", "alpha"]


@dataclass(frozen=True)
class Outcome:
    """What can become of a test."""

    states: Mapping[tuple[Value, ...], int]
    """Values of `Litmus.observed` -> number of executions that end so. Filtered."""
    stuck: int
    """In how many states nobody could go on: deadlocks."""
    explored: int
