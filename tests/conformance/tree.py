# SPDX-License-Identifier: GPL-2.0-only
"""Call trees from text: a cut trace of a real kernel, or what mmsim prints of a run.

A line is `us cpu task  tree` with two blanks a level; `# …` belongs to the call that follows it in
the same task, or is an event inside the call above.  `xN` is N calls in a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TRACES = Path(__file__).parent / "traces"

_LINE = re.compile(r"\s*(\d+) (\d+) (\S+)\s(\s*)(.+)")


@dataclass(eq=False)
class Call:
    """``order`` is its place among all lines; ``marks`` are the events on it, before and inside."""

    symbol: str
    task: str
    order: int
    depth: int
    children: list[Call] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    last: int = 0
    """The place of the last line that belongs to it."""

    @property
    def pfn(self) -> str:
        """The frame it is about, or ""."""
        found = (re.search(r"pfn:(\w+)", mark) for mark in self.marks)
        return next((match[1] for match in found if match), "")

    def walk(self) -> Iterator[Call]:
        """Itself and everything below, in order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def project(self, names: Iterable[str], *, deep: bool = False) -> tuple[str, ...]:
        """The symbols below it that are among ``names``; ``deep`` looks at every level."""
        wanted = set(names)
        below = list(self.walk())[1:] if deep else self.children
        return tuple(call.symbol for call in below if call.symbol in wanted)


@dataclass(eq=False)
class Trace:
    """The calls at the top, by where they stand in the text."""

    calls: list[Call]
    events: list[tuple[int, str, str]]
    """(order, task, text) of every `# …` line."""

    def all(self, symbol: str) -> list[Call]:
        """Every call of a function, wherever it was made."""
        return [call for top in self.calls for call in top.walk() if call.symbol == symbol]


def parse(text: str) -> Trace:
    """Read either form."""
    tops: list[Call] = []
    events: list[tuple[int, str, str]] = []
    stacks: dict[str, list[Call]] = {}
    before: dict[str, list[tuple[int, str]]] = {}
    for order, line in enumerate(text.splitlines()):
        match = _LINE.fullmatch(line)
        if line.startswith("#") or match is None:
            if line.startswith("# ----"):
                stacks.clear()
            continue
        _, _, task, blanks, what = match.groups()
        depth = len(blanks) // 2
        stack = stacks.setdefault(task, [])
        if what.startswith("#"):
            events.append((order, task, what[2:]))
            before.setdefault(task, []).append((depth, what[2:]))
            inside = next((call for call in reversed(stack) if call.depth < depth), None)
            if inside is not None:
                inside.marks.append(what[2:])
            continue
        while stack and stack[-1].depth >= depth:
            stack.pop()
        name, _, times = what.partition(" x")
        marks = [mark for at, mark in before.pop(task, []) if at <= depth]
        for _ in range(int(times) if times.isdigit() else 1):
            call = Call(name.split()[0], task, order, depth, marks=marks, last=order)
            marks = []
            (stack[-1].children if stack else tops).append(call)
        stack.append(call)
        for open_call in stack:
            open_call.last = order
    return Trace(tops, events)


def trace(name: str) -> Trace:
    """A cut trace of a real kernel."""
    return parse((TRACES / f"{name}.txt").read_text(encoding="utf-8"))
