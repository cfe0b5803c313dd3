# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim compile`: the search as compiled code, for this Python."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from mmsim import native
from mmsim.native.build import BuildError, build, forget
from mmsim.native.finder import folder

HELP = "compile the search: the same executions, half as many again a second"
DESCRIPTION = """\
Compile the search (mmsim/engine/explore) with mypyc and the C compiler: it comes to
the same executions, about half as many again a second. Takes about half a minute and
needs `pip install 'mmsim[fast]'` and gcc. Nothing else needs it.

What was built serves as long as the engine's sources are the same; after an edit the
interpreted search runs until you compile again. MMSIM_NATIVE=0 in the environment
keeps to the interpreted one.

exit code: 0 there is a compiled search, or with --remove none any more, 1 a compiler
failed, 2 usage, or a tool is missing
"""
OK, FAILED = 0, 1


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--remove", action="store_true", help="delete what was built")
    parser.add_argument("--again", action="store_true", help="even if it is there already")


def run(options: argparse.Namespace) -> int:
    if options.remove:
        gone = forget(Path(native.BUILT))
        print(f"removed {len(gone)}" if gone else "there was nothing")
        return OK
    to = folder()
    if to.is_dir() and not options.again:
        print("the search of these sources is compiled already (--again)")
        return OK
    begun = time.monotonic()

    def tell(stage: str) -> None:
        print(f"{time.monotonic() - begun:5.1f} s  {stage}", flush=True)

    try:
        build(to, tell)
    except BuildError as error:
        print(f"mmsim: the search cannot be compiled:\n{error}", file=sys.stderr)
        return FAILED
    forget(Path(native.BUILT), but=to)
    tell("done: from now on the search is compiled")
    return OK
