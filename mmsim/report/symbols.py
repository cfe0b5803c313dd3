# SPDX-License-Identifier: GPL-2.0-only
"""Frames as tools expect them.

`symbol+0xOFF/0xSIZE` is what every script that reads an oops looks for
(`[^+ ]+\\+0x[0-9a-f]+/0x[0-9a-f]+`).  Offset and size are those of the Python function's bytecode,
so they are stable and mean something.  Decoded, a frame is `symbol (file:line)`, the form
`scripts/decode_stacktrace.sh` prints.  2.4 printed addresses and left the names to ksymoops, so
there they appear only in a decoded report.

Where an era prints a code address, the address is made up but constant for a symbol: it says which
function, never where memory really is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import takewhile

from mmsim.detect.finding import Finding, Frame
from mmsim.report.voice import ARM, I386, X86_64, Voice

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


def place(frame: Frame, voice: Voice) -> str:
    """One frame in the notation asked for."""
    name = symbol(frame.func)
    if voice.decode == "python":
        return f"{name} ({source_path(frame.file)}:{frame.line})"
    if voice.decode == "kernel":
        return f"{name} ({frame.source or source_path(frame.file)})"
    return f"{name}+{frame.offset:#x}/{frame.size:#x}"


def address(frame: Frame, voice: Voice) -> str:
    """A plausible code address, the same for every occurrence of this frame."""
    return _address(symbol(frame.func), frame.offset, voice)


def _address(name: str, offset: int, voice: Voice) -> str:
    slot = zlib.crc32(name.encode()) % _TEXT_SIZE & ~0xF
    return voice.hexword(_TEXT_START[voice.arch] + slot + offset)


def frames_of(finding: Finding) -> tuple[Frame, ...]:
    """The stack as a kernel would have it, without us underneath."""
    if at_rest(finding):
        return tuple(takewhile(lambda frame: _is_kernel(source_path(frame.file)), finding.frames))
    return tuple(
        takewhile(lambda frame: not source_path(frame.file).startswith(_HOST), finding.frames)
    )


def at_rest(finding: Finding) -> bool:
    """Found by the checks that look at the machine when nobody runs any more: no task's doing."""
    return finding.pid == 0 and finding.context == "task"


def _is_kernel(path: str) -> bool:
    return path.startswith("mmsim/") and not path.startswith((*_HOST, "mmsim/scenarios/"))


def innermost(finding: Finding, voice: Voice) -> str:
    """Where it happened; without a stack at least the function."""
    frames = frames_of(finding)
    return place(frames[0], voice) if frames else symbol(finding.where)


def instruction_pointer(finding: Finding, voice: Voice) -> str:
    """x86-64's RIP line; until 4.10 with the address, twice."""
    frames = frames_of(finding)
    if voice.version >= (4, 10) or not frames:
        return f"RIP: 0010:{innermost(finding, voice)}"
    pc = f"[<{address(frames[0], voice)}>]"
    return f"RIP: 0010:{pc}  {pc} {innermost(finding, voice)}"


def call_trace(
    frames: Sequence[Frame], finding: Finding, voice: Voice, callee: str = ""
) -> list[str]:
    """The stack, innermost first, in the layout of the era.

    ``callee`` is what the innermost frame had called (`dump_stack`, `__schedule`); only ARM, which
    prints who called whom, has a place for it.
    """
    if voice.arch == ARM:
        return _arm_backtrace(frames, voice, callee)
    if not frames:
        return []
    if voice.arch == I386:
        return _i386_trace(frames, voice)
    if voice.version < (4, 10):
        lines = [f" [<{address(frame, voice)}>] {place(frame, voice)}" for frame in frames]
    else:
        lines = [f" {place(frame, voice)}" for frame in frames]
    if finding.context != "task":
        lines = [" <IRQ>", *lines, " </IRQ>"]
    elif voice.version >= (5, 16):
        lines = [" <TASK>", *lines, " </TASK>"]
    return ["Call Trace:", *lines]


def _i386_trace(frames: Sequence[Frame], voice: Voice) -> list[str]:
    """2.4: five addresses, then six a line, and no names."""
    found = [f"[<{address(frame, voice)}>]" for frame in frames]
    if voice.version >= (2, 4, 19):
        head, between = "Call Trace:    ", "  "
    else:
        head, between = "Call Trace: ", "   "
    rows = [found[:5], *(found[i : i + 6] for i in range(5, len(found), 6))]
    lines = [f"{between if i else head}{' '.join(row)}" for i, row in enumerate(rows)]
    return [*lines, *ksymoops(frames, voice)]


def ksymoops(frames: Sequence[Frame], voice: Voice) -> list[str]:
    """The names of a decoded report of 2.4, as ksymoops prints them below it."""
    if not voice.decode:
        return []
    return [f"Trace; {address(frame, voice)} {place(frame, voice)}" for frame in frames]


def _arm_backtrace(frames: Sequence[Frame], voice: Voice, callee: str) -> list[str]:
    """ARM prints edges, callee from caller, rather than nodes."""
    called = [(callee, _address(callee, 0, voice))] if callee else []
    called += [(symbol(frame.func), address(frame, voice)) for frame in frames]
    callers = frames if callee else frames[1:]
    return [
        f"[<{at}>] ({name}) from [<{address(caller, voice)}>] ({place(caller, voice)})"
        for (name, at), caller in zip(called, callers, strict=False)
    ]
