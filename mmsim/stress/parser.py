# SPDX-License-Identifier: GPL-2.0-only
"""Option parsing that complains in one line.

argparse prints the whole usage before it says what was wrong, and does not know the word that was
meant. Here every complaint is a UsageError with one line of text, the range or the names that are
allowed in it; the program prints it and exits with 2.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn

from mmsim.errors import UsageError, nearest

MOST_JOBS = 1024
"""Worker processes of a campaign."""
MOST_SEED = 2**64 - 1


class Parser(argparse.ArgumentParser):
    """argparse, but a complaint is one line and comes out as a UsageError."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; --help shows what is allowed")

    def parse_all(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse; an option nobody knows is answered with the nearest one."""
        found, unknown = self.parse_known_args(argv)
        if unknown:
            word = unknown[0].split("=")[0]
            hint = nearest(word, self._options()) if word.startswith("-") else ""
            raise UsageError(f"unknown argument {word!r}{hint}; --help shows what is allowed")
        return found

    def _options(self) -> set[str]:
        """The long options, those of subcommands included."""
        names = {name for name in self._option_string_actions if name.startswith("--")}
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    names |= parser._options()
        return names


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A converter for whole numbers in a range, with a message that names the range."""
    allowed = f"of at least {least}" if most is None else f"from {least} to {most}"

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{_short(text)} is not a whole number {allowed}")
        return value

    return convert


def seconds(text: str) -> float:
    """A number of seconds above nought."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{_short(text)} is not a number of seconds above 0")
    return value


def _short(text: str) -> str:
    """Quoted, and cut where it would fill the screen."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
