# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim where SYMBOL`: where a function of the kernel lives here."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from rich.table import Table

import mmsim
from mmsim.errors import UsageError, nearest
from mmsim.model.cite import citations_of
from mmsim.model.version import earliest
from mmsim.stress.output import console, show_rows
from mmsim.stress.source import Library

if TYPE_CHECKING:
    from mmsim.model.cite import Citation

HELP = "where a kernel function lives in mmsim"
DESCRIPTION = """\
SYMBOL is a function (`shrink_cache`), a file of the kernel (`mm/vmscan.c`), or both with a colon
between them (`mm/vmscan.c:shrink_cache`). With --file the functions of a scenario file of
your own are found as well, cited (`@cite("mm/vmscan.c", "5.17")`) or not.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("symbol", help="function, file or file:function")
    parser.add_argument("--file", metavar="FILE.py", help="a file of your own; it is executed")


def run(options: argparse.Namespace) -> int:
    symbol = options.symbol.removesuffix(":")
    own = () if options.file is None else Library(options.file).functions()
    everything = citations() + [citation for f in own for citation in citations_of(f)]
    named = [function for function in own if _is_named(function, symbol)]
    found = [c for c in everything if _matches(c, symbol) or c.func in named]
    plain = [function for function in named if not citations_of(function)]
    if not found and not plain:
        raise UsageError(f"nothing here re-states {symbol!r}{_hint(everything, own, symbol)}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(4):
        table.add_column(no_wrap=True)
    for citation in sorted(found, key=lambda c: (c.file, c.symbol, earliest(c.version))):
        thread = f"thread {citation.thread}" if citation.thread else ""
        name = f"{citation.file}:{citation.symbol}"
        table.add_row(name, citation.version, place(citation.func), thread)
    for function in plain:
        table.add_row(f"{_file(function)}:{function.__name__}", "-", place(function), "not cited")
    show_rows(console(sys.stdout), table)
    return 0


def _hint(everything: list[Citation], own: Sequence[FunctionType], symbol: str) -> str:
    function = symbol.rpartition(":")[2]
    elsewhere = sorted({c.file for c in everything if c.symbol == function})
    if elsewhere:
        return f" ({function} is in {', '.join(elsewhere)})"
    names = {name for c in everything for name in (c.symbol, c.file)}
    return nearest(function, names | {f.__name__ for f in own})


def _matches(citation: Citation, symbol: str) -> bool:
    file, colon, function = symbol.rpartition(":")
    if colon:
        return function == citation.symbol and _same_file(citation.file, file)
    return symbol in (citation.symbol, citation.func.__name__) or _same_file(citation.file, symbol)


def _is_named(function: FunctionType, symbol: str) -> bool:
    file, colon, name = symbol.rpartition(":")
    if colon:
        return name == function.__name__ and file == _file(function)
    return symbol in (function.__name__, _file(function))


def _file(function: FunctionType) -> str:
    return _path(function).name


def _same_file(cited: str, asked: str) -> bool:
    return cited == asked or cited.endswith(f"/{asked}")


def place(function: Callable[..., Any]) -> str:
    """The re-statement as `mmsim/vmscan.py:57 shrink_cache`."""
    top = Path(mmsim.__file__).resolve().parent.parent
    path = _path(function)
    shown = path.relative_to(top) if path.is_relative_to(top) else path
    return f"{shown}:{function.__code__.co_firstlineno} {function.__name__}"


def _path(function: Callable[..., Any]) -> Path:
    return Path(function.__code__.co_filename).resolve()


def citations() -> list[Citation]:
    """Every citation in mmsim, once each; for that every file of the kernel dialect is imported."""
    for package in ("mmsim", "mmsim.linux", "mmsim.v2_4", "mmsim.v3_13"):
        for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if not info.ispkg and info.name not in ("__main__", "pytest_plugin"):
                importlib.import_module(f"{package}.{info.name}")
    from mmsim.model import cite

    here = Path(mmsim.__file__).resolve().parent
    return [c for c in cite.citations() if _path(c.func).is_relative_to(here)]
