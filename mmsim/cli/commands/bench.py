# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim bench`: how fast the engine is here, beside what it could at best be."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from mmsim.cli import measure
from mmsim.errors import UsageError, nearest
from mmsim.scenarios.api import NEVER, Variant
from mmsim.stress.output import console
from mmsim.stress.parser import seconds, whole
from mmsim.stress.settings import DEFAULT_CPUS, DEFAULT_SEED, MOST_CPUS
from mmsim.stress.source import Library, Source, select
from mmsim.stress.store import environment

HELP = "speed of the engine and of every scenario, and runs to the first finding by policy"
PARTS = ("engine", "speed", "first")
MOST_RUNS = 20_000
HEADLINES = ("000.get-from-zero", "001.419-dbg", "002.flawed", "003.unlock-first", "004.base")
FEW_CPUS = 2
PATIENCE = 4  # times --seconds, for a first finding


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "variant",
        nargs="*",
        help="variants to time (default: one of each scenario)",
    )
    parser.add_argument(
        "--part",
        choices=PARTS,
        action="append",
        help="engine: points and hand-overs; speed: runs a second; first: time to the first "
        "finding; repeatable (default: all three)",
    )
    parser.add_argument(
        "--policy",
        metavar="P",
        action="append",
        help="with first: the policies to compare; repeatable (default: all)",
    )
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")
    parser.add_argument(
        "--cpus",
        type=whole(1, MOST_CPUS),
        default=DEFAULT_CPUS,
        metavar="N",
        help=f"simulated CPUs (default {DEFAULT_CPUS})",
    )
    parser.add_argument("--seed", type=whole(0), default=DEFAULT_SEED, metavar="N")
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=0.5,
        metavar="S",
        help="for each variant and engine (default 0.5)",
    )
    parser.add_argument(
        "--seeds",
        type=whole(1, 100),
        default=5,
        metavar="N",
        help="campaigns behind each median of runs to the first finding (default 5)",
    )


def run(options: argparse.Namespace) -> int:
    source = Library(options.file)
    variants = select(source, (), options.variant) if options.variant else _headlines(source)
    out = console(sys.stdout)
    policies = _known(options.policy or source.policies(), source.policies())
    parts = options.part or PARTS
    out.out(f"{environment()}; one core", highlight=False)
    with measure.one_core():
        if "engine" in parts:
            _engine(out)
        if "speed" in parts:
            _scenarios(out, variants, source.engines(), options)
        if "first" in parts:
            _policies(out, variants, policies, options)
    return 0


def _known(asked: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    for name in asked:
        if name not in known:
            raise UsageError(
                f"no policy {name!r}{nearest(name, known)}; allowed: {', '.join(known)}"
            )
    return asked


def _headlines(source: Source) -> list[Variant]:
    """The race each scenario is known for: by name, else its first that shows at all."""
    chosen = []
    for scenario in source.scenarios():
        failing = [v for v in scenario.variants if v.expect is not NEVER]
        chosen += ([v for v in failing if v.id in HEADLINES] or failing)[:1]
    return chosen


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    return table


def _engine(out: Console) -> None:
    point, handover = measure.point(), measure.handover()
    table = _table("engine", "mmsim", "bare", "difference", "ratio", "a second")
    for name, pair in (("point, no switch", point), ("hand-over", handover)):
        table.add_row(
            name,
            f"{pair.ours * 1e6:.3f} µs",
            f"{pair.bare * 1e6:.3f} µs",
            f"{(pair.ours - pair.bare) * 1e6:.3f} µs",
            f"{pair.ours / pair.bare:.2f}",
            f"{1 / pair.ours:,.0f}",
        )
    out.print()
    out.print(table)


def _scenarios(
    out: Console, variants: Sequence[Variant], engines: Sequence[str], options: argparse.Namespace
) -> None:
    table = _table("runs a second", *engines, "steps a run", "failing")
    for variant in variants:
        for cpus in sorted({variant.effective_cpus(n) for n in (FEW_CPUS, options.cpus)}):
            speeds = [
                measure.speed(
                    variant,
                    engine=engine,
                    cpus=cpus,
                    seed=options.seed,
                    seconds=options.seconds,
                )
                for engine in engines
            ]
            table.add_row(
                f"{variant.id}, {cpus} CPU{'s' * (cpus != 1)}",
                *(f"{speed.runs_per_second:,.0f}" for speed in speeds),
                f"{speeds[0].steps:,.0f}",
                " / ".join(f"{speed.failing:.2%}" for speed in speeds),
            )
    out.print()
    out.print(table)


def _policies(
    out: Console, variants: Sequence[Variant], policies: Sequence[str], options: argparse.Namespace
) -> None:
    table = _table(f"first finding (median), {options.cpus} CPUs", *policies)
    slowest: list[tuple[float, str]] = []
    for variant in variants:
        if variant.expect is NEVER:
            continue
        cells = []
        for policy in policies:
            first = measure.first_finding(
                variant,
                policy=policy,
                cpus=options.cpus,
                seeds=range(options.seed, options.seed + options.seeds),
                most_runs=MOST_RUNS,
                seconds=PATIENCE * options.seconds,
            )
            slowest.append((first.seconds or math.inf, f"{variant.id} ({policy})"))
            cells.append(
                f"> {PATIENCE * options.seconds:.3g} s"
                if first.runs is None or first.seconds is None
                else f"{first.runs:,.0f} runs, {first.seconds:.3f} s"
            )
        table.add_row(variant.id, *cells)
    out.print()
    out.print(table)
    if len(slowest) > 1:
        last, name = max(slowest)
        took = "not found in time" if last == math.inf else f"{last:.3f} s"
        out.out(f"\n{len(slowest)} medians, the slowest of them {name}: {took}", highlight=False)
