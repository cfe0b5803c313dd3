# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim.stress` from the command line to the exit code."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from mmsim.errors import InternalError, UsageError, one_line
from mmsim.stress import interrupts, options, output, profile, progress, store, streams
from mmsim.stress.plan import Campaign
from mmsim.stress.pool import Pool
from mmsim.stress.settings import DEFAULT_CPUS, DEFAULT_PROFILE, Settings, chosen, resolve
from mmsim.stress.source import Library, Source
from mmsim.stress.verdict import verdict_of
from mmsim.stress.worker import Setting

OK, DIFFERS, USAGE, BROKEN = 0, 1, 2, 3


@dataclass(frozen=True)
class Outcome:
    """A campaign that has come to an end, one way or another."""

    campaign: Campaign
    complete: bool
    wall: float

    @property
    def code(self) -> int:
        words = [verdict_of(self.campaign, tally).ok for tally in self.campaign.tallies]
        if not self.complete:
            return BROKEN
        if False in words:
            return DIFFERS
        return BROKEN if None in words else OK


def main(argv: Sequence[str] | None = None, source: Source | None = None) -> int:
    """Run the stress runner; `source` is there for tests and for tools built on it."""
    try:
        return _main(sys.argv[1:] if argv is None else argv, source)
    except UsageError as error:
        print(f"mmsim.stress: {one_line(error)}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        streams.reader_has_left(sys.stdout)
        return OK
    except KeyboardInterrupt:
        print("mmsim.stress: interrupted; nothing was counted or written", file=sys.stderr)
        return BROKEN
    except Exception as error:
        if isinstance(error, OSError) and streams.is_full(error):
            streams.reader_has_left(sys.stdout)
            print(f"mmsim.stress: cannot write the output: {error.strerror}", file=sys.stderr)
            return BROKEN
        traceback.print_exc()
        print("mmsim.stress: internal error, see above", file=sys.stderr)
        return BROKEN


def _main(argv: Sequence[str], source: Source | None) -> int:
    parsed = options.build().parse_all(argv)
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
    interrupts.everything_is_counted()
    if parsed.json is not None:
        data = store.document(
            outcome.campaign, settings, complete=outcome.complete, wall=outcome.wall
        )
        store.write(parsed.json, data)
    try:
        _show(out, outcome, settings, parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        streams.reader_has_left(sys.stdout)
    return outcome.code


def _show(out: Console, outcome: Outcome, settings: Settings, parsed: argparse.Namespace) -> None:
    campaign = outcome.campaign
    if parsed.table:
        output.show_table(out, campaign)
    else:
        output.show_threads(out, campaign)
    if parsed.table or parsed.metrics == "all":
        output.show_metrics(out, campaign.tallies, parsed.metrics)
    output.show_open(out, campaign)
    output.show_reports(out, campaign, parsed.reports, settings)
    out.print()
    for line in output.where_the_rest_is(campaign, reports=parsed.reports, table=parsed.table):
        out.out(line, highlight=False)
    out.print()
    for line in output.summary(campaign, settings, complete=outcome.complete, wall=outcome.wall):
        out.out(line, highlight=False)


def run(
    settings: Settings,
    source: Source,
    watcher: progress.Plain | progress.Live | None = None,
    campaign: Campaign | None = None,
) -> Outcome:
    """Run a campaign; whatever stops it early, what was counted so far is in the outcome.

    ``campaign``, if given, is run in place of the one that the settings describe.
    """
    start = time.monotonic()
    setting = Setting(
        source=source,
        cpus=settings.cpus,
        seed=settings.seed,
        engine=settings.engine,
        policy=settings.policy,
        deadline=None if settings.seconds is None else start + settings.seconds,
    )
    campaign = campaign or Campaign(settings.variants, settings.pairs, settings.beside)
    complete = True
    with watcher or progress.watcher(sys.stderr) as observer:
        try:
            with Pool(settings.jobs, setting, pin=settings.pin) as pool:
                pool.run(campaign, observer)
        except KeyboardInterrupt:
            campaign.lost.append("interrupted; what was counted until then follows")
            complete = False
        except InternalError as error:
            campaign.lost.append(str(error))
            observer.trouble(str(error))
    return Outcome(campaign, complete and not campaign.lost, time.monotonic() - start)
