# SPDX-License-Identifier: GPL-2.0-only
"""mmsim under pytest: run variants inside a test, deterministic, and replay what a test found.

    def test_the_fix_closes_the_race(mmsim_run):
        mmsim_run("002.flawed", runs=2000, stop_after=1).check()
        mmsim_run("002.pagelocked", runs=500).check()

A check that fails prints the kernel's report and the schedule that led to it, and
`pytest --mmsim-replay "002.flawed mm1:..."` runs the tests of that variant on exactly this schedule
and on no other.

The plugin is loaded into every pytest session of an environment that has mmsim, so it imports
nothing heavy until a test asks for something.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from mmsim.errors import UsageError, one_line

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant
    from mmsim.stress.tally import Sample, Tally

DEFAULT_CPUS = 8
DEFAULT_RUNS = 100
DEFAULT_SEED = 1


@dataclass(frozen=True)
class Results:
    """What some runs of one variant came to."""

    tally: Tally
    seed: int
    file: str | None = None

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
            raise AssertionError("\n".join([*reasons, *self._evidence()]))
        return self

    def _evidence(self) -> Iterator[str]:
        from mmsim import report
        from mmsim.stress.store import reproduce

        for kind in self.tally.kinds.values():
            sample = kind.sample
            yield report.render(
                sample.finding,
                variant=self.variant,
                reproduce=reproduce(self.variant.id, sample.schedule, self.file),
                count=kind.count,
                runs=self.runs,
                run={"seed": self.seed},
            )
            yield f'pytest --mmsim-replay "{self.variant.id} {sample.schedule}"'


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
def mmsim_run(pytestconfig: pytest.Config, mmsim_seed: int) -> Callable[..., Results]:
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
                return _replayed(variant_id, replay, seed, file)
            return run_variant(
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
            pytest.fail(f"mmsim: {one_line(error)}", pytrace=False)

    return run


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


def _replayed(variant_id: str, replay: tuple[str, str], seed: int, file: str | None) -> Results:
    """The one run of --mmsim-replay, as results."""
    from mmsim.cli import explain
    from mmsim.stress.source import Library, find_variant
    from mmsim.stress.tally import Block, BlockResult, Failure, Sample, Tally

    wanted, schedule = replay
    if variant_id != wanted:
        pytest.skip(f"--mmsim-replay is for {wanted}")
    variant = find_variant(Library(file), variant_id)
    result = explain.replay(variant, schedule).result
    failures, samples = [], {}
    if result.findings:
        first = result.findings[0]
        failures.append(Failure(0, 0.0, first.fingerprint))
        samples[first.fingerprint] = Sample(first, schedule)
    tally = Tally(variant)
    block = Block(variant_id, 0, 0, 1)
    tally.take(BlockResult(block, 1, 0.0, tuple(failures), samples, (dict(result.metrics),)))
    return Results(tally, seed, file)
