# SPDX-License-Identifier: GPL-2.0-only
"""The runs of one thread by itself, for every combination of values that its reads may return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mmsim.litmus.program import (
    AddUnless,
    Assign,
    Barrier,
    Binary,
    Branch,
    CompareExchange,
    Constant,
    Expression,
    IsLocked,
    Jump,
    Litmus,
    Load,
    Lock,
    Register,
    Rmw,
    Store,
    Thread,
    Unlock,
    Value,
)
from mmsim.litmus.values import binary, unary

History = frozenset[tuple[int, int]]
"""Stores, by thread and place in its code. No value comes through the same one twice: it would
depend on itself, and happens-before forbids that. So counters do not count for ever."""
Domain = dict[str, dict[Value, set[History]]]


@dataclass(frozen=True)
class Event:
    kind: str
    """"R", "W", or the name of a fence."""
    tags: frozenset[str] = frozenset()
    """acquire, release, mb, noreturn, rmw; LKR, LKW, UL for locks."""
    word: str = ""
    value: Value = 0
    addr: frozenset[int] = frozenset()
    data: frozenset[int] = frozenset()
    ctrl: frozenset[int] = frozenset()
    """Reads of the same run, by number."""
    partner: int | None = None
    """Of the write of an atomic: its read."""
    history: History = frozenset()
    """The stores that the value came through."""


@dataclass(frozen=True)
class Run:
    """One way for a thread to go, given what its reads return."""

    events: tuple[Event, ...]
    registers: tuple[Value, ...]


Contents = tuple[Value, frozenset[int]]


@dataclass
class _Running:
    thread: int
    place: int
    registers: list[Contents]
    events: list[Event] = field(default_factory=list)
    ctrl: frozenset[int] = frozenset()

    def fork(self) -> _Running:
        return _Running(self.thread, self.place, list(self.registers), list(self.events), self.ctrl)

    def eval(self, expression: Expression) -> Contents:
        if isinstance(expression, Constant):
            return expression.value, frozenset()
        if isinstance(expression, Register):
            return self.registers[expression.number]
        if isinstance(expression, Binary):
            left, one = self.eval(expression.left)
            right, two = self.eval(expression.right)
            return binary(expression.operator, left, right), one | two
        value, reads = self.eval(expression.operand)
        return unary(expression.operator, value), reads

    def read(
        self,
        word: str,
        value: Value,
        addr: frozenset[int],
        target: int | None,
        *tags: str,
        history: History = frozenset(),
    ) -> int:
        number = len(self.events)
        self.events.append(
            Event("R", frozenset(tags), word, value, addr=addr, ctrl=self.ctrl, history=history)
        )
        if target is not None:
            self.registers[target] = value, frozenset({number})
        return number

    def write(
        self,
        word: str,
        value: Value,
        addr: frozenset[int],
        data: frozenset[int],
        *tags: str,
        partner: int | None = None,
    ) -> bool:
        """False if the value depends on this very store."""
        here = (self.thread, self.place - 1)
        history = frozenset({here}).union(
            *(self.events[read].history for read in addr | data | self.ctrl)
        )
        looped = any(here in self.events[read].history for read in addr | data | self.ctrl)
        self.events.append(
            Event("W", frozenset(tags), word, value, addr, data, self.ctrl, partner, history)
        )
        return not looped


READ_TAGS = {"acquire": ("acquire",), "full": ("mb",), "noreturn": ("noreturn",)}
WRITE_TAGS = {"release": ("release",), "full": ("mb",)}


def runs(number: int, thread: Thread, domain: Domain) -> Iterator[Run]:
    """Every run, if a read of a variable may return any value in its domain."""
    pending = [_Running(number, 0, [(value, frozenset()) for value in thread.initial])]
    while pending:
        now = pending.pop()
        if now.place == len(thread.operations):
            yield Run(tuple(now.events), tuple([value for value, _ in now.registers]))
            continue
        operation = thread.operations[now.place]
        now.place += 1
        match operation:
            case Assign(target, value):
                now.registers[target] = now.eval(value)
                pending.append(now)
            case Jump(to):
                now.place = to
                pending.append(now)
            case Branch(condition, otherwise):
                value, reads = now.eval(condition)
                now.ctrl |= reads
                if not value:
                    now.place = otherwise
                pending.append(now)
            case Barrier(fence):
                now.events.append(Event(fence))
                pending.append(now)
            case Load(target, address, order):
                word, addr = now.eval(address)
                assert isinstance(word, str)
                for value, history in _values(domain, word):
                    twin = now.fork()
                    tags = READ_TAGS.get(order, ())
                    twin.read(word, value, addr, target, *tags, history=history)
                    pending.append(twin)
            case Store(address, value, order):
                word, addr = now.eval(address)
                assert isinstance(word, str)
                stored, data = now.eval(value)
                if now.write(word, stored, addr, data, *WRITE_TAGS.get(order, ())):
                    pending.append(now)
            case Rmw() | CompareExchange() | AddUnless():
                pending += _atomic(now, operation, domain)
            case Lock(address, target):
                word, addr = now.eval(address)
                assert isinstance(word, str)
                taken = now.fork()
                read = taken.read(word, 0, addr, None, "acquire", "LKR")
                taken.write(word, 1, addr, frozenset(), "LKW", partner=read)
                if target is not None:
                    taken.registers[target] = 1, frozenset({read})
                    failed = now.fork()
                    read = failed.read(word, 1, addr, None)
                    failed.registers[target] = 0, frozenset({read})
                    pending.append(failed)
                pending.append(taken)
            case Unlock(address):
                word, addr = now.eval(address)
                assert isinstance(word, str)
                now.write(word, 0, addr, frozenset(), "release", "UL")
                pending.append(now)
            case IsLocked(target, address):
                word, addr = now.eval(address)
                assert isinstance(word, str)
                for value in (0, 1):
                    twin = now.fork()
                    twin.read(word, value, addr, target)
                    pending.append(twin)


def _values(domain: Domain, word: str) -> Iterator[tuple[Value, History]]:
    for value, histories in domain[word].items():
        for history in histories:
            yield value, history


def _atomic(
    now: _Running, operation: Rmw | CompareExchange | AddUnless, domain: Domain
) -> Iterator[_Running]:
    word, addr = now.eval(operation.address)
    assert isinstance(word, str)
    order = "full" if isinstance(operation, AddUnless) else operation.order
    for old, history in _values(domain, word):
        twin = now.fork()
        gives: Value = old
        data: frozenset[int] = frozenset()
        uses_old = True
        new: Value | None
        if isinstance(operation, Rmw):
            operand, data = now.eval(operation.operand)
            if operation.operator == "=":
                new, uses_old = operand, False
            else:
                new = binary(operation.operator, old, operand)
            gives = old if operation.gives == "old" else new
        elif isinstance(operation, CompareExchange):
            expected, one = now.eval(operation.expected)
            value, two = now.eval(operation.value)
            new, data, uses_old = (value if old == expected else None), one | two, False
        else:
            unless, one = now.eval(operation.unless)
            addend, two = now.eval(operation.addend)
            new = None if old == unless else binary("+", old, addend)
            data, gives = one | two, int(old != unless)
        tags = () if new is None else ("rmw", *READ_TAGS.get(order, ()))
        read = twin.read(word, old, addr, operation.target, *tags, history=history)
        twin.registers[operation.target] = gives, frozenset({read})
        if new is not None:
            if uses_old:
                data |= {read}
            tags = ("rmw", *WRITE_TAGS.get(order, ()))
            if not twin.write(word, new, addr, data | {read}, *tags, partner=read):
                continue
            twin.events[-1] = replace(twin.events[-1], data=data)
        yield twin


def all_runs(litmus: Litmus) -> list[list[Run]]:
    """The runs of every thread, for the values that can be in a variable at all."""
    domain: Domain = {word: {value: {frozenset()}} for word, value in litmus.initial.items()}
    while True:
        wider = {
            word: {value: set(histories) for value, histories in values.items()}
            for word, values in domain.items()
        }
        for number, thread in enumerate(litmus.threads):
            for run in runs(number, thread, domain):
                for event in run.events:
                    if event.kind == "W":
                        wider[event.word].setdefault(event.value, set()).add(event.history)
        if wider == domain:
            break
        domain = wider
    # How a value came about has done its work.
    plain: Domain = {
        word: {value: {frozenset()} for value in values} for word, values in domain.items()
    }
    return [list(runs(number, thread, plain)) for number, thread in enumerate(litmus.threads)]
