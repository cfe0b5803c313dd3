# SPDX-License-Identifier: GPL-2.0-only
"""What a thread can still ask for, at each place in its code.

Forgetting the rest changes no execution; it makes states equal that nothing can tell apart, and
that is the better part of the speed of the explorer. Code only goes forward, so one pass from the
end is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmsim.engine.memory.messages import EMPTY, View
from mmsim.engine.memory.views import Memory
from mmsim.litmus.program import (
    AddUnless,
    Assign,
    Barrier,
    Branch,
    CompareExchange,
    Constant,
    Expression,
    IsLocked,
    Jump,
    Litmus,
    Load,
    Lock,
    Operation,
    RegisterName,
    Rmw,
    Store,
    Thread,
    Unlock,
    Value,
    places,
    registers,
)


@dataclass(frozen=True)
class _Needs:
    """At one place of one thread, and after it."""

    registers: frozenset[int] = frozenset()
    words: frozenset[str] | None = frozenset()
    """What may be read; None: anything, since an address is computed."""
    rmb: bool = False
    wmb: bool = False
    """Or an unlock, which hands the own stores on as well."""
    lock: bool = False

    def __or__(self, other: _Needs) -> _Needs:
        words = None if self.words is None or other.words is None else self.words | other.words
        return _Needs(
            self.registers | other.registers,
            words,
            self.rmb or other.rmb,
            self.wmb or other.wmb,
            self.lock or other.lock,
        )


class Liveness:
    def __init__(self, litmus: Litmus) -> None:
        self.names = frozenset(litmus.initial)
        shown = set(litmus.observed) | set(places(litmus.filter) if litmus.filter else ())
        self.needs = [
            _backwards(
                thread,
                frozenset(
                    thread.registers.index(place.name)
                    for place in shown
                    if isinstance(place, RegisterName) and place.thread == number
                ),
            )
            for number, thread in enumerate(litmus.threads)
        ]
        self.unread: dict[tuple[int, ...], frozenset[str]] = {}

    def forget(
        self,
        at: list[int],
        thread: int,
        files: list[tuple[tuple[Value, View], ...]],
        memory: Memory,
    ) -> None:
        """Thread ``thread`` has come to ``at[thread]``: clear what it can do without from here."""
        needs = self.needs[thread][at[thread]]
        files[thread] = tuple(
            [
                contents if number in needs.registers else (0, EMPTY)
                for number, contents in enumerate(files[thread])
            ]
        )
        cpu = memory.cpus[thread]
        if not needs.rmb:
            cpu.reads = EMPTY
        if not needs.wmb:
            cpu.stores = EMPTY
        if not needs.lock:
            cpu.unlocked = None
        if at[thread] == len(self.needs[thread]) - 1:
            memory.retire(thread)
            # What is left of a register is its value.
            files[thread] = tuple([(value, EMPTY) for value, _ in files[thread]])
        key = tuple(at)
        unread = self.unread.get(key)
        if unread is None:
            unread = self.unread[key] = self._unread(key)
        if not unread <= memory.unread:
            memory.abandon(unread - memory.unread)

    def _unread(self, at: tuple[int, ...]) -> frozenset[str]:
        left = self.names
        for thread, place in enumerate(at):
            words = self.needs[thread][place].words
            if words is None:
                return frozenset()
            left -= words
        return left


def _backwards(thread: Thread, shown: frozenset[int]) -> list[_Needs]:
    """The needs at every place, the end included."""
    needs = [_Needs(registers=shown)]
    length = len(thread.operations)
    for place in range(length - 1, -1, -1):
        operation = thread.operations[place]
        after = needs[length - 1 - place]
        if isinstance(operation, Jump):
            after = needs[length - operation.to]
        elif isinstance(operation, Branch):
            after |= needs[length - operation.otherwise]
        needs.append(_before(operation, after))
    return needs[::-1]


def _before(operation: Operation, after: _Needs) -> _Needs:
    used: list[Expression] = []
    target: int | None = None
    words: frozenset[str] | None = frozenset()
    rmb = wmb = lock = False
    match operation:
        case Assign(target, value):
            used = [value]
        case Branch(condition, _):
            used = [condition]
        case Load(target, address):
            used, words = [address], _word(address)
        case Store(address, value):
            used = [address, value]
        case Barrier(fence):
            rmb, wmb = fence in ("rmb", "depends"), fence == "wmb"
        case Rmw(target, address, _, operand):
            used, words = [address, operand], _word(address)
        case CompareExchange(target, address, one, two) | AddUnless(target, address, one, two):
            used, words = [address, one, two], _word(address)
        case Lock(address, target):
            used, words, lock = [address], _word(address), True
        case Unlock(address):
            used, wmb = [address], True
        case IsLocked(target, address):
            used, words = [address], _word(address)
        case Jump(_):
            pass
    left = after.registers - {target}
    here = frozenset(number for expression in used for number in registers(expression))
    return _Needs(left | here, words, rmb, wmb, lock) | _Needs(
        frozenset(), after.words, after.rmb, after.wmb, after.lock
    )


def _word(address: Expression) -> frozenset[str] | None:
    if isinstance(address, Constant) and isinstance(address.value, str):
        return frozenset({address.value})
    return None
