# SPDX-License-Identifier: GPL-2.0-only
"""One test in a process of its own: the inner end.

`main` reads a job, sets the limits, loads the student's file, which `rules.py` has looked at, runs
one test and writes the verdict.  Behind the rules stand two more fences.  An audit hook, which
cannot be taken out again, refuses files, processes, sockets and the like from the moment the file
is loaded, and remembers that somebody tried.  And the functions of the engine are compared with
what they were, before any verdict counts.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any

from mmsim.errors import InternalError, UsageError, one_line
from mmsim.labs import kernel
from mmsim.labs.catalogue import find
from mmsim.labs.lab import FOLDER, Lab, Score, Test, Work, wrong
from mmsim.scenarios import registry

REFUSED = (
    "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.exec", "os.system", "os.kill",
    "os.killpg", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod",
    "os.chown", "os.link", "os.symlink", "os.putenv", "os.walk",
    "subprocess.Popen", "socket.", "ctypes.", "shutil.", "tempfile.", "urllib.", "http.", "ftplib.",
    "smtplib.", "pty.", "mmap.", "resource.", "signal.", "_thread.start_new_thread",
    "sys.settrace", "sys.setprofile", "sys._current_frames", "gc.", "code.__new__",
    "object.__setattr__", "object.__delattr__", "function.__new__", "sys.addaudithook",
)  # fmt: skip
"""Beginnings of the names of audit events."""


class Refused(Exception):
    """The student's file did what no kernel code does."""


class Fence:
    """The audit hook.  It refuses what is done below a frame of ``file``, once it is shut."""

    def __init__(self, file: str) -> None:
        self._shut = False
        self._file = file
        self.tried: list[str] = []
        libraries = {str(Path(p).resolve()) for p in (sys.prefix, sys.base_prefix, *sys.path) if p}
        self._texts = str(FOLDER)
        self._libraries = tuple(libraries)
        sys.addaudithook(self._hook)

    def shut(self) -> None:
        self._shut = True

    def open(self) -> None:
        self._shut = False

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._shut:
            return
        if event == "open":
            if not self._reads_a_library(args):
                self._refuse(f"open {one_line(repr(args[0]))[:60]}")
        elif event in ("os.listdir", "os.scandir"):
            if not str(args[0]).startswith(self._libraries):
                self._refuse(event)
        elif event.startswith(REFUSED):
            self._refuse(event)

    def _reads_a_library(self, args: tuple[Any, ...]) -> bool:
        """A module that is loaded late, or a text of a lab."""
        name, mode, flags = (*args, None, None)[:3]
        writing = isinstance(mode, str) and bool(set(mode) & set("wax+"))
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
            writing = True
        if writing or not isinstance(name, str):
            return False
        if name.startswith(self._texts):
            return True
        return name.endswith((".py", ".pyc", ".so")) and name.startswith(self._libraries)

    def _refuse(self, what: str) -> None:
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename != self._file:
            if frame.f_back is None:
                return  # ours: a library that is loaded late does a lot of this
            frame = frame.f_back
        self.tried.append(what)
        raise Refused(what)


def seal() -> dict[tuple[str, str], Any]:
    """The code of every function of the package, by module and name."""
    found: dict[tuple[str, str], Any] = {}
    for name, module in list(sys.modules.items()):
        if name == "mmsim" or name.startswith("mmsim."):
            for attribute, value in list(vars(module).items()):
                for path, function in _functions(attribute, value, name):
                    found[name, path] = function.__code__
    return found


def _functions(name: str, value: Any, module: str) -> Iterator[tuple[str, FunctionType]]:
    if isinstance(value, FunctionType):
        yield name, value
    elif isinstance(value, type) and value.__module__ == module:
        for attribute, member in list(vars(value).items()):
            member = getattr(member, "__func__", member)
            if isinstance(member, FunctionType):
                yield f"{name}.{attribute}", member


def main() -> None:
    """The process: a job on stdin, a verdict on what was stdout."""
    job = json.loads(sys.stdin.buffer.read())
    out = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    sys.argv = ["judge"]
    sys.dont_write_bytecode = True
    score = judge(job)
    told = {"word": job["word"], "share": score.share, "message": score.message}
    os.write(out, json.dumps(told).encode())
    os._exit(0)


def judge(job: dict[str, Any]) -> Score:
    """What the test of that name says of the student's folder."""
    lab = find(job["lab"])
    test = next(test for test in lab.tests if test.name == job["test"])
    work = Work(**{**job["work"], "folder": Path(job["work"]["folder"])})
    _prepare(lab)
    _limit(job["limits"])
    fence = Fence(lab.code)
    sealed = seal()
    fence.shut()
    try:
        score = _score(lab, test, work, job["source"], job["unchecked"])
    finally:
        fence.open()
    if fence.tried:
        return wrong(f"refused: the file tried {fence.tried[0]}")
    changed = [key for key, code in seal().items() if key in sealed and sealed[key] is not code]
    if changed:
        return wrong(f"refused: the file changed {'.'.join(changed[0])}")
    return score


def _score(lab: Lab, test: Test, work: Work, source: str, unchecked: bool) -> Score:
    try:
        functions = kernel.load(lab, source, unchecked=unchecked)
        with kernel.replaced(lab, functions):
            return test.judge(replace(work, functions=functions))
    except UsageError as error:
        return wrong(one_line(error))
    except InternalError as error:
        return wrong(f"{lab.code} raised: {one_line(error)}")
    except Refused as error:
        return wrong(f"refused: the file tried {error}")
    except Exception as error:  # in a check at rest, which calls the student's functions as well
        return wrong(f"{lab.code} raised: {type(error).__name__}: {one_line(error)}")


def _prepare(lab: Lab) -> None:
    """Import what a run needs, and what the file may, before the fence is shut."""
    registry.scenarios()
    for name in lab.rules.also:
        importlib.import_module(name.rpartition(".")[0])


def _limit(limits: dict[str, int]) -> None:
    """Where the system has limits, set them; everywhere the outer end has a clock."""
    try:
        import resource
    except ImportError:
        return
    wanted = {
        "RLIMIT_CPU": limits["seconds"],
        "RLIMIT_AS": limits["memory"],
        "RLIMIT_FSIZE": limits["file"],
        "RLIMIT_NOFILE": limits["files"],
        "RLIMIT_NPROC": limits["processes"],
        "RLIMIT_CORE": 0,
    }
    for name, value in wanted.items():
        which = getattr(resource, name, None)
        if which is not None:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(which, (value, value))
