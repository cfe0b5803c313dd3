# SPDX-License-Identifier: GPL-2.0-only
"""Lines that several kinds of report share, and the sorting of a finding's detail lines.

A detector hands over its detail lines unsorted: it knows what it saw, not where a 4.19 kernel
would have printed it.  Each writer takes the lines it has a place for out of a ``Details``;
whatever no writer wanted is printed in the mmsim block, so nothing a detector said is lost.
A line that no kernel prints and that cannot wait for the block begins with `mmsim: `.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from mmsim.detect.finding import Finding
from mmsim.report.voice import I386, Voice

CUT_HERE = "------------[ cut here ]------------"
MODULES = "Modules linked in:"


class Details:
    """The detail lines not printed yet, in the order they were given."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = [part.rstrip() for line in lines for part in line.splitlines() if part]

    def take(self, pattern: str) -> list[str]:
        """Every line in which the pattern occurs, removed."""
        wanted = [line for line in self._lines if re.search(pattern, line)]
        self._lines = [line for line in self._lines if not re.search(pattern, line)]
        return wanted

    def take_line(self, line: str) -> None:
        """Drop a line that is printed elsewhere."""
        self._lines = [other for other in self._lines if other != line]

    def peek(self, pattern: str) -> re.Match[str] | None:
        """The first match of the pattern, with the line left where it is."""
        matches = (re.search(pattern, line) for line in self._lines)
        return next((match for match in matches if match), None)

    def add(self, line: str) -> None:
        """A line that the kernel of the era has no place for: it goes to the block."""
        self._lines.append(line)

    def rest(self) -> list[str]:
        """All that is left; nothing is afterwards."""
        lines, self._lines = self._lines, []
        return lines


def own(text: str) -> str:
    """What mmsim says, marked as such."""
    return f"mmsim: {text}"


def current(finding: Finding) -> tuple[str, int]:
    """(comm, pid) of the kernel's ``current``: in an interrupt, of the task underneath."""
    return finding.task or (finding.comm, finding.pid)


def cpu_line(finding: Finding, voice: Voice) -> str:
    """`CPU: 1 PID: 77 Comm: kswapd0 Not tainted 5.4.170-mmsim #1`."""
    comm, pid = current(finding)
    return f"CPU: {finding.cpu} PID: {pid} Comm: {comm:.20} {voice.tainted()} {voice.release} #1"


def hardware_line(finding: Finding) -> str:
    return f"Hardware name: mmsim {finding.cpus} CPU{'s' * (finding.cpus != 1)}"


def identity(finding: Finding, voice: Voice) -> list[str]:
    """Who and where, for the reports that are not an oops.  2.4 had none."""
    if voice.arch == I386:
        return []
    return [cpu_line(finding, voice), hardware_line(finding)]


def end_trace(finding: Finding, voice: Voice) -> list[str]:
    """The closing line of an oops or a warning.  Kernels before 5.17 print an id: ours is
    stable and starts with the fingerprint.  2.4 has none."""
    if voice.version < (2, 6):
        return []
    oops_id = "0" * 16
    if voice.version < (5, 17):
        digest = hashlib.sha1(finding.fingerprint.encode(), usedforsecurity=False).hexdigest()
        oops_id = (finding.fingerprint + digest)[:16]
    return [f"---[ end trace {oops_id} ]---"]


def panic_in_interrupt(finding: Finding, voice: Voice) -> list[str]:
    """There is no task to kill when an interrupt handler dies."""
    if finding.context == "task":
        return []
    if voice.version < (2, 6):
        return [
            "Kernel panic: Aiee, killing interrupt handler!",
            "In interrupt handler - not syncing",
        ]
    return ["Kernel panic - not syncing: Fatal exception in interrupt"]
