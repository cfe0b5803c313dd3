# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim.stress`."""

import sys


def _main() -> int:
    try:
        from mmsim.stress import interrupts, streams

        streams.make_ready()
        from mmsim.stress.cli import main
    except KeyboardInterrupt:  # the imports are most of a second
        print("mmsim.stress: interrupted before anything was run", file=sys.stderr)
        return 3
    interrupts.listen()
    return main()


if __name__ == "__main__":
    sys.exit(_main())
