# SPDX-License-Identifier: GPL-2.0-only
"""How many signals make an interrupt, and that one ends a campaign wherever it comes.

The campaigns here have workers that are threads: what is asked is what the main process does, at
each line of it, and a process takes a second to start.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import mmsim.stress
from mmsim.stress import cli, interrupts
from mmsim.stress.profile import Budget
from mmsim.stress.settings import Settings
from mmsim.stress.tally import Tally
from tests.stress.fake import FakeVariant, Verdict, draw, source
from tests.stress.in_threads import ThreadContext, ThreadProcess, use_threads

STRESS = str(Path(mmsim.stress.__file__).parent)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing heard yet, and the handlers afterwards as they were."""
    for name in ("_first", "_alarm"):
        monkeypatch.setattr(interrupts, name, None)
    for name in ("_noting", "_listening"):
        monkeypatch.setattr(interrupts, name, False)
    before = {name: signal.getsignal(name) for name in interrupts.SIGNALS}
    for name in interrupts.SIGNALS:  # nohup(1) starts us deaf to one of them
        signal.signal(name, signal.default_int_handler)
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the tests set; the handlers are in place."""
    now = [100.0]
    monkeypatch.setattr("mmsim.stress.interrupts.time.monotonic", lambda: now[0])
    interrupts.listen()
    return now


@pytest.mark.parametrize("name", interrupts.SIGNALS)
def test_the_first_signal_interrupts(name: signal.Signals, clock: list[float]) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(name)


def test_what_follows_at_once_is_the_same_interrupt(clock: list[float]) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    clock[0] += 0.9
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)


def test_somebody_who_presses_again_means_it(clock: list[float]) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    clock[0] += 1.1
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_in_a_campaign_it_is_noted_and_rings(clock: list[float]) -> None:
    with interrupts.gathered() as alarm:
        assert not interrupts.heard()
        signal.raise_signal(signal.SIGHUP)
        assert interrupts.heard()
        assert select.select([alarm], [], [], 0)[0]
        clock[0] += 1.1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_output_that_is_being_written_is_finished(clock: list[float]) -> None:
    with interrupts.gathered():
        pass
    signal.raise_signal(signal.SIGINT)
    clock[0] += 1.1
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_campaign_after_an_interrupt_ends_as_it_begins(clock: list[float]) -> None:
    with interrupts.gathered():
        signal.raise_signal(signal.SIGINT)
    with interrupts.gathered() as alarm:
        assert interrupts.heard()
        assert select.select([alarm], [], [], 0)[0]


def test_when_all_is_written_nothing_makes_a_failure_of_it(clock: list[float]) -> None:
    interrupts.goodbye()
    for name in interrupts.SIGNALS:
        signal.raise_signal(name)


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGHUP])
def test_a_background_job_stays_deaf(name: signal.Signals) -> None:
    signal.signal(name, signal.SIG_IGN)
    interrupts.listen()
    assert signal.getsignal(name) is signal.SIG_IGN


# -- at every line ------------------------------------------------------------------------------


SEED = 3
VARIANTS = (
    FakeVariant("900.quiet", Verdict.NEVER),
    FakeVariant("900.noisy", Verdict.SOMETIMES, chance=0.2, metrics={"draw": "< 0.6"}),
)
RUNS, ENOUGH = 96, 6


class Silent:
    """An observer with nothing to say."""

    def __init__(self) -> None:
        self.left = False

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        self.left = True

    def progress(self, *_: object) -> None: ...
    def variant_done(self, *_: object) -> None: ...
    def trouble(self, *_: object) -> None: ...


def campaign() -> tuple[cli.Outcome, Silent]:
    """Two variants, one of which stops early; the main process is this thread."""
    settings = Settings(
        variants=tuple((v, Budget(RUNS, ENOUGH)) for v in VARIANTS),  # type: ignore[misc]
        cpus=2,
        seed=SEED,
        engine="threads",
        policy="mix",
        jobs=2,
        seconds=None,
        profile="default",
        file=None,
    )
    watcher = Silent()
    return cli.run(settings, source(*VARIANTS), watcher), watcher  # type: ignore[arg-type]


def check(tally: Tally) -> None:
    """What it says of its runs is what these runs come to: nothing half counted."""
    variant: Any = tally.variant
    failing = [i for i in range(tally.runs) if draw(SEED, variant.id, i) < variant.chance]
    assert tally.findings == len(failing)
    assert tally.first_run == (failing[0] + 1 if failing else None)
    assert sum(kind.count for kind in tally.kinds.values()) == len(failing)
    if tally.runs:
        assert tally.metrics["draw"].n == tally.runs


Line = tuple[str, int]


def traced(at: Callable[[Line], None]) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that calls ``at`` for each line of mmsim.stress in this thread."""

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(STRESS):
            return None
        if event == "line":
            at((frame.f_code.co_filename, frame.f_lineno))
        return trace

    return trace


def under(trace: Callable[[FrameType, str, Any], Any]) -> tuple[cli.Outcome, Silent]:
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return campaign()
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("which", ["first", "last"])
def test_an_interrupt_at_any_line_ends_the_campaign_with_what_there_is(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_threads(monkeypatch)
    lines: Counter[Line] = Counter()
    whole, _ = under(traced(lambda line: lines.update([line])))
    assert whole.complete
    passed = {(Path(file).name, line) for file, line in lines}
    assert {file for file, _ in passed} >= {"cli.py", "pool.py", "plan.py", "tally.py"}
    complete = 0
    if which == "last":  # of what is passed twice at most, the first case has asked
        lines = Counter({line: times for line, times in lines.items() if times > 2})
    for wanted, times in lines.items():
        where = f"{Path(wanted[0]).name}:{wanted[1]}"
        left = 1 if which == "first" else times - 1
        begun = False

        def interrupt(line: Line) -> None:
            nonlocal left, begun
            begun = begun or line[0].endswith(("plan.py", "pool.py"))
            if line == wanted:  # noqa: B023 (it is called in this turn of the loop only)
                left -= 1
                if left == 0:
                    signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(interrupts, "_first", None)
        monkeypatch.setattr(interrupts, "_noting", False)
        interrupts.listen()
        try:
            outcome, watcher = under(traced(interrupt))
        except KeyboardInterrupt:
            assert not begun, where
            continue
        assert watcher.left, where
        for tally in outcome.campaign.tallies:
            check(tally)
        if outcome.complete:  # everything was counted when it came, or that line was not passed
            complete += 1
            assert [t.runs for t in outcome.campaign.tallies] == [
                t.runs for t in whole.campaign.tallies
            ], where
        else:
            assert outcome.campaign.lost == ["interrupted; what was counted until then follows"]
    assert len(lines) > 50
    assert complete < len(lines) / 2
    assert not [t for t in threading.enumerate() if isinstance(t, ThreadProcess) and t.is_alive()]


def test_an_interrupt_while_workers_start_is_not_swallowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = []

    class Interrupted(ThreadProcess):
        def start(self) -> None:
            super().start()
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ThreadContext, "Process", Interrupted)
    use_threads(monkeypatch)
    outcome, _ = campaign()
    assert not outcome.complete
    assert len(started) == 1, "it went on starting workers"
