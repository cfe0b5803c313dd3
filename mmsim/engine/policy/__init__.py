# SPDX-License-Identifier: GPL-2.0-only
"""Policies: who goes on, and for how many points before it wants to be asked again.

One file each; ``POLICIES`` is the registry of those that can be asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mmsim.engine.policy.base import FOREVER, Policy
from mmsim.engine.policy.delays import Delays, Preemptions
from mmsim.engine.policy.geometric import Geometric
from mmsim.engine.policy.pct import PCT
from mmsim.engine.policy.portfolio import EVEN, Portfolio
from mmsim.engine.policy.portfolio import NAME as PORTFOLIO
from mmsim.engine.policy.pos import POS
from mmsim.engine.policy.random_walk import RandomWalk
from mmsim.engine.policy.replay import TURN, Replay
from mmsim.engine.policy.round_robin import RoundRobin
from mmsim.engine.policy.surw import SURW, URW, Profile

__all__ = [
    "DRAWN",
    "EVEN",
    "FOREVER",
    "MIX",
    "NAMES",
    "PCT",
    "POLICIES",
    "PORTFOLIO",
    "POS",
    "SURW",
    "TURN",
    "URW",
    "Delays",
    "Geometric",
    "Policy",
    "Portfolio",
    "Preemptions",
    "Profile",
    "RandomWalk",
    "Replay",
    "RoundRobin",
    "make",
    "name_of",
]


MIX = "mix"
DRAWN = (MIX, PORTFOLIO)
"""Those that are another one in each run."""


def _mix(rng: Random, steps: int) -> Policy:
    """One of the others, drawn for each run.

    Windows differ in kind, and no single policy finds them all: a starved CPU needs PCT, a
    ping-pong of flags a random walk.
    """
    u = rng.random()
    return POLICIES["random-walk" if u < 0.2 else "geometric" if u < 0.6 else "pct"](rng, steps)


def _random_walk(rng: Random, steps: int) -> Policy:
    return RandomWalk(rng)


def _geometric(rng: Random, steps: int) -> Policy:
    return Geometric(rng, (0.5, 0.125, 0.03125)[int(rng.random() * 3)])


def _every(points: int) -> Callable[[Random, int], Policy]:
    return lambda rng, steps: Geometric(rng, 1.0 / points)


def _pos(rng: Random, steps: int) -> Policy:
    return POS(rng)


def _pct(rng: Random, steps: int) -> Policy:
    return PCT(rng, 1 + _few(rng, 7), steps)


def _delays(rng: Random, steps: int) -> Policy:
    return Delays(rng, _few(rng, 7), steps)


def _preemptions(rng: Random, steps: int) -> Policy:
    return Preemptions(rng, _few(rng, 7), steps)


def _few(rng: Random, most: int) -> int:
    """0 to ``most``, from a geometric law."""
    n = 0
    while n < most and rng.random() < 0.6:
        n += 1
    return n


POLICIES: dict[str, Callable[[Random, int], Policy]] = {
    MIX: _mix,
    "random-walk": _random_walk,
    "geometric": _geometric,
    "geometric-8": _every(8),
    "geometric-32": _every(32),
    "geometric-128": _every(128),
    "pct": _pct,
    "pos": _pos,
    "delays": _delays,
    "preemptions": _preemptions,
}
PROFILED: dict[str, Callable[[Random, Profile], Policy]] = {
    "urw": lambda rng, profile: URW(rng, profile.all),
    "surw": SURW,
}
"""Those that need a run before, of which they know how many effects each context has."""
NAMES = (PORTFOLIO, *POLICIES, *PROFILED)


def make(name: str, rng: Random, steps: int, profile: Profile | None = None) -> Policy:
    """A policy for one run.

    ``geometric`` draws its q from {1/2, 1/8, 1/32}, ``pct`` its depth from a geometric law,
    ``delays`` and ``preemptions`` their number, an even ``portfolio`` one of its members.
    ``steps`` is an estimate of the length of a run, ``profile`` a run of the same set-up that was
    watched.  Raises ValueError for an unknown name.
    """
    if name not in NAMES:
        raise ValueError(f"unknown policy {name!r}: one of {', '.join(NAMES)}")
    if name == PORTFOLIO:
        name = EVEN.draw(rng)
    if name in PROFILED:
        return PROFILED[name](rng, profile or Profile())
    return POLICIES[name](rng, steps)


_NAMES: dict[type[Policy], str] = {
    RandomWalk: "random-walk",
    Geometric: "geometric",
    PCT: "pct",
    POS: "pos",
}


def name_of(policy: Policy) -> str:
    """The name that a policy is asked for by; of one that `mix` drew, its own."""
    return _NAMES.get(type(policy), type(policy).__name__)
