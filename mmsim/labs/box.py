# SPDX-License-Identifier: GPL-2.0-only
"""One test in a process of its own: the outer end.

What a student's file does there, it does to that process: it has so much time, memory, files and
space and no more, no environment, and a folder of its own that is thrown away.  The verdict comes
back on a pipe with a word that was drawn for it, so that a process that ends early, or prints what
it likes, has no verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmsim

ROOT = Path(mmsim.__file__).resolve().parent.parent
_BEGIN = "import sys; sys.path.insert(0, {root!r}); from mmsim.labs.judge import main; main()"
_LONGEST = 1 << 20
_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Limits:
    """Seconds of computing (the clock on the wall gets four times as many), bytes of memory and of
    one file, open files, and processes of the user besides those there are."""

    seconds: int = 20
    memory: int = 1 << 30
    file: int = 1 << 20
    files: int = 64
    processes: int = 0


@dataclass(frozen=True)
class Verdict:
    """``share`` of the points; ``ended`` false if the process never came to a verdict."""

    share: float
    message: str
    ended: bool = True


def judged(job: dict[str, Any], limits: Limits) -> Verdict:
    """Run one job (see judge.py) within limits.  Never raises for what happens inside."""
    word = secrets.token_hex(16)
    job = {**job, "word": word, "limits": vars(limits)}
    with tempfile.TemporaryDirectory(prefix="mmsim-lab-") as place:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _BEGIN.format(root=str(ROOT))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=place,
            env=_environment(),
            start_new_session=True,
        )
        _running.add(process)
        try:
            out, _ = process.communicate(json.dumps(job).encode(), timeout=4 * limits.seconds + 10)
        except subprocess.TimeoutExpired:
            _end(process)
            return Verdict(0.0, f"not over after {4 * limits.seconds + 10} seconds", ended=False)
        except BaseException:
            _end(process)
            raise
        _end(process)
    return _verdict(out[:_LONGEST], word, process.returncode, limits)


def end_all() -> None:
    """End every box that is open: somebody pressed Ctrl-C."""
    for process in list(_running):
        with contextlib.suppress(OSError, AttributeError):
            os.killpg(process.pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Nothing of ours but what Python needs to start."""
    keep = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL")
    return {name: os.environ[name] for name in keep if name in os.environ} | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """It, and whatever it started."""
    _running.discard(process)
    with contextlib.suppress(OSError, AttributeError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _verdict(out: bytes, word: str, code: int, limits: Limits) -> Verdict:
    try:
        told = json.loads(out)
        if told["word"] != word:
            raise ValueError
        return Verdict(float(told["share"]), str(told["message"]))
    except (ValueError, KeyError, TypeError):
        pass
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        if name == "SIGXCPU" or name == "SIGKILL":
            return Verdict(0.0, f"used up its {limits.seconds} seconds of computing", False)
        return Verdict(0.0, f"its process died of {name}", False)
    return Verdict(0.0, "its process ended before the test was over", False)
