# SPDX-License-Identifier: GPL-2.0-only
"""The tree of a search: its nodes, and what is kept or handed over of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from mmsim.engine.explore.doors import Doors
from mmsim.engine.explore.words import Words, meet
from mmsim.engine.op import Op

Meet = Callable[[Any, Any], bool]
"""Does the order of two operations with these touches matter?"""


class Step(NamedTuple):
    """An event to come: who performs it, on which CPU, and what it touches.

    ``touches`` is None if that cannot be told beforehand, so that it may depend on anything.  In
    what is handed to other processes it is spelled: see :meth:`Words.spelled`.
    """

    ctx: int
    process: int
    touches: tuple[Any, ...] | None

    def told(self, words: Words) -> Step:
        """For other processes."""
        id, process, touches = self
        return Step(id, process, None if touches is None else words.spelled(touches))

    def heard(self, words: Words) -> Step:
        """From another process."""
        id, process, touches = self
        return Step(id, process, None if touches is None else words.read(touches))


NO_STEP: Final = Step(-1, -1, None)


class Twig:
    """A tree of events to come: one, and those of which one comes next, in this order.

    Where it ends, whatever comes next will do.  The twigs of a node are its *wakeup tree*.
    """

    __slots__ = ("step", "then")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.then: list[Twig] = []

    def flat(self) -> list[tuple[int, Step]]:
        """Its events, and behind which of them each comes: the number in this list, or -1."""
        out: list[tuple[int, Step]] = []
        left = [(-1, self)]
        while left:
            behind, twig = left.pop()
            left += [(len(out), one) for one in reversed(twig.then)]
            out.append((behind, twig.step))
        return out

    @classmethod
    def of(cls, flat: Iterable[tuple[int, Step]]) -> Twig:
        """The twig with these events."""
        twigs: list[Twig] = []
        for behind, step in flat:
            twig = cls(step)
            if twigs:
                twigs[behind].then.append(twig)
            twigs.append(twig)
        return twigs[0]

    def told(self, words: Words) -> Twig:
        """For other processes."""
        return Twig.of([(behind, step.told(words)) for behind, step in self.flat()])

    def heard(self, words: Words) -> Twig:
        """From another process."""
        return Twig.of([(behind, step.heard(words)) for behind, step in self.flat()])

    def __reduce__(self) -> tuple[Any, ...]:
        return Twig.of, (self.flat(),)  # it may be deeper than a stack


NOBODY: Final[Mapping[int, Any]] = MappingProxyType({})


class State(NamedTuple):
    """What a search remembers, at a node, of the events before it."""

    asleep: tuple[int, ...] = ()
    jumps: int = 0  # of the clock
    wakers: Mapping[int, list[int]] = NOBODY
    """By whom who can go on now: the clock of the event."""
    offered: frozenset[int] = frozenset()
    """CPUs that have let others in since their last event."""


class Node:
    """The moment before an event, and the event.

    ``can`` are the contexts that can go on; ``cur`` the one that does, ``done`` those whose turn is
    over, ``back`` those that have to get one, in this order; ``sleep`` those that need none, since
    all that begins with them was seen before.  ``then`` is how to go on, the own event first, with
    those that have to get a turn for a certain sequence.  ``cpus`` is what each CPU with a choice
    of its own would let in.

    The event is ``step``, NO_STEP until it comes.  Its operation is ``op``, its CPU ``process``,
    its ``number`` among those of its CPU counts from 1, ``clock`` is what it has seen of each CPU,
    and ``what`` it is in words, if somebody wants to know.

    An execution makes dozens of nodes, and of most nothing ever comes.  So what is empty is shared,
    and a value is replaced, never changed.
    """

    __slots__ = (
        "back",
        "can",
        "clock",
        "cpus",
        "cur",
        "depth",
        "done",
        "log",
        "number",
        "op",
        "preemptions",
        "process",
        "sleep",
        "state",
        "step",
        "then",
        "what",
    )

    can: tuple[int, ...]
    cur: int
    done: Mapping[int, Step]
    back: tuple[int, ...]
    sleep: Mapping[int, Step]
    then: Mapping[int, Twig]
    cpus: Doors
    log: tuple[int, int]  # entries of the log before it, and effects of the last of them
    state: State
    preemptions: int
    depth: int  # nodes before it

    step: Step
    process: int
    op: Op
    clock: list[int]
    number: int
    what: str


@dataclass(slots=True)
class Frame:
    """What has to be kept of a node to come back to it, in this process or in another.

    ``then`` has a twig for everybody in ``back``, where that matters.
    """

    cur: int
    can: Sequence[int]
    back: tuple[int, ...]
    done: tuple[int, ...]
    sleep: Mapping[int, Step]
    then: Mapping[int, Twig]

    @classmethod
    def of(cls, node: Node, words: Words, last: bool) -> Frame:
        """``last``: what is under way is not the node's event, which is still to come."""
        sleep = {id: step.told(words) for id, step in node.sleep.items()}
        then = {}
        for id in node.back:
            if id in node.done or (id == node.cur and not last) or id not in node.then:
                step = node.step if id == node.cur else node.done.get(id, NO_STEP)
                if step is not NO_STEP:
                    then[id] = Twig(step.told(words))
            else:
                then[id] = node.then[id].told(words)
        return cls(node.cur, node.can, node.back, tuple(node.done), sleep, then)


class Request(NamedTuple):
    """The other order of a race with the event after node ``depth``, which is somebody else's.

    ``steps`` is to be explored there, unless it is covered.
    """

    depth: int
    steps: tuple[Step, ...]
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


def place(step: Step, steps: Sequence[Step], meet: Meet = meet) -> int:
    """Where in ``steps`` a pending event comes that could as well come first.

    ``len(steps)`` if it is none of them and depends on none: it could come first all the same.
    (The *weak initials* of a sequence are those with a place.)  Negative if it could not: -1 for
    the first of ``steps``, which says so, -2 for the second.
    """
    id, process, touches = step
    for i, (other, theirs, touched) in enumerate(steps):
        if other == id:
            return i
        if (
            theirs == process
            or touches is None
            or touched is None
            or (touches and touched and meet(touches, touched))
        ):
            return ~i
    return len(steps)


ADDED: Final = 0


def add(node: Reversing, begun: Iterable[Step], steps: Sequence[Step], meet: Meet = meet) -> int:
    """See to it that ``steps`` is explored from ``node`` on; ADDED if it was not to be.

    It is anyhow if it could begin with one of ``begun``, who have had a turn there or need none.
    Otherwise it joins what is to come, or begins a turn of its own.

    If it is explored anyhow the result is how many of ``steps`` tell: whatever comes in place of
    the others would be, too.  More than there are, if even what comes behind them matters.
    """
    for step in begun:
        at = place(step, steps, meet)
        if at >= 0:
            return at + 1
    if steps[0].ctx not in node.can:  # nobody is left out
        new = [id for id in node.can if id not in node.back and id not in node.sleep]
        node.back += tuple(new)
        node.then = {**node.then, **{id: Twig(Step(id, -1, None)) for id in new}}
        return ADDED if new else 1
    twigs = []
    if len(node.back) > len(node.done) + 1:
        twigs = [node.then[id] for id in node.back if id not in node.done and id != node.cur]
    known = len(twigs)
    told = grow(twigs, list(steps), meet)
    if len(twigs) > known:
        new = [twig.step.ctx for twig in twigs[known:]]
        node.back += tuple(new)
        node.then = {**node.then, **dict(zip(new, twigs[known:], strict=True))}
    return told


def grow(twigs: list[Twig], steps: list[Step], meet: Meet) -> int:
    """The same for what is to come."""
    told = gone = 0
    while steps:
        for twig in twigs:
            at = place(twig.step, steps, meet)
            told = max(told, gone + 1 + (at if at >= 0 else ~at))
            if at >= 0:
                break
        else:
            for step in steps:
                twigs.append(Twig(step))
                twigs = twigs[-1].then
            return ADDED
        twigs = twig.then
        if not twigs:
            return told
        if at < len(steps):
            del steps[at]
            gone += 1
    return told + 1


class Reversing(Protocol):
    """A node, or what is kept of it."""

    @property
    def cur(self) -> int: ...
    @property
    def can(self) -> Sequence[int]: ...
    @property
    def done(self) -> Collection[int]: ...
    @property
    def sleep(self) -> Mapping[int, Step]: ...

    back: tuple[int, ...]
    then: Mapping[int, Twig]


class Branching(Protocol):
    """A node, or what is kept of it."""

    @property
    def back(self) -> Sequence[int]: ...
    @property
    def done(self) -> Collection[int]: ...


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


def compressed(log: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Picks of one context in a row as one; not across a point where it had to be asked again."""
    out: list[tuple[int, int]] = []
    last, total = -1, 0
    for id, n in log:
        if id == last and (n or not total):
            total += n
            continue
        if last >= 0:
            out.append((last, total))
        last, total = id, n
    if last >= 0:
        out.append((last, total))
    return out
