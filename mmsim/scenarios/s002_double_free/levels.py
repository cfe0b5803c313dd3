# SPDX-License-Identifier: GPL-2.0-only
"""The steps of thread 002's story, for `python -m mmsim rare`: 4, and 6.

The first window is between the put that makes the count 0 and the look at PG_lru that comes next in
__free_pages_ok; the second between shrink_cache's look at the count and its TryLockPage.
"""

from mmsim.rare.levels import Level, Levels

FREED_WHERE_MET = Levels(
    Level(
        "somebody puts the last reference of a page",
        "count", function="put_page_testzero", party="owner", thing="page", value=0,
    ),
    Level(
        "shrink_cache meets the page at count 0",
        "read-once count", function="shrink_cache", party="reclaim", thing="page", value=0,
    ),
    Level(
        "it takes the page off the LRU",
        "lru", function="__lru_cache_del", party="reclaim", thing="page",
    ),
    Level(
        "the owner looks at PG_lru, and finds it clear",
        "lru", function="__free_pages_ok", party="owner", thing="page", value=False,
    ),
    over=(
        Level(
            "the owner looks at PG_lru while it is set",
            "lru", function="__free_pages_ok", party="owner", thing="page", value=True,
        ),
    ),
)

LOCKED_WITHOUT_A_REFERENCE = Levels(
    Level(
        "shrink_cache finds a page that has users",
        "read-once count", function="shrink_cache", party="reclaim", thing="page",
        value=lambda count: count > 0,
    ),
    Level(
        "it is held up: somebody else locks the page",
        "locked test_and_set", party="user", thing="page", value=False,
    ),
    Level(
        "and unlocks it, with a reference of his own",
        "locked test_and_clear", party="user", thing="page",
    ),
    Level(
        "shrink_cache goes on, and TryLockPage has the lock",
        "locked test_and_set", function="shrink_cache", party="reclaim", thing="page", value=False,
    ),
    over=(
        Level(
            "shrink_cache tries the lock before that",
            "locked test_and_set", function="shrink_cache", party="reclaim", thing="page",
        ),
        Level(
            "shrink_cache begins anew with the page",
            "read-once lru", function="shrink_cache", party="reclaim", thing="page",
        ),
    ),
)

LEVELS = {
    "002.flawed*": FREED_WHERE_MET,
    "002.pagelocked-swapoff*": LOCKED_WITHOUT_A_REFERENCE,
    "002.pagelocked-no-count-one*": LOCKED_WITHOUT_A_REFERENCE,
}
