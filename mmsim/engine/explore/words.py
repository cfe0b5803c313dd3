# SPDX-License-Identifier: GPL-2.0-only
"""Which words a search has to mind, and what a pending operation does to them.

A word that only one context touches, or that nobody writes, is *quiet*: no order of accesses to it
can be told from another, so an access to nothing else needs no decision.  Which words those are is
learned while the search runs.  A word that was taken for quiet and turns out not to be makes
everything found so far worthless: :class:`NotQuiet` asks to start again, with what is known now.

A word is named by the identity of its object, so that it is the same one in every execution.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from mmsim.engine.context import Context
from mmsim.engine.instruments import Instrument
from mmsim.engine.op import ALL, DOWN, LOCK, UP, Op, Pending, footprint
from mmsim.engine.schedule import Diverged

EVERY_BIT: Final = -1
EVERYBODY: Final = -2  # owner of a word that several contexts touch


class NotQuiet(Diverged):
    """A word was taken for quiet and is not."""


class Touch(NamedTuple):
    """What an operation does to one word: masks of bits read and written.

    ``takes``: it is an attempt to take a lock that has to wait while the lock is taken.
    """

    word: int
    reads: int
    writes: int
    takes: bool


Spelled = tuple[str, str, str, bool]
"""A touch for other processes: the word's name, names of bits read, and written; ``takes``."""

Touches = tuple[Touch, ...]
NOTHING: Final[Touches] = ()


def meet(some: Touches, others: Touches) -> bool:
    """Does the order of two operations with these touches matter?"""
    for word, reads, writes, _ in some:
        for other in others:
            if other.word == word and (
                writes & (other.reads | other.writes) or reads & other.writes
            ):
                return True
    return False


@lru_cache(maxsize=1 << 16)
def meet_spelled(some: tuple[Spelled, ...], others: tuple[Spelled, ...]) -> bool:
    """The same for touches that are spelled."""
    for word, reads, writes, _ in some:
        for other, read, written, _ in others:
            if other == word and (
                _share(writes, read) or _share(writes, written) or _share(reads, written)
            ):
                return True
    return False


def _share(some: str, others: str) -> bool:
    """Have the two a bit in common?"""
    if not some or not others:
        return False
    return "*" in (some, others) or not set(some.split()).isdisjoint(others.split())


def name_of(obj: Any) -> Any:
    """Hashable, and the same for the same object in every execution.

    Structs know theirs; a context or a CPU is its number.
    """
    identity = getattr(obj, "identity", None)
    if identity is not None:
        return identity()
    return None if obj is None else (type(obj).__name__, getattr(obj, "id", None))


_NUMBERS: Final[dict[Any, int]] = {}  # every search's, since an object may outlive one


def number_of(obj: Any) -> int:
    """The same for the same object in every execution; 0 is nothing's."""
    return _NUMBERS.setdefault(name_of(obj), len(_NUMBERS) + 1)


class Words:
    """What is known of the words of one program, over all its executions.

    What was learned before ``settle()`` decides which words are quiet.  Afterwards a word can only
    cease to be: so the words that are quiet in the end, and with them the executions, do not depend
    on the order in which the search goes.
    """

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._bits: dict[str, int] = {}
        self._masks: dict[Op, tuple[int, int, bool]] = {}
        self._owner: dict[int, int] = {}  # word -> the context that touches it, or EVERYBODY
        self._written: set[int] = set()
        self._quiet: dict[int, int] = {}  # word -> its only context; EVERYBODY: only read
        self._names: list[str] = []
        self._named: dict[str, int] = {}
        self._spelled: dict[Touch, Spelled] = {}
        self._read: dict[Spelled, Touch] = {}
        self._known: dict[Any, Touches] = {}  # what an operation of a context on an object touches
        self._not_quiet: set[str] = set()  # names of words that turned out shared
        self.mistaken = False  # a word was taken for quiet since the last settle(), and is not

    def number(self, obj: Any, word: str) -> int:
        """The number of a word.  It belongs to this object of Words, and to no other."""
        name = name_of(obj), word
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = self._number(repr(name))
        return number

    def _number(self, name: str) -> int:
        number = self._named.get(name)
        if number is None:
            number = self._named[name] = len(self._names)
            self._names.append(name)
        return number

    def touches(self, ctx: Context, pending: Pending) -> Touches:
        """What a pending operation of ``ctx`` does to words that are not quiet.

        ``mistaken`` is set if that shows that a word thought quiet is not.
        """
        op, obj, _ = pending
        if op.also is not None or op.fails is not None:
            return self._touches(ctx, pending)  # it depends on the state
        key = op, ctx.id, name_of(obj)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._touches(ctx, pending)
        return known

    def _touches(self, ctx: Context, pending: Pending) -> Touches:
        out = []
        owners, written, quiet = self._owner, self._written, self._quiet
        fails = pending[0].fails
        for obj, op in footprint(pending):
            known = self._masks.get(op)
            if known is None:
                known = self._masks[op] = (
                    self._mask(op.reads),
                    self._mask(op.writes),
                    op.kind is LOCK,
                )
            reads, writes, takes = known
            if fails is not None and op is pending[0] and fails(obj, *pending[2]):
                writes = 0
            for name in op.words:
                word = self.number(obj, name)
                owner = owners.get(word)
                if owner is None:
                    owners[word] = ctx.id
                elif owner != ctx.id:
                    owners[word] = EVERYBODY
                if writes:
                    written.add(word)
                whose = quiet.get(word)
                if whose is not None:
                    if whose == ctx.id or (whose == EVERYBODY and not writes):
                        continue
                    del quiet[word]
                    self._not_quiet.add(self._names[word])
                    self.mistaken = True
                out.append(Touch(word, reads, writes, takes))
        return tuple(out)

    def at_most(self, op: Op, touches: Touches) -> Touches | None:
        """What an operation that has these touches now could touch in another state, too.

        None: anything.
        """
        if op.also is not None and op.kind not in (DOWN, UP):  # those name everybody who may wait
            return None
        if op.fails is None:
            return touches
        writes = self._mask(op.writes)
        return tuple([touch._replace(writes=touch.writes | writes) for touch in touches])

    def spelled(self, touches: Touches) -> tuple[Spelled, ...]:
        """The same for other processes, whose numbers of words and bits are others."""
        return tuple([self._spell(touch) for touch in touches])

    def _spell(self, touch: Touch) -> Spelled:
        known = self._spelled.get(touch)
        if known is None:
            word, reads, writes, takes = touch
            known = self._names[word], self._bits_of(reads), self._bits_of(writes), takes
            self._spelled[touch] = known
        return known

    def _bits_of(self, mask: int) -> str:
        if mask == EVERY_BIT:
            return "*"
        return " ".join(sorted(bit for bit, i in self._bits.items() if mask >> i & 1))

    def read(self, spelled: Iterable[Spelled]) -> Touches:
        """What another process has spelled, in our numbers."""
        out = []
        for touch in spelled:
            known = self._read.get(touch)
            if known is None:
                name, reads, writes, takes = touch
                masks = self._mask(reads.split()), self._mask(writes.split())
                known = self._read[touch] = Touch(self._number(name), *masks, takes)
            out.append(known)
        return tuple(out)

    def settle(self) -> None:
        """From now on what only one context has touched, or nobody has written, is quiet."""
        self._quiet = {
            word: EVERYBODY if word not in self._written else owner
            for word, owner in self._owner.items()
            if (owner != EVERYBODY or word not in self._written)
            and self._names[word] not in self._not_quiet
        }
        self.start_again()

    def start_again(self) -> None:
        """The search begins anew, with what is quiet now."""
        self._known.clear()
        self.mistaken = False

    @property
    def not_quiet(self) -> list[str]:
        """Names of the words that turned out not to be quiet."""
        return sorted(self._not_quiet)

    def learn(self, not_quiet: Iterable[str]) -> None:
        """These are not quiet: somebody else's search has shown it."""
        self._not_quiet.update(not_quiet)
        for word in list(self._quiet):
            if self._names[word] in self._not_quiet:
                del self._quiet[word]
        self.start_again()

    def count(self) -> tuple[int, int]:
        """Words that are not quiet, and words in all."""
        return len(self._owner) - len(self._quiet), len(self._owner)

    def _mask(self, bits: Collection[str]) -> int:
        if bits is ALL or "*" in bits:
            return EVERY_BIT
        mask = 0
        for bit in bits:
            mask |= 1 << self._bits.setdefault(bit, len(self._bits))
        return mask


class Learner(Instrument):
    """Listens to an execution under any policy, to learn which words are not quiet."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        self._words.touches(ctx, (op, obj, args))
