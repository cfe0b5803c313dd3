# SPDX-License-Identifier: GPL-2.0-only
"""Citations: which kernel function, of which file and version, a Python function re-states.

The decorator only registers, so a cited function costs nothing extra to call.
``python -m mmsim where`` and ``docs/kernel-map.md`` are made from this table.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Citation:
    """``symbol`` as in C; ``file`` as in the kernel tree; ``func`` the re-statement."""

    symbol: str
    file: str
    version: str
    thread: str
    func: Callable


_CITATIONS: list[Citation] = []
_SYMBOLS = {}  # by code object, for whoever walks a stack
_FILES = {}
_VERSION = re.compile(r"_v\d+(?:_\d+)+$")


def cite(file, version, thread="", symbol=""):
    """Decorator: this function re-states ``symbol`` (default: its own name, without _vX_Y)."""

    def register(func):
        name = symbol or func.__name__.split("_v2_")[0].split("_v3_")[0]
        name = name.split("_v4_")[0].split("_v5_")[0]
        _CITATIONS.append(Citation(name, file, version, thread, func))
        code = inspect.unwrap(func).__code__
        _SYMBOLS.setdefault(code, name)
        _FILES.setdefault(code, file)
        return func

    return register


def symbol_of(code):
    """The kernel's name of the function that ``code`` belongs to, cited or not."""
    return _SYMBOLS.get(code) or _VERSION.sub("", code.co_name)


def file_of(code):
    """The kernel's file of the function that ``code`` belongs to; "" if it has no citation."""
    return _FILES.get(code, "")


def citations():
    """Every citation of the modules imported so far, in order of import."""
    return list(_CITATIONS)
