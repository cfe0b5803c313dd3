# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim claims`: what was said on the list, and what the runs say to it."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mmsim.claims import claims
from mmsim.claims.model import Claim, Settled
from mmsim.claims.settle import Answer, answers, budgets, campaign
from mmsim.errors import UsageError, nearest, one_line
from mmsim.stress import store
from mmsim.stress.output import console
from mmsim.stress.parser import MOST_JOBS, whole
from mmsim.stress.source import Library, find_variant

HELP = "what the mails claim, settled by runs: confirmed, refuted, half, open"
DESCRIPTION = """\
Every statement and question of the five mail threads, in our own words, with the
verdict that the runs of its variants give. A claim says what one would see if it
were right; all of it seen is confirmed, none of it refuted, some of it half; what
no run here can settle is open. '+' marks what was seen, '-' what was not.

A claim that the model makes true is marked '=' and counted apart, as holding by
construction: that it is seen says nothing about the kernel.

With --file the claims are those of a scenario file of your own, which lists them:

    from mmsim.claims.model import Claim, Clean, Fails
    CLAIMS = (Claim("900.1", "you", "the fix closes it", (Fails("900.a"), Clean("900.b"))),)
"""
INCOMPLETE = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thread", nargs="*", help="numbers of threads (002); all if none is given")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")
    parser.add_argument("--runs", type=whole(1), default=400, help="runs a variant (400)")
    parser.add_argument("--cpus", type=whole(1, 64), default=8, help="simulated CPUs (8)")
    parser.add_argument("--seed", type=whole(0), default=1, help="seed of the campaign (1)")
    parser.add_argument("--jobs", type=whole(1, MOST_JOBS), help="worker processes (all cores)")
    parser.add_argument("--json", metavar="FILE", help="write the answers there as well")


def run(options: argparse.Namespace) -> int:
    source = Library(options.file)
    known = claims() if options.file is None else own_claims(source)
    wanted = _threads(options.thread, known)
    chosen = [claim for claim in known if claim.thread in wanted]
    if options.json is not None:
        store.check_writable(options.json)
    tallies, complete = campaign(
        chosen,
        source,
        runs=options.runs,
        cpus=options.cpus,
        seed=options.seed,
        jobs=options.jobs,
    )
    told = chosen
    if not complete:  # what was run to its end need not be lost
        each = budgets(chosen, options.runs)
        through = {id for id, tally in tallies.items() if tally.runs == each[id]}
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


def own_claims(source: Library) -> tuple[Claim, ...]:
    """The claims of a file of the user's own, looked over before anything is run.

    Raises UsageError for what is no claim, for two of one id, for a thread or a variant that the
    file does not have, and for a title that is no regular expression.
    """
    found = source.claims()
    where = f"scenario file {source.file!r}"
    if not found:
        raise UsageError(
            f"{where}: it claims nothing; CLAIMS = (Claim(...), ...) is where it would"
        )
    threads = {scenario.id for scenario in source.scenarios()}
    for claim in found:
        if not isinstance(claim, Claim) or not isinstance(claim.id, str):
            raise UsageError(f"{where}: {one_line(repr(claim))[:60]} stands in CLAIMS and is none")
        who = f"{where}: claim {claim.id!r}"
        if claim.thread not in threads:
            hint = nearest(claim.thread, threads)
            raise UsageError(f"{who}: its id has to begin with a scenario's and a dot{hint}")
        try:
            for variant in claim.variants():
                find_variant(source, variant)
            for sight in claim.sees:
                re.compile(getattr(sight, "title", ""))
        except UsageError as error:
            raise UsageError(f"{who}: {one_line(error)}") from error
        except Exception as error:  # what stands in ``sees`` may be anything
            what = f"{type(error).__name__}: {one_line(error)}"
            raise UsageError(f"{who}: {what}; 'sees' is a tuple of conditions") from error
    name, times = Counter(claim.id for claim in found).most_common(1)[0]
    if times > 1:
        raise UsageError(f"{where}: {times} claims have the id {name!r}")
    return tuple(found)


def _threads(words: list[str], among: Iterable[Claim]) -> set[str]:
    known = sorted({claim.thread for claim in among})
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
