# SPDX-License-Identifier: GPL-2.0-only
"""How many runs one waits for a finding, by the policy that decides who goes on.

Runs are independent, so every run that follows a finding begins a new wait: the gaps between
findings are waiting times like the first one. The last gap was cut off by the end of the campaign,
which is what Kaplan and Meier's estimate is for. Under `mix` each run draws its policy, and the
runs of each are a sequence of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmsim.stress.stored.file import Store
from mmsim.stress.stored.recount import Recount


@dataclass
class Curve:
    """The waits of one variant under one policy, in runs."""

    policy: str
    waits: list[int] = field(default_factory=list)
    """Runs until a finding, that run included."""
    rest: int = 0
    """Runs after the last finding, without another."""

    @property
    def runs(self) -> int:
        return sum(self.waits) + self.rest

    def add(self, failed: bool) -> None:
        self.rest += 1
        if failed:
            self.waits.append(self.rest)
            self.rest = 0

    def steps(self) -> list[tuple[int, float]]:
        """(n, share of waits longer than n runs), from (0, 1) on; the last is where it is cut."""
        left, share = 1.0, [(0, 1.0)]
        at_risk = len(self.waits) + (self.rest > 0)
        ends = sorted(set(self.waits) | ({self.rest} if self.rest else set()))
        for n in ends:
            events = self.waits.count(n)
            if events:
                left *= 1.0 - events / at_risk
                share.append((n, left))
            at_risk -= events + (self.rest == n)
        if self.rest > share[-1][0]:
            share.append((self.rest, left))
        return share


def curves(store: Store, counted: Recount) -> dict[str, tuple[Curve, ...]]:
    """Of every variant declared to fail that did so in some of its runs, the waits under each
    policy.
    """
    found: dict[str, tuple[Curve, ...]] = {}
    for tally in counted.campaign.tallies:
        if tally.variant.expect.value == "Never" or not 0 < tally.findings < tally.runs:
            continue
        by_policy: dict[str, Curve] = {}
        runs = 0
        query = "SELECT id, first FROM block WHERE campaign = ? AND variant = ? ORDER BY first"
        for row in store.rows(query, counted.id, tally.variant.id):
            if row["first"] != runs:
                break
            block = store.block(row["id"], {})
            failing = {failure.offset for failure in block.failures}
            for offset, policy in enumerate(block.policies):
                if row["first"] + offset >= tally.runs:
                    break
                by_policy.setdefault(policy, Curve(policy)).add(offset in failing)
            runs = row["first"] + block.block.count
        found[tally.variant.id] = tuple(by_policy[name] for name in sorted(by_policy))
    return found
