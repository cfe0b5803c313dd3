# SPDX-License-Identifier: GPL-2.0-only
"""Code that never comes to a point, in a scenario file or in mmsim: found, named and ended.

The engine ends a run that goes on for ever, but it decides at points only. A loop that touches
nothing shared, in an actor, in setup or at the top of a file, is not seen by it. So a thread looks
twice a second whether the engine has moved; when ten seconds of this process's own CPU time have
brought no point, it notes where the file is and raises an exception there. CPU time and not the
clock, because a busy machine is no loop.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from mmsim.engine.door import door
from mmsim.errors import InternalError, UsageError

CPU_SECONDS = 10.0
LOOK_SECONDS = 0.5
ATTEMPTS = 8
"""Code that catches everything may catch this as well; then the process ends."""

_watching = threading.local()


class Endless(BaseException):
    """Raised in the thread that is watched. Not an Exception, so that little catches it."""


@contextlib.contextmanager
def watched(file: str | None, alive: Callable[[], None] | None = None) -> Iterator[None]:
    """Watch what the calling thread has done for it inside; ``alive()`` is called while it moves.

    Raises UsageError if it is a scenario ``file`` that loops, InternalError if it is mmsim. Inside
    another `watched` it does nothing.
    """
    if getattr(_watching, "now", False):
        yield
        return
    _watching.now = True
    watch = _Watch(file, alive)
    try:
        yield
        watch.end()
    except BaseException as error:
        watch.end()
        if watch.complaint is None:
            raise
        raise watch.complaint from error
    finally:
        _watching.now = False
    if watch.complaint is not None:
        raise watch.complaint


class _Watch:
    def __init__(self, file: str | None, alive: Callable[[], None] | None) -> None:
        self.complaint: Exception | None = None
        self._file = None if file is None else Path(file).resolve()
        self._shown = file
        self._alive = alive
        self._over = threading.Event()
        self._watched = threading.get_ident()
        self._thread = threading.Thread(target=self._look, name="mmsim-watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop watching; an exception that is still under way arrives in here."""
        while self._thread.is_alive():
            with contextlib.suppress(Endless):
                self._over.set()
                self._thread.join()
        if self.complaint is not None:
            with contextlib.suppress(Endless):
                for _ in range(1000):
                    pass

    def _look(self) -> None:
        seen, since, attempts = _position(), time.process_time(), 0
        while not self._over.wait(LOOK_SECONDS):
            now, used = _position(), time.process_time()
            if now != seen:
                seen, since = now, used
                if self._alive is not None:
                    self._alive()
            elif used - since > CPU_SECONDS:
                if self.complaint is None:
                    self.complaint = self._complain()
                attempts += 1
                if attempts > ATTEMPTS:
                    print(f"mmsim: {self.complaint}", file=sys.stderr, flush=True)
                    os._exit(2)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._watched), ctypes.py_object(Endless)
                )

    def _complain(self) -> Exception:
        what = f"no point was passed in {CPU_SECONDS:g} s of CPU time; it seems to loop"
        for frame in self._frames():
            if self._file is not None and Path(frame.f_code.co_filename).resolve() == self._file:
                where = f"line {frame.f_lineno}, in {frame.f_code.co_name}"
                return UsageError(f"scenario file {self._shown}, {where}: {what}")
        return InternalError(what)

    def _frames(self) -> Iterator[FrameType]:
        for frame in sys._current_frames().values():
            inner: FrameType | None = frame
            while inner is not None:
                yield inner
                inner = inner.f_back


def _position() -> tuple[int, float, int]:
    """What changes when a point is passed (under either carrier), or another run begins."""
    machine = door.machine
    stamps = () if machine is None else [context.stamp for context in list(machine.contexts)]
    return id(machine), door.left, sum(stamps)
