# SPDX-License-Identifier: GPL-2.0-only
"""Is a silent worker stuck, or has it only not had its turn?

On a busy machine, and with `nice` in front of it, a worker may get less than a second of a core in
a minute, and needs about that to start. To end it for being silent loses a block for nothing. So
silence counts only where it is the worker's own: seconds of a core that it used up without a word,
or seconds in which none of its threads asked for a core.

Where there is no /proc, silence is silence.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
WANTS_A_CORE = frozenset("RD")
BUSY_SECONDS = 15.0
"""Seconds of a core without a word; a worker that loops in Python ends itself after ten."""
LIMIT = 10
"""So many times the silence that is allowed, and nobody asks any more why."""


class Pulse:
    """Of one process; ``silence`` seconds are allowed."""

    def __init__(
        self,
        pid: int | None,
        silence: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        proc: Path = Path("/proc"),
    ) -> None:
        self._silence = silence
        self._clock = clock
        self._proc = proc / str(pid)
        self.heard()

    def heard(self) -> None:
        """It said something."""
        self._heard = self._idle = self._clock()
        self._used: float | None = None

    def stopped(self) -> bool:
        """To be asked again and again for as long as nothing is heard."""
        now = self._clock()
        try:
            used, wants = self._look()
        except (OSError, ValueError, IndexError):
            return now - self._heard > self._silence
        if self._used is None:
            self._used = used
        if wants:
            self._idle = now
        if used - self._used > min(self._silence, BUSY_SECONDS):
            return True
        return max(now - self._idle, (now - self._heard) / LIMIT) > self._silence

    def _look(self) -> tuple[float, bool]:
        """Seconds of a core used so far; does any thread run, or wait for a core or a disk?"""
        ticks = _stat(self._proc)[11:13]
        states = {_stat(thread)[0] for thread in (self._proc / "task").iterdir()}
        return sum(map(int, ticks)) / TICKS, not states.isdisjoint(WANTS_A_CORE)


def _stat(path: Path) -> list[str]:
    """The fields from the state on; what stands before it may contain anything."""
    return (path / "stat").read_text(errors="replace").rpartition(")")[2].split()
