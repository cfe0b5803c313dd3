# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim barriers VARIANT...`: which barriers of the kernel code does a variant need?"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from mmsim.engine.memory.orders import NAMES, SC
from mmsim.engine.memory.without import ATOMICS, Barrier, Barriers
from mmsim.errors import UsageError
from mmsim.run import Runner
from mmsim.scenarios.api import NEVER, Variant
from mmsim.scenarios.cast import with_cast
from mmsim.stress import store
from mmsim.stress.parser import whole
from mmsim.stress.settings import MOST_CPUS
from mmsim.stress.source import Library, select
from mmsim.stress.statistics import upper_bound

HELP = "each barrier off in turn: which are needed on these casts?"
DESCRIPTION = """\
Run variants under weak memory, first as they are, then with one barrier of the kernel code off at a
time: smp_mb, smp_rmb, smp_wmb, load-acquire, store-release, and the barrier of set_current_state
(store-mb); with --atomics also what an atomic orders (rmw, rmw-acquire, rmw-release), which then is
the _relaxed one. A barrier whose absence shows is needed, and the line under it replays: with
--without, `replay` takes the barrier away, too. One whose absence does not show may be needed where
this cast does not go, by loads and stores that are not modelled, or rarely.

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
    parser.add_argument("--cast", metavar="NAME", help="another cast than the variant's")
    parser.add_argument("--atomics", action="store_true", help="what atomics order as well")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="FUNCTION",
        help="take away none but the barriers of this function; may be given again",
    )
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results there as well")


@dataclass
class Tried:
    """What the runs of one variant, with or without one barrier, came to."""

    runs: int = 0
    titles: dict[str, int] = field(default_factory=dict)
    line: str = ""
    """The first schedule that ends in a finding."""
    met: set[Barrier] = field(default_factory=set)

    def __str__(self) -> str:
        if not self.titles:
            return f"0 of {self.runs}, rate < {upper_bound(self.runs):.2%}"
        title = max(self.titles, key=lambda each: self.titles[each])
        return f"{sum(self.titles.values())} of {self.runs}: {title}"

    def document(self) -> dict[str, object]:
        return {"runs": self.runs, "findings": self.titles, "schedule": self.line}


def run(options: argparse.Namespace) -> int:
    if options.json is not None:
        store.check_writable(str(options.json))
    chosen = select(Library(options.file), (), options.variants)
    variants = [v for v in chosen if v.expect is NEVER and v.effective_cpus(options.cpus) > 1]
    variants = [v for v in variants if v.memory not in NAMES or v.memory in (SC, options.memory)]
    if not variants:
        raise UsageError("no variant of these is declared Never and has two CPUs")
    if options.cast:
        variants = [with_cast(variant, options.cast) for variant in variants]
    unclean = False
    results: list[dict[str, object]] = []
    complete = False
    try:
        for variant in variants:
            clean = _one(variant, options, results)
            unclean = unclean or not clean
        complete = True
    finally:
        if options.json is not None:
            settings = {name: getattr(options, name) for name in ("runs", "cpus", "seed", "memory")}
            store.keep(str(options.json), {"complete": complete, **settings, "tried": results})
    return 1 if unclean else 0


def _one(variant: Variant, options: argparse.Namespace, results: list[dict[str, object]]) -> bool:
    """Every barrier of one variant; was it clean as it is?"""
    tried = _tried(variant, None, options)
    print(f"{variant.id}: {tried}", flush=True)
    results.append({"variant": variant.id, "cast": options.cast, **tried.document()})
    if tried.titles:
        return False
    for barrier in sorted(tried.met):
        if barrier.kind in ATOMICS and not options.atomics:
            continue
        if options.only and barrier.function not in options.only:
            continue
        without = _tried(variant, barrier, options)
        where = f"{barrier.function}() {barrier.word}".rstrip()
        print(f"  {barrier.kind:<14}{where:<42}{without}", flush=True)
        if without.line:
            print(f"    {_replay(variant, without.line, barrier, options)}", flush=True)
        results.append(
            {
                "variant": variant.id,
                "cast": options.cast,
                "without": str(barrier),
                **without.document(),
            }
        )
    return True


def _replay(variant: Variant, line: str, barrier: Barrier, options: argparse.Namespace) -> str:
    command = ["python", "-m", "mmsim", "replay", variant.id, line, "--without", str(barrier)]
    for name in ("cast", "file"):
        if getattr(options, name):
            command += [f"--{name}", getattr(options, name)]
    return shlex.join(command)


def _tried(variant: Variant, off: Barrier | None, options: argparse.Namespace) -> Tried:
    tried = Tried()
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
            result = runner.run(index)
            tried.runs += 1
            for finding in result.findings[:1]:
                tried.titles[finding.title] = tried.titles.get(finding.title, 0) + 1
                tried.line = tried.line or result.schedule
            if time.monotonic() - told > TELL:
                told += TELL
                what = "as it is" if off is None else f"without {off.kind} of {off.function}"
                print(f"{variant.id}: {what}: {index + 1} runs", file=sys.stderr, flush=True)
    tried.met = barriers.met
    return tried
