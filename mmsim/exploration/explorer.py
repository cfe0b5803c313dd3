# SPDX-License-Identifier: GPL-2.0-only
"""One process that explores: it boots a variant again and again and lets a search choose."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple

from mmsim.engine.context import TASK, Context
from mmsim.engine.door import door
from mmsim.engine.explore import (
    Bounded,
    Dpor,
    Frame,
    Knowledge,
    NotQuiet,
    Request,
    Search,
    Stopped,
)
from mmsim.engine.instruments import Instrument
from mmsim.engine.memory.orders import SC
from mmsim.engine.policy import Geometric
from mmsim.engine.seeds import run_seed, stream
from mmsim.errors import UsageError
from mmsim.run import Runner, code_hash
from mmsim.scenarios.api import Variant
from mmsim.scenarios.cast import with_cast
from mmsim.stress.source import Library, find_variant

LEARN = 90  # executions at random, to learn which words are shared


@dataclass(frozen=True)
class Question:
    """What is to be explored.  Another process can make the same of it.

    ``cast`` is a name, or "" for the variant's own; ``seed`` decides what the set-up draws.
    """

    variant: str
    cast: str = ""
    cpus: int = 2
    seed: int = 1
    bound: int | None = None
    file: str | None = None
    races: bool = False
    """Keep account of the races that were reversed."""

    def find(self) -> Variant:
        """The variant with its cast.  Raises UsageError, or what the user's file raises."""
        variant = find_variant(Library(self.file), self.variant)
        return with_cast(variant, self.cast) if self.cast else variant


class Found(NamedTuple):
    """A kind of finding, and the first execution, counted from 1, that came to it."""

    title: str
    fingerprint: str
    schedule: str
    nth: int


@dataclass
class Part:
    """What exploring a part of the tree has come to.

    ``rest`` is where the search stands; it is empty if nothing is left.  ``again``: a word was not
    quiet, so that everything has to begin anew with this knowledge.
    """

    executions: int = 0
    blocked: int = 0
    cut: int = 0
    findings: list[Found] = field(default_factory=list)
    rest: list[Frame] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    again: Knowledge | None = None
    reversed: dict[tuple[str, str], int] = field(default_factory=dict)


class Cast(NamedTuple):
    """Who takes part, as the outcome names them."""

    tasks: list[str]
    interrupts: list[str]
    lines: list[str]
    """Names of the interrupts alone."""

    @classmethod
    def of(cls, contexts: list[Context]) -> Cast:
        return cls(
            [f"{c.comm} (CPU{c.cpu.id})" for c in contexts if c.kind is TASK],
            [f"{c.comm} ({c.kind} on CPU{c.cpu.id})" for c in contexts if c.kind is not TASK],
            [c.comm for c in contexts if c.kind is not TASK],
        )


class _Look(Instrument):
    """Remembers who takes part, and whether the set-up drew random numbers."""

    def __init__(self) -> None:
        self.drew = False
        self.contexts: list[Context] = []

    def before(self, ctx: Context, step: int, op: Any, obj: Any, args: tuple[Any, ...]) -> None:
        self.drew = self.drew or door.machine.drew
        self.contexts = door.machine.contexts


class Explorer:
    """A context manager.  Entering it runs the variant at random, to learn its words.

    ``gates``, if given, are booted in place of the variant's own.
    """

    def __init__(self, question: Question, gates: frozenset[str] | None = None) -> None:
        self.question = question
        self.variant = question.find()
        self.search: Search = Dpor() if question.bound is None else Bounded(question.bound)
        self.search.telling = question.races
        self.draws = False
        if self.variant.memory not in ("", SC):
            raise UsageError(
                f"{self.variant.id} runs under memory {self.variant.memory}: what is explored is "
                "in order; `python -m mmsim litmus` knows all executions of a few lines"
            )
        self._seed = run_seed(question.seed, self.variant.id, 0)
        self._runner = Runner(
            self.variant,
            cpus=question.cpus,
            seed=question.seed,
            engine="green",
            gates=gates,
            memory=SC,
        )
        self.findings: dict[str, Found] = {}

    def __enter__(self) -> Explorer:
        try:
            look = _Look()
            search = self.search
            for n in range(LEARN):
                walk = Geometric(stream(n, "learn"), (0.5, 0.1, 0.02)[n % 3])
                self._runner.run_with(walk, self._seed, instruments=[search.learner(), look])
            self.draws = look.drew
            self.cast = Cast.of(look.contexts)
            search.words.settle()
        except BaseException:
            self._runner.close()
            raise
        # Executions leave circles behind, which the collector looks for thousands of times.  It
        # need not look through all of the program as well.
        gc.collect()
        gc.freeze()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        gc.unfreeze()
        self._runner.close()

    @property
    def code(self) -> str:
        """Hash of the code that decides how the variant runs."""
        return code_hash(self.variant.scenario.file)

    def load(self, frames: list[Frame], floor: int, knowledge: Knowledge) -> None:
        """Go on where ``frames`` stand: see :meth:`Search.load`."""
        if not self.search.knowledge.covers(knowledge):
            self.search.learn(knowledge)
        self.search.load(frames, floor)
        self.findings.clear()

    def step(self) -> None:
        """One execution.  There has to be ``search.more()``."""
        search = self.search
        restarts = search.restarts
        try:
            result = self._runner.run_with(search, self._seed)
        except (Stopped, NotQuiet):
            search.done()
        else:
            search.done()
            if search.restarts == restarts:
                for found in result.findings[:1]:
                    if found.title not in self.findings:
                        self.findings[found.title] = Found(
                            found.title, found.fingerprint, result.schedule, search.executions
                        )
        if search.restarts != restarts:
            self.findings.clear()

    def part(self, floor: int, enough: Callable[[], bool]) -> Part:
        """Explore what was loaded until nothing is left, or it is ``enough``."""
        search = self.search
        restarts = search.restarts
        while search.more():
            self.step()
            if search.restarts != restarts:
                return Part(again=search.knowledge)
            if enough():
                break
        return self.so_far(floor)

    def so_far(self, floor: int) -> Part:
        """What was explored since something was loaded.  Also after an execution broken off."""
        search = self.search
        return Part(
            search.executions,
            search.blocked,
            search.cut,
            list(self.findings.values()),
            search.frames()[floor:] if search.unfinished else [],
            list(search.requests),
            reversed=dict(search.reversed),
        )
