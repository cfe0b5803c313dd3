# SPDX-License-Identifier: GPL-2.0-only
"""mmsim under pytest: run variants inside a test, deterministic, and replay what a test found.

    def test_the_fix_closes_the_race(mmsim_run):
        mmsim_run("002.flawed", runs=2000, stop_after=1).check()
        assert not mmsim_run("002.pagelocked", runs=500).findings

    def test_in_this_order(mmsim_order):
        steps = run("a", until=before("test_and_clear lru")), run("b"), run("a")
        assert not mmsim_order("900.fixed", *steps, file="my_race.py").findings

A test that fails, whatever it has asserted, shows the kernel's report and the schedule that led to
it, and `pytest --mmsim-replay "002.flawed mm1:..."` runs the tests of that variant on exactly this
schedule and on no other.

The plugin is loaded into every pytest session of an environment that has mmsim, so it imports
nothing heavy until a test asks for something.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from mmsim.errors import UsageError, one_line

if TYPE_CHECKING:
    from mmsim.detect.finding import Finding
    from mmsim.run import RunResult
    from mmsim.scenarios.api import Step, Variant
    from mmsim.stress.tally import Sample, Tally

DEFAULT_CPUS = 8
DEFAULT_RUNS = 100
DEFAULT_SEED = 1
MOST_REPORTS = 3
"""Shown when a test fails that has said nothing itself."""


@dataclass(frozen=True)
class Results:
    """What some runs of one variant came to."""

    tally: Tally
    seed: int
    file: str | None = None

    def __repr__(self) -> str:
        from mmsim.stress.verdict import runs, times

        return f"<{self.variant.id}: {runs(self.runs)}, failed {times(self.findings)}>"

    @property
    def variant(self) -> Variant:
        return self.tally.variant

    @property
    def runs(self) -> int:
        return self.tally.runs

    @property
    def findings(self) -> int:
        """How many of the runs had a finding."""
        return self.tally.findings

    @property
    def first_run(self) -> int | None:
        """Runs until the first finding, that run included."""
        return self.tally.first_run

    @property
    def fingerprints(self) -> frozenset[str]:
        """Of the first finding of each failing run."""
        return frozenset(self.tally.kinds)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """One finding of each fingerprint, with the schedule that shows it."""
        return tuple(kind.sample for kind in self.tally.kinds.values())

    def mean(self, metric: str) -> float:
        """A metric's mean over the runs; a run that does not mention it has counted nothing."""
        moments = self.tally.metrics.get(metric)
        return 0.0 if moments is None else moments.mean

    def check(self) -> Results:
        """Fail the test unless these runs came out as the variant declares."""
        from mmsim.stress.verdict import judge

        judgement = judge(self.tally)
        if not judgement.ok:
            reasons = [f"{self.variant.id}: {reason}" for reason in judgement.reasons]
            raise AssertionError("\n".join([*reasons, *self.evidence()]))
        return self

    def evidence(self) -> Iterator[str]:
        """A report of each kind of finding, and how to see it again."""
        for kind in self.tally.kinds.values():
            sample = kind.sample
            yield _evidence(
                self.variant,
                sample.finding,
                sample.schedule,
                self.file,
                count=kind.count,
                runs=self.runs,
                run={"seed": self.seed},
            )


@dataclass(frozen=True)
class Ordered:
    """What one run in an order by hand came to."""

    variant: Variant
    result: RunResult
    file: str | None = None

    def __repr__(self) -> str:
        return f"<{self.variant.id} in this order: {self.title or 'no finding'}>"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Its findings."""
        return self.result.findings

    @property
    def title(self) -> str:
        """Of the first finding; empty if there is none."""
        return self.findings[0].title if self.findings else ""

    @property
    def metrics(self) -> Mapping[str, float]:
        """What was counted."""
        return self.result.metrics

    @property
    def schedule(self) -> str:
        """The line that replays it; empty without a finding."""
        return self.result.schedule

    def evidence(self) -> Iterator[str]:
        """The report of the first finding, and how to see it again."""
        if self.findings:
            yield _evidence(
                self.variant,
                self.findings[0],
                self.schedule,
                self.file,
                run={"policy": "sequencer"},
            )


def _evidence(
    variant: Variant, finding: Finding, schedule: str, file: str | None, **more: Any
) -> str:
    from mmsim import report
    from mmsim.stress.store import reproduce

    command = reproduce(variant.id, schedule, file)
    text = report.render(finding, variant=variant, reproduce=command, **more)
    return f'{text}\npytest --mmsim-replay "{variant.id} {schedule}"'


_OUTCOMES = pytest.StashKey[list["Results | Ordered"]]()
"""What the fixtures have handed to a test."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A test has failed: what mmsim found in it belongs to its report.

    An assertion about a number cannot say so itself, and pytest cuts what it shows of an object.
    """
    outcome: Any = yield
    shown = outcome.get_result()
    if call.when != "call" or not shown.failed:
        return
    said = "" if call.excinfo is None else str(call.excinfo.value)
    outcomes = item.stash.get(_OUTCOMES, None) or []
    every = [text for one in reversed(outcomes) for text in one.evidence()]
    texts = [text for text in every if text.splitlines()[-1] not in said]
    for text in texts[:MOST_REPORTS]:
        shown.sections.append(("mmsim", text))
    if len(texts) > MOST_REPORTS:
        rest = f"{len(texts) - MOST_REPORTS} more findings of other kinds or variants"
        shown.sections.append(("mmsim", rest))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mmsim", "races of mmsim")
    group.addoption(
        "--mmsim-seed",
        type=_seed,
        default=DEFAULT_SEED,
        metavar="N",
        help=f"seed of every mmsim_run (default {DEFAULT_SEED})",
    )
    group.addoption(
        "--mmsim-replay",
        type=_replay,
        default=None,
        metavar='"VARIANT SCHEDULE"',
        help="run mmsim_run of that variant on this one schedule; skip tests of other variants",
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _replay(text: str) -> tuple[str, str]:
    words = text.split()
    if len(words) != 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a variant and a schedule with a blank between them"
        )
    return words[0], words[1]


def pytest_report_header(config: pytest.Config) -> str:
    from mmsim.stress.store import environment

    return f"{environment()}, seed {config.getoption('--mmsim-seed')}"


@pytest.fixture(scope="session")
def mmsim_seed(pytestconfig: pytest.Config) -> int:
    """The seed that was given with --mmsim-seed."""
    seed: int = pytestconfig.getoption("--mmsim-seed")
    return seed


@pytest.fixture
def mmsim_run(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, mmsim_seed: int
) -> Callable[..., Results]:
    """Run one variant a number of times in this process; see `run_variant` for the arguments."""
    replay: tuple[str, str] | None = pytestconfig.getoption("--mmsim-replay")

    def run(
        variant_id: str,
        *,
        runs: int = DEFAULT_RUNS,
        cpus: int = DEFAULT_CPUS,
        stop_after: int | None = None,
        seed: int = mmsim_seed,
        engine: str = "threads",
        policy: str = "mix",
        file: str | None = None,
    ) -> Results:
        try:
            if replay is not None:
                results = _replayed(variant_id, replay, seed, file)
            else:
                results = run_variant(
                    variant_id,
                    runs=runs,
                    cpus=cpus,
                    stop_after=stop_after,
                    seed=seed,
                    engine=engine,
                    policy=policy,
                    file=file,
                )
        except UsageError as error:
            wrong: Exception = error  # and fail outside: what it follows from is not worth a page
        else:
            request.node.stash.setdefault(_OUTCOMES, []).append(results)
            return results
        pytest.fail(f"mmsim: {one_line(wrong)}", pytrace=False)

    return run


@pytest.fixture
def mmsim_order(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, mmsim_seed: int
) -> Callable[..., Ordered]:
    """Run one variant once, in an order by hand; see `run_in_order` for the arguments.

    A step that cannot be followed fails the test.
    """
    replay: tuple[str, str] | None = pytestconfig.getoption("--mmsim-replay")

    def run(
        variant_id: str,
        *steps: Step,
        cpus: int = DEFAULT_CPUS,
        seed: int = mmsim_seed,
        engine: str = "threads",
        file: str | None = None,
    ) -> Ordered:
        from mmsim.scenarios.api import NeverThere

        try:
            if replay is not None:
                ordered = _replayed_once(variant_id, replay, file)
            else:
                ordered = run_in_order(
                    variant_id, *steps, cpus=cpus, seed=seed, engine=engine, file=file
                )
        except (UsageError, NeverThere) as error:
            wrong: Exception = error
        else:
            request.node.stash.setdefault(_OUTCOMES, []).append(ordered)
            return ordered
        pytest.fail(f"mmsim: {one_line(wrong)}", pytrace=False)

    return run


def run_in_order(
    variant_id: str,
    *steps: Step,
    cpus: int = DEFAULT_CPUS,
    seed: int = DEFAULT_SEED,
    engine: str = "threads",
    file: str | None = None,
) -> Ordered:
    """One run of a variant that follows `steps`, and then lets all take turns.

    `seed` is that of the set-up. Raises NeverThere for a step that cannot be followed, and
    UsageError for what does not exist.
    """
    from mmsim.run import TOKENS, Runner
    from mmsim.scenarios.api import Sequencer
    from mmsim.stress import endless
    from mmsim.stress.source import Library, find_variant

    if engine not in TOKENS:
        raise UsageError(f"an order by hand runs on {' or '.join(TOKENS)}, not on {engine!r}")
    variant = find_variant(Library(file), variant_id)
    with endless.watched(file), Runner(variant, cpus=cpus, seed=seed, engine=engine) as runner:
        return Ordered(variant, runner.run_with(Sequencer(*steps), seed), file)


def run_variant(
    variant_id: str,
    *,
    runs: int = DEFAULT_RUNS,
    cpus: int = DEFAULT_CPUS,
    stop_after: int | None = None,
    seed: int = DEFAULT_SEED,
    engine: str = "threads",
    policy: str = "mix",
    file: str | None = None,
) -> Results:
    """Runs 0 .. `runs` - 1 of a variant, in this process; ends early after `stop_after` findings.

    `file` is a scenario file of one's own. Raises UsageError for what does not exist.
    """
    from mmsim.stress import endless
    from mmsim.stress.source import Library, find_variant
    from mmsim.stress.tally import Block, Tally
    from mmsim.stress.worker import Setting, run_block

    source = Library(file)
    setting = Setting(source, cpus=cpus, seed=seed, engine=engine, policy=policy)
    tally = Tally(find_variant(source, variant_id), stop_after)
    block = Block(variant_id, 0, 0, runs, stop_after)
    with endless.watched(file):
        tally.take(run_block(setting, block, lambda beat: None))
    return Results(tally, seed, file)


def _replayed_once(variant_id: str, replay: tuple[str, str], file: str | None) -> Ordered:
    """The one run of --mmsim-replay."""
    from mmsim.cli import explain
    from mmsim.stress.source import Library, find_variant

    wanted, schedule = replay
    if variant_id != wanted:
        pytest.skip(f"--mmsim-replay is for {wanted}")
    variant = find_variant(Library(file), variant_id)
    return Ordered(variant, explain.replay(variant, schedule).result, file)


def _replayed(variant_id: str, replay: tuple[str, str], seed: int, file: str | None) -> Results:
    """The same, as results of runs."""
    from mmsim.stress.tally import Block, BlockResult, Failure, Sample, Tally

    once = _replayed_once(variant_id, replay, file)
    failures, samples = [], {}
    if once.findings:
        first = once.findings[0]
        failures.append(Failure(0, 0.0, first.fingerprint))
        samples[first.fingerprint] = Sample(first, replay[1])
    tally = Tally(once.variant)
    block = Block(variant_id, 0, 0, 1)
    tally.take(BlockResult(block, 1, 0.0, tuple(failures), samples, (dict(once.metrics),)))
    return Results(tally, seed, file)
