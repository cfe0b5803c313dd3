# SPDX-License-Identifier: GPL-2.0-only
"""A story as one HTML file that opens anywhere: no network, no server, nothing beside it.

Style, script and data are in the file (the parts are in ``web/``).  The data are columns with
interned strings, stacks and states, so that some thousand steps stay below a megabyte.  A run that
goes round and round until its budget is spent is shown from its last ``MOST_STEPS`` on.

Whoever has no script sees the report and the columns as text.
"""

from __future__ import annotations

import ast
import html
import inspect
import json
import linecache
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from mmsim import __version__
from mmsim.report.sentence import sentence
from mmsim.report.story import Function, Place, Step, Story, Thing
from mmsim.report.symbols import source_path

MOST_STEPS = 12_000
_MOST_WINDOWS = 500

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Cover:
    """What a page says around the story: plain text, all of it.

    ``report`` is the kernel's report, ``columns`` the text columns for who has no script,
    ``reproduce`` the command that brings the run back.
    """

    variant: str
    summary: str
    title: str
    report: str = ""
    columns: str = ""
    reproduce: str = ""


def page(story: Story, cover: Cover) -> str:
    """The file."""
    return fill(story_data(story), cover)


def fill(
    data: Mapping[str, Any],
    cover: Cover,
    *,
    mode: str = "file",
    script: Sequence[str] = ("view.js",),
    policy: str = POLICY,
) -> str:
    """The template with its parts.  ``mode`` is the body's class."""
    begin = "begin();" if mode == "file" else "play();"
    parts = {
        "version": __version__,
        "policy": html.escape(policy),
        "title": html.escape(f"{cover.variant}: {cover.title}"),
        "style": part("style.css"),
        "mode": mode,
        "variant": html.escape(cover.variant),
        "summary": html.escape(cover.summary),
        "no_report": "" if cover.report else " hidden",
        "report": html.escape(cover.report),
        "reproduce": html.escape(cover.reproduce),
        "columns": html.escape(cover.columns),
        "colophon": f"mmsim {__version__}. A rate, a step and an order here are a simulator's.",
        "story": embedded(data),
        "script": "\n".join([*map(part, script), begin]),
    }
    return _filled("page.html", parts)


@dataclass(frozen=True)
class Entry:
    """A row of an index: what was found, how often, and the file that shows it, "" for none."""

    variant: str
    finding: str
    where: str
    seen: str
    steps: int
    file: str


def index(title: str, entries: Sequence[Entry]) -> str:
    """The page that lists others beside it."""
    rows = []
    for entry in entries:
        name = html.escape(entry.finding)
        link = f'<a href="{html.escape(entry.file)}">{name}</a>' if entry.file else name
        cells = (html.escape(entry.variant), link, f"<code>{html.escape(entry.where)}</code>")
        row = "".join(f"<td>{cell}</td>" for cell in (*cells, entry.seen, entry.steps))
        rows.append(f"<tr>{row}</tr>")
    parts = {
        "policy": html.escape("default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
        "title": html.escape(title),
        "style": part("style.css"),
        "rows": "\n".join(rows),
        "colophon": f"mmsim {__version__}",
    }
    return _filled("index.html", parts)


def _filled(template: str, parts: Mapping[str, str]) -> str:
    head, *rest = part(template).split("{{")
    pieces = [head]
    for piece in rest:
        name, _, tail = piece.partition("}}")
        pieces += [parts[name], tail]
    return "".join(pieces)


@cache
def part(name: str) -> str:
    """One of the files in ``web/``."""
    return (resources.files("mmsim.report") / "web" / name).read_text(encoding="utf-8")


def embedded(data: Mapping[str, Any]) -> str:
    """JSON that can stand inside a script element, whatever is in it."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


class _Pool:
    """Values told by their place in a list, each once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._index: dict[Hashable, int] = {}

    def __call__(self, key: Hashable, value: Any = None) -> int:
        place = self._index.get(key)
        if place is None:
            place = self._index[key] = len(self.values)
            self.values.append(key if value is None else value)
        return place


@dataclass
class _Pools:
    functions: _Pool = field(default_factory=_Pool)
    places: _Pool = field(default_factory=_Pool)
    stacks: _Pool = field(default_factory=_Pool)
    strings: _Pool = field(default_factory=_Pool)
    kinds: _Pool = field(default_factory=_Pool)
    locksets: _Pool = field(default_factory=_Pool)
    states: _Pool = field(default_factory=_Pool)

    def stack(self, step: Sequence[Place]) -> int:
        """A stack of places."""
        places = [
            self.places(
                (place.function, place.line),
                [self.functions(place.function, _function(place.function)), place.line],
            )
            for place in step
        ]
        return self.stacks(tuple(places), places)

    def state(self, thing: Thing) -> int:
        """A state of a thing, without its name."""
        key = (thing.flags, thing.fields, thing.lists, thing.state)
        return self.states(
            key,
            {
                "flags": thing.flags,
                "fields": thing.fields,
                "lists": thing.lists,
                "state": thing.state,
            },
        )


def story_data(
    story: Story, *, extra: Mapping[int, Sequence[Place]] | None = None
) -> dict[str, Any]:
    """The story as plain data for the script.

    ``extra`` are further stacks by context id (where each stands now); they come back as places
    under ``standing``, by the context's place in ``contexts``.
    """
    pools = _Pools()
    cut = max(0, len(story.steps) - MOST_STEPS)
    steps = story.steps[cut:]
    number = {who.id: place for place, who in enumerate(story.contexts)}
    things = {thing.name: place for place, thing in enumerate(story.first)}
    now = {thing.name: thing for thing in story.first}
    for step in story.steps[:cut]:
        now.update((thing.name, thing) for thing in step.changed)
    first = [pools.state(now[thing.name]) for thing in story.first]
    changes = {
        here: [[things[thing.name], pools.state(thing)] for thing in step.changed]
        for here, step in enumerate(steps, 1)
        if step.changed
    }
    columns = {
        "n": [step.number for step in steps],
        "ctx": [number[step.event.entity] for step in steps],
        "kind": [pools.kinds(step.event.kind) for step in steps],
        "obj": [things.get(step.event.obj, -1) for step in steps],
        "stack": [pools.stack(step.stack) for step in steps],
        "text": [pools.strings(sentence(step).replace(" -> ", " → ")) for step in steps],
        "locks": [pools.locksets(step.locks, list(step.locks)) for step in steps],
        "off": [int(step.irqs_off) for step in steps],
    }
    focus = things.get(story.focus, -1)
    return {
        "cpus": story.cpus,
        "cut": cut,
        "contexts": [
            {"id": w.id, "comm": w.comm, "pid": w.pid, "cpu": w.cpu, "kind": w.kind}
            for w in story.contexts
        ],
        "steps": columns,
        "changes": changes,
        "things": [
            {"name": thing.name, "page": thing.page, "first": state}
            for thing, state in zip(story.first, first, strict=True)
        ],
        "focus": focus,
        "focusThing": focus,
        "pinned": pinned(story),
        "findings": [
            {"title": f.title, "fingerprint": f.fingerprint, "at": _at(steps, f.step)}
            for f in story.findings
        ],
        "windows": [
            {
                "who": number[w.who],
                "opened": w.opened + 1 - cut,
                "closed": w.closed + 1 - cut,
                "inside": [i + 1 - cut for i in w.inside][:50],
                "function": w.function,
                "race": w.race,
            }
            for w in story.windows
            if w.opened >= cut
        ][-_MOST_WINDOWS:],
        "standing": {
            str(number[id]): pools.stacks.values[pools.stack(stack)]
            for id, stack in (extra or {}).items()
        },
        "functions": pools.functions.values,
        "places": pools.places.values,
        "stacks": pools.stacks.values,
        "strings": pools.strings.values,
        "kinds": pools.kinds.values,
        "locksets": pools.locksets.values,
        "thingStates": pools.states.values,
    }


def pinned(story: Story) -> list[int]:
    """CPUs by how lately they touched the page that the finding is about."""
    recent: list[int] = []
    for step in reversed(story.steps):
        event = step.event
        if (event.obj == story.focus or not story.focus) and event.cpu not in recent:
            recent.append(event.cpu)
    return recent


def _at(steps: Sequence[Step], number: int) -> int:
    """The index, from 1, of the last step that is not after effect ``number``."""
    for here in range(len(steps), 0, -1):
        if steps[here - 1].number <= number:
            return here
    return 0


@cache
def _function(function: Function) -> dict[str, Any]:
    """A function with its text; what cannot be read is shown as its name."""
    lines = linecache.getlines(function.path)[function.first - 1 :]
    try:
        code = "".join(inspect.getblock(lines)).rstrip("\n")
    except (IndentationError, SyntaxError, IndexError):
        code = ""
    head = next((n for n, row in enumerate(code.split("\n")) if row.lstrip()[:4] == "def "), 0)
    data: dict[str, Any] = {
        "symbol": function.symbol,
        "source": function.source,
        "path": source_path(function.path),
        "first": function.first,
        "def": function.first + head,
        "code": code or f"{function.name}()",
    }
    doc = _docstring(code)
    if doc:
        data["doc"] = [function.first + doc[0] - 1, function.first + doc[1] - 1]
    return data


def _docstring(code: str) -> tuple[int, int] | None:
    """First and last line of a function's docstring, from 1."""
    try:
        node = ast.parse(inspect.cleandoc(code)).body[0]
    except (SyntaxError, IndexError):
        return None
    if not isinstance(node, ast.FunctionDef) or not node.body:
        return None
    first = node.body[0]
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        return None
    if not isinstance(first.value.value, str) or first.end_lineno is None:
        return None
    return first.lineno, first.end_lineno
