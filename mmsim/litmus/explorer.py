# SPDX-License-Identifier: GPL-2.0-only
"""All executions of a litmus test under a memory model.

A state is the places of the threads, their registers and the memory. From each, every thread may do
its next operation, and a read may take any message that the memory offers; states that were met
before are not followed again. What touches nothing but the own registers and views is done at once.

Two executions are the same if every read reads from the same store and the stores to each variable
are in the same order. That is what herd7 counts, and the numbers here are the same numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import NoReturn

from mmsim.engine.memory.messages import EMPTY, View
from mmsim.engine.memory.views import Memory
from mmsim.litmus.liveness import Liveness
from mmsim.litmus.program import (
    FULL,
    AddUnless,
    Assign,
    Barrier,
    Branch,
    CompareExchange,
    Expression,
    IsLocked,
    Jump,
    Litmus,
    LitmusError,
    Load,
    Lock,
    Model,
    Outcome,
    Place,
    RegisterName,
    Rmw,
    Store,
    Unlock,
    Value,
    holds,
    places,
)
from mmsim.litmus.sequential import Sequential
from mmsim.litmus.state import Contents, State, evaluate
from mmsim.litmus.values import NoValue, binary

LIMIT = 2_000_000
OFTEN = 5_000
"""States between two calls of ``progress``."""


class TooManyStates(Exception):
    """The search was given up."""


def explore(
    litmus: Litmus,
    model: Model = "weak",
    *,
    count: bool = True,
    limit: int = LIMIT,
    progress: Callable[[int], None] = lambda explored: None,
) -> Outcome:
    """Run all executions. Without ``count`` each state counts once, which is quicker.

    Raises LitmusError where the code cannot go on (a lock given back that nobody holds), and
    TooManyStates.
    """
    return _Explorer(litmus, model, count, limit, progress).outcome()


class _Explorer:
    def __init__(
        self,
        litmus: Litmus,
        model: Model,
        count: bool,
        limit: int,
        progress: Callable[[int], None],
    ) -> None:
        self.litmus = litmus
        self.model = model
        self.count = count
        self.limit = limit
        self.progress = progress
        self.code = [thread.operations for thread in litmus.threads]
        self.liveness = Liveness(litmus)
        self.shown = {*litmus.observed, *(places(litmus.filter) if litmus.filter else ())}
        self.ends: Counter[tuple[Value, ...]] = Counter()

    def start(self) -> State:
        cpus = len(self.code)
        memory = (
            Sequential(cpus)
            if self.model == "sc"
            else Memory(cpus, dependencies=self.model != "alpha")
        )
        for name, value in self.litmus.initial.items():
            memory.place(name, value)
        files = [
            tuple([(value, EMPTY) for value in thread.initial]) for thread in self.litmus.threads
        ]
        state = State([0] * cpus, files, memory, self.count)
        for thread in range(cpus):
            self.arrive(state, thread)
        return state

    def outcome(self) -> Outcome:
        pending = [self.start()]
        visited: set[Hashable] = set()
        stuck = 0
        while pending:
            state = pending.pop()
            key = state.key()
            if key in visited:
                continue
            visited.add(key)
            if len(visited) > self.limit:
                raise TooManyStates(f"more than {self.limit} states")
            if len(visited) % OFTEN == 0:
                self.progress(len(visited))
            live = [
                thread for thread, code in enumerate(self.code) if state.places[thread] < len(code)
            ]
            if not live:
                self.finish(state)
                continue
            before = len(pending)
            for thread in live:
                pending += self.step(state, thread)
            stuck += len(pending) == before
        return Outcome(dict(self.ends), stuck, len(visited))

    def finish(self, state: State) -> None:
        values = {place: self.final(state, place) for place in self.shown}
        if self.litmus.filter is not None and not holds(self.litmus.filter, values):
            return
        end = tuple([values[place] for place in self.litmus.observed])
        if self.count:
            self.ends[end] += 1
        else:
            self.ends[end] = 1

    def final(self, state: State, place: Place) -> Value:
        if isinstance(place, RegisterName):
            number = self.litmus.threads[place.thread].registers.index(place.name)
            return state.files[place.thread][number][0]
        value: Value = state.memory.newest(place.name).value
        return value

    def step(self, state: State, thread: int) -> list[State]:
        """All states that the thread's next operation can lead to; none if it has to wait."""
        operation = self.code[thread][state.places[thread]]
        found: list[State] = []
        if thread in state.owes:
            state = state.fork()
            state.memory.mb(thread)
            state.owes -= {thread}
            self.go_on(state, thread, found)
            return found
        match operation:
            case Load():
                self.load(state, thread, operation, found)
            case Store():
                self.store(state, thread, operation, found)
            case Barrier():
                self.barrier(state, thread, operation, found)
            case Rmw():
                self.rmw(state, thread, operation, found)
            case CompareExchange() | AddUnless():
                self.conditional(state, thread, operation, found)
            case Lock():
                self.lock(state, thread, operation, found)
            case Unlock():
                self.unlock(state, thread, operation, found)
            case IsLocked():
                word, dep = self.address(state, thread, operation.address)
                for position in state.memory.readable(thread, word, dep):
                    self.read(state, thread, operation.target, word, position, dep, found)
            case Assign() | Branch() | Jump():
                raise AssertionError("done on arrival")
        return found

    def load(self, state: State, thread: int, operation: Load, found: list[State]) -> None:
        word, dep = self.address(state, thread, operation.address)
        acquire = operation.order == "acquire" or (operation.dereference and self.model == "alpha")
        for position in state.memory.readable(thread, word, dep):
            self.read(state, thread, operation.target, word, position, dep, found, acquire=acquire)

    def read(
        self,
        state: State,
        thread: int,
        target: int,
        word: str,
        position: int,
        dep: View,
        found: list[State],
        *,
        acquire: bool = False,
        value: Value | None = None,
    ) -> None:
        """A read that takes this message; ``value`` goes to the target instead of the message's."""
        state = state.fork()
        message = state.memory.words[word].at(position)
        bound = state.memory.read(thread, word, position, dep=dep, acquire=acquire)
        state.note(thread, message.writer, message.step)
        state.set(thread, target, message.value if value is None else value, bound)
        self.go_on(state, thread, found)

    def store(self, state: State, thread: int, operation: Store, found: list[State]) -> None:
        word, dep = self.address(state, thread, operation.address)
        value, data = self.evaluate(state, thread, operation.value)
        state = state.fork()
        step = state.places[thread]
        release = operation.order == "release"
        state.memory.write(thread, word, value, dep=dep | data, release=release, step=step)
        state.note_store(word, thread, step)
        self.go_on(state, thread, found)

    def barrier(self, state: State, thread: int, operation: Barrier, found: list[State]) -> None:
        waiting = state.memory.waiting.get(thread)
        if waiting:
            return
        state = state.fork()
        memory = state.memory
        match operation.fence:
            case fence if fence in FULL:
                memory.mb(thread)
            case "rcu-lock":
                memory.rcu_read_lock(thread, thread)
            case "rcu-unlock":
                if thread not in memory.readers:
                    self.wrong(state, thread, "rcu_read_unlock() without rcu_read_lock()")
                memory.rcu_read_unlock(thread, thread)
            case "synchronize" if waiting is None:
                memory.grace_period_begins(thread, thread)
                found.append(state)
                return
            case "synchronize":
                memory.grace_period_ends(thread, thread)
        self.go_on(state, thread, found)

    def rmw(self, state: State, thread: int, operation: Rmw, found: list[State]) -> None:
        word, dep = self.address(state, thread, operation.address)
        operand, data = self.evaluate(state, thread, operation.operand)
        old: Value = state.memory.newest(word).value
        new = operand
        if operation.operator != "=":
            new = self.computed(state, thread, operation.operator, old, operand)
        gives = old if operation.gives == "old" else new
        self.atomic(
            state,
            thread,
            operation.target,
            word,
            new,
            gives,
            dep,
            data,
            operation.order,
            operation.operator != "=",
            found,
        )

    def atomic(
        self,
        state: State,
        thread: int,
        target: int,
        word: str,
        new: Value,
        gives: Value,
        dep: View,
        data: View,
        order: str,
        uses_old: bool,
        found: list[State],
    ) -> None:
        """An atomic that succeeds, and gives a value to the target."""
        state = state.fork()
        newest = state.memory.newest(word)
        step = state.places[thread]
        full = order == "full"
        if full:
            state.memory.mb(thread)
        bound = state.memory.rmw(
            thread,
            word,
            new,
            dep=dep,
            data=data,
            uses_old=uses_old,
            acquire=order == "acquire",
            release=order == "release",
            returns=order != "noreturn",
            step=step,
        )
        state.note(thread, newest.writer, newest.step)
        state.note_store(word, thread, step)
        state.set(thread, target, gives, bound)
        if full:
            state.owes |= {thread}
            found.append(state)
        else:
            self.go_on(state, thread, found)

    def conditional(
        self,
        state: State,
        thread: int,
        operation: CompareExchange | AddUnless,
        found: list[State],
    ) -> None:
        """What fails is a relaxed read, and may be of any message that does not fit."""
        word, dep = self.address(state, thread, operation.address)
        newest: Value = state.memory.newest(word).value
        order: str
        if isinstance(operation, CompareExchange):
            wanted, one = self.evaluate(state, thread, operation.expected)
            new, two = self.evaluate(state, thread, operation.value)
            fits, order = newest == wanted, operation.order
        else:
            wanted, one = self.evaluate(state, thread, operation.unless)
            addend, two = self.evaluate(state, thread, operation.addend)
            fits, order = newest != wanted, "full"
            new = self.computed(state, thread, "+", newest, addend) if fits else 0
        compares = isinstance(operation, CompareExchange)
        if fits:
            gives = newest if compares else 1
            self.atomic(
                state,
                thread,
                operation.target,
                word,
                new,
                gives,
                dep,
                one | two,
                order,
                not compares,
                found,
            )
        for position in state.memory.readable(thread, word, dep):
            old: Value = state.memory.words[word].at(position).value
            if (old != wanted) if compares else (old == wanted):
                gives = old if compares else 0
                self.read(state, thread, operation.target, word, position, dep, found, value=gives)

    def lock(self, state: State, thread: int, operation: Lock, found: list[State]) -> None:
        word, dep = self.address(state, thread, operation.address)
        free = state.memory.newest(word)
        if free.value == 0:
            taken = state.fork()
            step = taken.places[thread]
            bound = taken.memory.lock(thread, word, 1, dep=dep, step=step)
            taken.note(thread, free.writer, free.step)
            taken.note_store(word, thread, step)
            if operation.target is not None:
                taken.set(thread, operation.target, 1, bound)
            self.go_on(taken, thread, found)
        if operation.target is None:
            return
        for position in state.memory.readable(thread, word, dep):
            if state.memory.words[word].at(position).value != 0:
                self.read(state, thread, operation.target, word, position, dep, found, value=0)

    def unlock(self, state: State, thread: int, operation: Unlock, found: list[State]) -> None:
        word, _ = self.address(state, thread, operation.address)
        if state.memory.newest(word).value == 0:
            self.wrong(state, thread, f"spin_unlock() of {word}, which nobody holds")
        state = state.fork()
        step = state.places[thread]
        state.memory.unlock(thread, word, 0, step=step)
        state.note_store(word, thread, step)
        self.go_on(state, thread, found)

    def go_on(self, state: State, thread: int, found: list[State]) -> None:
        state.places[thread] += 1
        self.arrive(state, thread)
        found.append(state)

    def arrive(self, state: State, thread: int) -> None:
        """Do what concerns nobody else, and forget what will not be asked for again."""
        code = self.code[thread]
        place = state.places[thread]
        memory = state.memory
        while place < len(code):
            match code[place]:
                case Assign(target, expression):
                    value, bound = self.evaluate(state, thread, expression)
                    state.set(thread, target, value, bound)
                    place += 1
                case Branch(condition, otherwise):
                    value, _ = self.evaluate(state, thread, condition)
                    place = place + 1 if value else otherwise
                case Jump(to):
                    place = to
                case Barrier("rmb"):
                    memory.rmb(thread)
                    place += 1
                case Barrier("wmb"):
                    memory.wmb(thread)
                    place += 1
                case Barrier("depends"):
                    if self.model == "alpha":
                        memory.rmb(thread)
                    place += 1
                case _:
                    break
            state.places[thread] = place
        self.liveness.forget(state.places, thread, state.files, memory)

    def address(self, state: State, thread: int, expression: Expression) -> tuple[str, View]:
        value, bound = self.evaluate(state, thread, expression)
        if not isinstance(value, str) or value not in state.memory.words:
            self.wrong(state, thread, f"an access through {value}, which is not an address")
        return value, bound

    def evaluate(self, state: State, thread: int, expression: Expression) -> Contents:
        try:
            return evaluate(expression, state.files[thread])
        except NoValue as error:
            self.wrong(state, thread, str(error))

    def computed(
        self, state: State, thread: int, operator: str, left: Value, right: Value
    ) -> Value:
        try:
            return binary(operator, left, right)
        except NoValue as error:
            self.wrong(state, thread, str(error))

    def wrong(self, state: State, thread: int, what: str) -> NoReturn:
        """The test does what it must not do, in some execution."""
        line = self.litmus.threads[thread].lines[state.places[thread]]
        raise LitmusError(self.litmus.file, line, f"P{thread}: {what}")
