# SPDX-License-Identifier: GPL-2.0-only
"""What is known of one variant so far.

Results arrive in blocks, from whichever worker was free, and are counted here in the order of
the runs and not in the order of arrival. When enough findings are in, counting stops at exactly
the run that brought the last one, and whatever later blocks hold is thrown away: so the numbers
are the same with one worker and with sixty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mmsim.engine.policy.portfolio import Portfolio
from mmsim.stress.statistics import Interval, Moments, exact, inverse

if TYPE_CHECKING:
    from mmsim.detect.finding import Finding
    from mmsim.scenarios.api import Variant


@dataclass(frozen=True)
class Block:
    """A stretch of runs of one variant: the unit of work, and of loss."""

    variant: str
    number: int
    first: int
    count: int
    enough: int | None = None
    """Findings after which the rest of the block is not worth running."""
    portfolio: Portfolio | None = None
    """What the policy of each run is drawn from, if the campaign has several."""

    def __str__(self) -> str:
        return f"{self.variant} runs {self.first}..{self.first + self.count - 1}"


@dataclass(frozen=True)
class Failure:
    """One failing run."""

    offset: int
    """The run's place in its block."""
    seconds: float
    """From the start of the block to the end of this run."""
    fingerprint: str
    """Of the first finding: the others may be its consequences."""
    extra: tuple[str, ...] = ()
    """Titles of the further findings of the run."""


@dataclass(frozen=True)
class Sample:
    """The first failing run of its kind, whole."""

    finding: Finding
    schedule: str


@dataclass(frozen=True)
class Measure:
    """How large a run is to somebody who has to understand it."""

    preemptions: int
    """Switches away from a context that could have gone on; an interrupt that comes in is one."""
    turns: int
    points: int
    """Effects up to the finding: each has its point before it."""
    old_values: int | None = None
    """Loads that did not take the newest value; None where all do."""

    def __str__(self) -> str:
        said = f"{self.preemptions} preemption{'s' * (self.preemptions != 1)}"
        said += f" in {self.points:,} points"
        if self.old_values is None:
            return said
        return f"{self.old_values} old value{'s' * (self.old_values != 1)}, {said}"


@dataclass(frozen=True)
class Shrunk:
    """The same kind of finding from a run that is as small as could be had."""

    sample: Sample
    size: Measure
    before: Measure
    complete: bool
    """Nothing was left to try; else the limit came first."""

    def __str__(self) -> str:
        found = f"found with {self.before}" if self.size != self.before else "as it was found"
        return f"{self.size}; {found}" + ("" if self.complete else "; the limit came first")


@dataclass(frozen=True)
class BlockResult:
    """What a worker hands back for a block. Everything in it is a value."""

    block: Block
    runs: int
    seconds: float
    failures: tuple[Failure, ...] = ()
    samples: Mapping[str, Sample] = field(default_factory=dict)
    metrics: tuple[Mapping[str, float], ...] = ()
    """One mapping a run, in the order of the runs."""
    policies: tuple[str, ...] = ()
    """Who decided in each run; `mix` and `portfolio` draw one of the others."""
    worker: str = ""
    """`host/pid`, or where in a cluster it was computed."""
    tries: int = 1
    note: str = ""
    """Why it was not computed at the first try."""

    @property
    def covers(self) -> int:
        """Runs for which nothing is left to do: all of the block, if it has enough findings."""
        enough = self.block.enough is not None and len(self.failures) >= self.block.enough
        return self.block.count if enough else self.runs

    def upto(self, runs: int) -> BlockResult:
        """The same, had the block ended after so many runs."""
        return self if runs >= self.runs else self.part(0, runs)

    def part(self, start: int, count: int) -> BlockResult:
        """The same, had the block begun ``start`` runs later and ended ``count`` runs after that.

        Its samples have to be those of the variant: that of a kind may stand before the part.
        """
        runs = max(0, min(self.runs - start, count))
        each = self.seconds / self.runs if self.runs else 0.0
        failures = tuple(
            replace(f, offset=f.offset - start, seconds=max(0.0, f.seconds - start * each))
            for f in self.failures
            if start <= f.offset < start + runs
        )
        count = min(count, self.covers - start)
        return replace(
            self,
            block=replace(
                self.block,
                first=self.block.first + start,
                count=count,
                enough=len(failures) if runs < count else None,
            ),
            runs=runs,
            seconds=each * runs,
            failures=failures,
            metrics=self.metrics[start : start + runs],
            policies=self.policies[start : start + runs],
        )


@dataclass
class Kind:
    """All findings of one fingerprint."""

    sample: Sample
    count: int = 0
    shrunk: Shrunk | None = None
    unshrunk: str = ""
    """Why it has no smaller line, if that was tried."""

    @property
    def shown(self) -> Sample:
        """The run to look at: the smallest known."""
        return self.sample if self.shrunk is None else self.shrunk.sample


@dataclass
class Tally:
    """The count of one variant."""

    variant: Variant
    stop_after: int | None = None
    runs: int = 0
    findings: int = 0
    learning: bool = False
    """The shares of its policies still change: nothing stops, these runs are no rate."""
    learnt_runs: int = 0
    """Runs, of all, that were spent on learning."""
    learnt_findings: int = 0
    first_run: int | None = None
    """Runs until the first finding, that run included."""
    first_seconds: float | None = None
    """Seconds of one core until then."""
    seconds: float = 0.0
    kinds: dict[str, Kind] = field(default_factory=dict)
    extra: Counter[str] = field(default_factory=Counter)
    metrics: dict[str, Moments] = field(default_factory=dict)
    """A run that does not mention a metric has counted nothing: it is 0 there."""
    policies: dict[str, list[int]] = field(default_factory=dict)
    """Findings and runs by the policy that decided."""
    proved: str = ""
    """What an exhaustive search has shown of the variant, in words; empty: nothing."""

    @property
    def enough(self) -> bool:
        return self.missing is not None and self.missing <= 0

    @property
    def rate(self) -> Interval:
        """Findings a run, with the interval that belongs to the rule by which counting stopped.

        Of the runs with fixed shares of policies; of all, as long as there are no such runs.
        """
        findings, runs = self.findings - self.learnt_findings, self.runs - self.learnt_runs
        if runs == 0:
            return exact(self.findings, self.runs)
        if self.enough and findings:
            return inverse(findings, runs)
        return exact(findings, runs)

    @property
    def missing(self) -> int | None:
        """Findings still wanted."""
        if self.stop_after is None or self.learning:
            return None
        return self.stop_after - (self.findings - self.learnt_findings)

    def has_learnt(self) -> None:
        """From now on runs count for the rate."""
        self.learning = False
        self.learnt_runs, self.learnt_findings = self.runs, self.findings

    def take(self, result: BlockResult) -> None:
        """Count the next block; stop inside it if enough findings are in."""
        missing = self.missing
        if missing == 0:
            return
        runs, seconds = result.runs, result.seconds
        failures = result.failures[:missing]
        for failure in failures:
            if self.first_run is None:
                self.first_run = self.runs + failure.offset + 1
                self.first_seconds = self.seconds + failure.seconds
            self._count(failure, result.samples[failure.fingerprint])
        if missing is not None and len(failures) == missing:
            runs, seconds = failures[-1].offset + 1, failures[-1].seconds
        for offset, row in enumerate(result.metrics[:runs]):
            for name in row.keys() - self.metrics.keys():
                self.metrics[name] = Moments(n=self.runs + offset)
            for name, moments in self.metrics.items():
                moments.add(row.get(name, 0.0))
        failing = {failure.offset for failure in failures}
        for offset, name in enumerate(result.policies[:runs]):
            count = self.policies.setdefault(name, [0, 0])
            count[0] += offset in failing
            count[1] += 1
        self.runs += runs
        self.seconds += seconds

    def _count(self, failure: Failure, sample: Sample) -> None:
        self.findings += 1
        self.kinds.setdefault(failure.fingerprint, Kind(sample)).count += 1
        self.extra.update(failure.extra)
