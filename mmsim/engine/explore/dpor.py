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

Once all other contexts have ended, and the last one has seen all that they did, nothing that it
still does can race: those accesses are not events.  Their words are looked at all the same, in case
one was taken for quiet and is not.

An event that takes a lock, or the CPU, is raced by the one that took it before, although the end of
that critical section lies in between.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from heapq import heappush
from operator import attrgetter

from mmsim.engine.context import Context
from mmsim.engine.events import printable
from mmsim.engine.explore.clocks import join, see
from mmsim.engine.explore.doors import lets_in
from mmsim.engine.explore.nodes import ADDED, Node, Request, Step, Twig, add, place
from mmsim.engine.explore.search import Blocked, Search, waits_for_waker
from mmsim.engine.explore.words import Touches, meet
from mmsim.engine.op import LOCK, TRYLOCK, UNLOCK

NO_WORDS = ("", "")
NEVER = 1 << 60  # deeper than any event


class _Race:
    """The events ``one`` and ``other``, in this order, by their depth.

    ``until``, if it is not 0, is an event of the other's CPU before which the other has to come.

    ``settled``: as long as the events up to this depth stay, the other order is covered.  What
    covers it at ``one``'s node only grows, and decides by the first steps of the way alone.
    """

    __slots__ = ("one", "other", "settled", "until", "what")

    def __init__(self, one: int, other: int, until: int, what: tuple[str, str]) -> None:
        self.one = one
        self.other = other
        self.until = until
        self.what = what
        self.settled = NEVER


_Access = tuple[int, int, Node]
"""What an event does to a word: bits read, bits written, the event."""


class Dpor(Search):
    """The search.  When ``more()`` is False, every execution has been run or needs no run."""

    def _forget(self) -> None:
        super()._forget()
        self.strayed = 0  # sequences that could not be followed
        self._clear()

    def _clear(self) -> None:
        self._by_word: defaultdict[int, list[list[_Access]]] = defaultdict(self._nobody)
        self._by_lock: dict[int, list[_Access]] = {}  # of all CPUs
        self._by_process: defaultdict[int, list[Node]] = defaultdict(list)
        self._races: list[_Race] = []  # of the events there are, by the later one

    def _nobody(self) -> list[list[_Access]]:
        """Accesses to a word, by CPU."""
        return [[] for _ in self._machine.cpus]

    def _back_to(self, depth: int) -> None:
        by_word, by_lock, by_process = self._by_word, self._by_lock, self._by_process
        for node in self.nodes[depth:]:
            _, process, touches = node.step
            if process < 0:
                continue  # it was left before its event
            if touches:
                for touch in touches:
                    word = touch[0]
                    by_word[word][process].pop()
                    if word in by_lock:
                        by_lock[word].pop()
            by_process[process].pop()
        races = self._races
        while races and races[-1].other >= depth:
            races.pop()

    def _last(self) -> list[int]:
        return self.nodes[-1].clock if self.nodes else []

    def _everything(self) -> list[int]:
        clock: list[int] = []
        for events in self._by_process.values():
            if events:
                clock = join(clock, events[-1].clock)
        return clock

    def _enter(self, node: Node) -> None:
        if self.nodes:
            before = self.nodes[-1]
            if before.sleep or before.done:
                self._fall_asleep(node, before)
            else:  # nobody is asleep from here on, and nothing is planned but at first
                self._onward = not self._twigs and not self._script

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
                        node.back = tuple([twig.step.ctx for twig in twigs])
                        node.then = {twig.step.ctx: twig for twig in twigs}
                        return ctx
                self.strayed += 1
                node.back = tuple([id for id in node.can if id not in sleep])  # nobody is left out
                node.then = {id: Twig(Step(id, -1, None)) for id in node.back}
        if current is not None and current.id not in sleep and current in can:
            return current
        for ctx in can:
            if ctx.id not in sleep:
                return ctx
        raise Blocked("seen before")

    def _fall_asleep(self, node: Node, before: Node) -> None:
        """Who was seen before there, and does not depend on what came then, was seen here."""
        _, here, touches = before.step
        touched = touches or ()
        sleep = {}
        for step in (*before.sleep.values(), *before.done.values()):
            theirs = step.touches
            if step.process != here and theirs is not None and not meet(theirs, touched):
                sleep[step.ctx] = step
        node.sleep = sleep

    def _event(self, node: Node, ctx: Context, touches: Touches) -> None:
        id, process, op = ctx.id, ctx.cpu.id, ctx.pending[0]
        here = self._by_process[process]
        own = last_of(id, here)
        clock = own.clock.copy() if own is not None else [0] * len(self._machine.cpus)
        wakers = self._state.wakers
        if wakers and id in wakers and waits_for_waker(ctx) and wakers[id]:
            see(clock, wakers[id])
        if touches:
            is_lock = op.kind is LOCK
            # Taking a lock races with whoever took it before; only then its release orders them.
            if is_lock:
                for touch in touches:
                    if touch.takes:
                        self._race_for(touch.word, ctx, process, clock)
            if len(touches) == 1 and len(clock) == 2:  # mostly: the same without a list of them
                word, reads, writes, _ = touches[0]
                seen = clock[1 - process]
                for theirs, written, event in reversed(self._by_word[word][1 - process]):
                    if event.number <= seen:
                        break
                    if (reads | writes) & written or writes & theirs:
                        if not is_lock:
                            self._race(event, ctx, process, clock)
                        see(clock, event.clock)
                        break
            else:
                for event in self._conflicts(touches, process, clock):
                    if clock[event.process] < event.number:
                        if not is_lock:
                            self._race(event, ctx, process, clock)
                        see(clock, event.clock)
        if here:
            before = here[-1]
            if before is not own:
                for event in reversed(here):
                    if event.cur == id:
                        break
                    if lets_in(event.cpus[process], ctx):
                        if clock[process] < event.number:
                            self._race(event, ctx, process, clock)
                        break
                see(clock, before.clock)
        number = len(here) + 1
        clock[process] = number
        node.process = process
        node.op = op
        node.clock = clock
        node.number = number
        if self.telling:
            node.what = in_words(ctx)
        for word, reads, writes, _ in touches:
            access = reads, writes, node
            self._by_word[word][process].append(access)
            if word in self._by_lock:
                self._by_lock[word].append(access)
        here.append(node)

    def _seen_all(self, node: Node) -> bool:
        clock = node.clock
        return all(clock[cpu] >= len(events) for cpu, events in self._by_process.items())

    def _race_for(self, word: int, ctx: Context, process: int, clock: list[int]) -> None:
        """Races of one that takes a lock with who took it before, and who looked at it since.

        Who looked while it was taken did so before it could be had.
        """
        if word not in self._by_lock:
            before = [access for accesses in self._by_word[word] for access in accesses]
            self._by_lock[word] = sorted(before, key=lambda access: access[2].depth)
        free = True
        for _, writes, event in reversed(self._by_lock[word]):
            kind = event.op.kind
            if kind is UNLOCK:
                free = False
                continue
            takes = kind is LOCK or (kind is TRYLOCK and writes)
            if (free or takes) and event.process != process and clock[event.process] < event.number:
                self._race(event, ctx, process, clock)
            if takes:
                break

    def _conflicts(self, touches: Touches, process: int, clock: list[int]) -> list[Node]:
        """Of each other process and each word the last event that depends on one with ``touches``.

        If it was not seen; the latest first.
        """
        found: list[Node] = []
        for word, reads, writes, _ in touches:
            both = reads | writes
            for where, accesses in enumerate(self._by_word[word]):
                if where == process:
                    continue
                for theirs, written, event in reversed(accesses):
                    if event.number <= clock[where]:
                        break
                    if both & written or writes & theirs:
                        found.append(event)
                        break
        found.sort(key=attrgetter("depth"), reverse=True)
        return found

    def _race(self, one: Node, other: Context, process: int, clock: list[int]) -> None:
        """Note that ``other`` could do before event ``one`` what it is about to do.

        Unless that is covered for good: somebody who begins a way to do so has a turn.
        """
        j, number, where = one.depth, one.number, one.process
        until = 0
        if process != where and process in one.cpus:
            here = self._by_process[process]
            at = bisect_left(here, number, key=lambda event: event.clock[where])
            if at < len(here):
                until = self._until(j, here[at].depth, other)
                if until < 0:
                    return  # its CPU does not let it
        what = (one.what, in_words(other)) if self.telling else NO_WORDS
        self._races.append(_Race(j, len(self.nodes) - 1, until, what))

    def _until(self, j: int, k: int, ctx: Context) -> int:
        """``ctx`` came after event k of its CPU, which comes after event j: where could it before?

        The last event of its CPU before which it could; -1 if there is none.
        """
        process = ctx.cpu.id
        for event in reversed(self._by_process[process]):
            if event.depth <= j or event.cur == ctx.id:
                break
            if event.depth <= k and lets_in(event.cpus[process], ctx):
                return event.depth
        return -1

    def _reverse(self) -> None:
        nodes = self.nodes
        same = self._depth - 1  # so many events are those of the execution before
        for race in self._races:
            if race.settled < same:
                continue
            j = race.one
            node = nodes[j]
            way = self._way(race)
            steps = [event.step for event in way]
            other = nodes[race.other]
            id, process, touches = other.step
            # as it would be there
            at_most = self.words.at_most(other.op, touches or ())
            steps[way.index(other)] = Step(id, process, at_most)
            # who goes now is not among those who could begin: the way depends on what it does
            begun = (*node.done.values(), *node.sleep.values())
            if j < self._floor:
                if all(place(step, steps) < 0 for step in begun):
                    self.requests[
                        Request(j, tuple([step.told(self.words) for step in steps]), race.what)
                    ] = None
                continue
            told = add(node, begun, steps)
            if told == ADDED:
                heappush(self._open, -j)
                if self.telling:
                    self.reversed[race.what] += 1
            elif told <= len(way):
                race.settled = way[told - 1].depth

    def _way(self, race: _Race) -> list[Node]:
        """A way for the later event of a race to come before the earlier one.

        It is all that happened from there on, without what depends on the earlier event, and with
        the later one as soon as it can.
        """
        nodes = self.nodes
        j, i, until = race.one, race.other, race.until
        one, other = nodes[j], nodes[i]
        where, number = one.process, one.number
        before = [node for node in nodes[j + 1 : i] if node.clock[where] < number]
        after = [node for node in nodes[i + 1 :] if node.clock[where] < number]
        if until:
            here, last = other.process, nodes[until].number
            before = [node for node in before if node.clock[here] < last]
            after = [node for node in after if node.clock[here] < last]
        return [*before, other, *after]


def last_of(id: int, events: list[Node]) -> Node | None:
    """The last of the events of a CPU that is this context's."""
    for event in reversed(events):
        if event.cur == id:
            return event
    return None


def in_words(ctx: Context) -> str:
    """What a context is about to do, for people."""
    op, obj, _ = ctx.pending
    parts = [f"{ctx.comm}:", op.verb, printable(obj), op.label or op.kind]
    return " ".join(part for part in parts if part)
