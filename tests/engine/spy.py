# SPDX-License-Identifier: GPL-2.0-only
"""A spy that sees what an effect really touches, and says what of it no operation declares.

While an effect runs, and only then, every attribute that is read from or stored into an object of
kernel code, a context, a CPU, a clock or a machine is written down.  A list or dict counts as read
when it is fetched and as written when it has other contents afterwards; so does a word of bits,
of which those that changed are told by name.

``STORAGE`` says where a word lives whose value is not in ``v_<word>``.  ``BOOKS`` lists what
effects touch and no operation declares, each with the reason why it cannot matter.  Which bits of a
word an effect looks at cannot be seen from outside; that such steps commute is tested beside it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmsim.engine.clock import Clock
from mmsim.engine.context import Context, Cpu
from mmsim.engine.instruments import Instrument
from mmsim.engine.machine import Machine
from mmsim.engine.op import ALL, LOCK, RAISE, Bits, Op, footprint
from mmsim.model.struct import Layout

# (class, word) -> the attributes that hold it; a class stands for its subclasses, too
STORAGE = {
    ("spinlock", "locked"): ("locked",),
    ("rw_semaphore", "sem"): ("owner", "readers", "waiters"),
    ("Context", "state"): ("state", "task_state"),
    ("Context", "line"): ("armed", "again", "state"),
    ("Cpu", "irqs"): ("irqs_off",),
    ("Cpu", "bh"): ("bh_off",),
    ("Machine", "contexts"): ("contexts",),
    ("page", "owner"): ("state", "order", "history"),
    ("page", "ledger"): ("freed", "fresh", "history"),
    ("address_space", "i_pages"): ("slots",),
    ("address_space", "marks"): ("marks",),
}

# Nothing that kernel code decides depends on these.  (class, attribute) -> why it cannot matter;
# with the kind of an operation before them, where that alone is meant
BOOKS: dict[tuple[str, ...], str] = {
    ("spinlock", "owner"): "who holds the lock, for reports; changes with the word `locked`",
    ("spinlock", "owner_cpu"): "the same",
    ("spinlock", "spinners"): "how many spin for it: tells the engine whom to look at again",
    ("Context", "locks"): "what it holds, for reports on deadlocks; a set as far as they go",
    ("Context", "blocked_on"): "what it sleeps for, for the same reports",
    ("Context", "timeout"): "its timer; read when nobody can run, and changes with `state`",
    ("Context", "pending"): "the engine's: what it does when it goes on, here START",
    ("page", "lock_owner"): "who holds the page lock, for reports; changes with the bit `locked`",
    ("page", "lock_object"): "the page lock as something to wait for; made once, always the same",
    ("Cpu", "lines"): "what is still to be delivered; raising a line conflicts in the word `line`",
    ("Cpu", "tasks"): "who could run; two forks conflict in the word `contexts`",
    (RAISE, "Cpu", "host"): "the Python stack that the engine lends an idle CPU for its handler",
    (RAISE, "Cpu", "stack"): "read to see whether the CPU is idle and needs one",
    (RAISE, "Cpu", "curr"): "the same",
    ("Clock", "_timers"): "a heap by time and context: the same whoever armed first",
    ("Clock", "now"): "moves only when nobody can run",
}

# Set when an object is made and never again, so reading them tells nothing
CONSTANT = {
    "Context": {"id", "kind", "cpu", "comm", "pid", "fn", "args"},
    "Cpu": {"id"},
    "Machine": {"cpus", "clock", "vm", "preempt", "smp", "era", "gates", "config", "boot"},
    "Struct": {"birth"},
    "page": {"pfn", "node", "name", "lru", "PG", "PAGE_FLAGS_CHECK_AT_PREP"},
    "spinlock": {"name"},
    "rw_semaphore": {"name"},
    "kernel_mm": {"mem_map"},
}

BY_BIT = ("v_flags", "v_page_ext")
"""Words of bits.  Those of a page_ext have no names, and are told by their numbers."""

_NOT_KERNEL = ("engine", "detect", "report", "stress", "cli", "claims", "ablation", "run", "errors")


def spied_classes() -> list[type]:
    """Every class of kernel code that has instances to hang state on, topmost ones only."""
    found: list[type] = [Context, Cpu, Clock, Machine]
    for name, module in sorted(sys.modules.items()):
        part = name.split(".")
        if part[0] != "mmsim" or len(part) < 2 or part[1] in _NOT_KERNEL:
            continue
        if part[1:] in (["model", "era"], ["model", "gate"], ["model", "cite"]):
            continue  # versions and patches: nothing a run changes
        for thing in vars(module).values():
            if (
                isinstance(thing, type)
                and thing.__module__ == name
                and thing.__bases__ == (object,)
                and "__slots__" not in vars(thing)
                and "__dataclass_fields__" not in vars(thing)
                and thing not in found
            ):
                found.append(thing)
    return found


class Spy(Instrument):
    """``undeclared`` counts what it saw: (operation, class, attribute, "reads" or "writes")."""

    def __init__(self) -> None:
        self.undeclared: Counter[tuple[str, str, str, str]] = Counter()
        self.books: Counter[tuple[str, ...]] = Counter()
        self.effects = 0
        self.touches = 0
        self._on = False

    # -- as an instrument ---------------------------------------------------------------------

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        if op.kind is LOCK and getattr(obj, "locked", False):
            return  # an attempt that fails is no step, and nobody is told when it is over
        self._op = op
        self._read: dict[tuple[int, str], tuple[Any, Any]] = {}
        self._written: dict[tuple[int, str], tuple[Any, Any]] = {}
        self._made: dict[int, Any] = {}  # by this effect: nobody else knows them
        self._allowed = list(_locations(footprint((op, obj, args))))
        self._on = True

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        if not self._on:
            return
        self._on = False
        self.effects += 1
        for (_, attribute), (owner, copy) in self._read.items():
            self._judge(owner, attribute, "reads")
            if isinstance(copy, list | dict) and copy != object.__getattribute__(owner, attribute):
                self._written.setdefault((id(owner), attribute), (owner, copy))
        for (_, attribute), (owner, before) in self._written.items():
            now = object.__getattribute__(owner, attribute)
            self._judge(owner, attribute, "writes", _changed(owner, attribute, before, now))

    # -- as a spy -----------------------------------------------------------------------------

    def reads(self, owner: Any, attribute: str, value: Any) -> None:
        if not self._on or callable(value) or _constant(owner, attribute):
            return
        key = (id(owner), attribute)
        if key not in self._written and key not in self._read:
            copy = value.copy() if isinstance(value, list | dict) else None
            self._read[key] = (owner, copy)

    def writes(self, owner: Any, attribute: str) -> None:
        if self._on and (id(owner), attribute) not in self._written:
            held = object.__getattribute__(owner, "__dict__")
            if attribute == "birth" if isinstance(owner, Layout) else not held:
                self._made[id(owner)] = owner
            before = held.get(attribute, getattr(type(owner), attribute, None))
            self._written[id(owner), attribute] = (owner, before)

    def _judge(self, owner: Any, attribute: str, how: str, bits: Bits = ALL) -> None:
        if id(owner) in self._made:
            return
        self.touches += 1
        for declared, place, reads, writes in self._allowed:
            if declared is owner and place == attribute:
                may = reads if how == "reads" else writes
                if may is ALL or (how == "reads" and may) or (bits is not ALL and bits <= may):
                    return
        for kind in type(owner).__mro__:
            for known in ((kind.__name__, attribute), (self._op.kind, kind.__name__, attribute)):
                if known in BOOKS:
                    self.books[known] += 1
                    return
        what = attribute if bits is ALL else f"{attribute}:{'+'.join(sorted(bits))}"
        self.undeclared[repr(self._op), type(owner).__name__, what, how] += 1

    @contextmanager
    def at_work(self) -> Iterator[Spy]:
        """The classes are watched meanwhile."""
        classes = spied_classes()
        saved = [
            {n: vars(c)[n] for n in ("__getattribute__", "__setattr__") if n in vars(c)}
            for c in classes
        ]
        reads, writes = self.reads, self.writes

        def get(owner: Any, attribute: str) -> Any:
            value = object.__getattribute__(owner, attribute)
            if self._on and attribute[:2] != "__":
                reads(owner, attribute, value)
            return value

        def put(owner: Any, attribute: str, value: Any) -> None:
            if self._on and not isinstance(getattr(type(owner), attribute, None), property):
                writes(owner, attribute)
            object.__setattr__(owner, attribute, value)

        for c in classes:
            c.__getattribute__ = get  # type: ignore[method-assign]
            c.__setattr__ = put  # type: ignore[method-assign,assignment]
        try:
            yield self
        finally:
            for c, had in zip(classes, saved, strict=True):
                for n in ("__getattribute__", "__setattr__"):
                    if n in had:
                        setattr(c, n, had[n])
                    else:
                        delattr(c, n)


def _locations(touched: list[tuple[Any, Op]]) -> Iterator[tuple[Any, str, Bits, Bits]]:
    for obj, op in touched:
        for word in op.words:
            for place in _places(obj, word):
                yield obj, place, op.reads, op.writes


def _places(obj: Any, word: str) -> tuple[str, ...]:
    for kind in type(obj).__mro__:
        found = STORAGE.get((kind.__name__, word))
        if found is not None:
            return found
    return (f"v_{word}",)


def _constant(owner: Any, attribute: str) -> bool:
    if attribute[:2] == "m_":  # a flag's mask
        return True
    mro: tuple[type, ...] = type(owner).__mro__
    if any(attribute in CONSTANT.get(kind.__name__, ()) for kind in mro):
        return True
    return isinstance(getattr(type(owner), attribute, None), property)


def _changed(owner: Any, attribute: str, before: Any, now: Any) -> Bits:
    """Names of the bits that differ, of a word of bits or a mapping's slots; else ALL or NONE."""
    if isinstance(before, dict):
        keys = before.keys() | now.keys()
        return frozenset(str(k) for k in keys if before.get(k) is not now.get(k))
    if attribute in BY_BIT and isinstance(now, int) and isinstance(before, int):
        changed = before ^ now
        names = {}
        if attribute == "v_flags":
            names = {bit: name for name, bit in getattr(type(owner), "PG", {}).items()}
            names = names or vars(sys.modules[type(owner).__module__]).get("FLAG_NAMES", {})
        return frozenset(names.get(b, str(b)) for b in range(64) if changed >> b & 1)
    return ALL
