# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim`."""

import sys


def _main() -> int:
    try:
        from mmsim.cli import program
    except KeyboardInterrupt:  # the imports are most of a second
        print("mmsim: interrupted", file=sys.stderr)
        return 3
    return program()


if __name__ == "__main__":
    sys.exit(_main())
