# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim`."""

import sys

from mmsim.cli import main

if __name__ == "__main__":
    sys.exit(main())
