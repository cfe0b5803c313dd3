# SPDX-License-Identifier: GPL-2.0-only
"""The command line of the stress runner, as options and as something to learn from."""

from __future__ import annotations

import argparse

from mmsim.stress.output import METRICS, REPORTS
from mmsim.stress.parser import MOST_JOBS, MOST_SEED, Parser, seconds, whole
from mmsim.stress.settings import DEFAULT_CPUS, DEFAULT_SEED, MOST_CPUS, Request

EPILOG = """\
examples:
  python -m mmsim.stress --cpus 8
      every race and every fix, each pair run until the difference means something
  python -m mmsim.stress --scenario 002 --reports all
      one mailing-list thread, every kind of crash it has, printed in full
  python -m mmsim.stress --variant 002.flawed --variant '002.pagelocked*' --runs 20000
      the flawed patch beside the right one, until the intervals are narrow; add --table
  python -m mmsim.stress --engine free --scenario 000 --seconds 20
      let the operating system schedule; a crash found so replays under threads
  python -m mmsim.stress --profile nightly --seed $RANDOM --json night.json
      a long campaign with a record
  python -m mmsim.stress --profile nightly --resume
      go on with it after a power cut; what is in its store is not run again
  python -m mmsim.stress --file my_race.py --cpus 4
      a race of your own (docs/write-a-scenario.md)

A rate is per run, under the chosen policy and on the simulated CPUs: it compares a patch with its
neighbour, and says nothing of how often real hardware would hit the window.

exit code: 0 every verdict as declared, 1 some verdict differs, 2 usage,
           3 undecided (too few runs, an interrupt, a lost worker) or internal error
"""


def build() -> Parser:
    """The parser."""
    parser = Parser(
        prog="python -m mmsim.stress",
        description="Run the races of five mailing-list threads many times, and count.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _what(parser.add_argument_group("what to run"))
    _how(parser.add_argument_group("how"))
    _how_long(parser.add_argument_group("how long (default: what the profile says)"))
    _output(parser.add_argument_group("output"))
    return parser


def _what(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="S[,S]",
        help="scenario by number or name; repeatable",
    )
    group.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="ID",
        help="variant, or a pattern such as '002.*'; repeatable; narrows --scenario",
    )
    group.add_argument(
        "--file",
        metavar="FILE.py",
        help="run the scenarios in a file of your own; the file is executed, as Python does it",
    )
    group.add_argument(
        "--profile",
        metavar="FILE.toml",
        help="campaign profile, by file or by name: smoke, default, all, nightly, classroom",
    )
    group.add_argument("--list", action="store_true", help="print what there is and stop")


def _how(group: argparse._ArgumentGroup) -> None:
    from mmsim.run import MEMORIES

    group.add_argument(
        "--cpus",
        type=whole(1, MOST_CPUS),
        metavar="N",
        help=f"simulated CPUs, 1 to {MOST_CPUS} (default {DEFAULT_CPUS}); "
        "a UP build has one whatever is said here",
    )
    group.add_argument(
        "--engine",
        metavar="E",
        help="threads: one CPU at a time, deterministic (default); green: the same runs without "
        "OS threads, in less time; free: the operating system schedules",
    )
    group.add_argument(
        "--policy",
        metavar="P",
        help="who runs next; default portfolio: several, most runs to the one that finds the race "
        "(python -m mmsim odds)",
    )
    group.add_argument(
        "--memory",
        choices=MEMORIES,
        help="what a load may return: the newest value (sc), or as the kernel's memory model, DEC "
        "Alpha, or 2.4 on i386, ia64 or ppc allow; default: sc, and what a variant says of itself",
    )
    group.add_argument(
        "--seed",
        type=whole(0, MOST_SEED),
        metavar="N",
        help=f"same seed, same numbers (default {DEFAULT_SEED})",
    )
    group.add_argument(
        "--jobs",
        type=whole(1, MOST_JOBS),
        metavar="J",
        help="worker processes (default: one a core); changes no result",
    )
    group.add_argument(
        "--cluster",
        metavar="WHERE",
        help="run on many machines: local[:N], tcp://HOST:PORT or FILE.toml "
        "(docs/cluster.md); changes no result either",
    )


def _how_long(group: argparse._ArgumentGroup) -> None:
    length = group.add_mutually_exclusive_group()
    length.add_argument("--runs", type=whole(1), metavar="N", help="runs of each variant")
    length.add_argument(
        "--seconds",
        type=seconds,
        metavar="S",
        help="for so long in all; how many runs that is depends on the machine",
    )
    group.add_argument(
        "--stop-after",
        type=whole(1),
        metavar="K",
        help="findings of a variant that are enough",
    )


def _output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--reports",
        choices=REPORTS,
        default="one",
        help="kernel reports: the most instructive (default), the first of each variant, all, none",
    )
    group.add_argument(
        "--table",
        action="store_true",
        help="a row for each variant: rates with intervals, p, runs needed; and their metrics",
    )
    group.add_argument(
        "--metrics",
        choices=METRICS,
        default="declared",
        help="numbers of a variant: those with a declared expectation (with --table), all",
    )
    group.add_argument("--json", metavar="FILE", help="write everything that was counted as JSON")
    group.add_argument(
        "--html",
        metavar="DIR",
        help="write a page for each kind of finding, to look at in a browser, and an index",
    )
    group.add_argument(
        "--store",
        metavar="FILE.sqlite",
        help="keep every block of runs there as it comes (docs/store.md); nightly does",
    )
    group.add_argument("--no-store", action="store_true", help="not even if the profile does")
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with the campaign in the store that has the same plan and code",
    )


def request(options: argparse.Namespace) -> Request:
    """The part of the command line that decides what is run."""
    return Request(
        cpus=options.cpus,
        scenarios=tuple(options.scenario),
        variants=tuple(options.variant),
        engine=options.engine,
        policy=options.policy,
        memory=options.memory,
        runs=options.runs,
        seconds=options.seconds,
        seed=options.seed,
        jobs=options.jobs,
        stop_after=options.stop_after,
        file=options.file,
        cluster=options.cluster,
    )
