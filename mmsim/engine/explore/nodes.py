# SPDX-License-Identifier: GPL-2.0-only
"""The tree of a search: its nodes, and what is kept or handed over of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mmsim.engine.context import Context
from mmsim.engine.explore.words import Touches


class Node:
    """The moment before an event.

    ``can`` are the contexts that can go on, ``acts`` what those that were looked at would do;
    ``cur`` the one that does, ``done`` those whose turn is over, ``back`` those that have to get
    one, in this order; ``sleep`` those that need none, since all that begins with them was seen
    before.  ``cpus`` is what each CPU with a choice of its own would let in.
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
    )

    can: tuple[int, ...]
    acts: dict[int, Touches]
    cur: int
    done: list[int]
    back: list[int]
    sleep: dict[int, tuple[int, Touches]]
    cpus: dict[int, tuple[Context | None, bool, bool, bool]]
    log: tuple[int, int]  # entries of the log before it, and effects of the last of them
    state: tuple[list[int], int, dict[int, list[int]], frozenset[int]]
    preemptions: int


@dataclass(slots=True)
class Frame:
    """What has to be kept of a node to come back to it, in this process or in another."""

    cur: int
    can: list[int]
    back: list[int]
    done: list[int]
    sleep: list[int]


class Request(NamedTuple):
    """A race with the event after node ``depth``, which belongs to somebody else's search.

    One of ``initials`` has to get a turn there.
    """

    depth: int
    initials: tuple[int, ...]
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
