# SPDX-License-Identifier: GPL-2.0-only
"""Two variants run by run, until a sequential test has told them apart.

Their runs are counted in pairs, the n-th of one beside the n-th of the other, in this order and no
other, so the pair that decides is the same with one worker and with sixty. What later blocks hold
is dropped uncounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsim.stress.plan import Campaign
from mmsim.stress.profile import Budget
from mmsim.stress.statistics import Sequential
from mmsim.stress.tally import Block, BlockResult

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant


class Duel(Campaign):
    """At most ``budget`` for each; ends as soon as ``test`` is decided."""

    def __init__(self, first: Variant, second: Variant, test: Sequential, budget: Budget) -> None:
        super().__init__([(first, budget), (second, budget)])
        self.test = test
        self._ready: dict[str, dict[int, BlockResult | None]] = {first.id: {}, second.id: {}}
        self._met = 0

    def put(self, block: Block, result: BlockResult | None) -> bool:
        """Take a result (None: lost); count it when that of the other is here, too."""
        lane = self.lanes[block.variant]
        lane.open.discard(block.number)
        self._ready[block.variant][block.number] = result
        while self.test.decided is None and all(self._met in r for r in self._ready.values()):
            first, second = (ready.pop(self._met) for ready in self._ready.values())
            self._met += 1
            if first is not None and second is not None:
                self._meet(first, second)
        return lane.finished

    def _meet(self, first: BlockResult, second: BlockResult) -> None:
        """Count two blocks of the same runs, up to the pair that decides."""
        failing = [{failure.offset for failure in r.failures} for r in (first, second)]
        pairs = 0
        while pairs < min(first.runs, second.runs) and self.test.decided is None:
            self.test.add(pairs in failing[0], pairs in failing[1])
            pairs += 1
        for tally, result in zip(self.tallies, (first, second), strict=True):
            tally.take(result.upto(pairs))
        if self.test.decided is not None:
            for lane in self.lanes.values():
                lane.runs = lane.tally.runs
