# SPDX-License-Identifier: GPL-2.0-only
"""Claims of thread 004: mlock from try_to_unmap_cluster without the page lock (January 2014)."""

from mmsim.claims.model import Claim, Clean, Fails, Metric, MoreOf

CLAIMS = (
    Claim(
        "004.1",
        "Sasha Levin's report",
        "Reclaim of a page in a nonlinear VM_LOCKED vma hits BUG_ON(!PageLocked); no race needed.",
        (Fails("004.base", r"mlock\.c:82", always=True),),
    ),
    Claim(
        "004.2",
        "Motohiro Kosaki",
        "There is no race that the page lock closes: without the assertion nothing goes wrong.",
        (Clean("004.no-bug-on"), Metric("004.no-bug-on", "missed_mlocks", "==")),
        note="No memory is corrupted; what can go wrong is an mlock that is missed until reclaim.",
    ),
    Claim(
        "004.3",
        "Linus Torvalds",
        "Without the page lock a mlocker and a munlocker are not ordered: an mlock can be missed.",
        (Metric("004.no-bug-on", "missed_mlocks", ">"),),
    ),
    Claim(
        "004.4",
        "ours",
        "A missed mlock is repaired by the next reclaim pass.",
        (Metric("004.no-bug-on", "missed_after_rescan", "=="), Clean("004.no-bug-on")),
    ),
    Claim(
        "004.5",
        "Vlastimil Babka; merged in 3.15",
        "Trylock and skip on failure: no assertion, no deadlock, and nothing lost for good.",
        (Clean("004.merged"), Metric("004.merged", "missed_after_rescan", "==")),
    ),
    Claim(
        "004.6",
        "Motohiro Kosaki",
        "Testing PageMlocked first is safe and saves trylocks.",
        (Clean("004.kosaki"), MoreOf("004.merged", "004.kosaki", "trylocks")),
    ),
    Claim(
        "004.7",
        "a fix that suggests itself",
        "Taking the lock for good (lock_page) instead of trying works as well.",
        (Clean("004.lock-page"),),
    ),
    Claim(
        "004.8",
        "Motohiro Kosaki",
        "try_to_unmap_cluster ensures that the pages it touches are isolated and locked.",
        (Clean("004.base"),),
    ),
    Claim(
        "004.9",
        "Motohiro Kosaki",
        "TestClearPageMlocked without the page lock in __munlock_pagevec is safe: mmap_sem guards "
        "it.",
        (Clean("004.merged"), Metric("004.merged", "missed_mlocks", "==")),
        note="mmap_sem excludes only mlockers of the same mm; another mm's can be undone.",
    ),
    Claim(
        "004.10",
        "Motohiro Kosaki",
        "A page isolated by anybody ends on the right list, thanks to putback_lru_page.",
        (Clean("004.merged"), Fails("004.putback-nobarrier")),
    ),
    Claim(
        "004.11",
        "Motohiro Kosaki, Mel Gorman",
        "The page lock does not help munlock against migration: taking it there gains nothing.",
        (Clean("004.munlock-page-lock"), Clean("004.merged")),
    ),
    Claim(
        "004.12",
        "Vlastimil Babka",
        "What protects PG_mlocked against migration is the reference, not the page lock.",
        (Fails("004.migrate-no-refcheck"), Clean("004.merged")),
    ),
    Claim(
        "004.13",
        "ours",
        "munlock needs its pin: without it the flag is cleared on the wrong page.",
        (Fails("004.munlock-nopin"), Clean("004.merged")),
    ),
    Claim(
        "004.14",
        "Kosaki's alternative rule",
        "If PG_mlocked were changed under the page lock only, it need not be atomic.",
        (Clean("004.nonatomic-mlocked"),),
        note="clear_page_mlock and __munlock_pagevec do not take the page lock.",
    ),
    Claim(
        "004.15",
        "3b25df93c6e3",
        "The last pin must not be dropped under lru_lock.",
        (Fails("004.munlock-put-in-lock", r"deadlock"),),
    ),
    Claim(
        "004.16",
        "the merged patch",
        "check_page must not be trylocked: it is locked already, and would never be mlocked.",
        (
            Metric("004.trylock-no-checkpage", "check_page_mlocked", "=="),
            Metric("004.merged", "check_page_mlocked", ">"),
        ),
    ),
    Claim(
        "004.17",
        "try_to_unmap_cluster",
        "mmap_sem is what keeps lazy mlock from marking pages after VM_LOCKED was cleared.",
        (Fails("004.no-mmap-sem"), Clean("004.merged")),
    ),
    Claim(
        "004.18",
        "Wanpeng Li's first patch",
        "Asserting the lock only for check_page is as good as deleting the assertion.",
        (Clean("004.wanpeng"), Clean("004.no-bug-on")),
    ),
    Claim(
        "004.19",
        "comment in the unmap path",
        "At exit, which takes no mmap_sem, reclaim can mlock a page again.",
        (Fails("004.exit-race"),),
    ),
)
