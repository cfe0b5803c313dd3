# SPDX-License-Identifier: GPL-2.0-only
"""Gates of thread 001: compaction's unlocked checks against slab reuse (4.19 and later)."""

from mmsim.model.gate import Gate, declare


def _patch(name, date, author, meaning):
    return Gate(name, "001", date, author, meaning)


def _mutation(name, meaning):
    return Gate(name, "001", "", "", meaning, kind="mutation")


declare(
    # the thread
    _patch(
        "mapcount-no-assert",
        "2020-05-13",
        "Konstantin Khlebnikov",
        "page_mapcount() does not assert that the page is no slab (merged, 6988f31d558a)",
    ),
    _patch(
        "v1-opencode",
        "2020-05-13",
        "Konstantin Khlebnikov",
        "the unlocked pre-check compares the count with _mapcount, for file pages too",
    ),
    _patch(
        "v1-recheck",
        "2020-05-13",
        "Konstantin Khlebnikov",
        "the references of the first page under lru_lock are compared again",
    ),
    # other ways somebody might close the window
    _mutation("pageslab-precheck", "PageSlab is tested just before the counts are compared"),
    _mutation("check-under-lock", "the counts are compared after lru_lock was taken"),
    _mutation("get-first", "a reference is taken before the counts are compared (6.x)"),
    _mutation("get-first-norecheck", "with get-first: PG_lru is not looked at again"),
    _mutation("get-first-no-minus-one", "with get-first: counts its own reference as a pin"),
    _mutation(
        "compound-after-get", "with get-first: PageCompound is tested once, right after the get"
    ),
    _mutation(
        "get-first-compare-first",
        "with get-first: PG_lru is looked at again after the comparison (the order of 6.6)",
    ),
    _mutation("block-no-recheck", "PG_lru is not tested again under lru_lock"),
    _mutation("block-no-compound-recheck", "PageCompound is not tested again under lru_lock"),
    _mutation("isolate-trusts-lru", "__isolate_lru_page() does not test PG_lru either"),
    _mutation("fail-put-locked", "5.17: a failed page's reference is dropped under lru_lock"),
    # layouts of struct page, and movable pages
    _patch(
        "slub-counters-in-mapcount",
        "2018-06",
        "Matthew Wilcox",
        "undone: SLUB's counters lie over _mapcount, as until 4.17",
    ),
    _patch(
        "movable-operations",
        "2022-06",
        "Matthew Wilcox",
        "a movable page's mapping is its table of operations (6.0, 68f2736a8583)",
    ),
    _patch(
        "slab-rearranged",
        "2022-11",
        "Vlastimil Babka",
        "struct slab begins with slab_cache: slab_list.prev lies over mapping (130d4df57390)",
    ),
    _patch(
        "isolate-movable-skips-slab",
        "2022-11",
        "Vlastimil Babka",
        "isolate_movable_page() looks at PG_slab on both sides of mapping (8b8817630ae8)",
    ),
)
