# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim.stress`."""

import sys

from mmsim.stress import interrupts


def program() -> int:
    """The whole program, which ends politely from its first line on; the exit code."""
    try:
        interrupts.listen()
        from mmsim.stress import streams

        streams.make_ready()
        from mmsim.stress.cli import main

        code = main()
        interrupts.goodbye()
    except KeyboardInterrupt:  # the imports are most of a second
        print("mmsim.stress: interrupted before anything was run", file=sys.stderr)
        return 3
    return code


if __name__ == "__main__":
    sys.exit(program())
