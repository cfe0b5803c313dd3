# SPDX-License-Identifier: GPL-2.0-only
"""A difference is one that luck does not explain, and says what it is."""

from __future__ import annotations

from types import SimpleNamespace

from mmsim.ablation.compare import differences, does_not_run, runs_to_show
from mmsim.ablation.source import DOES_NOT_RUN
from mmsim.stress.statistics import Moments
from mmsim.stress.tally import Kind, Tally


def tally(runs, metrics=None, **titles):
    out = Tally(SimpleNamespace(id="x"), runs=runs, findings=sum(titles.values()))
    for n, (title, count) in enumerate(titles.items()):
        sample = SimpleNamespace(finding=SimpleNamespace(title=title), schedule="")
        out.kinds[str(n)] = Kind(sample, count)
    for name, values in (metrics or {}).items():
        out.metrics[name] = Moments()
        out.metrics[name].extend(values)
    return out


def told(base, changed):
    """Without the p that every line ends with."""
    found = differences(base, changed)
    assert all(float(text.rpartition("p = ")[2]) < 1e-5 for text in found)
    return tuple(text.rpartition(", p = ")[0] for text in found)


def test_the_same_is_no_difference():
    assert differences(tally(200, oops=50), tally(200, oops=50)) == ()


def test_a_verdict_that_turns_over():
    (verdict, kind) = told(tally(200), tally(200, oops=40))
    assert verdict == "Never -> Sometimes (0 of 200 runs, 40 of 200 runs)"
    assert kind == "new: oops (40 of 200 runs)"


def test_a_finding_or_two_may_be_luck():
    assert differences(tally(200), tally(200, oops=2)) == ()


def test_another_kind_with_the_same_rate():
    assert told(tally(200, oops=60), tally(200, bug=60)) == (
        "new: bug (60 of 200 runs)",
        "gone: oops (was 60 of 200 runs)",
    )


def test_a_rate_is_told_when_nothing_weightier_is():
    assert told(tally(200, oops=20), tally(200, oops=90)) == (
        "fails in 20 of 200 runs -> 90 of 200 runs",
    )


def test_means_of_metrics():
    few, many = [0, 1] * 50, [2, 3] * 50
    assert differences(tally(100, {"m": few}), tally(100, {"m": few})) == ()
    assert told(tally(100, {"m": few}), tally(100, {"m": many})) == ("m 0.5 -> 2.5",)


def test_metrics_of_runs_that_fail_otherwise_are_not_compared():
    found = differences(tally(100, {"m": [9] * 100}), tally(100, {"m": [1] * 100}, oops=90))
    assert not [text for text in found if text.startswith("m ")]


def test_a_metric_that_only_one_side_counts():
    assert told(tally(100), tally(100, {"m": [3] * 100})) == ("m 0 -> 3",)


def test_overlapping_means_are_luck():
    low, high = [0, 1] * 50, [0, 1, 1, 1, 0] * 20
    assert differences(tally(100, {"m": low}), tally(100, {"m": high})) == ()


def test_what_does_not_run_is_no_difference():
    broken = tally(100, {DOES_NOT_RUN: [1, 0] * 50})
    assert differences(tally(100), broken) == ()
    assert (does_not_run(broken), does_not_run(tally(100))) == (50, 0)


def test_runs_that_would_have_shown_a_hunk_that_matters_as_much_as_the_gate():
    needed = runs_to_show(tally(200), tally(200, oops=40))
    low = tally(200, oops=40).rate.low
    assert differences(tally(needed), tally(needed, oops=round(low * needed)))
    assert not differences(tally(needed // 2), tally(needed // 2, oops=round(low * needed / 2)))
    assert runs_to_show(tally(200), tally(200)) is None
    assert runs_to_show(tally(200, oops=40), tally(200)) is not None  # a gate that mends
    rare = runs_to_show(tally(3000), tally(3000, oops=4))
    assert rare is not None
    assert rare > 3000
