# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim odds`: which policy of the portfolio finds which race, and how often."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from rich.table import Table

from mmsim.engine.policy.portfolio import MEMBERS
from mmsim.errors import UsageError
from mmsim.scenarios.api import Variant
from mmsim.stress import learning, odds, profile, store
from mmsim.stress.odds import Odds
from mmsim.stress.output import console, show_rows
from mmsim.stress.parser import MOST_JOBS, whole
from mmsim.stress.source import Library, find_variant, select
from mmsim.stress.worker import cores

HELP = "which policy of the portfolio finds which race, and how often"
DESCRIPTION = """\
The stress runner spreads its runs over a portfolio of policies. Most go to the policy
that finds most for what it costs, and no policy gets less than 5 %. Which one that is
has been learnt of each race of mmsim and is kept in stress/odds/learnt.toml:

  python -m mmsim odds                   what is known of every race that can fail
  python -m mmsim odds 002.flawed        of one
  python -m mmsim odds 002.flawed --learn    run it again under each policy, and show that
  python -m mmsim odds --write           learn what is not known yet, and keep it
  python -m mmsim odds --write --all     learn everything anew (some minutes)

Of a variant that is not in the file, such as one of your own (--file), a campaign
learns in its first runs. A number in the table is the share of failing runs in per
cent, * the policy that most runs go to, - where nothing is known.

exit code: 0, 2 for a request that makes no sense, 3 if it was interrupted
"""
TELL = 2.0
"""Seconds between lines of progress."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "variants",
        nargs="*",
        metavar="VARIANT",
        help="ids or patterns (all that can fail)",
    )
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")
    parser.add_argument("--learn", action="store_true", help="run, and show what came of it")
    parser.add_argument("--write", action="store_true", help="learn what is not known, and keep it")
    parser.add_argument("--all", action="store_true", help="with --write: what is known, too")
    parser.add_argument(
        "--jobs", type=whole(1, MOST_JOBS), default=len(cores()), metavar="J", help="processes"
    )


def run(options: argparse.Namespace) -> int:
    _check(options)
    source = Library(options.file)
    chosen = select(source, (), options.variants) if options.variants else select(source)
    able = [v for v in chosen if v.expect.value == "Sometimes"]
    if options.variants and not able:
        raise UsageError(f"{', '.join(options.variants)}: none of them fails in some runs only")
    known = dict(odds.learnt()) if options.file is None else {}
    interrupted = False
    if options.learn or options.write:
        wanted = [v for v in able if options.learn or options.all or v.id not in known]
        try:
            for id, learnt in _learnt(wanted, options.file, options.jobs):
                known[id] = learnt
        except KeyboardInterrupt:
            interrupted = True
        if options.write:
            everything = [v.id for v in select(source) if v.id in known]
            file = _place()
            store.write_text(str(file), odds.text({id: known[id] for id in everything}))
            print(f"{len(everything)} variants in {os.path.relpath(file)}", file=sys.stderr)
    out = console(sys.stdout)
    show_rows(out, table(able, known))
    if interrupted:
        print("mmsim: interrupted; what was learnt until then is shown", file=sys.stderr)
    return 3 if interrupted else 0


def _check(options: argparse.Namespace) -> None:
    if options.all and not options.write:
        raise UsageError("--all goes with --write")
    if options.write and (options.file is not None or options.learn):
        raise UsageError("--write keeps what it learns of mmsim's own variants: no --file, --learn")


def _place() -> Path:
    """The file of a checkout. Raises UsageError in an installed package."""
    place = profile.directories()[0]
    if not place.is_dir():
        raise UsageError("odds belong to a checkout; an installed mmsim has none to write")
    (place / odds.FILE).parent.mkdir(exist_ok=True)
    return place / odds.FILE


def _one(id: str, file: str | None) -> Odds:
    """In a worker."""
    return learning.learn(find_variant(Library(file), id))


def _learnt(variants: Iterable[Variant], file: str | None, jobs: int) -> Iterator[tuple[str, Odds]]:
    """What is learnt of each, in the order in which it is there; says on stderr how far it is."""
    ids = [v.id for v in variants]
    told = time.monotonic()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_one, id, file): id for id in ids}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                yield futures[future], future.result()
                if time.monotonic() - told > TELL:
                    told = time.monotonic()
                    print(f"mmsim odds: {done} of {len(ids)} variants", file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def table(variants: Iterable[Variant], known: Mapping[str, Odds]) -> Table:
    """A row a race, a column a policy: the share of its runs that failed."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    shown.add_column("% of runs", no_wrap=True)
    for name in MEMBERS:
        short = {"random-walk": "walk"}.get(name, name.replace("geometric-", "geo-"))
        shown.add_column(short, no_wrap=True, justify="right")
    for variant in variants:
        shown.add_row(variant.id, *cells(known.get(variant.id)))
    return shown


def cells(of: Odds | None) -> list[str]:
    """What is known of each policy, in per cent."""
    if of is None:
        return ["-"] * len(MEMBERS)
    best = of.best() if of.found else ""
    return [
        f"{100 * of.findings[name] / of.runs[name]:.3g}{'*' if name == best else ' '}"
        if of.runs[name]
        else "- "
        for name in MEMBERS
    ]
