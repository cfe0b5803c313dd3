# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim ablate`: is every hunk of a patch needed?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

from mmsim.ablation.measure import Effect, Incomplete, Plan, of_variant, search
from mmsim.ablation.places import Place, places
from mmsim.cli import standing
from mmsim.errors import UsageError, nearest
from mmsim.model.gate import GATES
from mmsim.stress import store
from mmsim.stress.output import console
from mmsim.stress.parser import MOST_JOBS, whole
from mmsim.stress.settings import DEFAULT_CPUS, DEFAULT_SEED, MOST_CPUS
from mmsim.stress.source import Library, all_variants, find_variant
from mmsim.stress.verdict import runs

HELP = "turn one hunk of a patch over at a time, and see what differs"
DESCRIPTION = """\
A gate is a patch, or a mutation, and touches one or more functions. Each of them is
turned over alone, off where it was on and on where it was off, and the same seeds
are run with and without.

Of a VARIANT, every hunk of its gates is left out in turn. Of a GATE, or of all gates
if nothing is named, variants are tried until one differs: in its verdict, in the
kinds of its findings, in a metric, or in how often it fails. Differences are far from
chance (p < 1e-5). Where nothing differs, the whole gate is turned over as well: that
says how many runs it takes to see a hunk that matters as much, and fewer are too few
to tell. A hunk that changes nothing in any variant is named at the end. A FILE.py is
a program, and is executed.

With --prove no run is drawn: each VARIANT declared Never is explored in every order
of its small casts, as by `prove`, with one place turned over at a time. A hunk of
its patches is left out; a mutation, which takes a lock, an order, a second look or
a reference away, is put in at one of its places, and then in the casts as well
where that is known to fail. Each hunk is

  load-bearing           with the finding, and a line that `replay --turn` shows
  not load-bearing,      in these casts: every execution was run, and none needs it
  open                   a limit was reached first, which says nothing
  does not run           half a patch is no program here: not a difference
  never reached          no execution of these casts comes to it

Without a VARIANT those of docs/ablation.md. The exit code of --prove is 0 if every
hunk is settled, 1 if one is open or a variant is not clean as it is, 3 if it was
interrupted: what was settled is printed and written.

examples:
  python -m mmsim ablate 002.pagelocked --runs 500
  python -m mmsim ablate --prove 004.merged
  python -m mmsim ablate --prove 002.pagelocked --cast skb-kswapd --json hunks.json
"""
INCOMPLETE = 3
RUNS = 200


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="*", metavar="VARIANT|GATE", help="default: every gate")
    parser.add_argument(
        "--file", metavar="FILE.py", help="the variants of a file of your own; it is executed"
    )
    parser.add_argument("--runs", type=whole(2), help=f"runs of each side ({RUNS})")
    parser.add_argument("--cpus", type=whole(1, MOST_CPUS), help="simulated CPUs (8)")
    parser.add_argument("--seed", type=whole(0), help="of the campaigns (1)")
    parser.add_argument(
        "--jobs", type=whole(1, MOST_JOBS), help="worker processes (all cores; with --prove 1)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the effects there as well")
    proof = parser.add_argument_group("with --prove")
    proof.add_argument(
        "--prove", action="store_true", help="explore the small casts instead of running campaigns"
    )
    proof.add_argument("--cast", metavar="NAME", help="only this small cast, planned or not")
    proof.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help=f"stop a hunk after so many seconds of one core ({standing.SECONDS:.0f}; 0: no limit)",
    )
    proof.add_argument(
        "--limit", type=whole(1), metavar="N", help="stop a hunk after so many executions"
    )
    record = proof.add_mutually_exclusive_group()
    record.add_argument("--write", action="store_true", help="record it, for docs/ablation.md")
    record.add_argument("--check", action="store_true", help="compare with the record")


def run(options: argparse.Namespace) -> int:
    if options.prove:
        if options.seconds is None:
            options.seconds = standing.SECONDS
        return standing.run(options)
    for name in ("cast", "seconds", "limit", "write", "check"):
        if getattr(options, name):
            raise UsageError(f"--{name} goes with --prove")
    for name, usual in (("runs", RUNS), ("cpus", DEFAULT_CPUS), ("seed", DEFAULT_SEED)):
        if getattr(options, name) is None:
            setattr(options, name, usual)
    known = all_variants(Library(options.file))
    for word in options.what:
        if word not in known and word not in GATES:
            names = [*known, *GATES]
            raise UsageError(f"no variant or gate {word!r}{nearest(word, names)}; see list, show")
    if options.json is not None:
        store.check_writable(options.json)
    out = console(sys.stdout)
    plan = Plan(options.runs, options.cpus, options.seed, options.jobs, options.file)
    effects: list[Effect] = []
    cut_short = ""
    try:
        for id in (word for word in options.what if word in known):
            effects += _variant(out, plan, id)
        gates = [word for word in options.what if word not in known]
        if gates or not options.what:
            wanted = [place for place in places(options.file) if place.gate in gates or not gates]
            _gates(out, plan, wanted, effects)
    except Incomplete as error:
        cut_short = str(error).splitlines()[0].split(";")[0]
        print(f"mmsim: INCOMPLETE: {cut_short}", file=sys.stderr)
    if options.json is not None:
        document = _document(effects, options) | {"complete": not cut_short}
        if not store.keep(options.json, document):
            return INCOMPLETE
    return INCOMPLETE if cut_short else 0


def _variant(out: Console, plan: Plan, id: str) -> list[Effect]:
    variant = find_variant(Library(plan.file), id)
    effects = of_variant(plan, variant, places(plan.file))
    out.out(f"{id}: {variant.summary}", highlight=False)
    if not effects:
        out.out("  it has no gates that its runs come to", highlight=False)
    for effect in effects:
        _show(out, effect)
    return effects


def _gates(out: Console, plan: Plan, wanted: Sequence[Place], effects: list[Effect]) -> None:
    """Settle places, add the effects to ``effects``, and show what is settled, come what may."""
    settled: list[tuple[Place, list[Effect]]] = []
    try:
        for item in search(plan, wanted):
            settled.append(item)
            effects += item[1]
    finally:
        _show_gates(out, sorted(settled, key=lambda item: item[0]), len(wanted))


def _show_gates(out: Console, settled: Sequence[tuple[Place, list[Effect]]], wanted: int) -> None:
    idle: list[tuple[Place, list[Effect]]] = []
    gate = ""
    for place, tried in settled:
        if place.gate != gate:
            gate = place.gate
            out.out(f"{gate} ({GATES[gate].kind}): {GATES[gate].meaning}", highlight=False)
        if tried and tried[-1].differences:
            _show(out, tried[-1])
        else:
            idle.append((place, tried))
            _where(out, place, "", *_silence(tried))
    out.out("")
    out.out(f"{len(settled)} hunks, {len(settled) - len(idle)} of them make a difference")
    for place, tried in idle:
        out.out(f"{place} ({place.file}): {_silence(tried)[0]}", highlight=False)
    if len(settled) < wanted:
        out.out(f"not settled: {wanted - len(settled)} hunks")


def _show(out: Console, effect: Effect) -> None:
    place = effect.change.place
    assert place is not None
    how = f"{'left out of' if effect.change.on else 'put into'} {effect.change.variant}"
    lines = [*(effect.differences or _silence([effect]))]
    if effect.differences and effect.broken:
        lines.append(f"({runs(effect.broken)} of half a patch did not run, and do not count)")
    _where(out, place, how, *lines)


def _silence(tried: Sequence[Effect]) -> list[str]:
    """What it means that nothing was seen: of the variant where that means most."""
    if not tried:
        return ["no variant comes to it"]
    known = [effect for effect in tried if effect.needed is not None]
    if not known:
        means = "nor does the whole gate here, so that says little"
        return [f"nothing differs in {_variants(tried)} (p = {tried[-1].p:.2g}); {means}"]
    best = max(known, key=lambda effect: (effect.runs - effect.broken) / (effect.needed or 1))
    ran = best.runs - best.broken
    figures = f"{runs(ran)} of {best.change.variant}, p = {best.p:.2g}"
    if best.verdict == "undecided":
        return [f"too few runs to tell (needs {best.needed:,}): {figures}"]
    return [f"nothing differs: {figures}; the whole gate shows in {best.needed:,}"]


def _variants(tried: Sequence[Effect]) -> str:
    return f"{len(tried)} variant{'s' * (len(tried) != 1)}"


def _where(out: Console, place: Place, how: str, *lines: str) -> None:
    out.out(f"  {place.gate}: {place.function} ({place.file}) {how}".rstrip(), highlight=False)
    for line in lines:
        out.out(f"      {line}", highlight=False)


def _document(effects: Iterable[Effect], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "runs": options.runs,
        "cpus": options.cpus,
        "seed": options.seed,
        "effects": [
            {
                "gate": effect.change.place.gate,
                "file": effect.change.place.file,
                "function": effect.change.place.function,
                "variant": effect.change.variant,
                "turned": "off" if effect.change.on else "on",
                "differences": list(effect.differences),
                "verdict": effect.verdict,
                "p": effect.p,
                "runs": effect.runs,
                "runs_needed": effect.needed,
                "runs_not_made": effect.broken,
            }
            for effect in effects
            if effect.change.place is not None
        ],
    }
