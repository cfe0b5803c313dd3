# SPDX-License-Identifier: GPL-2.0-only
"""Frames as tools expect them.

`symbol+0xOFF/0xSIZE` is what every script that reads an oops looks for
(`[^+ ]+\\+0x[0-9a-f]+/0x[0-9a-f]+`).  Offset and size are those of the Python function's bytecode,
so they are stable and mean something.  Decoded, a frame is `symbol (file:line)`, the form
`scripts/decode_stacktrace.sh` prints.

Where an era prints a code address as well, the address is made up but constant for a symbol:
it says *which* function, never where memory really is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import takewhile

from mmsim.detect.finding import Finding, Frame
from mmsim.report.era import ARM, I386, X86_64, Era

# Macros in C leave no frame; in Python they are functions and do.
_MACROS = frozenset(
    {"BUG", "BUG_ON", "VM_BUG_ON", "VM_BUG_ON_PAGE", "VM_BUG_ON_FOLIO", "WARN_ON", "WARN_ON_ONCE"}
)
# The simulator's own frames, found under a check that is made when the kernel has come to rest.
_HOST = (
    "mmsim/engine/",
    "mmsim/run.py",
    "mmsim/stress/",
    "mmsim/cli/",
    "mmsim/pytest_plugin.py",
    "mmsim/__main__.py",
)
# release_pages_v5_4 and release_pages_v5_17 are both release_pages to a kernel developer.
_VERSION_SUFFIX = re.compile(r"_v\d+(?:_\d+)+$")

_TEXT_START = {I386: 0xC0100000, ARM: 0xC0208000, X86_64: 0xFFFFFFFF81000000}
_TEXT_SIZE = 0x600000

_KERNEL_FILES = {
    "mmsim/lru.py": "mm/swap.c",
    "mmsim/page.py": "include/linux/page-flags.h",
    "mmsim/mmzone.py": "mm/mmzone.c",
    "mmsim/swapops.py": "include/linux/swapops.h",
    "mmsim/v2_4/page.py": "include/linux/mm.h",
    "mmsim/v2_4/lru.py": "mm/swap.c",
    "mmsim/linux/list.py": "include/linux/list.h",
    "mmsim/linux/atomic.py": "include/linux/atomic.h",
    "mmsim/linux/bitops.py": "include/linux/bitops.h",
    "mmsim/linux/irqflags.py": "include/linux/irqflags.h",
    "mmsim/linux/percpu.py": "include/linux/percpu.h",
    "mmsim/linux/spinlock.py": "kernel/locking/spinlock.c",
    "mmsim/linux/rwsem.py": "kernel/locking/rwsem.c",
    "mmsim/linux/mutex.py": "kernel/locking/mutex.c",
    "mmsim/linux/wait.py": "kernel/sched/wait.c",
    "mmsim/linux/sched.py": "kernel/sched/core.c",
}


def symbol(func: str) -> str:
    """The kernel's name of a Python function."""
    return _VERSION_SUFFIX.sub("", func.rsplit(".", 1)[-1])


def source_path(path: str) -> str:
    """A file as the reader knows it: from the package downwards, whatever the checkout."""
    path = path.replace("\\", "/")
    parts = path.split("/")
    if "mmsim" in parts:
        return "/".join(parts[len(parts) - 1 - parts[::-1].index("mmsim") :])
    return parts[-1] if path.startswith("/") else path


def kernel_path(path: str) -> str:
    """The kernel file a Python file stands for; best effort, else the Python file itself."""
    path = source_path(path)
    if path in _KERNEL_FILES:
        return _KERNEL_FILES[path]
    match = re.fullmatch(r"mmsim/(?:v2_4/|v3_13/)?(\w+)\.py", path)
    return f"mm/{match[1]}.c" if match else path


def place(frame: Frame, era: Era) -> str:
    """One frame in the notation asked for."""
    name = symbol(frame.func)
    if era.decode == "python":
        return f"{name} ({source_path(frame.file)}:{frame.line})"
    if era.decode == "kernel":
        return f"{name} ({kernel_path(frame.file)})"
    return f"{name}+{frame.offset:#x}/{frame.size:#x}"


def address(frame: Frame, era: Era) -> str:
    """A plausible code address, the same for every occurrence of this frame."""
    return _address(symbol(frame.func), frame.offset, era)


def _address(name: str, offset: int, era: Era) -> str:
    slot = zlib.crc32(name.encode()) % _TEXT_SIZE & ~0xF
    return era.hexword(_TEXT_START[era.arch] + slot + offset)


def frames_of(finding: Finding) -> tuple[Frame, ...]:
    """The stack as a kernel would have it: without macros on top and without us underneath."""
    frames = finding.frames
    while frames and symbol(frames[0].func) in _MACROS:
        frames = frames[1:]
    if at_rest(finding):
        return tuple(takewhile(lambda frame: _is_kernel(source_path(frame.file)), frames))
    return tuple(takewhile(lambda frame: not source_path(frame.file).startswith(_HOST), frames))


def at_rest(finding: Finding) -> bool:
    """Found by the checks that look at the machine when nobody runs any more: no task's doing."""
    return finding.pid == 0 and finding.context == "task"


def _is_kernel(path: str) -> bool:
    return path.startswith("mmsim/") and not path.startswith((*_HOST, "mmsim/scenarios/"))


def innermost(finding: Finding, era: Era) -> str:
    """Where it happened; without a stack at least the function."""
    frames = frames_of(finding)
    return place(frames[0], era) if frames else symbol(finding.where)


def instruction_pointer(finding: Finding, era: Era) -> str:
    """x86-64's RIP line; until 4.10 with the address, twice."""
    frames = frames_of(finding)
    if era.version >= (4, 10) or not frames:
        return f"RIP: 0010:{innermost(finding, era)}"
    pc = f"[<{address(frames[0], era)}>]"
    return f"RIP: 0010:{pc}  {pc} {innermost(finding, era)}"


def call_trace(frames: Sequence[Frame], finding: Finding, era: Era, callee: str = "") -> list[str]:
    """The stack, innermost first, in the layout of the era.

    ``callee`` is what the innermost frame had called (`dump_stack`, `__schedule`); only ARM, which
    prints who called whom, has a place for it.
    """
    if era.arch == ARM:
        return _arm_backtrace(frames, era, callee)
    if not frames:
        return []
    if era.arch == I386:
        lines = [f" [<{address(frame, era)}>] {place(frame, era)}" for frame in frames]
        return [f"Call Trace:{lines[0]}", *(f"  {line}" for line in lines[1:])]
    if era.version < (4, 10):
        lines = [f" [<{address(frame, era)}>] {place(frame, era)}" for frame in frames]
    else:
        lines = [f" {place(frame, era)}" for frame in frames]
    if finding.context != "task":
        lines = [" <IRQ>", *lines, " </IRQ>"]
    elif era.version >= (5, 16):
        lines = [" <TASK>", *lines, " </TASK>"]
    return ["Call Trace:", *lines]


def _arm_backtrace(frames: Sequence[Frame], era: Era, callee: str) -> list[str]:
    """ARM prints edges, callee from caller, rather than nodes."""
    called = [(callee, _address(callee, 0, era))] if callee else []
    called += [(symbol(frame.func), address(frame, era)) for frame in frames]
    callers = frames if callee else frames[1:]
    return [
        f"[<{at}>] ({name}) from [<{address(caller, era)}>] ({place(caller, era)})"
        for (name, at), caller in zip(called, callers, strict=False)
    ]
