# SPDX-License-Identifier: GPL-2.0-only
"""How fast the engine is, measured on the machine it runs on.

Each figure is taken next to the one it has to be compared with, in the same process, one after the
other on the same core: a point next to the bare access, a hand-over of the token next to a bare
ping-pong between two threads. The best of a few rounds counts, since whatever else the machine does
can only make a round slower.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mmsim.engine.carriers.threads import threads
from mmsim.engine.machine import Machine
from mmsim.engine.policy import FOREVER, RoundRobin
from mmsim.model.struct import Struct, shared
from mmsim.run import Runner
from mmsim.scenarios.api import Variant

ROUNDS = 5
ACCESSES = 100_000
SWITCHES = 5_000


class word(Struct):  # noqa: N801 (a C struct)
    """A struct with one shared field."""

    value = shared(0)


@dataclass(frozen=True)
class Pair:
    """Seconds for one of something, and for one of what it is compared with."""

    ours: float
    bare: float


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on one core, as the stress runner keeps its workers."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _best(measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(ROUNDS))


def point() -> Pair:
    """A shared load with its point and no switch, and the same load without a point."""
    execution = threads()
    took = [0.0]

    def loads(obj: Any) -> None:
        start = time.perf_counter()
        for _ in range(ACCESSES):
            obj.value  # noqa: B018 (the load is the point)
        took[0] = time.perf_counter() - start

    def with_points() -> float:
        machine = Machine(1)
        machine.max_steps = FOREVER
        with machine.booted():
            machine.spawn(loads, word(), comm="loader")
            execution.run(machine, RoundRobin(FOREVER))
        return took[0] / ACCESSES

    def without() -> float:
        obj: Any = word()
        start = time.perf_counter()
        for _ in range(ACCESSES):
            obj.v_value  # noqa: B018
        return (time.perf_counter() - start) / ACCESSES

    try:
        return Pair(_best(with_points), _best(without))
    finally:
        execution.close()


def handover() -> Pair:
    """One hand-over of the token, and one of a bare ping-pong between two threads."""
    execution = threads()

    def loads(obj: Any) -> None:
        for _ in range(SWITCHES):
            obj.value  # noqa: B018

    def token() -> float:
        machine = Machine(2)
        machine.max_steps = FOREVER
        with machine.booted():
            for cpu in (0, 1):
                machine.spawn(loads, word(), comm="loader", cpu=cpu)
            start = time.perf_counter()
            execution.run(machine, RoundRobin(1))
        return (time.perf_counter() - start) / execution.handovers

    try:
        return Pair(_best(token), _best(_ping_pong))
    finally:
        execution.close()


def _ping_pong() -> float:
    """Two threads and two locks: what a hand-over costs if it does nothing else."""
    locks = (threading.Lock(), threading.Lock())
    for lock in locks:
        lock.acquire()

    def player(mine: threading.Lock, other: threading.Lock) -> None:
        for _ in range(SWITCHES):
            mine.acquire()
            other.release()

    players = [threading.Thread(target=player, args=locks[::step]) for step in (1, -1)]
    for thread in players:
        thread.start()
    start = time.perf_counter()
    locks[0].release()
    for thread in players:
        thread.join()
    return (time.perf_counter() - start) / (2 * SWITCHES)


@dataclass(frozen=True)
class Speed:
    """A variant on one engine."""

    runs_per_second: float
    steps: float
    """Steps of a run in the mean."""
    failing: float
    """Share of runs with a finding."""


def speed(variant: Variant, *, engine: str, cpus: int, seed: int, seconds: float) -> Speed:
    """Runs a second of one core, start-up left out."""
    with Runner(variant, cpus=cpus, seed=seed, engine=engine) as runner:
        runner.run(0)
        runs = steps = failing = 0
        start = time.perf_counter()
        while (took := time.perf_counter() - start) < seconds:
            runs += 1
            result = runner.run(runs)
            steps += result.steps
            failing += bool(result.findings)
    return Speed(runs / took, steps / max(runs, 1), failing / max(runs, 1))


@dataclass(frozen=True)
class First:
    """How long until the first finding, over several seeds; None where most found nothing."""

    runs: float | None
    seconds: float | None


def first_finding(
    variant: Variant, *, policy: str, cpus: int, seeds: range, most_runs: int, seconds: float
) -> First:
    """The median over the seeds; one that finds nothing in time counts as later than the rest."""
    found: list[tuple[float, float]] = []
    for seed in seeds:
        with Runner(variant, cpus=cpus, seed=seed, policy=policy) as runner:
            start = time.perf_counter()
            runs = 0
            while True:
                result = runner.run(runs)
                runs += 1
                took = time.perf_counter() - start
                if result.findings:
                    found.append((runs, took))
                    break
                if runs >= most_runs or took >= seconds:
                    found.append((float("inf"), float("inf")))
                    break
    runs_median = statistics.median(run for run, _ in found)
    seconds_median = statistics.median(took for _, took in found)
    if runs_median == float("inf"):
        return First(None, None)
    return First(runs_median, seconds_median)
