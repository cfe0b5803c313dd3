# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a campaign as text: one screen, one report, and where the rest is.

The screen has a row for each mail thread, and whatever is not as declared, as far as there is room.
All variants and all reports come if they are asked for.

The same text on a terminal and in a file; a terminal adds colour and nothing else. Lines end at
column 80, but for those that nobody can break: a row of the large table, a kernel's own text, and
a `Reproduce:` command, which stands alone on its line so that it can be copied with a triple click
or cut out with grep.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from mmsim import report
from mmsim.proofs.record import proved
from mmsim.stress.plan import Campaign
from mmsim.stress.settings import Settings
from mmsim.stress.statistics import Interval
from mmsim.stress.store import by_count, reproduce
from mmsim.stress.tally import Kind, Tally
from mmsim.stress.verdict import NOT_RUN, judge, measure, runs, times, verdict_of

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant

REPORTS = ("one", "first", "all", "none")
METRICS = ("declared", "all")
FAR = 4000
WIDTH = 80
SCREEN = 40
"""Lines, without the report."""
ELSEWHERE = 14
"""Lines of the screen that are neither rows of threads nor about what is open."""
NAMED = 3
READABLE = 30
_STYLES = {True: "green", False: "bold red", None: "yellow"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the program what `| head` means; rich would exit with 1."""
        raise BrokenPipeError


def console(file: TextIO) -> Console:
    """A console that never wraps a row of a table when nobody's terminal has to hold it."""
    width = None if file.isatty() else FAR
    return _Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def show_rows(out: Console, table: Table, width: int | None = None) -> None:
    """Print a table with nothing cut off: on a narrow terminal its lines are longer than that.

    A column that may wrap does so, down to a width that can still be read; without a terminal,
    where there is no edge to wrap at, ``width`` is one.
    """
    if width is not None and not out.is_terminal:
        out.width = width
    needed = Measurement.get(out, out.options.update(width=FAR), table).maximum
    for column in table.columns:
        if not column.no_wrap:
            widest = max((cell_len(str(cell)) for cell in column.cells), default=0)
            needed -= max(0, widest - READABLE)
    out.width = max(out.width, needed)
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        out.out(line.rstrip(), highlight=False)


def percent(rate: Interval, k: int) -> str:
    """A rate with its interval, or what can be said when nothing was seen."""
    if k == 0:
        return f"< {rate.high * 100:.3g} %"
    low, high = rate.low * 100, rate.high * 100
    return f"{rate.value * 100:.3g} % [{low:.3g}, {high:.3g}]"


def chance(p: float | None) -> str:
    """A p, or a dash where nothing was compared."""
    return "-" if p is None else f"{p:.2g}"


def _table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    return table


def show_threads(out: Console, campaign: Campaign) -> None:
    """One row a mail thread; `slowest` is the longest wait for the first finding of a variant."""
    columns = ("thread", "as declared", "runs", "findings", "slowest")
    table = _table(*columns, right=columns[1:])
    table.columns[0].no_wrap = False
    for scenario, tallies in by_thread(campaign.tallies):
        words = [verdict_of(campaign, tally).ok for tally in tallies]
        ok = Text(f"{words.count(True)} of {len(words)}", style=_STYLES[_worst(words)])
        runs_ = sum(tally.runs for tally in tallies)
        findings = sum(tally.findings for tally in tallies)
        last = slowest(tallies)
        took = f"{last.first_seconds:.3f} s" if last is not None else "-"
        table.add_row(scenario, ok, f"{runs_:,}", f"{findings:,}", took)
    show_rows(out, table, WIDTH)
    last = slowest(campaign.tallies)
    if last is not None:
        out.out(f"slowest first finding: {last.variant.id}, in run {last.first_run:,}")


def by_thread(tallies: Iterable[Tally]) -> list[tuple[str, list[Tally]]]:
    """The tallies of each scenario, under its name."""
    threads: dict[str, list[Tally]] = {}
    for tally in tallies:
        scenario = tally.variant.scenario
        number = tally.variant.id.partition(".")[0]
        name = number if scenario is None else f"{scenario.id} {scenario.name}"
        threads.setdefault(name, []).append(tally)
    return list(threads.items())


def _worst(words: Sequence[bool | None]) -> bool | None:
    if False in words:
        return False
    return None if None in words else True


def slowest(tallies: Iterable[Tally]) -> Tally | None:
    """The one that one waits longest for, in seconds of one core."""
    found = [tally for tally in tallies if tally.first_seconds is not None]
    return max(found, key=lambda tally: tally.first_seconds or 0.0, default=None)


def show_table(out: Console, campaign: Campaign) -> None:
    """One row a variant, and one below it for each run on another's cast."""
    table = _table(
        *("variant", "runs", "findings", "rate [95 %]", "1st run", "1st s"),
        *("expected", "observed", "verdict", "p", "needs", "against", "proved"),
        right=("runs", "findings", "1st run", "1st s", "needs"),
    )
    for tally in campaign.tallies:
        judgement = verdict_of(campaign, tally)
        needed = f"{judgement.needed:,}" if judgement.needed is not None else "-"
        table.add_row(
            *_counts(tally.variant.id, tally),
            judgement.expected,
            judgement.observed,
            Text(judgement.word, style=_STYLES[judgement.ok]),
            chance(judgement.p),
            needed,
            judgement.against or "-",
            proved(tally.variant),
        )
        for evidence in judgement.evidence:
            twin = evidence.pair.wrong.id
            if evidence.pair.own_cast and len(judgement.evidence) == 1:
                continue
            needed = f"{evidence.needed:,}" if evidence.needed is not None else "-"
            name = f"  beside {twin}" if evidence.pair.own_cast else f"  with the cast of {twin}"
            p = chance(evidence.p)
            table.add_row(*_counts(name, evidence.right), "", "", "", p, needed, twin)
    show_rows(out, table)


def _counts(name: str, tally: Tally) -> list[str]:
    seen = tally.first_run is not None and tally.first_seconds is not None
    return [
        name,
        f"{tally.runs:,}",
        f"{tally.findings:,}",
        percent(tally.rate, tally.findings) if tally.runs else "-",
        f"{tally.first_run:,}" if seen else "-",
        f"{tally.first_seconds:.3f}" if seen else "-",
    ]


def show_metrics(out: Console, tallies: Sequence[Tally], which: str) -> None:
    """The numbers that runs report, one line each; by default those that a variant declares."""
    table = _table("variant", "metric", "mean [95 %]", "declared", "")
    for tally in tallies:
        for m in measure(tally):
            if not m.expect and which != "all":
                continue
            mean = f"{m.mean:.4g} [{m.low:.4g}, {m.high:.4g}]"
            word = {True: "ok", False: "DIFFERS", None: "undecided"}[m.ok] if m.expect else ""
            table.add_row(
                tally.variant.id, m.name, mean, m.expect or "-", Text(word, style=_STYLES[m.ok])
            )
    if table.row_count:
        out.print()
        show_rows(out, table)


def show_odds(out: Console, tallies: Sequence[Tally]) -> None:
    """Failing runs of each policy, where runs were spread over several: who finds the race?"""
    several = [t for t in tallies if t.findings and len(t.policies) > 1]
    names = sorted({name for t in several for name in t.policies})
    table = _table("found/runs", *names, right=names)
    for tally in several:
        counts = (tally.policies.get(name) for name in names)
        table.add_row(tally.variant.id, *("-" if c is None else f"{c[0]}/{c[1]}" for c in counts))
    if table.row_count:
        out.print()
        show_rows(out, table)


def show_reports(out: Console, campaign: Campaign, which: str, settings: Settings) -> None:
    """Kernel reports: the most instructive one, or those of each failing variant."""
    if which == "one":
        for tally, kind in reported(campaign, which):
            out.print()
            command = reproduce(tally.variant.id, kind.shown.schedule, settings.file)
            out.out(_rendered(tally, kind, command, settings).rstrip("\n"), highlight=False)
        return
    for tally in with_arms(campaign) if which != "none" else ():
        if not tally.findings:
            continue
        out.print()
        head = f"{tally.variant.id}: {tally.findings:,} of {runs(tally.runs)} failed"
        out.print(Text(f"== {head} ==", style="bold"))
        # what the kernel itself says comes before what only a simulator sees
        kinds = sorted(
            by_count(tally).items(), key=lambda item: report.is_own(item[1].sample.finding)
        )
        for place, (fingerprint, kind) in enumerate(kinds):
            command = reproduce(tally.variant.id, kind.shown.schedule, settings.file)
            if place == 0 or which == "all":
                out.out(_rendered(tally, kind, command, settings).rstrip("\n"), highlight=False)
            else:
                title = kind.sample.finding.title
                out.out(f"also {title}  fingerprint {fingerprint}  (seen {times(kind.count)})")
                if said := _smallness(kind):
                    out.out(said, highlight=False)
                out.out(f"Reproduce: {command}")
        for title, count in tally.extra.most_common():
            out.out(f"then, as a consequence: {title}  (seen {times(count)})")


def reported(campaign: Campaign, which: str) -> list[tuple[Tally, Kind]]:
    """The kinds of findings that `show_reports` gives a line for, which is worth shrinking."""
    if which == "none":
        return []
    if which == "one":
        chosen = most_instructive(campaign)
        return [] if chosen is None else [chosen]
    return [(t, kind) for t in with_arms(campaign) for kind in by_count(t).values()]


def with_arms(campaign: Campaign) -> list[Tally]:
    """The tallies, and those of right variants that ran with the cast of others."""
    arms = {pair.arm.id for pair in campaign.pairs if not pair.own_cast}
    return [*campaign.tallies, *(campaign.lanes[id].tally for id in sorted(arms))]


def most_instructive(campaign: Campaign) -> tuple[Tally, Kind] | None:
    """The finding to look at first.

    One that nobody declared, if there is any; else one of a race, which does not come in every
    run, that some right variant closes; among those the one that takes the fewest steps.
    """
    closed = {pair.wrong.id for pair in campaign.pairs}

    def order(item: tuple[Tally, Kind]) -> tuple[bool, bool, bool, int, str]:
        tally, kind = item
        id = tally.variant.id
        differs = tally.variant.expect.value == "Never" or judge(tally).ok is False
        always = tally.findings == tally.runs
        return (not differs, always, id not in closed, kind.sample.finding.step, id)

    found = [(tally, kind) for tally in with_arms(campaign) for kind in tally.kinds.values()]
    return min(found, key=order, default=None)


def _rendered(tally: Tally, kind: Kind, command: str, settings: Settings) -> str:
    """The report; lines that are mmsim's own are folded, and begin again below their text."""
    text = report.render(
        kind.shown.finding,
        variant=tally.variant,
        reproduce=command,
        count=kind.count,
        runs=tally.runs,
        run=settings.run_line(tally.variant),
    )
    kernel, mark, own = text.partition("---[ mmsim ]---")
    lines = [
        piece
        for line in own.splitlines()
        for piece in ([line] if line.startswith("Reproduce: ") else _folded(line, 10) or [""])
    ]
    if (said := _smallness(kind)) and command:
        lines.insert(lines.index(f"Reproduce: {command}"), said)
    return "\n".join([kernel + mark, *lines[1:]]) + "\n"


def _smallness(kind: Kind) -> str:
    """How small the run is that the line brings back; empty where nobody tried."""
    if kind.shrunk is None and not kind.unshrunk:
        return ""
    said = f"shrunk    {kind.shrunk or f'no: {kind.unshrunk}'}"
    return "\n".join(_folded(said, 10))


def show_open(out: Console, campaign: Campaign, most: int | None = None) -> None:
    """What differs, what is undecided and what is missing; in full, or in at most so many lines.

    Variants of which the same is to be said share a line. What finds no room is counted.
    """
    judgements = [(t.variant.id, verdict_of(campaign, t)) for t in campaign.tallies]
    said: dict[tuple[str, str], list[str]] = {}
    for word, ok in (("DIFFERS", False), ("UNDECIDED", None)):
        for id, judgement in judgements:
            for reason in judgement.reasons if judgement.ok is ok else ():
                said.setdefault((word, reason), []).append(id)
    entries = [f"{word:<9} {_listed(ids, most)}: {reason}" for (word, reason), ids in said.items()]
    not_run = [id for id, judgement in judgements if judgement.observed == NOT_RUN]
    if not_run:
        entries.append(f"NOT RUN   {_listed(not_run, most)}")
    lost = [f"LOST      {message.splitlines()[0]}" for message in campaign.lost]
    pieces = [_folded(entry, 12) for entry in [*lost[:1], *entries, *lost[1:]]]
    lines: list[str] = []
    for place, piece in enumerate(pieces):
        if most is not None and len(lines) + len(piece) > most - (place < len(pieces) - 1):
            lines.append(f"{len(pieces) - place} more of these: --table has all of them")
            break
        lines += piece
    for line in lines:
        out.out(line, highlight=False)


def room(campaign: Campaign) -> int:
    """Lines that the screen has for what is open."""
    return max(NAMED, SCREEN - ELSEWHERE - len(by_thread(campaign.tallies)))


def _listed(ids: Sequence[str], most: int | None) -> str:
    if most is None or len(ids) <= NAMED:
        return ", ".join(ids)
    return f"{', '.join(ids[:NAMED])} and {len(ids) - NAMED} more"


def _folded(line: str, indent: int) -> list[str]:
    return textwrap.wrap(
        line,
        WIDTH,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def summary(campaign: Campaign, settings: Settings, *, complete: bool, wall: float) -> list[str]:
    """The last lines: the pairs, the campaign, and the verdict in one sentence, the last."""
    judgements = [verdict_of(campaign, tally) for tally in campaign.tallies]
    evidence = [e for judgement in judgements for e in judgement.evidence]
    lines = []
    if evidence:
        decided = sum(e.decided for e in evidence)
        worst = max(e.p for e in evidence)
        lines.append(
            f"{len(evidence):,} pairs of right and wrong with the same cast: {decided:,} decided"
            + (f", p <= {worst:.2g}" if decided == len(evidence) else "")
        )
    differing = sum(judgement.ok is False for judgement in judgements)
    undecided = sum(judgement.ok is None for judgement in judgements)
    of = len(judgements)
    if differing:
        verdict = f"{differing} of {of} verdicts differ"
    elif undecided:
        verdict = f"{undecided} of {of} verdicts undecided"
    else:
        verdict = "every verdict as declared"
    if differing and undecided:
        verdict += f", {undecided} undecided"
    if not complete:
        verdict += "; INCOMPLETE"
    lines.append(
        f"{of} variants, {campaign.runs:,} runs, {campaign.findings:,} findings in {wall:.1f} s "
        f"(cpus {settings.cpus}, seed {settings.seed}, engine {settings.engine}, "
        f"policy {settings.scheduler}, jobs {settings.jobs}{_memory(settings)})"
    )
    lines.append(verdict)
    return [piece for line in lines for piece in _folded(line, 4)]


def _memory(settings: Settings) -> str:
    return "" if settings.memory is None else f", memory {settings.memory}"


def where_the_rest_is(campaign: Campaign, *, reports: str, table: bool) -> Iterator[str]:
    """What was counted and is not shown."""
    failing = [tally for tally in with_arms(campaign) if tally.findings]
    kinds = sum(len(tally.kinds) for tally in failing)
    shown = most_instructive(campaign)
    if not table:
        yield "--table         a row for each variant: rates, intervals, p, against what"
    if reports == "one" and kinds > 1:
        yield f"--reports all   all {kinds} kinds of crashes of {len(failing)} variants, in full"
    yield "--json FILE     everything that was counted"
    if shown is not None:
        yield f"python -m mmsim show {shown[0].variant.id}"


def show_list(out: Console, variants: Sequence[Variant], cpus: int) -> None:
    """What there is to run."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("variant", "expected", "cpus", "summary"):
        table.add_column(name, no_wrap=name != "summary")
    for variant in variants:
        table.add_row(
            variant.id,
            variant.expect.value,
            str(variant.effective_cpus(cpus)),
            variant.summary,
        )
    show_rows(out, table)
