# SPDX-License-Identifier: GPL-2.0-only
"""Games that the tests of the player have in common."""

from __future__ import annotations

from mmsim.play.session import Session
from mmsim.stress.source import Library, find_variant

# 7 February on two CPUs, by the keys of the text game: both packets come in on CPU0, the second
# drops the last reference; kswapd frees the page; the packet frees it again.
DOUBLE_FREE = ("i0", "0 b", "i0", "0 3", "1 23", "0 b")


def flawed(cpus: int = 2) -> Session:
    return Session(find_variant(Library(), "002.flawed"), cpus=cpus)
