# SPDX-License-Identifier: GPL-2.0-only
"""What the claims of threads 001 and 004 hang on: give a variant another's gates, and they turn.

A condition that looks at the wrong variant or at a figure that cannot be otherwise would not.
Only claims that rest on what few runs show are here; those that rest on a rare failure are left
to the campaigns.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from mmsim.claims import claims
from mmsim.claims.model import Settled
from mmsim.run import Runner
from mmsim.scenarios.api import Variant
from mmsim.scenarios.registry import find_variant
from mmsim.stress.source import Library
from mmsim.stress.tally import Block, Tally
from mmsim.stress.worker import Setting, run_block

RUNS = 25
CONFIRMED, HALF, REFUTED = Settled.CONFIRMED, Settled.HALF, Settled.REFUTED

TURNED = (
    # claim, what it is, the variant whose gates are changed, whose it gets, what it is then
    ("001.4", CONFIRMED, "001.v1-opencoded", "001.419-dbg", HALF),
    ("001.7", CONFIRMED, "001.v1-opencoded", "001.remove-vm-bug", HALF),
    ("001.16", CONFIRMED, "001.check-under-lock", "001.remove-vm-bug", HALF),
    ("001.24", Settled.BY_CONSTRUCTION, "001.419-nodbg", "001.slab-old", REFUTED),
    ("004.3", CONFIRMED, "004.order-merged", "004.order-both", HALF),
    ("004.6", CONFIRMED, "004.order-merged", "004.order-both", HALF),
    ("004.16", HALF, "004.order-merged", "004.order-both", CONFIRMED),
    ("004.23", CONFIRMED, "004.trylock-no-checkpage", "004.merged", HALF),
    ("004.30", REFUTED, "004.unmap-busy", "004.unmap-busy-skip", CONFIRMED),
    ("004.32", REFUTED, "004.nr-mlock", "004.merged", CONFIRMED),
)


class Altered(Library):
    """mmsim's scenarios, but one variant is booted with the gates of another."""

    def __init__(self, variant: str, instead: str) -> None:
        super().__init__()
        object.__setattr__(self, "altered", (variant, instead))

    def runner(self, variant: Variant, **rest: Any) -> Runner:
        one, other = self.altered
        if variant.id == one:
            scenario = variant.scenario
            variant = replace(variant, gates=find_variant(other).gates)
            object.__setattr__(variant, "scenario", scenario)
        return super().runner(variant, **rest)


@cache
def tally(id: str, instead: str = "") -> Tally:
    """The runs of a variant, perhaps with another's gates; kept, as claims share them."""
    source = Altered(id, instead) if instead else Library()
    setting = Setting(source=source, cpus=8, seed=3, engine="green", policy="mix", deadline=None)
    counted = Tally(find_variant(id))
    counted.take(run_block(setting, Block(id, 0, 0, RUNS), lambda beat: None))
    return counted


@pytest.mark.parametrize(("id", "is_", "variant", "instead", "then"), TURNED)
def test_it_turns(id: str, is_: Settled, variant: str, instead: str, then: Settled) -> None:
    (claim,) = (c for c in claims() if c.id == id)
    runs = {id: tally(id) for id in claim.variants()}
    assert claim.settle(runs) is is_
    assert claim.settle(runs | {variant: tally(variant, instead)}) is then
