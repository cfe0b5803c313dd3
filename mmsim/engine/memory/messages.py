# SPDX-License-Identifier: GPL-2.0-only
"""Views, and the histories of messages that they speak of; see `mmsim.engine.memory.views`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, NamedTuple

Word = Hashable
INITIAL: Final = -1
"""The writer of a word's first message."""


class View(dict[Word, int]):
    """Word -> position of the oldest message that counts; a word that is not in it: any.

    Never changed once made, so views are shared freely, and compare and hash by content.
    """

    __slots__ = ("_hash",)

    def __hash__(self) -> int:  # type: ignore[override]
        try:
            return self._hash
        except AttributeError:
            self._hash: int = hash(frozenset(self.items()))
            return self._hash


EMPTY: Final = View()


def join(one: View, other: View) -> View:
    """The later of both for every word; one of the two itself where that is enough."""
    if one is other or not other:
        return one
    if not one:
        return other
    joined: View | None = None
    for word, position in other.items():
        if one.get(word, 0) < position:
            if joined is None:
                joined = View(one)
            joined[word] = position
    return one if joined is None else joined


def raised(view: View, word: Word, position: int) -> View:
    """The view, and at least this message of this word."""
    if view.get(word, 0) >= position:
        return view
    higher = View(view)
    higher[word] = position
    return higher


def beyond(view: View, floor: View) -> View:
    """What of the view the floor does not cover already."""
    for word, position in view.items():
        if floor.get(word, 0) < position:
            return View({w: p for w, p in view.items() if floor.get(w, 0) < p})
    return EMPTY


class Message(NamedTuple):
    """One store."""

    value: Any
    writer: int
    """The CPU, or INITIAL."""
    step: int
    """When it was stored, in the counting of the caller."""
    view: View = EMPTY
    """What has reached whoever reads it, this message included."""
    seen: tuple[View, ...] = ()
    """What had reached each CPU when it was stored: who reads it does so later than that."""
    dep: View = EMPTY
    """The bound of the reads that its value and address came from; the writer itself, if it reads
    its own store back, is bound by nothing else."""
    handed: View | None = None
    """Of an unlock: the unlocker's `stores`, which go before the stores of the next owner."""


class History(NamedTuple):
    """The messages of one word that can still be read; positions count from the first store on."""

    base: int
    messages: tuple[Message, ...]

    @property
    def last(self) -> int:
        return self.base + len(self.messages) - 1

    def at(self, position: int) -> Message:
        return self.messages[position - self.base]


def pruned(view: View, bases: Mapping[Word, int]) -> View:
    """The view without what is no bound any more, as these positions are the oldest left."""
    left = {word: at for word, at in view.items() if at > bases.get(word, 0)}
    if len(left) == len(view):
        return view
    return View(left) if left else EMPTY


def rewritten(message: Message, change: Callable[[View], View]) -> Message:
    """The message with every view put through ``change``."""
    return Message(
        message.value,
        message.writer,
        message.step,
        change(message.view),
        tuple([change(view) for view in message.seen]),
        change(message.dep),
        None if message.handed is None else change(message.handed),
    )


def unseen(message: Message, cpu: int) -> Message:
    """The message without what this CPU had seen."""
    value, writer, step, view, seen, dep, handed = message
    if not seen or not seen[cpu]:
        return message
    seen = (*seen[:cpu], EMPTY, *seen[cpu + 1 :])
    return Message(value, writer, step, view, seen, dep, handed)
