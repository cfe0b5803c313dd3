# SPDX-License-Identifier: GPL-2.0-only
"""An interleaving written by hand: who runs, and how far.

    Sequencer(
        run("disk", until=after("test_and_clear writeback")),
        run("rm"),
        run("disk"),
    )

It is a policy, so it decides between effects and never inside one; interrupts are contexts like any
other.  A place is named as one would say it: the operation (a C primitive such as
``atomic_dec_and_test``, or the kind and the verb that reports print), the word or the bit, and if
need be the function, the object and how many times the context comes there.

What the program does not do is an error that says where it went instead.  A script that
could be followed only half would prove nothing.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from mmsim.engine.context import DONE, FRESH, SLEEPING, SPINNING, TASK, Context
from mmsim.engine.door import door
from mmsim.engine.events import printable
from mmsim.engine.machine import Machine
from mmsim.engine.op import Op
from mmsim.engine.policy import TURN, Policy, RoundRobin
from mmsim.engine.schedule import Diverged
from mmsim.errors import UsageError, nearest
from mmsim.model.cite import plain, symbol_of

MOST_DECISIONS = 5_000  # in one step: whoever has not come there by then is in a loop
SHOWN = 3  # places that an error names


class NeverThere(Diverged):
    """The program does not come to a place of the script; the message says where it went."""


@dataclass(frozen=True)
class Place:
    """Where a step ends: what :func:`before` and :func:`after` make, :data:`END`, :data:`BLOCKED`.

    ``words`` all have to be among the names of the operation: its kind, its verb, its words and
    bits, and the C primitives that make it.
    """

    how: str
    words: tuple[str, ...] = ()
    function: str = ""
    of: str = ""
    nth: int = 1

    def __str__(self) -> str:
        if not (self.words or self.function):
            return self.how
        said = [repr(" ".join(self.words))] if self.words else []
        said += [
            f"{name}={value!r}" for name in ("function", "of") if (value := getattr(self, name))
        ]
        said += [f"nth={self.nth}"] if self.nth != 1 else []
        return f"{self.how}({', '.join(said)})"

    def is_at(self, stop: Stop) -> bool:
        """Is it this operation, of this object, in this function?"""
        return (
            stop.names.issuperset(self.words)
            and (not self.function or self.function in stop.functions)
            and (not self.of or self.of == stop.of)
        )


END: Final = Place("END")
"""The context has returned."""
BLOCKED: Final = Place("BLOCKED")
"""It sleeps, spins for a lock, stands in cpu_relax(), or has returned: as far as it goes."""


def before(what: str = "", *, function: str = "", of: str = "", nth: int = 1) -> Place:
    """Up to the point before an operation, which is not performed yet.

    ``what`` are words that name it: ``"test_and_clear lru"``, ``"atomic_dec_and_test _refcount"``,
    ``"lock"``.  ``function`` is a function that it is done in or below, as in C or as here; ``of``
    the object's name as reports print it (``"pfn:00100"``); ``nth`` which of the times that the
    step comes there.  Raises UsageError if nothing is named.
    """
    return _place("before", what, function, of, nth)


def after(what: str = "", *, function: str = "", of: str = "", nth: int = 1) -> Place:
    """Up to the point after an operation, which is performed; what is named is as for `before`."""
    return _place("after", what, function, of, nth)


def _place(how: str, what: str, function: str, of: str, nth: int) -> Place:
    if not (what.split() or function):
        raise UsageError(f"{how}() has to name an operation, a word or a function")
    if nth < 1:
        raise UsageError(f"{how}(): nth is {nth}; it has to be at least 1")
    return Place(how, tuple(what.split()), function, of, nth)


@dataclass(frozen=True)
class Step:
    """One context runs up to a place.  Made by :func:`run`."""

    who: str
    until: Place = END

    def __str__(self) -> str:
        until = "" if self.until == END else f", until={self.until}"
        return f"run({self.who!r}{until})"


def run(who: str, until: Place = END) -> Step:
    """The task or interrupt ``who`` goes on until a place, by default to its end.

    ``who`` is its ``comm``, or ``comm/pid`` where several have that name.
    """
    return Step(who, until)


@dataclass(frozen=True)
class Stop:
    """A point that a context has come to: what it is going to do there, and in which functions."""

    op: Op
    of: str
    names: frozenset[str]
    functions: frozenset[str]
    where: str

    def __str__(self) -> str:
        what = f"{self.op.kind} {self.op.verb} {self.op.label}"
        of = f" of {self.of}" if self.of else ""
        return f"{' '.join(what.split())}{of} in {self.where}"


class Sequencer(Policy):
    """Follows ``steps``; then all take turns, until nobody can go on.

    Raises NeverThere, out of the run, if a step cannot be followed.  A run that a finding ends
    before the script is at its end raises nothing.  Raises UsageError for what is no step.
    """

    def __init__(self, *steps: Step) -> None:
        if not steps or not all(isinstance(step, Step) for step in steps):
            raise UsageError(
                'Sequencer() takes steps: run("a", until=before("lock")), run("b"), ...'
            )
        self.steps = steps
        self._begin()

    def _begin(self) -> None:
        """A run begins."""
        self._at = 0
        self._effects = 0
        self._then = RoundRobin(TURN)
        self._moving: Context | None = None  # was chosen, and has not been looked at since
        self._stops: dict[int, Stop] = {}  # where each context stands, or stood last
        self._told: dict[int, Stop] = {}  # where the last ``before`` of each ended
        self._spun: set[int] = set()  # who comes from spinning: to the same lock once more
        self._over: set[int] = set()  # whose end was the end of a step
        self._begin_step()

    def _begin_step(self) -> None:
        self._entered = self._begun = self._due = self._there = False
        self._times = 0  # that it has come to the place
        self._decisions = 0
        self._passed: list[Stop] = []

    @property
    def finished(self) -> bool:
        """Has every step been followed?"""
        return self._at == len(self.steps)

    # -- the policy ---------------------------------------------------------------------------

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        if current is None:
            self._begin()
        self._look(current)
        while not self.finished:
            ctx = self._find(self.steps[self._at].who)
            if self._is_there(ctx):
                self._next(ctx)
                continue
            self._decisions += 1
            if ctx not in enabled or ctx.relaxed or self._decisions > MOST_DECISIONS:
                raise self._never(ctx)
            self._begun = True
            self._moving = ctx
            return ctx
        return self._then.pick(enabled, current)

    def quantum(self, ctx: Context) -> int:
        if self._moving is None:
            return TURN
        return int(ctx.at_point)  # 0: to its next point, and not past it

    def ran(self, ctx: Context, n: int) -> None:
        self._effects += n

    def kicked(self) -> int | None:
        return 0 if self.finished else None

    def ended(self, machine: Machine) -> None:
        if machine.findings:
            return
        replaced = machine.steps > self._effects  # by a fair policy, before the budget was spent
        self._look(None)
        while not self.finished:
            ctx = self._find(self.steps[self._at].who)
            if replaced or not self._is_there(ctx):
                raise self._never(ctx, replaced)
            self._next(ctx)

    # -- is it there? -------------------------------------------------------------------------

    def _look(self, current: Context | None) -> None:
        """What has become of the context that was chosen last?"""
        ctx, self._moving = self._moving, None
        if ctx is None:
            return
        if ctx.state == SPINNING:
            self._spun.add(ctx.id)
            if self._due:  # the attempt at the lock was none
                self._due = False
                self._times -= 1
        elif self._due:
            self._there = True
        if ctx is current and ctx.at_point:
            stop = _stop_of(ctx)
            self._stops[ctx.id] = stop
            again = ctx.id in self._spun
            self._spun.discard(ctx.id)
            if not self._there:
                self._count(stop, again)

    def _count(self, stop: Stop, again: bool) -> None:
        """The context of the step stands there.  ``again``: a ``before`` has had it already."""
        until = self.steps[self._at].until
        if not again:
            self._passed.append(stop)
        counts = until.how == "after" or (until.how == "before" and not again)
        if counts and until.is_at(stop):
            self._times += 1
            if self._times == until.nth:
                self._due, self._there = until.how == "after", until.how == "before"

    def _is_there(self, ctx: Context) -> bool:
        """Is the step at its end?"""
        if not self._entered:
            self._entered = True
            if ctx.at_point and ctx.id in self._stops:
                stop = self._stops[ctx.id]
                self._count(stop, self._told.get(ctx.id) is stop)
        until = self.steps[self._at].until
        if until == END:
            return self._returned(ctx) and (self._begun or ctx.id not in self._over)
        if until == BLOCKED:
            return self._returned(ctx) or ctx.state in (SLEEPING, SPINNING) or ctx.relaxed
        return self._there

    def _returned(self, ctx: Context) -> bool:
        """Has it?  The line of an interrupt may have been raised again meanwhile."""
        return ctx.state == DONE or (self._begun and ctx.state == FRESH)

    def _next(self, ctx: Context) -> None:
        """On to the next step."""
        until = self.steps[self._at].until
        if until.how == "before":
            self._told[ctx.id] = self._stops[ctx.id]
        elif until == END:
            self._over.add(ctx.id)
        self._at += 1
        self._begin_step()

    def _find(self, who: str) -> Context:
        """The context of that name."""
        known: list[Context] = door.machine.contexts
        found = [ctx for ctx in known if who in (ctx.comm, f"{ctx.comm}/{ctx.pid}")]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(f"{ctx.comm}/{ctx.pid}" for ctx in found)
            raise NeverThere(f"{self._said()}: there are {len(found)} of that name: {names}")
        hint = nearest(who, {ctx.comm for ctx in known})
        raise NeverThere(f"{self._said()}: nobody has that name{hint}")

    # -- if it is not -------------------------------------------------------------------------

    def _said(self) -> str:
        return f"step {self._at + 1} of {len(self.steps)}, {self.steps[self._at]}"

    def _never(self, ctx: Context, spent: bool = False) -> NeverThere:
        """The error, which says where ``ctx`` has gone instead."""
        until = self.steps[self._at].until
        goal = {"END": "to its end", "BLOCKED": "to a halt"}.get(until.how, "there")
        if self._times:
            goal += f" {until.nth} times, but {self._times}"
        if spent or self._decisions > MOST_DECISIONS:
            why = "it goes on and on" + self._last_seen(ctx)
        else:
            why = f"it {self._stands(ctx)}"
        text = f"{self._said()}: {ctx.comm} does not come {goal}: {why}"
        near = self._nearest(until)
        if near:
            text += f"; nearest: {'; '.join(near)}"
        return NeverThere(text)

    def _last_seen(self, ctx: Context) -> str:
        stop = self._stops.get(ctx.id)
        return f" in {stop.where}" if stop is not None else ""

    def _stands(self, ctx: Context) -> str:
        """Why ``ctx`` cannot go on."""
        cpu = ctx.cpu
        if self._returned(ctx):
            return "has returned" if self._begun else "had returned before"
        if ctx.state == SLEEPING:
            what = _held(ctx.blocked_on) if ctx.blocked_on is not None else ""
            return f"sleeps{self._last_seen(ctx)}{what}"
        if ctx.state == SPINNING:
            return f"spins{self._last_seen(ctx)}{_held(ctx.spin)}"
        if ctx.relaxed:
            return f"waits{self._last_seen(ctx)} in cpu_relax() until somebody does something"
        top = cpu.top()
        if ctx.kind != TASK and ctx.state == FRESH:
            if not ctx.armed:
                return "has not been raised"
            return f"is not let in: CPU{cpu.id}, where {top and top.comm} runs, has it masked"
        return f"cannot go on: {top and top.comm} has CPU{cpu.id}"

    def _nearest(self, until: Place) -> list[str]:
        """Of the places that the step came past, those most like the one that was meant."""
        wanted = (*until.words, until.function, until.of)
        if not any(wanted):
            return []

        def likeness(stop: Stop) -> float:
            names = (*(stop.names for _ in until.words), stop.functions, frozenset({stop.of}))
            return sum(
                max((_alike(word, name) for name in among), default=0.0)
                for word, among in zip(wanted, names, strict=True)
                if word
            )

        said = {str(stop): likeness(stop) for stop in self._passed}
        return sorted(said, key=lambda text: -said[text])[:SHOWN]


def _alike(one: str, other: str) -> float:
    return 1.0 if one == other else 0.9 * difflib.SequenceMatcher(None, one, other).ratio()


def _held(lock: Any) -> str:
    owner = getattr(lock, "owner", None)
    holder = f", which {owner.comm} has" if isinstance(owner, Context) else ""
    return f" for {printable(lock)}{holder}"


# -- where a context stands -----------------------------------------------------------------------


def _stop_of(ctx: Context) -> Stop:
    """Of a context that has just come to a point, on whose stack this is called."""
    op, obj, _ = ctx.pending
    names = {
        op.kind,
        op.verb,
        op.label,
        op.label.rpartition(":")[2],
        *op.words,
        *op.reads,
        *op.writes,
    }
    functions: set[str] = set()
    where = ""
    for frame in _frames(sys._getframe(1)):
        code = frame.f_code
        known = {code.co_name, plain(code.co_name), symbol_of(code)}
        functions |= known
        if where:
            continue
        if frame.f_globals.get("__mmsim_primitive__"):
            if _is_of_c(frame):
                names |= known
        else:
            file = code.co_filename.replace("\\", "/").rpartition("/")[2]
            where = f"{plain(code.co_name)} ({file}:{frame.f_lineno})"
    of = printable(obj)
    return Stop(op, of, frozenset(names - {"", "*"}), frozenset(functions), where)


def _is_of_c(frame: FrameType) -> bool:
    """Is it a function that a kernel has, too?  Helpers and what a macro makes are not."""
    code = frame.f_code
    helper = code.co_name.startswith("_") and not code.co_name.startswith("__")
    ours = str(frame.f_globals.get("__name__", "")).startswith("mmsim.model.")
    return not (helper or ours or "<locals>" in code.co_qualname)


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Those of one context, innermost first: between the engine that called this and the next."""

    def ours(frame: FrameType) -> bool:
        name = str(frame.f_globals.get("__name__", ""))
        return name == __name__ or name.startswith("mmsim.engine.")

    while frame is not None and ours(frame):
        frame = frame.f_back
    while frame is not None and not ours(frame):
        yield frame
        frame = frame.f_back
