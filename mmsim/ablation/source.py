# SPDX-License-Identifier: GPL-2.0-only
"""Variants with one hunk turned over, as a collection that the stress runner can run.

A changed variant is called what was done to it: `002.pagelocked -hugh-2002-02-12@shrink_cache`.
It runs with the seeds of the variant it was made from, so that where the hunk is never met the two
campaigns are the same to the last step.

Half a patch may be no program at all: one hunk adds a field that another uses.  A compiler would
say so; here the runs that come to the missing field count as ones that do not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmsim.ablation.flipped import Flipped, Watched
from mmsim.ablation.places import Place
from mmsim.engine.instruments import Instrument
from mmsim.engine.policy import EVEN, Portfolio
from mmsim.errors import InternalError
from mmsim.run import Runner, RunResult
from mmsim.scenarios.api import Scenario, Variant
from mmsim.stress.source import Library, all_variants

DOES_NOT_RUN = "runs that half a patch cannot make"


@dataclass(frozen=True)
class Change:
    """A variant (by id) and the place where its gate is turned over; None: only watch."""

    variant: str
    place: Place | None
    on: bool = False
    """Is the gate on in the variant?"""
    everywhere: bool = False
    """The place's gate is turned over in all its functions."""

    @property
    def id(self) -> str:
        if self.place is None:
            return f"{self.variant} watched"
        what = self.place.gate if self.everywhere else self.place
        return f"{self.variant} {'-' if self.on else '+'}{what}"

    def gates(self, variant: Variant) -> frozenset[str]:
        """What the variant is booted with."""
        if self.place is None:
            return Watched(variant.gates)
        if self.everywhere:
            return frozenset(variant.gates) ^ {self.place.gate}
        return Flipped(variant.gates, self.place)


def change(variant: Variant, place: Place) -> Change:
    """Turn the place's gate over in this variant."""
    return Change(variant.id, place, place.gate in variant.gates)


class HalfPatched(Runner):
    """Runs what may not be a program."""

    def run(
        self, index: int, portfolio: Portfolio = EVEN, *, instruments: Sequence[Instrument] = ()
    ) -> RunResult:
        try:
            return super().run(index, portfolio, instruments=instruments)
        except InternalError:
            return RunResult(index, (), 0, 0, "", {DOES_NOT_RUN: 1})


@dataclass(frozen=True)
class Changed:
    """The variants of mmsim, or of one file, and the changed ones beside them."""

    changes: tuple[Change, ...]
    file: str | None = None

    @property
    def _library(self) -> Library:
        return Library(self.file)

    def scenarios(self) -> Sequence[Scenario]:
        known = all_variants(self._library)
        by_scenario: dict[str, list[Variant]] = {}
        for c in self.changes:
            base = known[c.variant]
            by_scenario.setdefault(base.scenario.id, []).append(replace(base, id=c.id))
        return [
            scenario
            if scenario.id not in by_scenario
            else replace(
                scenario,
                variants=(
                    *(replace(v) for v in scenario.variants),
                    *by_scenario[scenario.id],
                ),
            )
            for scenario in self._library.scenarios()
        ]

    def engines(self) -> Sequence[str]:
        return self._library.engines()

    def policies(self) -> Sequence[str]:
        return self._library.policies()

    def runner(self, variant: Variant, *, cpus: int, seed: int, engine: str, policy: str) -> Runner:
        for c in self.changes:
            if c.id == variant.id:
                base = all_variants(self._library)[c.variant]
                return HalfPatched(
                    base, cpus=cpus, seed=seed, engine=engine, policy=policy, gates=c.gates(base)
                )
        return Runner(variant, cpus=cpus, seed=seed, engine=engine, policy=policy)
