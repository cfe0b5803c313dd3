# SPDX-License-Identifier: GPL-2.0-only
"""Which compiled modules belong to the sources that are here, and how Python comes by them."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from mmsim import native

PACKAGE: Final = Path(__file__).resolve().parents[1]
MODULES: Final = tuple(
    f"mmsim.engine.explore.{name}"
    for name in ("clocks", "doors", "words", "nodes", "search", "dpor", "bounded")
)
SUFFIX: Final = EXTENSION_SUFFIXES[0]  # it names the Python


def folder() -> Path:
    """Where what is built of the present sources for this Python belongs."""
    digest = hashlib.sha1(usedforsecurity=False)
    # all of the engine: values of constants are compiled in, wherever they stand
    for file in sorted((PACKAGE / "engine").rglob("*.py")):
        digest.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
    return Path(native.BUILT, f"{SUFFIX.strip('.').removesuffix('.so')}-{digest.hexdigest()[:12]}")


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


def install(wish: str) -> None:
    """Import from the folder that is wished for, or, without a wish, from that of these sources."""
    found = modules(Path(wish) if wish else folder())
    if set(MODULES) <= set(found):
        sys.meta_path.insert(0, Finder(found))
    elif wish:
        warnings.warn(f"{native.VARIABLE}={wish}: nothing was built there", stacklevel=3)


def remove() -> None:
    """Undo ``install``, for what is not imported yet."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]
