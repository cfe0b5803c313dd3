# SPDX-License-Identifier: GPL-2.0-only
"""A kept campaign over fake variants, in this process; as a command, one that kills itself.

`python -m tests.stress.store_driver STORE N [BYTES]` works on the campaign and dies of SIGKILL
before the N-th statement that the store executes, in a transaction or between two. BYTES, if given,
are all that any file may hold: a disk that is full.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from mmsim.stress.identity import Identity
from mmsim.stress.pairs import Pair
from mmsim.stress.plan import Campaign
from mmsim.stress.profile import Budget
from mmsim.stress.settings import Settings
from mmsim.stress.stored.file import Store
from mmsim.stress.stored.kept import Kept, open_campaign
from mmsim.stress.tally import Block
from mmsim.stress.worker import Setting, run_block
from tests.stress.fake import FakeSource, FakeVariant, Verdict, source

SEED = 11
RIGHT = FakeVariant("900.right", Verdict.NEVER, twins=("900.wrong",))
WRONG = FakeVariant("900.wrong", Verdict.SOMETIMES, 0.02, titles=("a", "b"), extra="then")
OFTEN = FakeVariant("900.often", Verdict.SOMETIMES, 0.4, metrics={"draw": "< 0.9"})
SOURCE = source(RIGHT, WRONG, OFTEN)
WHO = Identity("c0de", "CPython 3.12", "1.0", "3.12.1", True, "host", "Linux", 1)


def settings(seed: int = SEED) -> Settings:
    """The right variant waits for its twin, and gets then as many runs as its rate asks for."""
    return Settings(
        variants=(
            (RIGHT, Budget(100, 3, 5000)),
            (WRONG, Budget(5000, 8)),
            (OFTEN, Budget(500)),
        ),
        cpus=2,
        seed=seed,
        engine="threads",
        policy="mix",
        jobs=1,
        seconds=None,
        profile="fake",
        file=None,
        pairs=(Pair(RIGHT, WRONG, RIGHT),),
    )


def work(
    campaign: Campaign,
    seed: int = SEED,
    workers: int = 3,
    order: int = 0,
    lose: Callable[[Block], bool] = lambda block: False,
    of: FakeSource = SOURCE,
) -> None:
    """Run a campaign to its end; its blocks come back in any order."""
    setting = Setting(of, cpus=2, seed=seed, engine="threads", policy="mix")
    rng = random.Random(order)
    open_blocks: list[Block] = []
    while True:
        while len(open_blocks) < workers and (block := campaign.next_block()):
            open_blocks.append(block)
        if not open_blocks:
            return
        block = open_blocks.pop(rng.randrange(len(open_blocks)))
        if lose(block):
            campaign.lost.append(f"lost: {block}")
            campaign.put(block, None)
        else:
            campaign.put(block, run_block(setting, block, lambda beat: None))


def begin(store: Store, seed: int = SEED, *, resume: bool = False, who: Identity = WHO) -> Kept:
    return open_campaign(store, settings(seed), who, "python -m fake", "3 fakes", resume=resume)


def finish(campaign: Kept) -> None:
    campaign.end(complete=not campaign.lost, wall=1.0)


def main(path: str, moment: int, bytes: int | None) -> None:
    with Store(Path(path), write=True) as store:
        left = moment

        def executed(statement: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        store.db.set_trace_callback(executed)
        if bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, bytes))
        campaign = begin(store, resume=True)
        work(campaign, order=moment)
        finish(campaign)
    print(moment - left)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
