# SPDX-License-Identifier: GPL-2.0-only
"""Thread 001: how often is a slab mapped?

Compaction walks memory by page frame number.  Before it takes lru_lock for a page it asks whether
the page is worth it: an anonymous page with more references than ptes is pinned and cannot be
migrated.  It asks without a reference and without a lock.

    1  kcompactd finds a page with PG_lru set; it does not hold lru_lock.  It is held up: by an
       interrupt, by another task.
    2  Somebody drops the page's last reference: PG_lru is cleared, the page is freed, to this
       CPU's list or, merged with its neighbour, to the buddy lists.
    3  SLUB allocates it, as the head of a block or by itself, and sets PG_slab.
    4  kcompactd goes on: page_mapping() is NULL, for a slab has none; page_count() is 1;
       page_mapcount() begins with VM_BUG_ON_PAGE(PageSlab(page)).

So nothing is wrong with the question, which is knowingly racy, and whose wrong answers cost a page
skipped or a lock taken in vain: PG_lru is asked again under lru_lock, and the reference is taken
there, unless the count is zero.  The assertion kills the machine, with DEBUG_VM, "around once a
year".

Reported by Konstantin Khlebnikov, May 2020, with a patch that counts by itself; Hugh Dickins found
that the patch refuses every page-cache page with buffer heads, which has one reference more, and
that comparing again under lru_lock buys nothing, since that lock pins neither references nor
mappings.  Merged was the removal of the assertion, 6988f31d558a (5.7).  From 5.11 on compaction
takes a reference before the lock (9df41314390b), but asks its question before that, to this day of
5.17.

How long it takes to show: with 8 CPUs, within ten runs.
"""

from mmsim.scenarios.api import NEVER, SOMETIMES, Scenario, Variant
from mmsim.scenarios.s001_compaction_slab.casts import SMALL
from mmsim.scenarios.s001_compaction_slab.stage import CASTS, boot, quiesce

SLAB = (r"^VM_BUG_ON_PAGE\(PageSlab\(page\)\)$",)
LISTS = ("^list_(add|del) corruption", "^general protection fault")
BAD_PAGE = ("^BUG: Bad page state: PAGE_FLAGS_CHECK_AT_FREE",)
COMPOUND = (r"^VM_BUG_ON_PAGE\(PageCompound\(page\)\)$",)
# a slab that looks movable is called, or locked, and then its owner stores its flags over the lock
MOVABLE = (
    "^general protection fault",
    "^BUG: kernel NULL pointer dereference",
    r"^VM_BUG_ON_PAGE\(!PageLocked\(page\)\)$",
    r"^VM_BUG_ON_FOLIO\(!folio_test_locked\(folio\)\)$",
)

# the report's kernel was not preemptible; with few CPUs that is what holds the scanner up
CONFIG = {"PREEMPT": True}
DEBUG_VM = {**CONFIG, "DEBUG_VM": True}
DEBUG_LIST = {**CONFIG, "DEBUG_LIST": True}

MERGED = "mapcount-no-assert"
NONE = {"isolated_with_buffers": "== 0", "refused_with_buffers": "> 0.5"}
ALL = {"isolated_with_buffers": "> 0.5", "refused_with_buffers": "== 0"}


def variant(name, summary, expect, *gates, cast="packets", config=DEBUG_VM, findings=(), **more):
    """One row of the table; the cast of most is the report's."""
    if cast not in CASTS:
        raise ValueError(f"variant 001.{name}: no cast {cast!r}: {', '.join(CASTS)}")
    return Variant(f"001.{name}", summary, expect, findings, gates, config, cast=cast, **more)


VARIANTS = (
    variant("419-dbg", "4.19 as it was, DEBUG_VM", SOMETIMES, findings=SLAB),
    variant(
        "419-nodbg",
        "4.19 as it was, without DEBUG_VM",
        NEVER,
        config=CONFIG,
        metrics={**ALL, "slab_mapcounts": "> 0", "wrong_skips": "> 0", "lru_lock_holds": "< 2.5"},
        against="001.419-dbg",
    ),
    variant(
        "remove-vm-bug", "what was merged: no assertion", NEVER, MERGED, metrics=ALL,
        against=("001.419-dbg", "001.pageslab-precheck"),
    ),
    variant(
        "v1-opencoded",
        "the first patch: open-coded comparison, and once more under lru_lock",
        NEVER,
        "v1-opencode",
        "v1-recheck",
        metrics={**NONE, "isolated": "> 0.3", "wrong_skips": "> 0.5"},
        against=("001.419-dbg", "001.v1-recheck-only"),
    ),
    variant(
        "v1-pins",
        "the first patch, and pages that are pinned and unpinned all the time",
        NEVER,
        "v1-opencode",
        "v1-recheck",
        cast="pins",
        metrics={"isolated_pinned_anon": "> 0"},
        against="001.419-dbg",
    ),
    variant(
        "v1-pins-once",
        "the same load, but they are compared only once, without lru_lock",
        NEVER,
        "v1-opencode",
        cast="pins",
        metrics={"isolated_pinned_anon": "> 0"},
        against="001.419-dbg",
    ),
    variant(
        "v1-recheck-only",
        "of the first patch only the comparison under lru_lock",
        SOMETIMES,
        "v1-recheck",
        findings=SLAB,
    ),
    variant(
        "pageslab-precheck",
        "PageSlab is tested just before page_mapcount()",
        SOMETIMES,
        "pageslab-precheck",
        findings=SLAB,
    ),
    variant(
        "check-under-lock",
        "the comparison is made under lru_lock",
        NEVER,
        "check-under-lock",
        metrics={**ALL, "lru_lock_holds": "> 2.5"},
        against="001.419-dbg",
    ),
    variant(
        "get-first",
        "a reference, PG_lru again, then the comparison",
        NEVER,
        "get-first",
        metrics=ALL,
        against=("001.419-dbg", "001.get-first-norecheck"),
    ),
    variant(
        "get-first-norecheck",
        "a reference, then the comparison, PG_lru never again; SLAB",
        SOMETIMES,
        "get-first",
        "get-first-norecheck",
        MERGED,
        config={**DEBUG_VM, "SLAB": True},
        findings=(*BAD_PAGE, *LISTS),
    ),
    variant(
        "get-first-norecheck-slub",
        "the same with SLUB: the comparison takes the slab for a pinned page",
        NEVER,
        "get-first",
        "get-first-norecheck",
        MERGED,
        metrics={"slab_mapcounts": "> 0"},
        against="001.419-dbg",
    ),
    variant(
        "get-first-compare-first",
        "a reference, the comparison, then PG_lru again: the order of 6.6, with the assertion",
        SOMETIMES,
        "get-first",
        "get-first-compare-first",
        findings=SLAB,
    ),
    variant(
        "get-first-compare-first-merged",
        "the same without the assertion, as 6.6 has it",
        NEVER,
        "get-first",
        "get-first-compare-first",
        MERGED,
        metrics={**ALL, "slab_mapcounts": "> 0"},
        against="001.419-dbg",
    ),
    variant(
        "get-first-no-minus-one",
        "a reference, which then counts as somebody else's",
        NEVER,
        "get-first",
        "get-first-no-minus-one",
        metrics={**ALL, "isolated_anon": "== 0"},
        against="001.419-dbg",
    ),
    variant(
        "isolate-no-recheck",
        "PG_lru is not tested again under lru_lock, in the loop nor in __isolate_lru_page()",
        SOMETIMES,
        MERGED,
        "block-no-recheck",
        "isolate-trusts-lru",
        cast="exec",
        config=DEBUG_LIST,
        findings=LISTS,
    ),
    variant(
        "block-no-recheck",
        "PG_lru is not tested again in the loop, but in __isolate_lru_page()",
        NEVER,
        MERGED,
        "block-no-recheck",
        cast="exec",
        config={**DEBUG_LIST, **DEBUG_VM},
        against="001.isolate-no-recheck",
    ),
    variant(
        "block-no-recheck-thp",
        "the same with huge pages, on the same frames as small ones",
        NEVER,
        MERGED,
        "block-no-recheck",
        cast="sizes",
        against="001.block-no-compound-recheck",
    ),
    variant(
        "block-no-compound-recheck",
        "PageCompound is not tested again in the loop; nor is it anywhere else",
        SOMETIMES,
        MERGED,
        "block-no-compound-recheck",
        cast="sizes",
        findings=COMPOUND,
    ),
    variant(
        "compound-after-get",
        "a reference first of all, PageCompound right after it and never again",
        SOMETIMES,
        "get-first",
        "compound-after-get",
        MERGED,
        cast="thp",
        findings=COMPOUND,
    ),
    variant(
        "compound-under-lock",
        "a reference first, PageCompound again under lru_lock; the same load",
        NEVER,
        "get-first",
        MERGED,
        cast="thp",
        against="001.compound-after-get",
    ),
    variant(
        "slab-old",
        "SLUB's counters over _mapcount, as until 4.17",
        NEVER,
        "slub-counters-in-mapcount",
        config=CONFIG,
        metrics={"garbage_mapcounts": "> 0"},
        against="001.419-dbg",
    ),
    variant(
        "slab-allocator",
        "SLAB, whose count of active objects is over _mapcount in 4.19",
        NEVER,
        config={**CONFIG, "SLAB": True},
        metrics={"garbage_mapcounts": "> 0"},
        against="001.get-first-norecheck",
    ),
    variant(
        "movable-slab",
        "struct slab with its list pointer over mapping, LIST_POISON2 looks movable (6.2-rc)",
        SOMETIMES,
        "movable-operations",
        "slab-rearranged",
        cast="partial",
        findings=MOVABLE,
        era="5.17",
    ),
    variant(
        "movable-slab-skipped",
        "the same, and isolate_movable_page() looks at PG_slab (6.2)",
        NEVER,
        "movable-operations",
        "slab-rearranged",
        "isolate-movable-skips-slab",
        cast="partial",
        era="5.17",
        against="001.movable-slab",
    ),
    variant(
        "517",
        "5.17: a reference and PG_lru before the lock, the comparison before both",
        NEVER,
        era="5.17",
        metrics={**ALL, "slab_mapcounts": "> 0"},
        against="001.419-dbg",
    ),
    variant(
        "517-put-locked",
        "5.17, but a page that failed is put under lru_lock",
        SOMETIMES,
        "fail-put-locked",
        cast="shm",
        findings=("^deadlock on .*lru_lock",),
        era="5.17",
    ),
    variant(
        "517-put-unlocked",
        "5.17, with the same load",
        NEVER,
        cast="shm",
        era="5.17",
        against="001.517-put-locked",
    ),
)

SCENARIO = Scenario(
    id="001",
    name="compaction_slab_reuse",
    title="Compaction asks a slab how often it is mapped",
    story=__doc__,
    era="4.19",
    setup=boot,
    check=quiesce,
    casts=SMALL,
    variants=VARIANTS,
    thread="linux-mm, May 2020, Konstantin Khlebnikov and Hugh Dickins",
    file=__file__,
)
