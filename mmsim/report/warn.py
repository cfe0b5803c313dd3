# SPDX-License-Identifier: GPL-2.0-only
"""WARN(): the kernel is displeased and goes on.

Looks like an oops and is none: nothing dies, so the stack belongs to a context that is still
running when you read it.  Until 4.13 the message came after the WARNING line; since then it comes
first, where it is harder to overlook.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmsim.detect.finding import Finding
from mmsim.report.era import X86_64, Era
from mmsim.report.symbols import call_trace, frames_of, innermost, source_path
from mmsim.report.words import CUT_HERE, MODULES, Details, end_trace, identity


def warn(finding: Finding, details: Details, era: Era) -> list[str]:
    """WARN_ON(): the place is the kernel's if the detector gave it, else the Python's."""
    frames = frames_of(finding)
    given = details.take(r"^\S+\.[chS]:\d+$")
    at = given[0] if given else finding.where
    if not given and frames:
        at = f"{source_path(frames[0].file)}:{frames[0].line}"
    return warning(finding, [finding.title.removeprefix("WARNING: ")], at, era)


def warning(finding: Finding, messages: Sequence[str], at: str, era: Era) -> list[str]:
    """The block of a warning, from `cut here` to the end trace."""
    frames = frames_of(finding)
    where = innermost(finding, era)
    if era.version < (4, 14):
        line = f"WARNING: CPU: {finding.cpu} PID: {finding.pid} at {at} {where}()"
        head = [CUT_HERE, line, *messages]
        return [
            *head,
            MODULES,
            *identity(finding, era),
            *call_trace(frames, finding, era, "dump_stack"),
            *end_trace(finding, era),
        ]
    line = f"WARNING: CPU: {finding.cpu} PID: {finding.pid} at {at} {where}"
    head = [CUT_HERE, *messages, line, MODULES, *identity(finding, era)]
    if era.arch == X86_64:
        head.append(f"RIP: 0010:{where}")
        frames = frames[1:]
    return [*head, *call_trace(frames, finding, era, "dump_stack"), *end_trace(finding, era)]
