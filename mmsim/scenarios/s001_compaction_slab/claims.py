# SPDX-License-Identifier: GPL-2.0-only
"""Claims of thread 001: compaction's unlocked checks against slab reuse (May 2020).

Three voices: the changelog of the first patch (Khlebnikov), the review (Dickins), and the code
itself, before and after.  001.1 to 001.13 are the mail, sentence by sentence.
"""

from mmsim.claims.model import Claim, Clean, Fails, Metric, MoreOf, NeverSays, NoMoreOf, Rarer

SLAB = r"PageSlab\(page\)"

THE_MAIL = (
    Claim(
        "001.1",
        "Konstantin Khlebnikov",
        "Between the look at PageLRU and page_mapcount() the page can leave the LRU, be freed and "
        "become a slab; then page_mapcount() stops the machine.",
        (Fails("001.419-dbg", SLAB),),
    ),
    Claim(
        "001.2",
        "Konstantin Khlebnikov; Hugh Dickins guesses the same",
        "The window is tiny: about once a year.",
        note="No run here can say: CPUs are held up on purpose, and a rate is one under a policy. "
        "What makes it last long enough is an interrupt or another task on the scanner's CPU.",
    ),
    Claim(
        "001.3",
        "Hugh Dickins",
        "It takes DEBUG_VM to crash; without, the test only guesses wrong about a page now and "
        "then, which it may: it has to be right most of the time.",
        (
            Fails("001.419-dbg", SLAB),
            Clean("001.419-nodbg"),
            Metric("001.419-nodbg", "slab_mapcounts", ">"),
            Metric("001.419-nodbg", "wrong_skips", ">"),
        ),
    ),
    Claim(
        "001.4",
        "Konstantin Khlebnikov",
        "Writing the comparison out by hand avoids the assertion.",
        (
            Clean("001.v1-opencoded"),
            Metric("001.v1-opencoded", "slab_mapcounts", ">"),
        ),
        note="The second line says that slabs were met, and compared, all the same.",
    ),
    Claim(
        "001.5",
        "Konstantin Khlebnikov",
        "The patch also turns away pinned pages of files, which migration would fail on.",
        (
            Metric("001.419-nodbg", "isolated_pinned_file", ">"),
            Metric("001.v1-opencoded", "isolated_pinned_file", "=="),
        ),
        note="And pages of the swap cache, says the changelog; there is no swap in these runs.",
    ),
    Claim(
        "001.6",
        "Hugh Dickins; merged in 5.7",
        "The assertion is what is wrong: dropping it is enough.",
        (
            Clean("001.remove-vm-bug"),
            Metric("001.remove-vm-bug", "slab_mapcounts", ">"),
            Metric("001.remove-vm-bug", "refused_with_buffers", "=="),
        ),
        note="A second page_mapcount() without the assertion, for this caller only, which he "
        "offers as well, comes to the same.",
    ),
    Claim(
        "001.7",
        "Hugh Dickins",
        "The open-coded comparison turns away every page-cache page with buffer heads, which are "
        "fine to migrate.",
        (
            Metric("001.v1-opencoded", "isolated_with_buffers", "=="),
            Metric("001.v1-opencoded", "refused_with_buffers", ">"),
            Metric("001.419-nodbg", "isolated_with_buffers", ">"),
            Metric("001.419-nodbg", "refused_with_buffers", "=="),
        ),
    ),
    Claim(
        "001.8",
        "Hugh Dickins",
        "page_mapping() has never crashed there: of the unlocked calls only page_mapcount() does.",
        (
            NeverSays("001.419-dbg", "general protection fault|NULL pointer"),
            Clean("001.419-nodbg"),
        ),
        by_construction="the model's page_mapping() follows no pointer that it reads",
    ),
    Claim(
        "001.9",
        "Konstantin Khlebnikov",
        "Under lru_lock the page cannot escape, so that the comparison can be made with care.",
        (
            MoreOf("001.v1-pins-once", "001.v1-pins", "isolated_pinned_anon"),
            Metric("001.v1-pins", "isolated_pinned_anon", "=="),
        ),
    ),
    Claim(
        "001.10",
        "Hugh Dickins",
        "The second comparison is superfluous: lru_lock keeps nobody from taking references, so "
        "pages are pinned behind it as well.",
        (
            Metric("001.v1-pins", "isolated_pinned_anon", ">"),
            NoMoreOf("001.v1-pins-once", "001.v1-pins", "isolated_pinned_anon"),
        ),
        note="It meets some that were pinned after the first: a second guess, and a later one.",
    ),
    Claim(
        "001.11",
        "Hugh Dickins",
        "What decides is migrate_page_move_mapping(), which compares the count for good.",
        (Fails("004.migrate-no-refcheck"), Clean("004.merged")),
        note="Nothing is migrated in thread 001's runs; these are 3.13's, with and without that "
        "comparison.",
    ),
    Claim(
        "001.12",
        "the second half of the first patch",
        "Against the crash the second comparison would do by itself.",
        (Clean("001.v1-recheck-only"),),
        note="Nobody says so; the unlocked call comes before it.",
    ),
    Claim(
        "001.13",
        "Hugh Dickins",
        "Nobody asks page_mapcount() of his slab pages by mistake: the assertion is documentation.",
        note="About people, not about a kernel.",
    ),
)

OTHER_FIXES = (
    Claim(
        "001.14",
        "a fix that suggests itself",
        "Testing PageSlab before page_mapcount() closes the window.",
        (Clean("001.pageslab-precheck"),),
    ),
    Claim(
        "001.15",
        "ours",
        "It only makes the window shorter.",
        (
            Fails("001.pageslab-precheck", SLAB),
            Rarer("001.pageslab-precheck", "001.419-dbg"),
        ),
        note="One run in six against one in twenty: it takes 300 runs of each to tell them apart.",
    ),
    Claim(
        "001.16",
        "a fix that suggests itself",
        "Comparing under lru_lock closes it, at the price of taking the lock more often.",
        (
            Clean("001.check-under-lock"),
            Metric("001.check-under-lock", "slab_mapcounts", "=="),
            MoreOf("001.check-under-lock", "001.419-nodbg", "lru_lock_holds"),
        ),
    ),
    Claim(
        "001.17",
        "a fix that suggests itself",
        "Taking a reference first closes it, if PageLRU is looked at again before the comparison.",
        (
            Clean("001.get-first"),
            Metric("001.get-first", "slab_mapcounts", "=="),
            Fails("001.get-first-norecheck"),
        ),
        rare={"001.get-first-norecheck": 5},
    ),
    Claim(
        "001.18",
        "ours",
        "Without that second look a slab page is isolated, whichever allocator it belongs to.",
        (
            Fails("001.get-first-norecheck", "Bad page state"),
            Fails("001.get-first-norecheck-slub", "Bad page state"),
        ),
        note="SLUB's of 4.19 is turned away by the comparison, by luck: one reference, and a "
        "mapcount of 0 because the word is not used.",
    ),
    Claim(
        "001.19",
        "a fix that suggests itself, and 6.6",
        "One's own reference has to be left out of the comparison, or no anonymous page is ever "
        "isolated.",
        (
            Metric("001.get-first-no-minus-one", "isolated_anon", "=="),
            Metric("001.get-first", "isolated_anon", ">"),
        ),
    ),
    Claim(
        "001.29",
        "isolate_migratepages_block() of 6.6",
        "There it is get, comparison, PageLRU: slabs are still asked, so what keeps the machine "
        "alive is that the assertion has gone.",
        (
            Fails("001.get-first-compare-first", SLAB),
            Clean("001.get-first-compare-first-merged"),
            Metric("001.get-first-compare-first-merged", "slab_mapcounts", ">"),
        ),
        note="The order alone is 6.6's; all else in these runs is 4.19.",
        rare={"001.get-first-compare-first": 3},
    ),
)

THE_CODE = (
    Claim(
        "001.20",
        "isolate_migratepages_block()",
        "What makes the unlocked looks tolerable is that PG_lru is looked at again under the lock.",
        (Fails("001.isolate-no-recheck", "^list_|general protection"), Clean("001.419-nodbg")),
    ),
    Claim(
        "001.21",
        "isolate_migratepages_block()",
        "Of what it looks at again under the lock, PG_lru may be left to __isolate_lru_page(), "
        "which looks as well; PageCompound may not, since nobody else does.",
        (
            Clean("001.block-no-recheck"),
            Clean("001.block-no-recheck-thp"),
            Fails("001.block-no-compound-recheck", r"PageCompound\(page\)"),
        ),
        rare={"001.block-no-compound-recheck": 5},
    ),
    Claim(
        "001.22",
        "Hugh Dickins, later in 2020",
        "PageCompound means nothing right after a reference was taken: the page may be in the "
        "making.",
        (
            Fails("001.compound-after-get", r"PageCompound\(page\)"),
            Clean("001.compound-under-lock"),
        ),
    ),
    Claim(
        "001.23",
        "the comment that was merged",
        "Slabs use the word of the mapcount for something else.",
        (
            Metric("001.slab-old", "garbage_mapcounts", ">"),
            Metric("001.slab-allocator", "garbage_mapcounts", ">"),
        ),
        note="SLUB until 4.17, for its counters, and SLAB, for its active objects.",
    ),
    Claim(
        "001.24",
        "ours, from the dump in the report",
        "Not so the slab of the report: a page of 4.19's SLUB, which leaves the word at -1.",
        (Metric("001.419-nodbg", "garbage_mapcounts", "=="),),
        note="The dump shows the word, and prints mapcount 0.",
        by_construction="from 4.18 on SLUB's counters lie elsewhere, and so they do in the model",
    ),
    Claim(
        "001.25",
        "the comment that was merged",
        "That the answer is undefined for a slab does no harm to this caller.",
        (
            Clean("001.slab-old"),
            Clean("001.slab-allocator"),
        ),
    ),
    Claim(
        "001.26",
        "as one reads",
        "Since 5.11, where the reference and PG_lru come before the lock, slabs are not asked.",
        (Metric("001.517", "slab_mapcounts", "=="),),
        note="The comparison still comes before the reference; it has lost its assertion in 5.7.",
    ),
    Claim(
        "001.27",
        "isolate_migratepages_block() of 5.17",
        "A page that was got and then failed must not be put under lru_lock: it may be the last "
        "reference.",
        (
            Fails("001.517-put-locked", "deadlock on .*lru_lock"),
            Clean("001.517-put-unlocked"),
        ),
        rare={"001.517-put-locked": 3},
    ),
    Claim(
        "001.28",
        "Vlastimil Babka, 2022",
        "Poison in a slab's list pointer, laid over the mapping, passes for a table of movable "
        "operations; PG_slab has to be looked at on both sides.",
        (Fails("001.movable-slab"), Clean("001.movable-slab-skipped")),
    ),
)

CLAIMS = (*THE_MAIL, *OTHER_FIXES, *THE_CODE)
