# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim map`: the kernel's files and functions, and where they live here.

The map is made from the citations that stand at the functions themselves, so it cannot know more
than they do and cannot be out of date for longer than until the next test run. It names files and
functions but no lines: an edit above a function must not change a document. (For lines there is
`python -m mmsim where`.)
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import mmsim
from mmsim.cli.commands import where
from mmsim.errors import UsageError
from mmsim.model.version import earliest
from mmsim.stress import store

if TYPE_CHECKING:
    from mmsim.model.cite import Citation

HELP = "the map of the kernel's functions in mmsim (docs/kernel-map.md)"
DESCRIPTION = """\
Prints the map that the citations make: file of the kernel, function, version, where it
is re-stated, and the thread it was written for. `--write` puts it in docs/kernel-map.md;
`--check` says whether that file is up to date, and ends with exit code 1 if it is not.
"""
OUT_OF_DATE = 1

PACKAGE = Path(mmsim.__file__).resolve().parent
PAGE = PACKAGE.parent / "docs" / "kernel-map.md"

HEAD = """\
# The kernel map

Which function of which kernel is re-stated where. The tables are made from the citations at the
functions themselves (`python -m mmsim map --write`); a test compares them with the code.
`python -m mmsim where SYMBOL` gives the line as well.

*Versions* are the kernels that a function stands for, as `4.19..5.10`, both included. A single one
is the kernel whose code it follows, and need not be the only one that has it so. Where no function
is named beside the file, it has the kernel's name.
"""


class Row(NamedTuple):
    """A function of the kernel and one re-statement of it."""

    file: str
    symbol: str
    module: str
    function: str
    versions: tuple[str, ...]
    threads: tuple[str, ...]


def arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="write docs/kernel-map.md")
    what.add_argument("--check", action="store_true", help="compare with docs/kernel-map.md")


def run(options: argparse.Namespace) -> int:
    text = page(citations())
    if not (options.write or options.check):
        print(text, end="")
        return 0
    if not PAGE.parent.is_dir():
        raise UsageError("the map belongs to a checkout; an installed mmsim has no docs directory")
    if options.write:
        try:
            store.write_text(str(PAGE), text)
        except OSError as error:
            raise UsageError(f"docs/kernel-map.md: not writable: {error.strerror}") from error
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        print("docs/kernel-map.md is up to date")
        return 0
    print("docs/kernel-map.md is not what the citations say: run `python -m mmsim map --write`")
    return OUT_OF_DATE


def citations() -> list[Citation]:
    """Those of mmsim's own files, scenarios included; not those of a file given with --file."""
    package = importlib.import_module("mmsim.scenarios")
    for info in pkgutil.walk_packages(package.__path__, "mmsim.scenarios."):
        importlib.import_module(info.name)
    return [c for c in where.citations() if _file(c).is_relative_to(PACKAGE)]


def _file(citation: Citation) -> Path:
    return Path(inspect.unwrap(citation.func).__code__.co_filename).resolve()


def rows(cited: Iterable[Citation]) -> list[Row]:
    """One row a re-statement, mm/ first, then by file, function and version."""
    found: dict[tuple[str, str, str, str], tuple[set[str], set[str]]] = {}
    for c in cited:
        module = _file(c).relative_to(PACKAGE).as_posix()
        key = (c.file, c.symbol, module, c.func.__name__)
        versions, threads = found.setdefault(key, (set(), set()))
        versions.add(c.version)
        threads.update(re.findall(r"\d{3}", c.thread))
    made = [
        Row(*key, tuple(sorted(versions, key=earliest)), tuple(sorted(threads)))
        for key, (versions, threads) in found.items()
    ]
    return sorted(made, key=_order)


def _order(row: Row) -> tuple[bool, str, str, list[tuple[int, ...]], str, str]:
    releases = [earliest(version) for version in row.versions]
    elsewhere = not row.file.startswith("mm/")
    return (elsewhere, row.file, row.symbol.lower(), releases, row.module, row.function)


def page(cited: Iterable[Citation]) -> str:
    """The whole document."""
    return "\n".join(_lines(rows(cited))) + "\n"


def _lines(made: list[Row]) -> Iterator[str]:
    yield HEAD
    files = [(file, list(of_file)) for file, of_file in groupby(made, key=lambda row: row.file)]
    for file, of_file in files:
        count = len({row.symbol for row in of_file})
        yield f"- [{file}](#{_anchor(file)}): {count} function{'s' * (count != 1)}"
    for file, of_file in files:
        yield f"\n## {file}\n"
        yield "| function | versions | here | thread |"
        yield "|---|---|---|---|"
        yield from (_row(row) for row in of_file)


def _row(row: Row) -> str:
    here = f"[{row.module}](../mmsim/{row.module})"
    if row.function != row.symbol:
        here += f" `{row.function}`"
    threads = ", ".join(f"[{thread}](reading/{thread}.md)" for thread in row.threads)
    return f"| `{row.symbol}` | {', '.join(row.versions)} | {here} | {threads} |"


def _anchor(heading: str) -> str:
    """The name that a heading has as the target of a link, as forges make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
