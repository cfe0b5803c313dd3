# SPDX-License-Identifier: GPL-2.0-only
"""Events: what a listener is told of a run.

Events exist only when somebody listens, which is when a run is replayed to be explained.  They
carry values and printable names, never live kernel objects, so that watching cannot change the
race that is watched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmsim.engine.op import Op


@dataclass(frozen=True, slots=True)
class Event:
    """One effect.

    ``step`` is the effect's number in the run, from 1; what is no effect has the number of the last
    one.  So everything up to a finding has a ``step`` not above the finding's.  ``entity`` is the
    context's id; ``op`` what it did, or an operation of kind ``irq-enter``, ``irq-exit`` or
    ``exit``; ``obj`` a printable name; ``value`` what was read, or what an atomic operation
    returned; ``old`` and ``new`` the word before and after, where it is one; ``func``, ``file`` and
    ``line`` the kernel-dialect code that made the access.
    """

    step: int
    entity: int
    comm: str
    pid: int
    cpu: int
    context: str
    op: Op
    obj: str
    value: Any
    old: Any
    new: Any
    func: str
    file: str
    line: int

    @property
    def kind(self) -> str:
        """The operation's kind."""
        return self.op.kind

    @property
    def verb(self) -> str:
        """What an operation on a bit does to it."""
        return self.op.verb

    @property
    def label(self) -> str:
        """What it was done to, for people."""
        return self.op.label


Listener = Callable[[Event], None]


def printable(obj: Any) -> str:
    """The name of an object for an event: its own ``name``, else its type."""
    name = getattr(obj, "name", None)
    if callable(name):
        name = name()
    return name if isinstance(name, str) else type(obj).__name__ if obj is not None else ""


def plain(value: Any) -> Any:
    """A value that an event may keep: numbers and strings as they are, objects by name."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return printable(value)
