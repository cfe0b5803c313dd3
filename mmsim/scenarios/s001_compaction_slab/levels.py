# SPDX-License-Identifier: GPL-2.0-only
"""The steps of thread 001's story, for `python -m mmsim rare`.

The window is between the look at PG_lru and page_mapcount(), with page_mapping() in between, which
has to be looked at after the page was freed.
"""

from mmsim.rare.levels import Level, Levels

SCAN = "isolate_migratepages_block"

LEVELS = {
    "001.*": Levels(
        Level(
            "the scanner finds a page with PG_lru set",
            "read-once lru", function=SCAN, party="scanner", thing="page", value=True,
        ),
        Level("it is held up: somebody else goes on", party="not scanner"),
        Level(
            "the page's last reference is dropped",
            "_refcount", function="put_page_testzero", party="not scanner", thing="page",
            value=0,
        ),
        Level(
            "SLUB allocates it and sets PG_slab",
            "slab", function="allocate_slab", party="not scanner", thing="page",
        ),
        Level(
            "the scanner goes on, to page_mapcount()",
            function="page_mapcount", party="scanner", thing="page",
        ),
        over=(
            Level(
                "page_mapping() was not NULL",
                "mapping", function="page_mapping", party="scanner", thing="page",
                value=lambda mapping: mapping is not None,
            ),
            Level(
                "the scanner looks at PG_lru again, under lru_lock",
                "read-once lru", function=SCAN, party="scanner", thing="page",
            ),
        ),
    ),
}
