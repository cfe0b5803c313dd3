# SPDX-License-Identifier: GPL-2.0-only
"""Levels: the steps of an interleaving, as operations.

    LEVELS = {
        "001.*": Levels(
            Level("the scanner finds PG_lru set", "read lru", party="scanner", thing="page"),
            Level("somebody else frees the page", function="free_unref_page", thing="page"),
            Level("the scanner reads its count", "read _refcount", party="scanner", thing="page"),
        ),
    }

A mail thread has them in the ``levels.py`` of its folder, a file of one's own beside ``SCENARIO``.
The keys are ids of variants, or patterns; the first that fits counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from mmsim.engine.op import Op
from mmsim.errors import UsageError

ANY: Final = ...
"""Whatever came of it."""
NOT: Final = "not "
"""Before a party: anybody else."""


@dataclass(frozen=True)
class Level:
    """One step of an interleaving.

    ``says`` is the step for people.  ``does`` are words that all have to be among the names of the
    operation: its kind, its verb, its words and bits ("read lru", "rmw _refcount").  ``function``
    is a function that it is done in or below, as in C or as here.  ``value`` is what comes of the
    effect, such as the True of a bit that was set, or a function that says whether it will do.

    ``party`` and ``thing`` are names of the reader's choice, for the context and the object.  In
    all steps of an interleaving a name is the same context or object, and two names are two.
    Without a name anybody will do, or anything; "not NAME" is any context but that party.

    Raises UsageError if nothing is said of the operation, the party or the thing.
    """

    says: str
    does: str = ""
    function: str = ""
    party: str = ""
    thing: str = ""
    value: Any = ANY

    def __post_init__(self) -> None:
        for name in ("says", "does", "function", "party", "thing"):
            if not isinstance(getattr(self, name), str):
                raise UsageError(f"Level: {name} is {getattr(self, name)!r}, and not a text")
        if not self.says.strip():
            raise UsageError("Level: its first argument says what the step is; it is empty")
        if not (self.does.split() or self.function or self.party or self.thing):
            raise UsageError(
                f"Level {self.says!r} would be any operation of anybody: "
                "name an operation, a function, a party or a thing"
            )

    def comes_to(self, value: Any) -> bool:
        """Is it this that has to come of the effect?"""
        if callable(self.value):
            return bool(self.value(value))
        return self.value is ANY or bool(value == self.value)

    def is_of(self, op: Op) -> bool:
        """Can an operation of this kind be the step?  What it is done to is not asked."""
        return names_of(op).issuperset(self.does.split())

    @property
    def other_than(self) -> str:
        """The party that it must not be; "" if any will do."""
        return self.party.removeprefix(NOT) if self.party.startswith(NOT) else ""


def names_of(op: Op) -> frozenset[str]:
    """The words by which an operation is called."""
    names = {op.kind, op.verb, op.label, op.label.rpartition(":")[2]}
    return frozenset(names.union(op.words, op.reads, op.writes) - {"", "*"})


class Levels:
    """The steps of one interleaving, in their order, and ``over``: what puts an end to it.

    Whoever is to take the last step and takes it before its time has closed the window; that need
    not be said.  A step in ``over`` closes it as well, if its party and its thing are those of the
    interleaving.  Raises UsageError for what is no level, and for none.
    """

    def __init__(self, *steps: Level, over: tuple[Level, ...] = ()) -> None:
        for level in (*steps, *over):
            if not isinstance(level, Level):
                raise UsageError(f"Levels() takes Level(...), and not {level!r}")
        if not steps:
            raise UsageError("Levels() needs at least one Level(...)")
        known: set[str] = set()
        for level in steps:
            if level.other_than and level.other_than not in known:
                raise UsageError(
                    f"Level {level.says!r}: {level.party!r}, but no step before it has that party"
                )
            known.add(level.party)
        self.steps = steps
        self.over = tuple(over)

    def __len__(self) -> int:
        return len(self.steps)

    def only(self, numbers: tuple[int, ...]) -> Marked:
        """All steps have to be taken, but a run is split only at these, counted from 1.

        Raises UsageError for a number that is none, and for numbers that do not rise.
        """
        for number in numbers:
            if not 1 <= number <= len(self):
                raise UsageError(f"there is no level {number}: they are 1 to {len(self)}")
        if not numbers or list(numbers) != sorted(set(numbers)):
            raise UsageError("levels have to be named once each, and in their order")
        return Marked(self, numbers)

    @property
    def all(self) -> Marked:
        """A run is split at every step."""
        return Marked(self, tuple(range(1, len(self) + 1)))


@dataclass(frozen=True)
class Marked:
    """Levels, and the numbers of those at which runs are split; the last step is one of them."""

    levels: Levels
    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.numbers[-1] != len(self.levels):
            object.__setattr__(self, "numbers", (*self.numbers, len(self.levels)))


def levels_of(variant: str, declared: Mapping[str, Any], where: str) -> Levels | None:
    """Those of a variant; None if none are declared for it.

    ``where`` is named in what is raised: UsageError, if what is declared is nothing of the kind.
    """
    if not isinstance(declared, Mapping):
        raise UsageError(f"{where}: LEVELS has to be a dict of variants and Levels(...)")
    for pattern, levels in declared.items():
        if not isinstance(pattern, str) or not isinstance(levels, Levels):
            raise UsageError(f"{where}: LEVELS[{pattern!r}] has to be Levels(...)")
        if fnmatchcase(variant.partition("@")[0], pattern):
            return levels
    return None
