# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim.stress`."""

import sys

from mmsim.stress.cli import main, terminate_like_ctrl_c

if __name__ == "__main__":
    terminate_like_ctrl_c()
    sys.exit(main())
