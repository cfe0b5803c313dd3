# SPDX-License-Identifier: GPL-2.0-only
"""Claims of thread 000: PageLRU and the lock swap in release_pages (April 2022).

Each of the rules I1 to I4 is settled by the variants that drop it and by the kernel that keeps it,
in the version that the variant is made of.  Titles are asked for wherever a variant could also come
to harm in another way than the one the claim is about.
"""

from mmsim.claims.model import ByConstruction, Claim, Clean, Fails, MoreOf, NeverSays

POISON = r"address 00000104$"
GENERAL_PROTECTION = r"address 0xdead000000000108$"
COUNTED = "the stretch is as long as the code says"
NOT_LRU = r"^VM_BUG_ON_PAGE\(!PageLRU\(page\)\)"

CLAIMS = (
    Claim(
        "000.1",
        "Alexander Sverdlin's question",
        "In 5.4, PageLRU may change between the test without the right lock and the use under it.",
        (Fails("000.54-base"),),
    ),
    Claim(
        "000.2",
        "Alexander Sverdlin's question",
        "In 5.17, where the lock belongs to the memcg, it may change.",
        (Fails("000.517-base"),),
    ),
    Claim(
        "000.3",
        "Michal Hocko",
        "It cannot: the last reference is gone, and whoever isolates a page takes one first, "
        "unless it is zero. In 5.4:",
        (Clean("000.54-base"), Fails("000.isolate-noref", NOT_LRU)),
    ),
    Claim(
        "000.19",
        "Michal Hocko",
        "In 5.17 the same keeps PageLRU, and with it the memcg, and with that the lock.",
        (
            Clean("000.517-base"),
            Fails("000.isolate-noref-517", r"^VM_BUG_ON_FOLIO\(!folio_test_lru\(folio\)\)"),
            Fails("000.move-account-noisolate"),
        ),
    ),
    Claim(
        "000.20",
        "Alexander Sverdlin's question",
        "The assertion under the second lock fires from time to time: nothing stops it.",
        (Fails("000.54-base", NOT_LRU),),
        note="000.isolate-noref shows that it can: it is the first to see that reclaim has taken a "
        "reference from zero.",
    ),
    Claim(
        "000.4",
        "invariant I1",
        "Only a holder of a reference, or the one who dropped the last, may touch PG_lru: putback "
        "that sets it after letting go of the page breaks 5.4 and 5.17.",
        (
            Fails("000.putback-late-setlru-54"),
            Clean("000.54-base"),
            Fails("000.putback-late-setlru"),
            Clean("000.517-base"),
        ),
        rare={"000.putback-late-setlru": 5, "000.putback-late-setlru-54": 2},
    ),
    Claim(
        "000.5",
        "invariant I2, Nick Piggin 2006",
        "A walker has to take its reference first, and unless zero, before it touches PG_lru.",
        (
            Fails("000.isolate-testclear-first"),
            Fails("000.isolate-noref"),
            Fails("000.get-from-zero"),
            Clean("000.54-base"),
            Fails("000.isolate-testclear-first-517"),
            Fails("000.isolate-noref-517"),
            Clean("000.517-base"),
        ),
    ),
    Claim(
        "000.6",
        "invariant I3",
        "A page's list changes only under the lru_lock that owns it, not under another node's.",
        (Fails("000.no-lock-swap"), Clean("000.54-base")),
    ),
    Claim(
        "000.7",
        "invariant I4, Alex Shi's series",
        "From 5.11 on, the memcg may change only while the page is isolated.",
        (Fails("000.move-account-noisolate", r"lruvec"), Clean("000.517-base")),
    ),
    Claim(
        "000.21",
        "comment in pagevec_lru_move_fn",
        "So who has a reference only must clear PG_lru before reading which lock is the page's.",
        (
            Fails("000.pagevec-move-no-testclear", r"lruvec_memcg\(lruvec\) != memcg"),
            Fails("000.pagevec-move-no-testclear-nodebug"),
            Clean("000.517-base"),
        ),
        rare={
            "000.pagevec-move-no-testclear": 3,
            "000.pagevec-move-no-testclear-nodebug": 10,
        },
    ),
    Claim(
        "000.22",
        "ours",
        "The rules say who and when, and not how: a holder of a reference who stores a whole word "
        "of flags keeps them all, and PG_lru comes back or gets lost.",
        (Fails("000.nonatomic-flag", r"LRU"),),
    ),
    Claim(
        "000.8",
        "ours, against the reading on the list",
        "The oops does not show page->lru.next == NULL, from which it would follow that nobody had "
        "list_del'd the page before: the address would be another.",
        (NeverSays("000.driver-clears-lru", POISON),),
        by_construction="with next NULL the store goes to 00000004, the offset of prev alone",
    ),
    Claim(
        "000.9",
        "ours, from the registers in the report",
        "Address 0x104 is LIST_POISON1 plus the offset of prev: release_pages unlinks a page that "
        "had been list_del'd. DEBUG_LIST says so in words; on 64 bit it is another fault.",
        (
            Fails("000.get-from-zero-nodebug", POISON, function="release_pages_v5_4"),
            NeverSays("000.driver-clears-lru", POISON),
            Fails("000.get-from-zero-debug-list", r"->next is LIST_POISON1$"),
            Fails("000.get-from-zero-517-nodebug", GENERAL_PROTECTION),
        ),
    ),
    Claim(
        "000.10",
        "a fix that suggests itself",
        "Testing PageLRU again under the lock repairs a get from zero.",
        (Clean("000.recheck-lock-get-from-zero"),),
    ),
    Claim(
        "000.11",
        "ours",
        "It only hides it: nobody runs into poison any more, and the page is freed twice. "
        "DEBUG_LIST sees no list_del of poison either, only now and then a list that is broken.",
        (
            Fails("000.get-from-zero-debug-list", r"LIST_POISON"),
            NeverSays("000.recheck-lock-get-from-zero-debug-list", r"LIST_POISON"),
            Fails("000.recheck-lock-get-from-zero-debug-list", r"^list_add corruption"),
            NeverSays("000.recheck-lock-get-from-zero", POISON),
            Fails("000.recheck-lock-get-from-zero", r"^double free$"),
            Clean("000.recheck-lock"),
        ),
    ),
    Claim(
        "000.12",
        "a fix that suggests itself",
        "Holding both locks over the swap is safe.",
        (Clean("000.hold-both-locks"),),
    ),
    Claim(
        "000.23",
        "ours",
        "And where it does not deadlock, interrupts stay off: each swap starts a batch of 32 anew.",
        (MoreOf("000.hold-both-locks-latency", "000.batch-limit", "irq_off_points"),),
        by_construction="the stretch is as long as the code says: it is counted, not found",
    ),
    Claim(
        "000.13",
        "the design before 2006",
        "Clearing PG_lru first works if release takes the lock first, and not otherwise.",
        (
            Clean("000.isolate-lock-first-release"),
            Clean("000.isolate-lock-first-release-unless-zero"),
            Fails("000.isolate-testclear-first"),
        ),
    ),
    Claim(
        "000.24",
        "the kernels before 2.6.17",
        "What made it work was a second look at the count under the lock.",
        (
            Fails("000.isolate-lock-first-release-norecheck"),
            Clean("000.isolate-lock-first-release-count"),
        ),
        note="Until 2.6.6 reclaim could also give back what it had taken from zero before release "
        "got the lock; from 2.6.7 on it took its increment back under the lock. With a get unless "
        "zero the second look is not needed.",
        rare={"000.isolate-lock-first-release-count": 5},
    ),
    Claim(
        "000.25",
        "the fix of 2.6.7",
        "Taking back an increment from zero, under the lock, makes the second look enough.",
        (Clean("000.isolate-lock-first-release-testone"),),
        note="As long as nobody gets unless zero without the lock, as page_idle or compaction do "
        "today: he finds the count raised, and his put is the second one to make it 0 "
        "(000.isolate-lock-first-release-testone-scanner).",
    ),
    Claim(
        "000.14",
        "comment in move_pages_to_lru",
        "Putback has to set PG_lru before it drops its reference, or it lists a page that another "
        "CPU is freeing.",
        (
            Fails("000.putback-late-setlru-54", r"^VM_BUG_ON_PAGE\(PageLRU\(page\)\)"),
            Fails("000.putback-late-setlru", r"^VM_BUG_ON_(FOLIO\(folio_test|PAGE\(!folio_match)"),
        ),
        rare={"000.putback-late-setlru": 5, "000.putback-late-setlru-54": 4},
    ),
    Claim(
        "000.15",
        "release_pages",
        "The lock has to be dropped before a compound page is released.",
        (Fails("000.compound-keep-lock", r"^deadlock on &pgdat->lru_lock$", always=True),),
    ),
    Claim(
        "000.16",
        "release_pages",
        "Dropping the lock every 32 pages is for interrupt latency and not for correctness.",
        (
            Clean("000.no-batch-limit"),
            ByConstruction(
                MoreOf("000.no-batch-limit", "000.batch-limit", "irq_off_points"), COUNTED
            ),
            Clean("000.no-batch-limit-517"),
            ByConstruction(
                MoreOf("000.no-batch-limit-517", "000.batch-limit-517", "irq_off_points"), COUNTED
            ),
        ),
    ),
    Claim(
        "000.17",
        "ours, from the taints in the report",
        "An out-of-tree owner that links page->lru of an LRU page gives the very same oops, in "
        "release_pages.",
        (Fails("000.driver-uses-lru", POISON, function="release_pages_v5_4"),),
    ),
    Claim(
        "000.26",
        "ours",
        "A put too many frees the page under its owners: DEBUG_VM says so at once, and without it "
        "a bad page is found later, or two owners.",
        (
            Fails("000.extra-put", r"page_ref_count\(page\) == 0|non-NULL mapping"),
            Fails("000.extra-put-nodebug", r"nonzero _refcount"),
            Fails("000.extra-put-realloc", r"nonzero _refcount|^double free$"),
            Clean("000.realloc"),
        ),
        note="Poison is seldom among what it comes to, and not excluded: a few runs in a thousand "
        "of 000.extra-put-nodebug and 000.extra-put-realloc fault at 0xfc, 0x100 or 0x104.",
    ),
    Claim(
        "000.27",
        "ours, from the allocator",
        "A page comes out of the allocator with poisoned links. If somebody has stored PG_lru back "
        "into it while it was free, its next owner's release faults at 0x104, in release_pages.",
        (
            Fails("000.late-flag-realloc", POISON, function="release_pages_v5_4"),
            Clean("000.buffers"),
        ),
        note="Free, allocate, 0x104. It takes no second owner, but a module that changes flags of "
        "a page it has let go of; without DEBUG_VM nobody looks at the flags in between.",
        rare={"000.late-flag-realloc": 3},
    ),
    Claim(
        "000.18",
        "Alexander Sverdlin's report",
        "What was the root cause of that crash?",
        note="The thread ends without one. The taints say that a bad page had been reported before "
        "and that an out-of-tree module was loaded; several variants give the same oops.",
    ),
)
