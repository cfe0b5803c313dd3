# SPDX-License-Identifier: GPL-2.0-only
"""Prints for every planned small cast a line of what its first executions come to.

    python -m tests.explore.all_casts LIMIT

A line has a digest over the schedules of the executions, in their order.  The first line says
whether the search is compiled.
"""

from __future__ import annotations

import hashlib
import sys

from mmsim import native
from mmsim.exploration.explorer import Explorer, Question
from mmsim.proofs.prove import in_order, pairs_of
from mmsim.stress.source import Library, all_variants


def main(limit: int) -> None:
    print("compiled" if native.used() else "interpreted", flush=True)
    for variant in all_variants(Library()).values():
        for pair in pairs_of(variant) if in_order(variant) else ():
            question = Question(variant.id, pair.cast, pair.small.cpus, bound=pair.bound)
            digest = hashlib.sha1(usedforsecurity=False)
            with Explorer(question) as explorer:
                search = explorer.search
                while search.more() and search.executions < limit:
                    explorer.step()
                    schedule = explorer._runner._with_token().segments
                    digest.update(repr((schedule, search.restarts)).encode())
                counts = search.executions, search.blocked, search.cut, search.restarts
                found = sorted(explorer.findings)
            print(variant.id, pair.cast, *counts, found, digest.hexdigest()[:12], flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
