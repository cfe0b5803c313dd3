# SPDX-License-Identifier: GPL-2.0-only
"""Never, Sometimes, Always: what counts as declared, and how a difference is said."""

from __future__ import annotations

import pytest

from mmsim.errors import UsageError
from mmsim.stress.pairs import Evidence, Pair
from mmsim.stress.tally import Block, BlockResult, Failure, Sample, Tally
from mmsim.stress.verdict import compare, judge, measure, observe
from tests.stress.fake import FakeVariant, Verdict, finding


def tally(variant: FakeVariant, runs: int, titles: list[str]) -> Tally:
    """`runs` runs, of which the first ones failed with these titles."""
    found = [finding(title) for title in titles]
    failures = tuple(Failure(i, 0.0, f.fingerprint) for i, f in enumerate(found))
    samples = {f.fingerprint: Sample(f, "mm1:x") for f in found}
    counted = Tally(variant)
    counted.take(BlockResult(Block(variant.id, 0, 0, runs), runs, 0.1, failures, samples))
    return counted


@pytest.mark.parametrize(
    ("k", "n", "word"),
    [(0, 0, "not run"), (0, 5, "Never"), (1, 5, "Sometimes"), (5, 5, "Always"), (1, 1, "Always")],
)
def test_observed(k: int, n: int, word: str) -> None:
    assert observe(k, n) == word


@pytest.mark.parametrize(
    ("expect", "k", "ok"),
    [
        (Verdict.NEVER, 0, True),
        (Verdict.NEVER, 1, False),
        (Verdict.SOMETIMES, 0, None),  # in four runs a race can hide
        (Verdict.SOMETIMES, 1, True),
        (Verdict.SOMETIMES, 4, True),
        (Verdict.ALWAYS, 3, False),
        (Verdict.ALWAYS, 4, True),
    ],
)
def test_declared_against_observed(expect: Verdict, k: int, ok: bool) -> None:
    assert judge(tally(FakeVariant("900.x", expect), 4, ["bug"] * k)).ok is ok


def test_nothing_run_is_no_verdict() -> None:
    judgement = judge(Tally(FakeVariant("900.x", Verdict.NEVER, metrics={"parked": "> 0"})))
    assert (judgement.ok, judgement.word, judgement.reasons) == (None, "not run", ())


def test_a_pattern_is_searched_for_in_the_title_of_every_kind() -> None:
    variant = FakeVariant("900.x", Verdict.SOMETIMES, findings=("^double free", "84!$"))
    good = ["double free: the page is free already", "kernel BUG at page_alloc.c:84!"]
    assert judge(tally(variant, 9, good)).ok
    judgement = judge(tally(variant, 9, [*good, "oops", "oops", "hang", "kernel BUG at x.c:84"]))
    assert judgement.ok is False
    assert judgement.reasons == (
        "unexpected finding 'oops' (2 times), 'hang' (once), 'kernel BUG at x.c:84' (once)",
    )
    many = judge(tally(variant, 9, ["a", "b", "b", "c", "d", "e"]))
    assert many.reasons[0].startswith("unexpected finding 'b' (2 times), ")
    assert many.reasons[0].endswith(" and 2 more")


@pytest.mark.parametrize(
    ("value", "expect", "ok"),
    [
        (0.0, "== 0", True),
        (0.1, "== 0", False),
        (0.1, "!=0", True),
        (4.9, "< 5", True),
        (5.0, "< 5", False),
        (5.0, "<= 5.0", True),
        (5.1, ">5", True),
        (5.0, ">= 5", True),
        (-1.0, "> -2", True),
        (2000.0, "> 1e3", True),
    ],
)
def test_expectations_of_a_metric(value: float, expect: str, ok: bool) -> None:
    assert compare(value, expect) is ok


@pytest.mark.parametrize("expect", ["", "0", "= 0", "> many", "> 1 < 3"])
def test_an_expectation_that_is_none_is_said(expect: str) -> None:
    with pytest.raises(UsageError, match="no expectation of a metric"):
        compare(1.0, expect)


def test_a_metric_is_judged_by_its_mean() -> None:
    variant = FakeVariant("900.x", Verdict.NEVER, metrics={"parked": "> 1", "other": "== 0"})
    counted = Tally(variant)
    rows = ({"parked": 1.0}, {"parked": 4.0}, {})
    counted.take(BlockResult(Block("900.x", 0, 0, 3), 3, 0.1, metrics=rows))
    few = judge(counted)  # three runs leave it open on which side of 1 the mean is
    assert (few.ok, few.verdict) == (None, "undecided")
    counted.take(BlockResult(Block("900.x", 1, 3, 297), 297, 0.1, metrics=rows * 99))
    assert judge(counted).ok
    parked = next(m for m in measure(counted) if m.name == "parked")
    assert (parked.mean, parked.n, parked.ok) == (pytest.approx(5 / 3), 300, True)
    assert 1 < parked.low < parked.mean < parked.high


def test_what_was_cut_short_is_undecided_whatever_was_seen() -> None:
    for expect, bugs in ((Verdict.NEVER, 2), (Verdict.SOMETIMES, 0), (Verdict.ALWAYS, 3)):
        judgement = judge(tally(FakeVariant("900.x", expect), 4, ["bug"] * bugs), through=False)
        assert judgement.verdict == "undecided"
        assert judgement.reasons[0] == "not decided: cut short"


def test_what_is_proved_needs_no_runs() -> None:
    right, wrong = FakeVariant("900.x", Verdict.NEVER), FakeVariant("900.y", Verdict.SOMETIMES)
    counted = tally(right, 1, [])
    pair = Evidence(Pair(right, wrong, right), counted, tally(wrong, 100, ["bug"]))
    assert judge(counted, [pair]).verdict == "undecided"
    counted.proved = "every schedule of 2 CPUs"
    assert (judge(counted, [pair]).verdict, judge(counted, [pair]).word) == (
        "as-declared",
        "proved",
    )
