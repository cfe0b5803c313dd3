# SPDX-License-Identifier: GPL-2.0-only
"""What can go wrong outside the simulated kernel.

A race is never an exception here: it is a finding, a value. These classes are for the other two
kinds of trouble. Either somebody asked for something that does not exist, which deserves one
line of clear text and exit code 2, or mmsim itself is broken, which deserves a traceback and
exit code 3.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """The request cannot be met as it stands; the message says what is allowed instead."""


class StaleSchedule(UsageError):
    """A schedule that does not fit the code it is replayed on, or is cut short."""


class InternalError(Exception):
    """mmsim broke one of its own promises."""


def one_line(error: BaseException | str) -> str:
    """An error as a single line: what a terminal and a log can both hold."""
    try:
        text = " ".join(str(error).split())
    except BaseException:  # somebody's own exception, whose __str__ does anything
        text = "(its text cannot be had: __str__ raises)"
    if isinstance(error, str):
        return text
    return text or type(error).__name__


FEW = 12
"""So many names can simply all be said."""


def nearest(word: str, known: Iterable[str], limit: int = 3) -> str:
    """` (nearest: a, b)` for a message about an unknown name; all names if they are few."""
    names = sorted(set(known))
    lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(word.lower(), lower, n=limit, cutoff=0.4)
    close = [lower[name] for name in found]
    if not close:
        close = [name for name in names if word and word.lower() in name.lower()][:limit]
    if close:
        return f" (nearest: {', '.join(close)})"
    return f" (known: {', '.join(names)})" if 0 < len(names) <= FEW else ""
