# SPDX-License-Identifier: GPL-2.0-only
"""Under which policy does a race show, and what follows for the runs to come.

Each policy of a portfolio is an arm of a bandit: a run of it costs something and finds the race or
does not. What is known of an arm is how many of its runs found it. While that is little, runs go to
the arm that could be the best one, judged by the upper end of what its count allows (KL-UCB,
Garivier and Cappe 2011); the index of a rare event has to be that sharp, the usual square root is
far above every rate here. Once a few findings are in, `LEARNT`, the shares are fixed: rates,
intervals and p are of runs with fixed shares, drawn independently.

`stress/odds/learnt.toml` keeps what was learnt of the variants of mmsim (`python -m mmsim odds`),
on runs that no campaign repeats. So a campaign of these has its shares from the first run on. It
learns only of a variant that is not in there, such as one of a user's own file.

A policy that thinks or hands over at every point costs more than one that seldom does, and how much
more depends on the race. Measured clocks would not be reproducible, so cost is counted (`cost_of`).
Where nobody has counted, `COST` stands in.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from mmsim.engine.policy.portfolio import EVEN, MEMBERS, Portfolio, favouring
from mmsim.errors import UsageError, one_line
from mmsim.stress.profile import directories

FILE = Path("odds", "learnt.toml")
HANDOVERS, THOUGHTS = 400.0, 250.0
"""So many of them cost as much as the rest of a run, at 8 CPUs under threads."""
THINKERS = ("pos", "surw")
"""Policies that are asked at every point."""
COST: Mapping[str, float] = {
    "random-walk": 2.0,
    "geometric-8": 1.0,
    "geometric-32": 0.9,
    "geometric-128": 0.8,
    "pct": 0.6,
    "pos": 3.2,
    "surw": 4.2,
}
"""What a run costs, as a multiple of geometric-8's: about so, in the mean of some variants."""
LEARNT = 3
"""Findings after which the shares stay as they are."""
HEAD = """\
# SPDX-License-Identifier: GPL-2.0-only
#
# What `python -m mmsim odds --write` has learnt, at 8 CPUs: of each variant that can fail, and of
# each policy of the portfolio, [findings, runs, cost of a run].
"""


@dataclass
class Odds:
    """Findings and runs of one variant, by policy."""

    findings: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEMBERS, 0))
    runs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEMBERS, 0))
    costs: dict[str, float] = field(default_factory=dict)
    """Of all runs together."""

    def add(self, policy: str, found: int, runs: int = 1, cost: float | None = None) -> None:
        """Count runs of a member; runs of any other policy are no news."""
        if policy in self.runs:
            self.runs[policy] += runs
            self.findings[policy] += found
            if cost is not None:
                self.costs[policy] = self.costs.get(policy, 0.0) + runs * cost

    def cost(self, policy: str) -> float:
        """What a run costs, as a multiple of one in which nobody is asked."""
        if policy in self.costs:
            return self.costs[policy] / self.runs[policy]
        return COST[policy]

    @property
    def found(self) -> int:
        return sum(self.findings.values())

    def rate(self, policy: str) -> float:
        """Findings a run, a little fewer than were seen: one in one run is no certainty."""
        return self.findings[policy] / (self.runs[policy] + 1.0)

    def could_be(self, policy: str) -> float:
        """The upper end of the rates that its count allows, after so many runs in all."""
        n = self.runs[policy]
        total = sum(self.runs.values())
        return upper(self.findings[policy], n, math.log(total)) if n else 1.0

    def best(self) -> str:
        """The member that finds most for what it costs."""
        return max(MEMBERS, key=lambda name: self.rate(name) / self.cost(name))

    def promising(self) -> str:
        """The member that could be it."""
        return max(MEMBERS, key=lambda name: self.could_be(name) / self.cost(name))

    def portfolio(self) -> Portfolio:
        """The shares that follow; even ones before the first finding."""
        return favouring(self.best()) if self.found else EVEN


def cost_of(policy: str, steps: int, handovers: int) -> float:
    """What a run of so many points and hand-overs costs."""
    thoughts = steps if policy in THINKERS else 0
    return 1.0 + handovers / HANDOVERS + thoughts / THOUGHTS


def upper(k: int, n: int, budget: float) -> float:
    """The largest rate q with n * KL(k/n, q) <= budget: the index of KL-UCB."""
    p = k / n
    low, high = p, 1.0
    for _ in range(40):
        q = (low + high) / 2
        if n * _divergence(p, q) <= budget:
            low = q
        else:
            high = q
    return low


def _divergence(p: float, q: float) -> float:
    """Of two Bernoulli distributions, in nats."""
    if q >= 1.0:
        return math.inf if p < 1.0 else 0.0
    first = p * math.log(p / q) if p else 0.0
    return first + ((1.0 - p) * math.log((1.0 - p) / (1.0 - q)) if p < 1.0 else 0.0)


@lru_cache(maxsize=1)
def learnt() -> Mapping[str, Odds]:
    """What is known of the variants of mmsim; nothing if the file is not there.

    Raises UsageError if it is there and says something else.
    """
    for directory in directories():
        path = directory / FILE
        if path.is_file():
            return read(path)
    return {}


def read(path: Path) -> Mapping[str, Odds]:
    """The odds of a file. Raises UsageError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        known: dict[str, Odds] = {}
        for variant, rows in data.items():
            odds = known[variant] = Odds()
            for policy, (found, runs, cost) in rows.items():
                if policy not in MEMBERS or not 0 <= found <= runs or not runs or cost < 1.0:
                    raise ValueError(f"{variant}: {policy} = [{found}, {runs}, {cost}]")
                odds.add(policy, found, runs, cost)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: no odds of policies: {one_line(error)}") from None
    return known


def text(known: Mapping[str, Odds]) -> str:
    """The file, variants in the order given."""
    lines = [HEAD]
    for variant, odds in known.items():
        lines.append(f'["{variant}"]')
        lines += [
            f"{name} = [{odds.findings[name]}, {odds.runs[name]}, {odds.cost(name):.2f}]"
            for name in MEMBERS
        ]
        lines.append("")
    return "\n".join(lines)
