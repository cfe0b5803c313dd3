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
import traceback
from collections.abc import Sequence

import mmsim.cli.commands
from mmsim.errors import UsageError, one_line
from mmsim.stress import interrupts, streams, worker
from mmsim.stress.parser import Parser

OK, USAGE, BROKEN = 0, 2, 3

EPILOG = """\
examples:
  python -m mmsim list
  python -m mmsim show 002.flawed
  python -m mmsim replay 002.flawed mm1:...      (a line that mmsim.stress printed)
  python -m mmsim where shrink_cache
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
            return OK
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        streams.reader_has_left(sys.stdout)
        return OK
    except UsageError as error:
        print(f"mmsim: {one_line(error)}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("mmsim: interrupted", file=sys.stderr)
        return BROKEN
    except Exception as error:
        if isinstance(error, OSError) and streams.is_full(error):
            streams.reader_has_left(sys.stdout)
            print(f"mmsim: cannot write the output: {error.strerror}", file=sys.stderr)
            return BROKEN
        blame = worker.users_fault(getattr(options, "file", None), error)
        if blame is not None:
            print(f"mmsim: {blame}", file=sys.stderr)
            return USAGE
        traceback.print_exc()
        print("mmsim: internal error, see above", file=sys.stderr)
        return BROKEN


def program() -> int:
    """The whole program: `main` with streams that can be written to, and that ends politely."""
    streams.make_ready()
    interrupts.listen()
    return main()
