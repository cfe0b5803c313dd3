# SPDX-License-Identifier: GPL-2.0-only
"""A second search, which makes events to the end.  Compiled code has no such children."""

from __future__ import annotations

from mmsim.engine.explore import Dpor
from mmsim.engine.explore.nodes import Node


class Thorough(Dpor):
    """Makes events of what the last one does that has seen everything, too."""

    def _seen_all(self, node: Node) -> bool:
        return False
