# SPDX-License-Identifier: GPL-2.0-only
"""Making events of what passes the door, for whoever listens.

Only a replay that is to be explained is observed.  Watching must not change what is watched, so
points pass silently while an event is made: a ``name`` may look at shared fields.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from mmsim.engine.context import Context
from mmsim.engine.door import door
from mmsim.engine.events import Event, Listener, plain, printable


def accessor(frame: FrameType | None) -> tuple[str, int]:
    """Function and line of the kernel code that made an access: not the engine, no primitive."""
    while frame is not None and frame.f_back is not None:
        names = frame.f_globals
        if not (
            str(names.get("__name__", "")).startswith("mmsim.engine.")
            or names.get("__mmsim_primitive__")
        ):
            break
        frame = frame.f_back
    return ("", 0) if frame is None else (frame.f_code.co_name, frame.f_lineno)


def here(depth: int) -> FrameType:
    """The frame ``depth`` calls above the caller."""
    return sys._getframe(depth + 1)


def emit(
    listener: Listener,
    ctx: Context,
    step: int,
    kind: str,
    obj: Any,
    field: str,
    value: Any,
    where: tuple[str, int] = ("", 0),
) -> None:
    """Tell ``listener`` of one effect, or of an interrupt or an exit."""
    door.left = float("inf")
    try:
        listener(
            Event(
                step,
                ctx.id,
                ctx.comm,
                ctx.pid,
                ctx.cpu.id,
                ctx.kind,
                kind,
                printable(obj),
                field,
                plain(value),
                *where,
            )
        )
    finally:
        door.left = 0
