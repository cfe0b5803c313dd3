# SPDX-License-Identifier: GPL-2.0-only
"""docs/proofs.md: the record as a document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from mmsim.proofs.prove import BOUNDED, EXHAUSTIVE, FOUND, Proof, in_order, pairs_of
from mmsim.proofs.record import Key, planned
from mmsim.scenarios.api import Scenario, Variant, Verdict

HEAD = """\
# Proofs

What `python -m mmsim prove --write` has explored, and what it came to. Each row is a variant with
one small cast, in every order of events that could make a difference ([explore](search.md)). The
casts stand in the `small.py`, `casts.py` or `stage.py` of a thread's folder; the plan is
`mmsim/proofs/plan.py`.

A proof is worth what its cast has in it: these tasks, these interrupts, once each, on memory of a
few pages; no retry loop runs further than its limit. It does not say that nobody else in a kernel
could do harm. Memory is in order: variants of weak memory are not here. Where it says *k = 2*,
schedules with more than two preemptions were not looked at.
"""

NEVER = """
## Cannot happen

*cut short* are executions that turned out to be repetitions. *seconds* are those of one core.
"""

FINDS = """
## Is found

The first execution that ends in a finding, and what it says. What comes after it is not explored
here.
"""


def page(scenarios: Iterable[Scenario], record: Mapping[Key, Proof]) -> str:
    """The whole document."""
    variants = [v for scenario in scenarios for v in scenario.variants if in_order(v)]
    never = [v for v in variants if v.expect is Verdict.NEVER]
    others = [v for v in variants if v.expect is not Verdict.NEVER]
    lines = [HEAD, *_summary(never, others, record), NEVER, *_proofs(never, record), FINDS]
    return "\n".join([*lines, *_finds(others, record)]) + "\n"


def _summary(
    never: Sequence[Variant], others: Sequence[Variant], record: Mapping[Key, Proof]
) -> Iterator[str]:
    proofs = {v.id: planned(pairs_of(v), record) for v in never}
    whole = [id for id, of in proofs.items() if any(p.verdict == EXHAUSTIVE for p in of)]
    third = [
        id
        for id, of in proofs.items()
        if any(p.verdict == EXHAUSTIVE and len(p.tasks) > 2 for p in of)
    ]
    every = [proof for of in proofs.values() for proof in of]
    yield (
        f"- {len(whole)} of {len(never)} variants declared Never are proved without a bound, "
        f"{len(third)} of them with three tasks or more."
    )
    yield (
        f"- {sum(p.verdict == EXHAUSTIVE for p in every)} casts exhausted, "
        f"{sum(p.verdict == BOUNDED for p in every)} up to a bound: "
        f"{sum(p.executions for p in every):,} executions in "
        f"{sum(p.seconds for p in every):,.0f} s."
    )
    firsts = [p.first for v in others for p in planned(pairs_of(v), record)[:1] if p.first]
    if firsts:
        yield (
            f"- Of {len(others)} variants that can fail, {len(firsts)} are found: first in "
            f"execution {median(firsts):.0f} (median), {max(firsts)} (at most)."
        )


def _proofs(variants: Iterable[Variant], record: Mapping[Key, Proof]) -> Iterator[str]:
    yield "| variant | cast | actors | interrupts | limits | verdict | executions | cut short | s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for variant in variants:
        made = planned(pairs_of(variant), record)
        if not made:
            yield f"| {variant.id} | - | | | | not explored | | | |"
        for proof in made:
            cells = (
                variant.id,
                proof.cast,
                ", ".join(proof.tasks),
                ", ".join(proof.interrupts) or "none",
                proof.limits or "none",
                _verdict(proof),
                f"{proof.executions:,}",
                f"{proof.blocked:,}",
                f"{proof.seconds:.1f}",
            )
            yield f"| {' | '.join(cells)} |"


def _finds(variants: Iterable[Variant], record: Mapping[Key, Proof]) -> Iterator[str]:
    yield "| variant | cast | actors | interrupts | first in | finding |"
    yield "|---|---|---|---|---|---|"
    for variant in variants:
        made = planned(pairs_of(variant), record)
        if not made:
            yield f"| {variant.id} | - | | | not explored | |"
        for proof in made:
            titles = "; ".join(finding["title"] for finding in proof.findings)
            cells = (
                variant.id,
                proof.cast,
                ", ".join(proof.tasks),
                ", ".join(proof.interrupts) or "none",
                _first(proof),
                titles.replace("|", "\\|"),
            )
            yield f"| {' | '.join(cells)} |"


def _first(proof: Proof) -> str:
    first = str(proof.first) if proof.first else f"not in {proof.executions:,}"
    return first if proof.bound is None else f"{first} (k = {proof.bound})"


def _verdict(proof: Proof) -> str:
    if proof.verdict == EXHAUSTIVE:
        return "Never"
    if proof.verdict == BOUNDED:
        return f"Never, k = {proof.bound}"
    return "**broken**" if proof.verdict == FOUND else "open"
