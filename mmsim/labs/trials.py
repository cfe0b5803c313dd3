# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel is put through: lines of old findings, random runs, every order of a small cast.

All run with the token on greenlets, so that the same seeds give the same runs on every machine.
Limits in seconds are of computing, which a busy machine does not use up.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from scipy.stats import beta, fisher_exact

from mmsim.detect.finding import Finding
from mmsim.engine.explore import Bounded, Dpor, NotQuiet, Search, Stopped
from mmsim.engine.explore.shrink import Attempt, Turning, Turns, shrink
from mmsim.engine.policy import Geometric
from mmsim.engine.schedule import BadSchedule, Schedule
from mmsim.engine.seeds import run_seed, stream
from mmsim.errors import UsageError
from mmsim.run import NO_FINDING, Runner, RunResult
from mmsim.scenarios.api import Variant
from mmsim.scenarios.cast import with_cast
from mmsim.scenarios.registry import find_variant

LEARN = 40  # executions at random, to learn which words are shared


def variant(name: str, cast: str = "") -> Variant:
    """By id, perhaps with another cast."""
    found = find_variant(name)
    return with_cast(found, cast) if cast else found


@dataclass(frozen=True)
class Outcome:
    """``finding`` is the first, None if there was none; ``line`` replays it."""

    runs: int
    failed: int
    finding: Finding | None = None
    line: str = ""
    complete: bool = True
    metrics: tuple[tuple[str, float], ...] = ()

    @property
    def clean(self) -> bool:
        return self.finding is None

    def metric(self, name: str) -> float:
        """A metric's sum over the runs."""
        return dict(self.metrics).get(name, 0.0)

    def told(self, number: int, which: Variant, code: str) -> str:
        """What was found in a student's kernel, and how he sees it again, on two lines."""
        if self.finding is None:
            return f"no finding in {self.runs} runs"
        replay = f"python -m mmsim replay lab{number}.{which.cast} {self.line} --file {code}"
        return f"{self.finding.title}\n{replay}"


def at_random(which: Variant, *, cpus: int, seed: int, runs: int, first: bool = False) -> Outcome:
    """So many random runs; with ``first`` no more after the first finding.

    An error of the simulated code itself (a name that is not there, a deep recursion) is raised as
    InternalError.
    """
    failed = 0
    finding: Finding | None = None
    line = ""
    metrics: dict[str, float] = {}
    done = 0
    with Runner(which, cpus=cpus, seed=seed, engine="green") as runner:
        for index in range(runs):
            result = runner.run(index)
            done += 1
            for name, value in result.metrics.items():
                metrics[name] = metrics.get(name, 0.0) + value
            if result.findings:
                failed += 1
                if finding is None:
                    finding, line = result.findings[0], result.schedule
                if first:
                    break
    return Outcome(done, failed, finding, line, True, tuple(metrics.items()))


def every_order(
    which: Variant,
    *,
    cpus: int = 2,
    bound: int | None = None,
    seconds: float = 20.0,
    limit: int = 50_000,
    title: str = "",
    seed: int = 1,
) -> Outcome:
    """Every order of events of a small cast, up to the first finding whose title matches.

    ``complete`` is false if a limit came first: then nothing is said of what was not run.
    """
    search: Search = Dpor() if bound is None else Bounded(bound)
    begun = time.process_time()
    set_up = run_seed(seed, which.id, 0)
    with Runner(which, cpus=cpus, seed=seed, engine="green") as runner:
        for n in range(LEARN):
            walk = Geometric(stream(n, "learn"), (0.5, 0.1, 0.02)[n % 3])
            runner.run_with(walk, set_up, instruments=[search.learner()])
        search.words.settle()
        while search.more():
            try:
                result = runner.run_with(search, set_up)
            except (Stopped, NotQuiet):
                search.done()
                continue
            search.done()
            for found in result.findings[:1]:
                if re.search(title, found.title):
                    return Outcome(search.executions, 1, found, result.schedule, False)
            if search.executions >= limit or time.process_time() - begun > seconds:
                return Outcome(search.executions, 0, complete=not search.more())
    return Outcome(search.executions, 0, complete=not search.cut)


def follow(which: Variant, lines: Iterable[str]) -> Outcome:
    """Follow lines that were recorded on another kernel, as far as they can be followed."""
    n = 0
    for line in lines:
        recorded = Schedule.parse(line)
        with Runner(which, cpus=recorded.cpus, seed=0, engine="green") as runner:
            result = runner.run_with(Turning(recorded.segments), recorded.seed)
            n += 1
            if result.findings:
                return Outcome(n, 1, result.findings[0], result.schedule)
    return Outcome(n, 0)


@dataclass(frozen=True)
class Replayed:
    """A line that was replayed: what it came to, and how many preemptions it has."""

    result: RunResult
    preemptions: int
    cpus: int

    @property
    def title(self) -> str:
        return self.result.findings[0].title if self.result.findings else ""


def replayed(which: Variant, line: str) -> Replayed:
    """Replay a line.  Raises UsageError, with what is wrong with it."""
    word = line_in(line)
    try:
        recorded = Schedule.parse(word)
    except BadSchedule as error:
        raise UsageError(str(error)) from error
    with Runner(which, cpus=recorded.cpus, seed=0, engine="green") as runner:
        result = runner.replay(word)
        if not result.findings:
            raise UsageError("the line ends without a finding")
        policy = Turning(recorded.segments)
        runner.run_with(policy, recorded.seed)
    return Replayed(result, policy.preemptions, recorded.cpus)


def line_in(text: str) -> str:
    """The schedule in what was pasted, which may be a whole command."""
    for word in text.split():
        if re.match(r"mm\d+:", word):
            return word
    raise UsageError("there is no line in it: a line is a word that begins with mm1:")


def shrunk(which: Variant, line: str, seconds: float = 10.0) -> str:
    """The same finding with as few preemptions as can be found."""
    recorded = Schedule.parse(line)
    begun = time.process_time()
    with Runner(which, cpus=recorded.cpus, seed=0, engine="green") as runner:

        def attempt(turns: Turns) -> Attempt:
            policy = Turning(turns)
            result = runner.run_with(policy, recorded.seed)
            if not result.findings:
                return Attempt(NO_FINDING, 0, 0, (), "")
            return Attempt(
                result.findings[0].fingerprint,
                policy.preemptions,
                result.steps,
                Schedule.parse(result.schedule).segments,
                result.schedule,
            )

        best = attempt(recorded.segments)
        while True:
            tried = [attempt(turns) for turns in _joined(best.turns)]
            same = [one for one in tried if one.fingerprint == best.fingerprint]
            better = min(same, key=lambda one: one.preemptions, default=best)
            if better.preemptions >= best.preemptions:
                break
            best = better
        best = shrink(
            best, lambda turns, _: attempt(turns), lambda: time.process_time() - begun > seconds
        )
    return best.line


def _joined(turns: Turns) -> Iterator[Turns]:
    """A turn moved to the next, or back to the one before, of the same context."""
    for i, (id, n) in enumerate(turns):
        for j in range(i + 1, len(turns)):
            if turns[j][0] == id:
                both = (id, n + turns[j][1])
                yield (*turns[:i], *turns[i + 1 : j], both, *turns[j + 1 :])
                yield (*turns[:i], both, *turns[i + 1 : j], *turns[j + 1 :])
                break


@lru_cache(maxsize=32)
def smallest(name: str, cast: str, title: str, most: int = 3) -> tuple[int, str]:
    """The fewest preemptions with which a finding of that title can be had, and such a line.

    Every schedule with fewer was tried.  (most + 1, "") if there is none with at most ``most``.
    """
    which = variant(name, cast)
    for bound in range(most + 1):
        found = every_order(which, bound=bound, title=title)
        if not found.clean:
            return bound, shrunk(which, found.line)
    return most + 1, ""


def interval(failed: int, runs: int, level: float = 0.99) -> tuple[float, float]:
    """Clopper and Pearson's, for a fixed number of runs."""
    tail = (1 - level) / 2
    low = 0.0 if failed == 0 else float(beta.ppf(tail, failed, runs - failed + 1))
    high = 1.0 if failed == runs else float(beta.ppf(1 - tail, failed + 1, runs - failed))
    return low, high


def differ(one: tuple[int, int], other: tuple[int, int], level: float = 0.001) -> bool:
    """Do two (failed, runs) come from different rates?  Fisher's exact test."""
    table = [[one[0], one[1] - one[0]], [other[0], other[1] - other[0]]]
    return float(fisher_exact(table)[1]) < level
