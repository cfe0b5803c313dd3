# SPDX-License-Identifier: GPL-2.0-only
"""`BUG: Bad page state`: found at free or at allocation, survived by leaking the page.

The allocator finds the damage, not the one who did it: the process named on the first line is
often innocent, which is why the page's history matters more than the trace.  Only one reason is
printed even when several hold; in the kernel later tests overwrite earlier ones, and the caller
has already chosen.  There is no oops, so the trace starts with the function that looked.
"""

from __future__ import annotations

import re

from mmsim.detect.finding import Finding
from mmsim.report.dump_page import dump_page
from mmsim.report.era import Era
from mmsim.report.symbols import call_trace, frames_of
from mmsim.report.words import MODULES, Details, identity

REASONS = (
    "nonzero mapcount",
    "non-NULL mapping",
    "nonzero _refcount",
    "nonzero _count",
    "PAGE_FLAGS_CHECK_AT_FREE flag(s) set",
    "PAGE_FLAGS_CHECK_AT_PREP flag(s) set",
    "PAGE_FLAGS_CHECK_AT_PREP flag set",
    "page still charged to cgroup",
)

_TITLE = r"^(?:BUG: )?Bad page state(?: in process)?[\s:,(-]*"


def bad_page(finding: Finding, details: Details, era: Era) -> list[str]:
    """The report of bad_page() in mm/page_alloc.c."""
    reason = _reason(finding, details)
    pfn = f"  pfn:{finding.page.pfn:05x}" if finding.page else ""
    flags = details.take(r"^bad because of flags:")
    dump = dump_page(finding.page, reason, era, before_owner=flags)
    if reason and not any(reason in line for line in dump):
        # Kernels before 3.14 do not say why.  We know, so we do.
        dump.append(f"page dumped because: {reason}")
    return [
        f"BUG: Bad page state in process {finding.comm}{pfn}",
        *dump,
        MODULES,
        *identity(finding, era),
        *call_trace(frames_of(finding), finding, era, "dump_stack"),
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
