# SPDX-License-Identifier: GPL-2.0-only
"""Which block of runs comes next, and in which order results count.

Every variant has a lane: its runs cut into blocks in a way that depends on nothing but their
numbers, small ones first so that an easy race shows at once. Lanes take turns, so that all
variants move on together and every core has work to the end. Near the end one lane may be left
alone; then its blocks are given out ahead of time, and those behind the last finding that was
wanted are dropped uncounted.

Under a portfolio of policies a block carries the shares that its runs are drawn with. A lane that
learns them (`odds`) does so in rounds: nothing of a round is handed out before the one before it is
counted, so the shares are a function of the counts, too. The right one of a pair has the shares of
its twin, since a rate is one of these shares.

How many runs the right one of a pair needs is known when its twin has been through: until then it
gets its own least, and then the rest. That, too, is a function of the counts and of nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mmsim.engine.policy.portfolio import Portfolio, favouring
from mmsim.stress.odds import LEARNT, Odds
from mmsim.stress.pairs import Evidence, Pair
from mmsim.stress.profile import Budget
from mmsim.stress.statistics import runs_needed
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
    most: int | None = None
    """Runs that it may get for the sake of a pair; None: `runs` are all."""
    given: int = 0
    """Blocks handed out so far."""
    open: set[int] = field(default_factory=set)
    """Blocks handed out and not back yet."""
    twins: list[Lane] = field(default_factory=list)
    """Those whose rates decide how many runs it needs."""
    portfolio: Portfolio | None = None
    """Shares of the policies, as far as they are its own to say."""
    odds: Odds | None = None
    """What it learns; None if it does not, or has done so."""
    follows: Lane | None = None
    """The one whose shares it has."""
    _round: int = SMALLEST
    """Runs at the end of the round in which it learns."""
    _given_runs: int = 0
    _counts: dict[int, int] = field(default_factory=dict)
    """Sizes of the blocks that are handed out and not counted."""
    _waiting: dict[int, BlockResult | None] = field(default_factory=dict)
    _counted: int = 0
    _counted_runs: int = 0

    @property
    def waits(self) -> bool:
        """Not all of its twins are through: it may get more runs yet."""
        return self.most is not None and not all(twin.finished for twin in self.twins)

    @property
    def planned(self) -> int | None:
        """Runs it gets at most, as far as is known now; None: no end is planned."""
        if self.runs is None or self.most is None or self.waits:
            return self.runs
        needed = [runs_needed(twin.tally.rate.low) for twin in self.twins if twin.tally.findings]
        return max([self.runs, *(n for n in needed if n is not None and n <= self.most)])

    @property
    def exhausted(self) -> bool:
        """Nothing to hand out now."""
        planned = self.planned
        return self.tally.enough or (planned is not None and self._given_runs >= planned)

    @property
    def ready(self) -> bool:
        """The next block can be handed out: it is known which policies it is for."""
        if self.follows is not None:
            return self.follows.odds is None or self.follows.finished
        return self.odds is None or self._given_runs < self._round

    @property
    def shares(self) -> Portfolio | None:
        """Of policies, in the next block."""
        return (self.follows or self).portfolio

    @property
    def finished(self) -> bool:
        if self.tally.enough:
            return True
        return not self.waits and self.exhausted and not self.open

    @property
    def left(self) -> float | None:
        """Runs that are still to come, as far as can be told."""
        planned, tally = self.planned, self.tally
        if planned is None:
            return None
        if self.waits:  # the lower limit will be about so much lower than the rate
            known = [runs_needed(0.4 * twin.likely) for twin in self.twins]
            planned = max([planned, *(n for n in known if n is not None)])
        most = float(max(0, planned - tally.runs))
        if tally.missing is None or tally.variant.expect.value == "Never":
            return most
        return min(most, tally.missing / self.likely)

    @property
    def likely(self) -> float:
        """Findings a run, guessed: before the first runs, what most races here have."""
        return (self.tally.findings + 1) / (self.tally.runs + 10)

    def next_block(self) -> Block:
        count, planned = cut(self.given)[1], self.planned
        if planned is not None:
            count = min(count, planned - self._given_runs)
        if self.odds is not None:
            count = min(count, self._round - self._given_runs)
        tally, first = self.tally, self._given_runs
        block = Block(tally.variant.id, self.given, first, count, tally.missing, self.shares)
        self.open.add(self.given)
        self._counts[self.given] = count
        self.given += 1
        self._given_runs += count
        return block

    def resize(self, block: Block, count: int) -> Block:
        """Give the block that was handed out last another size; the next one begins behind it."""
        self._given_runs += count - block.count
        self._counts[block.number] = count
        return replace(block, count=count)

    def put(self, number: int, result: BlockResult | None) -> None:
        """Take a block back, or None for one that was lost; count what is next in line."""
        self.open.discard(number)
        self._waiting[number] = result
        while self._counted in self._waiting:
            ready = self._waiting.pop(self._counted)
            self._counted_runs += self._counts.pop(self._counted)
            self._counted += 1
            if ready is not None:
                self.tally.take(ready)
            if self.odds is not None:
                self._learn(self.odds, ready)

    def _learn(self, odds: Odds, result: BlockResult | None) -> None:
        """Count a block by policy; at the end of a round, draw the conclusion."""
        if result is not None:
            failing = {failure.offset for failure in result.failures}
            for offset, name in enumerate(result.policies):
                odds.add(name, offset in failing)
        if self._counted_runs < self._round:
            return
        self._round += min(self._round + SMALLEST, LARGEST)
        if odds.found >= LEARNT:
            self.portfolio, self.odds = odds.portfolio(), None
            self.tally.has_learnt()
        else:
            self.portfolio = favouring(odds.promising())


def _lane(variant: Variant, budget: Budget) -> Lane:
    tally = Tally(variant, budget.stop_after, learning=budget.learns)
    odds = Odds() if budget.learns else None
    return Lane(tally, budget.runs, budget.most, portfolio=budget.portfolio, odds=odds)


class Campaign:
    """All lanes, and the turns they take.

    ``budgets`` are of the variants that were asked for; ``beside`` of those that run for the sake
    of ``pairs`` alone: twins that nobody asked for, and right variants with the cast of a twin.
    """

    def __init__(
        self,
        budgets: Iterable[tuple[Variant, Budget]],
        pairs: Iterable[Pair] = (),
        beside: Iterable[tuple[Variant, Budget]] = (),
    ) -> None:
        asked = list(budgets)
        self.pairs = tuple(pairs)
        self.lanes = {v.id: _lane(v, b) for v, b in (*asked, *beside)}
        self._asked = [v.id for v, _ in asked]
        self.lost: list[str] = []
        """What is missing from the counts, in words."""
        for pair in self.pairs:
            arm, wrong = self.lanes[pair.arm.id], self.lanes[pair.wrong.id]
            arm.twins.append(wrong)
            if arm.portfolio is not None and arm.follows is None:
                arm.follows = wrong

    @property
    def tallies(self) -> list[Tally]:
        """Of the variants that were asked for."""
        return [self.lanes[id].tally for id in self._asked]

    @property
    def runs(self) -> int:
        return sum(lane.tally.runs for lane in self.lanes.values())

    @property
    def findings(self) -> int:
        return sum(lane.tally.findings for lane in self.lanes.values())

    @property
    def wanted(self) -> int | None:
        """Runs there will be at most, as far as is known now."""
        total = 0
        for lane in self.lanes.values():
            planned = lane.tally.runs if lane.finished else lane.planned
            if planned is None:
                return None
            total += planned
        return total

    def evidence(self, variant_id: str) -> tuple[Evidence, ...]:
        """What the runs say so far of the variant's pairs."""
        return tuple(
            Evidence(pair, self.lanes[pair.arm.id].tally, self.lanes[pair.wrong.id].tally)
            for pair in self.pairs
            if pair.right.id == variant_id
        )

    def through(self, variant_id: str) -> bool:
        """The variant and its pairs have had all the runs that they get."""
        ids = {variant_id}
        for pair in self.pairs:
            if pair.right.id == variant_id:
                ids |= {pair.arm.id, pair.wrong.id}
        return all(self.lanes[id].finished for id in ids)

    def next_block(self) -> Block | None:
        """The block to run now: the lane that is least far; none ahead of time if others can go."""
        lanes = [lane for lane in self.lanes.values() if lane.ready and not lane.exhausted]
        if not lanes:
            return None
        return min(lanes, key=lambda lane: (bool(lane.open), lane.given)).next_block()

    def drop(self, block: Block) -> bool:
        """Give a block back that has not been begun, if its variant has all that it needs."""
        lane = self.lanes[block.variant]
        if lane.tally.enough:
            lane.open.discard(block.number)
        return lane.tally.enough

    def put(self, block: Block, result: BlockResult | None) -> bool:
        """Take a result (None: lost). True if this was the last that its variant needed."""
        lane = self.lanes[block.variant]
        before = lane.finished
        lane.put(block.number, result)
        return lane.finished and not before
