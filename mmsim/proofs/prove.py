# SPDX-License-Identifier: GPL-2.0-only
"""Explore a variant with one of its small casts, to the end or to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mmsim.engine.context import TASK, Context
from mmsim.engine.door import door
from mmsim.engine.explore import Bounded, Dpor, NotQuiet, Search, Stopped
from mmsim.engine.instruments import Instrument
from mmsim.engine.memory.orders import SC
from mmsim.engine.policy import Geometric
from mmsim.engine.seeds import run_seed, stream
from mmsim.errors import UsageError
from mmsim.proofs.code import program_hash
from mmsim.proofs.plan import PLAN
from mmsim.run import Runner, RunResult
from mmsim.scenarios.api import Scenario, Variant
from mmsim.scenarios.cast import with_cast
from mmsim.scenarios.small import SmallCast

SEED = 1
LONGEST = 4_000  # effects of an execution; longer ones are of lists that go round in circles
LEARN = 90  # executions at random, to learn which words are shared
EXHAUSTIVE = "never-exhaustive"
BOUNDED = "never-bounded"
FOUND = "found"
INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class Pair:
    """A variant, and a cast that it is explored with, perhaps up to ``bound`` preemptions."""

    variant: Variant
    cast: str
    bound: int | None = None

    @property
    def small(self) -> SmallCast:
        """The cast.  Raises UsageError if the scenario has none of that name."""
        casts = self.variant.scenario.casts
        small = casts.get(self.cast)
        if not isinstance(small, SmallCast):
            known = ", ".join(casts) or "none"
            raise UsageError(
                f"{self.variant.id}: no small cast {self.cast!r}; its thread has {known}"
            )
        return small

    @property
    def key(self) -> tuple[str, str, int | None]:
        """What tells it from others."""
        return self.variant.id, self.cast, self.bound


def in_order(variant: Variant) -> bool:
    """Does memory keep the order of the program?  The search knows no other."""
    return variant.memory in ("", SC)


def pairs_of(variant: Variant) -> list[Pair]:
    """All the casts that the variant is to be explored with, the first one first."""
    pairs = []
    for entry in PLAN.get(variant.id, ()):
        cast, _, bound = entry.partition("/")
        pairs.append(Pair(variant, cast, int(bound) if bound else None))
    return pairs


def pairs(scenarios: Iterable[Scenario]) -> Iterator[Pair]:
    """Every pair of these scenarios: all that is to be proved, and all that is to be found."""
    for scenario in scenarios:
        for variant in scenario.variants:
            yield from pairs_of(variant)


@dataclass
class Proof:
    """What the exploration of a pair came to."""

    variant: str
    cast: str
    bound: int | None
    verdict: str
    executions: int
    blocked: int
    seconds: float
    """Of one core."""
    first: int | None
    """Executions up to the first finding."""
    tasks: list[str]
    interrupts: list[str]
    cpus: int
    limits: str
    code: str
    """Hash of the program that was explored (``code``)."""
    draws: bool = False
    """The set-up drew random numbers: what is said holds for this draw alone."""
    findings: list[dict[str, str]] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, int | None]:
        return self.variant, self.cast, self.bound


class _Draws(Instrument):
    def __init__(self) -> None:
        self.drawn = False

    def before(self, ctx: Context, step: int, op: Any, obj: Any, args: tuple[Any, ...]) -> None:
        self.drawn = self.drawn or door.machine.drew


def prove(
    pair: Pair,
    *,
    seconds: float | None = None,
    executions: int | None = None,
    first: bool = False,
    told: Callable[[Search, float], None] | None = None,
) -> Proof:
    """Explore until nothing is left, or a limit is reached: CPU seconds, or executions.

    ``first``: stop at the first finding.  ``told(search, seconds)`` hears of the progress after
    each execution.
    """
    small = pair.small
    variant = with_cast(pair.variant, pair.cast)
    search: Search = _search(pair.bound)
    begun = time.process_time()
    seed = run_seed(SEED, variant.id, 0)
    findings: dict[str, dict[str, str]] = {}
    found_at = None
    spent = 0.0
    draws = _Draws()
    with Runner(variant, cpus=small.cpus, seed=SEED, engine="green", memory=SC) as runner:
        for n in range(LEARN):
            walk = Geometric(stream(n, "learn"), (0.5, 0.1, 0.02)[n % 3])
            runner.run_with(walk, seed, instruments=[search.learner(), draws])
        search.words.settle()
        restarts = search.restarts
        while search.more():
            result = _next(search, runner, seed)
            if search.restarts != restarts:  # nothing counts so far, nor what this one came to
                restarts, found_at, result = search.restarts, None, None
                findings.clear()
            for finding in result.findings[:1] if result is not None else ():
                found_at = found_at or search.executions
                findings.setdefault(
                    finding.title,
                    {
                        "title": finding.title,
                        "fingerprint": finding.fingerprint,
                        "line": result.schedule,  # type: ignore[union-attr]
                    },
                )
            spent = time.process_time() - begun
            if told is not None:
                told(search, spent)
            if findings and first:
                break
            if executions is not None and search.executions >= executions:
                break
            if seconds is not None and spent >= seconds:
                break
        complete = not search.more() and not search.cut
    return Proof(
        variant=pair.variant.id,
        cast=pair.cast,
        bound=pair.bound,
        verdict=_verdict(bool(findings), complete, pair.bound),
        executions=search.executions,
        blocked=search.blocked,
        seconds=round(spent, 1),
        first=found_at,
        tasks=[c.comm for c in search.cast() if c.kind is TASK],
        interrupts=[f"{c.comm} on CPU{c.cpu.id}" for c in search.cast() if c.kind is not TASK],
        cpus=pair.variant.effective_cpus(small.cpus),
        limits=small.limits,
        code=program_hash(pair.variant.scenario.file),
        draws=draws.drawn,
        findings=list(findings.values()),
    )


def _search(bound: int | None) -> Search:
    return Dpor(longest=LONGEST) if bound is None else Bounded(bound, longest=LONGEST)


def _next(search: Search, runner: Runner, seed: int) -> RunResult | None:
    try:
        result = runner.run_with(search, seed)
    except (Stopped, NotQuiet):
        search.done()
        return None
    search.done()
    return result


def _verdict(found: bool, complete: bool, bound: int | None) -> str:
    if found:
        return FOUND
    if not complete:
        return INCOMPLETE
    return EXHAUSTIVE if bound is None else BOUNDED
