# SPDX-License-Identifier: GPL-2.0-only
"""Runs until a race shows, under the portfolio and under the even mix.

    python benchmarks/portfolio.py [VARIANT ...] [--findings 30] [--seed 1] [--jobs 2]

Each variant that can fail is run under both until so many findings; the mean number of runs
between two of them is what one waits for the first. Both run with the same engine (green) and on 8
CPUs, and with seeds that the shares of the portfolio were not learnt on. A variant with a policy of
its own has that under both, and is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from mmsim.engine.policy import EVEN, MIX, PORTFOLIO
from mmsim.run import Runner
from mmsim.stress.odds import learnt
from mmsim.stress.source import Library, find_variant, select

CPUS = 8
MOST = 20_000


def wait(id: str, policy: str, findings: int, seed: int) -> float:
    """Mean runs to a finding."""
    variant = find_variant(Library(), id)
    shares = learnt()[id].portfolio() if id in learnt() else EVEN
    found = runs = 0
    with Runner(variant, cpus=CPUS, seed=seed, engine="green", policy=policy) as runner:
        while found < findings and runs < MOST:
            found += bool(runner.run(runs, shares).findings)
            runs += 1
    return runs / max(found, 0.5)


def _both(job: tuple[str, int, int]) -> tuple[str, float, float]:
    id, findings, seed = job
    return id, wait(id, MIX, findings, seed), wait(id, PORTFOLIO, findings, seed)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*")
    parser.add_argument("--findings", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(words)
    able = [
        v
        for v in select(Library(), variants=options.variants)
        if v.expect.value == "Sometimes" and not v.policy
    ]
    jobs = [(v.id, options.findings, options.seed) for v in able]
    total = [0.0, 0.0]
    worst = (0.0, "")
    print(f"{'runs to a finding':<42}{'mix':>9}{'portfolio':>11}{'ratio':>8}", flush=True)
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for id, mix, portfolio in pool.map(_both, jobs):
            print(f"{id:<42}{mix:>9.1f}{portfolio:>11.1f}{portfolio / mix:>8.2f}", flush=True)
            total = [total[0] + mix, total[1] + portfolio]
            worst = max(worst, (portfolio / mix, id))
    print(f"{'together':<42}{total[0]:>9.1f}{total[1]:>11.1f}{total[1] / total[0]:>8.2f}")
    print(f"at worst {worst[0]:.2f} times: {worst[1]}")


if __name__ == "__main__":
    main()
