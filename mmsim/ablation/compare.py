# SPDX-License-Identifier: GPL-2.0-only
"""What differs between two campaigns that ran the same seeds.

In order of weight: the verdict, the kinds of finding, a metric, the rate of failure.  Hundreds of
comparisons are made for a table, so each has to be far clearer than the usual one in twenty: the
chance that it is luck is below 1e-5.  Where nothing differs, what counts is what could have been
missed: a hunk that matters as much as the whole gate would have shown in so many runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmsim.ablation.source import DOES_NOT_RUN
from mmsim.stress.statistics import Moments, fisher, welch
from mmsim.stress.tally import Tally
from mmsim.stress.verdict import observe, runs

LUCK = 1e-5
SHOWN = 3
FAR = 1 << 22
"""Runs that nobody makes."""


def differences(base: Tally, changed: Tally) -> tuple[str, ...]:
    """What the change did, in words and figures; empty if nothing.

    Metrics and rates are looked at only if the findings are the same: a run that ends with a
    finding has counted less.
    """
    found = [*_verdict(base, changed), *_kinds(base, changed)]
    return tuple(found or [*_metrics(base, changed), *_rate(base, changed)])


def _verdict(base: Tally, changed: Tally) -> Iterator[str]:
    was, now = observe(base.findings, base.runs), observe(changed.findings, changed.runs)
    p = chance(base, changed)
    if was != now and p < LUCK:
        yield f"{was} -> {now} ({_count(base)}, {_count(changed)}), p = {p:.1g}"


def _count(tally: Tally) -> str:
    return f"{tally.findings} of {runs(tally.runs)}"


def _kinds(base: Tally, changed: Tally) -> Iterator[str]:
    """Titles that one campaign has and the other has not."""
    was, now = _titles(base), _titles(changed)
    lost = [title for title in was if title not in now]
    new = [title for title in now if title not in was]
    for title in new[:SHOWN]:
        p = fisher(0, base.runs, now[title], changed.runs)
        if p < LUCK:
            yield f"new: {title} ({now[title]} of {runs(changed.runs)}), p = {p:.1g}"
    for title in lost[:SHOWN]:
        p = fisher(was[title], base.runs, 0, changed.runs)
        if p < LUCK:
            yield f"gone: {title} (was {was[title]} of {runs(base.runs)}), p = {p:.1g}"


def _titles(tally: Tally) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind in tally.kinds.values():
        title = kind.sample.finding.title
        counts[title] = counts.get(title, 0) + kind.count
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _metrics(base: Tally, changed: Tally) -> Iterator[str]:
    names = sorted({*base.metrics, *changed.metrics} - {DOES_NOT_RUN})
    clear = []
    for name in names:
        was = base.metrics.get(name, Moments(n=base.runs))
        now = changed.metrics.get(name, Moments(n=changed.runs))
        p = welch(was, now)
        if p < LUCK:
            clear.append((p, f"{name} {was.mean:.3g} -> {now.mean:.3g}, p = {p:.1g}"))
    yield from (text for _, text in sorted(clear)[:SHOWN])


def _rate(base: Tally, changed: Tally) -> Iterator[str]:
    p = chance(base, changed)
    if p < LUCK:
        yield f"fails in {_count(base)} -> {_count(changed)}, p = {p:.1g}"


def does_not_run(changed: Tally) -> int:
    """Runs that half a patch could not make; they say nothing of what the hunk does."""
    moments = changed.metrics.get(DOES_NOT_RUN)
    return 0 if moments is None else round(moments.mean * moments.n)


def chance(base: Tally, changed: Tally) -> float:
    """p of Fisher's test on how often the two fail."""
    return fisher(base.findings, base.runs, changed.findings, changed.runs)


def runs_to_show(base: Tally, whole: Tally) -> int | None:
    """Runs in which a change that matters as much as the whole gate would have been seen.

    ``whole`` is the variant with its gate turned over everywhere; its rate is taken at the end of
    the interval that is nearer to the base. None: not even that is seen to make a difference.
    """
    rate, usual = whole.rate, base.rate.value
    other = rate.low if rate.value > usual else rate.high
    if (rate.value > usual) is not (other > usual) or rate.value == usual:
        return None

    def shows(n: int) -> bool:
        return fisher(round(usual * n), n, round(other * n), n) < LUCK

    most = 1
    while not shows(most):
        most *= 2
        if most > FAR:
            return None
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if shows(middle) else (middle, most)
    return most
