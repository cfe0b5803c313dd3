# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim prove`: explore the small casts of the plan, and keep what they came to."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import mmsim
from mmsim.engine.explore import Search
from mmsim.errors import UsageError
from mmsim.proofs import page, record
from mmsim.proofs.prove import (
    BOUNDED,
    EXHAUSTIVE,
    FOUND,
    INCOMPLETE,
    Pair,
    Proof,
    pairs,
    pairs_of,
    prove,
)
from mmsim.scenarios.api import Verdict
from mmsim.scenarios.registry import find_variant, scenarios
from mmsim.stress.parser import MOST_JOBS, whole

HELP = "explore the small casts of variants, and keep the proofs (docs/proofs.md)"
DESCRIPTION = """\
Every variant has small casts: two or three actors, and the interrupt where the race has one. A
variant declared Never is explored with each until every execution was run; any other until the
first finding. Without a variant's id: all of them.

  python -m mmsim prove 002.pagelocked         explore, and say what came of it
  python -m mmsim prove --write                explore what is missing or stale, and record it
  python -m mmsim prove --check                explore all, and compare with the record
  python -m mmsim prove --list                 what is on record; explore nothing

The record is mmsim/proofs/proofs.json; docs/proofs.md is made from it, and the tables of
mmsim.stress quote it. A proof is of the code that was explored: after a change it is stale. What is
recorded is recorded at once, so that an interruption loses no more than the pair it hits.

Exit code: 0 if everything came to what its variant declares, 1 if something did not, was cut off by
a limit, or differs from the record, 2 for a request that makes no sense, 3 if interrupted.
"""
PAGE = Path(mmsim.__file__).resolve().parent.parent / "docs" / "proofs.md"
SECONDS = 120.0
EXECUTIONS = 2_000  # to the first finding
TELL = 2.0  # seconds between lines of progress


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="ids (default: all)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="record what is missing or stale")
    what.add_argument("--check", action="store_true", help="compare with the record")
    what.add_argument("--list", action="store_true", help="show the record")
    parser.add_argument("--all", action="store_true", help="with --write: also what is up to date")
    parser.add_argument("--cast", metavar="NAME", help="only with this cast, planned or not")
    parser.add_argument("--bound", type=int, metavar="K", help="with --cast: at most K preemptions")
    parser.add_argument(
        "--jobs",
        type=whole(1, MOST_JOBS),
        default=1,
        metavar="J",
        help="pairs at a time (default 1)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        metavar="S",
        help=f"stop a pair after so many seconds of one core (default {SECONDS:.0f}; 0: no limit)",
    )


def run(options: argparse.Namespace) -> int:
    _check(options)
    chosen = _chosen(options)
    on_record = record.read()
    if options.list:
        return _listed(chosen, on_record)
    fresh = {pair.key for pair in chosen if _fresh(pair, on_record)}
    if options.write and not options.all:
        chosen = [pair for pair in chosen if pair.key not in fresh]
    ok = True
    for pair, proof in _explored(chosen, options.seconds or None, options.jobs):
        print(told(proof), flush=True)
        ok = ok and declared(pair, proof)
        if options.check:
            difference = differs(on_record.get(pair.key), proof, pair.key in fresh)
            if difference:
                print(f"  {difference}", flush=True)
                ok = False
        if options.write:
            on_record[proof.key] = proof
            _write(on_record)
    if options.write:
        _write(on_record)
    if options.check and not options.variants and not options.cast:
        text = page.page(scenarios(), on_record)
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
            print("docs/proofs.md is not what the record says: run `python -m mmsim prove --write`")
            ok = False
    return 0 if ok else 1


def _check(options: argparse.Namespace) -> None:
    if not options.seconds >= 0:
        raise UsageError(f"--seconds is {options.seconds}: it has to be 0 or more")
    if options.bound is not None and options.bound < 0:
        raise UsageError(f"--bound is {options.bound}: it has to be 0 or more")
    if options.bound is not None and not options.cast:
        raise UsageError("--bound goes with --cast: the plan says what is bounded")
    if options.cast and not options.variants:
        raise UsageError("--cast needs a variant: casts belong to a thread")
    if options.cast and (options.write or options.check):
        raise UsageError("--cast is for a look: what is recorded is what the plan says")
    if options.all and not options.write:
        raise UsageError("--all goes with --write")
    if options.write and not PAGE.parent.is_dir():
        raise UsageError("the record belongs to a checkout; an installed mmsim has none to write")


def _chosen(options: argparse.Namespace) -> list[Pair]:
    if not options.variants:
        return list(pairs(scenarios()))
    variants = [find_variant(name) for name in options.variants]
    if options.cast:
        chosen = [Pair(variant, options.cast, options.bound) for variant in variants]
        for pair in chosen:
            _ = pair.small  # a name that is none is an error of the request
        return chosen
    chosen = [pair for variant in variants for pair in pairs_of(variant)]
    without = [variant.id for variant in variants if not pairs_of(variant)]
    if without:
        raise UsageError(f"the plan has no cast for {', '.join(without)}")
    return chosen


def _fresh(pair: Pair, on_record: Mapping[record.Key, Proof]) -> bool:
    """Is it on record, of this program, and settled?"""
    proof = on_record.get(pair.key)
    if proof is None or proof.verdict == INCOMPLETE:
        return False
    return not record.stale(proof, pair.variant.scenario)


def _explored(
    chosen: Sequence[Pair], seconds: float | None, jobs: int
) -> Iterator[tuple[Pair, Proof]]:
    """Each pair with its proof: in their order, or with several jobs as they come."""
    if jobs == 1:
        for n, pair in enumerate(chosen, 1):
            yield pair, _one(pair, seconds, _teller(pair, f"{n}/{len(chosen)} "))
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        pending = {pool.submit(_elsewhere, pair.key, seconds): pair for pair in chosen}
        try:
            for future in as_completed(list(pending)):
                yield pending.pop(future), future.result()
                print(f"{len(pending)} to go", file=sys.stderr, flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _elsewhere(key: record.Key, seconds: float | None) -> Proof:
    """In another process, where the variant has to be looked up again."""
    variant, cast, bound = key
    return _one(Pair(find_variant(variant), cast, bound), seconds, None)


def _one(pair: Pair, seconds: float | None, tell: Callable[[Search, float], None] | None) -> Proof:
    never = pair.variant.expect is Verdict.NEVER
    executions = None if never else EXECUTIONS
    return prove(pair, seconds=seconds, executions=executions, first=not never, told=tell)


def _teller(pair: Pair, where: str) -> Callable[[Search, float], None]:
    """Says every two seconds how far it is."""
    last = time.monotonic()

    def tell(search: Search, spent: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > TELL:
            last = now
            text = (
                f"{where}{pair.variant.id}, {pair.cast}: {search.executions} executions, "
                f"{spent:.0f} s, at most {search.explored():.0%}"
            )
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{text:<79}", end=end, file=sys.stderr, flush=True)

    return tell


def declared(pair: Pair, proof: Proof) -> bool:
    """Did it come to what the variant declares?  What is found has to be what was declared."""
    if pair.variant.expect is Verdict.NEVER:
        return proof.verdict in (EXHAUSTIVE, BOUNDED)
    titles = [finding["title"] for finding in proof.findings]
    expected = pair.variant.findings
    return bool(titles) and all(any(re.search(p, t) for p in expected) for t in titles)


def differs(before: Proof | None, now: Proof, same_code: bool) -> str:
    """In what a proof is not what was recorded: nothing, or a sentence.

    The same code comes to the same executions; other code only has to come to the same verdict.
    """
    if before is None:
        return "is not on record: run `python -m mmsim prove --write`"
    if before.verdict != now.verdict:
        return f"the record says {before.verdict}"
    count = (before.executions, before.first), (now.executions, now.first)
    if same_code and count[0] != count[1]:
        return f"the record says {before.executions} executions, first finding in {before.first}"
    if not same_code:
        return "the record is stale: run `python -m mmsim prove --write`"
    return ""


def told(proof: Proof) -> str:
    """One line."""
    verdict = {
        EXHAUSTIVE: "Never",
        BOUNDED: f"Never up to {proof.bound} preemptions",
        INCOMPLETE: "incomplete: a limit was reached",
        FOUND: f"found in execution {proof.first}",
    }[proof.verdict]
    title = "".join(f"\n    {finding['title']}" for finding in proof.findings)
    return (
        f"{proof.variant}, {proof.cast}: {verdict} "
        f"({proof.executions} executions, {proof.seconds:.1f} s){title}"
    )


def _write(on_record: dict[record.Key, Proof]) -> None:
    record.write(record.planned(pairs(scenarios()), on_record))
    PAGE.write_text(page.page(scenarios(), on_record), encoding="utf-8")


def _listed(chosen: Iterable[Pair], on_record: dict[record.Key, Proof]) -> int:
    for pair in chosen:
        proof = on_record.get(pair.key)
        if proof is None:
            print(f"{pair.variant.id}, {pair.cast}: not on record")
            continue
        mark = " (stale)" if record.stale(proof, pair.variant.scenario) else ""
        print(f"{told(proof)}{mark}")
    return 0
