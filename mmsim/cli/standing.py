# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim ablate --prove`: which hunks carry something, by every order of small casts."""

from __future__ import annotations

import argparse
import signal
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from mmsim.ablation import page, record
from mmsim.ablation.exhaustive import (
    LOAD_BEARING,
    NOT_HERE,
    NOT_REACHED,
    NOT_RUN,
    ON,
    OPEN,
    Base,
    Cast,
    Hunk,
    Limits,
    Standing,
    Tell,
    base,
    casts_for,
    casts_of,
    hunks_of,
    settle,
)
from mmsim.ablation.record import Row
from mmsim.errors import UsageError
from mmsim.proofs.prove import in_order
from mmsim.scenarios.api import NEVER, Variant
from mmsim.stress import store
from mmsim.stress.source import Library, find_variant, select

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ablation.md"
SECONDS = 60.0
TELL = 2.0
INCOMPLETE = 3
WIDTH = 79

In = TypeVar("In")
Out = TypeVar("Out")

WORDS = {
    LOAD_BEARING: "load-bearing",
    NOT_HERE: "not load-bearing, in these casts",
    OPEN: "open",
    NOT_RUN: "does not run",
    NOT_REACHED: "never reached",
}


def run(options: argparse.Namespace) -> int:
    """The exit code: 0 if every hunk is settled, 1 if not, 3 if it was interrupted."""
    _check(options)
    variants = _chosen(options)
    if options.json is not None:
        store.check_writable(options.json)
    rows: list[Row] = []
    unclean: list[str] = []
    complete = False
    before = record.read()
    try:
        with _crew(options.jobs or 1) as crew:
            for variant in variants:
                _variant(variant, options, crew, rows, unclean)
                if options.write:
                    before = record.merged(before, [r for r in rows if r["variant"] == variant.id])
                    record.write(before)
                    PAGE.write_text(page.page(before), encoding="utf-8")
        complete = True
    except KeyboardInterrupt:
        print("mmsim: INCOMPLETE: interrupted", file=sys.stderr)
    except BrokenProcessPool:
        print("mmsim: INCOMPLETE: a worker process died", file=sys.stderr)
    finally:
        if rows:
            print(_summary(rows), flush=True)
        if options.json is not None and not store.keep(
            options.json,
            {
                "complete": complete,
                "seconds": options.seconds,
                "limit": options.limit,
                "unclean": unclean,
                "hunks": [_public(row, options.file) for row in rows],
            },
        ):
            complete = False
    if not complete:
        return INCOMPLETE
    wrong = _differences(rows, before) if options.check else []
    for text in wrong:
        print(text)
    return 1 if wrong or unclean or any(row["verdict"] == OPEN for row in rows) else 0


def _check(options: argparse.Namespace) -> None:
    for name in ("runs", "cpus", "seed"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is for campaigns: --prove runs every order, and no seeds")
    if not options.seconds >= 0:
        raise UsageError(f"--seconds is {options.seconds}: it has to be 0 or more")
    if options.write and not PAGE.parent.is_dir():
        raise UsageError("the record belongs to a checkout; an installed mmsim has none to write")
    if (options.write or options.check) and (options.cast or options.file or options.what):
        planned = {id for ids in record.PLAN.values() for id in ids}
        if options.cast or options.file or not set(options.what) <= planned:
            raise UsageError(
                "the record has the variants of its plan (mmsim/ablation/record.py), with all "
                "their casts; --write and --check go with these alone"
            )


def _chosen(options: argparse.Namespace) -> list[Variant]:
    source = Library(options.file)
    words = list(options.what)
    if not words and options.file is None:
        words = [id for ids in record.PLAN.values() for id in ids]
    for word in words:
        named = select(source, (), [word])
        if len(named) == 1 and not _right(named[0]):
            raise UsageError(
                f"{named[0].id} is not declared Never in order: what is left out of it has "
                "nothing to lose; name the variant that is right"
            )
    chosen = [v for v in select(source, (), words) if _right(v)]
    if not chosen:
        raise UsageError("no variant of these is declared Never, where memory is in order")
    if options.cast:
        for variant in chosen:
            casts_of(variant, options.cast)
    return chosen


def _right(variant: Variant) -> bool:
    return variant.expect is NEVER and in_order(variant)


class _Crew:
    """Does work here, or in ``pool``; the outcomes come in the order of what was asked."""

    def __init__(self, pool: ProcessPoolExecutor | None) -> None:
        self._pool = pool

    def each(self, work: Callable[[In, Tell | None], Out], todo: Sequence[In]) -> Iterator[Out]:
        if self._pool is None:
            for n, item in enumerate(todo, 1):
                yield work(item, _teller(f"{n}/{len(todo)} "))
            return
        pending = [self._pool.submit(work, item, None) for item in todo]
        for n, future in enumerate(pending, 1):
            yield future.result()
            print(f"{n} of {len(todo)}", file=sys.stderr, flush=True)


@contextmanager
def _crew(jobs: int) -> Iterator[_Crew]:
    if jobs == 1:
        yield _Crew(None)
        return
    pool = ProcessPoolExecutor(
        jobs, get_context("spawn"), initializer=signal.signal, initargs=(_INT, _DIE)
    )
    try:
        yield _Crew(pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_INT, _DIE = signal.SIGINT, signal.SIG_DFL
"""Ctrl-C goes to everybody; a worker has nothing to keep."""


def _base_of(cast: Cast, tell: Tell | None, id: str, file: str | None, limits: Limits) -> Base:
    return base(find_variant(Library(file), id), cast, limits, file, tell)


def _settle(
    todo: tuple[Hunk, list[Cast]], tell: Tell | None, bases: Sequence[Base], limits: Limits
) -> Standing:
    hunk, further = todo
    return settle(hunk, bases, limits, further, tell)


def _variant(
    variant: Variant,
    options: argparse.Namespace,
    crew: _Crew,
    rows: list[Row],
    unclean: list[str],
) -> None:
    """Print what becomes of one variant, and add it to ``rows``."""
    for line in textwrap.wrap(f"{variant.id}: {variant.summary}", WIDTH, subsequent_indent="  "):
        print(line, flush=True)
    limits = Limits(options.seconds or None, options.limit)
    hunks = hunks_of(variant, options.file)
    own = casts_of(variant, options.cast or "")
    explore = partial(_base_of, id=variant.id, file=options.file, limits=limits)
    bases = list(crew.each(explore, own))
    for each in bases:
        if not each.clean:
            unclean.append(f"{variant.id}, {each.cast}: {each.tried.verdict}")
    _wrapped("  as it is     ", "; ".join(_base_told(each) for each in bases))
    todo = [(hunk, [] if options.cast else casts_for(hunk, variant)) for hunk in hunks]
    for standing in crew.each(partial(_settle, bases=bases, limits=limits), todo):
        if standing.verdict == NOT_REACHED and standing.hunk.turned == ON:
            continue  # kernel code of another age
        row = record.row(standing, variant)
        rows.append(row)
        _told(row, options.file)


def _base_told(each: Base) -> str:
    tried = each.tried
    if each.clean:
        return f"{each.cast} {tried.executions:,}"
    what = tried.found.title if tried.found is not None else "a limit was reached"
    return f"{each.cast} {tried.executions:,}, NOT CLEAN: {what}"


def _told(row: Row, file: str | None) -> None:
    how = "put in" if row["turned"] == ON else "left out"
    _wrapped("  ", f"{record.hunk_name(row)}, {how}: {WORDS[row['verdict']]}")
    for text in _why(row):
        _wrapped("      ", text)
    if row["finding"] is not None:
        print(f"      {record.reproduce(row, file)}", flush=True)


def _why(row: Row) -> Iterator[str]:
    finding = row["finding"]
    done = "; ".join(f"{cast} {executions:,}" for cast, _, executions in row["casts"])
    if finding is not None:
        yield finding["title"]
        yield (
            f"first in execution {finding['first']:,} of {finding['cast']}; shrunk to "
            f"{finding['preemptions']} preemption{'s' * (finding['preemptions'] != 1)}"
        )
        return
    if row["error"]:
        yield row["error"]
    if row["unsettled"]:
        yield f"the variant itself is not settled in {', '.join(row['unsettled'])}"
    if row["verdict"] == OPEN and row["casts"]:
        yield f"no finding up to the limit: {done}"
    elif done:
        yield f"no finding in any execution: {done}"


def _wrapped(indent: str, text: str) -> None:
    for line in textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * (len(indent) + 2),
        break_long_words=False,
        break_on_hyphens=False,
    ):
        print(line, flush=True)


def _summary(rows: Iterable[Row]) -> str:
    counted = Counter(row["verdict"] for row in rows)
    parts = [f"{counted[verdict]} {words}" for verdict, words in WORDS.items() if counted[verdict]]
    total = sum(counted.values())
    text = f"{total} hunk{'s' * (total != 1)}: {'; '.join(parts)}"
    return "\n".join(textwrap.wrap(text, WIDTH))


def _public(row: Row, file: str | None) -> Row:
    """As ``--json`` has it: with the command that shows the finding again."""
    if row["finding"] is None:
        return row
    return row | {"finding": row["finding"] | {"reproduce": record.reproduce(row, file)}}


def _differences(rows: Iterable[Row], before: Iterable[Row]) -> list[str]:
    """Where the record says something else."""
    known = {record.key(row): row for row in before}
    out = []
    for row in rows:
        was = known.get(record.key(row))
        name = f"{row['variant']} {record.hunk_name(row)}"
        if was is None:
            out.append(f"{name}: not on record: run `python -m mmsim ablate --prove --write`")
        elif was["verdict"] != row["verdict"]:
            out.append(f"{name}: the record says {was['verdict']}")
        elif was["code"] != row["code"]:
            out.append(f"{name}: the record is stale: `python -m mmsim ablate --prove --write`")
        elif was["executions"] != row["executions"] and row["verdict"] != OPEN:
            out.append(f"{name}: the record says {was['executions']} executions")
    return out


def _teller(where: str) -> Tell:
    """Says every two seconds how far it is."""
    last = time.monotonic()

    def tell(cast: str, executions: int, spent: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > TELL:
            last = now
            text = f"{where}{cast}: {executions:,} executions, {spent:.0f} s"
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{text:<79}", end=end, file=sys.stderr, flush=True)

    return tell
