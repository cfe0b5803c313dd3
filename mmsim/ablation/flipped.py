# SPDX-License-Identifier: GPL-2.0-only
"""Sets of gates that look who asks.

`patched()` asks whether a name is in the machine's set of gates.  These sets answer by the function
that called `patched()`, or that asked the set itself.  They are slow, and only ablation uses them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from mmsim.ablation.places import Place, place_named, place_of
from mmsim.engine.door import door
from mmsim.model.gate import patched

ASKED = "asked "
"""Metrics of this name say that a place was reached; see `Watched`."""


def _asking(gate: str) -> Place:
    """Who wants to know?  Two frames up, or the one above `patched()`."""
    frame = sys._getframe(2)
    if frame.f_code is patched.__code__ and frame.f_back is not None:
        frame = frame.f_back
    return place_of(gate, frame.f_code)


class Flipped(frozenset[str]):
    """``gates``, but at ``place`` its gate is turned over; so often it was asked there."""

    place: Place
    asked: int

    def __new__(cls, gates: Iterable[str], place: Place) -> Flipped:
        self = super().__new__(cls, gates)
        self.place = place
        self.asked = 0
        return self

    def __contains__(self, gate: object) -> bool:
        on = super().__contains__(gate)
        if gate == self.place.gate and _asking(self.place.gate) == self.place:
            self.asked += 1
            return not on
        return on


def turned(gates: Iterable[str], name: str | None, file: str | None = None) -> Flipped | None:
    """``gates`` with the place of that name turned over; None: no name.  Raises UsageError."""
    return None if not name else Flipped(gates, place_named(name, file))


class Listening(frozenset[str]):
    """``gates`` as they are; ``met`` are the places that asked."""

    met: set[Place]

    def __new__(cls, gates: Iterable[str]) -> Listening:
        self = super().__new__(cls, gates)
        self.met = set()
        return self

    def __contains__(self, gate: object) -> bool:
        self.met.add(_asking(str(gate)))
        return super().__contains__(gate)


class Watched(frozenset[str]):
    """``gates`` as they are; that a place was reached becomes a metric of the run."""

    def __contains__(self, gate: object) -> bool:
        name = f"{ASKED}{'|'.join(_fields(_asking(str(gate))))}"
        if name not in door.machine.metrics:
            door.machine.count(name)
        return super().__contains__(gate)


def _fields(place: Place) -> tuple[str, str, str]:
    return place.gate, place.file, place.function


def reached(metric: str) -> Place | None:
    """The place that a metric stands for, if it is one of `Watched`."""
    if not metric.startswith(ASKED):
        return None
    gate, file, function = metric.removeprefix(ASKED).split("|")
    return Place(gate, file, function)
