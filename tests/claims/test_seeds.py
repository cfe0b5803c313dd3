# SPDX-License-Identifier: GPL-2.0-only
"""A claim that one seed confirms and another does not is not settled.

Every claim gets the runs that `python -m mmsim claims` gives it, with ten seeds.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from mmsim.claims import claims
from mmsim.claims.settle import answers, campaign
from mmsim.stress.source import Library

RUNS = 400  # of each variant, as the command's default
SEEDS = range(1, 11)


@pytest.mark.slow
@pytest.mark.parametrize("thread", sorted({claim.thread for claim in claims()}))
def test_no_verdict_depends_on_the_seed(thread: str) -> None:
    subject = claims(thread)
    verdicts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for seed in SEEDS:
        tallies, complete = campaign(subject, Library(), runs=RUNS, cpus=8, seed=seed, jobs=None)
        assert complete
        for answer in answers(subject, tallies):
            verdicts[answer.claim.id][answer.settled.value].append(seed)
    differing = {id: dict(seeds) for id, seeds in verdicts.items() if len(seeds) > 1}
    assert not differing
