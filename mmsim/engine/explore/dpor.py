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

from mmsim.engine.context import Context
from mmsim.engine.explore.search import Blocked, Node, Search, lets_in
from mmsim.engine.explore.words import EVERY_BIT, Touches, meet
from mmsim.engine.op import LOCK, TRYLOCK, UNLOCK


class _Event:
    __slots__ = ("clock", "ctx", "kind", "number", "process", "touches")

    def __init__(
        self, ctx: int, process: int, kind: str, touches: Touches, clock: list[int], number: int
    ) -> None:
        self.ctx = ctx
        self.process = process
        self.kind = kind
        self.touches = touches
        self.clock = clock
        self.number = number  # among those of its process, from 1


class Dpor(Search):
    """The search.  When ``more()`` is False, every execution has been run or needs no run."""

    def _forget(self) -> None:
        super()._forget()
        self._clear()

    def _clear(self) -> None:
        self._events: list[_Event] = []
        self._by_word: dict[int, list[int]] = {}
        self._by_process: dict[int, list[int]] = {}
        self._by_ctx: dict[int, list[int]] = {}

    def _back_to(self, depth: int) -> None:
        events = self._events
        while len(events) > depth:
            event = events.pop()
            for touch in event.touches:
                self._by_word[touch.word].pop()
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

    def _new_node(self, node: Node, can: list[Context], current: Context | None) -> Context:
        if self.nodes:
            before = self.nodes[-1]
            event = self._events[-1]
            for id, (process, touches) in before.sleep.items():
                if id != event.ctx and not self._dependent(process, touches, event):
                    node.sleep[id] = process, touches
            for id in before.done:
                touches = before.acts[id]
                process = self._machine.contexts[id].cpu.id
                if id != event.ctx and not self._dependent(process, touches, event):
                    node.sleep[id] = process, touches
        if current is not None and current.id not in node.sleep and current in can:
            return current
        for ctx in can:
            if ctx.id not in node.sleep:
                return ctx
        raise Blocked("seen before")

    @staticmethod
    def _dependent(process: int, touches: Touches, event: _Event) -> bool:
        return process == event.process or (bool(touches) and meet(touches, event.touches))

    def _event(self, node: Node, ctx: Context, touches: Touches) -> None:
        events = self._events
        i = len(events)
        process = ctx.cpu.id
        kind = ctx.pending[0].kind
        own = self._by_ctx.setdefault(ctx.id, [])
        here = self._by_process.setdefault(process, [])
        width = len(self._machine.cpus)
        clock = list(events[own[-1]].clock) if own else [0] * width
        waker = self._wakers.get(ctx.id)
        if waker:
            clock = _join(clock, waker)
        # Taking a lock races with whoever took it before; only then does its release order them.
        for touch in touches:
            if not touch.takes and kind is not TRYLOCK:
                continue
            for j in reversed(self._by_word.get(touch.word, ())):
                event = events[j]
                if event.kind is UNLOCK and kind is not TRYLOCK:
                    continue
                if event.process != process and clock[event.process] < event.number:
                    self._race(j, i, ctx.id, process, clock)
                if event.kind is LOCK or (event.kind is TRYLOCK and _writes(event, touch.word)):
                    break
        for j in self._conflicting(touches):
            event = events[j]
            if event.process == process:
                continue
            if clock[event.process] < event.number:
                if kind is not LOCK:
                    self._race(j, i, ctx.id, process, clock)
                clock = _join(clock, event.clock)
        if here:
            if events[here[-1]].ctx != ctx.id:
                for j in reversed(here):
                    event = events[j]
                    if event.ctx == ctx.id:
                        break
                    if lets_in(self.nodes[j].cpus[process], ctx):
                        if clock[process] < event.number:
                            self._race(j, i, ctx.id, process, clock)
                        break
            clock = _join(clock, events[here[-1]].clock)
        number = len(here) + 1
        clock[process] = number
        events.append(_Event(ctx.id, process, kind, touches, clock, number))
        for touch in touches:
            self._by_word.setdefault(touch.word, []).append(i)
        here.append(i)
        own.append(i)

    def _conflicting(self, touches: Touches) -> list[int]:
        """Events that depend on one with ``touches`` by a word, latest first."""
        found: list[int] = []
        for word, reads, writes, _ in touches:
            for j in reversed(self._by_word.get(word, ())):
                for other in self._events[j].touches:
                    if other.word != word:
                        continue
                    if writes & (other.reads | other.writes) or reads & other.writes:
                        found.append(j)
                    if other.writes == EVERY_BIT:
                        break  # what is earlier comes before this one
                else:
                    continue
                break
        if len(touches) > 1:
            found = sorted(set(found), reverse=True)
        return found

    def _race(self, j: int, i: int, ctx: int, process: int, clock: list[int]) -> None:
        """See to it that event ``i``, about to happen, also happens before event ``j``."""
        events = self._events
        node = self.nodes[j]
        one = events[j]
        first: dict[int, int] = {}  # of those that do not depend on j, each process's first
        initials: list[int] = []
        for k in range(j + 1, i):
            event = events[k]
            if event.clock[one.process] >= one.number:
                continue
            if all(event.clock[p] < n for p, n in first.items()):
                if event.ctx in node.back or event.ctx in node.sleep:
                    return
                initials.append(event.ctx)
            first.setdefault(event.process, event.number)
        if all(p != process and clock[p] < n for p, n in first.items()):
            if ctx in node.back or ctx in node.sleep:
                return
            initials.insert(0, ctx)
        for id in initials:
            if id in node.can:
                node.back.add(id)
                return
        node.back.update(node.can)  # nobody of them could, so nobody is left out


def _writes(event: _Event, word: int) -> bool:
    return any(touch.word == word and touch.writes for touch in event.touches)


def _join(one: list[int], other: list[int]) -> list[int]:
    if not one:
        return list(other)
    if not other:
        return list(one)
    return [a if a > b else b for a, b in zip(one, other, strict=True)]
