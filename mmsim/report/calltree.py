# SPDX-License-Identifier: GPL-2.0-only
"""The calls of a run as ftrace's function_graph tracer shows a kernel's.

One line a call, two blanks a level, every CPU's in the order in which they were made.  As in a
trace that was cut for reading there are no closing lines: a call is over at the task's next line
that is not deeper.  The first column counts calls; a simulator has no microseconds.  What a call is
about stands before it, as a probe's line does: `# pfn:00102`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """``depth`` counts from 0 in each context; ``page`` is the frame it is about, or ""."""

    number: int
    cpu: int
    comm: str
    pid: int
    depth: int
    symbol: str
    page: str = ""


def call_tree(calls: Iterable[Call]) -> list[str]:
    """The lines, without a heading."""
    lines = []
    for call in calls:
        head = f"{call.number:>9} {call.cpu} {call.comm}-{call.pid:<4} {'  ' * call.depth}"
        if call.page:
            lines.append(f"{head}# {call.page}")
        lines.append(f"{head}{call.symbol}")
    return lines
