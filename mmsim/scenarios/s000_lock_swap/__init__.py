# SPDX-License-Identifier: GPL-2.0-only
"""Thread 000: what keeps PageLRU true while release_pages() swaps locks?

linux-mm, 5 April 2022.  A 5.4.170 on 32-bit ARM dies in release_pages(), freeing the pages of a
tmpfs file that has been unlinked: "NULL pointer dereference at virtual address 00000104".  The
reporter looks at the code, of 5.4 and of 5.17.  PG_lru is tested without a lock, or under the lock
of the previous page's node (5.17: of its memcg and node); only then is the right lock taken.  What
if the page leaves the LRU in between?

The answer of the thread: it cannot.  The test comes after the last reference is gone, and everybody
who takes pages off the LRU takes a reference first, unless the count is zero.  As rules, and the
variant that drops each:

  I1  PG_lru is set or cleared only by the holder of a reference, or by the one whose put made the
      count 0                                                 000.putback-late-setlru
  I2  who finds a page by its frame number or on a list takes a reference, unless zero, before
      touching PG_lru: first takes it                         000.isolate-testclear-first
      and unless zero                                         000.isolate-noref, 000.get-from-zero
  I3  a page's list changes only under the lru_lock that owns it
                                                              000.no-lock-swap
  I4  the lock that owns a page changes (5.11 on: with its memcg) only while the page is isolated
                                                              000.move-account-noisolate

Who breaks I2 breaks I1 as well wherever the count is 0: reclaim that clears first clears the flag
of a page it has no reference to.  Putback breaks I1 alone: it had a reference, and has just let go
of it.  What the rules do not say is *how* the flag is changed: a holder of a reference who stores
the whole word keeps them all, and loses the flag (000.nonatomic-flag).

The kernel as it is (000.54-base, 000.517-base) is clean.  But the oops is just what a broken rule
looks like: 0x104 is LIST_POISON1 plus the offset of ``prev``, so somebody had unlinked the page
before.  With a reference taken from zero (000.get-from-zero-nodebug), on two CPUs:

  1  rm: put_page_testzero() makes the count 0; PG_lru is set; drops the lock of the last node
  2  a scanner finds the page by its frame number and takes a reference without looking: 1
  3  the scanner puts it: 0 once more; PG_lru is set; takes the lock, clears PG_lru, list_del
     leaves poison, drops the lock
  4  rm has the lock: list_del of a page that is poisoned, in release_pages()

It has to be this way round.  release_pages() links the page into a list of its own before it drops
the lock; had rm been first, the scanner's list_del would have found good neighbours, and nothing
would have been said until the page was freed twice, which is the more frequent end.

In 5.17 on 64 bit the same list_del is a general protection fault at dead000000000108
(000.get-from-zero-517-nodebug).  A page->lru that is NULL would give 0x4 and not 0x104
(000.driver-clears-lru).

The report is tainted "G B O": a bad page had been seen before, and an out-of-tree module was
loaded.  The thread ends without a root cause; 000.extra-put, 000.driver-uses-lru,
000.nonatomic-flag and 000.late-flag-realloc are what such a module may have done.  The last takes
no two owners: a page comes out of the allocator with poisoned links, and PG_lru is stored back into
it while it is free.

Before 2006 release_pages() took the lock first, and looked at the count again under it, because
reclaim could take a reference from zero.  That second look does not help if reclaim has put the
page again in the meantime (000.isolate-lock-first-release-count: fixed in 2.6.7); with a reference
unless zero it is not needed (000.isolate-lock-first-release-unless-zero).

The fix of 2.6.7 takes back an increment from zero.  With somebody who gets unless zero, and does
not hold the lock, it would not do (000.isolate-lock-first-release-testone-scanner):

  1  exit: put_page_testzero() makes the count 0; waits for the lock
  2  reclaim has the lock and increments: 1
  3  a scanner gets unless zero, which it is not: 2
  4  reclaim sees that it was 0, and takes its increment back: 1
  5  the scanner puts: 0.  It and exit have both made the count 0, and under the lock it still is

With 8 CPUs the first finding takes well below a second, and about half of one where a window is two
statements wide (000.putback-late-setlru, 000.isolate-lock-first-release-count).  With two CPUs the
latter takes ten seconds: whoever released the page has to be off its CPU for a whole round of
reclaim, which with as many CPUs as tasks is a matter of speed, and with two of preemption.
"""

from mmsim.scenarios.api import ALWAYS, NEVER, SOMETIMES, Scenario, Variant
from mmsim.scenarios.s000_lock_swap.casts import ANY, known_cast
from mmsim.scenarios.s000_lock_swap.stage import SMALL, check, setup

DEBUG = {"DEBUG_VM": True, "PREEMPT": True}
DEBUG_LIST = {"DEBUG_LIST": True, "PREEMPT": True}
NODEBUG = {"PREEMPT": True}
TRACER = {**DEBUG, "IRQSOFF_TRACER": True}

POISON = r"NULL pointer dereference at virtual address 00000104"
NULL = r"NULL pointer dereference at virtual address 0000000[04]$"
NOT_LRU = r"^VM_BUG_ON_(PAGE\(!PageLRU\(page\)\)|FOLIO\(!folio_test_lru\(folio\)\))"
STILL_LRU = r"^VM_BUG_ON_(PAGE|FOLIO)\((PageLRU|folio_test_lru)\("
DOUBLE_FREE = r"^double free$"
BAD_PAGE = r"^BUG: Bad page state"

# A page with two owners, or on two lists: where it shows first is a matter of luck.
AFTERMATH = (
    DOUBLE_FREE,
    BAD_PAGE,
    NOT_LRU,
    STILL_LRU,
    r"^list_(add|del) corruption",
    r"^a list walk ran into the head of another list",
    r"^(LRU|per-CPU free|buddy free) list ",
    r"^LRU size counter differs",
    r"^WARNING: mem_cgroup_update_lru_size: lru_size is negative$",
    r"^kernel BUG at mm/vmscan.c:1743!",
    r"^VM_BUG_ON_PAGE\(page_count\(page\) && ",
    r"^VM_BUG_ON_PAGE\(page_ref_count\(page\) == 0\)",
    r"^VM_BUG_ON_PAGE\(page->flags & PAGE_FLAGS_CHECK_AT_PREP\)",
    r"at virtual address 000000fc",
    r"at virtual address 000001(00|04|22|26)",
    r"general protection fault, .* address 0xdead000000000(0f8|100|108|122|12a)",
    r"^livelock: ",
    r"^page is (free|twice|on|left)",
    r"^page has ",
    r"^reference count differs",
    r"^PG_lru is set and ",
)


def _variant(id, summary, expect, *findings, cast=ANY, gates=(), config=DEBUG, era="5.4", **more):
    gates = (gates,) if isinstance(gates, str) else gates
    cast = known_cast(cast, era)
    return Variant(
        f"000.{id}", summary, expect, findings, gates, config, era=era, cast=cast, **more
    )


BASE = (
    _variant(
        "54-base", "5.4 as it is: the lock belongs to the node", NEVER,
        against=(
            "000.get-from-zero", "000.isolate-noref", "000.isolate-testclear-first",
            "000.putback-late-setlru-54", "000.no-lock-swap", "000.hold-both-locks",
            "000.compound-keep-lock", "000.extra-put", "000.nonatomic-flag", "000.driver-uses-lru",
            "000.driver-clears-lru",
        ),
    ),
    _variant(
        "517-base", "5.17 as it is: the lock belongs to the memcg, and charges move", NEVER,
        era="5.17",
        against=(
            "000.get-from-zero-517-nodebug", "000.isolate-noref-517",
            "000.isolate-testclear-first-517", "000.putback-late-setlru",
            "000.move-account-noisolate", "000.pagevec-move-no-testclear",
        ),
    ),
    _variant(
        "batch-limit", "5.4, an exit of 66 pages: interrupts on again every 32", NEVER,
        cast="exit", config=TRACER, metrics={"irq_off_points": "< 1500"},
        against="000.compound-keep-lock",
    ),
    _variant(
        "hold-both-locks-latency", "the swap under both locks: no end to a stretch of swaps", NEVER,
        cast="exits", gates="release-hold-both-locks",
        config=TRACER, metrics={"irq_off_points": "> 1500"},
    ),
    _variant(
        "no-batch-limit", "the lock is kept to the end: longer with interrupts off", NEVER,
        cast="exit", gates="release-no-batch-limit",
        config=TRACER, metrics={"irq_off_points": "> 2000"},
        against="000.compound-keep-lock",
    ),
    _variant(
        "batch-limit-517", "5.17, the same exit", NEVER,
        cast="exit", era="5.17", config=TRACER, metrics={"irq_off_points": "< 1800"},
        against="000.pagevec-move-no-testclear",
    ),
    _variant(
        "no-batch-limit-517", "5.17 with the lock kept to the end", NEVER,
        cast="exit", era="5.17", gates="release-no-batch-limit", config=TRACER,
        metrics={"irq_off_points": "> 2400"},
        against="000.pagevec-move-no-testclear",
    ),
)

ZERO = (
    _variant(
        "get-from-zero", "a scanner takes a reference from zero", SOMETIMES,
        r"page_ref_zero_or_close_to_overflow", NOT_LRU, *AFTERMATH,
        cast="walk", gates="get-from-zero",
    ),
    _variant(
        "get-from-zero-debug-list", "the same, as DEBUG_LIST sees it", SOMETIMES,
        r"^list_del corruption, ->next is LIST_POISON1", *AFTERMATH,
        cast="walk", gates="get-from-zero",
        config=DEBUG_LIST,
    ),
    _variant(
        "get-from-zero-nodebug", "the same, unseen: the oops of the report", SOMETIMES,
        POISON, *AFTERMATH,
        cast="walk", gates="get-from-zero",
        config=NODEBUG,
    ),
    _variant(
        "get-from-zero-517-nodebug", "the same in 5.17, on 64 bit: no address at all", SOMETIMES,
        r"address 0xdead000000000108$", *AFTERMATH,
        cast="walk", gates="get-from-zero",
        config=NODEBUG, era="5.17",
    ),
    _variant(
        "recheck-lock", "PG_lru is tested again under the lock: a fix that suggests itself", NEVER,
        gates="release-recheck-lru",
        against="000.recheck-lock-get-from-zero",
    ),
    _variant(
        "recheck-lock-get-from-zero", "that fix hides a get from zero: a double free", SOMETIMES,
        DOUBLE_FREE, *AFTERMATH,
        cast="walk", gates=("release-recheck-lru", "get-from-zero"),
        config=NODEBUG,
    ),
    _variant(
        "recheck-lock-get-from-zero-debug-list", "the same, as DEBUG_LIST sees it", SOMETIMES,
        DOUBLE_FREE, r"^list_add corruption", *AFTERMATH,
        cast="walk", gates=("release-recheck-lru", "get-from-zero"),
        config=DEBUG_LIST,
    ),
    _variant(
        "extra-put", "a driver drops a reference too many", ALWAYS,
        r"^VM_BUG_ON_PAGE\(page_ref_count\(page\) == 0\)", r"non-NULL mapping$",
        r"^VM_BUG_ON_(PAGE|FOLIO)\(!(PageLocked|folio_test_locked)", *AFTERMATH,
        cast="driver", gates="driver-extra-put",
    ),
    _variant(
        "extra-put-nodebug", "the same without DEBUG_VM: seen late, if at all", ALWAYS,
        BAD_PAGE, *AFTERMATH,
        cast="driver", gates="driver-extra-put",
        config=NODEBUG,
    ),
    _variant(
        "extra-put-realloc", "the same, and others allocate what it frees", ALWAYS,
        POISON, BAD_PAGE, *AFTERMATH,
        cast="realloc", gates="driver-extra-put",
        config=NODEBUG,
    ),
    _variant(
        "realloc", "the same people without the driver's mistake", NEVER,
        cast="realloc", against="000.late-flag-realloc",
    ),
)

ISOLATION = (
    _variant(
        "isolate-noref", "reclaim isolates with a plain increment (drops I2)", SOMETIMES,
        NOT_LRU, r"nonzero _refcount$", *AFTERMATH,
        cast="reclaim", gates="isolate-plain-get",
    ),
    _variant(
        "isolate-noref-517", "the same in 5.17: the assertion comes after the list_del", SOMETIMES,
        NOT_LRU, r"lruvec_memcg\(lruvec\) != (root_mem_cgroup|memcg)", r"nonzero _refcount$",
        r"VM_WARN_ON_ONCE_FOLIO\(!memcg && !mem_cgroup_disabled\(\)\)", *AFTERMATH,
        cast="reclaim", gates="isolate-plain-get", era="5.17",
    ),
    _variant(
        "isolate-testclear-first", "reclaim clears PG_lru before it gets (drops I2)", SOMETIMES,
        STILL_LRU, r"PAGE_FLAGS_CHECK_AT_FREE", *AFTERMATH,
        cast="reclaim", gates="isolate-testclear-first",
    ),
    _variant(
        "isolate-testclear-first-517", "the same in 5.17", SOMETIMES,
        STILL_LRU, r"PAGE_FLAGS_CHECK_AT_FREE", *AFTERMATH,
        cast="reclaim", gates="isolate-testclear-first", era="5.17",
    ),
    _variant(
        "isolate-lock-first-release", "the same, and release takes the lock first", NEVER,
        cast="reclaim",
        gates=("isolate-testclear-first", "release-lock-first", "release-recheck-count"),
        against=("000.isolate-testclear-first", "000.isolate-lock-first-release-count"),
    ),
    _variant(
        "isolate-lock-first-release-unless-zero", "without a second look at the count", NEVER,
        cast="reclaim",
        gates=("isolate-testclear-first", "release-lock-first"),
        against=("000.isolate-testclear-first", "000.isolate-lock-first-release-norecheck"),
    ),
    _variant(
        "isolate-lock-first-release-testone", "2.6.7 to 2.6.16: the increment taken back", NEVER,
        cast="rounds",
        gates=("isolate-testone", "release-lock-first", "release-recheck-count"),
        against="000.isolate-lock-first-release-count",
    ),
    _variant(
        "isolate-lock-first-release-testone-scanner", "who gets unless zero meets it", SOMETIMES,
        DOUBLE_FREE, *AFTERMATH,
        cast="scanned",
        gates=("isolate-testone", "release-lock-first", "release-recheck-count"),
        policy="urw",
    ),
    _variant(
        "isolate-lock-first-release-count", "until 2.6.6: reclaim may get from zero", SOMETIMES,
        DOUBLE_FREE, *AFTERMATH,
        cast="rounds",
        gates=("isolate-count-then-get", "release-lock-first", "release-recheck-count"),
        config=NODEBUG,
    ),
    _variant(
        "isolate-lock-first-release-norecheck", "and no second look at the count", SOMETIMES,
        DOUBLE_FREE, r"nonzero _refcount$", *AFTERMATH,
        cast="rounds",
        gates=("isolate-count-then-get", "release-lock-first"),
        config=NODEBUG,
    ),
    _variant(
        "putback-late-setlru", "5.17 putback lets go before it sets PG_lru (drops I1)", SOMETIMES,
        r"^list_add ", STILL_LRU, r"!folio_matches_lruvec", *AFTERMATH,
        cast="rounds", gates="putback-late-setlru", era="5.17",
    ),
    _variant(
        "putback-late-setlru-54", "the same in 5.4", SOMETIMES,
        r"^list_add ", STILL_LRU, *AFTERMATH,
        cast="rounds", gates="putback-late-setlru",
    ),
)

LOCKS = (
    _variant(
        "move-account-noisolate", "charge moving relists a page in sight (drops I4)", SOMETIMES,
        r"lruvec_memcg\(lruvec\) != memcg", r"!folio_matches_lruvec", *AFTERMATH,
        cast="charge", gates="move-account-noisolate", era="5.17",
    ),
    _variant(
        "pagevec-move-no-testclear", "5.17 pagevec moves look at PG_lru as in 5.4", SOMETIMES,
        r"lruvec_memcg\(lruvec\) != memcg", *AFTERMATH,
        cast="charge", gates="pagevec-move-no-testclear", era="5.17",
    ),
    _variant(
        "pagevec-move-no-testclear-nodebug", "the same: a list_del under another's lock", SOMETIMES,
        r"^LRU size counter differs", *AFTERMATH,
        cast="charge", gates="pagevec-move-no-testclear", era="5.17", config=NODEBUG,
    ),
    _variant(
        "no-lock-swap", "release_pages keeps the first node's lock (drops I3)", SOMETIMES,
        r"^LRU list is not whole", *AFTERMATH,
        gates="release-no-lock-swap",
    ),
    _variant(
        "hold-both-locks", "the next lock is taken before the last is dropped: ABBA", SOMETIMES,
        r"^deadlock on &pgdat->lru_lock$",
        gates="release-hold-both-locks",
    ),
    _variant(
        "compound-keep-lock", "a compound page is freed under the lock it needs", ALWAYS,
        r"^deadlock on &pgdat->lru_lock$",
        cast="exit", gates="release-compound-keep-lock",
    ),
)

DRIVER = (
    _variant(
        "nonatomic-flag", "a driver sets a flag of a visible page by load and store", SOMETIMES,
        STILL_LRU, r"^VM_BUG_ON_(PAGE|FOLIO)\(!(PageLocked|folio_test_locked)", *AFTERMATH,
        r"^INFO: task blocked",  # PG_locked came back
        cast="driver", gates="nonatomic-page-flag",
    ),
    _variant(
        "late-flag-realloc", "it stores PG_lru back into a free page: 0x104", SOMETIMES,
        POISON, BAD_PAGE, *AFTERMATH,
        cast="buffers", gates="driver-late-flag", config=NODEBUG,
    ),
    _variant(
        "buffers", "the same people without that store", NEVER, cast="buffers", config=NODEBUG,
    ),
    _variant(
        "driver-uses-lru", "a driver links page->lru of an LRU page: the oops again", ALWAYS,
        POISON, *AFTERMATH,
        cast="driver", gates="driver-uses-lru",
        config=NODEBUG,
    ),
    _variant(
        "driver-clears-lru", "a driver fills page->lru of an LRU page with zeroes: 0x4", SOMETIMES,
        NULL, *AFTERMATH,
        cast="cleared", gates="driver-clears-lru",
        config=NODEBUG,
    ),
)

SCENARIO = Scenario(
    id="000",
    name="lock_swap_release_pages",
    title="PageLRU and the lock swap in release_pages()",
    story=__doc__,
    thread='linux-mm, 5 April 2022, Alexander Sverdlin, "mm: swap: locking in release_pages()"',
    era="5.4",
    setup=setup,
    check=check,
    max_steps=24_000,
    casts=SMALL,
    variants=BASE + ZERO + ISOLATION + LOCKS + DRIVER,
)
