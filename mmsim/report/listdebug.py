# SPDX-License-Identifier: GPL-2.0-only
"""DEBUG_LIST: a list node that is not where it says it is.

The message says which half of the node lies, and its punctuation says what kind of lie: a comma
after `corruption` for poison (the node was deleted before), a full stop for neighbours
that point elsewhere (somebody changed the list without its lock).  The kernel warns and goes on;
with BUG_ON_DATA_CORRUPTION it dies in lib/list_debug.c.  Which of the two the finding says.
"""

from __future__ import annotations

import re

from mmsim.detect.finding import Finding
from mmsim.report.era import Era
from mmsim.report.oops import dying
from mmsim.report.warn import warning
from mmsim.report.words import Details


def list_corruption(finding: Finding, details: Details, era: Era) -> list[str]:
    """The list message and what the kernel of the era did about it."""
    messages = details.take(r"^list_(?:add|del)\b")
    if not messages:
        messages = [finding.title]
    elif not re.match(r"list_(?:add|del)\b", finding.title):
        messages = [finding.title, *messages]
    bug_at = details.take(r"^kernel BUG at ")
    if bug_at:
        return [*messages, *dying(finding, era, bug_at[0])]
    at = details.take(r"^\S+\.[chS]:\d+$") or ["lib/list_debug.c"]
    return warning(finding, messages, at[0], era)
