# SPDX-License-Identifier: GPL-2.0-only
"""One state of a litmus test on its way through an execution."""

from __future__ import annotations

from collections.abc import Hashable

from mmsim.engine.memory.messages import EMPTY, View
from mmsim.engine.memory.views import Memory
from mmsim.litmus.program import Binary, Constant, Expression, Register, Value
from mmsim.litmus.values import binary, unary

Contents = tuple[Value, View]
"""Of a register: a value, and the bound of the reads that it came from."""


class State:
    """Where an execution has come to. With ``count`` it remembers how."""

    __slots__ = ("count", "files", "memory", "order", "owes", "places", "trace")

    def __init__(
        self,
        places: list[int],
        files: list[tuple[Contents, ...]],
        memory: Memory,
        count: bool,
    ) -> None:
        self.places = places
        self.files = files
        self.memory = memory
        self.count = count
        self.owes: frozenset[int] = frozenset()
        """Threads amid a fully ordered atomic: the barrier behind it is a step of its own."""
        self.trace: tuple[tuple[tuple[int, int], ...], ...] = ((),) * len(places)
        """What each thread has read: writer and step."""
        self.order: tuple[tuple[str, int, int], ...] = ()
        """The stores, sorted by variable only."""

    def fork(self) -> State:
        twin = State(list(self.places), list(self.files), self.memory.fork(), self.count)
        twin.owes, twin.trace, twin.order = self.owes, self.trace, self.order
        return twin

    def key(self) -> Hashable:
        return (
            tuple(self.places),
            tuple(self.files),
            self.memory.key(),
            self.owes,
            self.trace,
            self.order,
        )

    def note(self, thread: int, writer: int, step: int) -> None:
        """The thread has read this store."""
        if self.count:
            trace = list(self.trace)
            trace[thread] = (*trace[thread], (writer, step))
            self.trace = tuple(trace)

    def note_store(self, word: str, thread: int, step: int) -> None:
        if self.count:
            entries = [*self.order, (word, thread, step)]
            entries.sort(key=lambda entry: entry[0])  # stable: each word's stores stay in order
            self.order = tuple(entries)

    def set(self, thread: int, target: int, value: Value, bound: View) -> None:
        """Put a value into a register."""
        file = list(self.files[thread])
        file[target] = (value, bound)
        self.files[thread] = tuple(file)


def evaluate(expression: Expression, file: tuple[Contents, ...]) -> Contents:
    """An expression over the registers of a thread. Raises NoValue."""
    if isinstance(expression, Constant):
        return expression.value, EMPTY
    if isinstance(expression, Register):
        return file[expression.number]
    if isinstance(expression, Binary):
        left, one = evaluate(expression.left, file)
        right, two = evaluate(expression.right, file)
        return binary(expression.operator, left, right), one | two
    value, bound = evaluate(expression.operand, file)
    return unary(expression.operator, value), bound
