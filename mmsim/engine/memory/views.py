# SPDX-License-Identifier: GPL-2.0-only
"""The Linux kernel memory model as a machine: views over histories.

A word is not a value but a history of messages, one a store, in coherence order; a store appends,
so coherence order is the order of execution. A view says of every word which message is the oldest
that still counts: it is the set of all messages up to those. A CPU has five of them. A read may
take any message that its CPU is not yet bound to be past; what it takes bounds the reads that are
ordered after it.

    prop     what has reached this CPU: its own stores, what it read and what came before that, and
             what a full barrier of any CPU has pushed to all
    floor    what the next read must at least see
    reads    the bounds of the reads so far; smp_rmb() makes them the floor
    stores   the own stores and what goes before them
    drags    what goes before the next store: `stores` at the last smp_wmb(), or `prop` at the last
             smp_mb()

Two reads of one word are in order if the later one takes a newer message, of another CPU: that had
not arrived yet at the earlier one. So the bounds of the reads of a word are kept (`past`).

Views belong to CPUs and not to threads of execution: an interrupt sees the stores of its CPU.

Loads are never delayed past later stores, so control and data dependencies towards a store need no
bookkeeping, and load buffering never shows. An address dependency does: the bound of the read that
gave the address is passed to the access that uses it, as ``dep``.

Nothing here knows the engine. A word is any hashable name, a value any object (a hashable one if
states are compared); whoever performs the accesses chooses among what `readable` offers.

Source: tools/memory-model/Documentation/explanation.txt, linux-kernel.cat (6.3 and later, which
know that an atomic read-modify-write passes on what it read from a release).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from mmsim.engine.memory.messages import (
    EMPTY,
    INITIAL,
    History,
    Message,
    View,
    Word,
    rewritten,
    unseen,
)


class Cpu:
    """The views of one CPU, see the top of the file."""

    __slots__ = (
        "bounds",
        "drags",
        "floor",
        "past",
        "prop",
        "reads",
        "retired",
        "stores",
        "unlocked",
    )

    def __init__(self) -> None:
        self.prop = self.floor = self.reads = self.stores = self.drags = EMPTY
        self.unlocked: tuple[View, View] | None = None
        """`prop` and `stores` at the last unlock."""
        self.bounds: dict[Hashable, View] = {}
        """Object -> bound of the reads that led to it."""
        self.past: dict[Word, tuple[int, View, View]] = {}
        """Word -> newest message read, the bound of its reads, and that of older messages' reads;
        only as far as they are beyond the floor."""
        self.retired = False

    def copy(self) -> Cpu:
        twin = Cpu.__new__(Cpu)
        twin.prop, twin.floor, twin.reads = self.prop, self.floor, self.reads
        twin.stores, twin.drags, twin.unlocked = self.stores, self.drags, self.unlocked
        twin.bounds = dict(self.bounds) if self.bounds else {}
        twin.past = dict(self.past) if self.past else {}
        twin.retired = self.retired
        return twin

    def key(self) -> Hashable:
        past = frozenset(self.past.items()) if self.past else None
        return (self.prop, self.floor, self.reads, self.stores, self.drags, self.unlocked, past)

    def rewrite(self, change: Callable[[View], View]) -> None:
        """Put every view through ``change``; a bound that is left with nothing is dropped."""
        self.prop, self.floor, self.reads = (
            change(self.prop),
            change(self.floor),
            change(self.reads),
        )
        self.stores, self.drags = change(self.stores), change(self.drags)
        if self.unlocked is not None:
            self.unlocked = (change(self.unlocked[0]), change(self.unlocked[1]))
        changed = ((thing, change(bound)) for thing, bound in self.bounds.items())
        self.bounds = {thing: bound for thing, bound in changed if bound}
        past = ((word, at, change(one), change(two)) for word, (at, one, two) in self.past.items())
        self.past = {word: (at, one, two) for word, at, one, two in past if one or two}


class Memory:
    """The words, the views of ``cpus`` CPUs, and what RCU knows.

    ``limit`` is how many messages of a word stay readable at most (all of them if None).
    Without ``dependencies`` an address does not bound what is read through it: DEC Alpha.
    """

    def __init__(self, cpus: int, *, limit: int | None = None, dependencies: bool = True) -> None:
        self.cpus = [Cpu() for _ in range(cpus)]
        self.words: dict[Word, History] = {}
        self.limit = limit
        self.dependencies = dependencies
        self.begun = EMPTY
        """What every grace period began with, all of them so far."""
        self.ended = EMPTY
        """What every read-side critical section ended with."""
        self.readers: dict[Hashable, int] = {}
        """Reader -> depth, of those inside."""
        self.waiting: dict[Hashable, frozenset[Hashable]] = {}
        """Who waits in synchronize_rcu() -> the readers it still waits for."""
        self.unread: frozenset[Word] = frozenset()
        """Words that nobody will read again: of those only the value is kept."""
        self.bits: dict[tuple[Word, int], View] = {}
        """(word, position) -> its message in a view, the same in all forks."""
        self.next = 0
        """In a run, of which there is one, messages are numbered as they come."""

    # What a search over all executions needs.

    def fork(self) -> Memory:
        """A copy that goes its own way."""
        twin = self.__class__.__new__(self.__class__)
        twin.cpus = [cpu.copy() for cpu in self.cpus]
        twin.words = dict(self.words)
        twin.limit, twin.dependencies = self.limit, self.dependencies
        twin.begun, twin.ended = self.begun, self.ended
        twin.readers = dict(self.readers) if self.readers else {}
        twin.waiting = dict(self.waiting) if self.waiting else {}
        twin.unread, twin.bits, twin.next = self.unread, self.bits, self.next
        return twin

    def key(self) -> Hashable:
        """Equal for memories between which no later access can tell. (Without `bounds`.)"""
        return (
            tuple([cpu.key() for cpu in self.cpus]),
            tuple(self.words.values()),
            self.begun,
            self.ended,
            frozenset(self.readers.items()),
            frozenset(self.waiting.items()),
        )

    # Words.

    def place(self, word: Word, value: Any) -> None:
        """Begin the history of a word with the value that every CPU has seen."""
        self.words[word] = History(0, (Message(value, INITIAL, -1),))

    def newest(self, word: Word) -> Message:
        return self.words[word].messages[-1]

    def readable(self, cpu: int, word: Word, dep: View = EMPTY) -> range:
        """The positions that a read by ``cpu`` may take, oldest first; the newest always may."""
        base, messages = self.words[word]
        floor = self.cpus[cpu].floor
        if self.dependencies:
            floor |= dep
        low = len(messages) - 1
        while low and messages[low].own & ~floor:
            low -= 1
        return range(base + low, base + len(messages))

    # Accesses.

    def read(
        self,
        cpu: int,
        word: Word,
        position: int,
        *,
        dep: View = EMPTY,
        acquire: bool = False,
        returns: bool = True,
    ) -> View:
        """Take the message at ``position``. Returns the bound of what is ordered after this read.

        ``returns`` is False for the read of an atomic that returns nothing: smp_rmb() does not
        order it.
        """
        me = self.cpus[cpu]
        base, messages = self.words[word]
        message = messages[position - base]
        bound = dep if self.dependencies else EMPTY
        past = me.past.get(word)
        older = EMPTY
        if past is not None:
            older = past[2]
            if position > past[0]:
                older |= past[1]
        if message.writer == cpu:
            bound |= message.dep
        elif message.writer != INITIAL:
            bound |= message.view | message.seen[cpu] | older
        me.prop |= message.view
        if position > base:  # the oldest that is left binds nobody to anything
            own = message.own
            bound |= own
            me.prop |= own
            me.floor |= own
        if returns:
            me.reads |= bound
        if acquire:
            me.floor |= bound
        of_this, older = bound & ~me.floor, older & ~me.floor
        if past is not None and position == past[0]:
            of_this |= past[1] & ~me.floor
        if of_this or older:
            me.past[word] = (position, of_this, older)
        elif past is not None:
            del me.past[word]
        return bound

    def write(
        self,
        cpu: int,
        word: Word,
        value: Any,
        *,
        dep: View = EMPTY,
        release: bool = False,
        inherited: View = EMPTY,
        handed: View | None = None,
        step: int = 0,
    ) -> None:
        """Append a message.

        ``dep`` is the bound of the reads that value and address came from. ``inherited`` goes
        before this store, too: the view of the message that an atomic has read.
        """
        me = self.cpus[cpu]
        view = (me.prop if release else me.drags) | inherited
        if word in self.unread:
            self.words[word] = History(0, (Message(value, cpu, step),))
            me.prop |= view
            me.stores |= view
            return
        base, messages = self.words[word]
        own = messages[-1].own | self._bit(word, base + len(messages))
        view |= own
        me.prop |= view
        me.stores |= view
        me.floor |= own
        seen = tuple([other.prop for other in self.cpus])
        if not self.dependencies:
            dep = EMPTY
        messages = (*messages, Message(value, cpu, step, own, view, seen, dep, handed))
        if self.limit is not None and len(messages) > self.limit:
            base, messages = base + len(messages) - self.limit, messages[-self.limit :]
        self.words[word] = History(base, messages)

    def _bit(self, word: Word, position: int) -> View:
        """The message at this position, which is about to be stored, in a view.

        A search compares states that it came to in different ways, so a bit must not depend on the
        way.
        """
        if self.limit is not None:
            bit = 1 << self.next
            self.next += 1
            return bit
        known = self.bits.get((word, position))
        if known is None:
            known = self.bits[word, position] = 1 << len(self.bits)
        return known

    def rmw(
        self,
        cpu: int,
        word: Word,
        value: Any,
        *,
        dep: View = EMPTY,
        data: View = EMPTY,
        uses_old: bool = True,
        acquire: bool = False,
        release: bool = False,
        full: bool = False,
        returns: bool = True,
        step: int = 0,
    ) -> View:
        """An atomic that succeeds: it reads the newest message and puts ``value`` behind it.

        ``data`` is the bound of what its operands came from; ``uses_old`` that the new value
        depends on the old one (an exchange's does not). ``full``: between two smp_mb(). (Other CPUs
        may act before the second one; a search for all executions makes it a step of its own.) An
        atomic that fails is a `read` without any order. Returns the bound of the read.
        """
        if full:
            self.mb(cpu)
        history = self.words[word]
        old = history.messages[-1]
        bound = self.read(
            cpu, word, history.last, dep=dep, acquire=acquire or full, returns=returns
        )
        came_from = data | dep | (bound if uses_old else EMPTY)
        self.write(
            cpu,
            word,
            value,
            dep=came_from,
            release=release,
            inherited=old.view,
            step=step,
        )
        if full:
            self.mb(cpu)
        return bound

    # Barriers.

    def rmb(self, cpu: int) -> None:
        """smp_rmb(): the reads before it bound those behind it."""
        me = self.cpus[cpu]
        me.floor |= me.reads

    def wmb(self, cpu: int) -> None:
        """smp_wmb(): the stores before it go before those behind it."""
        me = self.cpus[cpu]
        me.drags |= me.stores

    def mb(self, cpu: int) -> None:
        """smp_mb(): what has reached this CPU reaches all, and binds what follows here."""
        me = self.cpus[cpu]
        mine = me.prop
        for other in self.cpus:
            if not other.retired:
                other.prop |= mine
        me.floor = me.reads = me.drags = mine
        me.past.clear()  # all of these are covered now
        me.bounds.clear()
        me.stores |= mine  # an unlock hands it on

    # Locks. The lock is a word: whoever may take it finds that out itself.

    def lock(self, cpu: int, word: Word, value: Any, *, dep: View = EMPTY, step: int = 0) -> View:
        """Take a free lock: an acquire, behind the stores of the last owner.

        An unlock before it on the same CPU, of whichever lock, orders what is on both sides.
        """
        me = self.cpus[cpu]
        history = self.words[word]
        free = history.messages[-1]
        bound = self.read(cpu, word, history.last, dep=dep, acquire=True)
        if free.handed is not None:
            me.drags |= free.handed
        if me.unlocked is not None:
            me.floor |= me.unlocked[0]
            me.drags |= me.unlocked[1]
        self.write(cpu, word, value, inherited=free.view, step=step)
        return bound

    def unlock(self, cpu: int, word: Word, value: Any, *, step: int = 0) -> None:
        """Give a lock back: a release that hands the own stores on."""
        me = self.cpus[cpu]
        me.unlocked = (me.prop, me.stores)
        self.write(cpu, word, value, release=True, handed=me.stores, step=step)

    # RCU. A reader is whoever can be inside a critical section: a CPU in a litmus test, a task.

    def rcu_read_lock(self, cpu: int, reader: Hashable) -> None:
        """A section that begins after a grace period did sees what was before that."""
        depth = self.readers.get(reader, 0)
        self.readers[reader] = depth + 1
        if depth == 0:
            me = self.cpus[cpu]
            me.floor |= self.begun
            me.prop |= self.begun

    def rcu_read_unlock(self, cpu: int, reader: Hashable) -> None:
        """The reader must be inside."""
        depth = self.readers[reader]
        if depth > 1:
            self.readers[reader] = depth - 1
            return
        del self.readers[reader]
        self.ended |= self.cpus[cpu].prop
        for waiter, others in self.waiting.items():
            if reader in others:
                self.waiting[waiter] = others - {reader}

    def grace_period_begins(self, cpu: int, waiter: Hashable) -> None:
        """The first half of synchronize_rcu(): a full barrier, and all readers are waited for."""
        self.mb(cpu)
        self.begun |= self.cpus[cpu].prop
        self.waiting[waiter] = frozenset(self.readers)

    def grace_period_ends(self, cpu: int, waiter: Hashable) -> None:
        """The second half, once nobody is left in ``waiting[waiter]``."""
        del self.waiting[waiter]
        me = self.cpus[cpu]
        me.prop |= self.ended
        self.mb(cpu)

    # Dependencies through objects, for who has no registers to keep a bound in.

    def loaded(self, cpu: int, thing: Hashable, bound: View) -> None:
        """``thing`` came out of memory: what is reached through it is ordered after that read."""
        if self.dependencies:
            me = self.cpus[cpu]
            bound &= ~me.floor
            if bound:
                me.bounds[thing] = me.bounds.get(thing, EMPTY) | bound

    def dependency(self, cpu: int, thing: Hashable) -> View:
        """The ``dep`` of an access to ``thing``."""
        return self.cpus[cpu].bounds.get(thing, EMPTY)

    # What can no longer be seen.

    def retire(self, cpu: int) -> None:
        """This CPU accesses nothing any more: forget what it was bound by."""
        self.cpus[cpu] = Cpu()
        self.cpus[cpu].retired = True
        for word, history in self.words.items():
            messages = tuple([unseen(message, cpu) for message in history.messages])
            self.words[word] = History(history.base, messages)

    def abandon(self, words: Iterable[Word]) -> None:
        """Nobody will read these words again: drop them from every view."""
        bases = {word: self.words[word].last for word in words}
        self.unread = self.unread | bases.keys()
        for cpu in self.cpus:
            for word in bases:
                cpu.past.pop(word, None)
        self._prune(bases)
        for word in bases:
            newest = self.newest(word)
            self.words[word] = History(0, (Message(newest.value, newest.writer, newest.step),))

    def collect(self, *, before: int | None = None) -> None:
        """Drop what no read can take any more, from the histories and from every view.

        A message can be read while some CPU's floor is not above it. Messages that were overwritten
        in a step before ``before`` count as having reached every CPU; with that, and `limit`,
        memory stays bounded however long a run is. A word of which one message is left is in no
        view; `forget` gives it up.
        """
        self._prune(
            {
                word: self._base(word, history, before)
                for word, history in self.words.items()
                if len(history.messages) > 1 or history.base
            }
        )

    def _prune(self, bases: Mapping[Word, int]) -> None:
        """Make these positions the oldest ones: they and what is older leave every view."""
        if not bases:
            return
        dead = EMPTY
        for word, base in bases.items():
            dead |= self.words[word].at(base).own
        keep, shift = ~dead, 0
        if self.limit is not None:
            # what is left is younger than all that goes, so views need not grow with the run
            left = EMPTY
            for word, history in self.words.items():
                base = bases.get(word, history.base)
                left |= history.messages[-1].own & keep
            shift = (left & -left).bit_length() - 1 if left else self.next
            self.next -= shift

        def prune(view: View) -> View:
            return (view & keep) >> shift

        for word, history in self.words.items():
            base = bases.get(word, history.base)
            messages = history.messages[base - history.base :]
            self.words[word] = History(base, tuple([rewritten(m, prune) for m in messages]))
        for cpu in self.cpus:
            cpu.rewrite(prune)
        self.begun, self.ended = prune(self.begun), prune(self.ended)

    def _base(self, word: Word, history: History, before: int | None) -> int:
        """The oldest position that anybody can still read."""
        base, messages = history
        low = len(messages) - 1
        for cpu in self.cpus:
            while low and messages[low].own & ~cpu.floor and not cpu.retired:
                low -= 1
        base += low
        if before is not None:
            while base < history.last and history.at(base + 1).step < before:
                base += 1
        return base

    def forget(self, word: Word) -> None:
        """Give up a word of which only one message can be read. Collect first.

        A later `place` begins a new history for it.
        """
        if len(self.words[word].messages) > 1:
            raise ValueError(f"{word!r} has messages that can still be read")
        del self.words[word]
