# SPDX-License-Identifier: GPL-2.0-only
"""Which small casts a variant is explored with.

For a variant declared Never each is a claim: with these actors and these interrupts it cannot fail.
The first are the ones that its gates concern; then come others who could meet the changed code.  For
any other variant they are where its race is to be found.

A cast is followed by ``/k`` where only schedules with at most k preemptions are explored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PLAN: Mapping[str, Sequence[str]] = {}
