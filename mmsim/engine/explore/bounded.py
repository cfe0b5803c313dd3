# SPDX-License-Identifier: GPL-2.0-only
"""All schedules with at most so many preemptions, and no reduction.

Musuvathi, Qadeer, "Iterative Context Bounding for Systematic Testing of Multithreaded Programs"
(PLDI'07).  A *preemption* is a switch away from a context that could have gone on; an interrupt
that comes in is one.  For casts too large to be exhausted: most races need one or two.
"""

from __future__ import annotations

from mmsim.engine.context import Context
from mmsim.engine.explore.nodes import Node
from mmsim.engine.explore.search import Search


class Bounded(Search):
    """``bound`` preemptions at most; None: any number, that is every order of events."""

    def __init__(self, bound: int | None, *, longest: int | None = None) -> None:
        if longest is None:
            super().__init__()
        else:
            super().__init__(longest=longest)
        self.bound = bound

    def _enter(self, node: Node) -> None:
        if self.nodes:
            node.preemptions = self.nodes[-1].preemptions + self._preempts(len(self.nodes) - 1)

    def _first(self, node: Node, can: list[Context], current: Context | None) -> Context:
        last = self.nodes[-1].cur if self.nodes else None
        stays = next((ctx for ctx in can if ctx.id == last), None) or can[0]
        if stays.id != last or self.bound is None or node.preemptions < self.bound:
            node.back = (stays.id, *[id for id in node.can if id != stays.id])
        return stays

    def _preempts(self, depth: int) -> bool:
        """Is the choice at that node a preemption?"""
        if not depth:
            return False
        node, last = self.nodes[depth], self.nodes[depth - 1].cur
        return node.cur != last and last in node.can
