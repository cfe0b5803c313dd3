# SPDX-License-Identifier: GPL-2.0-only
"""One writer at a time.

SQLite itself would let two campaigns write in turns. But two that resume the same one would do the
same work twice, and whoever started the second has made a mistake that a word can spare. The lock
is the operating system's and ends with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

from mmsim.errors import UsageError

fcntl: Any
try:
    import fcntl
except ImportError:  # no POSIX: SQLite's own locks are what there is
    fcntl = None


class Lock:
    """Held from the constructor to `release`. Raises UsageError if somebody else holds it."""

    def __init__(self, store: Path) -> None:
        self._path = store.with_name(store.name + ".lock")
        self._file: int | None = None
        if fcntl is None:
            return
        while self._file is None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(file, 200).decode(errors="replace").strip()
                os.close(file)
                raise UsageError(
                    f"store {store} is being written to by {holder or 'another process'}"
                ) from None
            if self._is_there(file):
                self._file = file
            else:  # whoever held it has taken the file away between our two calls
                os.close(file)
        os.ftruncate(self._file, 0)
        with contextlib.suppress(OSError):  # a full disk: the name is for people only
            os.write(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def _is_there(self, file: int) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(file))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None
