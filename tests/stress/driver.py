# SPDX-License-Identifier: GPL-2.0-only
"""The stress runner over fake variants, as a command: `python -m tests.stress.driver`."""

from __future__ import annotations

import sys

from mmsim.stress import interrupts, progress
from mmsim.stress.cli import main
from tests.stress.fake import FakeVariant, Verdict, source

BUG = "kernel BUG at page_alloc.c:84!"
OTHER = "kernel BUG at page_alloc.c:92!"
QUIET = FakeVariant("900.quiet", Verdict.NEVER)
NOISY = FakeVariant(
    "900.noisy",
    Verdict.SOMETIMES,
    chance=0.05,
    titles=(BUG, OTHER),
    findings=("kernel BUG",),
    extra="bad page state",
    metrics={"draw": "< 0.9"},
)
SURE = FakeVariant("900.sure", Verdict.ALWAYS, chance=1.0, findings=(r"page_alloc\.c:84",))
GOOD = source(QUIET, NOISY, SURE)

if __name__ == "__main__":
    interrupts.listen()
    progress.watcher = lambda file: progress.Plain(file, 0.1)  # tests wait for its lines
    sys.exit(main(source=GOOD))
