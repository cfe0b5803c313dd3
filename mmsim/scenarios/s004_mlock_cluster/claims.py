# SPDX-License-Identifier: GPL-2.0-only
"""Claims of thread 004: mlock from try_to_unmap_cluster without the page lock (January 2014).

The mail is a list of reasons why code is safe.  004.2 to 004.13 take them one by one, in the order
of the mail; then come the other voices of the thread, and what the runs have shown besides.
"""

from mmsim.claims.model import Claim, Clean, Fails, Metric, MoreOf, NoneSays

STRANDED = "^PG_mlocked page is mapped in no VM_LOCKED vma"

THE_REPORT = (
    Claim(
        "004.1",
        "Sasha Levin's report",
        "Reclaim of a page in a nonlinear VM_LOCKED vma hits BUG_ON(!PageLocked); no race needed.",
        (Fails("004.base", r"mlock\.c:82", always=True),),
    ),
)

THE_MAIL = (
    Claim(
        "004.2",
        "Motohiro Kosaki",
        "There is no race that the page lock could close: without the assertion nothing happens.",
        (
            Clean("004.no-bug-on"),
            Metric("004.no-bug-on", "missed_after_rescan", "=="),
            Metric("004.order-no-lock", "mlocks_undone", "=="),
        ),
        note="Nothing is damaged. What is left is order: a mark can be taken back as it is set.",
    ),
    Claim(
        "004.3",
        "Motohiro Kosaki",
        "__munlock_pagevec() clears PG_mlocked without the page lock.",
        (
            Metric("004.order-merged", "cleared_unlocked", ">"),
            Metric("004.order-both", "cleared_unlocked", "=="),
        ),
        note="Since it works in batches, 3.12; the second line is munlock changed to take it.",
    ),
    Claim(
        "004.4",
        "Motohiro Kosaki",
        "That is safe, since only the last VM_LOCKED matters and mmap_sem protects that.",
        (
            Clean("004.order-merged"),
            Fails("004.no-mmap-sem", STRANDED),
            Metric("004.order-merged", "mlocks_undone", "=="),
        ),
        note="mmap_sem keeps out mlockers of the same mm. Another mm's mark is taken back, which "
        "is harmless because mlock is lazy, and not because of mmap_sem.",
    ),
    Claim(
        "004.5",
        "Motohiro Kosaki",
        "Whoever isolates a page puts it back with putback_lru_page(), so that it ends on the "
        "right list.",
        (Clean("004.merged"), Fails("004.putback-no-recheck", "stranded on the unevictable list")),
        note="Thanks to its second look: the second line is without.",
    ),
    Claim(
        "004.6",
        "Motohiro Kosaki",
        "Hence the page lock in try_to_unmap_cluster() closes nothing against munlock.",
        (
            Metric("004.order-no-lock", "mlocks_undone", ">"),
            Metric("004.order-merged", "mlocks_undone", ">"),
        ),
        note="Marks are taken back with the patch as without; somewhat fewer, since pages that are "
        "skipped are not marked at all. It would take both sides: 004.16.",
    ),
    Claim(
        "004.7",
        "Motohiro Kosaki",
        "migrate_page_copy() is protected by isolation and the page lock.",
        (
            Clean("004.merged"),
            Metric("004.munlock-page-lock-no-refcheck", "moved_under_pin", "=="),
        ),
        note="Not by these two alone. In the second line everybody takes the page lock, and only "
        "the comparison of references is missing: the page goes while munlock has it pinned. "
        "PG_mlocked is not even copied: see 004.33.",
    ),
    Claim(
        "004.8",
        "Motohiro Kosaki",
        "The fault path takes the page lock and does not isolate, which is right.",
        (Clean("004.fault-page-lock"), Fails("004.fault-no-page-lock")),
        note="The lock is needed against truncate; migration would stumble over the reference.",
    ),
    Claim(
        "004.9",
        "Motohiro Kosaki",
        "try_to_unmap_cluster() takes no page lock, but ensures that the page is isolated.",
        (Metric("004.no-bug-on", "cluster_on_lru", "=="),),
        note="True of check_page only: of the others that it meets many are on the LRU.",
    ),
    Claim(
        "004.10",
        "Motohiro Kosaki",
        "The page lock in do_wp_page() is not for the LRU, as its comment says.",
        (
            Metric("004.wp-no-lock", "cleared_unlocked", ">"),
            NoneSays("004.wp-no-lock", "list|LRU|stranded on"),
            Fails("004.wp-no-lock-dbg", r"^kernel BUG at mm/rmap\.c:1657!"),
        ),
        note="Pages are munlocked without the lock in every run, and no list is harmed; nor is one "
        "in any order with two switches (tests/scenarios/test_004_every_order.py). What insists on "
        "the lock is the search for other lockers (the third line), and what goes wrong without it "
        "is a mark too many (004.wp-no-lock); beside truncate that search meets a page without a "
        "mapping, which every order of a small cast shows and no random run has (cow-truncate).",
    ),
    Claim(
        "004.11",
        "Motohiro Kosaki",
        "It is for migration.",
        (
            Fails("004.wp-no-lock-migration"),
            Metric("004.wp-no-lock-migration", "migrations_refused", "=="),
        ),
        note="The reference keeps migration off, which is seen (the second line). That nothing "
        "happens is more than random runs can say; it is so in every order with two switches "
        "(tests/scenarios/test_004_every_order.py). The lock is for reclaim, which has seen the "
        "old pte and marks the page once it is munlocked (004.wp-no-lock), and for the search for "
        "other lockers, which insists on it (004.wp-no-lock-dbg). Where migration does not compare "
        "references it does harm, with the page lock as well as without it "
        "(tests/explore/test_proofs.py).",
    ),
    Claim(
        "004.12",
        "Motohiro Kosaki",
        "Testing PageMlocked before the trylock is safe, and saves trylocks.",
        (
            Clean("004.kosaki"),
            Metric("004.kosaki", "missed_after_rescan", "=="),
            MoreOf("004.merged", "004.kosaki", "trylocks"),
        ),
    ),
    Claim(
        "004.13",
        "Motohiro Kosaki",
        "If a page is missed because of it, the next pass of reclaim does the job.",
        (
            Metric("004.kosaki", "mlocks_repaired", ">"),
            Metric("004.kosaki", "missed_after_rescan", "=="),
        ),
    ),
    Claim(
        "004.14",
        "Motohiro Kosaki",
        "It is nothing recent: it has been there for five years.",
        note="History, and not to be run. The unevictable list is of 2.6.28, December 2008, which "
        "agrees; a VM_LOCKED nonlinear vma is merely rare.",
    ),
)

THE_THREAD = (
    Claim(
        "004.15",
        "Linus Torvalds",
        "TestSetPageMlocked without a lock gives no order against a munlocker: a mark can be taken "
        "back before its page is moved, and the mlock is missed.",
        (
            Metric("004.order-no-lock", "mlocks_undone", ">"),
            Metric("004.order-no-lock", "undone_missed", ">"),
        ),
    ),
    Claim(
        "004.16",
        "Linus Torvalds",
        "The page lock gives that order.",
        (
            Metric("004.order-both", "mlocks_undone", "=="),
            Metric("004.order-merged", "mlocks_undone", "=="),
        ),
        note="If both take it. What was merged makes one of the two take it.",
    ),
    Claim(
        "004.17",
        "Vlastimil Babka",
        "A missed mlock is repaired by the next pass of reclaim.",
        (
            Metric("004.order-no-lock", "mlocks_repaired", ">"),
            Metric("004.order-no-lock", "missed_after_rescan", "=="),
            Metric("004.no-bug-on", "missed_after_rescan", "=="),
        ),
    ),
    Claim(
        "004.18",
        "Vlastimil Babka; merged in 3.15",
        "Trylock, and skip what is locked: no assertion, no deadlock, and nothing lost for good.",
        (
            Clean("004.merged"),
            Metric("004.merged", "trylock_skipped", ">"),
            Metric("004.merged", "missed_after_rescan", "=="),
        ),
    ),
    Claim(
        "004.19",
        "Vlastimil Babka",
        "What keeps migration off a page that is being marked or munlocked is its reference.",
        (
            Metric("004.merged", "migrations_refused", ">"),
            Metric("004.migrate-no-refcheck", "moved_under_pin", ">"),
            Clean("004.migrate-mapped"),
        ),
        note="Where references are not compared nothing else stops it (the second line). A pte "
        "that is left is seen by the count as well: 004.migrate-mapped does without the test.",
    ),
    Claim(
        "004.20",
        "Mel Gorman",
        "The page lock is of no use to munlock against migration.",
        (
            Clean("004.merged"),
            Metric("004.munlock-page-lock-no-refcheck", "moved_under_pin", ">"),
        ),
        note="Without it nothing happens; with it, and without the comparison of references, the "
        "page is moved under munlock all the same.",
    ),
    Claim(
        "004.21",
        "Wanpeng Li",
        "It is enough to assert the lock of check_page.",
        (
            Clean("004.wanpeng"),
            Metric("004.wanpeng", "missed_after_rescan", "=="),
        ),
        note="As good as deleting the assertion, and it leaves the same order open.",
    ),
)

WAYS_TO_GO_WRONG = (
    Claim(
        "004.22",
        "a fix that suggests itself",
        "Waiting for the page lock works as well as trying it.",
        (Clean("004.lock-page"),),
        note="It sleeps under the page table lock, and check_page is its own.",
    ),
    Claim(
        "004.23",
        "the merged patch",
        "check_page must not be trylocked like the others: it is locked already and would never be "
        "mlocked; reclaim comes back for it for ever.",
        (
            Metric("004.trylock-no-checkpage", "check_page_mlocked", "=="),
            Metric("004.trylock-no-checkpage", "missed_after_rescan", ">"),
            Metric("004.merged", "check_page_mlocked", ">"),
        ),
    ),
    Claim(
        "004.24",
        "the merged patch",
        "Nor unlocked like the others: the lock is the caller's.",
        (Fails("004.unlock-checkpage", r"^kernel BUG at mm/(filemap\.c:610|rmap\.c:1657)!"),),
        by_construction="the variant unlocks the page, and the caller's unlock_page() asserts that "
        "it is locked",
    ),
    Claim(
        "004.25",
        "the rule taken at its word",
        "If PG_mlocked is only set under the page lock, setting it need not be atomic.",
        (Clean("004.nonatomic-mlocked"),),
        note="It is cleared without, and the word's other flags change under other locks.",
    ),
    Claim(
        "004.26",
        "ours",
        "munlock needs its pin: without, the page is freed under it.",
        (
            Fails("004.munlock-nopin", "^list_|double free|Bad page|LRU|free list|fault"),
            Clean("004.merged"),
        ),
        rare={"004.munlock-nopin": 3},
    ),
    Claim(
        "004.27",
        "3b25df93c6e3",
        "The pin must not be dropped under lru_lock: it may be the last reference.",
        (Fails("004.munlock-put-in-lock", "deadlock on .*lru_lock"), Clean("004.merged")),
    ),
    Claim(
        "004.28",
        "do_wp_page()",
        "The page that was copied has to be munlocked: no vma of this mm maps it any more.",
        (Fails("004.wp-no-munlock", STRANDED), Clean("004.merged")),
    ),
)

WHAT_ELSE = (
    Claim(
        "004.29",
        "exit_mmap()",
        "At exit nobody else has the mm, so that mmap_sem need not be taken.",
        (Clean("004.exit-race"),),
        note="Reclaim has: it comes by way of the file. Its own comment admits it.",
    ),
    Claim(
        "004.30",
        "try_to_unmap_cluster()",
        "If mmap_sem cannot be had, the vma may be taken for one that is not VM_LOCKED.",
        (
            Clean("004.unmap-busy"),
            Metric("004.unmap-busy", "locked_unmapped", "=="),
        ),
        note="The code says it by doing so: pages that mlock(2) has promised to keep are unmapped, "
        "munlock does not find them, and if others map them they stay marked.",
    ),
    Claim(
        "004.31",
        "ours",
        "Leaving such a vma alone would be right.",
        (
            Clean("004.unmap-busy-skip"),
            Metric("004.unmap-busy-skip", "locked_unmapped", "=="),
            Metric("004.unmap-busy-skip", "missed_after_rescan", "=="),
        ),
    ),
    Claim(
        "004.32",
        "__munlock_pagevec()",
        "NR_MLOCK stays exact, since every clear counts.",
        (Clean("004.nr-mlock"),),
        note="Not those of pages that somebody else had isolated; mended in 2017 by Yisheng Xie. "
        "All other variants are with that.",
    ),
    Claim(
        "004.33",
        "mlock_migrate_page()",
        "The copy takes the mark over from the page that migrates.",
        (Metric("004.migrate-forgets", "missed_mlocks", "=="),),
        note="Since 3.7 unmapping has cleared it by then. Reclaim sets it again.",
    ),
    Claim(
        "004.34",
        "Hugh Dickins, 2015",
        "The mark has to be set again where the mapping is put back.",
        (
            MoreOf("004.migrate-forgets", "004.migrate-remembers", "missed_mlocks"),
            Metric("004.migrate-remembers", "missed_mlocks", "=="),
            Clean("004.migrate-remembers"),
        ),
    ),
    Claim(
        "004.35",
        "ours",
        "If migration did not compare references, munlock would leave a wrong mark behind.",
        (Fails("004.migrate-no-refcheck"), Fails("004.munlock-page-lock-no-refcheck")),
        note="Before 3.7 it would: the mark was moved to the new page, where munlock, which clears "
        "the old one's, did not look. Since then the last unmap has cleared it. What the "
        "comparison protects is whoever reads and writes through a reference, which these runs "
        "do not look at, and the last unmap itself: page_remove_rmap() takes the page off the "
        "ptes first and clears the mark then, and only the count tells migration to wait "
        "(tests/explore/test_proofs.py, with do_wp_page()).",
    ),
)

CLAIMS = (*THE_REPORT, *THE_MAIL, *THE_THREAD, *WAYS_TO_GO_WRONG, *WHAT_ELSE)
