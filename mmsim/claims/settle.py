# SPDX-License-Identifier: GPL-2.0-only
"""From claims to verdicts: run the variants they need, once each, and ask the conditions.

Every variant gets a number of runs that is fixed beforehand, whether it fails early or not: a rate
or a metric that is compared with another must not come from a campaign that stopped because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmsim.claims.model import Claim, Settled, Tallies
from mmsim.engine.policy import MIX
from mmsim.stress import worker
from mmsim.stress.cli import run
from mmsim.stress.profile import Budget
from mmsim.stress.settings import DEFAULT_ENGINE, Settings
from mmsim.stress.source import Source, find_variant


@dataclass(frozen=True)
class Answer:
    """A claim with its verdict and the evidence for it, a line a condition."""

    claim: Claim
    settled: Settled
    evidence: tuple[str, ...]


def budgets(claims: Iterable[Claim], runs: int) -> dict[str, int]:
    """The runs of each variant that they need: ``runs``, or as many more as a claim asks."""
    times: dict[str, int] = {}
    for claim in claims:
        for variant in claim.variants():
            times[variant] = max(times.get(variant, 1), claim.rare.get(variant, 1))
    return {variant: runs * times[variant] for variant in sorted(times)}


def answers(claims: Iterable[Claim], tallies: Tallies) -> tuple[Answer, ...]:
    """What these tallies say."""
    return tuple(Answer(c, c.settle(tallies), c.evidence(tallies)) for c in claims)


def campaign(
    claims: Sequence[Claim], source: Source, *, runs: int, cpus: int, seed: int, jobs: int | None
) -> tuple[Tallies, bool]:
    """Run what the claims need; the tallies, and whether the campaign is complete.

    Raises UsageError if a claim names a variant that does not exist.
    """
    settings = Settings(
        variants=tuple(
            (find_variant(source, id), Budget(n, None)) for id, n in budgets(claims, runs).items()
        ),
        cpus=cpus,
        seed=seed,
        engine=DEFAULT_ENGINE,
        policy=MIX,
        jobs=jobs or len(worker.cores()),
        seconds=None,
        profile="claims",
        file=source.file,
    )
    outcome = run(settings, source)
    tallies = {tally.variant.id: tally for tally in outcome.campaign.tallies}
    return tallies, outcome.complete
