# SPDX-License-Identifier: GPL-2.0-only
"""Standard output and standard error as we find them, made safe to write to.

A program is started in places that its author has not seen: a cron job without a standard
output, a serial console under LANG=C, a log in Latin-1. None of them is a reason to crash in the
last line of an hour's campaign, or to print what nobody can read. What is printed is ASCII as
far as it is ours; a name of the user's own may not be, and is spelt out where it cannot be shown.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from pathlib import Path
from typing import TextIO

SPELT_OUT = {"µ": "u", "…": "...", "–": "-", "—": "-", "→": "->", "←": "<-", "×": "x"}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_HANDLER = "mmsim.spelt_out"


def make_ready() -> None:
    """For a program's first line: after this, writing to either stream raises no surprise."""
    codecs.register_error(_HANDLER, spell_out)
    encoding = "ascii" if _plain_locale() else None
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # started with the descriptor closed
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
        stream.reconfigure(encoding=encoding, errors=_HANDLER)


def _plain_locale() -> bool:
    """Was the C locale asked for? Python makes UTF-8 of it, and a C terminal shows rubbish."""
    if os.environ.get("PYTHONUTF8") or os.environ.get("PYTHONIOENCODING"):
        return False  # somebody knows better
    asked = os.environ.get("LC_ALL") or os.environ.get("LANG")
    return asked in ("C", "POSIX")


def spell_out(error: UnicodeError) -> tuple[str, int]:
    """What a stream cannot show, in characters that every stream can."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    shown = [SPELT_OUT.get(c) or ascii(c)[1:-1] for c in lost]
    return "".join(shown), error.end


def reader_has_left(file: TextIO) -> None:
    """After a failed write (`| head` has seen enough): let the flush at exit go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


def is_full(error: OSError) -> bool:
    """Is it the place that output goes to that is at fault, and not we?"""
    return error.errno in _FULL
