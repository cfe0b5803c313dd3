# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim report STORE`: a campaign as a page, for CI, for people in the morning."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mmsim.errors import UsageError, one_line
from mmsim.stress import store as written
from mmsim.stress.page import figures, html, plain
from mmsim.stress.page.facts import Facts, facts
from mmsim.stress.parser import whole
from mmsim.stress.stored.file import Store

HELP = "a stored campaign as one page (HTML), for CI (Markdown, JUnit)"
DESCRIPTION = """\
Makes something to look at of a campaign that `python -m mmsim.stress --store STORE`
has kept, or is keeping right now.

  --html FILE       one page that needs no network: rates of every pair, waits by
                    policy, campaigns over time, every kind of finding with its report
  --markdown FILE   a summary for a CI job; `-` for the screen, which is the default
  --junit FILE      a test case for each variant, for CI systems

exit code: 0 written, 2 usage, 3 cannot be written
"""
OK, BROKEN = 0, 3


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", metavar="STORE", help="the file of `--store`")
    parser.add_argument("--campaign", type=whole(1), metavar="N", help="which one (the last)")
    parser.add_argument("--html", metavar="FILE", help="the page; needs the extra `report`")
    parser.add_argument(
        "--pages",
        metavar="DIR",
        help="pages of single runs, FINGERPRINT.html, that the page links to",
    )
    parser.add_argument("--markdown", metavar="FILE", help="the summary")
    parser.add_argument("--junit", metavar="FILE", help="the result file")


def run(options: argparse.Namespace) -> int:
    if options.html is not None:
        figures.available()
    elif options.pages is not None:
        raise UsageError("--pages: the links are on the page; give --html FILE as well")
    for option in ("html", "markdown", "junit"):
        path = getattr(options, option)
        if path not in (None, "-"):
            written.check_writable(path, f"--{option}")
    with Store(options.store) as store:
        found = facts(store, options.campaign)
    kept = True
    if options.html is not None:
        kept &= _write(options.html, html.page(found, _links(found, options)))
    if options.junit is not None:
        kept &= _write(options.junit, plain.junit(found))
    if options.markdown is not None:
        kept &= _write(options.markdown, plain.markdown(found))
    elif options.html is None and options.junit is None:
        kept &= _write("-", plain.markdown(found))
    return OK if kept else BROKEN


def _links(found: Facts, options: argparse.Namespace) -> dict[str, str]:
    """Pages of runs that are there, seen from where the page will be."""
    if options.pages is None:
        return {}
    directory = Path(options.pages)
    if not directory.is_dir():
        raise UsageError(f"--pages {options.pages}: there is no such directory")
    start = Path(options.html).resolve().parent
    return {
        kind.fingerprint: Path(os.path.relpath(page.resolve(), start)).as_posix()
        for kind in found.kinds
        if (page := directory / f"{kind.fingerprint}.html").is_file()
    }


def _write(path: str, text: str) -> bool:
    if path == "-":
        print(text, end="")
        return True
    try:
        written.write_text(path, text)
    except OSError as error:
        print(f"mmsim: cannot write {path}: {error.strerror or one_line(error)}", file=sys.stderr)
        return False
    return True
