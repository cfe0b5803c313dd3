# SPDX-License-Identifier: GPL-2.0-only
"""A solution with its answers taken out.

There is one file, the solution, so that skeleton and solution cannot drift apart.  An answer
stands between two marks, and what the skeleton has in its place behind ``#=``:

    # TODO 1: when may shrink_cache free a page that it finds with count 0?
    #=     pass
        if PageLocked(page):
            ...
    # DONE 1

The skeleton keeps the line of the TODO.  The solution keeps what is between.  A skeleton can be
made with the answers up to one of them given, for whoever wants to go on from there.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_TODO = re.compile(r"\s*(?:#|//) TODO (\d+)\b")
_DONE = re.compile(r"\s*(?:#|//) DONE (\d+)\b")
_INSTEAD = "#="


def skeleton(solution: str, given: int = 0) -> str:
    """The file as a student gets it; the answers to TODO 1 to ``given`` stay in.

    Raises ValueError for marks that do not pair.
    """
    return _cut(solution, lambda number: number > given)


def whole(solution: str) -> str:
    """The solution without marks."""
    return _cut(solution, lambda _: False)


def todos(solution: str) -> list[int]:
    """Their numbers, in the order of the file."""
    return [int(match[1]) for line in solution.splitlines() if (match := _TODO.match(line))]


def _cut(solution: str, out: Callable[[int], bool]) -> str:
    lines: list[str] = []
    inside = 0
    for line in solution.splitlines():
        begins, ends = _TODO.match(line), _DONE.match(line)
        if begins:
            if inside:
                raise ValueError(f"TODO {begins[1]} begins inside TODO {inside}")
            inside = int(begins[1])
            if out(inside):
                lines.append(line)
        elif ends:
            if int(ends[1]) != inside:
                raise ValueError(f"DONE {ends[1]} ends TODO {inside or 'none'}")
            inside = 0
        elif line.lstrip().startswith(_INSTEAD):
            if not inside:
                raise ValueError(f"{line.strip()!r} is in no TODO")
            if out(inside):
                indent = line[: len(line) - len(line.lstrip())]
                lines.append((indent + line.lstrip()[len(_INSTEAD) :].removeprefix(" ")).rstrip())
        elif not inside or not out(inside) or line.lstrip().startswith("# |"):
            lines.append(line.replace("# |", "#", 1) if inside else line)
    if inside:
        raise ValueError(f"TODO {inside} has no end")
    return "\n".join(lines) + "\n"
