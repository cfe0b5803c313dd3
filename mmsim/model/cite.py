# SPDX-License-Identifier: GPL-2.0-only
"""Citations: which kernel function, of which file and versions, a Python function re-states.

    @cite("mm/swap.c", "4.19..5.10")
    def release_pages_v5_4(pages): ...

A range says for which kernels the function stands; several may be given.  Where a function has
several versions, ``by_version`` (era.py) calls the one that covers the booted kernel.

The decorator only registers, so a cited function costs nothing extra to call.
``python -m mmsim where`` and ``docs/kernel-map.md`` are made from this table.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any, TypeVar

from mmsim.model.version import Range, ranges

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Citation:
    """``symbol`` as in C; ``file`` as in the kernel tree; ``func`` the re-statement.

    ``version`` are the kernels it stands for, as ``4.19..5.4`` or ``2.4.17, 2.4.20``.
    """

    symbol: str
    file: str
    version: str
    thread: str
    func: Callable[..., Any]

    @property
    def ranges(self) -> tuple[Range, ...]:
        """``version``, read."""
        return ranges(self.version)

    def covers(self, version: str) -> bool:
        """Does the function stand for this kernel?"""
        return any(version in kernels for kernels in self.ranges)


_CITATIONS: list[Citation] = []
_SYMBOLS: dict[CodeType, str] = {}  # for whoever walks a stack
_FILES: dict[CodeType, str] = {}
_SUFFIX = re.compile(r"_v\d+(?:_\d+)+$")


def cite(
    file: str, *versions: str, thread: str = "", symbol: str = ""
) -> Callable[[Function], Function]:
    """Decorator: this function re-states ``symbol`` (default: its own name, without _vX_Y).

    ``versions`` are kernels or ranges of kernels.  Raises ValueError if one of them is neither.
    """
    if not versions:
        raise ValueError(f"a citation of {file} without a version")
    version = ", ".join(versions)
    ranges(version)

    def register(func: Function) -> Function:
        name = symbol or plain(func.__name__)
        _CITATIONS.append(Citation(name, file, version, thread, func))
        code = inspect.unwrap(func).__code__
        _SYMBOLS.setdefault(code, name)
        _FILES.setdefault(code, file)
        return func

    return register


def plain(name: str) -> str:
    """A function's name without our suffix: release_pages of release_pages_v5_4."""
    return _SUFFIX.sub("", name)


def symbol_of(code: CodeType) -> str:
    """The kernel's name of the function that ``code`` belongs to, cited or not."""
    return _SYMBOLS.get(code) or plain(code.co_name)


def file_of(code: CodeType) -> str:
    """The kernel's file of the function that ``code`` belongs to; "" if it has no citation."""
    return _FILES.get(code, "")


def citations() -> list[Citation]:
    """Every citation of the modules imported so far, in order of import."""
    return list(_CITATIONS)


def citations_of(func: Callable[..., Any]) -> list[Citation]:
    """Those of one function."""
    return [citation for citation in _CITATIONS if citation.func is func]


def forget(file: str) -> None:
    """A file of the user's own is executed anew: drop what it has cited."""
    _CITATIONS[:] = [c for c in _CITATIONS if inspect.unwrap(c.func).__code__.co_filename != file]
