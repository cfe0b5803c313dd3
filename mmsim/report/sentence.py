# SPDX-License-Identifier: GPL-2.0-only
"""A step in plain words: "CPU1 kswapd sees count 0 on page 0x11".

Only what the step's event says is said, and never what follows from it: that a read came too early
is for the reader to see.
"""

from __future__ import annotations

from typing import Any

from mmsim.engine.events import Event, printable
from mmsim.engine.op import READS, WRITES, Op
from mmsim.report.story import SPIN, Step

_PLAIN = {
    "irq-off": "turns interrupts off",
    "irq-on": "turns interrupts on",
    "bh-off": "turns softirqs off",
    "bh-on": "turns softirqs on",
    "sleep": "goes to sleep, unless it was woken meanwhile",
    "cond_resched": "offers its CPU to others",
    "smp_mb": "passes a full memory barrier",
    "smp_rmb": "passes a read barrier",
    "smp_wmb": "passes a write barrier",
    "irq-exit": "returns from its interrupt",
}
_COUNTS = {"count": "reference", "_refcount": "reference", "_mapcount": "mapping"}


def sentence(step: Step) -> str:
    """One sentence, without a full stop."""
    event = step.event
    where = "" if event.context == "task" else f" ({event.context})"
    what = _predicate(step)
    freed = [page_name(thing.name) for thing in step.changed if thing.state == "free"]
    tail = f"; {', '.join(freed)} is free now" if freed and _frees(event) else ""
    return f"CPU{event.cpu} {event.comm}{where} {what}{tail}"


_INTENDS = {
    "irq-off": "turn interrupts off",
    "irq-on": "turn interrupts on",
    "bh-off": "turn softirqs off",
    "bh-on": "turn softirqs on",
    "sleep": "go to sleep",
    "cond_resched": "offer the CPU to others",
    "smp_mb": "pass a full memory barrier",
    "smp_rmb": "pass a read barrier",
    "smp_wmb": "pass a write barrier",
    "relax": "wait a turn",
    "spawn": "start a task",
}


def intention(op: Op, obj: Any, args: tuple[Any, ...]) -> str:
    """What a context that stands before an operation is about to do: "test PG_lru of page 0x11"."""
    kind, name, label = op.kind, _of(printable(obj)), op.label
    if kind in _INTENDS:
        return _INTENDS[kind]
    if kind in ("lock", "down"):
        return f"take {name}"
    if kind == "trylock":
        return f"try {name}"
    if kind in ("unlock", "up"):
        return f"drop {name}"
    if kind == "wake":
        return f"wake {getattr(obj, 'comm', name)}"
    if kind == "raise-irq":
        return f"raise {getattr(obj, 'comm', name)}"
    if label.startswith("flags:"):
        return f"{(op.verb or 'test').replace('_', ' ')} PG_{label[6:]} of {name}"
    by = args[2] if len(args) > 2 else None
    if label in _COUNTS and kind.startswith("rmw") and by in (1, -1, (1, 0)):
        return f"{'drop' if by == -1 else 'take'} a {_COUNTS[label]} on {name}"
    verb = "read" if kind in READS else "write" if kind in WRITES else "change"
    return f"{verb} {name}->{label}" if name else f"{verb} {label}"


def page_name(name: str) -> str:
    """`pfn:00011` in words; any other name as it is."""
    return f"page 0x{name[4:].lstrip('0') or '0'}" if name.startswith("pfn:") else name


def _frees(event: Event) -> bool:
    return event.kind not in ("read", "read-once")


def _predicate(step: Step) -> str:
    event = step.event
    kind, obj = event.kind, _of(event.obj)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == SPIN:
        return f"spins on {event.obj}, held by {step.other or 'nobody alive'}"
    if kind == "irq-enter":
        return "comes in"
    if kind == "stale":
        stores = f"{event.value} store{'s' * (event.value != '1')}"
        return f"does not see the last {stores}: what it loads next is old"
    if kind == "exit":
        return "dies of the oops" if event.value == "oops" else "returns"
    if kind in ("lock", "down"):
        return (
            f"queues for {event.obj} and sleeps" if event.value is False else f"takes {event.obj}"
        )
    if kind == "trylock":
        return f"tries {event.obj} and {'gets it' if event.value else 'finds it taken'}"
    if kind in ("unlock", "up"):
        return f"drops {event.obj}"
    if kind == "wake":
        return f"wakes {step.other or event.obj}"
    if kind == "raise-irq":
        return f"raises the interrupt {event.obj}"
    if kind == "spawn":
        return "starts a task"
    if event.label.startswith("flags:"):
        return _flag(event, f"PG_{event.label[6:]}", obj)
    if event.label in _COUNTS:
        return _count(event, obj)
    return _word(event, step.other or obj)


def _flag(event: Event, flag: str, obj: str) -> str:
    verb = event.verb
    if verb.startswith("test_and_"):
        was = "was set" if event.value else "was clear"
        done = "sets" if verb.endswith("set") else "clears"
        same = bool(event.value) == verb.endswith("set")
        if same:
            found = "set" if event.value else "clear"
            return f"finds {flag} of {obj} {found} already ({verb})"
        return f"{done} {flag} of {obj}; it {was} ({verb})"
    if verb in ("set", "clear"):
        return f"{verb}s {flag} of {obj}"
    if verb:
        return f"{verb} {flag} of {obj}: {'taken' if event.value else 'was taken'}"
    if isinstance(event.value, bool):
        return f"sees {flag} of {obj} {'set' if event.value else 'clear'}"
    return f"changes {flag} of {obj}"


def _count(event: Event, obj: str) -> str:
    what = _COUNTS[event.label]
    old, new = event.old, event.new
    name = event.label.lstrip("_")
    if event.kind in ("read", "read-once", "load-acquire"):
        return f"sees {name} {event.value} on {obj}"
    if not event.kind.startswith("rmw") or not isinstance(old, int) or not isinstance(new, int):
        value = new if event.value is None or isinstance(event.value, bool) else event.value
        return f"sets {name} of {obj} to {value}"
    if new == old:
        return f"leaves {name} of {obj} at {new}"
    if new > old:
        return f"takes a {what} on {obj}: {name} {old} -> {new}"
    last = ", the last one" if what == "reference" and new == 0 else ""
    return f"drops a {what} on {obj}: {name} {old} -> {new}{last}"


def _word(event: Event, obj: str) -> str:
    label = event.label or "the word"
    name = f"{obj}->{label}" if obj else label
    if event.kind.startswith("rmw"):
        if event.old is None and event.new is None:
            return (
                f"changes {name}"
                if event.value is None
                else f"changes {name}: {_value(event.value)}"
            )
        if event.old == event.new:
            return f"leaves {name} at {_value(event.new)}"
        return f"changes {name} from {_value(event.old)} to {_value(event.new)}"
    if event.kind in ("read", "read-once", "load-acquire"):
        value = event.new if event.value == _PILE else event.value
        return f"reads {name}: {_value(value)}"
    if event.kind in ("write", "write-once", "store-release"):
        value = _one(event.value, event.new)
        return f"writes {name}" if value is None else f"sets {name} to {_value(value)}"
    return f"does {event.kind} on {name}"


def _of(name: str) -> str:
    head, dot, tail = name.partition(".")
    return f"{page_name(head)}{dot}{tail}"


_PILE = "tuple"  # what an event has for several values at once


def _one(value: object, word: object) -> object:
    """What an access gave, or if that is several values the word itself."""
    return word if value == _PILE or value is None else value


def _value(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) > 9999:
        return hex(value)
    return (
        _of(str(value))
        if isinstance(value, str) and value.startswith("pfn:")
        else str(value) or "nothing"
    )
