# SPDX-License-Identifier: GPL-2.0-only
"""The blocks of one campaign that are in a store, as the plan asks for them.

Where a lane's blocks end depends a little on when they were handed out: one that reaches the runs
planned so far is cut there, and more may be planned a moment later. So what the plan asks for is
looked up run by run. It gets the part of a stored block that begins with its first run; if there
is none, the block has to be run, up to the next run that is there. No run is computed twice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from mmsim.stress.plan import Lane
from mmsim.stress.stored.file import Store
from mmsim.stress.tally import Block, BlockResult


class Shelf:
    """What the store has of campaign ``id`` now; what is added later is not seen."""

    def __init__(self, store: Store, id: int) -> None:
        self._store = store
        self._samples = store.samples(id)
        self._spans: dict[str, dict[int, tuple[int, int]]] = {}
        self.runs = 0
        for row in store.spans(id):
            self._spans.setdefault(row["variant"], {})[row["first"]] = (row["id"], row["covers"])
            self.runs += row["runs"]
        self._firsts = {variant: sorted(spans) for variant, spans in self._spans.items()}

    def fit(self, lane: Lane, block: Block) -> tuple[Block, BlockResult | None]:
        """The block that ``lane`` has just handed out, in the size that fits; with its result, if
        it is here.
        """
        firsts = self._firsts.get(block.variant, [])
        behind = bisect_right(firsts, block.first)
        if behind:
            first = firsts[behind - 1]
            id, covers = self._spans[block.variant][first]
            room = first + covers - block.first
            if room > 0:
                block = _fitted(lane, block, room)
                stored = self._store.block(id, self._samples.get(block.variant, {}))
                return block, stored.part(block.first - first, block.count)
        room = firsts[behind] - block.first if behind < len(firsts) else block.count
        return _fitted(lane, block, room), None

    def count(self, lane: Lane, lost: dict[int, int]) -> bool:
        """Let ``lane`` count what is here, up to the first gap; True if it has come to one.

        ``lost`` are the blocks that were given up, first run and size: those are passed over.
        """
        while lane.ready and not lane.exhausted:
            block, result = self.fit(lane, lane.next_block())
            if result is None:
                if block.first not in lost:
                    return True
                block = _fitted(lane, block, lost[block.first])
            lane.put(block.number, result)
        return False

    def gaps(self) -> Iterator[tuple[str, int, int]]:
        """Runs that are missing between others: variant, first, end. An overlap ends before it
        begins.
        """
        for variant, firsts in self._firsts.items():
            end = 0
            for first in firsts:
                if first != end:
                    yield variant, end, first
                end = first + self._spans[variant][first][1]


def _fitted(lane: Lane, block: Block, room: int) -> Block:
    return lane.resize(block, room) if room < block.count else block
