# SPDX-License-Identifier: GPL-2.0-only
"""The tree of a search: its nodes, and what is kept or handed over of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mmsim.engine.context import Context
from mmsim.engine.explore.words import Spelled, Touches, meet


class Step(NamedTuple):
    """An event to come: who performs it, on which CPU, and what it touches.

    ``touches`` is None if that cannot be told beforehand, so that it may depend on anything.
    """

    ctx: int
    process: int
    touches: Touches | None


class Twig:
    """A tree of events to come: one, and those of which one comes next, in this order.

    A *wakeup tree* is a node's twigs.  Where a twig has none, whatever comes next will do.
    """

    __slots__ = ("step", "then")

    def __init__(self, step: Step, then: list[Twig]) -> None:
        self.step = step
        self.then = then

    def __reduce__(self):
        return Twig, (self.step, self.then)


class Node:
    """The moment before an event.

    ``can`` are the contexts that can go on, ``acts`` what those that were looked at would do;
    ``cur`` the one that does, ``done`` those whose turn is over, ``back`` those that have to get
    one, in this order; ``sleep`` those that need none, since all that begins with them was seen
    before.  ``then`` is how to go on, the own event first, with those that have to get a turn for a
    certain sequence.  ``cpus`` is what each CPU with a choice of its own would let in.
    """

    __slots__ = (
        "acts",
        "back",
        "can",
        "cpus",
        "cur",
        "done",
        "log",
        "preemptions",
        "sleep",
        "state",
        "then",
    )

    can: tuple[int, ...]
    acts: dict[int, Touches]
    cur: int
    done: list[int]
    back: list[int]
    sleep: dict[int, Step]
    then: dict[int, Twig]
    cpus: dict[int, tuple[Context | None, bool, bool, bool]]
    log: tuple[int, int]  # entries of the log before it, and effects of the last of them
    state: tuple[list[int], int, dict[int, list[int]], frozenset[int]]
    preemptions: int


class Told(NamedTuple):
    """A :class:`Step` that other processes understand."""

    ctx: int
    process: int
    touches: tuple[Spelled, ...] | None


ToldTwig = tuple[Told, list["ToldTwig"]]
"""A :class:`Twig` that other processes understand."""


@dataclass(slots=True)
class Frame:
    """What has to be kept of a node to come back to it, in this process or in another.

    ``then`` has at least the own event of everybody in ``back``, where that matters.
    """

    cur: int
    can: list[int]
    back: list[int]
    done: list[int]
    sleep: list[Told]
    then: dict[int, ToldTwig]


class Request(NamedTuple):
    """The other order of a race with the event after node ``depth``, which is somebody else's.

    ``steps`` is to be explored there, unless it is covered.
    """

    depth: int
    steps: tuple[Told, ...]
    what: tuple[str, str] = ("", "")  # the two events, in words


class Knowledge(NamedTuple):
    """What made a search start again: names of words, CPUs with several tasks, raised lines."""

    words: list[str]
    multi: list[int]
    raisable: list[int]

    def covers(self, other: Knowledge) -> bool:
        """Is everything known that the other knows?"""
        return (
            set(other.words) <= set(self.words)
            and set(other.multi) <= set(self.multi)
            and set(other.raisable) <= set(self.raisable)
        )


def place(step: Step, steps: Sequence[Step]) -> int:
    """Where in ``steps`` a pending event comes that could as well come first; -1 if it could not.

    ``len(steps)`` if it is none of them and depends on none: it could come first all the same.
    (The *weak initials* of the sequence are those with a place.)
    """
    id, process, touches = step
    for i, other in enumerate(steps):
        if other.ctx == id:
            return i
        if other.process == process or touches is None or other.touches is None:
            return -1
        if touches and other.touches and meet(touches, other.touches):
            return -1
    return len(steps)


def grow(twigs: list[Twig], steps: list[Step]) -> bool:
    """See to it that ``steps`` is explored; False if it is anyhow.

    What is explored after the end of a twig is everything.
    """
    while True:
        for twig in twigs:
            at = place(twig.step, steps)
            if at >= 0:
                break
        else:
            for step in reversed(steps):
                new = Twig(step, [] if step is steps[-1] else [new])
            twigs.append(new)
            return True
        if not twig.then:
            return False
        twigs = twig.then
        if at < len(steps):
            steps = steps[:at] + steps[at + 1 :]


class Branching(Protocol):
    """A node, or what is kept of it."""

    @property
    def back(self) -> list[int]: ...
    @property
    def done(self) -> list[int]: ...


def explored(nodes: Iterable[Branching]) -> float:
    """A guess at the part of a tree that is explored, from the nodes that are under way: 0 to 1.

    It takes what a node is known to need so far for all that it will need, and all its branches
    for equally large (the weighted backtrack estimator of Kilby, Slaney, Thiebaux, Walsh,
    "Estimating Search Tree Size", AAAI'06).  A search finds most of its branches on the way, so it
    is too high at first.
    """
    part, weight = 0.0, 1.0
    for node in nodes:
        part += weight * len(node.done) / len(node.back)
        weight /= len(node.back)
    return min(part, 0.9999)
