# SPDX-License-Identifier: GPL-2.0-only
"""The steps of thread 000's story for a reference taken from zero, for `python -m mmsim rare`.

The window is between the put that makes the count 0 and the moment when the page is another's.
"""

from mmsim.rare.levels import Level, Levels

FROM_ZERO = Levels(
    Level(
        "release_pages() puts the last reference",
        "_refcount", function="release_pages", party="rm", thing="page", value=0,
    ),
    Level(
        "a scanner that found the page by its number takes a reference",
        "_refcount", function="scanner", party="scanner", thing="page", value=1,
    ),
    Level(
        "and puts it: 0 once more",
        "_refcount", function="put_page_testzero", party="scanner", thing="page", value=0,
    ),
)

SEEN_AT_ZERO = Levels(
    FROM_ZERO.steps[0],
    Level(
        "a scanner that found it by its number wants one: DEBUG_VM sees 0",
        "_refcount", function="scanner", party="scanner", thing="page", value=0,
    ),
)

LEVELS = {
    "000.get-from-zero": SEEN_AT_ZERO,
    "000.get-from-zero*": FROM_ZERO,
    "000.recheck-lock-get-from-zero*": FROM_ZERO,
}
