# SPDX-License-Identifier: GPL-2.0-only
"""Lab 6 compares alarms run by run: there have to be some, of each mutant."""

from __future__ import annotations

import pytest

from mmsim.labs import lab6


@pytest.mark.parametrize("name", lab6.BREAK)
def test_each_break_is_there_to_be_seen(name: str) -> None:
    found = lab6.watched(name, lab6.reference(), (1,), lab6.MUTANT_RUNS)
    assert sum(broken > 0 for _, _, broken in found) >= 3
