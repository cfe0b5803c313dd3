# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim.stress` from the command line to the exit code."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from mmsim.errors import InternalError
from mmsim.stress import interrupts, options, output, profile, progress, store, streams, trouble
from mmsim.stress.plan import Campaign
from mmsim.stress.pool import Pool
from mmsim.stress.settings import DEFAULT_CPUS, DEFAULT_PROFILE, Settings, chosen, resolve
from mmsim.stress.source import Library, Source
from mmsim.stress.trouble import BROKEN, DIFFERS, OK
from mmsim.stress.verdict import judge
from mmsim.stress.worker import Setting


@dataclass(frozen=True)
class Outcome:
    """A campaign that has come to an end, one way or another."""

    campaign: Campaign
    complete: bool
    wall: float

    @property
    def code(self) -> int:
        judgements = [judge(tally) for tally in self.campaign.tallies]
        if not self.complete or any(judgement.ok is None for judgement in judgements):
            return BROKEN
        return OK if all(judgement.ok for judgement in judgements) else DIFFERS


def main(argv: Sequence[str] | None = None, source: Source | None = None) -> int:
    """Run the stress runner; `source` is there for tests and for tools built on it."""
    parsed = argparse.Namespace()
    try:
        parsed = options.build().parse_all(sys.argv[1:] if argv is None else argv)
        return _main(parsed, source)
    except BaseException as error:
        undone = "interrupted; nothing was counted or written"
        return trouble.told("mmsim.stress", error, getattr(parsed, "file", None), undone)


def _main(parsed: argparse.Namespace, source: Source | None) -> int:
    request = options.request(parsed)
    source = source or Library(request.file)
    campaign_profile = profile.load(parsed.profile or DEFAULT_PROFILE)
    out = output.console(sys.stdout)
    if parsed.list:
        cpus = request.cpus or DEFAULT_CPUS
        output.show_list(out, chosen(request, campaign_profile, source), cpus)
        sys.stdout.flush()
        return OK
    settings = resolve(request, campaign_profile, source)
    if parsed.json is not None:
        store.check_writable(parsed.json)
    outcome = run(settings, source)
    code = outcome.code
    if parsed.json is not None:
        data = store.document(
            outcome.campaign, settings, complete=outcome.complete, wall=outcome.wall
        )
        if not store.keep(parsed.json, data):
            code = BROKEN
    try:
        _show(out, outcome, settings, parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        streams.reader_has_left(sys.stdout)
    except KeyboardInterrupt:  # whoever presses again does not want to read on
        print("mmsim.stress: interrupted; the rest of the output is left out", file=sys.stderr)
    return code


def _show(out: Console, outcome: Outcome, settings: Settings, parsed: argparse.Namespace) -> None:
    campaign = outcome.campaign
    output.show_table(out, campaign.tallies)
    output.show_metrics(out, campaign.tallies, parsed.metrics)
    output.show_reports(out, campaign.tallies, parsed.reports, settings)
    out.print()
    for line in output.summary(campaign, settings, complete=outcome.complete, wall=outcome.wall):
        out.out(line, highlight=False)


def run(
    settings: Settings, source: Source, watcher: progress.Plain | progress.Live | None = None
) -> Outcome:
    """Run a campaign; whatever stops it early, what was counted so far is in the outcome."""
    with interrupts.gathered() as alarm:
        start = time.monotonic()
        setting = Setting(
            source=source,
            cpus=settings.cpus,
            seed=settings.seed,
            engine=settings.engine,
            policy=settings.policy,
            deadline=None if settings.seconds is None else start + settings.seconds,
        )
        campaign = Campaign(settings.variants)
        complete = True
        with watcher or progress.watcher(sys.stderr) as observer:
            try:
                with Pool(settings.jobs, setting, pin=settings.pin) as pool:
                    pool.run(campaign, observer, alarm)
            except KeyboardInterrupt:
                campaign.lost.append("interrupted; what was counted until then follows")
                complete = False
            except InternalError as error:
                campaign.lost.append(str(error))
                observer.trouble(str(error))
        return Outcome(campaign, complete and not campaign.lost, time.monotonic() - start)
