# SPDX-License-Identifier: GPL-2.0-only
"""A worker is stuck if the silence is its own doing, and not if the machine is busy."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mmsim.stress.pulse import BUSY_SECONDS, LIMIT, TICKS, Pulse

PID = 4711


class Machine:
    """A clock and a /proc, both of which say what they are told."""

    def __init__(self, root: Path) -> None:
        self.now = 1000.0
        self.root = root
        self.pulse = Pulse(PID, 60.0, clock=lambda: self.now, proc=root)

    def after(self, seconds: float, *states: str, used: float = 0.0) -> bool:
        """Is it taken for stuck if it looks like this then?"""
        self.now += seconds
        task = self.root / str(PID) / "task"
        for i, state in enumerate(states):
            (task / str(i)).mkdir(parents=True, exist_ok=True)
            for path in (task / str(i), self.root / str(PID)):
                ticks = f"{int(used * TICKS)} 0"
                stat = f"{PID} (a (worker) x) {state} 1 1 1 0 -1 4194560 0 0 0 0 {ticks} 0 0 20 0"
                (path / "stat").write_text(stat)
        return self.pulse.stopped()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_one_that_asks_for_a_core_and_gets_none_is_not_stuck(machine: Machine) -> None:
    assert not any(machine.after(1, "S", "R", "S", used=0.01 * i) for i in range(300))


def test_one_whose_threads_all_sleep_is(machine: Machine) -> None:
    assert not machine.after(1, "R", "S")
    assert not any(machine.after(1, "S", "S") for _ in range(60))
    assert machine.after(1, "S", "S")


def test_one_that_uses_a_core_without_a_word_is(machine: Machine) -> None:
    assert not any(machine.after(1, "R", used=i) for i in range(int(BUSY_SECONDS) + 1))
    assert machine.after(1, "R", used=BUSY_SECONDS + 1)


def test_a_word_makes_up_for_all_of_it(machine: Machine) -> None:
    for used in (0, 59, 59.5):
        assert not machine.after(59, "S", used=used)
        machine.pulse.heard()
    assert not machine.after(60, "R", used=118)


def test_nobody_waits_for_ever(machine: Machine) -> None:
    assert not machine.after(60 * LIMIT, "R")
    assert machine.after(1, "R")


def test_without_a_proc_silence_is_silence(machine: Machine) -> None:
    assert not machine.after(60)
    assert machine.after(1)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_it_reads_what_this_system_says() -> None:
    clock = [0.0]
    pulse = Pulse(os.getpid(), 60.0, clock=lambda: clock[0])
    assert not pulse.stopped()
    clock[0] = 61.0
    assert not pulse.stopped()  # this very thread runs
    used, wants = pulse._look()
    assert used > 0
    assert wants
    assert threading.active_count() <= len(list(Path("/proc/self/task").iterdir()))
