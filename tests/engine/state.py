# SPDX-License-Identifier: GPL-2.0-only
"""A machine as a value: what it has come to, told by identities, so that two runs compare."""

from __future__ import annotations

from collections import Counter
from types import FunctionType, MethodType
from typing import Any

from mmsim.engine.context import READY, SPINNING, Context, Cpu
from mmsim.engine.machine import Machine
from mmsim.linux.spinlock import spinlock
from mmsim.model.struct import Layout, identity

_ATOMS = (int, str, float, bytes, type(None))
_OF_A_CONTEXT = ("state", "died", "task_state", "preempt_count", "flags", "timeout", "births")


def encode(value: Any) -> Any:
    """``value`` with identities for objects: hashable, and the same in every run."""
    if isinstance(value, _ATOMS):
        return value
    if isinstance(value, Layout | Context | Cpu):
        return type(value).__name__, identity(value)
    if isinstance(value, list | tuple):
        return tuple(encode(item) for item in value)
    if isinstance(value, dict):
        return frozenset((encode(key), encode(item)) for key, item in value.items())
    if isinstance(value, set | frozenset):
        return frozenset(encode(item) for item in value)
    return type(value).__name__, str(getattr(value, "name", ""))


def state(machine: Machine) -> dict[Any, Any]:
    """Every word of every struct that can be reached, what else the kernel keeps, and findings.

    Raises AssertionError if two structs have one identity.
    """
    words: dict[Any, Any] = {}
    others: Counter[Any] = Counter()
    for thing in _reachable(machine):
        if isinstance(thing, Layout):
            key = encode(thing)
            assert key not in words, f"two structs with one identity: {key}"
            words[key] = {n: encode(getattr(thing, n)) for n in _words(thing)}
        elif isinstance(thing, Context):
            told = {n: getattr(thing, n) for n in _OF_A_CONTEXT}
            if thing.state == SPINNING:  # it has had a turn to look at the lock, and lost nothing
                told["state"] = READY
            words[encode(thing)] = told | {"locks": Counter(encode(k) for k in thing.locks)}
        elif isinstance(thing, Cpu):
            words[encode(thing)] = (thing.irqs_off, thing.bh_off, len(thing.tasks))
        else:
            others[type(thing).__name__, encode(vars(thing))] += 1
    words["others"] = others
    words["metrics"] = machine.metrics
    words["findings"] = [(f.kind, f.title, f.fingerprint) for f in machine.findings]
    return words


def differences(one: dict[Any, Any], other: dict[Any, Any]) -> list[str]:
    """What differs, for the message of a failed test."""
    return [
        f"{key}: {one.get(key)} <> {other.get(key)}"
        for key in one.keys() | other.keys()
        if one.get(key) != other.get(key)
    ]


def _words(thing: Layout) -> set[str]:
    """Attributes of a struct that hold something; of most there is only the class's default.

    How many spin for a lock says who has been given a turn, not what anybody has done.
    """
    names = set(vars(thing))
    names |= {n for c in type(thing).__mro__ for n in vars(c) if n[:2] == "v_"}
    if isinstance(thing, spinlock):
        names |= {"locked", "owner", "owner_cpu"}
    return names - {"birth", "spinners"}


def _reachable(machine: Machine) -> list[Any]:
    found: list[Any] = []
    seen: set[int] = set()
    todo: list[Any] = [machine.vm, machine.contexts, machine.cpus]
    while todo:
        thing = todo.pop()
        if isinstance(thing, (*_ATOMS, type)) or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, list | tuple | set | frozenset):
            todo += thing
        elif isinstance(thing, dict):
            todo += [*thing.keys(), *thing.values()]
        elif isinstance(thing, FunctionType):
            todo += [cell.cell_contents for cell in thing.__closure__ or ()]
        elif isinstance(thing, MethodType):
            todo.append(thing.__self__)
        elif isinstance(thing, Context):
            found.append(thing)
            todo += [thing.fn, thing.args, thing.locks]
        elif isinstance(thing, Cpu):
            found.append(thing)
            todo.append(thing.data)
        elif isinstance(thing, Machine):
            continue
        elif isinstance(thing, Layout) or (
            type(thing).__module__.startswith("mmsim.") and hasattr(thing, "__dict__")
        ):
            found.append(thing)
            todo += vars(thing).values()
    return found
