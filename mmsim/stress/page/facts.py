# SPDX-License-Identifier: GPL-2.0-only
"""What there is to show of a campaign, as values: no layout, no figure.

The page, the summary for CI and the result file are three views of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mmsim import report
from mmsim.stress.changes import Outcome
from mmsim.stress.output import by_thread, chance, percent, with_arms
from mmsim.stress.page.survival import Curve, curves
from mmsim.stress.statistics import Interval
from mmsim.stress.store import by_count, reproduce
from mmsim.stress.stored.file import Row, Store
from mmsim.stress.stored.recount import Recount, recount
from mmsim.stress.tally import Tally
from mmsim.stress.verdict import Judgement, verdict_of

RIGHT, WRONG = "right", "wrong"


@dataclass(frozen=True)
class Line:
    """A variant in a forest plot."""

    id: str
    side: str
    """right (declared Never) or wrong."""
    summary: str
    runs: int
    findings: int
    rate: Interval
    word: str
    ok: bool | None
    p: float | None = None
    needed: int | None = None
    proved: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def shown_rate(self) -> str:
        return percent(self.rate, self.findings) if self.runs else "-"

    @property
    def shown_p(self) -> str:
        return chance(self.p) if self.p is not None else ""


@dataclass(frozen=True)
class Group:
    """A wrong variant and the right ones that are compared with it."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of finding, wherever it was seen."""

    fingerprint: str
    kind: str
    title: str
    function: str
    count: int
    variants: tuple[tuple[str, int, int], ...]
    """Variant, how often, in how many runs; where it was seen most first."""
    report: str
    line: str
    command: str
    declared: bool
    """Seen only where a finding is declared."""


@dataclass(frozen=True)
class Thread:
    """A mail thread."""

    id: str
    name: str
    title: str
    source: str
    """Who said it where, and when."""
    lines: tuple[Line, ...]
    """Every variant that was asked for."""
    groups: tuple[Group, ...]
    alone: tuple[Line, ...]
    """Variants without a pair."""
    curves: tuple[tuple[str, tuple[Curve, ...]], ...]

    @property
    def runs(self) -> int:
        return sum(line.runs for line in self.lines)

    @property
    def findings(self) -> int:
        return sum(line.findings for line in self.lines)

    def count(self, ok: bool | None) -> int:
        return sum(line.ok is ok for line in self.lines)


@dataclass(frozen=True)
class Night:
    """A campaign of the store, as a point in time."""

    id: int
    began: str
    profile: str
    seed: str
    code: str
    policy: str
    cpus: int
    runs: int
    findings: int
    verdict: str
    rates: dict[str, tuple[int, int, Interval]] = field(repr=False)
    """Findings, runs and rate of each variant declared to fail."""
    outcomes: dict[str, Outcome] = field(repr=False)


@dataclass(frozen=True)
class Facts:
    """A campaign, and those before it."""

    name: str
    counted: Recount
    threads: tuple[Thread, ...]
    kinds: tuple[Kind, ...]
    nights: tuple[Night, ...]
    sessions: tuple[Row, ...]
    pairs: int
    decided: int
    worst_p: float | None
    lost: tuple[str, ...]
    again: int

    @property
    def lines(self) -> list[Line]:
        return [line for thread in self.threads for line in thread.lines]

    def count(self, ok: bool | None) -> int:
        return sum(thread.count(ok) for thread in self.threads)

    @property
    def verdict(self) -> str:
        """The campaign in one sentence."""
        return sentence(self.count(True), self.count(False), self.count(None))

    @property
    def ok(self) -> bool | None:
        if self.count(False):
            return False
        return None if self.count(None) or not self.counted.complete else True


def sentence(right: int, differing: int, undecided: int) -> str:
    """All verdicts in a few words."""
    of = right + differing + undecided
    parts = []
    if differing:
        parts.append(f"{differing} of {of} verdicts differ")
    if undecided:
        parts.append(f"{undecided} of {of} undecided")
    return ", ".join(parts) or f"all {of} verdicts as declared"


def facts(store: Store, id: int | None = None) -> Facts:
    """Everything about campaign ``id`` of the store, the last one if none is named."""
    counted = recount(store, id)
    campaign = counted.campaign
    judgements = {t.variant.id: verdict_of(campaign, t) for t in campaign.tallies}
    waits = curves(store, counted)
    threads = tuple(
        _thread(name, tallies, counted, judgements, waits)
        for name, tallies in by_thread(campaign.tallies)
    )
    evidence = [e for judgement in judgements.values() for e in judgement.evidence]
    again = store.rows("SELECT count(*) FROM block WHERE campaign = ? AND tries > 1", counted.id)[
        0
    ][0]
    return Facts(
        name=store.path.name,
        counted=counted,
        threads=threads,
        kinds=tuple(_kinds(counted)),
        nights=tuple(_nights(store, counted)),
        sessions=counted.sessions,
        pairs=len(evidence),
        decided=sum(e.decided for e in evidence),
        worst_p=max((e.p for e in evidence), default=None),
        lost=tuple(message.splitlines()[0] for message in campaign.lost),
        again=again,
    )


def _thread(
    name: str,
    tallies: list[Tally],
    counted: Recount,
    judgements: dict[str, Judgement],
    waits: dict[str, tuple[Curve, ...]],
) -> Thread:
    lines = {t.variant.id: _line(t, judgements[t.variant.id]) for t in tallies}
    beside: dict[str, list[Line]] = {}
    wrongs: dict[str, Tally] = {}
    paired: set[str] = set()
    for tally in tallies:
        for e in sorted(judgements[tally.variant.id].evidence, key=lambda e: e.pair.wrong.id):
            wrong = e.pair.wrong.id
            wrongs[wrong] = e.wrong
            own = lines[tally.variant.id]
            arm = _line(e.right, judgements[tally.variant.id], e.p, e.needed)
            beside.setdefault(wrong, []).append(arm)
            paired |= {own.id, wrong}
    campaign = counted.campaign
    groups = tuple(
        Group(
            (
                lines.get(wrong) or _line(wrongs[wrong], verdict_of(campaign, wrongs[wrong])),
                *beside[wrong],
            )
        )
        for wrong in sorted(beside, key=lambda id: (-wrongs[id].rate.value, id))
    )
    scenario = tallies[0].variant.scenario
    number, _, words = name.partition(" ")
    return Thread(
        id=number,
        name=words or number,
        title=scenario.title,
        source=scenario.thread,
        lines=tuple(lines.values()),
        groups=groups,
        alone=tuple(line for line in lines.values() if line.id not in paired),
        curves=tuple(
            (t.variant.id, waits[t.variant.id])
            for t in sorted(tallies, key=lambda t: (-t.rate.value, t.variant.id))
            if t.variant.id in waits
        ),
    )


def _line(
    tally: Tally, judgement: Judgement, p: float | None = None, needed: int | None = None
) -> Line:
    variant = tally.variant
    return Line(
        id=variant.id,
        side=RIGHT if variant.expect.value == "Never" else WRONG,
        summary=variant.summary,
        runs=tally.runs,
        findings=tally.findings,
        rate=tally.rate,
        word=judgement.word,
        ok=judgement.ok,
        p=p,
        needed=needed,
        proved=judgement.proved,
        reasons=judgement.reasons,
    )


def _kinds(counted: Recount) -> Iterator[Kind]:
    """By fingerprint; what nobody declared first, then the most frequent."""
    seen: dict[str, list[Tally]] = {}
    for tally in with_arms(counted.campaign):
        for fingerprint in tally.kinds:
            seen.setdefault(fingerprint, []).append(tally)
    found = [_kind(fingerprint, tallies, counted) for fingerprint, tallies in seen.items()]
    yield from sorted(found, key=lambda kind: (kind.declared, -kind.count, kind.fingerprint))


def _kind(fingerprint: str, tallies: Iterable[Tally], counted: Recount) -> Kind:
    ordered = sorted(tallies, key=lambda t: (-t.kinds[fingerprint].count, t.variant.id))
    shown = ordered[0]
    kind = by_count(shown)[fingerprint]
    sample = kind.sample
    settings = counted.settings
    command = reproduce(shown.variant.id, sample.schedule, settings.file)
    text = report.render(
        sample.finding,
        variant=shown.variant,
        reproduce=command,
        count=kind.count,
        runs=shown.runs,
        run={"engine": settings.engine, "policy": settings.scheduler, "seed": settings.seed},
    )
    return Kind(
        fingerprint=fingerprint,
        kind=sample.finding.kind,
        title=sample.finding.title,
        function=sample.finding.where,
        count=sum(t.kinds[fingerprint].count for t in ordered),
        variants=tuple((t.variant.id, t.kinds[fingerprint].count, t.runs) for t in ordered),
        report=text,
        line=sample.schedule,
        command=command,
        declared=all(t.variant.expect.value != "Never" for t in ordered),
    )


def _nights(store: Store, last: Recount) -> Iterator[Night]:
    """The campaigns up to this one that can be laid beside it."""
    for row in store.campaigns():
        if row["id"] > last.id:
            continue
        counted = last if row["id"] == last.id else recount(store, row["id"])
        campaign = counted.campaign
        words = [verdict_of(campaign, t).ok for t in campaign.tallies]
        yield Night(
            id=row["id"],
            began=row["began"],
            profile=row["profile"],
            seed=row["seed"],
            code=row["code"],
            policy=counted.settings.scheduler,
            cpus=row["cpus"],
            runs=campaign.runs,
            findings=campaign.findings,
            verdict=sentence(words.count(True), words.count(False), words.count(None)),
            rates={
                t.variant.id: (t.findings, t.runs, t.rate)
                for t in campaign.tallies
                if t.variant.expect.value != "Never" and t.runs
            },
            outcomes=outcomes(counted),
        )


def outcomes(counted: Recount) -> dict[str, Outcome]:
    """What the campaign says of each variant, as far as another one can be compared with it."""
    campaign = counted.campaign
    return {
        id: Outcome(
            runs=lane.tally.runs - lane.tally.learnt_runs,
            findings=lane.tally.findings - lane.tally.learnt_findings,
            stopped=lane.tally.enough,
            may_stop=lane.tally.stop_after is not None,
            kinds={f: kind.count for f, kind in lane.tally.kinds.items()},
            titles={f: kind.sample.finding.title for f, kind in lane.tally.kinds.items()},
            verdict=verdict_of(campaign, lane.tally).verdict if lane.tally.runs else "",
            portfolio=lane.shares,
        )
        for id, lane in campaign.lanes.items()
    }
