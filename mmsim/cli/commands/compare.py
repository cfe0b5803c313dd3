# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim compare BUGGY FIXED`: does the fix make a difference, and how sure is that?

Two stores in their place are two campaigns, of two commits or two nights (see `mmsim.cli.stores`).
"""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mmsim.cli import stores
from mmsim.engine.policy import EVEN, PORTFOLIO
from mmsim.errors import UsageError
from mmsim.scenarios.api import Variant
from mmsim.scenarios.cast import on_cast_of, same_cast
from mmsim.stress import odds, store
from mmsim.stress.cli import run as run_campaign
from mmsim.stress.duel import Duel
from mmsim.stress.output import WIDTH, chance, console, percent
from mmsim.stress.parser import whole
from mmsim.stress.plan import Campaign
from mmsim.stress.profile import Budget, Profile
from mmsim.stress.settings import (
    DEFAULT_CPUS,
    DEFAULT_SEED,
    MOST_CPUS,
    Request,
    Settings,
    resolve,
)
from mmsim.stress.source import Library, find_variant
from mmsim.stress.statistics import (
    MISS,
    Interval,
    Sequential,
    anytime,
    exact,
    fisher,
    rate_ratio,
    runs_needed,
)
from mmsim.stress.tally import Tally
from mmsim.stress.verdict import runs, times

HELP = "a buggy and a fixed variant side by side: p, rate ratio, runs that the fix needs"
DESCRIPTION = """\
Runs BUGGY and FIXED with the same cast, the fixed kernel with the people of the buggy
one, and says whether FIXED fails less often, by which factor, and how many clean runs
it takes to believe in the fix. When to stop is settled before the first run:

  --runs N   N runs of each; Fisher's exact test (the default, 1,000)
  --sprt     run by run until Wald's sequential test has told "the odds of failing are
             ten times as high" from "they are equal", each wrong in one case of 100;
             a frequent race is settled in some dozens of runs

With two stores in their place (python -m mmsim compare BEFORE.sqlite AFTER.sqlite) it
lays two campaigns side by side: what became likelier, rarer, new, gone.

exit code: 0 FIXED fails less often (p <= 0.01), 1 that is not shown, 2 usage,
           3 nothing to compare with (BUGGY did not fail), incomplete, internal error
           of two stores: 0 nothing is worse, 1 a regression, 2 usage
"""
SHOWN, NOT_SHOWN, OPEN = 0, 1, 3
MOST_PAIRS = 100_000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("buggy", metavar="BUGGY", help="the variant that fails, or a store")
    parser.add_argument("fixed", metavar="FIXED", help="the variant with the fix, or a store")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")
    rule = parser.add_mutually_exclusive_group()
    rule.add_argument(
        "--runs", type=whole(1), default=1000, metavar="N", help="runs of each (1,000)"
    )
    rule.add_argument("--sprt", action="store_true", help="stop as soon as it is decided")
    parser.add_argument(
        "--cast",
        choices=("buggy", "fixed"),
        default="buggy",
        help="whose people take part (buggy)",
    )
    parser.add_argument(
        "--cpus", type=whole(1, MOST_CPUS), default=DEFAULT_CPUS, metavar="N", help="(8)"
    )
    parser.add_argument("--engine", metavar="E", help="threads (default) or free")
    parser.add_argument("--policy", metavar="P", help="who runs next under threads (portfolio)")
    parser.add_argument(
        "--seed", type=whole(0), default=DEFAULT_SEED, metavar="N", help="of the campaign (1)"
    )
    parser.add_argument("--jobs", type=whole(1, 1024), metavar="J", help="worker processes")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    two = parser.add_argument_group("of two stores")
    two.add_argument("--before", type=whole(1), metavar="N", help="campaign of the first (last)")
    two.add_argument("--after", type=whole(1), metavar="N", help="campaign of the second (last)")
    two.add_argument(
        "--anyway", action="store_true", help="although cpus, engine, policy or seed say otherwise"
    )


@dataclass(frozen=True)
class Comparison:
    """What the runs came to."""

    buggy: Tally
    fixed: Tally
    p: float
    """That FIXED does not fail less often, one-sided."""
    rates: tuple[Interval, Interval]
    ratio: Interval
    """BUGGY over FIXED: of rates, or of odds where counting stopped in between."""
    needed: int | None
    """Clean runs of FIXED that BUGGY would not have had with 99 %."""

    @property
    def shown(self) -> bool:
        return self.p <= MISS


def run(options: argparse.Namespace) -> int:
    kept = [stores.is_store(name) for name in (options.buggy, options.fixed)]
    if all(kept):
        return stores.compare(options)
    if any(kept):
        raise UsageError("compare two variants or two stores, not one of each")
    source = Library(options.file)
    asked = find_variant(source, options.buggy), find_variant(source, options.fixed)
    buggy, fixed = on_one_cast(*asked, options)
    if options.json is not None:
        store.check_writable(options.json)
    settings = _settings(options, source)
    out = console(sys.stdout)
    for line in _heading(buggy, fixed, options, settings):
        out.out(line, highlight=False)
    sys.stdout.flush()
    campaign: Campaign
    if options.sprt:
        campaign = Duel(buggy, fixed, Sequential(), _budget(MOST_PAIRS, options, settings))
    else:
        budget = _budget(options.runs, options, settings)
        campaign = Campaign([(v, budget) for v in (buggy, fixed)])
    outcome = run_campaign(settings, source, campaign=campaign)
    found = compared(campaign)
    code = _code(found) if outcome.complete else OPEN
    if options.json is not None:
        document = _document(found, options, settings, complete=outcome.complete)
        if not store.keep(options.json, document):
            code = OPEN
    for line in _lines(found, "odds" if options.sprt else "rate"):
        out.out(line, highlight=False)
    for message in campaign.lost:
        out.out(f"INCOMPLETE: {message.splitlines()[0]}", highlight=False)
    return code


def on_one_cast(
    buggy: Variant, fixed: Variant, options: argparse.Namespace
) -> tuple[Variant, Variant]:
    """Both variants with the same people. Raises UsageError if they have no cast in common."""
    if buggy is fixed:
        raise UsageError(f"{buggy.id} cannot be compared with itself")
    if buggy.scenario is not fixed.scenario:
        raise UsageError(
            f"{buggy.id} and {fixed.id} are of two scenarios, and have no cast in common"
        )
    if same_cast(fixed, buggy, options.cpus):
        return buggy, fixed
    if options.cast == "buggy":
        return buggy, on_cast_of(fixed, buggy)
    return on_cast_of(buggy, fixed), fixed


def _settings(options: argparse.Namespace, source: Library) -> Settings:
    request = Request(
        cpus=options.cpus,
        variants=(options.buggy, options.fixed),
        engine=options.engine,
        policy=options.policy,
        seed=options.seed,
        jobs=options.jobs,
        file=options.file,
    )
    return replace(resolve(request, Profile("compare", pairs=False), source), seconds=None)


def _budget(runs: int, options: argparse.Namespace, settings: Settings) -> Budget:
    """Of either: a rate is one under certain policies, those that find BUGGY's race."""
    if settings.policy != PORTFOLIO:
        return Budget(runs)
    known = odds.learnt() if options.file is None else {}
    return Budget(
        runs, portfolio=known[options.buggy].portfolio() if options.buggy in known else EVEN
    )


def compared(campaign: Campaign) -> Comparison:
    """The figures, by the rule under which the campaign stopped."""
    buggy, fixed = campaign.tallies
    counts = (buggy.findings, buggy.runs, fixed.findings, fixed.runs)
    rate = exact
    p, ratio = 1.0, Interval(1.0, 0.0, math.inf)
    if isinstance(campaign, Duel):
        p, rate, ratio = campaign.test.p, anytime, campaign.test.odds_ratio
    elif buggy.runs and fixed.runs:
        p, ratio = fisher(*counts, "greater"), rate_ratio(*counts)
    rates = (rate(*counts[:2]), rate(*counts[2:]))
    needed = runs_needed(rates[0].low) if buggy.findings else None
    return Comparison(buggy, fixed, p, rates, ratio, needed)


def _code(found: Comparison) -> int:
    if not found.buggy.findings:
        return OPEN
    return SHOWN if found.shown else NOT_SHOWN


def _heading(
    buggy: Variant, fixed: Variant, options: argparse.Namespace, settings: Settings
) -> Iterator[str]:
    """What is going to be done, before it is."""
    for word, variant in (("BUGGY", buggy), ("FIXED", fixed)):
        yield from _wrapped(f"{word}  {variant.id}: {variant.summary}", 7)
    if options.sprt:
        rule = (
            "run by run until Wald's test has told odds of failing that are ten times as high "
            f"from equal ones, wrong in 1 % of all cases; at most {MOST_PAIRS:,} runs of each"
        )
    else:
        rule = f"{runs(options.runs)} of each, fixed beforehand; Fisher's exact test, one-sided"
    yield from _wrapped(f"rule   {rule}", 7)
    yield (
        f"run    cpus {settings.cpus}, seed {settings.seed}, engine {settings.engine}, "
        f"policy {settings.scheduler}"
    )
    yield ""


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def _lines(found: Comparison, what: str) -> Iterator[str]:
    buggy, fixed = found.buggy, found.fixed
    for word, tally, rate in zip(("BUGGY", "FIXED"), (buggy, fixed), found.rates, strict=True):
        shown = percent(rate, tally.findings) if tally.runs else "-"
        yield f"{word}  {runs(tally.runs)}, {tally.findings:,} failed: {shown}"
    yield f"p      {chance(found.p)}, if FIXED failed as often as BUGGY"
    ratio = found.ratio
    interval = f"{_number(ratio.value)} [{_number(ratio.low)}, {_number(ratio.high)}]"
    yield f"ratio  {interval}, the {what} of BUGGY over that of FIXED"
    yield from _wrapped(_needs(found), 7)
    yield ""
    if not buggy.findings:
        yield "undecided: BUGGY did not fail, so there is nothing to compare with"
    elif found.shown:
        yield "FIXED fails less often"
    else:
        yield "it is not shown that FIXED fails less often"


def _needs(found: Comparison) -> str:
    if found.needed is None:
        return "fix    nobody knows how many clean runs it needs: BUGGY has not failed"
    need = f"this fix needs {found.needed:,} clean runs to be believed at 99 %"
    if found.fixed.findings:
        return f"fix    {need}; it has failed {times(found.fixed.findings)}"
    return f"fix    {need}; it has {found.fixed.runs:,}"


def _number(value: float) -> str:
    return "inf" if math.isinf(value) else f"{value:.3g}"


def _document(
    found: Comparison, options: argparse.Namespace, settings: Settings, *, complete: bool
) -> dict[str, Any]:
    def finite(value: float) -> float | None:
        return None if math.isinf(value) else value

    return {
        "complete": complete,
        "rule": "sprt" if options.sprt else "fixed",
        "cpus": settings.cpus,
        "seed": settings.seed,
        "engine": settings.engine,
        "policy": settings.scheduler,
        "file": settings.file,
        **{
            word: {
                "id": tally.variant.id,
                "runs": tally.runs,
                "findings": tally.findings,
                "rate": rate.value,
                "low": rate.low,
                "high": rate.high,
            }
            for word, tally, rate in (
                ("buggy", found.buggy, found.rates[0]),
                ("fixed", found.fixed, found.rates[1]),
            )
        },
        "p": found.p,
        "ratio_of": "odds" if options.sprt else "rates",
        "ratio": {
            "value": finite(found.ratio.value),
            "low": finite(found.ratio.low),
            "high": finite(found.ratio.high),
        },
        "runs_needed": found.needed,
        "shown": found.shown,
    }
