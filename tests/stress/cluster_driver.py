# SPDX-License-Identifier: GPL-2.0-only
"""A crew of dask's worker processes over fake variants, with something done to them on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmsim.stress.cluster import Cluster
from mmsim.stress.clusterspec import Spec
from mmsim.stress.plan import Campaign
from mmsim.stress.tally import Block, BlockResult, Tally
from mmsim.stress.worker import Setting
from tests.stress.fake import FakeSource


class Ear:
    """An observer that remembers, and does something when so many blocks are counted."""

    def __init__(self) -> None:
        self.troubles: list[str] = []
        self.done: list[str] = []

    def progress(self, campaign: Campaign, runs: int, findings: int) -> None:
        pass

    def variant_done(self, tally: Tally) -> None:
        self.done.append(tally.variant.id)

    def trouble(self, message: str) -> None:
        self.troubles.append(message)


class Watched(Campaign):
    """A campaign that keeps the rows, and calls ``then`` when ``at`` blocks have come."""

    rows: list[BlockResult]
    at: int = -1
    then: Callable[[], None] = staticmethod(lambda: None)

    def put(self, block: Block, result: BlockResult | None) -> bool:
        if not hasattr(self, "rows"):
            self.rows = []
        if result is not None:
            self.rows.append(result)
        if len(self.rows) == self.at:
            self.then()
        return super().put(block, result)


def setting(of: FakeSource, seed: int = 1) -> Setting:
    return Setting(of, cpus=2, seed=seed, engine="threads", policy="mix")


def spec(address: str, **more: Any) -> Spec:
    return Spec(address, scheduler=address, **{"wait": 60.0, **more})


def pids(crew: Cluster) -> list[int]:
    """Of the workers that compute, in the order in which they came."""
    return [seat.who.pid for seat in crew._able() if seat.who is not None]
