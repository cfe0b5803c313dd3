# SPDX-License-Identifier: GPL-2.0-only
"""The machine of views, broken in one place at a time, to see that a comparison can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mmsim.engine.memory.messages import EMPTY
from mmsim.engine.memory.views import Memory


def _nothing(self: Memory, cpu: int) -> None:
    """A barrier that is none."""


def _private(self: Memory, cpu: int) -> None:
    """A full barrier that tells the other CPUs nothing."""
    me = self.cpus[cpu]
    me.floor = me.reads = me.drags = me.prop
    me.stores |= me.prop


def _without(method: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    """The method with some arguments taken for others."""

    def broken(self: Memory, *positional: Any, **named: Any) -> Any:
        return method(self, *positional, **{**named, **fixed})

    return broken


def _ignoring_begun(self: Memory, cpu: int, reader: Any) -> None:
    self.begun = EMPTY
    READ_LOCK(self, cpu, reader)


def _ignoring_ended(self: Memory, cpu: int, waiter: Any) -> None:
    self.ended = EMPTY
    ENDS(self, cpu, waiter)


def _unhanded(self: Memory, cpu: int, word: Any, value: Any, *, step: int = 0) -> None:
    """An unlock that does not order the own stores before those of the next owner."""
    self.write(cpu, word, value, release=True, step=step)


def _blind(self: Memory, *positional: Any, **named: Any) -> None:
    """A store that does not note what each CPU has seen."""
    WRITE(self, *positional, **named)
    word = positional[1]
    history = self.words[word]
    if history.messages[-1].seen:
        bare = history.messages[-1]._replace(seen=(EMPTY,) * len(self.cpus))
        self.words[word] = history._replace(messages=(*history.messages[:-1], bare))


def _independent(self: Memory, cpu: int, word: Any, dep: Any = EMPTY) -> range:
    return READABLE(self, cpu, word)


def _forgetful(self: Memory, cpu: int, *positional: Any, **named: Any) -> Any:
    """Two reads of one word that nothing orders."""
    self.cpus[cpu].past.clear()
    return READ(self, cpu, *positional, **named)


READABLE, READ = Memory.readable, Memory.read
READ_LOCK, ENDS, WRITE = Memory.rcu_read_lock, Memory.grace_period_ends, Memory.write

BREAKS: dict[str, tuple[str, Callable[..., Any]]] = {
    "smp_rmb": ("rmb", _nothing),
    "smp_wmb": ("wmb", _nothing),
    "smp_mb": ("mb", _private),
    "acquire": ("read", _without(Memory.read, acquire=False)),
    "release": ("write", _without(Memory.write, release=False)),
    "address dependency": ("readable", _independent),
    "an atomic passes on": ("write", _without(Memory.write, inherited=EMPTY)),
    "atomics that return nothing": ("read", _without(Memory.read, returns=True)),
    "grace period begins": ("rcu_read_lock", _ignoring_begun),
    "grace period ends": ("grace_period_ends", _ignoring_ended),
    "unlock and lock": ("unlock", _unhanded),
    "seen": ("write", _blind),
    "two reads of one word": ("read", _forgetful),
}


def apply(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break this for the rest of a test."""
    name, broken = BREAKS[what]
    monkeypatch.setattr(Memory, name, broken)
