# SPDX-License-Identifier: GPL-2.0-only
"""How fast is one checkout of mmsim beside another?

    python benchmarks/compare_checkouts.py OLD NEW

Times the same runs (same seeds, 8 simulated CPUs) of four variants, and single accesses that do not
switch, in processes that take turns: old, new, new, old, and so on.  Above 1.00 the new checkout is
faster.

What is measured is processor time.  Others on the computer make that longer, too, but never
shorter, and a run is the same in every round: so ``ratio`` compares the sums of each run's fastest
time.  Beside it stands the median of the rounds' own ratios with the lowest and the highest; where
those are far apart, the computer was busy and more rounds are needed.  Both checkouts run under the
Python that runs this file, which must have the packages that mmsim needs.

A checkout whose kernel code does more has longer runs.  ``per effect`` takes that out: it compares
what an effect costs in the two, with its share of boot, hand-overs and check.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

VARIANTS = ("002.flawed", "000.get-from-zero", "003.unlock-first", "004.merged")
CPUS = 8
SEED = 1
WARM_UP = 20  # runs before the clock starts: imports, threads, caches
EFFECTS = "effects"  # of a run, on average
POINTS = 100_000  # accesses in one timing of a point; the best of five counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", type=Path, help="a checkout of mmsim")
    parser.add_argument("new", type=Path, help="another")
    parser.add_argument("--rounds", type=int, default=8, metavar="N", help="default 8")
    parser.add_argument(
        "--runs", type=int, default=150, metavar="N", help="of a variant in a round (default 150)"
    )
    parser.add_argument("--engine", default="threads", help="threads (the default) or free")
    options = parser.parse_args()
    for checkout in (options.old, options.new):
        if not (checkout / "mmsim" / "run.py").is_file():
            parser.error(f"{checkout}: no checkout of mmsim (it has no mmsim/run.py)")
    if options.rounds < 1 or options.runs < 1:
        parser.error("--rounds and --runs have to be at least 1")

    old: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    for turn in range(options.rounds):
        pair = [(options.old, old), (options.new, new)]
        for checkout, figures in pair if turn % 2 == 0 else pair[::-1]:
            figures.append(_child(checkout, options.runs, options.engine))
        if sys.stderr.isatty():
            print(f"\rround {turn + 1} of {options.rounds}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)

    print(f"{CPUS} CPUs, engine {options.engine}, {options.rounds} rounds of {options.runs} runs")
    print(
        f"{'':<26}{'old':>9}{'new':>9}{'ratio':>7}{'median of rounds':>19}"
        f"{'effects a run':>15}{'per effect':>11}"
    )
    effects = old[0].pop(EFFECTS), new[0].pop(EFFECTS)
    for name in old[0]:
        before, after = [f[name] for f in old], [f[name] for f in new]
        rounds = sorted(sum(a) / sum(b) for a, b in zip(before, after, strict=True))
        best = _best(before), _best(after)
        ratio = best[0] / best[1]
        line = f"{median(rounds):>6.2f} ({rounds[0]:.2f}..{rounds[-1]:.2f})"
        if name.endswith(", ns"):
            print(f"{name:<26}{best[0]:>9.1f}{best[1]:>9.1f}{ratio:>7.3f}{line:>19}")
            continue
        runs = [len(before[0]) / b for b in best]
        was, now = (told[name] for told in effects)
        print(
            f"{name:<26}{runs[0]:>9.1f}{runs[1]:>9.1f}{ratio:>7.3f}{line:>19}"
            f"{was:>8.0f} {now:>6.0f}{ratio * now / was:>11.3f}"
        )
    return 0


def _best(rounds: list[list[float]]) -> float:
    """What all runs take together, each as fast as it ever was."""
    return sum(min(times) for times in zip(*rounds, strict=True))


def _child(checkout: Path, runs: int, engine: str) -> dict[str, Any]:
    """The figures of one process on one checkout."""
    environment = dict(os.environ, PYTHONPATH=str(checkout.resolve()))
    done = subprocess.run(
        [sys.executable, __file__, "--measure", str(runs), engine],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{checkout}: {done.stderr.strip() or 'it ended without a word'}")
    told: dict[str, Any] = json.loads(done.stdout)
    if Path(told.pop("where")) != checkout.resolve():
        sys.exit(f"{checkout}: Python imports another mmsim than this one")
    return told


def _measure(runs: int, engine: str) -> None:
    """In the child: print the figures as one line of JSON."""
    import mmsim
    from mmsim.run import Runner
    from mmsim.scenarios.registry import find_variant

    told: dict[str, Any] = {"where": str(Path(mmsim.__file__).resolve().parents[1]), EFFECTS: {}}
    for id in VARIANTS:
        with Runner(find_variant(id), cpus=CPUS, seed=SEED, engine=engine) as runner:
            for index in range(WARM_UP):
                runner.run(index)
            times = told[f"{id}, runs/s"] = []
            steps = 0
            for index in range(runs):
                start = process_time()
                result = runner.run(index)
                times.append(process_time() - start)
                steps += result.steps
            told[EFFECTS][f"{id}, runs/s"] = steps / runs
    told |= _points()
    print(json.dumps(told))


def _points() -> dict[str, list[float]]:
    """Nanoseconds of an access that passes its point without a switch."""
    from mmsim.engine.door import door
    from mmsim.engine.machine import Machine
    from mmsim.linux.atomic import atomic_inc
    from mmsim.linux.bitops import set_bit

    try:
        from mmsim.model.struct import Struct, shared
    except ImportError:  # a checkout that has it where it was before
        from mmsim.linux.struct import Struct, shared  # type: ignore[import-not-found,no-redef]

    class Word(Struct):
        n = shared(0)

    def load(word: Any) -> None:
        for _ in range(POINTS):
            word.n  # noqa: B018 - a load

    def store(word: Any) -> None:
        for _ in range(POINTS):
            word.n = 1

    def add(word: Any) -> None:
        for _ in range(POINTS):
            atomic_inc(word, "n")

    def bit(word: Any) -> None:
        for _ in range(POINTS):
            set_bit(3, word, "n")

    machine = Machine(1)
    door.machine = machine
    word = Word()
    told = {}
    for name, accesses in (("load", load), ("store", store), ("atomic", add), ("bit", bit)):
        best = float("inf")
        for _ in range(5):
            door.left = 1 << 40
            start = process_time()
            accesses(word)
            best = min(best, process_time() - start)
        door.left = float("inf")
        told[f"{name}, ns"] = [best / POINTS * 1e9]
    return told


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _measure(int(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(main())
