# SPDX-License-Identifier: GPL-2.0-only
"""A kernel in which some functions are a student's.

`from module import name` copies a name, so a function is known in every file that uses it.  All of
these copies are exchanged, and put back afterwards.  Who calls the function does not change.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType
from typing import Any

from mmsim.errors import UsageError, one_line
from mmsim.labs.lab import Lab
from mmsim.labs.rules import broken
from mmsim.model import cite as citations

Functions = Mapping[str, Callable[..., Any]]


def load(lab: Lab, source: str, *, unchecked: bool = False) -> dict[str, Any]:
    """The functions of a student's file, by their names.

    Raises UsageError with the line if the file breaks the rules, or with the name of what it lacks.
    ``unchecked`` skips the rules: the tests of what stands behind them say so.
    """
    name = lab.code
    trouble = [] if unchecked else broken(source, lab.rules)
    if trouble:
        raise UsageError(f"{name}: {trouble[0]}")
    names: dict[str, Any] = {"__name__": "mmsim_student_kernel"}
    try:
        exec(compile(source, name, "exec"), names)
    except Exception as error:
        raise UsageError(f"{name}: {type(error).__name__}: {one_line(error)}") from error
    found = {}
    for function in lab.defines:
        if not callable(names.get(function)):
            raise UsageError(f"{name}: it has to define {function}()")
        found[function] = names[function]
    return found


@contextmanager
def replaced(lab: Lab, functions: Functions) -> Iterator[None]:
    """Inside the block the kernel has ``functions`` in place of those that the lab names."""
    undo = install(lab, functions)
    try:
        yield
    finally:
        undo()


def install(lab: Lab, functions: Functions) -> Callable[[], None]:
    """Put the functions in; what takes them out again."""
    changed: list[tuple[Any, str, Any]] = []
    for path in lab.replaces:
        module_name, _, name = path.rpartition(".")
        original = getattr(importlib.import_module(module_name), name)
        ours = functions[name]
        _cited_as(original, ours)
        for module in list(sys.modules.values()):
            if not getattr(module, "__name__", "").startswith("mmsim."):
                continue
            for attribute, value in list(vars(module).items()):
                if value is original:
                    setattr(module, attribute, ours)
                    changed.append((module, attribute, original))

    def undo() -> None:
        for module, attribute, original in reversed(changed):
            setattr(module, attribute, original)

    return undo


def _cited_as(original: Any, ours: Any) -> None:
    """Reports show the student's function under the kernel's name and file."""
    code: CodeType | None = getattr(ours, "__code__", None)
    if code is not None and hasattr(original, "__code__"):
        citations._SYMBOLS.setdefault(code, citations.symbol_of(original.__code__))
        citations._FILES.setdefault(code, citations.file_of(original.__code__))
