# SPDX-License-Identifier: GPL-2.0-only
"""How small first findings get, and at what cost: `python benchmarks/shrinking.py [VARIANT ...]`.

Of each variant declared Sometimes the first finding of the default campaign (seed 1, 8 CPUs, its
own cast) is made small within the limit that reports have. Seconds are of CPU time, which
a busy machine does not change much; most of the time goes into looking for the findings.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median

from mmsim.scenarios.api import Variant, Verdict
from mmsim.stress import profile
from mmsim.stress.shrinking import Shrinking, limit
from mmsim.stress.source import Library, select
from mmsim.stress.tally import Shrunk

CPUS, SEED = 8, 1
SOURCE = Library()


def variants(words: Sequence[str] = ()) -> list[Variant]:
    """Those that sampling is to find something in."""
    skip = profile.load("default").skip
    chosen = select(SOURCE, variants=words)
    return [v for v in chosen if v.expect is Verdict.SOMETIMES and v.id not in skip]


def first_line(variant: Variant) -> str:
    """The line of the first finding of the default campaign. Raises LookupError without one."""
    most = profile.load("default").budget(variant.id, variant.expect.value).runs or 0
    with SOURCE.runner(variant, cpus=CPUS, seed=SEED, engine="green", policy="mix") as runner:
        for index in range(most):
            result = runner.run(index)
            if result.findings:
                return result.schedule
    raise LookupError(f"{variant.id}: nothing found in {most} runs")


def shrunk(variant: Variant) -> tuple[Shrunk, int, float]:
    """The first finding made small; in how many runs and seconds."""
    shrinking = Shrinking(variant, first_line(variant), SOURCE)
    begun = time.thread_time()
    small = shrinking(limit())
    return small, shrinking.runs, time.thread_time() - begun


def rows(words: Sequence[str]) -> Iterator[tuple[str, Shrunk, int, float]]:
    for variant in variants(words):
        try:
            yield variant.id, *shrunk(variant)
        except LookupError as error:
            print(error, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant", nargs="*", metavar="VARIANT")
    several = []
    print(f"{'variant':<44} preemptions    turns      points   runs    s")
    for id, small, runs, seconds in rows(parser.parse_args().variant):
        several.append((small, seconds))
        was, now = small.before, small.size
        print(
            f"{id:<44}{was.preemptions:>5} {now.preemptions:>5} {was.turns:>5}{now.turns:>5}"
            f"{was.points:>7}{now.points:>6}{runs:>6}{seconds:>6.2f}"
            + ("" if small.complete else "  stopped"),
            flush=True,
        )
    figures = {
        "preemptions": [small.size.preemptions for small, _ in several],
        "turns": [small.size.turns for small, _ in several],
        "points": [small.size.points for small, _ in several],
        "seconds": [round(seconds, 2) for _, seconds in several],
    }
    for name, numbers in figures.items():
        print(f"{name:<12} median {median(numbers):g}, most {max(numbers):g}")


if __name__ == "__main__":
    main()
