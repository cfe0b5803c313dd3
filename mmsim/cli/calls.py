# SPDX-License-Identifier: GPL-2.0-only
"""Who calls whom in a run, for a comparison with a real kernel's trace.

Python tells a profiling function of every call.  Kept are the functions of a kernel file, by their
citations, and the primitives that a kernel has as functions.  What a header inlines is not seen, as
in a kernel, but for the one place where the inlined function's callee is what a trace shows.  The
parts that one C function was cut into are one call.

Profiling slows a run down and changes nothing in it: no point is passed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from mmsim.engine.door import door
from mmsim.model.cite import file_of, symbol_of
from mmsim.report.calltree import Call

_PRIMITIVES = {
    **{
        f"spin_{name}": f"_raw_spin_{name}"
        for name in (
            "lock",
            "unlock",
            "trylock",
            "lock_irq",
            "unlock_irq",
            "lock_irqsave",
            "unlock_irqrestore",
        )
    },
    **{
        name: name
        for name in (
            "down_read",
            "up_read",
            "down_write",
            "up_write",
            "schedule",
            "wake_up_process",
        )
    },
}
_PRIMITIVE_MODULES = ("mmsim.linux.spinlock", "mmsim.linux.sched", "mmsim.linux.sleeplock")
_CALLED_BY_INLINE = {"update_lru_size": "mem_cgroup_update_lru_size"}


class Recorder:
    """The calls so far, in order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._stacks: dict[Any, list[tuple[CodeType, str]]] = {}
        self._names: dict[CodeType, str] = {}

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """What sys.setprofile() calls."""
        if event not in ("call", "return"):
            return
        code = frame.f_code
        name = self._names.get(code)
        if name is None:
            name = self._names[code] = _name(frame)
        if not name:
            return
        ctx = door.running or door.find()
        if ctx is None:
            return
        stack = self._stacks.setdefault(ctx, [])
        if event == "return":
            if stack and stack[-1][0] is code:
                stack.pop()
            return
        if stack and stack[-1][1] == name:
            return
        number = len(self.calls) + 1
        page = _page(frame)
        self.calls.append(Call(number, ctx.cpu.id, ctx.comm, ctx.pid, len(stack), name, page))
        stack.append((code, name))


def _name(frame: FrameType) -> str:
    """The symbol a trace would show, "" if none."""
    code = frame.f_code
    file = file_of(code)
    if not file:
        module = frame.f_globals.get("__name__")
        return _PRIMITIVES.get(code.co_name, "") if module in _PRIMITIVE_MODULES else ""
    name: str = symbol_of(code)
    return _CALLED_BY_INLINE.get(name, "") if file.endswith(".h") else name


def _page(frame: FrameType) -> str:
    """The page frame among the arguments, if there is one."""
    code = frame.f_code
    for argument in code.co_varnames[: code.co_argcount]:
        pfn = getattr(frame.f_locals.get(argument), "pfn", None)
        if isinstance(pfn, int):
            return f"pfn:{pfn:05x}"
    return ""


@contextmanager
def recorded() -> Iterator[Recorder]:
    """Record the calls of every run whose threads begin inside the block."""
    recorder = Recorder()
    threading.setprofile(recorder.profile)
    before = sys.getprofile()
    sys.setprofile(recorder.profile)
    try:
        yield recorder
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
