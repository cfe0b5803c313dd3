# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim litmus FILE...`: what can come of a few lines on a few CPUs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmsim.errors import UsageError, one_line
from mmsim.litmus import parser
from mmsim.litmus.explorer import LIMIT, TooManyStates, explore
from mmsim.litmus.output import Report
from mmsim.litmus.program import Litmus
from mmsim.stress import store
from mmsim.stress.parser import whole

HELP = "run litmus tests under the kernel's memory model, all executions"
DESCRIPTION = """\
A FILE is a litmus test in the kernel's C format, as herd7 takes it. All executions
are run, under the Linux kernel memory model (`weak`), under sequential consistency
(`sc`), or as on DEC Alpha, where an address does not order what is read through it
(`alpha`). The output is that of herd7, with a histogram: how many executions end in
each state, with a star where the condition holds.

  C MP                                              (the kind, and a name)
  {}                                                (what is not 0 at first: x=1;)
  P0(int *x, int *y) { WRITE_ONCE(*x, 1); smp_store_release(y, 1); }
  P1(int *x, int *y) { int a = READ_ONCE(*y); int b = READ_ONCE(*x); }
  exists (1:a=1 /\\ 1:b=0)                           (or ~exists, or forall)

Never, Sometimes, Always says whether the condition holds in no, some or all
executions. The one thing that the model cannot show is a store that overtakes an
earlier access of its own CPU (load buffering, and others); see docs/litmus.md.

exit code: 0; 1 with --check if a `Result:` comment is wrong; 2 if a file is no
litmus test that can be run here; 3 if a search was given up.
"""
OK, UNEXPECTED, USAGE, INCOMPLETE = 0, 1, 2, 3


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="litmus tests")
    parser.add_argument(
        "--memory", choices=("weak", "sc", "alpha"), default="weak", help="the model (weak)"
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with the comment `Result: Never` and so on"
    )
    parser.add_argument(
        "--limit", type=whole(1), default=LIMIT, help=f"most states to look at ({LIMIT})"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results there as well")


def run(options: argparse.Namespace) -> int:
    if options.json is not None:
        store.check_writable(str(options.json))
    code = OK
    tests: list[Litmus] = []
    for file in options.files:
        try:
            tests.append(parser.read(file))
        except UsageError as error:
            code = _complain(error, USAGE)
    reports: list[Report] = []
    try:
        for litmus in tests:
            try:
                report = _run(litmus, options)
            except UsageError as error:
                code = _complain(error, USAGE)
                continue
            except TooManyStates as error:
                complaint = f"{litmus.file}: given up after {error}; --limit allows more"
                code = max(code, _complain(complaint, INCOMPLETE), key=_weight)
                continue
            if reports:
                print()
            reports.append(report)
            print(report.text(), flush=True)
            if options.check and not report.as_expected:
                code = max(code, UNEXPECTED, key=_weight)
    finally:
        if options.json is not None:
            complete = len(reports) == len(options.files)
            document: dict[str, Any] = {
                "complete": complete,
                "memory": options.memory,
                "tests": [report.document() for report in reports],
            }
            if not store.keep(str(options.json), document):
                code = INCOMPLETE
    return code


def _weight(code: int) -> int:
    """Which exit code says more."""
    return (OK, UNEXPECTED, INCOMPLETE, USAGE).index(code)


def _complain(error: Exception | str, code: int) -> int:
    print(f"mmsim: {one_line(error)}", file=sys.stderr)
    return code


def _run(litmus: Litmus, options: argparse.Namespace) -> Report:
    started = time.perf_counter()
    clear = _progress(litmus.name, started)
    try:
        outcome = explore(litmus, options.memory, limit=options.limit, progress=clear)
    finally:
        clear(0)
    return Report(litmus, options.memory, outcome, time.perf_counter() - started)


def _progress(name: str, started: float) -> Callable[[int], None]:
    """Shows on a terminal how far a search has come, from two seconds on; 0 clears that."""
    shown = False

    def show(explored: int) -> None:
        nonlocal shown
        if not sys.stderr.isatty():
            return
        if explored and time.perf_counter() - started > 2:
            print(f"\r{name[:40]}: {explored} states", end="", file=sys.stderr, flush=True)
            shown = True
        elif not explored and shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    return show
