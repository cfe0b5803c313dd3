# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim`: look at one thing closely. (Many runs: `python -m mmsim.stress`.)

Every subcommand is one module in `mmsim/cli/commands`, found by its file name, with

    HELP                 one line for the list of commands
    DESCRIPTION          what `--help` says above the options (optional)
    arguments(parser)    its options
    run(options) -> int  its work and its exit code

so that a new one is a new file and nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

import mmsim.cli.commands
from mmsim.stress import trouble
from mmsim.stress.parser import Parser

EPILOG = """\
examples:
  python -m mmsim list
  python -m mmsim show 002.flawed
  python -m mmsim replay 002.flawed mm1:...      (a line that mmsim.stress printed)
  python -m mmsim where shrink_cache
  python -m mmsim play 002.flawed                (be the scheduler; `lab start 1` for a class)
  python -m mmsim.stress --cpus 8                (many runs of everything, and verdicts)
"""


def build() -> Parser:
    """The parser with all its subcommands."""
    parser = Parser(
        prog="python -m mmsim",
        description="Look at the races of mmsim one at a time.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="command", title="commands")
    for info in pkgutil.iter_modules(mmsim.cli.commands.__path__):
        module = importlib.import_module(f"mmsim.cli.commands.{info.name}")
        command = commands.add_parser(
            info.name,
            help=module.HELP,
            description=getattr(module, "DESCRIPTION", module.HELP),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = argparse.Namespace()
    try:
        parser = build()
        options = parser.parse_all(sys.argv[1:] if argv is None else argv)
        if not hasattr(options, "run"):
            parser.print_help()
            return trouble.OK
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except BaseException as error:
        return trouble.told("mmsim", error, getattr(options, "file", None), "interrupted")
