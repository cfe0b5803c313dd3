# SPDX-License-Identifier: GPL-2.0-only
"""Where gates decide something: every `patched("name")` in kernel code and in what actors do.

The checks at the end of a run ask for gates, too: which invariants hold depends on the patch.
Those are left out, since turning one over would break the judge and not the kernel.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType

import mmsim
from mmsim.errors import UsageError, nearest

PACKAGE = Path(mmsim.__file__).resolve().parent
FILES = ("*.py", "linux/*.py", "model/*.py", "v2_4/*.py", "v3_13/*.py", "scenarios/*/*.py")
JUDGE = "check.py"


@dataclass(frozen=True, order=True)
class Place:
    """A gate in one function: what a hunk of the patch changes.

    ``file`` is relative to the package if it is in it; ``function`` is the qualified name of a
    function that is not nested in another.
    """

    gate: str
    file: str
    function: str

    def __str__(self) -> str:
        return f"{self.gate}@{self.function}"


@lru_cache(maxsize=2)
def places(own: str | None = None) -> tuple[Place, ...]:
    """Every place, by gate, file and function; with those of the user's ``own`` scenario file."""
    files = [file for pattern in FILES for file in PACKAGE.glob(pattern)]
    if own is not None:
        files.append(Path(own).resolve())
    found = {place for file in files if file.name != JUDGE for place in places_in(file)}
    return tuple(sorted(found))


def place_named(name: str, own: str | None = None) -> Place:
    """The place that is printed as ``name``, GATE@FUNCTION.  Raises UsageError if there is none."""
    known = {str(place): place for place in places(own)}
    if name not in known:
        raise UsageError(
            f"no hunk {name!r}{nearest(name, known)}: it has to be GATE@FUNCTION, as "
            "`ablate --prove` prints it"
        )
    return known[name]


def places_in(file: Path) -> Iterator[Place]:
    """The places of one file of the package."""
    text = file.read_text(encoding="utf-8")
    if "patched(" in text:
        for function, gate in _asked(ast.parse(text), "", inside=False):
            yield Place(gate, _name(file), function)


def _name(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix() if file.is_relative_to(PACKAGE) else str(file)


def _asked(node: ast.AST, function: str, *, inside: bool) -> Iterator[tuple[str, str]]:
    """(function, gate) of every call; ``inside`` a function nothing is outermost any more."""
    for child in ast.iter_child_nodes(node):
        name, within = function, inside
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and not inside:
            name = f"{function}.{child.name}" if function else child.name
            within = isinstance(child, ast.FunctionDef)
        if (
            isinstance(child, ast.Call)
            and isinstance(child.func, ast.Name)
            and child.func.id == "patched"
            and isinstance(child.args[0], ast.Constant)
        ):
            yield function, str(child.args[0].value)
        yield from _asked(child, name, inside=within)


@lru_cache(maxsize=4096)
def place_of(gate: str, code: CodeType) -> Place:
    """The place where running code asks for a gate."""
    return Place(
        gate, _name(Path(code.co_filename).resolve()), code.co_qualname.split(".<locals>", 1)[0]
    )
