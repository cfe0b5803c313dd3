# SPDX-License-Identifier: GPL-2.0-only
"""The lost update under frontrun: started by search.py in an environment that has it.

    frontrun python frontrun_lost_update.py ATTEMPTS

Prints one line of JSON: of random schedules and of its DPOR (two preemptions, its default), how
many there were, how many lost an increment, and the seconds, of the processor and of the clock.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import frontrun  # type: ignore[import-not-found]

THREADS, TIMES = 2, 5


class Counter:
    """What they add to."""

    def __init__(self) -> None:
        self.value = 0


lost = 0


def add(counter: Counter) -> None:
    for _ in range(TIMES):
        value = counter.value
        counter.value = value + 1


def looked(counter: Counter) -> bool:
    """Counts what was lost, and is content: the search is not to stop."""
    global lost
    lost += counter.value != THREADS * TIMES
    return True


def timed(search: Callable[[], Any]) -> dict[str, float]:
    global lost
    lost = 0
    cpu, clock = time.process_time(), time.perf_counter()
    explored = search().num_explored
    return {
        "schedules": explored,
        "lost": lost,
        "cpu": time.process_time() - cpu,
        "clock": time.perf_counter() - clock,
    }


def main() -> None:
    attempts = int(sys.argv[1])
    workers = [add] * THREADS
    told = {
        "version": version("frontrun"),
        "random": timed(
            lambda: frontrun.explore_random(
                setup=Counter, threads=workers, invariant=looked, max_attempts=attempts, seed=1
            )
        ),
        "dpor": timed(
            lambda: frontrun.explore(
                setup=Counter, workers=workers, invariant=looked, stop_on_first=False
            )
        ),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
