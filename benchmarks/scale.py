# SPDX-License-Identifier: GPL-2.0-only
"""What a campaign costs beside its runs, and how far that carries: `python benchmarks/scale.py`.

Measures in this process, in seconds of CPU (a busy machine does not change those much): a run of
each thread, the planner, the store, a block's way through dask. Then it simulates clusters of many
workers, some of which fail, with these figures, and says what it costs to see a race of 1e-7.

    python benchmarks/scale.py            measure and simulate (some minutes)
    python benchmarks/scale.py --quick    fewer runs, wider figures
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from mmsim.stress.identity import identity
from mmsim.stress.plan import Campaign, cut
from mmsim.stress.profile import Budget
from mmsim.stress.settings import Settings
from mmsim.stress.source import Library, find_variant
from mmsim.stress.stored.file import Store
from mmsim.stress.stored.kept import open_campaign
from mmsim.stress.tally import Block, BlockResult
from mmsim.stress.worker import Setting, run_block

VARIANTS = (
    "000.54-base",
    "001.517-put-unlocked",
    "002.pagelocked",
    "003.base",
    "004.merged",
)
TARGET = 1e-7
MISS = 0.01
LARGE = 16
DAY = 86400.0


@dataclass(frozen=True)
class Figures:
    """Seconds of CPU, but for `size`."""

    run: float
    """A run."""
    plan: float
    """A block, planned and counted."""
    store: float
    """A block, written."""
    dask: float
    """A block, sent and received, in the process that sends it (client and scheduler)."""
    dask_large: float
    """The same of a block of `LARGE` times as many runs."""
    size: float
    """Bytes of store a run."""

    @property
    def serve(self) -> float:
        """A block, for the process that everything goes through."""
        return self.plan + self.store + self.dask


def settings(variants: list[tuple[str, int]]) -> Settings:
    source = Library()
    return Settings(
        variants=tuple((find_variant(source, id), Budget(runs)) for id, runs in variants),
        cpus=8,
        seed=1,
        engine="threads",
        policy="mix",
        jobs=1,
        seconds=None,
        profile="scale",
        file=None,
    )


def measured_runs(count: int) -> tuple[dict[str, float], list[BlockResult]]:
    """CPU seconds a run of each variant, and the blocks."""
    setting = Setting(Library(), cpus=8, seed=1, engine="threads", policy="mix")
    costs, blocks = {}, []
    for id in VARIANTS:
        run_block(setting, Block(id, 0, 0, 8), lambda beat: None)
        start = time.process_time()
        result = run_block(setting, Block(id, 0, 0, count), lambda beat: None)
        costs[id] = (time.process_time() - start) / count
        blocks.append(result)
    return costs, blocks


def measured_store(samples: list[BlockResult], repeat: int) -> tuple[float, float, float]:
    """CPU seconds a block for the planner and for the store; bytes a run."""
    runs = cut(100)[1]
    plan = settings([(block.block.variant, runs * repeat) for block in samples])
    full = {b.block.variant: stretched(b, runs) for b in samples}

    def drive(campaign: Campaign) -> float:
        start = time.process_time()
        while (block := campaign.next_block()) is not None:
            result = full[block.variant].upto(block.count)
            campaign.put(block, replace(result, block=block))
        return time.process_time() - start

    alone = drive(Campaign(plan.variants))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s.sqlite"
        with Store(path, write=True) as store:
            kept = open_campaign(store, plan, identity(), "scale", "1", resume=False)
            both = drive(kept)
            blocks = store.rows("SELECT count(*) FROM block")[0][0]
        size = path.stat().st_size / (runs * repeat * len(samples))
    return alone / blocks, (both - alone) / blocks, size


def stretched(result: BlockResult, runs: int) -> BlockResult:
    """As many runs as a large block has, by repeating those that there are."""
    times = -(-runs // result.runs)
    failures = tuple(
        replace(f, offset=f.offset + i * result.runs)
        for i in range(times)
        for f in result.failures
        if f.offset + i * result.runs < runs
    )
    return replace(
        result,
        runs=runs,
        failures=failures,
        metrics=(result.metrics * times)[:runs],
        policies=(result.policies * times)[:runs],
    )


def echo(result: BlockResult) -> BlockResult:
    """On a worker: a block that takes no time."""
    return result


def measured_dask(sample: BlockResult, count: int, times: int) -> float:
    """CPU seconds of client and scheduler a block; the workers are other processes."""
    from mmsim.stress import clusterspec

    result = stretched(sample, cut(100)[1] * times)
    connection = clusterspec.connect(clusterspec.parse("local:2"))
    client = connection.client
    try:
        remote = client.scatter(result, broadcast=True)

        def go(number: int) -> None:
            futures = [
                client.submit(echo, remote, pure=False, key=f"scale-{number}-{i}")
                for i in range(number)
            ]
            for future in futures:
                future.result()

        go(20)
        start = time.process_time()
        go(count)
        return (time.process_time() - start) / count
    finally:
        connection.close()


@dataclass(frozen=True)
class Simulated:
    wall: float
    efficiency: float
    """Share of the workers' time that went into blocks that counted."""
    busy: float
    """Share of the time that the main process worked."""
    again: int


def simulate(
    workers: int,
    blocks: int,
    length: float,
    figures: Figures,
    *,
    mtbf: float,
    silence: float,
    back: float = 120.0,
    trip: float = 0.001,
    ahead: int = 2,
    seed: int = 1,
) -> Simulated:
    """A campaign of so many blocks, each ``length`` seconds in the mean.

    A worker fails after ``mtbf`` seconds in the mean; that is noticed ``silence`` later, its blocks
    are computed again elsewhere, and it is back after ``back`` seconds.
    """
    rng = random.Random(seed)
    sigma = 0.25  # of a block's length, as a share
    events: list[tuple[float, int, str, int, int]] = []
    order = 0

    def at(time_: float, what: str, worker: int, life: int) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (time_, order, what, worker, life))

    left, free, busy, useful, again, done = blocks, 0.0, 0.0, 0.0, 0, 0
    lives = [0] * workers
    queued = [0] * workers  # asked for, and not done
    there = [0] * workers  # of those, arrived and not begun
    running = [0.0] * workers
    now = 0.0

    def serve(moment: float) -> float:
        nonlocal free, busy
        free = max(free, moment) + figures.serve
        busy += figures.serve
        return free

    def feed(worker: int, moment: float) -> None:
        nonlocal left
        while left and queued[worker] < ahead:
            left -= 1
            queued[worker] += 1
            at(serve(moment) + trip, "arrive", worker, lives[worker])

    def begin(worker: int, moment: float) -> None:
        there[worker] -= 1
        running[worker] = max(0.2, rng.gauss(1.0, sigma)) * length
        at(moment + running[worker], "end", worker, lives[worker])

    for worker in range(workers):
        feed(worker, 0.0)
        at(rng.expovariate(1 / mtbf), "fail", worker, 0)
    while done < blocks:
        now, _, what, worker, life = heapq.heappop(events)
        if what == "lost":
            left += life
            again += life
            for other in range(workers):
                if not left:
                    break
                if queued[other] < ahead and lives[other] >= 0:
                    feed(other, now)
            continue
        if what == "back":
            lives[worker] = -lives[worker]
            feed(worker, now)
            at(now + rng.expovariate(1 / mtbf), "fail", worker, lives[worker])
            continue
        if life != lives[worker]:
            continue
        if what == "fail":
            if queued[worker]:
                at(now + silence, "lost", worker, queued[worker])
            queued[worker], there[worker], running[worker] = 0, 0, 0.0
            lives[worker] = -(lives[worker] + 1)
            at(now + back, "back", worker, 0)
        elif what == "arrive":
            there[worker] += 1
            if not running[worker]:
                begin(worker, now)
        elif what == "end":
            useful += running[worker]
            running[worker] = 0.0
            queued[worker] -= 1
            done += 1
            if there[worker]:
                begin(worker, now)
            feed(worker, now)
    return Simulated(now, useful / (workers * now), min(1.0, busy / now), again)


def runs_for(rate: float) -> int:
    return math.ceil(math.log(MISS) / math.log1p(-rate))


def clock(seconds: float) -> str:
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:,.1f} days"
    if seconds >= 7200:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs, wider figures")
    quick = parser.parse_args().quick
    costs, samples = measured_runs(30 if quick else 150)
    print("a run, CPU milliseconds")
    for id, cost in costs.items():
        print(f"  {id:<18} {1000 * cost:7.2f}")
    run = sum(costs.values()) / len(costs)
    plan, store, size = measured_store(samples, 8 if quick else 40)
    dask = measured_dask(samples[0], 100 if quick else 400, 1)
    large = measured_dask(samples[0], 30 if quick else 100, LARGE)
    figures = Figures(run, plan, store, dask, large, size)
    block = cut(100)[1]
    length = run * block
    print(f"\na block of {block} runs, CPU milliseconds (share of its runs)")
    for name, cost in (("runs", length), ("plan", plan), ("store", store), ("dask", dask)):
        print(f"  {name:<6} {1000 * cost:9.2f}  {cost / length:8.3%}")
    print(f"  dask, a block of {block * LARGE:,}: {1000 * large:.2f}")
    print(f"  store: {size * 1e6 / 1e6:.1f} MB for 10^6 runs")
    print(f"\nthe main process is busy with {length / figures.serve:,.0f} workers")
    simulated(figures, length)
    costs_of_rarity(figures, length)


def simulated(figures: Figures, length: float) -> None:
    print("\nsimulated, every worker failing once a day, noticed after 60 s")
    print("  workers  block  efficiency  main busy  run again")
    for workers in (10, 100, 1000):
        for factor in (1, LARGE):
            grown = replace(  # a larger block has more to count and to carry, but is asked for once
                figures,
                plan=figures.plan * factor,
                store=figures.store * factor,
                dask=figures.dask if factor == 1 else figures.dask_large,
            )
            blocks = 40 * workers
            found = simulate(workers, blocks, length * factor, grown, mtbf=DAY, silence=60.0)
            print(
                f"  {workers:>7,} {256 * factor:>6,} {found.efficiency:>11.1%} "
                f"{found.busy:>10.1%} {found.again:>10,}"
            )


def costs_of_rarity(figures: Figures, length: float) -> None:
    """Whole blocks, no failures; one main process serves so many workers and no more."""
    runs = runs_for(TARGET)
    seconds = runs * figures.run
    print(f"\na race of {TARGET:g} a run, seen with {1 - MISS:.0%}: {runs:,} runs")
    print(f"  {seconds / 3600:,.0f} core-hours, {runs * figures.size / 1e9:.1f} GB of store")
    most = length / figures.serve
    for cores in (1, 100, 10_000):
        able = min(cores, most)
        note = "" if able == cores else f"  (one main process keeps {most:,.0f} busy)"
        print(f"  {cores:>6,} cores: {clock(seconds / able)}{note}")


if __name__ == "__main__":
    main()
