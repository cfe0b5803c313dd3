# SPDX-License-Identifier: GPL-2.0-only
"""How far has a run come along an interleaving?

A *chain* is an attempt at the interleaving: how many steps are taken, and who and what its names
stand for.  There may be several at a time, since a step can be the first step again, for another
page, or could have been taken by somebody else.  The run stands at the level of the chain that has
come farthest, ever: a window that was open and has closed again counts as reached.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, NamedTuple

from mmsim.engine.context import Context
from mmsim.engine.instruments import Instrument
from mmsim.engine.op import Op
from mmsim.model.cite import plain, symbol_of
from mmsim.rare.levels import NOT, Level, Levels


class Chain(NamedTuple):
    """``parties`` and ``things`` are in the order of their names; None is not known yet."""

    taken: int
    parties: tuple[Any, ...]
    things: tuple[Any, ...]


class _Asked(NamedTuple):
    """A level, and where in a chain its names stand; -1 without a name.

    ``other`` is the place of the party that it must not be.
    """

    level: Level
    party: int
    thing: int
    other: int


class Watch(Instrument):
    """Follows one run.  ``reached(n)`` is called when it stands at level ``n`` for the first time.

    Whoever reuses it for another run calls ``begin``.  ``seen`` counts, by level, the operations
    that were called so: a level with none has a name that nothing has.
    """

    def __init__(self, levels: Levels, reached: Callable[[int], None]) -> None:
        self._reached = reached
        parties = _names(levels, "party")
        things = _names(levels, "thing")

        def asked(level: Level) -> _Asked:
            party, other = level.party, level.other_than
            return _Asked(
                level,
                parties.index(party) if party and not other else -1,
                things.index(level.thing) if level.thing else -1,
                parties.index(other) if other else -1,
            )

        self._steps = [asked(level) for level in levels.steps]
        last = levels.steps[-1]
        closing = (*levels.over, last) if last.party and not last.other_than else levels.over
        self._over = [asked(level) for level in closing]
        self._root = Chain(0, (None,) * len(parties), (None,) * len(things))
        self._called: dict[Op, tuple[frozenset[int], tuple[_Asked, ...]]] = {}
        self.seen = [0] * len(levels)
        self.begin()

    def begin(self) -> None:
        """A run begins."""
        self._chains: dict[tuple[Any, ...], Chain] = {self._key(self._root): self._root}
        self._waiting = frozenset({0})
        self.level = 0
        self.step = 0

    @staticmethod
    def _key(chain: Chain) -> tuple[Any, ...]:
        taken, parties, things = chain
        return taken, *(id(one) for one in parties), *(id(one) for one in things)

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        self.step = step
        called = self._called.get(op)
        if called is None:
            called = self._called[op] = (
                frozenset(n for n, (level, *_) in enumerate(self._steps) if level.is_of(op)),
                tuple(one for one in self._over if one.level.is_of(op)),
            )
        steps, over = called
        for n in steps:
            self.seen[n] += 1
        if not steps.isdisjoint(self._waiting) or (over and len(self._chains) > 1):
            self._look(ctx, obj, value, steps & self._waiting, over, sys._getframe(1))

    def _look(
        self,
        ctx: Context,
        obj: Any,
        value: Any,
        steps: frozenset[int],
        over: tuple[_Asked, ...],
        frame: FrameType,
    ) -> None:
        """Somebody waits for this operation; is it done where it should be, with what result?"""
        functions: frozenset[str] | None = None

        def here(level: Level) -> bool:
            nonlocal functions
            if not level.comes_to(value):
                return False
            if not level.function:
                return True
            if functions is None:
                functions = functions_of(frame)
            return level.function in functions

        taken = {n for n in steps if here(self._steps[n].level)}
        closing = [one for one in over if here(one.level)]
        if not (taken or closing):
            return
        chains: dict[tuple[Any, ...], Chain] = {}
        for key, chain in self._chains.items():
            longer = None
            if chain.taken in taken:
                longer = _bound(chain, self._steps[chain.taken], ctx, obj)
            if longer is not None:
                chains[self._key(longer)] = longer
                named = (longer.parties, longer.things) != (chain.parties, chain.things)
                if named or not chain.taken:  # somebody else could still take this step
                    chains[key] = chain
            elif not (chain.taken and any(_is_of(chain, one, ctx, obj) for one in closing)):
                chains[key] = chain
        self._chains = chains
        self._waiting = frozenset(chain.taken for chain in chains.values())
        most = max(self._waiting)
        if most > self.level:
            self.level = most
            self._reached(most)


def _names(levels: Levels, what: str) -> list[str]:
    """Those of the steps, in their order; then what only ``over`` has."""
    named = (getattr(level, what) for level in (*levels.steps, *levels.over))
    return list(dict.fromkeys(name for name in named if name and not name.startswith(NOT)))


def _bound(chain: Chain, asked: _Asked, ctx: Context, obj: Any) -> Chain | None:
    """The chain with its next step taken by ``ctx`` on ``obj``; None if it cannot be theirs."""
    if asked.other >= 0 and chain.parties[asked.other] is ctx:
        return None
    parties = _with(chain.parties, asked.party, ctx)
    things = _with(chain.things, asked.thing, obj)
    if parties is None or things is None:
        return None
    return Chain(chain.taken + 1, parties, things)


def _with(known: tuple[Any, ...], place: int, one: Any) -> tuple[Any, ...] | None:
    if place < 0 or known[place] is one:
        return known
    if known[place] is not None or any(other is one for other in known):
        return None
    return (*known[:place], one, *known[place + 1 :])


def _is_of(chain: Chain, asked: _Asked, ctx: Context, obj: Any) -> bool:
    """Are its party and its thing known to the chain, and are they these?"""
    return (
        (asked.party < 0 or chain.parties[asked.party] is ctx)
        and (asked.other < 0 or chain.parties[asked.other] is not ctx)
        and (asked.thing < 0 or chain.things[asked.thing] is obj)
    )


_called: dict[int, tuple[CodeType, frozenset[str]]] = {}
"""Names of functions, by id() of their code: two files may have equal code."""


def functions_of(frame: FrameType | None) -> frozenset[str]:
    """Those that an operation is done in: from the engine's frames outwards to the next."""
    while frame is not None and _is_engine(frame):
        frame = frame.f_back
    found: set[str] = set()
    while frame is not None and not _is_engine(frame):
        code = frame.f_code
        known = _called.get(id(code))
        if known is None:
            names = frozenset({code.co_name, plain(code.co_name), symbol_of(code)})
            known = _called[id(code)] = (code, names)
        found |= known[1]
        frame = frame.f_back
    return frozenset(found)


def _is_engine(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("mmsim.engine.")
