# SPDX-License-Identifier: GPL-2.0-only
"""`BUG: Bad page state`: found at free or at allocation, survived by leaking the page.

The allocator finds the damage and not the one who did it: the process on the first line is often
innocent, so the page's history says more than the trace.  Only one reason is printed, even when
several hold: in the kernel the last test that holds names it.  Before 3.14 none was printed.
"""

from __future__ import annotations

import re

from mmsim.detect.finding import Finding
from mmsim.report.dump_page import dump_page
from mmsim.report.symbols import call_trace, frames_of
from mmsim.report.voice import Voice
from mmsim.report.words import MODULES, Details, current, identity

REASONS = (
    "nonzero mapcount",
    "non-NULL mapping",
    "nonzero _refcount",
    "nonzero _count",
    "PAGE_FLAGS_CHECK_AT_FREE flag(s) set",
    "PAGE_FLAGS_CHECK_AT_PREP flag(s) set",
    "PAGE_FLAGS_CHECK_AT_PREP flag set",
    "compound_head not consistent",
    "page still charged to cgroup",
)

_TITLE = r"^(?:BUG: )?Bad page state(?: in process)?[\s:,(-]*"


def bad_page(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """The report of bad_page() in mm/page_alloc.c."""
    reason = _reason(finding, details)
    pfn = f"  pfn:{finding.page.pfn:05x}" if finding.page else ""
    flags = details.take(r"^bad because of flags:")
    dump = dump_page(finding.page, reason, voice, before_owner=flags)
    if reason and not any(reason in line for line in dump):
        details.add(reason)
    return [
        f"BUG: Bad page state in process {current(finding)[0]}{pfn}",
        *dump,
        MODULES,
        *identity(finding, voice),
        *call_trace(frames_of(finding), finding, voice, "dump_stack"),
    ]


def _reason(finding: Finding, details: Details) -> str:
    for reason in REASONS:
        if reason in finding.title:
            return reason
    dumped = details.take(r"^page dumped because: ")
    if dumped:
        return dumped[-1].removeprefix("page dumped because: ")
    for reason in REASONS:
        if details.take(f"^{re.escape(reason)}$"):
            return reason
    return re.sub(_TITLE, "", finding.title).rstrip(")")
