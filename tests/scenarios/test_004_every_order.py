# SPDX-License-Identifier: GPL-2.0-only
"""do_wp_page() without the page lock, in every order with two switches: n, then m, then the rest.

Random runs find the race with reclaim once in a hundred, and that they do not find one with
migration says little.  Here both are certain within the bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mmsim.scenarios.gates  # noqa: F401
from mmsim.engine.carriers.greenlets import greenlets
from mmsim.engine.execution import Token
from mmsim.engine.machine import Machine
from mmsim.engine.policy import FOREVER
from mmsim.linux.watchdog import stuck
from mmsim.memblock import memblock_free_all
from mmsim.mmzone import boot_mm
from mmsim.scenarios.registry import find_variant
from mmsim.scenarios.s004_mlock_cluster.casts import PAGES, Stage, cow, cow_moving
from mmsim.scenarios.s004_mlock_cluster.check import METRICS, check
from tests.scenarios.test_000_every_order import Split

ALL = pytest.param(1, marks=pytest.mark.slow)
STRANDED = "PG_mlocked page is mapped in no VM_LOCKED vma"


@pytest.fixture(scope="module")
def token() -> Iterator[Token]:
    carrier = greenlets()
    yield carrier
    carrier.close()


def every_order(
    token: Token,
    name: str,
    cast: Callable[[Stage], None],
    *,
    writer_first: bool,
    step: int,
) -> tuple[Counter[str], Counter[str]]:
    """The first findings of all orders ("" where there is none), and the metrics, summed up.

    The cast has two tasks, of which the second writes.  ``step`` is that of n: 1 for all orders.
    """
    variant = find_variant(f"004.{name}")
    titles: Counter[str] = Counter()
    metrics: Counter[str] = Counter()

    def run(n: int, m: int) -> list[int]:
        machine = Machine(
            2, preempt=True, era="3.13", gates=frozenset(variant.gates), config=variant.config
        )
        machine.on_stuck = stuck
        split = Split(n, m)
        with machine.booted():
            vm: Any = boot_mm(machine, pages=2 * PAGES)
            vm.migrate_passes = 2, 1
            vm.mappings, vm.mms = [], []
            for metric in METRICS:
                machine.count(metric, 0)
            stage = Stage(machine, 1)
            cast(stage)
            memblock_free_all(vm)
            other, writer = stage.actors
            for fn, args, comm in (writer, other) if writer_first else (other, writer):
                machine.spawn(fn, *args, comm=comm, cpu=len(machine.contexts))
            token.run(machine, split)
            if not machine.findings:
                check(machine, variant)
        titles[machine.findings[0].title if machine.findings else ""] += 1
        metrics.update({name: int(value) for name, value in machine.metrics.items()})
        return split.done

    longest = run(FOREVER, FOREVER)[0]
    for n in range(0, longest + 1, step):
        for m in range(run(n, FOREVER)[1]):
            run(n, m)
    return titles, metrics


@pytest.mark.parametrize("step", [25, ALL])
@pytest.mark.parametrize("writer_first", [False, True])
def test_the_lock_in_do_wp_page_is_not_for_migration(
    token: Token, writer_first: bool, step: int
) -> None:
    titles, metrics = every_order(
        token, "wp-no-lock-migration", cow_moving, writer_first=writer_first, step=step
    )
    assert titles.keys() == {""}
    # it was tried: the page moved, and the writer's reference kept it where it was
    assert metrics["migrations_refused"] > 0
    assert sum(titles.values()) > 1000 / step


@pytest.mark.parametrize("step", [7, ALL])  # where the race shows
@pytest.mark.parametrize("writer_first", [False, True])
def test_without_it_reclaim_marks_a_page_after_it_was_munlocked_and_no_list_is_harmed(
    token: Token, writer_first: bool, step: int
) -> None:
    titles, metrics = every_order(token, "wp-no-lock", cow, writer_first=writer_first, step=step)
    assert titles.keys() == {"", STRANDED}
    assert metrics["cleared_unlocked"] > 100 / step
    assert sum(titles.values()) > 1000 / step
