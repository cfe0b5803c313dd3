# SPDX-License-Identifier: GPL-2.0-only
"""What no kernel of the time could say: a double free, a broken invariant.

In 2002 a page freed twice was seen only later, as two owners of one page.  mmsim looks at the
free itself and at the machine when it has come to rest.  There are no kernel words to follow, so
the reports borrow the nearest ones: the page dump with its page_owner lines, which is where a
developer of today would look first.
"""

from __future__ import annotations

import re

from mmsim.detect.finding import Finding
from mmsim.report.dump_page import dump_page
from mmsim.report.era import Era
from mmsim.report.symbols import at_rest, call_trace, frames_of
from mmsim.report.words import Details, identity


def double_free(finding: Finding, details: Details, era: Era) -> list[str]:
    """A page that was given back while it was free already."""
    lines = [finding.title]
    page = finding.page
    if page is not None:
        if "pfn:" not in finding.title:
            lines = [f"{finding.title}  pfn:{page.pfn:05x}"]
        for record in page.history:  # the page's own record is printed with the page
            details.take(f"^{re.escape(record)}$")
    return [
        *lines,
        *dump_page(page, "double free", era),
        *identity(finding, era),
        *call_trace(frames_of(finding), finding, era, "dump_stack"),
    ]


def invariant(finding: Finding, details: Details, era: Era) -> list[str]:
    """Something that must hold when nothing runs, and does not."""
    lines = [finding.title, *details.rest(), *dump_page(finding.page, "", era)]
    if frames_of(finding) and not at_rest(finding):
        lines += identity(finding, era)
        lines += call_trace(frames_of(finding), finding, era, "dump_stack")
    return lines
