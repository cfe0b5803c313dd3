# SPDX-License-Identifier: GPL-2.0-only
"""C structs whose shared fields look like fields and are points all the same.

    class page(Struct):
        mapping = shared(None)

``page.mapping`` is a plain load and ``page.mapping = x`` a plain store, each behind a point: no
access can forget it.  ``page.v_mapping`` is the value without a point; it is for effects, for
set-up before the first context runs, and for checks after the last one, never for kernel code.

Defaults live on the class, so creating an object costs nothing per field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmsim.engine.door import door
from mmsim.engine.op import READ, WRITE, Op, Ops

__mmsim_primitive__ = True  # instruments attribute its accesses to the caller

_new = object.__new__


class shared:
    """Marks a shared field; ``default`` must be immutable, ``leads`` is :class:`Op`'s."""

    def __init__(self, default: Any = 0, leads: Callable[[Any], Any] | None = None) -> None:
        self.default = default
        self.leads = leads


class Layout:
    """A struct with shared fields that is told by its owner or its number (list nodes, pages).

    ``name`` is what events and reports call the object.  Making one costs no more than any object
    does: most of what is booted is of this kind.
    """

    name: Any = ""
    known_as = -1  # the number that a search has given it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for field, mark in list(vars(cls).items()):
            if isinstance(mark, shared):
                setattr(cls, "v_" + field, mark.default)
                setattr(cls, field, _accessors(field, mark.leads))

    def identity(self) -> Any:
        """Hashable, and the same for the same object in every schedule."""
        raise NotImplementedError

    @property
    def whole(self) -> Any:
        """The struct that it is a part of (container_of): who has led to the one, to the other."""
        return self


class Struct(Layout):
    """Base of all other simulated structs.

    ``birth`` says who made it and which of its maker's objects it is: a number for what was made at
    boot, (context, number) for what a context made.  It does not depend on the schedule, so that
    the same object can be told in two runs.
    """

    birth: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = _new(cls)
        self.birth = door.born()
        return self

    def identity(self) -> Any:
        return self.birth


class Array(dict[int, Any]):
    """An array of structs, of which each is made when it is first looked at: most never are.

    What ``make(index)`` makes has to be told by its place, since nobody knows who looks first.
    Raises IndexError outside of it.
    """

    def __init__(self, size: int, make: Callable[[int], Layout]) -> None:
        super().__init__()
        self._size = size
        self._make = make

    def __missing__(self, index: int) -> Any:
        if not 0 <= index < self._size:
            raise IndexError(f"[{index}] of an array of {self._size}")
        return self.setdefault(index, self._make(index))


def identity(obj: Any) -> Any:
    """The identity of whatever an operation can be done to: a struct, a context, a CPU, nothing."""
    if isinstance(obj, Layout):
        return obj.identity()
    return None if obj is None else (type(obj).__name__, getattr(obj, "id", None))


# Text, because the interpreter reads and stores an attribute that the code names faster than
# getattr() and setattr() do one that is given by a string.  ``slow`` is a local variable because
# CPython 3.11 calls one faster than an attribute that holds a function.
_FIELD = """\
def load(obj):
    return obj.RAW

def store(obj, value):
    obj.RAW = value

def get(obj):
    left = door.left = door.left - 1
    if left < 0:
        slow = door.slow
        return slow(reads, obj, load, obj)
    return obj.RAW

def put(obj, value):
    left = door.left = door.left - 1
    if left < 0:
        slow = door.slow
        slow(writes, obj, store, obj, value)
    else:
        obj.RAW = value
"""

_IN_LINE = """\
def effect(obj, raw, arg):
    EFFECT

def perform(obj, arg=DEFAULT):
    left = door.left = door.left - 1
    if left < 0:
        slow = door.slow
        return slow(op, obj, effect, obj, raw, arg)
    EFFECT
"""


def _accessors(field: str, leads: Callable[[Any], Any] | None) -> property:
    """Point, then effect."""
    reads, writes = Op(READ, field, leads=leads), Op(WRITE, field)
    made = compiled(_FIELD, reads.raw, reads=reads, writes=writes)
    return property(made["get"], made["put"], doc=f"shared field ``{field}``")


def in_line(op: Op, effect: str, default: Any = None) -> Callable[..., Any]:
    """``perform(obj, arg)``: pass a point and perform ``effect``, statements on ``obj.RAW``.

    ``RAW`` stands for the attribute of the operation's one word.
    """
    text = _IN_LINE.replace("EFFECT", effect.strip())
    perform: Callable[..., Any] = compiled(text, op.raw, op=op, DEFAULT=default)[
        "perform"
    ]
    return perform


class InLine(dict[str, Callable[..., Any]]):
    """The same of one primitive, for each field when it is first named."""

    def __init__(self, ops: Ops, effect: str) -> None:
        super().__init__()
        self._ops = ops
        self._effect = effect

    def __missing__(self, field: str) -> Callable[..., Any]:
        self[field] = perform = in_line(self._ops[field], self._effect)
        return perform


def compiled(text: str, raw: str, **names: Any) -> dict[str, Any]:
    """The globals of a primitive's code, where RAW is the attribute ``raw``."""
    made = {"door": door, "raw": raw, "__name__": __name__, "__mmsim_primitive__": True, **names}
    exec(text.replace("RAW", raw), made)
    return made
