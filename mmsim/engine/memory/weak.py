# SPDX-License-Identifier: GPL-2.0-only
"""Weak memory for kernel code: a read may return what another CPU has overwritten already.

The door hands every operation to `WeakMemory.perform`, which tells the views of it
(`mmsim.engine.memory.views`) and performs its effect.  The object always holds the newest value.  A
read that takes an older message has that put into the field, performs the effect, and puts the
newest one back: the effect of a load looks at its declared word and at nothing else.

A word has a history from its first store in the run on; before that there is nothing to choose.
What takes part in it:

    words of structs        all of it
    words without a field   (locks, the slots of a mapping): ordering; a load takes the newest value
    checks at quiescence    nothing: everything has reached everybody

Dependencies go through objects.  What was loaded bounds what is read of the object it names, by
whichever pointer: kernel code has no registers here that a bound could be kept in.  The order of a
load and a later store of one CPU holds always, so load buffering never shows.

Histories are cut off at `LIMIT` messages, and every `EVERY` operations what was overwritten
`HORIZON` steps ago counts as having reached everybody; memory stays bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from mmsim.engine.context import TASK, Context
from mmsim.engine.memory.messages import EMPTY, View, Word
from mmsim.engine.memory.orders import (
    FENCE,
    FULL,
    LOCK,
    NOTHING,
    READ,
    READS,
    RMW,
    SLEEP,
    STARTS,
    STORES,
    UNLOCK,
    WAKE,
    WRITE,
    Order,
    Orders,
)
from mmsim.engine.memory.views import Memory
from mmsim.engine.op import LOCK as SPIN
from mmsim.engine.op import SPAWN, Op

LIMIT: Final = 8
EVERY: Final = 512
HORIZON: Final = 512

Effect = Callable[..., Any]
Args = tuple[Any, ...]
Stale = tuple[tuple[int, int], ...]
"""(step, messages back) of every read that did not take the newest message."""


class Reads:
    """Says which message a read takes; this one the newest, always.

    ``numbered``: it asks for the number of the effect.
    """

    numbered = False

    def back(self, ctx: Context, number: int, most: int) -> int:
        """Effect ``number`` of ``ctx``, from 1, is a read that may go up to ``most`` >= 1 messages
        back: how many it does."""
        return 0


class Sampled(Reads):
    """Old messages with probability ``rate``, at most ``budget`` in a run.

    Which window matters nobody knows: it may be a matter of one read, or of any that a CPU makes
    in a while.  So the two are drawn for each run, unless they are given.
    """

    RATES = (0.5, 0.2, 0.05)
    BUDGETS = (1, 3, 1 << 30)

    def __init__(self, rng: Random, rate: float | None = None, budget: int | None = None) -> None:
        self._rng = rng
        self._rate = rng.choice(self.RATES) if rate is None else rate
        self._budget = rng.choice(self.BUDGETS) if budget is None else budget

    def back(self, ctx: Context, number: int, most: int) -> int:
        if self._budget <= 0 or self._rng.random() >= self._rate:
            return 0
        self._budget -= 1
        return self._rng.randrange(1, most + 1)


class Planned(Reads):
    """Those of a recorded run: (context, number of its effect) -> messages back.

    A step would not do as a key: in a shrunk schedule the same read has another number.  A read
    that cannot go back so far goes as far as it can.
    """

    numbered = True

    def __init__(self, plan: Mapping[tuple[int, int], int]) -> None:
        self._plan = dict(plan)

    def back(self, ctx: Context, number: int, most: int) -> int:
        return min(self._plan.get((ctx.id, number), 0), most)


def planned(
    segments: Sequence[tuple[int, int]], stale: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    """Reads by step as reads by context, which a schedule of these segments makes of them.

    Raises ValueError for a step behind the last segment.
    """
    waiting = deque(sorted(stale))
    plan: dict[tuple[int, int], int] = {}
    done: dict[int, int] = {}
    step = 0
    for id, effects in segments:
        if not waiting:
            break
        before = done.get(id, 0)
        while waiting and waiting[0][0] <= step + effects:
            at, back = waiting.popleft()
            plan[id, before + at - step] = back
        step += effects
        done[id] = before + effects
    if waiting:
        raise ValueError(f"it has a read at step {waiting[-1][0]} of {step}")
    return plan


class WeakMemory:
    """The memory of one run on ``cpus`` CPUs.  ``stale`` is what its reads came to."""

    def __init__(self, cpus: int, orders: Orders, reads: Reads) -> None:
        self.name = orders.name
        self.stale: list[tuple[int, int]] = []
        self._orders = orders
        self._reads = reads
        self._numbered = reads.numbered
        self._views = Memory(cpus, limit=LIMIT)
        self._present: list[Context | None] = [None] * cpus  # who made the last access there
        self._task: list[Context | None] = [None] * cpus  # which task
        self._called: set[Context] = set()  # somebody else saw to it that they go on
        self._done: dict[int, int] = {}  # effects of each context
        self._collect = EVERY
        # of the access under way
        self._cpu = self._step = 0
        self._order = Order(NOTHING)
        self._ctx: Context
        self._ways: dict[int, Callable[..., Any]] = {
            READ: self._read,
            WRITE: self._write,
            RMW: self._rmw,
            LOCK: self._lock,
            UNLOCK: self._unlock,
            FENCE: self._fence,
            SLEEP: self._sleep,
            WAKE: self._fence,
            STARTS: self._start,
        }

    def perform(self, ctx: Context, step: int, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        """Effect number ``step`` of the run: performed, and told to the views; its value."""
        cpu = self._cpu = ctx.cpu.id
        if self._present[cpu] is not ctx:
            self._arrive(ctx, cpu)
        order = self._orders[op]
        if order.way == NOTHING:
            value = effect(*args)
        else:
            self._order, self._ctx, self._step = order, ctx, step
            if step >= self._collect:
                self._collect = step + EVERY
                self._forget(step)
            value = self._ways[order.way](op, obj, effect, args)
        if self._numbered and not (value is False and op.kind is SPIN):
            self._done[ctx.id] = self._done.get(ctx.id, 0) + 1
        return value

    def _arrive(self, ctx: Context, cpu: int) -> None:
        """Another context than before goes on here: switching tasks is a full barrier, and who was
        woken or called comes after whoever did it.  An interrupt by itself orders nothing."""
        self._present[cpu] = ctx
        before = self._task[cpu]
        if ctx.kind is TASK:
            self._task[cpu] = ctx
        if ctx in self._called:
            self._called.discard(ctx)
            self._views.mb(cpu)
        elif ctx.kind is TASK and before is not ctx and before is not None:
            self._views.mb(cpu)

    # Accesses.

    def _read(self, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        if op.also is not None or op.writes:
            return self._several(op, obj, effect, args)
        views, order, cpu = self._views, self._order, self._cpu
        word = (obj, op.words[0])
        bound = dep = self._dependency(obj)
        history = views.words.get(word)
        if history is None:
            value = effect(*args)
            if dep:
                me = views.cpus[cpu]
                me.reads |= dep
                if order.acquire:
                    me.floor |= dep
        else:
            newest = position = history.last
            low = views.readable(cpu, word, dep).start
            if low < newest and hasattr(obj, op.raw):
                position -= self._back(newest - low)
            if position == newest:
                value = effect(*args)
            else:
                value = self._as_of(position, word, op, obj, effect, args)
            bound = views.read(cpu, word, position, dep=dep, acquire=order.acquire)
        if bound and order.leads:
            self._led(op, value, bound)
        if order.after:
            self._barrier(order.after)
        return value

    def _back(self, most: int) -> int:
        ctx = self._ctx
        return self._reads.back(ctx, self._done.get(ctx.id, 0) + 1, most)

    def _as_of(
        self, position: int, word: Word, op: Op, obj: Any, effect: Effect, args: Args
    ) -> Any:
        """The value of a load that finds this message in the field, which stays as it is."""
        history = self._views.words[word]
        self.stale.append((self._step, history.last - position))
        now = getattr(obj, op.raw)
        setattr(obj, op.raw, history.at(position).value)
        try:
            return effect(*args)
        finally:
            setattr(obj, op.raw, now)

    def _write(self, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        if op.also is not None or len(op.words) > 1:
            return self._several(op, obj, effect, args)
        raw = op.raw
        word = (obj, op.words[0])
        if word not in self._views.words:
            self._views.place(word, getattr(obj, raw, None))
        value = effect(*args)
        if self._order.before:
            self._barrier(self._order.before)
        self._store(word, getattr(obj, raw, None), self._dependency(obj))
        if self._order.after:
            self._barrier(self._order.after)
        return value

    def _store(self, word: Word, value: Any, dep: View) -> None:
        """What a store depends on nobody tells: perhaps on everything that was read."""
        views, cpu = self._views, self._cpu
        came_from = views.cpus[cpu].reads | dep
        release = self._order.release
        views.write(cpu, word, value, dep=came_from, release=release, step=self._step)

    def _rmw(self, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        if op.also is not None or len(op.words) > 1:
            return self._several(op, obj, effect, args)
        views, order, cpu = self._views, self._order, self._cpu
        word = (obj, op.words[0])
        if word not in views.words:
            views.place(word, getattr(obj, op.raw, None))
        dep = self._dependency(obj)
        if op.fails_on is not None:
            if order.failing and order.before:
                self._barrier(order.before)
            position = self._failing(op, word, dep, args)
            if position is not None:
                if position == views.words[word].last:
                    value = effect(*args)
                else:
                    value = self._as_of(position, word, op, obj, effect, args)
                acquire = order.failing and order.acquire
                views.read(cpu, word, position, dep=dep, acquire=acquire)
                if order.failing and order.after:
                    self._barrier(order.after)
                return value
            if not order.failing and order.before:
                self._barrier(order.before)
        elif order.before:
            self._barrier(order.before)
        value = effect(*args)
        bound = views.rmw(
            cpu,
            word,
            getattr(obj, op.raw, None),
            dep=views.cpus[cpu].reads | dep,
            acquire=order.acquire,
            release=order.release,
            returns=order.returns,
            step=self._step,
        )
        if order.leads:
            self._led(op, value, bound)
        if order.after:
            self._barrier(order.after)
        return value

    def _failing(self, op: Op, word: Word, dep: View, args: Args) -> int | None:
        """The message on which the atomic fails, if it does: not only on the newest it may."""
        assert op.fails_on is not None
        history = self._views.words[word]
        low = self._views.readable(self._cpu, word, dep).start
        may = [p for p in range(low, history.last) if op.fails_on(history.at(p).value, *args)]
        if may:
            back = self._back(len(may))
            if back:
                return may[-back]
        return history.last if op.fails_on(history.messages[-1].value, *args) else None

    def _several(self, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        """An effect on several words: it finds the newest of each."""
        touched = [(obj, op, word) for word in op.words]
        if op.also is not None:
            touched += [(o, p, word) for o, p in op.also(obj, *args) for word in p.words]
        before = [getattr(o, f"v_{word}", None) for o, _, word in touched]
        value = effect(*args)
        order = self._order
        if op.unchanged is not Ellipsis and value == op.unchanged and not order.failing:
            order = self._order = Order(order.way)
        if order.before:
            self._barrier(order.before)
        views, cpu = self._views, self._cpu
        for (o, p, name), old in zip(touched, before, strict=True):
            word = (o, name)
            if word in views.words and p.reads:
                last = views.words[word].last
                views.read(cpu, word, last, dep=self._dependency(o), acquire=order.acquire)
            now = getattr(o, f"v_{name}", None)
            if p.writes and (now is None or now is not old):
                if word not in views.words:
                    views.place(word, old)
                self._store(word, now, EMPTY)
        if order.after:
            self._barrier(order.after)
        return value

    # Dependencies.

    def _dependency(self, obj: Any) -> View:
        """The bound of what led this CPU to the object."""
        bounds = self._views.cpus[self._cpu].bounds
        if not bounds:
            return EMPTY
        return bounds.get(_whole(obj), EMPTY)

    def _led(self, op: Op, value: Any, bound: View) -> None:
        """A load gave ``value``: what is reached through it comes after that load."""
        if not bound & ~self._views.cpus[self._cpu].floor:
            return
        if op.leads is not None:
            value = op.leads(value)
        if type(value) is tuple:
            for part in value:
                if hasattr(part, "whole"):
                    self._views.loaded(self._cpu, _whole(part), bound)
        elif hasattr(value, "whole"):
            self._views.loaded(self._cpu, _whole(value), bound)

    # Barriers and locks.

    def _barrier(self, which: str) -> None:
        cpu = self._cpu
        if which == FULL:
            self._views.mb(cpu)
        elif which == READS:
            self._views.rmb(cpu)
        elif which == STORES:
            self._views.wmb(cpu)

    def _fence(self, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        self._barrier(self._order.before)
        return effect(*args)

    def _lock(self, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        """A spinlock, or a lock that one sleeps for: who queues for that is called by its owner."""
        word = (obj, op.words[0])
        if word not in self._views.words:
            self._views.place(word, None)
        value = effect(*args)
        if value is False:
            if op.also is not None:
                self._away()
            return value
        order = self._order
        if order.before:
            self._barrier(order.before)
        self._views.lock(self._cpu, word, None, dep=self._dependency(obj), step=self._step)
        if order.after:
            self._barrier(order.after)
        return value

    def _unlock(self, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        word = (obj, op.words[0])
        if word not in self._views.words:
            self._views.place(word, None)
        order = self._order
        if order.before:
            self._barrier(order.before)
        if op.also is not None and op.also(obj, *args):
            self._views.mb(self._cpu)  # it wakes those who queue
        value = effect(*args)
        if order.release:
            self._views.unlock(self._cpu, word, None, step=self._step)
        else:
            self._store(word, None, EMPTY)
        return value

    # Who runs.

    def _sleep(self, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        self._barrier(self._order.before)
        value = effect(*args)
        if value:
            self._away()
        return value

    def _away(self) -> None:
        """Whoever sleeps goes on after somebody has seen to it."""
        self._called.add(self._ctx)
        self._present[self._cpu] = None

    def _start(self, op: Op, obj: Any, effect: Effect, args: Args) -> Any:
        self._barrier(self._order.before)
        value = effect(*args)
        started = value if op.kind == SPAWN else obj
        self._called.add(started)
        if self._present[started.cpu.id] is started:  # a line that is raised again
            self._present[started.cpu.id] = None
        return value

    # What can no longer be read.

    def _forget(self, step: int) -> None:
        """A word of which nobody can tell any more that it was ever written begins anew."""
        views = self._views
        views.collect(before=step - HORIZON)
        gone = [
            word
            for word, history in views.words.items()
            if len(history.messages) == 1 and _says_nothing(history.messages[0])
        ]
        for word in gone:
            views.forget(word)


def _says_nothing(message: Any) -> bool:
    return not (message.view or message.dep or message.handed or any(message.seen))


def _whole(obj: Any) -> Any:
    """The allocation that an object lies in: a list node's struct."""
    return getattr(obj, "whole", obj)
