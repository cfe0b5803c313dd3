# SPDX-License-Identifier: GPL-2.0-only
"""Instruments: whoever listens to a run.  Any number of them, on any run.

An instrument is told of every operation in the order of effects, just before and just after its
effect, with the live objects; and of interrupts and exits.  With none, nothing of this costs
anything.  Watching must not change what is watched, so points pass silently meanwhile: a ``name``
may look at shared fields.

:class:`Events` makes values of what it is told, for listeners that keep them.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Final

from mmsim.engine.context import Context
from mmsim.engine.events import Event, Listener, plain, printable
from mmsim.engine.op import Op

IRQ_ENTER: Final = "irq-enter"
IRQ_EXIT: Final = "irq-exit"
EXIT: Final = "exit"
STALE: Final = "stale"


class Instrument:
    """Base of all instruments.  ``step`` is the number of the effect, from 1."""

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        """``ctx`` is about to perform ``op`` on ``obj``; ``args`` are the effect's."""

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        """It has, and ``value`` is what came of it.  Not told of a failed attempt at a lock."""

    def mark(self, ctx: Context, step: int, what: str, value: str) -> None:
        """What is no effect: IRQ_ENTER and IRQ_EXIT (value: which kind), EXIT ("oops" or ""); STALE
        of a load that returns what was overwritten (value: how many stores ago), before its
        ``after``."""


class Events(Instrument):
    """Tells ``listener`` of everything, as :class:`~mmsim.engine.events.Event` values."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._where = ("", "", 0)
        self._old: Any = None

    def before(self, ctx: Context, step: int, op: Op, obj: Any, args: tuple[Any, ...]) -> None:
        self._where = accessor(sys._getframe(1))
        self._old = _word(op, obj)

    def after(self, ctx: Context, step: int, op: Op, obj: Any, value: Any) -> None:
        words = (self._old, _word(op, obj))
        self._tell(ctx, step, op, printable(obj), plain(value), words, *self._where)

    def mark(self, ctx: Context, step: int, what: str, value: str) -> None:
        self._tell(ctx, step, Op(what), "", value, (None, None), "", "", 0)

    def _tell(
        self,
        ctx: Context,
        step: int,
        op: Op,
        obj: str,
        value: Any,
        words: tuple[Any, Any],
        func: str,
        file: str,
        line: int,
    ) -> None:
        self._listener(
            Event(
                step,
                ctx.id,
                ctx.comm,
                ctx.pid,
                ctx.cpu.id,
                ctx.kind,
                op,
                obj,
                value,
                *words,
                func,
                file,
                line,
            )
        )


def _word(op: Op, obj: Any) -> Any:
    """The word that an operation is about, as a value; None if it is of several, or no field."""
    return plain(getattr(obj, op.raw, None)) if len(op.words) == 1 else None


def accessor(frame: FrameType | None) -> tuple[str, str, int]:
    """Function, file and line of the kernel code that made an access: no engine, no primitive."""
    while frame is not None and frame.f_back is not None:
        names = frame.f_globals
        if not (
            str(names.get("__name__", "")).startswith("mmsim.engine.")
            or names.get("__mmsim_primitive__")
        ):
            break
        frame = frame.f_back
    if frame is None:
        return "", "", 0
    return frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno
