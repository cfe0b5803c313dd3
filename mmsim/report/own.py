# SPDX-License-Identifier: GPL-2.0-only
"""What no kernel says: a double free, a broken invariant, a walk that left its list, a livelock.

In 2002 a page freed twice was seen only later, as two owners of one page.  mmsim looks at the free
itself, and at the machine when it has come to rest.  There are no kernel words for it, so none are
used: the lines are marked as mmsim's, the stack is the kernel's, and the page with its history is
in the block.
"""

from __future__ import annotations

from mmsim.detect.finding import Finding
from mmsim.report.symbols import at_rest, frames_of, place
from mmsim.report.voice import Voice
from mmsim.report.words import Details, own


def said_by_mmsim(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """The title, and where it was seen."""
    title = finding.title
    if finding.page is not None and "pfn:" not in title:
        title = f"{title}  pfn:{finding.page.pfn:05x}"
    for record in finding.page.history if finding.page is not None else ():
        details.take_line(record)  # the block prints the page's own record with the page
    lines = [own(title)]
    if not at_rest(finding):
        lines += [f" {place(frame, voice)}" for frame in frames_of(finding)]
    return lines
