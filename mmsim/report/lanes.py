# SPDX-License-Identifier: GPL-2.0-only
"""Lanes: who did what to this page, one column per CPU, time running down.

An interleaving told in one column is unreadable, and a full trace in columns is no better.  So
three things are done to the events: only those that touch the object in question are kept, with
the lock operations and interrupts around them; what one function did in one go becomes one line;
and only the last lines are shown, because a race is decided at its end.

    count == 0                  a read that saw 0
    count == 1 (old)            a read that saw 1, which had been overwritten (weak memory)
    count = 0                   a store
    count 1 -> 0                an atomic operation, and what it made of the word
    test_and_clear lru: was 1   an operation on a bit, and what it found

The last thing that a context did before the end is kept whatever it touched: it is where it stands.
A line of a file that is not mmsim's own names that file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Protocol

from mmsim.report.symbols import symbol

MAX_LANES = 4
_STEP_WIDTH = 7
TOTAL_WIDTH = 104
_LANE_WIDTHS = (22, 46)

_LOCKS = {
    "lock": "LOCK",
    "trylock": "TRYLOCK",
    "unlock": "UNLOCK",
    "spin": "SPIN",
    "down": "DOWN",
    "up": "UP",
}
_MOVES = {"sleep": "sleep", "wake": "wake"}


class EventLike(Protocol):
    """As much of mmsim.engine.events.Event as the lanes need."""

    @property
    def step(self) -> int: ...
    @property
    def entity(self) -> int: ...
    @property
    def comm(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def cpu(self) -> int: ...
    @property
    def context(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def obj(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def verb(self) -> str: ...
    @property
    def old(self) -> Any: ...
    @property
    def new(self) -> Any: ...
    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def value(self) -> Any: ...
    @property
    def func(self) -> str: ...


@dataclass
class _Row:
    """One line of one lane: a function and what it did, or a lock operation."""

    step: int
    cpu: int
    entity: int
    who: str
    func: str = ""
    parts: list[str] = field(default_factory=list)
    times: int = 1

    def text(self) -> str:
        what = ", ".join(self.parts)
        again = f" (x{self.times})" if self.times > 1 else ""
        return f"{self.func}: {what}{again}" if self.func else f"{what}{again}"


def lanes(
    events: Iterable[EventLike],
    focus: str | None = None,
    limit: int | None = 40,
    width: int = TOTAL_WIDTH,
) -> str:
    """The last ``limit`` lines of what happened to ``focus``, CPUs side by side.

    Without a ``limit`` all of them; ``width`` is that of the page, in characters.  ``focus`` is an
    event's ``obj``; without it every object counts.  At most ``MAX_LANES`` CPUs are shown, those
    that touched the focus last.
    """
    every = list(events)
    cpus, others = _cpus(every, focus)
    rows = _rows(every, focus, frozenset(cpus))
    if not rows:
        return ""
    shown = rows if limit is None else rows[-limit:] if limit > 0 else []
    notes = []
    if len(rows) > len(shown):
        notes.append(f"({len(rows) - len(shown)} earlier lines not shown)")
    if others:
        names = ", ".join(f"CPU{cpu}" for cpu in others)
        notes.append(f"({names} took part as well: not shown)")
    return "\n".join([*notes, *_layout(shown, cpus, width)])


def _cpus(events: Sequence[EventLike], focus: str | None) -> tuple[list[int], list[int]]:
    """The CPUs to show and the CPUs that took part and are left out."""
    recent: list[int] = []
    for event in reversed(events):
        if _touches(event, focus) and event.cpu not in recent:
            recent.append(event.cpu)
    return sorted(recent[:MAX_LANES]), sorted(recent[MAX_LANES:])


def _touches(event: EventLike, focus: str | None) -> bool:
    if focus is not None:
        return event.obj == focus
    return bool(event.obj) and event.kind not in ("irq-off", "irq-on")


def _rows(events: Sequence[EventLike], focus: str | None, cpus: frozenset[int]) -> list[_Row]:
    rows: list[_Row] = []
    irqs_off: dict[int, bool] = {}
    last_in_lane: dict[int, str] = {}
    last = {event.entity: event for event in events if event.label}
    old = {event.step for event in events if event.kind == "stale"}
    for event in events:
        if event.kind in ("irq-off", "irq-on"):
            irqs_off[event.cpu] = event.kind == "irq-off"
        if event.cpu not in cpus:
            continue
        kept = None if last.get(event.entity) is event and event.obj != focus else focus
        func, what = _describe(event, kept, irqs_off.get(event.cpu, False))
        if not what:
            continue
        if event.step in old and event.obj:
            what = f"{what} (old)"
        if event.kind == "spin" and last_in_lane.get(event.cpu) == what:
            continue  # still spinning: nothing new
        last_in_lane[event.cpu] = what
        previous = rows[-1] if rows else None
        if previous and func and previous.entity == event.entity and previous.func == func:
            if what != previous.parts[-1]:
                previous.parts.append(what)
            elif len(previous.parts) == 1:
                previous.times += 1
            continue
        rows.append(_Row(event.step, event.cpu, event.entity, _who(event), func, [what]))
    return rows


def _describe(event: EventLike, focus: str | None, irqs_off: bool) -> tuple[str, str]:
    """(function to merge under, words); no words for an event that is not shown."""
    if event.kind in _LOCKS:
        tail = " (irqs off)" if irqs_off and event.kind == "lock" else ""
        if event.kind == "trylock" and event.value is not None:
            tail = f" -> {_value(event.value)}"
        elif event.kind == "down" and event.value is False:
            tail = " (queued)"
        name = event.obj if event.obj != focus or not event.label else event.label
        return "", f"{_LOCKS[event.kind]} {name}{tail}"
    if event.kind in ("irq-enter", "irq-exit"):
        # words, not arrows: a serial console and LANG=C have none
        way = "enter" if event.kind == "irq-enter" else "exit"
        return "", f"irq {way} {_who(event)}"
    if event.kind in _MOVES:
        return "", f"{_MOVES[event.kind]} {event.obj or event.label}".rstrip()
    if not _touches(event, focus):
        return "", ""
    name = event.label.removeprefix("flags:") or event.obj
    if focus is None and event.label:
        name = f"{event.obj} {name}"
    return f"{symbol(event.func)}{_own_place(event)}", _effect(event, name)


def _own_place(event: EventLike) -> str:
    """File and line, where the code is the user's."""
    if not event.file or "/mmsim/" in event.file.replace("\\", "/"):
        return ""
    return f" ({PurePath(event.file).name}:{event.line})"


def _effect(event: EventLike, name: str) -> str:
    if event.verb:
        if not isinstance(event.value, bool):
            return f"{event.verb} {name}"
        if event.verb == "trylock":
            return f"{event.verb} {name}: {'taken' if event.value else 'was taken'}"
        return f"{event.verb} {name}: was {_value(event.value)}"
    if event.kind.startswith("rmw"):
        if event.old is None and event.new is None:
            return (
                f"{event.kind} {name}"
                if event.value is None
                else f"{name} -> {_value(event.value)}"
            )
        if event.old == event.new:
            return f"{name} stays {_value(event.new)}"
        return f"{name} {_value(event.old)} -> {_value(event.new)}"
    if "write" in event.kind or "store" in event.kind:
        value = event.new if event.value is None else event.value
        return f"{event.kind} {name}" if value is None else f"{name} = {_value(value)}"
    if event.value is None:
        return f"{event.kind} {name}"
    if "read" in event.kind or "load" in event.kind:
        return f"{name} == {_value(event.value)}"
    return f"{event.kind} {name} {_value(event.value)}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int) and abs(value) > 9999:
        return hex(value)
    return str(value)


def _who(event: EventLike) -> str:
    context = "" if event.context == "task" else f" ({event.context})"
    return f"{event.comm}/{event.pid}{context}"


def _layout(rows: Sequence[_Row], cpus: Sequence[int], total: int) -> list[str]:
    narrow, wide = _LANE_WIDTHS
    width = min(wide, max(narrow, (total - _STEP_WIDTH) // len(cpus)))
    first: dict[int, str] = {}
    for row in rows:
        first.setdefault(row.cpu, row.who)
    head = "".join(f"CPU{cpu} {first.get(cpu, '')}".rstrip().ljust(width) for cpu in cpus)
    lines = [f"{'step':<{_STEP_WIDTH}}{head}".rstrip()]
    now = dict(first)
    for row in rows:
        left = " " * (cpus.index(row.cpu) * width)
        cells = textwrap.wrap(
            row.text(), width - 3, subsequent_indent="    ", break_on_hyphens=False
        )
        if now[row.cpu] != row.who and row.who not in cells[0]:
            lines.append(f"{'':<{_STEP_WIDTH}}{left}[{row.who}]")
        now[row.cpu] = row.who
        lines.append(f"{row.step!s:<{_STEP_WIDTH}}{left}{cells[0]}")
        lines += [f"{'':<{_STEP_WIDTH}}{left}{cell}" for cell in cells[1:]]
    return lines
