# SPDX-License-Identifier: GPL-2.0-only
"""The search, compiled: the same executions in two thirds of the time.

Half of what an execution costs is the search's, and all of that is ordinary typed Python.  mypyc
makes C of it, and `python -m mmsim compile` builds that for the Python it is called with.  The
engine, policies and kernel code stay as they are: they are what people read, break and replace.

Nothing needs it.  What was built is used if it is of the very sources that are here: the folder has
their hash in its name, so that who edits the search never runs an older one.  The variable
MMSIM_NATIVE says otherwise: ``0`` for never, or a folder to be used instead, right or wrong.

Compiled code is not always what the interpreter makes of it: a tuple of fixed length has no
identity, a constant string is a copy unless it is interned, and an attribute of a class has one
value for all its children.  So a test compiles the search and compares the executions of every
planned small cast, and of random programs.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parents[1]
BUILT: Final = PACKAGE / "native" / "built"
VARIABLE: Final = "MMSIM_NATIVE"
MODULES: Final = tuple(
    f"mmsim.engine.explore.{name}"
    for name in ("clocks", "doors", "words", "nodes", "search", "dpor", "bounded")
)
SUFFIX: Final = sysconfig.get_config_var("EXT_SUFFIX") or ".so"


def folder() -> Path:
    """Where what is built of the present sources for this Python belongs."""
    digest = hashlib.sha1(usedforsecurity=False)
    # all of the engine: values of constants are compiled in, wherever they stand
    for file in sorted((PACKAGE / "engine").rglob("*.py")):
        digest.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
    return BUILT / f"{SUFFIX.strip('.').removesuffix('.so')}-{digest.hexdigest()[:12]}"


def modules(where: Path) -> dict[str, Path]:
    """The modules that were built into a folder, by name."""
    return {
        ".".join(file.relative_to(where).as_posix().removesuffix(SUFFIX).split("/")): file
        for file in where.rglob(f"*{SUFFIX}")
    }


class Finder(MetaPathFinder):
    """Finds what was built."""

    def __init__(self, found: Mapping[str, Path]) -> None:
        self._found = found

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self._found.get(name)
        return None if file is None else spec_from_file_location(name, file)


def use() -> None:
    """From now on import what was built, if there is something."""
    wish = os.environ.get(VARIABLE, "")
    if wish == "0" or not (wish or BUILT.is_dir()):
        return
    found = modules(Path(wish) if wish else folder())
    if found:
        sys.meta_path.insert(0, Finder(found))
    elif wish:
        warnings.warn(f"{VARIABLE}={wish}: nothing was built there", stacklevel=2)


def leave() -> None:
    """Import what was built no more, here and in processes that are started from here."""
    os.environ[VARIABLE] = "0"
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]


def used() -> bool:
    """Is the search that runs here compiled?"""
    module = sys.modules.get(MODULES[-1])
    return module is not None and not str(module.__file__).endswith(".py")
