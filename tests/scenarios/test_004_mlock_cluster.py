# SPDX-License-Identifier: GPL-2.0-only
"""Thread 004: every variant keeps its verdict.

Seeds are fixed, so a test gives the same answer every time, on the code as it is.  For code that
changes the numbers of runs are those with which a race of the rate measured (in 2000 runs, 8 CPUs,
policy mix) would be missed less than once in a million times: n >= ln(1e-6) / ln(1 - rate).
"""

import math
import re
from collections.abc import Mapping
from functools import cache

import pytest

from mmsim.run import Runner
from mmsim.scenarios import s004_mlock_cluster
from mmsim.scenarios.api import ALWAYS, NEVER, Verdict
from mmsim.scenarios.registry import find_scenario, find_variant
from mmsim.stress.verdict import compare

SCENARIO = find_scenario("004")

EXPECTED = [
    "base",
    "no-bug-on",
    "merged",
    "kosaki",
    "lock-page",
    "trylock-no-checkpage",
    "unlock-checkpage",
    "wanpeng",
    "no-mmap-sem",
    "munlock-page-lock",
    "munlock-nopin",
    "migrate-no-refcheck",
    "nonatomic-mlocked",
    "munlock-put-in-lock",
    "putback-no-recheck",
    "exit-race",
]

RATES = {  # at 8 CPUs
    "lock-page": 0.45,
    "unlock-checkpage": 0.99,
    "no-mmap-sem": 0.028,
    "munlock-nopin": 0.02,
    "nonatomic-mlocked": 0.041,
    "munlock-put-in-lock": 0.11,
    "putback-no-recheck": 0.031,
    "wp-no-munlock": 0.95,
    "wp-no-lock": 0.0095,
    "wp-no-lock-dbg": 0.9,
    "fault-no-page-lock": 0.25,
    "exit-race": 0.033,
    "nr-mlock": 0.6,
    "unmap-busy": 0.5,
}
CLEAN = [v.id[4:] for v in SCENARIO.variants if v.expect is NEVER]


def test_the_thread_is_covered() -> None:
    ids = {variant.id for variant in SCENARIO.variants}
    assert {f"004.{name}" for name in EXPECTED} <= ids
    assert ids == {f"004.{name}" for name in ("base", *RATES, *CLEAN)}


def test_the_report_needs_no_race() -> None:
    variant = find_variant("004.base")
    assert variant.expect is ALWAYS
    for cpus in (1, 2, 8):
        with Runner(variant, cpus=cpus, seed=1) as runner:
            results = [runner.run(i) for i in range(10)]
        assert {r.findings[0].title for r in results} == {"kernel BUG at mm/mlock.c:82!"}


@pytest.mark.parametrize("name", RATES)
def test_found(name: str) -> None:
    variant = find_variant(f"004.{name}")
    assert variant.expect is Verdict.SOMETIMES
    runs = math.ceil(math.log(1e-6) / math.log(1 - RATES[name]))
    with Runner(variant, cpus=8, seed=4, engine="green") as runner:
        found = next((r for r in map(runner.run, range(runs)) if r.findings), None)
    assert found is not None, f"nothing in {runs} runs"
    title = found.findings[0].title
    assert any(re.search(pattern, title) for pattern in variant.findings), title
    with Runner(variant, cpus=8, seed=99) as runner:
        again = runner.replay(found.schedule)
    assert again.findings[0].fingerprint == found.findings[0].fingerprint


@pytest.mark.parametrize("name", CLEAN)
def test_clean(name: str) -> None:
    """Too few runs to prove anything, enough to see that the code has been broken."""
    variant = find_variant(f"004.{name}")
    totals: dict[str, float] = dict.fromkeys(variant.metrics, 0.0)
    runs = 40
    with Runner(variant, cpus=4, seed=4, engine="green") as runner:
        for i in range(runs):
            result = runner.run(i)
            assert not result.findings, result.findings[0].title
            for metric in totals:
                totals[metric] += result.metrics[metric]
    for metric, expect in variant.metrics.items():
        assert compare(totals[metric] / runs, expect), f"{metric} {totals[metric] / runs}"


def test_free_running_threads_find_it_and_the_token_replays_it() -> None:
    """Half of the runs fail; 40 runs miss it once in 1e12 times."""
    variant = find_variant("004.lock-page")
    with Runner(variant, cpus=4, seed=1, engine="free") as free:
        found = next((r for r in map(free.run, range(40)) if r.findings), None)
    assert found is not None
    with Runner(variant, cpus=4, seed=1) as runner:
        again = runner.replay(found.schedule)
    assert again.findings[0].fingerprint == found.findings[0].fingerprint


@cache
def metrics(name: str) -> list[Mapping[str, float]]:
    with Runner(find_variant(f"004.{name}"), cpus=4, seed=2, engine="green") as runner:
        return [runner.run(i).metrics for i in range(60)]


def mean(name: str, metric: str) -> float:
    rows = metrics(name)
    return sum(row[metric] for row in rows) / len(rows)


def test_marks_are_taken_back_unless_both_sides_take_the_page_lock() -> None:
    assert mean("order-no-lock", "mlocks_undone") > 0
    assert mean("order-merged", "mlocks_undone") > 0
    assert mean("order-both", "mlocks_undone") == 0


def test_without_comparing_references_migration_moves_pages_that_munlock_has_pinned() -> None:
    assert mean("migrate-no-refcheck", "moved_under_pin") > 0
    assert mean("munlock-page-lock-no-refcheck", "moved_under_pin") > 0
    assert mean("merged", "moved_under_pin") == 0 < mean("merged", "migrations_refused")


def test_a_cast_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"004\.typo: unknown cast 'lasy': one of alone, lazy,"):
        s004_mlock_cluster.variant("typo", "a typo", "lasy", NEVER)


def test_most_of_a_window_is_not_isolated() -> None:
    assert mean("no-bug-on", "cluster_on_lru") > 1


def test_what_was_missed_is_repaired_and_not_merely_gone() -> None:
    assert mean("merged", "mlocks_repaired") == mean("merged", "missed_mlocks") > 0


def test_kosakis_test_saves_trylocks() -> None:
    assert mean("kosaki", "trylocks") < 0.75 * mean("merged", "trylocks")


def test_migration_forgets_the_mark_every_time_until_2015() -> None:
    assert mean("migrate-forgets", "missed_mlocks") == 2.0
    assert mean("migrate-remembers", "missed_mlocks") == 0.0


def test_reclaim_empties_a_locked_vma_whose_semaphore_is_taken() -> None:
    assert mean("unmap-busy", "locked_unmapped") > 0.1
    assert mean("unmap-busy-skip", "locked_unmapped") == 0.0
