# SPDX-License-Identifier: GPL-2.0-only
"""Shrinking a schedule: the same finding with fewer preemptions, then with fewer effects.

Where memory is weak, fewer reads of what was overwritten come first: each of them is something to
explain.

A candidate is a list of turns, (context, effects), followed as far as it can be: a turn of somebody
who cannot run is skipped, one that is cut off by a lock or by sleep is over, and at the end whoever
runs goes on until it cannot.  What really happened is a schedule again, so that each candidate that
comes to the finding is measured by what it did, not by what it asked for.

Turns are gathered: in a piece of the schedule each context gets one turn, for all that it did
there, so that what comes after meets it where it was (Jalbert, Sen, "A Trace Simplification
Technique for Effective Debugging of Concurrent Programs", FSE'10).  Pieces are left out (Zeller,
Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", TSE'02); both begin with large
pieces.  Then neighbours trade places, and turns are made longer or shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from mmsim.engine.context import Context
from mmsim.engine.op import LOCK
from mmsim.engine.policy.base import FOREVER, Policy

Turns = tuple[tuple[int, int], ...]
Plan = tuple[tuple[tuple[int, int], int], ...]
"""Reads that do not take the newest value: ((context, number of its effect), stores back)."""
READABLE = 3
"""Preemptions that a person can follow; above, more is tried."""


class Turning(Policy):
    """Follows ``turns`` as far as it can; counts ``preemptions``.

    A preemption is a switch away from a context that could have gone on; an interrupt that comes in
    is one.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = list(turns)
        self._next = 0
        self._left = 0
        self._quantum = 0
        self._last: Context | None = None
        self.preemptions = 0

    @property
    def directed(self) -> bool:
        return self._next < len(self._turns)

    def pick(self, enabled: Sequence[Context], current: Context | None) -> Context:
        last = self._last
        chosen = self._pick(enabled)
        if last is not None and chosen is not last and last in enabled and _able(last):
            self.preemptions += 1
        self._last = chosen
        return chosen

    def _pick(self, enabled: Sequence[Context]) -> Context:
        while self._next < len(self._turns):
            id, wanted = self._turns[self._next]
            if self._left <= 0:
                self._left = wanted
            for ctx in enabled:
                if ctx.id == id and _able(ctx):
                    self._quantum = self._left
                    if not wanted:
                        self._next += 1
                    return ctx
            self._next += 1
            self._left = 0
        self._quantum = FOREVER
        able = [ctx for ctx in enabled if _able(ctx)]
        if self._last in able:
            assert self._last is not None
            return self._last
        return able[0] if able else enabled[0]

    def quantum(self, ctx: Context) -> int:
        return self._quantum

    def ran(self, ctx: Context, n: int) -> None:
        self._left -= n
        if self._next < len(self._turns) and self._left <= 0:
            self._next += 1

    def kicked(self) -> int | None:
        return None


def _able(ctx: Context) -> bool:
    op, obj, _ = ctx.pending
    return not ctx.relaxed and not (op.kind is LOCK and obj.locked)


class Attempt(NamedTuple):
    """What following some turns came to: the finding's name, and what really happened."""

    fingerprint: str
    preemptions: int
    effects: int
    turns: Turns
    line: str
    plan: Plan = ()


def shrink(
    first: Attempt, attempt: Callable[[Turns, Plan], Attempt], enough: Callable[[], bool]
) -> Attempt:
    """The smallest attempt found that comes to the same as ``first``.

    ``attempt`` runs turns with reads; ``enough`` says when to stop early.
    """
    shrinking = _Shrinking(first, attempt, enough)
    shrinking.begun()
    before = None
    while shrinking.best is not before and not enough():
        before = shrinking.best
        shrinking.once()
        if shrinking.best is before and before.preemptions > READABLE:
            shrinking.harder()
    return shrinking.best


def size(attempt: Attempt) -> tuple[int, int, int, int]:
    """What is to be small, the most important first."""
    return len(attempt.plan), attempt.preemptions, len(attempt.turns), attempt.effects


class _Shrinking:
    """The best attempt so far, and the ways to look for a better one.

    Each way goes once along the turns.  Where a candidate is better it stays, and looks at the
    same place of what has come out.
    """

    def __init__(
        self,
        first: Attempt,
        attempt: Callable[[Turns, Plan], Attempt],
        enough: Callable[[], bool],
    ) -> None:
        self.best = first
        self._attempt = attempt
        self._enough = enough
        self._tried = {(first.turns, first.plan)}

    def begun(self) -> None:
        """Only so many of the first turns: what follows may be a loop that goes on by itself."""
        turns = self.best.turns
        lengths = (0, *(1 << i for i in range(len(turns).bit_length())))
        self._any(turns[:keep] for keep in lengths)

    def harder(self) -> None:
        """Two changes at once: a turn is moved to its next, and another is longer or shorter."""
        turns = self.best.turns
        self._any(
            resized
            for i in range(len(turns))
            for joined in _joined(turns, i)
            for j in range(len(joined))
            for resized in _resized(joined, j)
        )

    def once(self) -> None:
        """Every way, the one that takes away most first."""
        self._fewer_reads()
        self._fewer_contexts()
        self._in_pieces(_gathered, least=3)
        self._in_pieces(_without, least=1)
        for candidates in (_joined, _swapped, _resized):
            self._along(candidates)

    def _better(self, turns: Turns, plan: Plan) -> bool:
        if (turns, plan) in self._tried:
            return False
        self._tried.add((turns, plan))
        now = self._attempt(turns, plan)
        if now.fingerprint != self.best.fingerprint or size(now) >= size(self.best):
            return False
        self.best = now
        return True

    def _any(self, candidates: Iterable[Turns]) -> bool:
        """Is one of them better, or has there been enough?"""
        plan = self.best.plan
        return any(self._enough() or self._better(turns, plan) for turns in candidates)

    def _fewer_reads(self) -> None:
        piece = len(self.best.plan)
        while piece:
            start = 0
            while start < len(plan := self.best.plan) and not self._enough():
                if not self._better(self.best.turns, plan[:start] + plan[start + piece :]):
                    start += piece
            piece //= 2

    def _fewer_contexts(self) -> None:
        """Somebody who runs when nobody else can is no part of the story."""
        effects: dict[int, int] = {}
        for id, n in self.best.turns:
            effects[id] = effects.get(id, 0) + n
        for id in sorted(effects, key=lambda id: -effects[id]):
            self._any([tuple(turn for turn in self.best.turns if turn[0] != id)])

    def _in_pieces(
        self, candidates: Callable[[Turns, int, int], Iterator[Turns]], least: int
    ) -> None:
        """First with large pieces of the turns, then with smaller ones."""
        piece = len(self.best.turns)
        while piece >= least:
            start = 0
            while start < len(self.best.turns) and not self._enough():
                if not self._any(candidates(self.best.turns, start, start + piece)):
                    start += max(piece // 2, 1)
            piece //= 2

    def _along(self, candidates: Callable[[Turns, int], Iterator[Turns]]) -> None:
        place = 0
        while place < len(self.best.turns) and not self._enough():
            if not self._any(candidates(self.best.turns, place)):
                place += 1


def _gathered(turns: Turns, start: int, end: int) -> Iterator[Turns]:
    """Each context has one turn in the piece: where its first was, or where its last was."""
    piece = turns[start:end]
    sums: dict[int, int] = {}
    for id, n in piece:
        sums[id] = sums.get(id, 0) + n
    if len(sums) == len(piece):
        return
    lasts = tuple(reversed(dict.fromkeys(id for id, _ in reversed(piece))))
    for order in dict.fromkeys((tuple(sums), lasts)):
        yield turns[:start] + tuple((id, sums[id]) for id in order) + turns[end:]


def _without(turns: Turns, start: int, end: int) -> Iterator[Turns]:
    yield turns[:start] + turns[end:]


def _joined(turns: Turns, i: int) -> Iterator[Turns]:
    """The turn is moved to the next of the same context, or that one to it."""
    id, n = turns[i]
    for j in range(i + 1, len(turns)):
        if turns[j][0] == id:
            both = (id, n + turns[j][1])
            yield (*turns[:i], *turns[i + 1 : j], both, *turns[j + 1 :])
            yield (*turns[:i], both, *turns[i + 1 : j], *turns[j + 1 :])
            return


def _swapped(turns: Turns, i: int) -> Iterator[Turns]:
    if i + 1 < len(turns):
        yield (*turns[:i], turns[i + 1], turns[i], *turns[i + 2 :])


def _resized(turns: Turns, i: int) -> Iterator[Turns]:
    """Longer, or shorter by a half, a quarter, and so on."""
    id, n = turns[i]
    less, sizes = n // 2, [FOREVER]
    while less:
        sizes.append(n - less)
        less //= 2
    for other in (*sizes, n + 1):
        if other > 0:
            yield (*turns[:i], (id, other), *turns[i + 1 :])
