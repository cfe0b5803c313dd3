# SPDX-License-Identifier: GPL-2.0-only
"""DEBUG_LIST: a list node that is not where it says it is.

The message says which half of the node lies, and its punctuation says what kind of lie: a comma
after `corruption` for poison and NULL (the node was deleted before), a full stop for neighbours
that point elsewhere (somebody changed the list without its lock).  Since 4.10 the message is
followed by a BUG in lib/list_debug.c, before that by a warning and a walk into the damage.
"""

from __future__ import annotations

import re

from mmsim.detect.finding import Finding
from mmsim.report.era import I386, Era
from mmsim.report.oops import bug_line, dying
from mmsim.report.warn import warning
from mmsim.report.words import Details

# (message, line of its check: 3.13, 4.19 and 5.4, 5.17).  4.19.108, 5.4.188 and 5.17-rc5.
_CHECKS = (
    (r"list_add corruption.*next->prev should", (29, 25, 23)),
    (r"list_add corruption.*prev->next should", (33, 28, 26)),
    (r"list_add double add", (36, 31, 29)),
    (r"list_del corruption.*LIST_POISON1", (53, 47, 45)),
    (r"list_del corruption.*LIST_POISON2", (56, 50, 48)),
    (r"list_del corruption.*prev->next should", (59, 53, 51)),
    (r"list_del corruption.*next->prev should", (62, 56, 54)),
)


def list_corruption(finding: Finding, details: Details, era: Era) -> list[str]:
    """The list message and what the kernel of the era did about it."""
    messages = details.take(r"^list_(?:add|del)\b")
    if not messages:
        messages = [finding.title]
    elif not re.match(r"list_(?:add|del)\b", finding.title):
        messages = [finding.title, *messages]
    if era.arch != I386 and era.version < (4, 10):
        at = _place(messages, era) or "lib/list_debug.c"
        return warning(finding, messages, at, era)
    bug_at = bug_line(finding, details, _place(messages, era))
    return [*messages, *dying(finding, era, bug_at)]


def _place(messages: list[str], era: Era) -> str:
    column = 0 if era.version < (4, 10) else 1 if era.version < (5, 5) else 2
    for pattern, lines in _CHECKS:
        if any(re.search(pattern, message) for message in messages):
            return f"lib/list_debug.c:{lines[column]}"
    return ""
