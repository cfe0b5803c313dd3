# SPDX-License-Identifier: GPL-2.0-only
"""What differs between two campaigns that ran the same seeds.

In order of weight: the verdict, the kinds of finding, a metric, the rate of failure.  Hundreds of
comparisons are made for a table, so each has to be far clearer than the usual one in twenty: the
chance that it is luck is below 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmsim.stress.statistics import Moments
from mmsim.stress.tally import Tally
from mmsim.stress.verdict import observe, runs

LUCK = 1e-5
SHOWN = 3


def differences(base: Tally, changed: Tally) -> tuple[str, ...]:
    """What the change did, in words and figures; empty if nothing.

    Metrics and rates are looked at only if the findings are the same: a run that ends with a
    finding has counted less.
    """
    found = [*_verdict(base, changed), *_kinds(base, changed)]
    return tuple(found or [*_metrics(base, changed), *_rate(base, changed)])


def _verdict(base: Tally, changed: Tally) -> Iterator[str]:
    was, now = observe(base.findings, base.runs), observe(changed.findings, changed.runs)
    if was != now and _counts_differ(base.findings, base.runs, changed.findings, changed.runs):
        yield f"{was} -> {now} ({_count(base)}, {_count(changed)})"


def _count(tally: Tally) -> str:
    return f"{tally.findings} of {runs(tally.runs)}"


def _kinds(base: Tally, changed: Tally) -> Iterator[str]:
    """Titles that one campaign has and the other has not."""
    was, now = _titles(base), _titles(changed)
    lost = [title for title in was if title not in now]
    new = [title for title in now if title not in was]
    for title in new[:SHOWN]:
        if _counts_differ(0, base.runs, now[title], changed.runs):
            yield f"new: {title} ({now[title]} of {runs(changed.runs)})"
    for title in lost[:SHOWN]:
        if _counts_differ(was[title], base.runs, 0, changed.runs):
            yield f"gone: {title} (was {was[title]} of {runs(base.runs)})"


def _titles(tally: Tally) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind in tally.kinds.values():
        title = kind.sample.finding.title
        counts[title] = counts.get(title, 0) + kind.count
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _metrics(base: Tally, changed: Tally) -> Iterator[str]:
    names = sorted({*base.metrics, *changed.metrics})
    clear = []
    for name in names:
        was = base.metrics.get(name, Moments(n=base.runs))
        now = changed.metrics.get(name, Moments(n=changed.runs))
        p = _means_differ(was, now)
        if p < LUCK:
            clear.append((p, f"{name} {was.mean:.3g} -> {now.mean:.3g}"))
    yield from (text for _, text in sorted(clear)[:SHOWN])


def _rate(base: Tally, changed: Tally) -> Iterator[str]:
    if _counts_differ(base.findings, base.runs, changed.findings, changed.runs):
        yield f"fails in {_count(base)} -> {_count(changed)}"


def _counts_differ(k: int, n: int, other_k: int, other_n: int) -> bool:
    from scipy.stats import fisher_exact

    return float(fisher_exact([(k, n - k), (other_k, other_n - other_k)]).pvalue) < LUCK


def _means_differ(one: Moments, other: Moments) -> float:
    """Welch's test; two constants differ or they do not."""
    if one.n < 2 or other.n < 2:
        return 1.0
    if one.deviation == 0.0 and other.deviation == 0.0:
        return 1.0 if one.mean == other.mean else 0.0
    from scipy.stats import ttest_ind_from_stats

    return float(
        ttest_ind_from_stats(
            one.mean, one.deviation, one.n, other.mean, other.deviation, other.n, equal_var=False
        ).pvalue
    )
