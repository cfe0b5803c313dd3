# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim play VARIANT [SCHEDULE]`: be the scheduler."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator

from mmsim.errors import UsageError
from mmsim.play import known as solver
from mmsim.play.known import Known
from mmsim.play.session import Session
from mmsim.play.text import Game
from mmsim.run import MAX_CPUS
from mmsim.scenarios.api import NEVER, Variant
from mmsim.scenarios.cast import with_cast
from mmsim.stress import endless
from mmsim.stress.parser import MOST_SEED, whole
from mmsim.stress.source import Library, find_variant
from mmsim.stress.store import reproduce

HELP = "be the scheduler: break a variant by hand, step by step, with undo"
DESCRIPTION = """\
Play a variant on the real engine: you say who goes on, one step at a time or up to the next lock,
deliver interrupts, and take back what you like. It is won when the kernel fails as the variant
declares; then what you did is explained, and there is a line that replays it.

Without --text a page is served on 127.0.0.1 for a browser, which needs the extra `lab`
(pip install 'mmsim[lab]'). With --text commands are read from standard input, also from a file.

With a schedule the moves of the recorded run are there to be redone, up to where you leave it.
The exit code of --text is 0 if it was won, 1 if not.
"""
TRIED = (2, 4, 8)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("variant", help="the variant's id, such as 002.flawed")
    parser.add_argument("schedule", nargs="?", help="a recorded run, a word that begins with mm1:")
    parser.add_argument("--text", action="store_true", help="play in the terminal")
    parser.add_argument(
        "--cpus",
        type=whole(1, MAX_CPUS),
        metavar="N",
        help="simulated CPUs (default: the fewest of 2, 4, 8 with which a failing run is found)",
    )
    parser.add_argument("--cast", metavar="NAME", help="with the people of another cast")
    parser.add_argument(
        "--seed", type=whole(0, MOST_SEED), default=1, metavar="N", help="of the set-up (default 1)"
    )
    parser.add_argument(
        "--at",
        type=whole(0),
        metavar="STEP",
        help="with a schedule: begin there (default: at its start)",
    )
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: argparse.Namespace) -> int:
    if options.at is not None and not options.schedule:
        raise UsageError("--at belongs to a schedule")
    if options.schedule and options.cpus:
        raise UsageError("--cpus: the schedule says how many there are")
    if not options.text:
        _check_extra()
    variant = find_variant(Library(options.file), options.variant)
    if options.cast:
        variant = with_cast(variant, options.cast)
    with endless.watched(options.file):
        session, known = _begin(variant, options)
    with session:
        if options.text:
            return _text(session, known, options)
        from mmsim.play import web

        return web.serve(
            session,
            known,
            lambda line, over: command(options, line, over),
            opens=options.open,
        )


def _check_extra() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"the page needs {error.name}: pip install 'mmsim[lab]', or play with --text"
        ) from error


def _begin(variant: Variant, options: argparse.Namespace) -> tuple[Session, Known | None]:
    """The game, and what is known of it."""
    if options.schedule:
        session = Session.of_line(variant, options.schedule)
        while options.at and session.undone and _step(session) < options.at:
            session.redo()
        return session, solver.find(session, tell=_told)
    choice = [options.cpus] if options.cpus else TRIED
    if variant.expect is NEVER:
        return Session(variant, cpus=choice[0], seed=options.seed), None
    for cpus in choice:
        session = Session(variant, cpus=cpus, seed=options.seed)
        known = solver.find(session, seconds=solver.SEARCH_SECONDS / len(choice), tell=_told)
        if known is not None:
            return session, known
        session.close()
    session = Session(variant, cpus=choice[0], seed=options.seed)
    return session, solver.search(session, _told)


def _told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _step(session: Session) -> int:
    steps = session.position.story.steps
    return steps[-1].number if steps else 0


def command(options: argparse.Namespace, line: str, over: bool) -> str:
    """What brings the game back: as a replay if it came to something, else as a game."""
    text = reproduce(options.variant, line, options.file)
    if options.cast:
        text += f" --cast {shlex.quote(options.cast)}"
    return text if over else text.replace(" replay ", " play ", 1)


def _text(session: Session, known: Known | None, options: argparse.Namespace) -> int:
    game = Game(session, known, lambda line, over: command(options, line, over))
    for line in game.play(_typed()):
        print(line, flush=True)
    return 0 if session.position.won else 1


def _typed() -> Iterator[str]:
    """Lines of standard input; a prompt where somebody types."""
    asks = sys.stdin.isatty()
    while True:
        if asks:
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        yield line
