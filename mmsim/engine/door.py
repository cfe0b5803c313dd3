# SPDX-License-Identifier: GPL-2.0-only
"""The one door: every shared access of simulated kernel code passes here.

A *point* is the moment before a shared access takes effect.  The policy has said how many
points may pass before it wants to be asked again; the door counts them down.  A point that does
not switch therefore costs one decrement and one compare, and the effect follows at once:

    door.left -= 1
    if door.left < 0: hand the access to the carrier, which decides and then performs it
    otherwise:        perform it

The effect is a plain function of raw values and is handed over *with* the access, so that a
carrier without a token (``free``) can perform it atomically and write down in which order
effects really happened.  That record is what makes a failure of free-running threads replayable.

``left`` has three regimes.  Under the token carrier it is a small int.  While nothing runs
(set-up, checks at quiescence) it is ``inf``: points pass silently.  Under the free carrier, or
when somebody listens to events, it is ``-inf`` or kept at 0: every access takes the slow way.
Concurrent decrements of ``-inf`` lose nothing, so no atomicity is asked of this counter.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from mmsim.engine.context import Context, Cpu


class RunAborted(BaseException):
    """Unwinds a context's stack when its run is over early.  Not an Exception on purpose."""


class Carrier(Protocol):
    """What the door and ``mmsim.linux`` ask of the thing that executes contexts."""

    name: str

    def slow(
        self, kind: str, obj: Any, field: str, effect: Callable[..., Any], *args: Any
    ) -> Any: ...

    def spin(self, ctx: Context, lock: Any) -> None: ...

    def relax(self, ctx: Context) -> None: ...

    def sleep(self, ctx: Context) -> None: ...

    def woken(self, ctx: Context) -> None: ...

    def irq_raised(self, ctx: Context) -> None: ...

    def opened(self, cpu: Cpu) -> None: ...

    def lock_freed(self, lock: Any) -> None: ...

    def abort(self) -> None: ...

    def position(self) -> int: ...

    def still(self) -> AbstractContextManager[Any]: ...


class Door:
    """Countdown and current carrier.  There is one instance, :data:`door`."""

    __slots__ = ("carrier", "left", "machine", "slow")

    def __init__(self) -> None:
        self.left: Any = float("inf")  # an int under the token carrier, else one of the infinities
        self.carrier: Carrier | None = None
        self.machine: Any = None
        self.slow: Callable[..., Any] = self._nobody

    def open(self, carrier: Carrier, machine: Any) -> None:
        """A run begins: accesses that use up the countdown go to ``carrier``."""
        self.carrier = carrier
        self.machine = machine
        self.slow = carrier.slow

    def close(self) -> None:
        """The run is over: points pass silently again."""
        self.left = float("inf")
        self.carrier = None
        self.slow = self._nobody

    def allow(self, accesses: int) -> None:
        """Nothing runs, and points pass silently: so many, until ``close()``.

        A check walks what a race has left behind, perhaps with the kernel's own functions.  A list
        that leads in a circle is not to keep it there for ever.
        """
        self.left = accesses
        self.slow = self._endless

    @staticmethod
    def _endless(*args: Any) -> Any:
        raise RuntimeError("a check at quiescence does not come to an end")

    @staticmethod
    def _nobody(kind: str, obj: Any, field: str, effect: Callable[..., Any], *args: Any) -> Any:
        return effect(*args)


door = Door()


def access(kind: str, obj: Any, field: str, effect: Callable[..., Any], *args: Any) -> Any:
    """Pass one point, then perform ``effect(*args)`` and return its value.

    ``kind`` is one of :mod:`mmsim.engine.access`; ``obj`` and ``field`` say what is touched, for
    observers and for policies that look at pending operations.
    """
    door.left -= 1
    if door.left < 0:
        return door.slow(kind, obj, field, effect, *args)
    return effect(*args)


def touch(kind: str, obj: Any, field: str, effect: Callable[..., Any], value: Any) -> Any:
    """The same for an ``effect(obj, value)``, the commonest: star arguments cost as much again."""
    door.left -= 1
    if door.left < 0:
        return door.slow(kind, obj, field, effect, obj, value)
    return effect(obj, value)
