# SPDX-License-Identifier: GPL-2.0-only
"""`--html DIR`: a page for each kind of finding of a campaign, and an index.

A campaign runs without listeners; each kind's first failing run is replayed here with one.  A run
that does not come back (a file of the user's own that draws numbers elsewhere) is listed without a
page, and said to be so.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

from mmsim import report
from mmsim.errors import StaleSchedule, UsageError
from mmsim.report.page import Cover, Entry, index, page
from mmsim.report.record import Recorder
from mmsim.stress.output import with_arms
from mmsim.stress.plan import Campaign
from mmsim.stress.settings import Settings
from mmsim.stress.store import by_count, reproduce, write_text
from mmsim.stress.tally import Kind, Tally

INDEX = "index.html"
TELL = 2.0  # seconds between two words of progress


def check_directory(path: str) -> None:
    """Make the directory before the campaign, not after it. Raises UsageError."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--html {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise UsageError(f"--html {path}: not writable")


def write_pages(path: str, campaign: Campaign, settings: Settings) -> int:
    """Write the pages and their index; how many pages. Raises OSError."""
    kinds = [(t, kind) for t in with_arms(campaign) for kind in by_count(t).values()]
    entries = []
    told = time.monotonic()
    for done, (tally, kind) in enumerate(kinds):
        if time.monotonic() - told > TELL:
            told = time.monotonic()
            print(f"pages: {done} of {len(kinds)}", file=sys.stderr, flush=True)
        finding = kind.shown.finding
        name = re.sub(r"[^\w.@-]", "_", f"{tally.variant.id}-{finding.fingerprint}.html")
        text = _page(tally, kind, settings)
        if text:
            write_text(str(Path(path) / name), text)
        entries.append(
            Entry(
                tally.variant.id,
                finding.title,
                finding.where,
                f"{kind.count} of {tally.runs}",
                finding.step,
                name if text else "",
            )
        )
    title = f"{len(entries)} kinds of findings in {campaign.runs:,} runs"
    write_text(str(Path(path) / INDEX), index(title, entries))
    return sum(bool(entry.file) for entry in entries)


def _page(tally: Tally, kind: Kind, settings: Settings) -> str:
    from mmsim.run import Runner

    variant, schedule = tally.variant, kind.shown.schedule
    command = reproduce(variant.id, schedule, settings.file)
    recorder = Recorder()
    try:
        with Runner(variant, cpus=settings.cpus, seed=0) as runner:
            result = runner.replay(schedule, instruments=[recorder])
    except StaleSchedule:
        return ""
    story = recorder.story(result.findings)
    columns = report.lanes(story.events, story.focus or None)
    text = report.render(
        result.findings[0],
        variant=variant,
        reproduce=command,
        count=kind.count,
        runs=tally.runs,
        lanes=columns,
        run=settings.run_line(variant),
    )
    cover = Cover(
        variant.id,
        variant.summary,
        variant.scenario.title,
        report=text,
        columns=columns,
        reproduce=command,
    )
    return page(story, cover)
