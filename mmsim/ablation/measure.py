# SPDX-License-Identifier: GPL-2.0-only
"""Which hunk makes which difference: campaigns in rounds.

First every variant is watched for a few runs, to learn which places it comes to.  Then each
place is turned over in the variant where that is most likely to show: one that has the gate on,
for then a hunk is left out of a patch; else one that fails, for then a patch may help.  Places that
show nothing go into the next round with their next variant, and at last, since some races are
rare, into long campaigns of the most likely ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mmsim.ablation.compare import chance, differences, does_not_run, runs_to_show
from mmsim.ablation.flipped import reached
from mmsim.ablation.places import Place
from mmsim.ablation.source import Change, Changed, change
from mmsim.engine.policy import MIX
from mmsim.scenarios.api import NEVER, Variant
from mmsim.stress import worker
from mmsim.stress.cli import run
from mmsim.stress.profile import Budget
from mmsim.stress.settings import DEFAULT_ENGINE, Settings
from mmsim.stress.source import Library, all_variants, find_variant
from mmsim.stress.tally import Tally

WATCHED_RUNS = 32
TRIES = 6
"""Variants in which a place is turned over before longer campaigns begin."""
LONGER = 15
"""Times the runs, in those."""
PATCHED, FAILING = 3, 2
"""Variants of these kinds among the first."""
ENOUGH = 60
"""Findings after which a short campaign need not go on."""


class Incomplete(Exception):
    """A campaign ended early: interrupted, or a worker was lost."""


@dataclass(frozen=True)
class Effect:
    """What turning a place over did to a variant; no differences: nothing that was seen."""

    change: Change
    differences: tuple[str, ...]
    p: float
    """That it is luck if the one fails more often than the other."""
    runs: int
    needed: int | None = None
    """Runs in which the whole gate, turned over, shows; None: not known, or it does not."""
    broken: int = 0
    """Runs that half a patch could not make."""

    @property
    def verdict(self) -> str:
        """differs, nothing-differs or undecided."""
        if self.differences:
            return "differs"
        enough = self.needed is not None and self.runs - self.broken >= self.needed
        return "nothing-differs" if enough else "undecided"


@dataclass
class Plan:
    """How campaigns are run, and what is known from earlier ones."""

    runs: int
    cpus: int
    seed: int
    jobs: int | None = None
    file: str | None = None
    """A scenario file of the user's own."""
    tallies: dict[str, Tally] = field(default_factory=dict)

    def campaign(self, changes: Sequence[Change], bases: Sequence[str], runs: int) -> None:
        """Run what is not known yet.  Raises Incomplete if that was cut short.

        A long one is run to its end: what differs may be the rarest of many kinds of findings.
        """
        source = Changed(tuple(c for c in changes if not self._knows(c.id, runs)), self.file)
        ids = [c.id for c in source.changes]
        ids += [id for id in dict.fromkeys(bases) if not self._knows(id, runs)]
        budget = Budget(runs, ENOUGH if runs <= self.runs else None)
        settings = Settings(
            variants=tuple((find_variant(source, id), budget) for id in ids),
            cpus=self.cpus,
            seed=self.seed,
            engine=DEFAULT_ENGINE,
            policy=MIX,
            jobs=self.jobs or len(worker.cores()),
            seconds=None,
            profile="ablation",
            file=self.file,
        )
        if not ids:
            return
        outcome = run(settings, source)
        if not outcome.complete:
            raise Incomplete(outcome.campaign.lost[0])
        self.tallies |= {tally.variant.id: tally for tally in outcome.campaign.tallies}

    def _knows(self, id: str, runs: int) -> bool:
        tally = self.tallies.get(id)
        return tally is not None and (tally.runs >= runs or (tally.enough and runs <= self.runs))

    def effect(self, c: Change) -> Effect:
        base, changed = self.tallies[c.variant], self.tallies[c.id]
        whole = self.tallies.get(replace(c, everywhere=True).id)
        return Effect(
            c,
            differences(base, changed),
            chance(base, changed),
            min(base.runs, changed.runs),
            None if whole is None else runs_to_show(base, whole),
            does_not_run(changed),
        )

    def weighed(self, effects: Sequence[Effect]) -> list[Effect]:
        """The same, and where nothing differs, what could have been missed.

        For that the whole gate is turned over in the same variant. Raises Incomplete.
        """
        silent = [e.change for e in effects if not e.differences]
        whole = {c.id: c for c in (replace(c, everywhere=True) for c in silent)}
        self.campaign(list(whole.values()), (), self.runs)
        return [self.effect(e.change) for e in effects]


def reaches(plan: Plan, variants: Sequence[Variant]) -> Mapping[str, frozenset[Place]]:
    """The places that each variant comes to, in a few runs of watching."""
    watched = {v.id: Change(v.id, None) for v in variants}
    plan.campaign(list(watched.values()), (), WATCHED_RUNS)
    return {
        id: frozenset(
            place for metric in plan.tallies[c.id].metrics if (place := reached(metric)) is not None
        )
        for id, c in watched.items()
    }


def candidates(
    place: Place, variants: Sequence[Variant], reach: Mapping[str, frozenset[Place]]
) -> list[Change]:
    """Where to turn a place over, the most likely to show it first."""
    patched, failing, clean = _kinds(place, variants, reach)
    order = [*patched[:PATCHED], *failing[:FAILING], *clean, *patched[PATCHED:], *failing[FAILING:]]
    return [change(v, place) for v in order][:TRIES]


def long_candidates(
    place: Place, variants: Sequence[Variant], reach: Mapping[str, frozenset[Place]]
) -> list[Change]:
    """The first of each kind: clean and failing, with the gate and without."""
    patched, failing, clean = _kinds(place, variants, reach)
    sound = [v for v in patched if v.expect is NEVER]
    broken = [v for v in patched if v.expect is not NEVER]
    return [change(v, place) for kind in (sound, broken, failing, clean) for v in kind[:1]]


def _kinds(
    place: Place, variants: Sequence[Variant], reach: Mapping[str, frozenset[Place]]
) -> tuple[list[Variant], list[Variant], list[Variant]]:
    """Variants that come to the place: with its gate on, failing without it, clean without it."""
    there = [v for v in variants if place in reach[v.id]]
    patched = sorted((v for v in there if place.gate in v.gates), key=lambda v: len(v.gates))
    others = [v for v in there if place.gate not in v.gates]
    failing = [v for v in others if v.expect is not NEVER]
    return patched, failing, [v for v in others if v.expect is NEVER]


def search(plan: Plan, wanted: Sequence[Place]) -> Iterator[tuple[Place, list[Effect]]]:
    """For each place what was tried until something differed: the last effect is the telling one.

    Yields places as they are settled; one that no variant reaches comes with nothing tried.
    Raises Incomplete.
    """
    variants = list(all_variants(Library(plan.file)).values())
    reach = reaches(plan, variants)
    tried: dict[Place, list[Effect]] = {place: [] for place in wanted}
    for runs, choose in ((plan.runs, candidates), (plan.runs * LONGER, long_candidates)):
        likely = {
            place: choose(place, variants, reach)
            for place in wanted
            if not (tried[place] and tried[place][-1].differences)
        }
        for n in range(max(map(len, likely.values()), default=0)):
            now = {place: left[n] for place, left in likely.items() if n < len(left)}
            plan.campaign(list(now.values()), [c.variant for c in now.values()], runs)
            for place, c in now.items():
                effect = plan.effect(c)
                tried[place].append(effect)
                if effect.differences:
                    del likely[place]
                    yield place, tried[place]
    plan.weighed([effect for place in likely for effect in tried[place]])  # in one campaign
    for place in likely:
        yield place, plan.weighed(tried[place])


def of_variant(plan: Plan, variant: Variant, places: Sequence[Place]) -> list[Effect]:
    """Leave every hunk of the variant's own gates out, one at a time."""
    reach = reaches(plan, [variant])[variant.id]
    hunks = [change(variant, p) for p in places if p.gate in variant.gates and p in reach]
    plan.campaign(hunks, [variant.id], plan.runs)
    return plan.weighed([plan.effect(c) for c in hunks])
