# SPDX-License-Identifier: GPL-2.0-only
"""What a program says when it cannot go on, and the exit code that goes with it.

Whatever a scenario file raises is told as a mistake in that file, with its line: SystemExit and
KeyboardInterrupt, too, which would else end the program as if all were well.
"""

from __future__ import annotations

import sys
import traceback

from mmsim.errors import UsageError, one_line
from mmsim.stress import interrupts, streams, worker

OK, DIFFERS, USAGE, BROKEN = 0, 1, 2, 3


def told(program: str, error: BaseException, file: str | None, interrupted: str) -> int:
    """Say what ``error`` means to whoever started ``program``; the exit code.

    ``file`` is the scenario file that was given, ``interrupted`` what an interrupt left undone.
    Raises ``error`` itself if it asks to leave the program, as `--help` does.
    """
    if isinstance(error, BrokenPipeError):
        streams.reader_has_left(sys.stdout)
        return OK
    if isinstance(error, UsageError):
        return _say(program, one_line(error), USAGE)
    if not (isinstance(error, KeyboardInterrupt) and interrupts.heard()):
        blame = worker.users_fault(file, error)
        if blame is not None:
            return _say(program, blame, USAGE)
    if isinstance(error, KeyboardInterrupt):
        return _say(program, interrupted, BROKEN)
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error, OSError) and streams.is_full(error):
        streams.reader_has_left(sys.stdout)
        return _say(program, f"cannot write the output: {error.strerror}", BROKEN)
    traceback.print_exception(error)
    return _say(program, "internal error, see above", BROKEN)


def _say(program: str, text: str, code: int) -> int:
    print(f"{program}: {text}", file=sys.stderr)
    return code
