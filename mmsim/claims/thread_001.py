# SPDX-License-Identifier: GPL-2.0-only
"""Claims of thread 001: compaction's unlocked checks against slab reuse (May 2020)."""

from mmsim.claims.model import Claim, Clean, Fails, Metric, MoreOf, Rarer

CLAIMS = (
    Claim(
        "001.1",
        "Konstantin Khlebnikov",
        "Between PageLRU and page_mapcount the page can leave the LRU, be freed and become slab.",
        (Fails("001.419-dbg", r"PageSlab\(page\)"),),
    ),
    Claim(
        "001.2",
        "Hugh Dickins",
        "It crashes only with DEBUG_VM; otherwise the worst is a wrong guess about one page.",
        (Clean("001.419-nodbg"), Metric("001.419-nodbg", "wrong_skips", ">")),
    ),
    Claim(
        "001.3",
        "Konstantin Khlebnikov",
        "Open-coding the comparison avoids the crash.",
        (Clean("001.v1-opencoded"),),
    ),
    Claim(
        "001.4",
        "Hugh Dickins",
        "The open-coded test refuses every page with buffer heads, which migrate well.",
        (
            Metric("001.v1-opencoded", "isolated_with_buffers", "=="),
            Metric("001.419-nodbg", "isolated_with_buffers", ">"),
        ),
    ),
    Claim(
        "001.5",
        "Hugh Dickins",
        "The second check under lru_lock buys nothing: without the first change the crash remains.",
        (Fails("001.v1-recheck-only", r"PageSlab\(page\)"),),
    ),
    Claim(
        "001.6",
        "Hugh Dickins; merged in 5.7",
        "Dropping the assertion is enough.",
        (Clean("001.remove-vm-bug"),),
    ),
    Claim(
        "001.7",
        "a fix that suggests itself",
        "Testing PageSlab before page_mapcount closes the window.",
        (Clean("001.pageslab-precheck"),),
    ),
    Claim(
        "001.8",
        "ours",
        "It only makes the window shorter.",
        (Fails("001.pageslab-precheck"), Rarer("001.pageslab-precheck", "001.419-dbg")),
    ),
    Claim(
        "001.9",
        "a fix that suggests itself",
        "Checking under lru_lock closes it, at the price of taking the lock more often.",
        (
            Clean("001.check-under-lock"),
            MoreOf("001.check-under-lock", "001.419-nodbg", "lru_lock_holds"),
        ),
    ),
    Claim(
        "001.10",
        "later kernels",
        "Taking the reference first closes it, if PageLRU is looked at again afterwards.",
        (Clean("001.get-first"), Fails("001.get-first-norecheck")),
    ),
    Claim(
        "001.11",
        "later kernels",
        "Then one's own reference has to be left out of the comparison, or no anonymous page is "
        "ever isolated.",
        (
            Metric("001.get-first-no-minus-one", "isolated_anon", "=="),
            Metric("001.get-first", "isolated_anon", ">"),
        ),
    ),
    Claim(
        "001.12",
        "isolate_migratepages_block",
        "What makes the unlocked tests tolerable is that PageLRU is tested again under the lock.",
        (Fails("001.isolate-no-recheck"), Clean("001.419-nodbg")),
    ),
    Claim(
        "001.13",
        "Hugh Dickins, 2020",
        "PageCompound means nothing right after a reference was taken from a page in the making.",
        (Fails("001.compound-after-get"),),
    ),
    Claim(
        "001.14",
        "the changelog of v1",
        "Slab takes over _mapcount.",
        (
            Metric("001.slab-old", "garbage_mapcounts", ">"),
            Metric("001.419-nodbg", "garbage_mapcounts", ">"),
        ),
        note="True of SLUB before 4.18, not of SLUB in 4.19: there the word stays -1.",
    ),
    Claim(
        "001.15",
        "isolate_movable_page",
        "Poison in a slab page's list pointer can be taken for a table of movable operations.",
        (Fails("001.movable-slab"),),
    ),
)
