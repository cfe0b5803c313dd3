# SPDX-License-Identifier: GPL-2.0-only
"""A failing run of few preemptions: what a player is compared with, and shown when giving up.

Random runs look for one, and shrinking makes it short.  Fewer preemptions may do: "fewest known" is
what it says.  Both are bounded by runs as well as by time, so that on a machine that is not too
slow the answer is always the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mmsim.engine import policy as policies
from mmsim.engine.explore import Dpor, NotQuiet, Stopped
from mmsim.engine.explore.shrink import Attempt, Turning, Turns, shrink
from mmsim.engine.schedule import Schedule
from mmsim.engine.seeds import stream
from mmsim.play.session import Session
from mmsim.run import NO_FINDING

SEARCH_RUNS, SEARCH_SECONDS = 1_500, 4.0
SHRINK_RUNS, SHRINK_SECONDS = 600, 3.0
LEARN = 24  # runs by which the search learns which words are shared
TELL = 1.0  # seconds
MOST_STEPS = 4_000  # a livelock is nobody's goal to play to


@dataclass(frozen=True)
class Known:
    """``line`` replays to a finding that wins, with so many preemptions."""

    line: str
    preemptions: int
    title: str


def find(
    session: Session,
    *,
    seconds: float = SEARCH_SECONDS,
    tell: Callable[[str], None] = lambda text: None,
) -> Known | None:
    """A run of the session's machine that wins; None if none was found.

    The game is not touched.  ``tell`` is told what takes so long, if it does.
    """
    runner, seed = session.runner, session.seed
    begun = time.monotonic()
    told = False
    for n in range(SEARCH_RUNS):
        now = time.monotonic() - begun
        if now > seconds:
            return None
        if now > TELL and not told:
            told = True
            tell(f"{session.variant.id}, {session.cpus} CPUs: looking for a run that fails")
        policy = policies.make("mix", stream(n, "play"), 200)
        result = runner.run_with(policy, seed)
        if result.findings and session.wins(result.findings[0]) and result.steps < MOST_STEPS:
            if now > TELL:
                tell("found one; making it short")
            return _short(session, result.schedule)
    return None


def search(session: Session, tell: Callable[[str], None] = lambda text: None) -> Known | None:
    """The same by going through the orders one after the other, for what chance rarely meets."""
    runner, seed = session.runner, session.seed
    begun = time.monotonic()
    orders = Dpor()
    for n in range(LEARN):
        walk = policies.Geometric(stream(n, "learn"), (0.5, 0.1, 0.02)[n % 3])
        runner.run_with(walk, seed, instruments=[orders.learner()])
    orders.words.settle()
    told = False
    while orders.more() and time.monotonic() - begun < SEARCH_SECONDS:
        if time.monotonic() - begun > TELL and not told:
            told = True
            tell(f"{session.variant.id}, {session.cpus} CPUs: going through the orders")
        try:
            result = runner.run_with(orders, seed)
        except (Stopped, NotQuiet):
            continue
        finally:
            orders.done()
        if result.findings and session.wins(result.findings[0]):
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
        lambda turns, _: attempt(turns),
        lambda: runs >= SHRINK_RUNS or time.monotonic() - begun > SHRINK_SECONDS,
    )
    return Known(best.line, best.preemptions, titles[best.fingerprint])
