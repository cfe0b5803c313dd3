# SPDX-License-Identifier: GPL-2.0-only
"""How many signals make an interrupt, and when there is nothing left to interrupt."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from mmsim.stress import interrupts


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, which the tests set; and nothing heard yet."""
    now = [100.0]
    monkeypatch.setattr(interrupts, "_first", None)
    monkeypatch.setattr(interrupts, "_counted", False)
    monkeypatch.setattr("mmsim.stress.interrupts.time.monotonic", lambda: now[0])
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    interrupts.listen()
    yield now
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts(name: signal.Signals) -> None:
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


def test_output_that_is_being_written_is_finished(clock: list[float]) -> None:
    interrupts.everything_is_counted()
    signal.raise_signal(signal.SIGINT)
    clock[0] += 1.1
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_background_job_stays_deaf() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.listen()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
