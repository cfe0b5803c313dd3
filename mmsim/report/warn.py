# SPDX-License-Identifier: GPL-2.0-only
"""WARN(): the kernel complains and goes on.

It looks like an oops and is none: the context that it shows goes on running.  Until 4.13 the
message came after the WARNING line, since then before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmsim.detect.finding import Finding
from mmsim.report.listdebug import check_of, list_bug, list_messages
from mmsim.report.oops import kernel_file
from mmsim.report.symbols import call_trace, frames_of, innermost
from mmsim.report.voice import LIST_MESSAGE, X86_64, Voice
from mmsim.report.words import CUT_HERE, MODULES, Details, end_trace, identity


def warn(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """WARN_ON(): at the place the assertion gives, else in the file of the kernel's function."""
    given = details.take(r"^\S+\.[chS](?::\d+)?$")
    message = finding.title.removeprefix("WARNING: ")
    if LIST_MESSAGE.match(message):
        return list_warning(finding, details, voice)
    return warning(finding, [message], given[0] if given else kernel_file(finding), voice)


def list_corruption(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """DEBUG_LIST warns and goes on; with BUG_ON_DATA_CORRUPTION it is a BUG."""
    if any(line.startswith("kernel BUG at ") for line in finding.detail):
        return list_bug(finding, details, voice)
    return list_warning(finding, details, voice)


def list_warning(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """DEBUG_LIST, where it does not stop the kernel."""
    messages = list_messages(finding, details)
    details.take(r"^lib/list_debug\.c:\d+$")
    at, checked = check_of(messages, voice)
    inside = replace(finding, frames=(*checked, *finding.frames))
    return warning(inside, messages, at, voice)


def warning(finding: Finding, messages: Sequence[str], at: str, voice: Voice) -> list[str]:
    """The block of a warning, from `cut here` to the end trace."""
    frames = frames_of(finding)
    where = innermost(finding, voice)
    if voice.version < (4, 14):
        line = f"WARNING: CPU: {finding.cpu} PID: {finding.pid} at {at} {where}()"
        head = [CUT_HERE, line, *messages]
        return [
            *head,
            MODULES,
            *identity(finding, voice),
            *call_trace(frames, finding, voice, "dump_stack"),
            *end_trace(finding, voice),
        ]
    line = f"WARNING: CPU: {finding.cpu} PID: {finding.pid} at {at} {where}"
    head = [CUT_HERE, *messages, line, MODULES, *identity(finding, voice)]
    if voice.arch == X86_64:
        head.append(f"RIP: 0010:{where}")
        frames = frames[1:]
    return [*head, *call_trace(frames, finding, voice, "dump_stack"), *end_trace(finding, voice)]
