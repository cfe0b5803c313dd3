# SPDX-License-Identifier: GPL-2.0-only
"""The variants that the five threads call for, and what reading the kernel says of each.

This table was made from the sources and the mails before anything ran.  A variant may be added
to a scenario freely; one of these may not go, nor change its verdict, unless the prediction proved
wrong, and then it stands in `CORRECTED` with the reason.
"""

from __future__ import annotations

import pytest

from mmsim.scenarios.registry import find_variant, scenarios
from mmsim.stress import profile
from mmsim.stress.settings import Request, resolve
from mmsim.stress.source import Library

CLEAN, FAILS = "clean", "fails"

PREDICTED = {
    # release_pages() and what keeps PageLRU true while it swaps locks
    "000.54-base": CLEAN,
    "000.517-base": CLEAN,
    "000.recheck-lock": CLEAN,
    "000.get-from-zero": FAILS,
    "000.extra-put": FAILS,
    "000.isolate-noref": FAILS,
    "000.isolate-testclear-first": FAILS,
    "000.isolate-lock-first-release": CLEAN,
    "000.putback-late-setlru": FAILS,
    "000.move-account-noisolate": FAILS,
    "000.pagevec-move-no-testclear": FAILS,
    "000.nonatomic-flag": FAILS,
    "000.driver-uses-lru": FAILS,
    "000.hold-both-locks": FAILS,
    "000.compound-keep-lock": FAILS,
    "000.no-batch-limit": CLEAN,
    # compaction's unlocked checks while the page becomes a slab
    "001.419-dbg": FAILS,
    "001.419-nodbg": CLEAN,
    "001.remove-vm-bug": CLEAN,
    "001.v1-opencoded": CLEAN,
    "001.v1-recheck-only": FAILS,
    "001.pageslab-precheck": FAILS,
    "001.check-under-lock": CLEAN,
    "001.get-first": CLEAN,
    "001.get-first-norecheck": FAILS,
    "001.get-first-no-minus-one": CLEAN,
    "001.isolate-no-recheck": FAILS,
    "001.compound-after-get": FAILS,
    "001.slab-old": CLEAN,
    "001.movable-slab": FAILS,
    # freeing an LRU page in an interrupt
    "002.base2417-cache-release": CLEAN,
    "002.base2417-put-page": FAILS,
    "002.pre9-process": CLEAN,
    "002.pre9-irq-smp": FAILS,
    "002.pre9-irq-up": FAILS,
    "002.in-interrupt-bug": FAILS,
    "002.special-list": FAILS,
    "002.flawed": FAILS,
    "002.pagelocked": CLEAN,
    "002.pagelocked-no-rmb": FAILS,
    "002.pagelocked-rmb": CLEAN,
    "002.pagelocked-no-consumer-check": FAILS,
    "002.pagelocked-unlock-late": FAILS,
    "002.lru-holds-ref": CLEAN,
    "002.lru-holds-ref-cow-off-by-one": FAILS,
    "002.irqsafe-lock": CLEAN,
    "002.irqsafe-half": FAILS,
    "002.lock-irqsave-no-count-check": FAILS,
    "002.stay-on-lru-freed": FAILS,
    # a migration entry that points to an unlocked page
    "003.base": CLEAN,
    "003.unlock-first": FAILS,
    "003.lost-bit": FAILS,
    "003.lost-bit-atomic": CLEAN,
    "003.fresh-page-trylock": FAILS,
    "003.fresh-page-check-first": CLEAN,
    "003.rmap-miss": FAILS,
    "003.rmap-miss-no-bug": FAILS,
    "003.rmap-skip-temp-vma": CLEAN,
    "003.stale-pte": FAILS,
    "003.old-get": CLEAN,
    "003.drop-ptl-early": FAILS,
    "003.no-ptl-remove": FAILS,
    "003.lost-waiters": FAILS,
    "003.waiters-after-test": FAILS,
    "003.double-unlock": FAILS,
    "003.pf-memalloc-lock": FAILS,
    "003.async-lock": FAILS,
    "003.newpage-blocking-lock": FAILS,
    "003.remove-bug-on": CLEAN,
    # mlock without the page lock
    "004.base": FAILS,
    "004.no-bug-on": CLEAN,
    "004.merged": CLEAN,
    "004.kosaki": CLEAN,
    "004.lock-page": FAILS,
    "004.trylock-no-checkpage": CLEAN,
    "004.unlock-checkpage": FAILS,
    "004.wanpeng": CLEAN,
    "004.no-mmap-sem": FAILS,
    "004.munlock-page-lock": CLEAN,
    "004.munlock-nopin": FAILS,
    "004.migrate-no-refcheck": FAILS,
    "004.nonatomic-mlocked": FAILS,
    "004.munlock-put-in-lock": FAILS,
    "004.putback-no-recheck": FAILS,
}

CORRECTED: dict[str, str] = {
    "004.migrate-no-refcheck": "the mark that munlock would miss is cleared by the last unmap, "
    "since 3.7; before, it went with the page, and the prediction was right",
}
"""Predictions that proved wrong, and why."""

METRICS = {
    # where the harm, or the price, is no crash
    "000.no-batch-limit": "irq_off_points",
    "001.419-nodbg": "wrong_skips",
    "001.v1-opencoded": "isolated_with_buffers",
    "001.get-first-no-minus-one": "isolated_anon",
    "002.pagelocked": "parked",
    "003.old-get": "eagain",
    "004.no-bug-on": "missed_mlock",
}


def ids() -> set[str]:
    return {v.id for scenario in scenarios() for v in scenario.variants}


def test_every_variant_of_the_tables_is_there() -> None:
    assert PREDICTED.keys() <= ids()


@pytest.mark.parametrize("id", sorted(PREDICTED.keys() - CORRECTED.keys()))
def test_the_declared_verdict_is_the_predicted_one(id: str) -> None:
    declared = find_variant(id).expect.value
    assert (CLEAN if declared == "Never" else FAILS) == PREDICTED[id]


@pytest.mark.parametrize("id", sorted(PREDICTED.keys()))
def test_a_variant_that_fails_says_how(id: str) -> None:
    variant = find_variant(id)
    assert (variant.expect.value == "Never") == (not variant.findings)


@pytest.mark.parametrize(("id", "metric"), METRICS.items())
def test_harm_that_is_no_crash_is_declared_as_a_metric(id: str, metric: str) -> None:
    assert any(metric in name for name in find_variant(id).metrics)


@pytest.mark.parametrize("name", ["default", "all"])
def test_the_campaigns_run_every_variant(name: str) -> None:
    loaded = profile.load(name)
    settings = resolve(Request(), loaded, Library())
    assert {v.id for v, _ in settings.variants} == ids() - set(loaded.skip)
    assert all(budget.runs for _, budget in settings.variants)
