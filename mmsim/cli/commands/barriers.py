# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim barriers VARIANT...`: which barriers of the kernel code does a variant need?"""

from __future__ import annotations

import argparse
import sys
import time

from mmsim.engine.memory.orders import NAMES, SC
from mmsim.engine.memory.without import Barrier, Barriers
from mmsim.errors import UsageError
from mmsim.run import Runner
from mmsim.scenarios.api import NEVER, Variant
from mmsim.stress.parser import whole
from mmsim.stress.settings import MOST_CPUS
from mmsim.stress.source import Library, select
from mmsim.stress.statistics import upper_bound

HELP = "each barrier off in turn: which are needed on these casts?"
DESCRIPTION = """\
Run variants under weak memory, first as they are, then with one barrier of the kernel code off at a
time: smp_mb, smp_rmb, smp_wmb, load-acquire, store-release, and the barrier of set_current_state
(store-mb). A barrier whose absence shows is needed. One whose absence does not show may be needed
where this cast does not go, by loads and stores that are not modelled, or rarely.

Barriers that a variant does not come by are not tried. The exit code is 0 if all variants are clean
as they are, 1 if one is not.
"""
TELL = 5.0  # seconds between lines of progress


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variants", nargs="+", help="ids, patterns such as '004.*', scenarios")
    parser.add_argument(
        "--runs", type=whole(1), default=200, metavar="N", help="runs of each (default 200)"
    )
    parser.add_argument("--cpus", type=whole(1, MOST_CPUS), default=2, metavar="N")
    parser.add_argument("--seed", type=whole(0), default=1, metavar="N")
    parser.add_argument("--memory", choices=NAMES[1:], default="weak")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")


def run(options: argparse.Namespace) -> int:
    chosen = select(Library(options.file), (), options.variants)
    variants = [v for v in chosen if v.expect is NEVER and v.effective_cpus(options.cpus) > 1]
    variants = [v for v in variants if v.memory not in NAMES or v.memory in (SC, options.memory)]
    if not variants:
        raise UsageError("no variant of these is declared Never and has two CPUs")
    unclean = False
    for variant in variants:
        findings, met = _tried(variant, None, options)
        print(f"{variant.id}: {_told(findings, options.runs)}", flush=True)
        if findings:
            unclean = True
            continue
        for barrier in sorted(met):
            findings, _ = _tried(variant, barrier, options)
            where = f"{barrier.function}()"
            print(f"  {barrier.kind:<14}{where:<42}{_told(findings, options.runs)}", flush=True)
    return 1 if unclean else 0


def _tried(
    variant: Variant, off: Barrier | None, options: argparse.Namespace
) -> tuple[dict[str, int], set[Barrier]]:
    """Findings by title, and the barriers that were met."""
    found: dict[str, int] = {}
    told = time.monotonic()
    barriers = Barriers(off)
    with Runner(
        variant,
        cpus=options.cpus,
        seed=options.seed,
        engine="green",
        memory=options.memory,
        barriers=barriers,
    ) as runner:
        for index in range(options.runs):
            for finding in runner.run(index).findings[:1]:
                found[finding.title] = found.get(finding.title, 0) + 1
            if time.monotonic() - told > TELL:
                told += TELL
                what = "as it is" if off is None else f"without {off.kind} of {off.function}"
                print(f"{variant.id}: {what}: {index + 1} runs", file=sys.stderr, flush=True)
        return found, barriers.met


def _told(findings: dict[str, int], runs: int) -> str:
    if not findings:
        return f"0 of {runs}, rate < {upper_bound(runs):.2%}"
    total = sum(findings.values())
    title = max(findings, key=lambda each: findings[each])
    return f"{total} of {runs}: {title}"
