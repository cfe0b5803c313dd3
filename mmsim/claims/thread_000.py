# SPDX-License-Identifier: GPL-2.0-only
"""Claims of thread 000: PageLRU and the lock swap in release_pages (April 2022)."""

from mmsim.claims.model import Claim, Clean, Fails, MoreOf, NeverSays

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
        "It cannot: the last reference is gone, and whoever isolates a page takes one first.",
        (Clean("000.54-base"), Clean("000.517-base"), Fails("000.isolate-noref")),
    ),
    Claim(
        "000.4",
        "invariant I1",
        "Only a holder of a reference, or the one who dropped the last, may touch PG_lru.",
        (Fails("000.get-from-zero"), Fails("000.nonatomic-flag"), Clean("000.54-base")),
    ),
    Claim(
        "000.5",
        "invariant I2, Nick Piggin 2006",
        "A walker has to take its reference, unless zero, before it touches PG_lru.",
        (Fails("000.isolate-noref"), Fails("000.isolate-testclear-first"), Clean("000.54-base")),
    ),
    Claim(
        "000.6",
        "invariant I3",
        "A page's list changes only under the lru_lock that owns it.",
        (Fails("000.driver-uses-lru"), Clean("000.54-base")),
    ),
    Claim(
        "000.7",
        "invariant I4, Alex Shi's series",
        "From 5.11 on, the memcg may change only while the page is isolated.",
        (
            Fails("000.move-account-noisolate"),
            Fails("000.pagevec-move-no-testclear"),
            Clean("000.517-base"),
        ),
    ),
    Claim(
        "000.8",
        "the reading on the list",
        "The oops shows page->lru.next == NULL: nobody had list_del'd the page before.",
        (Fails("000.get-from-zero-nodebug", r"address 00000004"),),
    ),
    Claim(
        "000.9",
        "ours, from the registers in the report",
        "Address 0x104 is LIST_POISON1 plus the offset of prev: the page had been list_del'd.",
        (
            Fails("000.get-from-zero-nodebug", r"address 00000104"),
            Fails("000.get-from-zero-debug-list", r"LIST_POISON1"),
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
        "It only hides it: no word about the LRU any more, and the page is freed twice.",
        (
            Fails("000.recheck-lock-get-from-zero", r"double free|Bad page|refcount|ref_count"),
            NeverSays("000.recheck-lock-get-from-zero", r"PageLRU|list_del"),
            Clean("000.recheck-lock"),
        ),
    ),
    Claim(
        "000.12",
        "a fix that suggests itself",
        "Holding both locks over the swap closes the window.",
        (Clean("000.hold-both-locks"),),
    ),
    Claim(
        "000.13",
        "the design before 2006",
        "Clearing PG_lru first works if release takes the lock first and looks at the count again.",
        (
            Clean("000.isolate-lock-first-release"),
            Fails("000.isolate-lock-first-release-norecheck"),
        ),
    ),
    Claim(
        "000.14",
        "comment in move_pages_to_lru",
        "Putback has to set PG_lru before it drops its reference.",
        (Fails("000.putback-late-setlru"), Clean("000.54-base")),
    ),
    Claim(
        "000.15",
        "release_pages",
        "The lock has to be dropped before a compound page is released.",
        (Fails("000.compound-keep-lock", r"deadlock", always=True),),
    ),
    Claim(
        "000.16",
        "release_pages",
        "Dropping the lock every 32 pages is for interrupt latency and not for correctness.",
        (
            Clean("000.no-batch-limit"),
            MoreOf("000.no-batch-limit", "000.batch-limit", "irq_off_points"),
        ),
    ),
    Claim(
        "000.17",
        "ours, from the taints in the report",
        "An out-of-tree owner that links page->lru of an LRU page gives the very same oops.",
        (Fails("000.driver-uses-lru", r"address 00000104"),),
    ),
    Claim(
        "000.18",
        "Alexander Sverdlin's report",
        "What was the root cause of that crash?",
        note="The thread ends without one. The taints say that a bad page had been reported before "
        "and that an out-of-tree module was loaded; several variants give the same oops.",
    ),
)
