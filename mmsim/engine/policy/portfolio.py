# SPDX-License-Identifier: GPL-2.0-only
"""Several policies at once: each run has the one that is drawn for it.

A race that one policy meets every fourth time, another does not meet in four hundred runs, and
which one it is differs from race to race. So a portfolio holds a share for each of its members. It
is even as long as nothing is known, and then most of it goes to whoever finds (`mmsim.stress.odds`
keeps the count); nobody falls below `LEAST`, because what is known of a race was learnt on other
code.

The members are kinds, and not variations of one: uniform at every point (`random-walk`), rare
yields of three lengths (`geometric-8`, `-32`, `-128`), a context that is starved (`pct`), an order
of what touches the same word (`pos`), an order drawn evenly among all (`surw`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

NAME = "portfolio"
MEMBERS = ("random-walk", "geometric-8", "geometric-32", "geometric-128", "pct", "pos", "surw")
LEAST = 0.05
"""Share of a member that has found nothing."""


@dataclass(frozen=True)
class Portfolio:
    """Shares by member, in the order of `MEMBERS`; they add up to 1."""

    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.shares) != len(MEMBERS) or abs(sum(self.shares) - 1.0) > 1e-9:
            raise ValueError(f"{self.shares} are no shares of {', '.join(MEMBERS)}")

    def draw(self, rng: Random) -> str:
        """The member for one run."""
        u = rng.random()
        for name, share in zip(MEMBERS, self.shares, strict=True):
            u -= share
            if u < 0.0:
                return name
        return MEMBERS[-1]

    @property
    def by_name(self) -> Mapping[str, float]:
        return dict(zip(MEMBERS, self.shares, strict=True))


EVEN = Portfolio((1.0 / len(MEMBERS),) * len(MEMBERS))


def favouring(name: str) -> Portfolio:
    """Everything to one member, but for what the others have at least."""
    rest = 1.0 - LEAST * (len(MEMBERS) - 1)
    return Portfolio(tuple(rest if member == name else LEAST for member in MEMBERS))
