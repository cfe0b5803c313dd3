# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim list`: every scenario and its variants."""

from __future__ import annotations

import argparse
import sys

from rich.table import Table

from mmsim.stress.output import console, show_rows
from mmsim.stress.source import Library, select

HELP = "the scenarios and their variants, with the declared verdicts"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", nargs="*", help="number or name; all if none is given")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")


def run(options: argparse.Namespace) -> int:
    source = Library(options.file)
    chosen = {variant.id for variant in select(source, options.scenario)}
    out = console(sys.stdout)
    first = True
    for scenario in source.scenarios():
        variants = [variant for variant in scenario.variants if variant.id in chosen]
        if not variants:
            continue
        if not first:
            out.print()
        first = False
        out.out(f"{scenario.id} {scenario.name}: {scenario.title} ({scenario.era})")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column()
        for variant in variants:
            table.add_row(f"  {variant.id}", variant.expect.value, variant.summary)
        show_rows(out, table)
    return 0
