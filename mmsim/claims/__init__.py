# SPDX-License-Identifier: GPL-2.0-only
"""What was said on the list, and what the runs say to it.

A claim is a statement or question of a mail in our own words, with what one would see if it were
right.  Its verdict is computed from runs: all of that is seen, confirmed; none of it, refuted;
some of it, half; and open if nothing here can settle it.  What holds because the model is built
that way is said to hold by construction, and confirms nothing.  Nothing in this package says what
a verdict is.
"""

from __future__ import annotations

import importlib
import pkgutil

import mmsim.scenarios
from mmsim.claims.model import Claim


def claims(thread: str | None = None) -> tuple[Claim, ...]:
    """Every claim, or those of one thread ("002"), in order of thread and number."""
    found: list[Claim] = []
    for info in pkgutil.iter_modules(mmsim.scenarios.__path__):
        if info.ispkg:
            found += importlib.import_module(f"mmsim.scenarios.{info.name}.claims").CLAIMS
    return tuple(c for c in found if thread is None or c.thread == thread)
