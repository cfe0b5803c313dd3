# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C ends the campaign, not the output.

What was counted until then is worth its minutes, so the first interrupt only stops the counting.
An exception that comes out of nowhere, between any two bytecodes, cannot do that: it may hit a
tally with half a block counted, or the code that ends the workers. While a campaign runs (inside
`gathered`), a signal is therefore only noted, the main loop is woken, and it asks `heard` where
everything is in order. Elsewhere the first signal raises KeyboardInterrupt, as usual.

An interrupt may come as several signals (`timeout` sends one to the process and one to its group,
a terminal reaches everybody in it), hence what follows within a moment is the same interrupt. One
that comes after the campaign has nothing left to stop, unless another campaign follows: that ends
as it begins. Whoever presses again, later, means it, and gets a KeyboardInterrupt at once.

SIGTERM and SIGHUP count as Ctrl-C, so that `kill`, a batch system's time limit and a connection
that breaks end a campaign as politely.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

ECHO_SECONDS = 1.0
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

_first: float | None = None
_listening = False  # the program's own handlers are in place
_noting = False  # there is something to lose: the first signal raises nothing
_alarm: int | None = None  # where a byte wakes the main loop, inside `gathered`


def listen() -> None:
    """For a program's first lines: take the place of the handlers, but for signals that are
    ignored (Ctrl-C in a job in the background, SIGHUP under `nohup`).
    """
    global _listening
    _listening = True
    _hook()


def _hook() -> dict[signal.Signals, Any]:
    before = {name: signal.getsignal(name) for name in SIGNALS}
    for name, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(name, _hear)
    return before


def goodbye() -> None:
    """Everything is written: a signal cannot make a failure of it any more."""
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)


def heard() -> bool:
    """Has there been an interrupt?"""
    return _first is not None


@contextlib.contextmanager
def gathered() -> Iterator[int]:
    """Inside, an interrupt raises nothing: ask `heard`. Yields a descriptor that becomes readable
    when one comes.

    A program that listens stays interrupted, and goes on noting: what was counted has still to be
    written. For anybody else the interrupt ends with the block.
    """
    global _first, _noting, _alarm
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    outer, _alarm, _noting = _alarm, writable, True
    before: dict[signal.Signals, Any] = {}
    try:
        with contextlib.suppress(ValueError):  # another thread than the main one hears no signals
            before = _hook()
        if heard():
            _ring()
        yield readable
    finally:
        _alarm = outer
        if not _listening:
            for name, handler in before.items():
                signal.signal(name, handler)
            _first, _noting = None, False
        os.close(readable)
        os.close(writable)


def _ring() -> None:
    if _alarm is not None:
        with contextlib.suppress(OSError):  # full: it rings already
            os.write(_alarm, b"!")


def _hear(signum: int, frame: FrameType | None) -> None:
    global _first
    now = time.monotonic()
    if _first is None:
        _first = now
        if not _noting:
            raise KeyboardInterrupt
        _ring()
    elif now - _first > ECHO_SECONDS:
        raise KeyboardInterrupt
