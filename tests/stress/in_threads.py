# SPDX-License-Identifier: GPL-2.0-only
"""Workers that are threads, for tests of what the main process does: a process takes a second.

For fake variants, or for one worker: simulated machines are one at a time in a process.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from typing import Any

import pytest


class ThreadProcess(threading.Thread):
    """A worker that is a thread; it ends when its pipe closes."""

    pid = None
    exitcode = None

    def __init__(self, args: tuple[Any, ...], **kwargs: Any) -> None:
        pipe, setting, _ = args
        own = Connection(os.dup(pipe.fileno()))  # a process would get a descriptor of its own
        super().__init__(args=(own, setting, None), **kwargs)  # and a core

    def kill(self) -> None:
        pass


class ThreadContext:
    """What the pool asks of multiprocessing."""

    Process = ThreadProcess

    def __init__(self, method: str) -> None:
        self.Pipe = multiprocessing.Pipe


def use_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on workers are threads."""
    monkeypatch.setattr(multiprocessing, "get_context", ThreadContext)
