# SPDX-License-Identifier: GPL-2.0-only
"""How much of a search is left, and how far wrong that may be.

The guess at the explored part (:func:`mmsim.engine.explore.explored`) makes one at the whole:
executions so far, divided by it.  Nothing bounds its error, since branches are found on the way.
What can be said is how steady it has been: the lowest and the highest guess since half of the
executions of today were done.
"""

from __future__ import annotations

from typing import NamedTuple


class Guess(NamedTuple):
    """Executions in all: the present guess, and the extremes since half as many were done."""

    total: float
    low: float
    high: float


class Estimate:
    """Keeps the guesses made so far."""

    def __init__(self) -> None:
        self._guesses: list[tuple[int, float]] = []

    def add(self, executions: int, explored: float) -> None:
        """So many executions were the part ``explored`` of the whole."""
        if explored > 0 and executions > 0:
            self._guesses.append((executions, executions / explored))

    def guess(self) -> Guess | None:
        """None while there is nothing to go by: fewer than three guesses in the second half."""
        if not self._guesses:
            return None
        executions, total = self._guesses[-1]
        since = [guess for n, guess in self._guesses if 2 * n >= executions]
        if len(since) < 3:
            return None
        return Guess(total, min(since), max(since))


def in_words(guess: Guess | None, executions: int) -> str:
    """What a line of progress says of it."""
    if guess is None:
        return "no estimate yet"
    total, low, high = (max(executions, about(n)) for n in guess)
    return f"about {total:,} in all (guesses were {low:,} to {high:,})"


def about(n: float) -> int:
    """To two digits: more would pretend to know."""
    size: int = 10 ** max(len(str(int(n))) - 2, 0)
    return round(n / size) * size
