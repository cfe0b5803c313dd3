# SPDX-License-Identifier: GPL-2.0-only
"""Optimal DPOR: every execution that differs, none twice, and none begun in vain.

Abdulla, Aronis, Jonsson, Sagonas, "Source Sets: A Foundation for Optimal Dynamic Partial Order
Reduction" (POPL'14, JACM'17).  Two events are *dependent* if their order matters: events of one CPU
always, others if they touch a word and one of them writes a bit that the other touches.  Executions
that differ only in the order of independent events come to the same, and one of each such class is
run.  For each *race* (two dependent events, nothing in between that orders them) the search sees to
it that the opposite order is run, too.

It does so when an execution is over, and for all its races, old ones as well: what comes after a
race decides who may be taken to cover its other order.  That order is kept as a sequence of events,
all that do not depend on the earlier one, in the *wakeup tree* of the node before it.  One that can
begin as another does joins it there.  It must not be dropped, although that branch is
still to be explored: with those who are asleep in it the branch would not come to the sequence.

The process of the clocks is a CPU.  Its task and its interrupts share it, so that every place where
an interrupt can come in between two events of the CPU makes an execution of its own.  To treat an
interrupt as independent by what its handler touches would be wrong: whether it can come in depends
on the CPU, and what the handler touches depends on when.

An event that takes a lock, or the CPU, is raced by the one that took it before, although the end of
that critical section lies in between.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from mmsim.engine.context import Context
from mmsim.engine.events import printable
from mmsim.engine.explore.nodes import Node, Request, Step, Twig, add, place
from mmsim.engine.explore.search import Blocked, Search, join, lets_in, see, waits_for_waker
from mmsim.engine.explore.words import EVERY_BIT, Touches, meet
from mmsim.engine.op import LOCK, TRYLOCK, UNLOCK, Op


class _Event:
    __slots__ = ("clock", "ctx", "kind", "number", "op", "process", "step", "touches", "what")

    def __init__(
        self, ctx: int, process: int, op: Op, touches: Touches, clock: list[int], number: int
    ) -> None:
        self.ctx = ctx
        self.process = process
        self.op = op
        self.kind = op.kind
        self.touches = touches
        self.step = Step(ctx, process, touches)
        self.clock = clock
        self.number = number  # among those of its process, from 1
        self.what = ""  # in words, if somebody wants to know


NO_WORDS = ("", "")


class _Race(NamedTuple):
    """The events ``one`` and ``other``, in this order, by their index.

    ``until``, if it is not 0, is an event of the other's CPU before which the other has to come.
    """

    one: int
    other: int
    until: int
    what: tuple[str, str]


_Access = tuple[int, int, int, _Event]
"""What an event does to a word: the event's index, bits read, bits written, the event."""


class Dpor(Search):
    """The search.  When ``more()`` is False, every execution has been run or needs no run."""

    def _forget(self) -> None:
        super()._forget()
        self.strayed = 0  # sequences that could not be followed
        self._clear()

    def _clear(self) -> None:
        self._events: list[_Event] = []
        self._by_word: defaultdict[int, list[_Access]] = defaultdict(list)
        self._by_process: defaultdict[int, list[int]] = defaultdict(list)
        self._by_ctx: defaultdict[int, list[int]] = defaultdict(list)
        self._races: list[_Race] = []  # of the events there are, by the later one

    def _back_to(self, depth: int) -> None:
        events, by_word = self._events, self._by_word
        by_process, by_ctx = self._by_process, self._by_ctx
        for event in reversed(events[depth:]):
            for touch in event.touches:
                by_word[touch[0]].pop()
            by_process[event.process].pop()
            by_ctx[event.ctx].pop()
        del events[depth:]
        races = self._races
        while races and races[-1].other >= depth:
            races.pop()

    def _last(self) -> list[int]:
        return self._events[-1].clock if self._events else []

    def _everything(self) -> list[int]:
        clock: list[int] = []
        for numbers in self._by_process.values():
            if numbers:
                clock = join(clock, self._events[numbers[-1]].clock)
        return clock

    def _enter(self, node: Node) -> None:
        if self.nodes:
            before = self.nodes[-1]
            if before.sleep or before.done:
                self._fall_asleep(node, before)

    def _first(self, node: Node, can: list[Context], current: Context | None) -> Context:
        sleep = node.sleep
        if self._twigs:
            twigs = [twig for twig in self._twigs if twig.step.ctx not in sleep]
            self._twigs = []
            if twigs:
                first = twigs[0].step.ctx
                for ctx in can:
                    if ctx.id == first:
                        self._twigs = twigs[0].then
                        node.back = [twig.step.ctx for twig in twigs]
                        node.then = {twig.step.ctx: twig for twig in twigs}
                        return ctx
                self.strayed += 1
                node.back = [id for id in node.can if id not in sleep]  # nobody is left out
                node.then = {id: Twig(Step(id, -1, None)) for id in node.back}
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
        for step in (*before.sleep.values(), *[self._step(before, id) for id in before.done]):
            theirs = step.touches
            if step.process != here and theirs is not None and not meet(theirs, touched):
                node.sleep[step.ctx] = step

    def _event(self, node: Node, ctx: Context, touches: Touches) -> None:
        events = self._events
        id, process, op = ctx.id, ctx.cpu.id, ctx.pending[0]
        kind = op.kind
        by_word = self._by_word
        own = self._by_ctx[id]
        here = self._by_process[process]
        clock = events[own[-1]].clock.copy() if own else [0] * len(self._machine.cpus)
        waker = self._wakers.get(id)
        if waker and waits_for_waker(ctx):
            see(clock, waker)
        is_lock = kind is LOCK
        # Taking a lock races with whoever took it before; only then does its release order them.
        if is_lock:
            for touch in touches:
                if touch.takes:
                    self._race_for(touch.word, ctx, process, clock)
        for event in self._conflicts(touches, process, clock) if touches else ():
            if clock[event.process] < event.number:
                if not is_lock:
                    self._race(event, ctx, process, clock)
                see(clock, event.clock)
        if here:
            before = events[here[-1]]
            if before.ctx != id:
                for j in reversed(here):
                    event = events[j]
                    if event.ctx == id:
                        break
                    if lets_in(self.nodes[j].cpus[process], ctx):
                        if clock[process] < event.number:
                            self._race(event, ctx, process, clock)
                        break
                see(clock, before.clock)
        number = len(here) + 1
        clock[process] = number
        event = _Event(id, process, op, touches, clock, number)
        if self.telling:
            event.what = in_words(ctx)
        i = len(events)
        events.append(event)
        for word, reads, writes, _ in touches:
            by_word[word].append((i, reads, writes, event))
        here.append(i)
        own.append(i)

    def _race_for(self, word: int, ctx: Context, process: int, clock: list[int]) -> None:
        """Races of one that takes a lock with who took it before, and who looked at it since.

        Who looked while it was taken did so before it could be had.
        """
        free = True
        for _, _, writes, event in reversed(self._by_word[word]):
            kind = event.kind
            if kind is UNLOCK:
                free = False
                continue
            takes = kind is LOCK or (kind is TRYLOCK and writes)
            if (free or takes) and event.process != process and clock[event.process] < event.number:
                self._race(event, ctx, process, clock)
            if takes:
                break

    def _conflicts(self, touches: Touches, process: int, clock: list[int]) -> list[_Event]:
        """Events of other processes that depend on one with ``touches`` by a word, latest first.

        Those that ``clock`` has seen may be left out.
        """
        found: list[tuple[int, _Event]] = []
        two = len(clock) == 2
        for word, reads, writes, _ in touches:
            both = reads | writes
            for i, theirs, written, event in reversed(self._by_word[word]):
                if event.process != process:
                    if two and event.number <= clock[event.process]:
                        break  # as are all before it: they are of one process
                    if both & written or writes & theirs:
                        found.append((i, event))
                        if two:
                            break
                if written == EVERY_BIT:
                    break  # what is earlier comes before this one
        if len(found) > 1:
            found = sorted(dict(found).items(), reverse=True)
        return [event for _, event in found]

    def _race(self, one: _Event, other: Context, process: int, clock: list[int]) -> None:
        """Note that ``other`` could do before event ``one`` what it is about to do.

        Unless that is covered for good: somebody who begins a way to do so has a turn.
        """
        events = self._events
        j = self._by_process[one.process][one.number - 1]
        number, where = one.number, one.process
        until = 0
        if process != where and process in self.nodes[j].cpus:
            for k in self._by_process[process]:
                if k > j and events[k].clock[where] >= number:
                    until = self._until(j, k, other)
                    if until < 0:
                        return  # its CPU does not let it
                    break
        what = (one.what, in_words(other)) if self.telling else NO_WORDS
        self._races.append(_Race(j, len(events), until, what))

    def _until(self, j: int, k: int, ctx: Context) -> int:
        """``ctx`` came after event k of its CPU, which comes after event j: where could it before?

        The last event of its CPU before which it could; -1 if there is none.
        """
        process = ctx.cpu.id
        own = self._by_ctx[ctx.id]
        for m in reversed(self._by_process[process]):
            if m <= j or (own and m <= own[-1]):
                break
            if m <= k and lets_in(self.nodes[m].cpus[process], ctx):
                return m
        return -1

    def _reverse(self) -> None:
        nodes = self.nodes
        for race in self._races:
            j = race.one
            node = nodes[j]
            steps = self._way(race)
            begun = [self._step(node, id) for id in (*node.done, node.cur)]
            begun += node.sleep.values()
            if j < self._floor:
                if all(place(step, steps) < 0 for step in begun):
                    self.requests[Request(j, tuple(map(self._told, steps)), race.what)] = None
            elif add(node, begun, steps) and self.telling:
                self.reversed[race.what] += 1

    def _way(self, race: _Race) -> list[Step]:
        """A way for the later event of a race to come before the earlier one.

        It is all that happened from there on, without what depends on the earlier event, and with
        the later one as soon as it can.
        """
        events = self._events
        j, i, until, _ = race
        one, other = events[j], events[i]
        where, number = one.process, one.number
        here, last = other.process, events[until].number if until else 1 << 30
        steps = [
            event.step
            for event in events[j + 1 : i]
            if event.clock[where] < number and event.clock[here] < last
        ]
        steps.append(Step(other.ctx, here, self.words.at_most(other.op, other.touches)))
        steps += [
            event.step
            for event in events[i + 1 :]
            if event.clock[where] < number and event.clock[here] < last
        ]
        return steps


def in_words(ctx: Context) -> str:
    """What a context is about to do, for people."""
    op, obj, _ = ctx.pending
    parts = [f"{ctx.comm}:", op.verb, printable(obj), op.label or op.kind]
    return " ".join(part for part in parts if part)
