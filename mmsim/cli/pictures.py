# SPDX-License-Identifier: GPL-2.0-only
"""Pictures of a run: the options of `replay` that write one, and the writing."""

from __future__ import annotations

import argparse
import json
import sys

from mmsim import report
from mmsim.cli.explain import Told
from mmsim.errors import UsageError
from mmsim.report.ftrace import ftrace
from mmsim.report.page import Cover, page
from mmsim.report.perfetto import perfetto
from mmsim.stress.store import check_writable, write_text

KINDS = ("html", "perfetto", "ftrace")


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--html`, `--perfetto`, `--ftrace` and `--locksets`."""
    group = parser.add_argument_group("pictures of the run")
    group.add_argument(
        "--html",
        metavar="FILE",
        help="one file to look at in a browser, without network: lanes, code, pages, each step",
    )
    group.add_argument(
        "--perfetto", metavar="FILE", help="a trace for ui.perfetto.dev, as Chrome's JSON"
    )
    group.add_argument(
        "--ftrace", metavar="FILE", help="a trace as the kernel's text, with its events' names"
    )
    group.add_argument(
        "--locksets",
        action="store_true",
        help="print which locks were held at each access of the page that the finding is about, "
        "and where they have none in common; with --all of everything",
    )


def check(options: argparse.Namespace) -> None:
    """Find out before the run that a file cannot be written. Raises UsageError."""
    for kind in KINDS:
        path = getattr(options, kind)
        if path is not None:
            check_writable(path, f"--{kind}")


def write(told: Told, command: str, options: argparse.Namespace) -> None:
    """Write the files that were asked for, and say so on standard error."""
    for kind in KINDS:
        path = getattr(options, kind)
        if path is None:
            continue
        text = _text(kind, told, command)
        try:
            write_text(path, text)
        except OSError as error:
            raise UsageError(f"--{kind} {path}: {error.strerror}") from error
        print(f"{path}: {max(1, len(text.encode()) // 1024)} kB", file=sys.stderr)


def _text(kind: str, told: Told, command: str) -> str:
    variant, story = told.variant, told.story
    if kind == "perfetto":
        return json.dumps(perfetto(story, variant.id), separators=(",", ":"))
    if kind == "ftrace":
        return ftrace(story)
    return page(
        story,
        Cover(
            variant.id,
            variant.summary,
            variant.scenario.title,
            report="\n".join(told.reports(command)),
            columns=report.lanes(story.events, focus=None),
            reproduce=command,
        ),
    )
