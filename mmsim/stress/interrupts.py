# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C ends the campaign, not the output.

What was counted until then is worth its minutes, so the first interrupt only stops the counting.
An interrupt may come as several signals (`timeout` sends one to the process and one to its group,
a terminal reaches everybody in it), hence what follows within a moment is the same interrupt. One
that comes when everything is counted has nothing left to stop. Whoever presses again, later, means
it.

SIGTERM counts as Ctrl-C, so that `kill` and a batch system's time limit end a campaign as politely.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

ECHO_SECONDS = 1.0

_first: float | None = None
_counted = False


def listen() -> None:
    """Take the place of the handlers of SIGINT, unless it is ignored (a job in the background),
    and of SIGTERM.
    """
    for name in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(name) is not signal.SIG_IGN:
            signal.signal(name, _hear)


def everything_is_counted() -> None:
    """From now on there is only output to write."""
    global _counted
    _counted = True


def _hear(signum: int, frame: FrameType | None) -> None:
    global _first
    now = time.monotonic()
    if _first is None:
        _first = now
        if not _counted:
            raise KeyboardInterrupt
    elif now - _first > ECHO_SECONDS:
        raise KeyboardInterrupt
