# SPDX-License-Identifier: GPL-2.0-only
"""A listener that makes the story of a run (story.py).

This is the one file of the package that meets a machine.  It looks at live objects, between two
effects and without a point, and keeps values.  What runs between two effects of a context happens
at once after the first of them; so the state that belongs to a step is the state before the next.

Pages are known from the machine's mem_map, other structs when they are first touched.  On which
list a page is, is found by walking from the heads: a node's own pointers are the last to know.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import CodeType, FrameType
from typing import Any

from mmsim.detect.finding import Finding
from mmsim.engine.context import Context
from mmsim.engine.door import door
from mmsim.engine.events import Event, plain, printable
from mmsim.engine.instruments import EXIT, IRQ_ENTER, IRQ_EXIT, STALE, Instrument
from mmsim.engine.op import LOCK, Op, footprint
from mmsim.model.cite import file_of, symbol_of
from mmsim.report.story import SPIN, Function, Place, Step, Story, Thing, Who

MOST_OTHERS = 200  # structs that are no pages: a run may make them without end
LONGEST_LIST = 4_000  # nodes: a list that a race has bent may lead in a circle
_COUNTS = ("count", "_refcount")
_RACE = re.compile(r"\*Race:\*\s*(.+?)(?:\n\s*\n|\Z)", re.DOTALL)
_NO_RACE = ("none", "nobody")
_NAMELESS = frozenset({"macro", "operation", "call", "get", "put", "read", "write"})  # closures
_HOST = ("mmsim.engine.", "mmsim.run", "mmsim.play.", "mmsim.report.", "threading")
# By id() and not by code: two files may have equal code.  Each entry keeps its code alive.
_functions: dict[int, tuple[CodeType, Function]] = {}


def function_of(code: CodeType) -> Function:
    """The function that ``code`` belongs to."""
    known = _functions.get(id(code))
    if known is None:
        doc = code.co_consts[0] if code.co_consts and isinstance(code.co_consts[0], str) else ""
        found = _RACE.search(doc)
        race = " ".join(found[1].split()) if found else ""
        function = Function(
            code.co_name,
            symbol_of(code),
            file_of(code),
            code.co_filename,
            code.co_firstlineno,
            "" if race.lower().startswith(_NO_RACE) else race,
        )
        known = _functions[id(code)] = (code, function)
    return known[1]


_kinds: dict[int, tuple[str, Function | None, CodeType]] = {}


def _kind(frame: FrameType) -> tuple[str, Function | None, CodeType]:
    """What a frame is: "host", "primitive", "nameless" or "kernel"."""
    code = frame.f_code
    names = frame.f_globals
    if str(names.get("__name__", "")).startswith(_HOST):
        kind: tuple[str, Function | None, CodeType] = ("host", None, code)
    elif names.get("__mmsim_primitive__"):
        kind = ("primitive", None, code)
    else:  # conditions of assertions and comprehensions have no frame in C
        kind = ("nameless" if code.co_name[0] == "<" else "kernel", function_of(code), code)
    _kinds[id(code)] = kind
    return kind


def stack_of(frame: FrameType | None) -> tuple[str, Place | None, tuple[Place, ...]]:
    """Of one context's Python frames: the outermost primitive, the accessor, the kernel's stack."""
    call = ""
    accessor: Place | None = None
    places: list[Place] = []
    while frame is not None:
        code = frame.f_code
        what, function, _ = _kinds.get(id(code)) or _kind(frame)
        if function is not None:
            place = Place(function, frame.f_lineno)
            accessor = accessor or place
            if what == "kernel":
                places.append(place)
        elif what == "primitive":
            if accessor is None:
                call = code.co_name
        elif accessor is not None:
            break
        frame = frame.f_back
    return "" if call in _NAMELESS else call, accessor, tuple(places)


_Where = tuple[str, Place | None, tuple[Place, ...]]
_NOWHERE: _Where = ("", None, ())
_SPINS = Op(SPIN, label="locked")
_MARKS = {what: Op(what) for what in (IRQ_ENTER, IRQ_EXIT, EXIT, STALE)}


def chunks_of(frame: FrameType | None) -> Iterator[tuple[Place, ...]]:
    """The kernel's stacks on one Python stack, the innermost first: interrupts, then a task."""
    places: list[Place] = []
    while frame is not None:
        what, function, _ = _kinds.get(id(frame.f_code)) or _kind(frame)
        if what == "kernel" and function is not None:
            places.append(Place(function, frame.f_lineno))
        elif what == "host" and places:
            yield tuple(places)
            places = []
        frame = frame.f_back
    if places:
        yield tuple(places)


class Recorder(Instrument):
    """Listens to one run; ``story()`` is what it heard so far."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._first: dict[int, Thing] = {}  # by id(): the objects live as long as the machine
        self._now: dict[int, Thing] = {}
        self._objects: dict[int, Any] = {}
        self._names: dict[str, int] = {}
        self._heads: dict[int, Any] = {}
        self._on: dict[int, tuple[str, ...]] = {}
        self._relink = False
        self._touched: list[Any] = []
        self._before: tuple[_Where, Any] = (_NOWHERE, None)
        self._page_locks: dict[int, list[str]] = {}
        self._contexts: list[Context] = []
        self._others = 0
        self._cpus = 0

    # -- what an instrument is told ---------------------------------------------------------------

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        if not self._cpus:
            self._look_round()
        self._settle()
        where = stack_of(sys._getframe(1))
        if op.kind is LOCK and obj.locked:
            owner = obj.owner
            other = "" if owner is None else str(who_is(owner))
            self._tell(ctx, step - 1, _SPINS, obj, None, (None, None), where, other)
            return
        self._meet(obj)
        if op.also is not None:
            touched = footprint((op, obj, args))
            for thing, _ in touched:
                self._meet(thing)
            self._touched = [thing for thing, done in touched if done.writes]
        elif op.writes:
            self._touched = [obj]
        self._before = (where, _word(op, obj))

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        where, old = self._before
        if op.label == "flags:locked":
            self._page_lock(ctx, op, obj, value)
        if op.writes and hasattr(obj, "own_name"):
            self._relink = True
        other = str(who_is(obj)) if isinstance(obj, Context) else ""
        self._tell(ctx, step, op, obj, plain(value), (old, _word(op, obj)), where, other)

    def mark(self, ctx: Context, step: int, what: str, value: str) -> None:
        if not self._cpus:
            self._look_round()
        if what != STALE:  # that comes in the middle of a step
            self._settle()
        self._tell(ctx, step, _MARKS[what], None, value, (None, None), _NOWHERE)

    # -- the story --------------------------------------------------------------------------------

    def story(self, findings: Iterable[Finding] = ()) -> Story:
        """What was heard; call it when the machine is at rest, or at a point."""
        self._touched = list(self._objects.values())
        self._settle()
        return Story(
            self._cpus,
            tuple(who_is(ctx) for ctx in self._contexts),
            tuple(self._first.values()),
            tuple(self._steps),
            tuple(findings),
        )

    def look(self) -> None:
        """Look round before anything has happened."""
        if not self._cpus:
            self._look_round()

    @property
    def things(self) -> tuple[Thing, ...]:
        """The state of everything now."""
        return tuple(self._now.values())

    # -- how --------------------------------------------------------------------------------------

    def _tell(
        self,
        ctx: Context,
        number: int,
        op: Op,
        obj: Any,
        value: Any,
        words: tuple[Any, Any],
        where: _Where,
        other: str = "",
    ) -> None:
        call, at, stack = where
        func, path, line = (
            ("", "", 0) if at is None else (at.function.name, at.function.path, at.line)
        )
        event = Event(
            number,
            ctx.id,
            ctx.comm,
            ctx.pid,
            ctx.cpu.id,
            ctx.kind,
            op,
            printable(obj),
            value,
            *words,
            func,
            path,
            line,
        )
        locks = tuple([lock.name for lock in ctx.locks])
        if self._page_locks:
            more = self._page_locks.get(ctx.id, ())
            locks = (*locks, *(name for name in more if name not in locks))
        cpu = ctx.cpu
        depth = ctx.preempt_count + cpu.bh_off + len(cpu.stack)
        self._steps.append(Step(event, stack, call, locks, cpu.irqs_off, (), other, depth))

    def _look_round(self) -> None:
        machine = door.machine
        self._cpus = len(machine.cpus)
        self._contexts = machine.contexts
        for page in getattr(machine.vm, "mem_map", None) or ():
            for name in ("lru", "list"):
                node = vars(page).get(name)
                for _ in range(LONGEST_LIST):
                    if not hasattr(node, "own_name") or node.owner is None:
                        break
                    node = node.v_next
                if hasattr(node, "own_name"):  # poison has none, and must not be followed
                    self._heads[id(node)] = node
        self._walk()
        for page in getattr(machine.vm, "mem_map", None) or ():
            self._meet(page)

    def _meet(self, obj: Any) -> None:
        """Know an object from now on."""
        if hasattr(obj, "own_name"):
            if obj.owner is None:
                self._heads.setdefault(id(obj), obj)
                return
            obj = obj.owner
        key = id(obj)
        if key in self._objects or not _shared_fields(obj):
            return
        if not hasattr(obj, "pfn"):
            if self._others == MOST_OTHERS:
                return
            self._others += 1
        name = printable(obj)
        again = self._names.get(name, 0)
        self._names[name] = again + 1
        self._objects[id(obj)] = obj
        thing = self._thing(obj, name if not again else f"{name}#{again + 1}")
        self._first[id(obj)] = self._now[id(obj)] = thing

    def _settle(self) -> None:
        """The last step is over: what did it change?"""
        if not self._touched:
            return
        touched = {id(_whole(obj)): None for obj in self._touched}
        if self._relink:
            self._relink = False
            was = self._on
            self._walk()
            touched.update(
                (key, None) for key in {*was, *self._on} if was.get(key) != self._on.get(key)
            )
        self._touched = []
        changed = []
        for key in touched:
            obj = self._objects.get(key)
            if obj is None:
                continue
            thing = self._thing(obj, self._now[key].name)
            if thing != self._now[key]:
                self._now[key] = thing
                changed.append(thing)
        if changed and self._steps:
            last = self._steps[-1]
            self._steps[-1] = replace(last, changed=(*last.changed, *changed))

    def _walk(self) -> None:
        """Which objects are reached from which heads.

        A head on the stack of a function that has returned leads into the list that its pages have
        gone to.  So of several heads only those count whose first node points back; a list that is
        reached from one alone counts whatever a race has made of its links.
        """
        on: dict[int, dict[str, bool]] = {}
        for head in self._heads.values():
            node = head.v_next
            sound = getattr(node, "v_prev", None) is head
            for _ in range(LONGEST_LIST):
                owner = node.owner if hasattr(node, "own_name") else None
                if owner is None:
                    break
                on.setdefault(id(owner), {})[head.name] = sound
                node = node.v_next
        self._on = {
            key: tuple(name for name in names if names[name] or not any(names.values()))
            for key, names in on.items()
        }

    def _thing(self, obj: Any, name: str) -> Thing:
        lists = self._on.get(id(obj), ())
        if not hasattr(obj, "pfn"):
            fields = tuple((f, _short(getattr(obj, f"v_{f}"))) for f in _shared_fields(obj))
            return Thing(name, False, (), fields, lists, "")
        count = next(f for f in _COUNTS if hasattr(obj, f"v_{f}"))
        fields = ((count.lstrip("_") or count, str(getattr(obj, f"v_{count}"))),)
        mapcount = getattr(obj, "v__mapcount", None)
        if mapcount is not None:
            fields += (("mapcount", str(mapcount + 1)),)
        if obj.v_mapping is not None:
            fields += (("mapping", _short(obj.v_mapping)),)
        free = getattr(obj, "freed", False) or getattr(obj, "state", "") in ("free", "pcp")
        return Thing(name, True, _flags(obj), fields, lists, "free" if free else "")

    def _page_lock(self, ctx: Context, op: Op, obj: Any, value: Any) -> None:
        """2.4 keeps no record of who has locked a page: the bit's history is one."""
        name = f"PG_locked#{printable(obj)}"
        if op.verb == "test_and_set" and value is False:
            self._page_locks.setdefault(ctx.id, []).append(name)
        elif op.verb in ("clear", "test_and_clear"):
            for held in self._page_locks.values():
                if name in held:
                    held.remove(name)


def who_is(ctx: Context) -> Who:
    """A context as a value."""
    return Who(ctx.id, ctx.comm, ctx.pid, ctx.cpu.id, ctx.kind)


def _whole(obj: Any) -> Any:
    """The struct that a list node is embedded in; of all else, itself."""
    return obj.owner if hasattr(obj, "own_name") and obj.owner is not None else obj


def _word(op: Op, obj: Any) -> Any:
    return plain(getattr(obj, op.raw, None)) if len(op.words) == 1 else None


_shared: dict[type, tuple[str, ...]] = {}


def _shared_fields(obj: Any) -> tuple[str, ...]:
    """The names of a struct's shared fields; none of what is no struct."""
    kind = type(obj)
    known = _shared.get(kind)
    if known is None:
        names = dict.fromkeys(
            name[2:]
            for base in reversed(kind.__mro__)
            for name in vars(base)
            if name.startswith("v_")
            and isinstance(vars(kind).get(name[2:], getattr(kind, name[2:], None)), property)
        )
        known = _shared[kind] = tuple(names)
    return known


def _short(value: Any) -> str:
    text = str(plain(value))
    return text if len(text) <= 40 else f"{text[:39]}…"


def _flags(page: Any) -> tuple[str, ...]:
    names = getattr(page, "flag_names", None)
    if names is not None:
        return tuple(names())
    known = sys.modules[type(page).__module__].__dict__.get("FLAG_NAMES", {})
    return tuple(name for bit, name in known.items() if page.v_flags >> bit & 1)
