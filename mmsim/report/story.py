# SPDX-License-Identifier: GPL-2.0-only
"""The story of a run: every step of it as a value, from which all pictures are made.

A listener (record.py) makes it while a run is replayed.  Text columns, the HTML page, Perfetto's
and ftrace's formats, the lockset table and the player read it and nothing else, so that they cannot
tell different stories.  No kernel object is in it: it can be kept, and sent.

A *step* here is an effect, or what is none and worth a line: an interrupt that comes in or returns,
a context that ends, a lock that is found taken.  Several of them may have the same ``number``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mmsim.detect.finding import Finding
from mmsim.engine.events import Event

SPIN = "spin"
MARKS = frozenset({"irq-enter", "irq-exit", "exit", "stale", SPIN})
"""Kinds of steps that are no effects."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of ours and what it re-states.

    ``symbol`` is the kernel's name and ``source`` the kernel's file, "" without a citation;
    ``path`` the file of ours and ``first`` its first line; ``race`` what its docstring says of the
    window that is in it, "" for none.
    """

    name: str
    symbol: str
    source: str
    path: str
    first: int
    race: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a function."""

    function: Function
    line: int


@dataclass(frozen=True, slots=True)
class Who:
    """A context: a task, or an interrupt."""

    id: int
    comm: str
    pid: int
    cpu: int
    kind: str

    def __str__(self) -> str:
        return f"{self.comm}/{self.pid}" + ("" if self.kind == "task" else f" ({self.kind})")


@dataclass(frozen=True, slots=True)
class Thing:
    """The state of an object that contexts share.

    Of a page: ``flags`` are the names of those that are set, ``fields`` its counts and its mapping,
    ``lists`` the heads from which it is reached, ``state`` "free" or "" as the allocator's
    bookkeeping has it.  Of another struct: its shared fields.
    """

    name: str
    page: bool
    flags: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]
    lists: tuple[str, ...]
    state: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    ``stack`` is innermost first, without the primitives; ``call`` the primitive through which the
    innermost function made the access ("list_del"), "" if it was none.  ``locks`` are those that
    the context holds afterwards, ``irqs_off`` is the CPU's flag afterwards, ``changed`` the things
    whose state is another afterwards.  ``depth`` is how deep the context is in what forbids to
    schedule (preempt_count).  ``other`` is who has the lock that a spinner found taken, or
    the task that the step is done to.
    """

    event: Event
    stack: tuple[Place, ...]
    call: str
    locks: tuple[str, ...]
    irqs_off: bool
    changed: tuple[Thing, ...]
    other: str = ""
    depth: int = 0

    @property
    def number(self) -> int:
        """The number of the effect, from 1; of what is none, that of the one before."""
        return self.event.step

    @property
    def effect(self) -> bool:
        """Is it an effect?"""
        return self.event.kind not in MARKS


@dataclass(frozen=True, slots=True)
class Window:
    """A context looked at a page, another changed it, and the first one met the change.

    ``opened`` and ``closed`` are its two accesses and ``inside`` the others' changes, all as
    indices of steps; ``function`` is where it was closed, ``race`` what the code says of its
    window.
    """

    who: int
    thing: str
    opened: int
    closed: int
    inside: tuple[int, ...]
    function: str
    race: str


@dataclass(frozen=True)
class Story:
    """A run.  ``first`` are the things as they were at the start; ``cpus`` how many there are."""

    cpus: int
    contexts: tuple[Who, ...]
    first: tuple[Thing, ...]
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...] = ()
    names: dict[int, Who] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.names.update((who.id, who) for who in self.contexts)

    @property
    def events(self) -> tuple[Event, ...]:
        """What a listener to events is told of this run."""
        return tuple(step.event for step in self.steps if step.event.kind != SPIN)

    @property
    def focus(self) -> str:
        """The page that the first finding is about, as steps name it; "" if it is about none."""
        page = self.findings[0].page if self.findings else None
        return "" if page is None else f"pfn:{page.pfn:05x}"

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The windows that somebody went through, in the order in which they were closed.

        Of the page that the finding is about; without such a page, of any.
        """
        focus = self.focus
        return tuple(w for w in windows(self.steps) if not focus or w.thing == focus)


def windows(steps: Sequence[Step]) -> Iterator[Window]:
    """Every change of a page that a context meets which had looked at the page before it.

    A window opens with the context's last access before the change and closes with its first one
    that the change matters to (the two operations conflict).  Changes that a lock keeps apart from
    both ends, held there and by who changes, are no window.
    """
    last: dict[str, dict[int, int]] = {}  # page -> context -> its last access
    met: dict[tuple[str, int], list[tuple[int, int]]] = {}  # changes not met yet: (opened, change)
    for here, step in enumerate(steps):
        event = step.event
        thing, who = event.obj, event.entity
        if not step.effect or not thing.startswith("pfn:") or "." in thing:
            continue
        waiting = met.get((thing, who), [])
        found = [pair for pair in waiting if event.op.conflicts(steps[pair[1]].event.op)]
        if found:
            met[thing, who] = [pair for pair in waiting if pair not in found]
            loose = [pair for pair in found if not _kept_apart(steps, *pair, here)]
            if loose:
                opened = loose[0][0]
                inside = tuple(change for _, change in loose)
                function, race = _said(step, steps[opened])
                yield Window(who, thing, opened, here, inside, function, race)
        if event.op.writes:
            for other, opened in last.get(thing, {}).items():
                if other != who:
                    met.setdefault((thing, other), []).append((opened, here))
                    del met[thing, other][:-_MOST_WAITING]
        last.setdefault(thing, {})[who] = here


_MOST_WAITING = 64


def _kept_apart(steps: Sequence[Step], opened: int, change: int, closed: int) -> bool:
    locks = set(steps[change].locks)
    return bool(locks & set(steps[opened].locks) and locks & set(steps[closed].locks))


def _said(closing: Step, opening: Step) -> tuple[str, str]:
    """The function of a window, and what its code, or a caller's of both ends, says of it."""
    function = closing.stack[0].function.symbol if closing.stack else ""
    both = {place.function for place in opening.stack}
    for place in closing.stack:
        if place.function.race and (place.function in both or place is closing.stack[0]):
            return function, place.function.race
    return function, ""
