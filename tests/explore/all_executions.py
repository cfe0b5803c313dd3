# SPDX-License-Identifier: GPL-2.0-only
"""Prints what explorations come to, a line each, for a comparison of two ways to run the search.

    python -m tests.explore.all_executions LIMIT PROGRAMS

First whether the search is compiled; then every planned small cast, and so many random programs of
each flavour.  A line has a digest over the schedules of the first executions, in their order.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from mmsim import native
from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.explore import Search
from mmsim.exploration.explorer import Explorer, Question
from mmsim.proofs.prove import in_order, pairs_of
from mmsim.stress.source import Library, all_variants
from tests.explore.programs import explore
from tests.explore.random_programs import FLAVOURS, program


def main(limit: int, programs: int) -> None:
    print("compiled" if native.used() else "interpreted", flush=True)
    for variant in all_variants(Library()).values():
        for pair in pairs_of(variant) if in_order(variant) else ():
            cast(Question(variant.id, pair.cast, pair.small.cpus, bound=pair.bound), limit)
    token = greenlets()
    for flavour in FLAVOURS:
        for seed in range(programs):
            search, schedules = explore(
                token, program(seed, flavour), lambda m: token.segments, learn=3, at_most=limit
            )
            print(flavour, seed, *counts(search), digest(schedules), flush=True)
    token.close()


def cast(question: Question, limit: int) -> None:
    schedules = []
    with Explorer(question) as explorer:
        search = explorer.search
        while search.more() and search.executions < limit:
            explorer.step()
            schedules.append((explorer._runner._with_token().segments, search.restarts))
        found = sorted(explorer.findings)
    name = f"{question.variant} {question.cast}"
    print(name, *counts(search), found, digest(schedules), flush=True)


def counts(search: Search) -> tuple[int, int, int, int]:
    return search.executions, search.blocked, search.cut, search.restarts


def digest(schedules: list[Any]) -> str:
    return hashlib.sha1(repr(schedules).encode(), usedforsecurity=False).hexdigest()[:12]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
