# SPDX-License-Identifier: GPL-2.0-only
"""Source-DPOR with sleep sets: every execution that differs, and none twice.

Abdulla, Aronis, Jonsson, Sagonas, "Source Sets: A Foundation for Optimal Dynamic Partial Order
Reduction" (POPL'14, JACM'17).  Two events are *dependent* if their order matters: events of one CPU
always, others if they touch a word and one of them writes a bit that the other touches.  Executions
that differ only in the order of independent events come to the same, and one of each such class is
run.  For each *race* (two dependent events, nothing in between that orders them) the search sees to
it that the opposite order is run, too.

The process of the clocks is a CPU.  Its task and its interrupts share it, so that every place where
an interrupt can come in between two events of the CPU makes an execution of its own.  To treat an
interrupt as independent by what its handler touches would be wrong: whether it can come in depends
on the CPU, and what the handler touches depends on when.

An event that takes a lock, or the CPU, is raced by the one that took it before, although the end of
that critical section lies in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence
from typing import Protocol

from mmsim.engine.context import Context
from mmsim.engine.events import printable
from mmsim.engine.explore.nodes import Node, Request
from mmsim.engine.explore.search import Blocked, Search, lets_in
from mmsim.engine.explore.words import EVERY_BIT, Touches, meet
from mmsim.engine.op import LOCK, TRYLOCK, UNLOCK


class _Event:
    __slots__ = ("clock", "ctx", "kind", "number", "process", "touches", "what")

    def __init__(
        self, ctx: int, process: int, kind: str, touches: Touches, clock: list[int], number: int
    ) -> None:
        self.ctx = ctx
        self.process = process
        self.kind = kind
        self.touches = touches
        self.clock = clock
        self.number = number  # among those of its process, from 1
        self.what = ""  # in words, if somebody wants to know


NO_WORDS = ("", "")
_Access = tuple[int, int, int, _Event]
"""What an event does to a word: the event's index, bits read, bits written, the event."""


class Dpor(Search):
    """The search.  When ``more()`` is False, every execution has been run or needs no run."""

    def _forget(self) -> None:
        super()._forget()
        self._clear()

    def _clear(self) -> None:
        self._events: list[_Event] = []
        self._by_word: defaultdict[int, list[_Access]] = defaultdict(list)
        self._by_process: defaultdict[int, list[int]] = defaultdict(list)
        self._by_ctx: defaultdict[int, list[int]] = defaultdict(list)

    def _back_to(self, depth: int) -> None:
        events = self._events
        while len(events) > depth:
            event = events.pop()
            for touch in event.touches:
                self._by_word[touch[0]].pop()
            self._by_process[event.process].pop()
            self._by_ctx[event.ctx].pop()

    def _last(self) -> list[int]:
        return self._events[-1].clock if self._events else []

    def _everything(self) -> list[int]:
        clock: list[int] = []
        for numbers in self._by_process.values():
            if numbers:
                clock = _join(clock, self._events[numbers[-1]].clock)
        return clock

    def _enter(self, node: Node) -> None:
        if self.nodes:
            before = self.nodes[-1]
            if before.sleep or before.done:
                self._fall_asleep(node, before)

    def _first(self, node: Node, can: list[Context], current: Context | None) -> Context:
        sleep = node.sleep
        if current is not None and current.id not in sleep and current in can:
            return current
        for ctx in can:
            if ctx.id not in sleep:
                return ctx
        raise Blocked("seen before")

    def _fall_asleep(self, node: Node, before: Node) -> None:
        """Who was seen before there, and does not depend on what came then, was seen here."""
        event = self._events[-1]
        here, touched = event.process, event.touches
        for id, (process, touches) in before.sleep.items():
            if process != here and not meet(touches, touched):
                node.sleep[id] = process, touches
        for id in before.done:
            touches = before.acts[id]
            process = self._machine.contexts[id].cpu.id
            if process != here and not meet(touches, touched):
                node.sleep[id] = process, touches

    def _event(self, node: Node, ctx: Context, touches: Touches) -> None:
        events = self._events
        id, process, kind = ctx.id, ctx.cpu.id, ctx.pending[0].kind
        by_word = self._by_word
        own = self._by_ctx[id]
        here = self._by_process[process]
        clock = events[own[-1]].clock.copy() if own else [0] * len(self._machine.cpus)
        waker = self._wakers.get(id)
        if waker:
            clock = _join(clock, waker)
        is_lock, is_trylock = kind is LOCK, kind is TRYLOCK
        # Taking a lock races with whoever took it before; only then does its release order them.
        if is_lock or is_trylock:
            for touch in touches:
                if touch.takes or is_trylock:
                    self._race_for(touch.word, is_trylock, ctx, process, clock)
        for event in self._conflicts(touches, process) if touches else ():
            if clock[event.process] < event.number:
                if not is_lock:
                    self._race(event, ctx, process, clock)
                clock = _join(clock, event.clock)
        if here:
            if events[here[-1]].ctx != id:
                for j in reversed(here):
                    event = events[j]
                    if event.ctx == id:
                        break
                    if lets_in(self.nodes[j].cpus[process], ctx):
                        if clock[process] < event.number:
                            self._race(event, ctx, process, clock)
                        break
            clock = _join(clock, events[here[-1]].clock)
        number = len(here) + 1
        clock[process] = number
        event = _Event(id, process, kind, touches, clock, number)
        if self.telling:
            event.what = in_words(ctx)
        i = len(events)
        events.append(event)
        for word, reads, writes, _ in touches:
            by_word[word].append((i, reads, writes, event))
        here.append(i)
        own.append(i)

    def _race_for(
        self, word: int, is_trylock: bool, ctx: Context, process: int, clock: list[int]
    ) -> None:
        """Races of one that takes a lock with those that took it."""
        for _, _, writes, event in reversed(self._by_word[word]):
            kind = event.kind
            if kind is UNLOCK and not is_trylock:
                continue
            if event.process != process and clock[event.process] < event.number:
                self._race(event, ctx, process, clock)
            if kind is LOCK or (kind is TRYLOCK and writes):
                break

    def _conflicts(self, touches: Touches, process: int) -> list[_Event]:
        """Events of other processes that depend on one with ``touches`` by a word, latest first."""
        found: list[tuple[int, _Event]] = []
        for word, reads, writes, _ in touches:
            both = reads | writes
            for i, theirs, written, event in reversed(self._by_word[word]):
                if (both & written or writes & theirs) and event.process != process:
                    found.append((i, event))
                if written == EVERY_BIT:
                    break  # what is earlier comes before this one
        if len(touches) > 1:
            found = sorted(dict(found).items(), reverse=True)
        return [event for _, event in found]

    def _race(self, one: _Event, other: Context, process: int, clock: list[int]) -> None:
        """See to it that what ``other`` is about to do also happens before event ``one``."""
        events = self._events
        ctx = other.id
        j = self._by_process[one.process][one.number - 1]
        node = self.nodes[j]
        number, where = one.number, one.process
        first: dict[int, int] = {}  # of those that do not depend on j, each process's first
        initials: list[int] = []
        for k in range(j + 1, len(events)):
            event = events[k]
            theirs = event.clock
            if theirs[where] >= number:
                continue
            for p, n in first.items():
                if theirs[p] >= n:
                    break
            else:
                if event.ctx in node.back or event.ctx in node.sleep:
                    return
                initials.append(event.ctx)
            first.setdefault(event.process, event.number)
        if all(p != process and clock[p] < n for p, n in first.items()):
            if ctx in node.back or ctx in node.sleep:
                return
            initials.insert(0, ctx)
        what = (one.what, in_words(other)) if self.telling else NO_WORDS
        request = Request(j, tuple(initials), what)
        if j < self._floor:
            self.requests.setdefault(request[:2], request)
        elif add(node, request) and self.telling:
            self.reversed[what] += 1


def in_words(ctx: Context) -> str:
    """What a context is about to do, for people."""
    op, obj, _ = ctx.pending
    parts = [f"{ctx.comm}:", op.verb, printable(obj), op.label or op.kind]
    return " ".join(part for part in parts if part)


class Reversing(Protocol):
    """A node, or what is kept of it."""

    @property
    def can(self) -> Sequence[int]: ...
    @property
    def back(self) -> list[int]: ...
    @property
    def sleep(self) -> Container[int]: ...


def add(node: Reversing, request: Request) -> bool:
    """Give a turn to one of those who can reverse the race; False if somebody has one already."""
    back, sleep = node.back, node.sleep
    for id in request.initials:
        if id in back or id in sleep:
            return False
    for id in request.initials:
        if id in node.can:
            back.append(id)
            return True
    new = [id for id in node.can if id not in back and id not in sleep]
    back.extend(new)  # nobody of them could, so nobody is left out
    return bool(new)


def _join(one: list[int], other: list[int]) -> list[int]:
    if not one:
        return other.copy()
    if not other:
        return one.copy()
    return [a if a > b else b for a, b in zip(one, other, strict=True)]
