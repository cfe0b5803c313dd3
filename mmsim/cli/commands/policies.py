# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim policies VARIANT`: under which policy does it fail most often?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace

from rich.table import Table

from mmsim.scenarios.api import Variant
from mmsim.stress.cli import run as run_campaign
from mmsim.stress.output import console, percent, show_rows
from mmsim.stress.parser import MOST_JOBS, MOST_SEED, whole
from mmsim.stress.plan import Campaign
from mmsim.stress.profile import Budget, Profile
from mmsim.stress.settings import DEFAULT_CPUS, DEFAULT_SEED, MOST_CPUS, Request, resolve
from mmsim.stress.source import Library, find_variant
from mmsim.stress.tally import Tally
from mmsim.stress.verdict import runs

HELP = "one variant under each scheduling policy: how often it fails, what it counts"
DESCRIPTION = """\
Runs VARIANT equally often under each policy. Windows differ in kind: one opens while
a CPU is starved (pct), another while two of them alternate (random-walk), and the
rates may be far apart. The stress runner spreads its runs over a portfolio, here in
equal shares (python -m mmsim odds); the mix draws one of random-walk, geometric and
pct for each run. Below the rates stands what the variant has counted (m.count):
whether a policy comes to the window at all.

exit code: 0, or 3 if it was interrupted
"""
OPEN = 3

WIDTH = 64  # beside the names of policies


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variant", metavar="VARIANT", help="its id, such as 002.flawed")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")
    parser.add_argument(
        "--runs", type=whole(1), default=200, metavar="N", help="under each policy (200)"
    )
    parser.add_argument(
        "--cpus", type=whole(1, MOST_CPUS), default=DEFAULT_CPUS, metavar="N", help="(8)"
    )
    parser.add_argument(
        "--seed", type=whole(0, MOST_SEED), default=DEFAULT_SEED, metavar="N", help="(1)"
    )
    parser.add_argument("--jobs", type=whole(1, MOST_JOBS), metavar="J", help="worker processes")


def run(options: argparse.Namespace) -> int:
    source = Library(options.file)
    variant = find_variant(source, options.variant)
    out = console(sys.stdout)
    out.out(f"{variant.id}: {variant.summary}", highlight=False)
    out.out(f"{runs(options.runs)} each, cpus {options.cpus}, seed {options.seed}", highlight=False)
    out.print()
    sys.stdout.flush()
    tallies: dict[str, Tally] = {}
    for policy in source.policies():
        tally, complete = _under(policy, variant, source, options)
        tallies[policy] = tally
        if not complete:
            break
    show_rows(out, _rates(tallies))
    names = sorted({name for tally in tallies.values() for name in tally.metrics})
    for some in _that_fit(names):
        out.print()
        show_rows(out, _metrics(tallies, some))
    if complete:
        return 0
    print("mmsim: the last row is incomplete, and what follows it is not there", file=sys.stderr)
    return OPEN


def _under(
    policy: str, variant: Variant, source: Library, options: argparse.Namespace
) -> tuple[Tally, bool]:
    """What the runs under one policy came to, and whether they are all there."""
    request = Request(
        cpus=options.cpus,
        variants=(variant.id,),
        policy=policy,
        runs=options.runs,
        seed=options.seed,
        jobs=options.jobs,
        file=options.file,
    )
    settings = replace(resolve(request, Profile("policies", pairs=False), source), seconds=None)
    campaign = Campaign([(variant, Budget(options.runs))])
    outcome = run_campaign(settings, source, campaign=campaign)
    return campaign.tallies[0], outcome.complete


def _rates(tallies: dict[str, Tally]) -> Table:
    table = _table("policy", "runs", "findings", "rate [95 %]", "first in run")
    for policy, tally in tallies.items():
        rate = percent(tally.rate, tally.findings) if tally.runs else "-"
        first = "-" if tally.first_run is None else str(tally.first_run)
        table.add_row(policy, f"{tally.runs:,}", f"{tally.findings:,}", rate, first)
    return table


def _metrics(tallies: dict[str, Tally], names: list[str]) -> Table:
    """Means over runs, a column a metric."""
    table = _table("in a run", *names)
    for policy, tally in tallies.items():
        counted = [tally.metrics.get(name) for name in names]
        table.add_row(policy, *("0" if m is None else f"{m.mean:.3g}" for m in counted))
    return table


def _that_fit(names: list[str]) -> Iterator[list[str]]:
    """The metrics, as many at a time as go side by side on a screen."""
    some: list[str] = []
    for name in names:
        if some and sum(max(len(n), 7) + 2 for n in (*some, name)) > WIDTH:
            yield some
            some = []
        some.append(name)
    if some:
        yield some


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=True, justify="right" if number else "left")
    return table
