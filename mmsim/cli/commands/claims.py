# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim claims`: what was said on the list, and what the runs say to it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any

from mmsim.claims import claims
from mmsim.claims.model import Settled
from mmsim.claims.settle import Answer, answers, campaign
from mmsim.errors import UsageError, nearest
from mmsim.stress import store
from mmsim.stress.output import console
from mmsim.stress.parser import MOST_JOBS, whole
from mmsim.stress.source import Library

HELP = "what the mails claim, settled by runs: confirmed, refuted, half, open"
DESCRIPTION = """\
Every statement and question of the five mail threads, in our own words, with the
verdict that the runs of its variants give. A claim says what one would see if it
were right; all of it seen is confirmed, none of it refuted, some of it half; what
no run here can settle is open. '+' marks what was seen, '-' what was not.

A claim that the model makes true is marked '=' and counted apart, as holding by
construction: that it is seen says nothing about the kernel.
"""
INCOMPLETE = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thread", nargs="*", help="numbers of threads (002); all if none is given")
    parser.add_argument("--runs", type=whole(1), default=400, help="runs a variant (400)")
    parser.add_argument("--cpus", type=whole(1, 64), default=8, help="simulated CPUs (8)")
    parser.add_argument("--seed", type=whole(0), default=1, help="seed of the campaign (1)")
    parser.add_argument("--jobs", type=whole(1, MOST_JOBS), help="worker processes (all cores)")
    parser.add_argument("--json", metavar="FILE", help="write the answers there as well")


def run(options: argparse.Namespace) -> int:
    wanted = _threads(options.thread)
    chosen = [claim for claim in claims() if claim.thread in wanted]
    if options.json is not None:
        store.check_writable(options.json)
    tallies, complete = campaign(
        chosen,
        Library(),
        runs=options.runs,
        cpus=options.cpus,
        seed=options.seed,
        jobs=options.jobs,
    )
    told = chosen
    if not complete:  # what was run to its end need not be lost
        through = {id for id, tally in tallies.items() if tally.runs == options.runs}
        told = [claim for claim in chosen if through.issuperset(claim.variants())]
    settled = answers(told, tallies)
    _show(settled)
    kept = options.json is None or store.keep(options.json, _document(settled, options, complete))
    if complete:
        return 0 if kept else INCOMPLETE
    print(
        f"mmsim: the campaign is incomplete: {len(told)} of {len(chosen)} claims could be settled",
        file=sys.stderr,
    )
    return INCOMPLETE


def _threads(words: list[str]) -> set[str]:
    known = sorted({claim.thread for claim in claims()})
    wanted = {word.zfill(3) if word.isdigit() else word for word in words} or set(known)
    for word in sorted(wanted - set(known)):
        raise UsageError(f"no thread {word!r}{nearest(word, known)}; known: {', '.join(known)}")
    return wanted


def _show(settled: tuple[Answer, ...]) -> None:
    out = console(sys.stdout)
    thread = ""
    for answer in settled:
        claim = answer.claim
        if claim.thread != thread:
            thread = claim.thread
            out.out(f"thread {thread}\n", highlight=False)
        out.out(f"{claim.id}  {answer.settled.value.upper()}  {claim.who}", highlight=False)
        out.out(f"    {claim.text}", highlight=False)
        for line in answer.evidence:
            out.out(f"    {line}", highlight=False)
        if claim.by_construction:
            out.out(f"    by construction: {claim.by_construction}", highlight=False)
        if claim.note:
            out.out(f"    note: {claim.note}", highlight=False)
        out.out("")
    count = Counter(answer.settled for answer in settled)
    parts = [f"{count[verdict]} {verdict.value}" for verdict in Settled]
    out.out(f"{len(settled)} claims: {', '.join(parts)}", highlight=False)


def _document(
    settled: tuple[Answer, ...], options: argparse.Namespace, complete: bool
) -> dict[str, Any]:
    return {
        "complete": complete,
        "runs": options.runs,
        "cpus": options.cpus,
        "seed": options.seed,
        "claims": [
            {
                "id": answer.claim.id,
                "thread": answer.claim.thread,
                "who": answer.claim.who,
                "text": answer.claim.text,
                "verdict": answer.settled.value,
                "evidence": list(answer.evidence),
                "variants": list(answer.claim.variants()),
                "by_construction": answer.claim.by_construction,
                "note": answer.claim.note,
            }
            for answer in settled
        ],
    }
