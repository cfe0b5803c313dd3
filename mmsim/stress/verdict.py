# SPDX-License-Identifier: GPL-2.0-only
"""Never, Sometimes, Always: what was declared against what was seen, and is that enough to tell?

Observed is plain counting: no finding in n runs is Never, a finding in every run is Always,
anything else is Sometimes. A declared Sometimes is met by any finding at all, even by one in
every run, since how often a race shows depends on the policy and on the number of CPUs; a
declared Always must hold in every run, and a declared Never in none. What is found must also be
what was declared: a variant that crashes in another way than its race does proves nothing about
the race.

What was not seen is judged by what could have been missed. A right variant is as declared when its
twin's race would have shown in as many runs (see `pairs`), a mean when its interval is on the
right side. A race that should be there and was not seen is missed only when it is rarer than
`RAREST`. Anything less is undecided, and so is what an interrupt has cut short.
"""

from __future__ import annotations

import math
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mmsim.errors import UsageError
from mmsim.scenarios.own_file import CONDITION
from mmsim.stress.pairs import Evidence
from mmsim.stress.plan import Campaign
from mmsim.stress.statistics import CONFIDENCE, Moments, upper_bound
from mmsim.stress.tally import Tally

NOT_RUN = "not run"
AS_DECLARED, DIFFERS, UNDECIDED = "as-declared", "differs", "undecided"
SHOWN = 3
"""Unexpected titles that a reason names."""
RAREST = 3e-4
"""What shows less often than this counts as not there: nobody waits for it to be shown."""

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
    verdict: str
    """as-declared, differs or undecided."""
    reasons: tuple[str, ...] = ()
    needed: int | None = None
    """Runs after which it can be told; None: no number is known."""
    evidence: tuple[Evidence, ...] = ()
    """Of a right variant, what its pairs came to; one that is not decided first, else the one
    that asked for most runs."""
    proved: str = ""
    """What was shown by exhaustive search, in words."""

    @property
    def ok(self) -> bool | None:
        """None: it cannot be told."""
        return {AS_DECLARED: True, DIFFERS: False, UNDECIDED: None}[self.verdict]

    @property
    def p(self) -> float | None:
        """The chance that this twin would have looked as clean; None: no twin."""
        return self.evidence[0].p if self.evidence else None

    @property
    def against(self) -> str | None:
        """The twin that was hardest to be told from."""
        return self.evidence[0].pair.wrong.id if self.evidence else None

    @property
    def word(self) -> str:
        if self.observed == NOT_RUN:
            return NOT_RUN
        if self.ok:
            return "proved" if self.proved else "ok"
        return "DIFFERS" if self.ok is False else "undecided"


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
    """None: nothing was declared about it, or it cannot be told."""
    needed: int | None = None
    """Runs after which it could be told."""


def observe(k: int, n: int) -> str:
    """k findings in n runs, as a verdict."""
    if n == 0:
        return NOT_RUN
    if k == 0:
        return "Never"
    return "Always" if k == n else "Sometimes"


def judge(tally: Tally, evidence: Iterable[Evidence] = (), *, through: bool = True) -> Judgement:
    """Compare what a variant declares with its count, and a right one with its twins.

    ``through``: it has had all its runs, and so have its pairs; otherwise nothing is decided.
    """
    expected = tally.variant.expect.value
    observed = observe(tally.findings, tally.runs)
    weighed = tuple(sorted(evidence, key=lambda e: (e.decided, -(e.needed or math.inf))))
    needed = weighed[0].needed if weighed else None
    if observed == NOT_RUN:
        return Judgement(expected, observed, UNDECIDED, (), needed, weighed)
    differs = [
        *_frequency(expected, observed, tally),
        *_unexpected(tally),
        *(_metric_reason(m) for m in measure(tally) if m.ok is False),
        *(_on_cast(e) for e in weighed if e.right.findings and not e.pair.own_cast),
    ]
    open_ = dict([*_unseen(expected, tally), *_unclear(tally), *_too_few(weighed)])
    if not through and (differs or open_):
        why = ["not decided: cut short", *differs, *open_]
        return Judgement(expected, observed, UNDECIDED, tuple(why), needed, weighed, tally.proved)
    if differs:
        return Judgement(expected, observed, DIFFERS, tuple(differs), needed, weighed, tally.proved)
    if open_ and not (tally.proved and not tally.findings):
        wanted = [n for n in open_.values() if n is not None]
        needed = max(wanted) if len(wanted) == len(open_) else None
        return Judgement(expected, observed, UNDECIDED, tuple(open_), needed, weighed, tally.proved)
    return Judgement(expected, observed, AS_DECLARED, (), needed, weighed, tally.proved)


def verdict_of(campaign: Campaign, tally: Tally) -> Judgement:
    """The verdict of a variant in a campaign, with what its pairs came to."""
    id = tally.variant.id
    return judge(tally, campaign.evidence(id), through=campaign.through(id))


def needs(n: int | None) -> str:
    """`too few runs to tell (needs 1,200)`"""
    return f"too few runs to tell{f' (needs {n:,})' if n is not None else ''}"


def _frequency(expected: str, observed: str, tally: Tally) -> list[str]:
    k, n = tally.findings, tally.runs
    if expected == "Never" and k:
        return [f"declared Never, seen {times(k)} in {runs(n)}"]
    if expected == "Sometimes" and not k and n >= SOUGHT:
        return [f"declared Sometimes, none in {runs(n)} ({_bound(n)})"]
    if expected == "Always" and observed != "Always":
        return [f"declared Always, {n - k} of {runs(n)} went clean"]
    return []


SOUGHT = math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-RAREST))
"""Runs without one finding that say: rarer than `RAREST`."""


def _bound(n: int) -> str:
    return f"the rate is below {upper_bound(n):.2%}"


def _unseen(expected: str, tally: Tally) -> Iterator[tuple[str, int | None]]:
    """A race that is declared, and was not looked for long enough."""
    n = tally.runs
    if expected == "Sometimes" and not tally.findings and n < SOUGHT:
        yield f"{needs(SOUGHT)}: declared Sometimes, none in {runs(n)} ({_bound(n)})", SOUGHT


def _unclear(tally: Tally) -> Iterator[tuple[str, int | None]]:
    """A mean whose interval is on both sides of what was declared."""
    for m in measure(tally):
        if m.expect and m.ok is None:
            mean = f"{m.mean:.4g} [{m.low:.4g}, {m.high:.4g}]"
            yield f"{needs(m.needed)}: metric {m.name} is {mean}, declared {m.expect}", m.needed


def _too_few(evidence: Iterable[Evidence]) -> Iterator[tuple[str, int | None]]:
    """A twin whose race could as well have been missed."""
    for e in evidence:
        twin = e.pair.wrong.id
        if e.right.findings or e.decided:
            continue
        if not e.wrong.findings:
            yield f"nothing to compare with: {twin} did not fail in {runs(e.wrong.runs)}", None
        else:
            yield f"{needs(e.needed)}: {runs(e.right.runs)} beside {twin}, p = {e.p:.2g}", e.needed


def _on_cast(e: Evidence) -> str:
    seen = f"seen {times(e.right.findings)} in {runs(e.right.runs)}"
    titles = {kind.sample.finding.title for kind in e.right.kinds.values()}
    return f"declared Never, {seen} on the cast of {e.pair.wrong.id}: {'; '.join(sorted(titles))}"


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
    return [
        _measured(name, tally.metrics.get(name, Moments(n=tally.runs)), declared.get(name, ""))
        for name in sorted({*tally.metrics, *declared})
    ]


def _measured(name: str, moments: Moments, expect: str) -> Measured:
    """Compare a mean with what is declared; not told where its interval is on both sides.

    Metrics are counts: what is above nought once is above nought in the mean.
    """
    mean = moments.interval()
    ok: bool | None = None
    needed = None
    if expect:
        ok = compare(mean.value, expect)
        limit = _number(expect)
        if limit == 0.0:
            if not ok and mean.value == 0.0 and compare(1.0, expect) and moments.n < SOUGHT:
                ok, needed = None, SOUGHT
        elif "=" not in expect and compare(mean.low, expect) != compare(mean.high, expect):
            distance, half = abs(mean.value - limit), mean.high - mean.value
            ok, needed = None, _enough(half, distance, moments.n)
    return Measured(name, mean.value, mean.low, mean.high, moments.n, expect, ok, needed)


def _enough(half: float, distance: float, n: int) -> int | None:
    """Runs after which half an interval is shorter than the distance, if nothing else changes."""
    return math.ceil(n * (half / distance) ** 2) if distance else None


def _number(expect: str) -> float:
    match = CONDITION.fullmatch(expect)
    assert match is not None, "compared before"
    return float(match[2])


def compare(value: float, expect: str) -> bool:
    """Does `value` meet an expectation like `== 0` or `> 0.5`?"""
    match = CONDITION.fullmatch(expect)
    if match is None:
        raise UsageError(
            f"{expect!r} is no expectation of a metric; "
            "write a comparison and a number, like '== 0'"
        )
    return _OPERATORS[match[1]](value, float(match[2]))
