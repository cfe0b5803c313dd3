# SPDX-License-Identifier: GPL-2.0-only
"""Who computes: the code, the Python and the machine that runs come from.

A block of runs is a function of the plan, the seed and this. Two processes may share the work of
one campaign only if they agree on code and Python: a function whose bytecode is laid out otherwise
reports other offsets, and another kernel file has other races.
"""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import mmsim
from mmsim.stress.worker import gil_enabled

DIGITS = 12
_ROOT = Path(__file__).resolve().parent.parent
_PARTS = ("engine", "model", "linux", "detect", "scenarios", "v2_4", "v3_13")
_COUNTING = ("worker.py", "tally.py", "plan.py", "pairs.py", "statistics.py")


@dataclass(frozen=True)
class Identity:
    """One process, as far as results depend on it, and where it is."""

    code: str
    """Twelve hex digits over the source of everything that decides what a run comes to."""
    python: str
    """`CPython 3.12`: the minor version decides, the patch level does not."""
    version: str
    release: str
    """The Python in full."""
    gil: bool
    host: str
    system: str
    pid: int

    def refusal(self, other: Identity) -> str | None:
        """Why ``other`` may not compute for us, in words; None if it may."""
        if other.code != self.code:
            return f"has other code ({other.code}, here {self.code})"
        if other.python != self.python:
            return f"has another Python ({other.python}, here {self.python})"
        return None


def identity(file: str | None = None) -> Identity:
    """Of this process; ``file`` is the user's own scenario file, which is part of the code."""
    minor = ".".join(platform.python_version_tuple()[:2])
    return Identity(
        code=code_hash(file),
        python=f"{platform.python_implementation()} {minor}",
        version=mmsim.__version__,
        release=platform.python_version(),
        gil=gil_enabled(),
        host=socket.gethostname(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        pid=os.getpid(),
    )


@lru_cache(maxsize=8)
def code_hash(file: str | None = None) -> str:
    """Engine, kernel code, scenarios and counting; what only prints is left out."""
    files = [*_ROOT.glob("*.py"), *(_ROOT / "stress" / name for name in _COUNTING)]
    for part in _PARTS:
        files += (_ROOT / part).rglob("*.py")
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path.relative_to(_ROOT)).encode() + b"\0" + path.read_bytes())
    if file is not None:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:DIGITS]
