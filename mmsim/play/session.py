# SPDX-License-Identifier: GPL-2.0-only
"""A game: the moves so far, undo and redo, and the position they lead to.

An *action* is what a person asked for, a step or a run to somewhere, and is what undo takes back.
Every position comes from running all moves again on a machine that is booted anew, so a game can
be left, shared as a line and gone on with elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from mmsim.detect.finding import Finding
from mmsim.engine.schedule import BadSchedule, Diverged, Schedule, join
from mmsim.engine.seeds import run_seed
from mmsim.errors import StaleSchedule, UsageError
from mmsim.play.steering import Ask, Following, Paused, Standing, Steering
from mmsim.report.record import Recorder
from mmsim.report.story import Story
from mmsim.run import NO_FINDING, Runner, code_hash
from mmsim.scenarios.api import Variant

_STALE = "the schedule does not fit this variant, or the code has changed"


@dataclass(frozen=True)
class Position:
    """What a person sees.

    ``over``: the run has come to its end, with ``findings`` or without.  ``won``: the first finding
    is one that the variant declares, or any if it declares none.  ``line`` is the schedule so far.
    """

    story: Story
    standing: tuple[Standing, ...]
    preemptions: int
    over: bool
    findings: tuple[Finding, ...]
    won: bool
    line: str
    actions: int
    undone: int


class Session:
    """A game of one variant.  A context manager; one at a time in a process, and in one thread."""

    def __init__(self, variant: Variant, *, cpus: int, seed: int = 1) -> None:
        self.variant = variant
        self.runner = Runner(variant, cpus=cpus, seed=seed, engine="green")
        self.cpus = self.runner.cpus
        self.seed = run_seed(seed, variant.id, 0)
        self.actions: list[tuple[int, ...]] = []
        self.undone: list[tuple[int, ...]] = []
        self.position = self._play(None)

    @classmethod
    def of_line(cls, variant: Variant, line: str) -> Session:
        """A game whose moves are those of a recorded schedule, all of them still to be made.

        Raises UsageError if it is no schedule, StaleSchedule if it does not fit the code.
        """
        try:
            recorded = Schedule.parse(line)
        except BadSchedule as error:
            raise UsageError(str(error)) from error
        session = cls(variant, cpus=recorded.cpus)
        session.seed = recorded.seed
        session.offer(session.moves_of(recorded))
        session.position = session._play(None)
        return session

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the engine's stacks."""
        self.runner.close()

    # -- actions ----------------------------------------------------------------------------------

    def ask(self, ask: Ask) -> Position:
        """Somebody goes on.  Raises UsageError if it cannot; what was undone is forgotten."""
        if self.position.over:
            raise UsageError("the run is over: undo, or begin again")
        undone, self.undone = self.undone, []
        try:
            self.position = self._play(ask)
        except Diverged as error:
            self.undone = undone
            raise UsageError(str(error)) from error
        return self.position

    def undo(self, times: int = 1) -> Position:
        """Take back so many actions, or as many as there are."""
        for _ in range(min(times, len(self.actions))):
            self.undone.append(self.actions.pop())
        self.position = self._play(None)
        return self.position

    def redo(self, times: int = 1) -> Position:
        """Make them again."""
        for _ in range(min(times, len(self.undone))):
            self.actions.append(self.undone.pop())
        self.position = self._play(None)
        return self.position

    def offer(self, moves: Sequence[int]) -> None:
        """Begin again; ``moves``, one action each, are there to be redone."""
        self.actions.clear()
        self.undone = [(move,) for move in reversed(moves)]

    def show(self, line: str) -> Position:
        """Give up: begin again with the moves of a recorded run to be redone."""
        self.offer(self.moves_of(Schedule.parse(line)))
        self.position = self._play(None)
        return self.position

    # -- the engine -------------------------------------------------------------------------------

    def moves_of(self, recorded: Schedule) -> tuple[int, ...]:
        """The moves of a schedule.  Raises StaleSchedule if it cannot be followed."""
        follow = Following(recorded.segments)
        found = ""
        try:
            result = self.runner.run_with(follow, recorded.seed)
            found = result.findings[0].fingerprint if result.findings else ""
        except Paused:
            pass
        except Diverged as error:
            raise StaleSchedule(f"{_STALE}: {error}") from error
        if not follow.finished and not found:
            raise StaleSchedule(f"{_STALE}: the run ends before it")
        if (found or NO_FINDING) != recorded.fingerprint:
            raise StaleSchedule(f"{_STALE}: it comes to something else")
        return tuple(follow.done)

    def _play(self, ask: Ask | None) -> Position:
        moves = [move for action in self.actions for move in action]
        recorder = Recorder()
        stories: list[Story] = []

        def look() -> None:
            recorder.look()
            stories.append(recorder.story())

        steering = Steering(moves, ask, look)
        findings: tuple[Finding, ...] = ()
        over = True
        try:
            result = self.runner.run_with(steering, self.seed, instruments=[recorder])
            findings = result.findings
            stories = [recorder.story(findings)]
        except Paused:
            over = False
        if ask is not None and len(steering.done) > len(moves):
            self.actions.append(tuple(steering.done[len(moves) :]))
        elif self.actions and len(steering.done) > len(moves):  # what nobody decided
            self.actions[-1] = (*self.actions[-1], *steering.done[len(moves) :])
        return Position(
            stories[0],
            steering.standing,
            steering.preemptions,
            over,
            findings,
            bool(findings) and self.wins(findings[0]),
            self._line(steering, findings),
            len(self.actions),
            len(self.undone),
        )

    def _line(self, steering: Steering, findings: Sequence[Finding]) -> str:
        segments = join(zip(steering.done, steering.effects, strict=True))
        fingerprint = findings[0].fingerprint if findings else NO_FINDING
        code = code_hash(self.variant.scenario.file)
        return str(Schedule(self.cpus, self.seed, segments, fingerprint, code))

    def wins(self, finding: Finding) -> bool:
        """Is it what the variant declares?"""
        declared = self.variant.findings
        return not declared or any(re.search(pattern, finding.title) for pattern in declared)


def goal_of(variant: Variant) -> str:
    """What has to happen, in words."""
    if not variant.findings:
        return "make this kernel fail, which nobody is known to have done"
    names = list(dict.fromkeys(_in_words(pattern) for pattern in variant.findings))
    shown = " or ".join(names[:3]) + (" or another of its findings" if len(names) > 3 else "")
    return f"make the kernel fail with: {shown}"


def _in_words(pattern: str) -> str:
    """A declared finding without what only a regular expression needs."""
    optional = re.sub(r"(?<!\\)\((\w+)\)\?", "", pattern)
    return re.sub(r"\\(.)", r"\1", optional).strip("^$")
