# SPDX-License-Identifier: GPL-2.0-only
"""DEBUG_LIST: a list node that is not where it says it is.

The message says which half of the node lies, and its punctuation what kind of lie: a comma after
`corruption` for poison (the node was deleted before), a full stop for neighbours that point
elsewhere (somebody changed the list without its lock).  The checks are functions of
lib/list_debug.c, so the stack begins there; their offsets are made up, like all code addresses.
"""

from __future__ import annotations

import re
from dataclasses import replace

from mmsim.detect.finding import Finding, Frame
from mmsim.report.oops import bug_line, dying
from mmsim.report.voice import Voice
from mmsim.report.words import Details

_FILE = "lib/list_debug.c"

# (message, line of its check: 3.13.10, 4.19.108 and 5.4.188, 5.17-rc5)
_CHECKS = (
    (r"list_add corruption.*next->prev should", (29, 25, 23)),
    (r"list_add corruption.*prev->next should", (33, 28, 26)),
    (r"list_add double add", (36, 31, 29)),
    (r"list_del corruption.*LIST_POISON1", (53, 47, 45)),
    (r"list_del corruption.*LIST_POISON2", (56, 50, 48)),
    (r"list_del corruption.*prev->next should", (59, 53, 51)),
    (r"list_del corruption.*next->prev should", (62, 56, 54)),
)
_SIZE = 0x90


def list_bug(finding: Finding, details: Details, voice: Voice) -> list[str]:
    """The message and the BUG that follows it."""
    messages = list_messages(finding, details)
    at, checked = check_of(messages, voice)
    inside = replace(finding, frames=(*checked, *finding.frames))
    return [*messages, *dying(inside, voice, bug_line(finding, details, at))]


def list_messages(finding: Finding, details: Details) -> list[str]:
    """The kernel's lines: with addresses if the detector gave them, else the title."""
    return details.take(r"^list_(?:add|del)\b") or [finding.title]


def check_of(messages: list[str], voice: Voice) -> tuple[str, tuple[Frame, ...]]:
    """File and line of the check that failed, and its frame."""
    column = 0 if voice.version < (4, 10) else 1 if voice.version < (5, 5) else 2
    for nth, (pattern, lines) in enumerate(_CHECKS):
        if any(re.search(pattern, message) for message in messages):
            adding = "list_add" in pattern
            if voice.version < (4, 10):
                name = "__list_add" if adding else "__list_del_entry"
            else:
                name = "__list_add_valid" if adding else "__list_del_entry_valid"
            offset = 0x20 + 0x10 * nth
            frame = Frame(name, "mmsim/linux/list.py", 0, offset, _SIZE, _FILE)
            return f"{_FILE}:{lines[column]}", (frame,)
    return _FILE, ()
