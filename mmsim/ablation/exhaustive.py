# SPDX-License-Identifier: GPL-2.0-only
"""Is a hunk load-bearing?  The small casts of a variant, explored to the end without it.

First the variant as it is: that has to be clean, and every place where a gate is asked is written
down.  A place that no execution comes to has no effect there, and is not tried.  Then one place at
a time is turned over, as in `flipped`, and the same casts are explored.  A finding says that the
hunk carries something, and which; none in all executions says that nobody in these casts needs it.

What is turned over is a hunk of a patch that the variant has, which is then left out, or a mutation
that it has not, which is put in at one of its places: that is how a lock, an order, a second look
or a reference is taken away that is no patch of the thread.

Half a patch may be no program.  If it meets an error that no kernel has, such as a field that
nobody has made, that is said, and is not taken for a finding.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mmsim.ablation.flipped import Flipped, Listening
from mmsim.ablation.places import Place, places
from mmsim.errors import InternalError, UsageError, one_line
from mmsim.exploration.explorer import Explorer, Found, Question
from mmsim.model.gate import GATES
from mmsim.proofs.prove import (
    BOUNDED,
    EXHAUSTIVE,
    FOUND,
    INCOMPLETE,
    LONGEST,
    in_order,
    pairs_of,
)
from mmsim.run import Runner
from mmsim.scenarios.api import NEVER, Variant
from mmsim.scenarios.cast import with_cast
from mmsim.scenarios.small import SmallCast
from mmsim.stress.shrinking import Shrinking, limit
from mmsim.stress.source import Library, find_variant

LOAD_BEARING = "load-bearing"
NOT_HERE = "not-in-these-casts"
OPEN = "open"
NOT_RUN = "does-not-run"
NOT_REACHED = "not-reached"

OFF, ON = "off", "on"
OWN_CPUS = 2
SEARCH = Path("engine", "explore").parts

Tell = Callable[[str, int, float], None]
"""Hears of the cast, its executions, and the seconds so far; after each execution."""


class Cast(NamedTuple):
    """A small cast by name, or "" for the set-up of a user's own file; ``bound``: preemptions."""

    name: str
    cpus: int = OWN_CPUS
    bound: int | None = None

    def __str__(self) -> str:
        name = self.name or "own set-up"
        return name if self.bound is None else f"{name}, up to {self.bound} preemptions"


@dataclass(frozen=True)
class Limits:
    """When to stop: seconds of one core, and executions; of a place all its casts together."""

    seconds: float | None = None
    executions: int | None = None


@dataclass(frozen=True)
class Tried:
    """What a cast came to.  ``verdict`` is one of `mmsim.proofs.prove`, or does-not-run."""

    cast: str
    verdict: str
    executions: int
    seconds: float
    found: Found | None = None
    error: str = ""


@dataclass(frozen=True)
class Base:
    """A variant as it is with one cast, and the places that its executions come to."""

    cast: Cast
    tried: Tried
    met: frozenset[Place]

    @property
    def clean(self) -> bool:
        return self.tried.verdict in (EXHAUSTIVE, BOUNDED)


@dataclass(frozen=True)
class Hunk:
    """A place that is turned over in a variant, and the casts to do it with."""

    variant: str
    place: Place
    turned: str
    """off: left out of a variant that has the gate; on: put into one that has not."""
    file: str | None = None

    @property
    def id(self) -> str:
        return f"{self.variant} {'-' if self.turned == OFF else '+'}{self.place}"

    def gates(self, variant: Variant) -> Flipped:
        """What the variant is booted with."""
        return Flipped(variant.gates, self.place)


@dataclass(frozen=True)
class Standing:
    """What became of the casts of a variant when one place was turned over."""

    hunk: Hunk
    verdict: str
    tried: tuple[Tried, ...] = ()
    line: str = ""
    """Of the finding, made small; it replays with the place turned over."""
    preemptions: int = 0
    open: tuple[str, ...] = ()
    """Casts in which the variant itself is not settled, so that they say nothing."""

    @property
    def executions(self) -> int:
        return sum(tried.executions for tried in self.tried)

    @property
    def seconds(self) -> float:
        return sum(tried.seconds for tried in self.tried)

    @property
    def telling(self) -> Tried | None:
        """The cast with the finding, or else the one that does not run."""
        for verdict in (FOUND, NOT_RUN):
            for tried in self.tried:
                if tried.verdict == verdict:
                    return tried
        return None


def casts_of(variant: Variant, name: str = "") -> list[Cast]:
    """Who the variant is explored with: the plan of its proofs, or the one cast that is named.

    A user's file has no plan: all its small casts, or else its set-up on two CPUs.  Raises
    UsageError.
    """
    known = {n: c for n, c in variant.scenario.casts.items() if isinstance(c, SmallCast)}
    if name:
        if name not in known:
            has = ", ".join(known) or "none"
            raise UsageError(f"{variant.id}: no small cast {name!r}; its thread has {has}")
        return [Cast(name, known[name].cpus)]
    planned = [Cast(pair.cast, pair.small.cpus, pair.bound) for pair in pairs_of(variant)]
    return planned or [Cast(n, cast.cpus) for n, cast in known.items()] or [Cast("")]


def hunks_of(variant: Variant, file: str | None = None) -> list[Hunk]:
    """What can be turned over: hunks of its patches, and mutations of kernel code it is without.

    Of these the ones that some variant of its thread has, where memory is in order.
    """
    thread = variant.scenario.variants
    mutations = {gate for v in thread if in_order(v) for gate in v.gates if _mutation(gate)}
    hunks = []
    for place in places(file):
        if place.gate in variant.gates:
            hunks.append(Hunk(variant.id, place, OFF, file))
        elif place.gate in mutations and not place.file.startswith("scenarios/"):
            hunks.append(Hunk(variant.id, place, ON, file))
    return hunks


def _mutation(gate: str) -> bool:
    return GATES[gate].kind == "mutation"


def casts_for(hunk: Hunk, variant: Variant) -> list[Cast]:
    """Further casts for a mutation: those where the variants that have it are known to fail."""
    if hunk.turned == OFF or hunk.file is not None:
        return []
    own = {cast.name for cast in casts_of(variant)}
    others = (
        v
        for v in variant.scenario.variants
        if hunk.place.gate in v.gates and v.expect is not NEVER and pairs_of(v)
    )
    known = {cast.name: cast for v in others for cast in casts_of(v)}
    return [cast for name, cast in known.items() if name not in own]


def base(
    variant: Variant, cast: Cast, limits: Limits, file: str | None = None, tell: Tell | None = None
) -> Base:
    """Explore the variant as it is."""
    gates = Listening(variant.gates)
    tried = _explore(variant, cast, gates, limits, file, tell)
    return Base(cast, tried, frozenset(gates.met))


def settle(
    hunk: Hunk,
    bases: Iterable[Base],
    limits: Limits,
    further: Iterable[Cast] = (),
    tell: Tell | None = None,
) -> Standing:
    """Turn the place over in all casts that come to it, until one has a finding.

    ``bases`` are those of the variant's own casts.  One in which it is not clean says nothing, and
    leaves the place open.  Casts of others, ``further``, come after that; what is found in one
    counts if the variant as it is turns out to be clean there.  ``limits`` are for all casts
    together.  Raises InternalError if the place is not asked although the variant comes to it: what
    was explored would then be the variant as it is.
    """
    variant = find_variant(Library(hunk.file), hunk.variant)
    known = list(bases)
    open = tuple(str(b.cast) for b in known if not b.clean)
    there = [b for b in known if b.clean and hunk.place in b.met]
    own = [b.cast for b in sorted(there, key=lambda b: b.tried.executions)]
    tried: list[Tried] = []
    for cast in [*own, *further]:
        left = _left(limits, tried)
        if left is None:
            tried.append(Tried(str(cast), INCOMPLETE, 0, 0.0))
            break
        gates = hunk.gates(variant)
        outcome = _explore(variant, cast, gates, left, hunk.file, tell)
        if not gates.asked:
            if cast in own:
                raise InternalError(f"{hunk.id}: turned over, but never asked, in cast {cast}")
            continue
        telling = outcome.verdict in (FOUND, NOT_RUN)
        if telling and cast not in own and not _clean(variant, cast, limits, hunk.file, tell):
            continue
        tried.append(outcome)
        if outcome.found is not None:
            return _shrunk(hunk, variant, cast, outcome.found, tried, open)
    return Standing(hunk, _verdict(tried, bool(open)), tuple(tried), open=open)


def _clean(
    variant: Variant, cast: Cast, limits: Limits, file: str | None, tell: Tell | None
) -> bool:
    """Is it, with a cast that may not even fit it?"""
    try:
        return base(variant, cast, limits, file, tell).clean
    except (UsageError, InternalError):
        return False


def _shrunk(
    hunk: Hunk,
    variant: Variant,
    cast: Cast,
    found: Found,
    tried: Sequence[Tried],
    open: tuple[str, ...],
) -> Standing:
    """The finding made small; it is still one of the variant with the place turned over."""
    small = Shrinking(
        with_cast(variant, cast.name) if cast.name else variant,
        found.schedule,
        Library(hunk.file),
        boots=partial(Runner, gates=hunk.gates(variant)),
    )(limit())
    line, preemptions = small.sample.schedule, small.size.preemptions
    return Standing(hunk, LOAD_BEARING, tuple(tried), line, preemptions, open)


def _verdict(tried: Sequence[Tried], open: bool) -> str:
    verdicts = {each.verdict for each in tried}
    if open or INCOMPLETE in verdicts:
        return OPEN
    if NOT_RUN in verdicts:
        return NOT_RUN
    return NOT_HERE if verdicts else NOT_REACHED


def _left(limits: Limits, tried: Sequence[Tried]) -> Limits | None:
    """What is left of the limits; None: nothing."""
    seconds, executions = limits.seconds, limits.executions
    if seconds is not None:
        seconds -= sum(each.seconds for each in tried)
    if executions is not None:
        executions -= sum(each.executions for each in tried)
    if (seconds is not None and seconds <= 0) or (executions is not None and executions <= 0):
        return None
    return Limits(seconds, executions)


def _explore(
    variant: Variant,
    cast: Cast,
    gates: frozenset[str],
    limits: Limits,
    file: str | None,
    tell: Tell | None,
) -> Tried:
    """Until nothing is left, the first finding, an error, or a limit."""
    question = Question(variant.id, cast.name, cast.cpus, bound=cast.bound, file=file)
    begun = time.process_time()
    executions = 0
    found = None
    verdict, error = INCOMPLETE, ""
    try:
        with Explorer(question, gates) as explorer:
            search = explorer.search
            search.longest = LONGEST
            while search.more() and not explorer.findings:
                executions = search.executions
                spent = time.process_time() - begun
                if tell is not None:
                    tell(str(cast), executions, spent)
                if limits.seconds is not None and spent >= limits.seconds:
                    break
                if limits.executions is not None and executions >= limits.executions:
                    break
                explorer.step()
            executions = search.executions
            found = next(iter(explorer.findings.values()), None)
            if found is not None:
                verdict = FOUND
            elif not search.unfinished and not search.cut:
                verdict = EXHAUSTIVE if cast.bound is None else BOUNDED
    except Exception as raised:
        if not isinstance(gates, Flipped) or _ours(raised):
            raise
        verdict, error = NOT_RUN, one_line(raised).removeprefix(f"{variant.id}: ")
    seconds = round(time.process_time() - begun, 2)
    return Tried(str(cast), verdict, executions, seconds, found, error)


def _ours(error: BaseException) -> bool:
    """Did it come out of the search itself, and not out of half a patch?"""
    cause = error.__cause__ if isinstance(error, InternalError) else error
    if cause is None:
        return True
    frames = traceback.extract_tb(cause.__traceback__)
    return bool(frames) and Path(frames[-1].filename).parts[-3:-1] == SEARCH
