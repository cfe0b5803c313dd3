# SPDX-License-Identifier: GPL-2.0-only
"""Never, Sometimes, Always: what was declared against what was seen.

Observed is plain counting: no finding in n runs is Never, a finding in every run is Always,
anything else is Sometimes. A declared Sometimes is met by any finding at all, even by one in
every run, since how often a race shows depends on the policy and on the number of CPUs; a
declared Always must hold in every run, and a declared Never in none. What is found must also be
what was declared: a variant that crashes in another way than its race does proves nothing about
the race.
"""

from __future__ import annotations

import math
import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mmsim.errors import UsageError
from mmsim.stress.statistics import Moments, rate
from mmsim.stress.tally import Tally

NOT_RUN = "not run"
SHOWN = 3
"""Unexpected titles that a reason names."""

_COMPARISON = re.compile(r"\s*(==|!=|<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: math.isclose(a, b, abs_tol=1e-12),
    "!=": lambda a, b: not math.isclose(a, b, abs_tol=1e-12),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Judgement:
    """One variant's verdict."""

    expected: str
    observed: str
    ok: bool | None
    """None: nothing was run, so nothing can be said."""
    reasons: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        return {True: "ok", False: "DIFFERS", None: NOT_RUN}[self.ok]


@dataclass(frozen=True)
class Measured:
    """One metric of one variant: its mean over all runs, and whether that is as declared."""

    name: str
    mean: float
    low: float
    high: float
    n: int
    expect: str
    ok: bool | None
    """None: nothing was declared about it."""


def observe(k: int, n: int) -> str:
    """k findings in n runs, as a verdict."""
    if n == 0:
        return NOT_RUN
    if k == 0:
        return "Never"
    return "Always" if k == n else "Sometimes"


def judge(tally: Tally) -> Judgement:
    """Compare what a variant declares with its count."""
    expected = tally.variant.expect.value
    observed = observe(tally.findings, tally.runs)
    if observed == NOT_RUN:
        return Judgement(expected, observed, None)
    reasons = [
        *_frequency(expected, observed, tally),
        *_unexpected(tally),
        *(_metric_reason(m) for m in measure(tally) if m.ok is False),
    ]
    return Judgement(expected, observed, not reasons, tuple(reasons))


def _frequency(expected: str, observed: str, tally: Tally) -> list[str]:
    k, n = tally.findings, tally.runs
    if expected == "Never" and k:
        return [f"declared Never, seen {times(k)} in {runs(n)}"]
    if expected == "Sometimes" and not k:
        bound = rate(k, n).high
        return [f"declared Sometimes, none in {runs(n)} (the rate is below {bound:.2%})"]
    if expected == "Always" and observed != "Always":
        return [f"declared Always, {n - k} of {runs(n)} went clean"]
    return []


def _unexpected(tally: Tally) -> list[str]:
    patterns = tally.variant.findings
    if not patterns:
        return []
    titles: Counter[str] = Counter()
    for kind in tally.kinds.values():
        title = kind.sample.finding.title
        if not any(re.search(pattern, title) for pattern in patterns):
            titles[title] += kind.count
    if not titles:
        return []
    named = [f"{title!r} ({times(count)})" for title, count in titles.most_common(SHOWN)]
    more = f" and {len(titles) - SHOWN} more" if len(titles) > SHOWN else ""
    return [f"unexpected finding {', '.join(named)}{more}"]


def times(count: int) -> str:
    """`once`, `17 times`."""
    return "once" if count == 1 else f"{count} times"


def runs(count: int) -> str:
    """`1 run`, `300 runs`."""
    return f"{count:,} run{'s' * (count != 1)}"


def _metric_reason(metric: Measured) -> str:
    return f"metric {metric.name} is {metric.mean:.4g} in the mean, declared {metric.expect}"


def measure(tally: Tally) -> list[Measured]:
    """Every metric that was reported or declared, by name; nothing before the first run."""
    if tally.runs == 0:
        return []
    declared = {name: str(expect) for name, expect in tally.variant.metrics.items()}
    found = []
    for name in sorted({*tally.metrics, *declared}):
        expect = declared.get(name, "")
        moments = tally.metrics.get(name, Moments(n=tally.runs))
        mean = moments.interval()
        ok = compare(mean.value, expect) if expect else None
        found.append(Measured(name, mean.value, mean.low, mean.high, moments.n, expect, ok))
    return found


def compare(value: float, expect: str) -> bool:
    """Does `value` meet an expectation like `== 0` or `> 0.5`?"""
    match = _COMPARISON.fullmatch(expect)
    if match is None:
        raise UsageError(
            f"{expect!r} is no expectation of a metric; "
            "write a comparison and a number, like '== 0'"
        )
    return _OPERATORS[match[1]](value, float(match[2]))
