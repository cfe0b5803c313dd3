# SPDX-License-Identifier: GPL-2.0-only
"""Shrinking a schedule: the same finding with fewer preemptions, then with fewer effects.

Where memory is weak, fewer reads of what was overwritten come first: each of them is something to
explain.

A candidate is a list of turns, (context, effects), followed as far as it can be: a turn of somebody
who cannot run is skipped, one that is cut off by a lock or by sleep is over, and at the end whoever
runs goes on until it cannot.  What really happened is a schedule again, so that each candidate that
comes to the finding is measured by what it did, not by what it asked for.

First larger, then smaller pieces are left out (Zeller, Hildebrandt, "Simplifying and Isolating
Failure-Inducing Input", TSE'02); then neighbours trade places, so that turns of one context meet;
then turns are made longer or shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from mmsim.engine.context import Context
from mmsim.engine.op import LOCK
from mmsim.engine.policy.base import FOREVER, Policy

P = TypeVar("P")
T = TypeVar("T", bound=tuple[Any, ...])
Turns = tuple[tuple[int, int], ...]
Plan = tuple[tuple[tuple[int, int], int], ...]
"""Reads that do not take the newest value: ((context, number of its effect), stores back)."""


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
    best = first
    tried: set[tuple[Turns, Plan]] = set()

    def better(turns: Turns, plan: Plan) -> bool:
        nonlocal best
        if (turns, plan) in tried:
            return False
        tried.add((turns, plan))
        now = attempt(turns, plan)
        if now.fingerprint != best.fingerprint or _size(now) >= _size(best):
            return False
        best = now
        return True

    changed = True
    while changed and not enough():
        changed = False
        for plan in _until_none(
            _without, lambda: best.plan, lambda plan: better(best.turns, plan), enough
        ):
            changed = changed or plan
        for candidates in (_without, _swapped, _resized):
            for turns in _until_none(
                candidates, lambda: best.turns, lambda turns: better(turns, best.plan), enough
            ):
                changed = changed or turns
    return best


def _size(attempt: Attempt) -> tuple[int, int, int, int]:
    return len(attempt.plan), attempt.preemptions, len(attempt.turns), attempt.effects


def _until_none(
    candidates: Callable[[T], Iterator[T]],
    present: Callable[[], T],
    better: Callable[[T], bool],
    enough: Callable[[], bool],
) -> Iterator[bool]:
    """Begin again with what is better, until no candidate is."""
    again = True
    while again and not enough():
        again = False
        for candidate in candidates(present()):
            if enough():
                return
            if better(candidate):
                again = True
                yield True
                break


def _without(parts: tuple[P, ...]) -> Iterator[tuple[P, ...]]:
    piece = max(len(parts) // 2, 1)
    while piece:
        for start in range(0, len(parts), piece):
            yield parts[:start] + parts[start + piece :]
        piece //= 2


def _swapped(turns: Turns) -> Iterator[Turns]:
    for i in range(len(turns) - 1):
        yield (*turns[:i], turns[i + 1], turns[i], *turns[i + 2 :])


def _resized(turns: Turns) -> Iterator[Turns]:
    for i, (id, n) in enumerate(turns):
        for size in (FOREVER, n - 1, n // 2, n + 1):
            if size > 0:
                yield (*turns[:i], (id, size), *turns[i + 1 :])
