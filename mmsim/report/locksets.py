# SPDX-License-Identifier: GPL-2.0-only
"""Which lock protects this field, at this moment?  Field, access, locks held, as a run had them.

For each field that two contexts touched, one of them writing: every way in which it was accessed,
with the locks that the context held, and what all of them have in common.  None in common is no
proof of a race (an atomic operation needs no lock, a reference may keep others away), and one in
common is none of its absence: it is the question to ask next.

The intersection is that of Eraser (Savage et al., 1997), without its states: the first accesses
count like all others, since set-up is over when a run begins.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field

from mmsim.report.story import Step, Story
from mmsim.report.symbols import symbol

WIDTH = 80


@dataclass(frozen=True, order=True)
class Access:
    """One way in which a field was accessed; ``how`` is read, write or atomic."""

    how: str
    func: str
    comm: str
    context: str
    locks: tuple[str, ...]


@dataclass
class Row:
    """A field of an object and the ways in which it was accessed, each with how often."""

    obj: str
    label: str
    ways: dict[Access, int] = field(default_factory=dict)
    contexts: set[int] = field(default_factory=set)
    written: bool = False

    @property
    def common(self) -> tuple[str, ...]:
        """Locks that were held at every access."""
        return _common(self.ways)

    @property
    def of_writers(self) -> tuple[str, ...]:
        """Locks that were held whenever it was written."""
        return _common(way for way in self.ways if way.how != "read")


def _common(ways: Iterable[Access]) -> tuple[str, ...]:
    sets = [set(way.locks) for way in ways]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def lockset_rows(story: Story, *, whole: bool = False) -> list[Row]:
    """The rows, by name; of the page that the finding is about, or of everything if ``whole``.

    Fields that one context alone touched, or that nobody wrote, are left out.
    """
    rows: dict[tuple[str, str], Row] = {}
    focus = "" if whole else story.focus
    held: dict[int, tuple[str, ...]] = {}
    for step in story.steps:
        event = step.event
        before, held[event.entity] = held.get(event.entity, ()), step.locks
        if not step.effect or not event.obj or not _is_data(step):
            continue
        if focus and event.obj != focus and not event.obj.startswith(f"{focus}."):
            continue
        row = rows.setdefault((event.obj, event.label), Row(event.obj, event.label))
        func = step.stack[0].function.symbol if step.stack else symbol(event.func)
        # an access that takes or drops a lock bit is made with those held before it
        way = Access(_how(step), func, event.comm, event.context, before)
        row.ways[way] = row.ways.get(way, 0) + 1
        row.contexts.add(event.entity)
        row.written = row.written or _how(step) != "read"
    return [row for _, row in sorted(rows.items()) if row.written and len(row.contexts) > 1]


def lockset_table(story: Story, *, whole: bool = False) -> str:
    """The rows as text, 80 columns wide where names allow it."""
    rows = lockset_rows(story, whole=whole)
    about = "every object" if whole or not story.focus else story.focus
    if not rows:
        return f"locksets of {about}: no field that two contexts touched and one of them wrote"
    lines = [
        f"Which lock was held at which access? ({about}, in this run)",
        "",
        f"  {'how':<7}{'in':<31}{'by':<22}locks held",
    ]
    naked = 0
    for row in rows:
        lines += ["", f"{row.obj} {row.label}"]
        lines += _ways(sorted(row.ways.items()))
        common, writers = row.common, row.of_writers
        naked += not common
        tail = f" (of who writes: {', '.join(writers)})" if writers and not common else ""
        lines.append(f"  in common: {', '.join(common) if common else 'NONE'}{tail}")
    fields = f"{len(rows)} field{'s' * (len(rows) != 1)}"
    lines += ["", f"{fields}, {naked} without a lock in common"]
    return "\n".join(lines)


def _ways(ways: Iterable[tuple[Access, int]]) -> list[str]:
    lines = []
    for way, times in ways:
        who = way.comm if way.context == "task" else f"{way.comm} ({way.context})"
        again = f" x{times}" if times > 1 else ""
        head = f"  {way.how:<7}{way.func + again:<31}{who:<22}"
        locks = ", ".join(way.locks) or "none"
        if len(head) + len(locks) <= WIDTH:
            lines.append(head + locks)
            continue
        lines.append(head.rstrip())
        lines += textwrap.wrap(
            locks,
            WIDTH,
            initial_indent=" " * 9,
            subsequent_indent=" " * 9,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _is_data(step: Step) -> bool:
    """A word of memory: no lock, no interrupt flag, no task state."""
    kind = step.event.kind
    return kind.startswith(("read", "write", "load", "store", "rmw"))


def _how(step: Step) -> str:
    if step.event.kind.startswith("rmw"):
        return "atomic"
    return "write" if step.event.op.writes else "read"
