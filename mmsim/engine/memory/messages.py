# SPDX-License-Identifier: GPL-2.0-only
"""Views, and the histories of messages that they speak of; see `mmsim.engine.memory.views`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple

Word = Hashable
INITIAL: Final = -1
"""The writer of a word's first message."""

View = int
"""A set of messages, one a bit.  With a message come all older ones of its word."""

EMPTY: Final = 0


class Message(NamedTuple):
    """One store."""

    value: Any
    writer: int
    """The CPU, or INITIAL."""
    step: int
    """When it was stored, in the counting of the caller."""
    own: View = EMPTY
    """This message and the older ones of its word, but for what everybody has seen."""
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


def rewritten(message: Message, change: Callable[[View], View]) -> Message:
    """The message with every view put through ``change``."""
    value, writer, step, own, view, seen, dep, handed = message
    return Message(
        value,
        writer,
        step,
        change(own),
        change(view),
        tuple([change(each) for each in seen]),
        change(dep),
        None if handed is None else change(handed),
    )


def unseen(message: Message, cpu: int) -> Message:
    """The message without what this CPU had seen."""
    seen = message.seen
    if not seen or not seen[cpu]:
        return message
    return message._replace(seen=(*seen[:cpu], EMPTY, *seen[cpu + 1 :]))
