# SPDX-License-Identifier: GPL-2.0-only
"""Thread 002 from the outside: what each variant comes to, and that a failure can be seen again.

Seeds are fixed, so these tests always do the same.  How many runs a variant gets follows from its
rate, measured with the policy mix over 1,500 runs and more: with so many runs a correct simulator
under *another* seed would miss the finding with a probability below one in a million.
"""

from __future__ import annotations

import math
import re

import pytest

from mmsim.engine.events import Event
from mmsim.engine.instruments import Events
from mmsim.run import Runner, RunResult
from mmsim.scenarios.api import NEVER, SOMETIMES, Variant
from mmsim.scenarios.registry import find_scenario, find_variant

MISS = 1e-6

# Variant: CPUs, and the share of runs with a finding (a little less than was measured).
RATES = {
    "002.base2417-put-page": (2, 0.25),
    "002.base2417-irq": (2, 0.13),
    "002.base2417-irq-up": (1, 0.05),
    "002.pre9-irq-smp": (2, 0.13),
    "002.pre9-irq-up": (1, 0.10),
    "002.in-interrupt-bug": (2, 0.27),
    "002.special-list": (8, 0.35),
    "002.special-list-plain-lock": (2, 0.06),
    "002.flawed": (2, 0.02),
    "002.pagelocked-del-at-any-count": (2, 0.15),
    "002.pagelocked-no-consumer-check": (2, 0.02),
    "002.pagelocked-unlock-late": (2, 0.60),
    "002.lru-holds-ref-cow-off-by-one": (2, 0.12),
    "002.irqsafe-half": (2, 0.18),
    "002.lock-irqsave-no-count-check": (2, 0.018),
    "002.stay-on-lru-freed": (8, 0.02),
    "002.pagelocked-swapoff": (2, 0.008),
    "002.pagelocked-no-count-one": (2, 0.006),
}

# About once in 250 runs, where loads may be old: tests/memory/test_barriers.py.
WEAK = {f"002.pagelocked-{which}" for which in ("no-rmb", "putter-mb", "alpha", "ppc")}

CLEAN = [variant.id for variant in find_scenario("002").variants if variant.expect is NEVER]


def runs_for(rate: float) -> int:
    """So many that all of them miss with probability MISS."""
    return math.ceil(math.log(MISS) / math.log1p(-rate))


def first_failure(variant: Variant, cpus: int, runs: int, seed: int = 1) -> RunResult:
    with Runner(variant, cpus=cpus, seed=seed, engine="green") as runner:
        for index in range(runs):
            result = runner.run(index)
            if result.findings:
                return result
    raise AssertionError(f"{variant.id}: no finding in {runs} runs")


def test_every_variant_of_the_thread_is_here() -> None:
    ids = {variant.id.removeprefix("002.") for variant in find_scenario("002").variants}
    assert ids >= {
        "base2417-cache-release",
        "base2417-put-page",
        "pre9-process",
        "pre9-irq-smp",
        "pre9-irq-up",
        "in-interrupt-bug",
        "special-list",
        "flawed",
        "pagelocked",
        "pagelocked-no-count-one",
        "pagelocked-del-at-any-count",
        "pagelocked-in-interrupt",
        "pagelocked-swapoff",
        "pagelocked-no-consumer-check",
        "pagelocked-unlock-late",
        "lru-holds-ref",
        "lru-holds-ref-cow-off-by-one",
        "irqsafe-lock",
        "irqsafe-half",
        "lock-irqsave-no-count-check",
        "stay-on-lru-freed",
    }


def test_every_failing_variant_has_a_rate() -> None:
    failing = {v.id for v in find_scenario("002").variants if v.expect is SOMETIMES}
    assert failing - WEAK == RATES.keys()


@pytest.mark.parametrize("name", RATES)
def test_it_shows_and_with_the_finding_declared(name: str) -> None:
    variant = find_variant(name)
    cpus, rate = RATES[name]
    first = first_failure(variant, cpus, runs_for(rate)).findings[0]
    assert any(re.search(pattern, first.title) for pattern in variant.findings), first.title


@pytest.mark.parametrize("name", CLEAN)
def test_it_stays_clean(name: str) -> None:
    """A smoke test: the evidence for "never" is the campaign's, 2,000 runs and more."""
    variant = find_variant(name)
    metrics: dict[str, float] = {}
    for cpus, runs in ((2, 25), (8, 10)):
        with Runner(variant, cpus=cpus, seed=1, engine="green") as runner:
            for index in range(runs):
                result = runner.run(index)
                assert not result.findings, result.findings[0].title
                for metric, value in result.metrics.items():
                    metrics[metric] = metrics.get(metric, 0) + value
    for metric, condition in variant.metrics.items():
        relation, bound = condition.split()
        mean = metrics.get(metric, 0)
        assert mean > float(bound) if relation == ">" else mean == float(bound), metric


def test_the_page_was_freed_twice_by_two_contexts() -> None:
    """Half of the double frees are this one, the others come while reclaim has a reference."""
    with Runner(find_variant("002.flawed"), cpus=2, seed=1, engine="green") as runner:
        found = next(
            result.findings[0]
            for result in map(runner.run, range(runs_for(0.01)))
            if result.findings and result.findings[0].title.endswith("free already")
        )
    assert found.kind == "double-free"
    assert found.where == "__free_pages_ok"
    assert found.page is not None
    freed = [line for line in found.page.history if line.startswith("freed by ")]
    assert {line.split()[2].split("/")[0] for line in freed} == {"kswapd", "ksoftirqd"}


def test_the_interrupt_spins_for_the_lock_of_the_task_below_it() -> None:
    found = first_failure(find_variant("002.pre9-irq-smp"), 2, runs_for(0.13)).findings[0]
    assert found.kind == "deadlock"
    assert found.context == "hardirq"
    assert [frame.func for frame in found.frames[:2]] == ["lru_cache_del", "__free_pages_ok"]
    assert "held by kswapd" in found.detail[0]


def test_the_bug_of_2_4_20_fires_in_the_interrupt() -> None:
    found = first_failure(find_variant("002.in-interrupt-bug"), 2, runs_for(0.27)).findings[0]
    assert found.context == "hardirq"
    assert found.era == "2.4.20"


@pytest.mark.parametrize("name", ["002.flawed", "002.pre9-irq-up", "002.irqsafe-half"])
def test_a_failure_replays_and_can_be_watched(name: str) -> None:
    variant = find_variant(name)
    cpus, rate = RATES[name]
    failure = first_failure(variant, cpus, runs_for(rate))
    seen: list[Event] = []
    with Runner(variant, cpus=cpus, seed=99) as runner:
        again = runner.replay(failure.schedule)
        watched = runner.replay(failure.schedule, instruments=[Events(seen.append)])
    assert again.findings[0].fingerprint == failure.findings[0].fingerprint
    assert watched.findings[0].fingerprint == failure.findings[0].fingerprint
    assert {event.func for event in seen} >= {"shrink_cache", "__free_pages_ok"} or (
        name == "002.irqsafe-half" and "refill_inactive" in {event.func for event in seen}
    )


def test_the_same_seed_does_the_same() -> None:
    variant = find_variant("002.flawed")

    def schedules(seed: int) -> list[tuple[int, str]]:
        with Runner(variant, cpus=3, seed=seed) as runner:
            return [(r.steps, r.schedule) for r in map(runner.run, range(40))]

    assert schedules(7) == schedules(7)
    assert schedules(7) != schedules(8)


@pytest.mark.slow
def test_free_running_threads_find_it_too() -> None:
    """9 % of runs at 8 CPUs; what the operating system did is replayed with the token."""
    variant = find_variant("002.flawed")
    with Runner(variant, cpus=8, seed=1, engine="free") as runner:
        failure = next(r for r in map(runner.run, range(400)) if r.findings)
    with Runner(variant, cpus=8, seed=1) as runner:
        again = runner.replay(failure.schedule)
    assert again.findings[0].fingerprint == failure.findings[0].fingerprint
