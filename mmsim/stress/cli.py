# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim.stress` from the command line to the exit code."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from mmsim.errors import InternalError, UsageError
from mmsim.stress import (
    clusterspec,
    corpus,
    interrupts,
    options,
    output,
    pictures,
    profile,
    progress,
    shrinking,
    store,
    streams,
    trouble,
)
from mmsim.stress.crew import Crew
from mmsim.stress.identity import identity
from mmsim.stress.plan import Campaign
from mmsim.stress.pool import Pool
from mmsim.stress.settings import DEFAULT_CPUS, DEFAULT_PROFILE, Settings, chosen, resolve
from mmsim.stress.source import Library, Source
from mmsim.stress.stored import kept, proposals
from mmsim.stress.stored.file import Store
from mmsim.stress.trouble import BROKEN, DIFFERS, OK
from mmsim.stress.verdict import verdict_of
from mmsim.stress.worker import Setting


@dataclass(frozen=True)
class Outcome:
    """A campaign that has come to an end, one way or another."""

    campaign: Campaign
    complete: bool
    wall: float
    interrupted: bool = False

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
    parsed = argparse.Namespace()
    try:
        words = sys.argv[1:] if argv is None else argv
        parsed = options.build().parse_all(words)
        parsed.command = shlex.join(["python", "-m", "mmsim.stress", *words])
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
    if settings.cluster is not None:
        clusterspec.parse(settings.cluster)
    if parsed.json is not None:
        store.check_writable(parsed.json)
    if parsed.html is not None:
        pictures.check_directory(parsed.html)
    outcome, stored = _run(settings, source, parsed, campaign_profile)
    code = outcome.code if stored else BROKEN
    if not outcome.interrupted:
        kinds = output.reported(outcome.campaign, parsed.reports)
        shrinking.shrink_kinds(((tally.variant, kind) for tally, kind in kinds), source)
    if parsed.json is not None:
        data = store.document(
            outcome.campaign, settings, complete=outcome.complete, wall=outcome.wall
        )
        if not store.keep(parsed.json, data):
            code = BROKEN
    if parsed.html is not None and not _draw(parsed.html, outcome.campaign, settings):
        code = BROKEN
    try:
        _show(out, outcome, settings, parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        streams.reader_has_left(sys.stdout)
    except KeyboardInterrupt:  # whoever presses again does not want to read on
        print("mmsim.stress: interrupted; the rest of the output is left out", file=sys.stderr)
    return code


def _draw(path: str, campaign: Campaign, settings: Settings) -> bool:
    try:
        pages = pictures.write_pages(path, campaign, settings)
    except (OSError, KeyboardInterrupt) as error:
        why = getattr(error, "strerror", None) or "interrupted"
        print(f"mmsim: the pages in {path} are incomplete: {why}", file=sys.stderr)
        return False
    many = "s" * (pages != 1)
    print(f"{path}: {pages} page{many} and {pictures.INDEX}", file=sys.stderr)
    return True


def _run(
    settings: Settings, source: Source, parsed: argparse.Namespace, asked: profile.Profile
) -> tuple[Outcome, bool]:
    """Run the campaign, with a store if one was asked for; False if that could not be kept up."""
    path = None if parsed.no_store else parsed.store or asked.store
    if path is None:
        if parsed.resume:
            raise UsageError("--resume: from which store? give --store FILE.sqlite")
        return run(settings, source), True
    who = identity(settings.file)
    with Store(path, write=True) as file:
        if not parsed.resume and (unfinished := kept.unfinished(file, settings, who)):
            _note(
                f"campaign {unfinished} in {path} is of the same plan and not finished; "
                "--resume goes on with it, this is a new one"
            )
        campaign = kept.open_campaign(
            *(file, settings, who, parsed.command, settings.workers),
            resume=parsed.resume,
        )
        if campaign.there:
            _note(
                f"going on with campaign {campaign.id} in {path}: {campaign.there:,} runs are in it"
            )
        outcome = run(settings, source, campaign=campaign)
        try:
            campaign.end(complete=outcome.complete, wall=outcome.wall)
            if asked.propose and settings.file is None and not outcome.interrupted:
                _propose(file, campaign, source)
        except InternalError as error:
            _note(str(error))
            return outcome, False
        return outcome, True


def _propose(file: Store, campaign: kept.Kept, source: Source) -> None:
    """Make lines of what the corpus does not have. Raises StoreFull if they cannot be kept."""
    try:
        known = {one.key for one in corpus.read(corpus.shipped())}
    except UsageError as error:
        _note(f"nothing is proposed for the corpus: {error}")
        return
    fresh = [
        (tally.variant, kind)
        for tally in output.with_arms(campaign)
        for fingerprint, kind in tally.kinds.items()
        if (tally.variant.id, fingerprint) not in known
    ]
    shrinking.shrink_kinds(fresh, source)
    small = [corpus.entry(v.id, kind.shrunk) for v, kind in fresh if kind.shrunk is not None]
    many = proposals.propose(file, campaign.id, small)
    if many:
        _note(
            f"{many} kinds of findings are not in stress/corpus; "
            f"python -m mmsim corpus propose {shlex.quote(str(file.path))} shows them"
        )


def _note(text: str) -> None:
    print(f"mmsim.stress: {text}", file=sys.stderr, flush=True)


def _show(out: Console, outcome: Outcome, settings: Settings, parsed: argparse.Namespace) -> None:
    campaign = outcome.campaign
    if parsed.table:
        output.show_table(out, campaign)
    else:
        output.show_threads(out, campaign)
    if parsed.table or parsed.metrics == "all":
        output.show_metrics(out, campaign.tallies, parsed.metrics)
    if parsed.table:
        output.show_odds(out, campaign.tallies)
    output.show_open(out, campaign, None if parsed.table else output.room(campaign))
    output.show_reports(out, campaign, parsed.reports, settings)
    out.print()
    for line in output.where_the_rest_is(campaign, reports=parsed.reports, table=parsed.table):
        out.out(line, highlight=False)
    out.print()
    for line in output.summary(campaign, settings, complete=outcome.complete, wall=outcome.wall):
        out.out(line, highlight=False)


def _crew(settings: Settings, setting: Setting) -> Crew:
    """Whoever computes: processes of this machine, or the machines of a cluster."""
    if settings.cluster is None:
        return Pool(settings.jobs, setting, pin=settings.pin)
    from mmsim.stress.cluster import Cluster

    return Cluster(clusterspec.parse(settings.cluster), setting)


def run(
    settings: Settings,
    source: Source,
    watcher: progress.Plain | progress.Live | None = None,
    campaign: Campaign | None = None,
) -> Outcome:
    """Run a campaign; whatever stops it early, what was counted so far is in the outcome.

    ``campaign``, if given, is run in place of the one that the settings describe.
    """
    with interrupts.gathered() as alarm:
        start = time.monotonic()
        setting = Setting(
            source=source,
            cpus=settings.cpus,
            seed=settings.seed,
            engine=settings.engine,
            policy=settings.policy,
            memory=settings.memory,
            deadline=None if settings.seconds is None else start + settings.seconds,
        )
        counted = campaign or Campaign(settings.variants, settings.pairs, settings.beside)
        complete, interrupted = True, False
        with watcher or progress.watcher(sys.stderr) as observer:
            try:
                with _crew(settings, setting) as crew:
                    crew.run(counted, observer, alarm)
            except KeyboardInterrupt:
                counted.lost.append("interrupted; what was counted until then follows")
                complete, interrupted = False, True
            except InternalError as error:
                counted.lost.append(str(error))
                observer.trouble(str(error))
        wall = time.monotonic() - start
        return Outcome(counted, complete and not counted.lost, wall, interrupted)
