# SPDX-License-Identifier: GPL-2.0-only
"""A failing run of few preemptions: what a player is compared with, and shown when giving up.

Random runs look for one, and shrinking makes it short.  Fewer preemptions may do: "fewest known" is
what it says.  Both are bounded by runs as well as by time, so that on a machine that is not too
slow the answer is always the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from mmsim.engine import policy as policies
from mmsim.engine.explore.shrink import Attempt, Turning, Turns, shrink
from mmsim.engine.schedule import Schedule
from mmsim.engine.seeds import stream
from mmsim.play.session import Session
from mmsim.run import NO_FINDING

SEARCH_RUNS, SEARCH_SECONDS = 1_500, 4.0
SHRINK_RUNS, SHRINK_SECONDS = 600, 3.0
MOST_STEPS = 4_000  # a livelock is nobody's goal to play to


@dataclass(frozen=True)
class Known:
    """``line`` replays to a finding that wins, with so many preemptions."""

    line: str
    preemptions: int
    title: str


def find(session: Session, *, seconds: float = SEARCH_SECONDS) -> Known | None:
    """A run of the session's machine that wins; None if none was found.

    The game is not touched.
    """
    runner, seed = session.runner, session.seed
    begun = time.monotonic()
    for n in range(SEARCH_RUNS):
        if time.monotonic() - begun > seconds:
            return None
        policy = policies.make("mix", stream(n, "play"), 200)
        result = runner.run_with(policy, seed)
        if result.findings and session.wins(result.findings[0]) and result.steps < MOST_STEPS:
            return _short(session, result.schedule)
    return None


def _short(session: Session, line: str) -> Known | None:
    runner, seed = session.runner, session.seed
    runs, begun, titles = 0, time.monotonic(), {}

    def attempt(turns: Turns) -> Attempt:
        nonlocal runs
        runs += 1
        policy = Turning(turns)
        result = runner.run_with(policy, seed)
        if not result.findings:
            return Attempt(NO_FINDING, 0, 0, (), "")
        found = result.findings[0]
        titles[found.fingerprint] = found.title
        return Attempt(
            found.fingerprint,
            policy.preemptions,
            result.steps,
            Schedule.parse(result.schedule).segments,
            result.schedule,
        )

    first = attempt(Schedule.parse(line).segments)
    if first.fingerprint != Schedule.parse(line).fingerprint:
        return None
    best = shrink(
        first,
        attempt,
        lambda: runs >= SHRINK_RUNS or time.monotonic() - begun > SHRINK_SECONDS,
    )
    return Known(best.line, best.preemptions, titles[best.fingerprint])
