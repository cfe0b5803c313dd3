# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a campaign as text: one row a variant, then the reports, then one last line.

The same text on a terminal and in a file; a terminal adds colour and nothing else. Every
`Reproduce:` command stands alone on its line, so that it can be copied with a triple click or
cut out with grep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from mmsim import report
from mmsim.stress.plan import Campaign
from mmsim.stress.settings import Settings
from mmsim.stress.statistics import Interval, rate
from mmsim.stress.store import by_count, reproduce
from mmsim.stress.tally import Kind, Tally
from mmsim.stress.verdict import judge, measure, runs, times

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant

REPORTS = ("first", "all", "none")
METRICS = ("declared", "all")
FAR = 4000
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


def show_rows(out: Console, table: Table) -> None:
    """Print a table with nothing cut off: on a narrow terminal its lines are longer than that.

    A column that may wrap does so, down to a width that can still be read.
    """
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


def percent(interval: Interval, k: int) -> str:
    """A rate with its interval, or what can be said when nothing was seen."""
    if k == 0:
        return f"< {interval.high * 100:.3g} %"
    low, high = interval.low * 100, interval.high * 100
    return f"{interval.value * 100:.3g} % [{low:.3g}, {high:.3g}]"


def show_table(out: Console, tallies: Sequence[Tally]) -> None:
    """One row a variant."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, right in (
        ("variant", False),
        ("runs", True),
        ("findings", True),
        ("rate [95 %]", False),
        ("1st run", True),
        ("1st s", True),
        ("expected", False),
        ("observed", False),
        ("verdict", False),
    ):
        justify = "right" if right else "left"
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for tally in tallies:
        table.add_row(*_cells(tally))
    show_rows(out, table)


def _cells(tally: Tally) -> list[Text | str]:
    judgement = judge(tally)
    seen = tally.first_run is not None and tally.first_seconds is not None
    return [
        tally.variant.id,
        f"{tally.runs:,}",
        f"{tally.findings:,}",
        percent(rate(tally.findings, tally.runs), tally.findings) if tally.runs else "-",
        f"{tally.first_run:,}" if seen else "-",
        f"{tally.first_seconds:.3f}" if seen else "-",
        judgement.expected,
        judgement.observed,
        Text(judgement.word, style=_STYLES[judgement.ok]),
    ]


def show_metrics(out: Console, tallies: Sequence[Tally], which: str) -> None:
    """The numbers that runs report, one line each; by default those that a variant declares."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("variant", "metric", "mean [95 %]", "declared", ""):
        table.add_column(name, no_wrap=True)
    for tally in tallies:
        for m in measure(tally):
            if not m.expect and which != "all":
                continue
            mean = f"{m.mean:.4g} [{m.low:.4g}, {m.high:.4g}]"
            word = {True: "ok", False: "DIFFERS", None: ""}[m.ok]
            table.add_row(
                tally.variant.id, m.name, mean, m.expect or "-", Text(word, style=_STYLES[m.ok])
            )
    if table.row_count:
        out.print()
        show_rows(out, table)


def show_reports(out: Console, tallies: Sequence[Tally], which: str, settings: Settings) -> None:
    """For each failing variant its findings, each with a count and the command that shows it."""
    if which == "none":
        return
    for tally in tallies:
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
            command = reproduce(tally.variant.id, kind.sample.schedule, settings.file)
            if place == 0 or which == "all":
                out.out(_rendered(tally, kind, command, settings).rstrip("\n"), highlight=False)
            else:
                title = kind.sample.finding.title
                out.out(f"also {title}  fingerprint {fingerprint}  (seen {times(kind.count)})")
                out.out(f"Reproduce: {command}")
        for title, count in tally.extra.most_common():
            out.out(f"then, as a consequence: {title}  (seen {times(count)})")


def _rendered(tally: Tally, kind: Kind, command: str, settings: Settings) -> str:
    return report.render(
        kind.sample.finding,
        variant=tally.variant,
        reproduce=command,
        count=kind.count,
        runs=tally.runs,
        run={"engine": settings.engine, "policy": settings.scheduler, "seed": settings.seed},
    )


def summary(campaign: Campaign, settings: Settings, *, complete: bool, wall: float) -> list[str]:
    """The last lines: what differs, what is missing, and the campaign in one sentence."""
    lines = [f"DIFFERS  {line}" for line in _differences(campaign)]
    not_run = [tally.variant.id for tally in campaign.tallies if judge(tally).ok is None]
    if not_run:
        lines.append(f"NOT RUN  {', '.join(not_run)}")
    lines += [f"LOST     {message.splitlines()[0]}" for message in campaign.lost]
    judgements = [judge(tally) for tally in campaign.tallies]
    differing = sum(judgement.ok is False for judgement in judgements)
    if differing:
        verdict = f"{differing} of {len(judgements)} verdicts differ"
    elif complete:
        verdict = "every verdict as declared"
    else:
        verdict = "no verdict differs so far"
    if not complete:
        verdict += "; INCOMPLETE"
    lines.append(
        f"{len(judgements)} variants, {campaign.runs:,} runs, {campaign.findings:,} findings in "
        f"{wall:.1f} s (cpus {settings.cpus}, seed {settings.seed}, engine {settings.engine}, "
        f"policy {settings.scheduler}, jobs {settings.jobs}): {verdict}"
    )
    return lines


def _differences(campaign: Campaign) -> Iterator[str]:
    for tally in campaign.tallies:
        for reason in judge(tally).reasons:
            yield f"{tally.variant.id}: {reason}"


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
