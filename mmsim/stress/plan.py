# SPDX-License-Identifier: GPL-2.0-only
"""Which block of runs comes next, and in which order results count.

Every variant has a lane: its runs cut into blocks in a way that depends on nothing but their
numbers, small ones first so that an easy race shows at once. Lanes take turns, so that all
variants move on together and every core has work to the end. Near the end one lane may be left
alone; then its blocks are given out ahead of time, and those behind the last finding that was
wanted are dropped uncounted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmsim.stress.profile import Budget
from mmsim.stress.tally import Block, BlockResult, Tally

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant

SMALLEST = 32
LARGEST = 256


def cut(number: int) -> tuple[int, int]:
    """First run and size of block `number`: 32, 64, 128, and then 256 runs each."""
    doublings = (LARGEST // SMALLEST).bit_length() - 1
    if number < doublings:
        return SMALLEST * ((1 << number) - 1), SMALLEST << number
    return SMALLEST * ((1 << doublings) - 1) + LARGEST * (number - doublings), LARGEST


@dataclass
class Lane:
    """One variant's way through the campaign."""

    tally: Tally
    runs: int | None
    given: int = 0
    """Blocks handed out so far."""
    open: set[int] = field(default_factory=set)
    """Blocks handed out and not back yet."""
    _waiting: dict[int, BlockResult | None] = field(default_factory=dict)
    _counted: int = 0

    @property
    def exhausted(self) -> bool:
        """Nothing more to hand out."""
        return self.tally.enough or (self.runs is not None and cut(self.given)[0] >= self.runs)

    @property
    def finished(self) -> bool:
        return self.exhausted and (self.tally.enough or not self.open)

    def next_block(self) -> Block:
        first, count = cut(self.given)
        if self.runs is not None:
            count = min(count, self.runs - first)
        block = Block(self.tally.variant.id, self.given, first, count, self.tally.missing)
        self.open.add(self.given)
        self.given += 1
        return block

    def put(self, number: int, result: BlockResult | None) -> None:
        """Take a block back, or None for one that was lost; count what is next in line."""
        self.open.discard(number)
        self._waiting[number] = result
        while self._counted in self._waiting:
            ready = self._waiting.pop(self._counted)
            self._counted += 1
            if ready is not None:
                self.tally.take(ready)


class Campaign:
    """All lanes, and the turns they take."""

    def __init__(self, budgets: Iterable[tuple[Variant, Budget]]) -> None:
        self.lanes = {v.id: Lane(Tally(v, b.stop_after), b.runs) for v, b in budgets}
        self.lost: list[str] = []
        """What is missing from the counts, in words."""

    @property
    def tallies(self) -> list[Tally]:
        return [lane.tally for lane in self.lanes.values()]

    @property
    def runs(self) -> int:
        return sum(tally.runs for tally in self.tallies)

    @property
    def findings(self) -> int:
        return sum(tally.findings for tally in self.tallies)

    @property
    def wanted(self) -> int | None:
        """Runs there will be at most, as far as is known now."""
        total = 0
        for lane in self.lanes.values():
            if lane.finished:
                total += lane.tally.runs
            elif lane.runs is None:
                return None
            else:
                total += lane.runs
        return total

    def next_block(self) -> Block | None:
        """The block to run now: the lane that is least far; none ahead of time if others can go."""
        lanes = [lane for lane in self.lanes.values() if not lane.exhausted]
        if not lanes:
            return None
        return min(lanes, key=lambda lane: (bool(lane.open), lane.given)).next_block()

    def put(self, block: Block, result: BlockResult | None) -> bool:
        """Take a result (None: lost). True if this was the last that its variant needed."""
        lane = self.lanes[block.variant]
        before = lane.finished
        lane.put(block.number, result)
        return lane.finished and not before
