# SPDX-License-Identifier: GPL-2.0-only
"""Thread 000: what keeps PageLRU true while release_pages() swaps locks?

linux-mm, 5 April 2022.  A 5.4.170 on 32-bit ARM dies in release_pages(), freeing the pages of a
tmpfs file that has been unlinked: "NULL pointer dereference at virtual address 00000104".  The
reporter looks at the code, of 5.4 and of 5.17.  PG_lru is tested without a lock, or under the lock
of the previous page's node (5.17: of its memcg and node); only then is the right lock taken.  What
if the page leaves the LRU in between?

The answer of the thread: it cannot.  The test comes after the last reference is gone, and everybody
who takes pages off the LRU takes a reference first, unless the count is zero.  As rules:

  I1  PG_lru is set or cleared only by the holder of a reference, or by the one whose put made the
      count 0                                            dropped by 000.isolate-testclear-first
  I2  who finds a page by its frame number or on a list takes a reference unless zero before
      touching PG_lru                                    dropped by 000.isolate-noref
  I3  a page's list changes only under the lru_lock that owns it
                                                         dropped by 000.no-lock-swap
  I4  the lock that owns a page changes only while the page is isolated (5.11 on: memcg)
                                                         dropped by 000.move-account-noisolate

The kernel as it is (000.54-base, 000.517-base) is clean.  But the oops is just what a violated rule
looks like: 0x104 is LIST_POISON1 plus the offset of ``prev``, so somebody had unlinked the page
before.  With a reference taken from zero (000.get-from-zero-nodebug):

  1  rm: put_page_testzero() makes the count 0; PG_lru is set; waits for the lock
  2  a walker finds the page by its frame number and takes a reference without looking: 1
  3  the walker puts it: 0 once more, and PG_lru is still set
  4  rm gets the lock: clears PG_lru, list_del leaves poison, unlock
  5  the walker gets the lock: list_del of a page that is poisoned

The report is tainted "G B O": a bad page had been seen before, and an out-of-tree module was
loaded.  The thread ends without a root cause; 000.extra-put, 000.driver-uses-lru and
000.nonatomic-flag are what such a module may have done.

Median time to the first finding is below a second for every variant that has one.
"""

from mmsim.scenarios.api import ALWAYS, NEVER, SOMETIMES, Scenario, Variant
from mmsim.scenarios.lock_swap_boot import check, setup

DEBUG = {"DEBUG_VM": True, "PREEMPT": True}
DEBUG_LIST = {"DEBUG_LIST": True, "PREEMPT": True}
NODEBUG = {"PREEMPT": True}
TRACER = {**DEBUG, "IRQSOFF_TRACER": True}

POISON = "NULL pointer dereference at virtual address 00000104"


def _variant(id, summary, expect, *findings, gates=(), config=DEBUG, **more):
    gates = (gates,) if isinstance(gates, str) else gates
    return Variant(f"000.{id}", summary, expect, findings, gates, config, **more)


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
    variants=(
        _variant("54-base", "5.4 as it is: the lock belongs to the node", NEVER),
        _variant("517-base", "5.17 as it is: the lock belongs to the memcg, charges are moved", NEVER, era="5.17"),
        # the two zero transitions
        _variant("get-from-zero", "a pfn walker takes a reference from zero", SOMETIMES, "x", gates="get-from-zero"),
        _variant("get-from-zero-debug-list", "the same, seen by DEBUG_LIST", SOMETIMES, "x", gates="get-from-zero", config=DEBUG_LIST),
        _variant("get-from-zero-nodebug", "the same, seen by nobody: the oops of the report", SOMETIMES, "x", gates="get-from-zero", config=NODEBUG),
        _variant("recheck-lock", "PG_lru is tested again under the lock: a fix that suggests itself", NEVER, gates="release-recheck-lru"),
        _variant("recheck-lock-get-from-zero", "the second test hides a get from zero: a silent double free", SOMETIMES, "x", gates=("release-recheck-lru", "get-from-zero"), config=NODEBUG),
        _variant("extra-put", "a driver drops a reference too many", SOMETIMES, "x", gates="driver-extra-put"),
        _variant("extra-put-nodebug", "the same without DEBUG_VM: seen late", SOMETIMES, "x", gates="driver-extra-put", config=NODEBUG),
        # isolation
        _variant("isolate-noref", "reclaim isolates without looking at the count", SOMETIMES, "x", gates="isolate-plain-get"),
        _variant("isolate-noref-nodebug", "", SOMETIMES, "x", gates="isolate-plain-get", config=NODEBUG),
        _variant("isolate-testclear-first", "reclaim clears PG_lru, then takes a reference", SOMETIMES, "x", gates="isolate-testclear-first"),
        _variant("isolate-testclear-first-nodebug", "", SOMETIMES, "x", gates="isolate-testclear-first", config=NODEBUG),
        _variant("isolate-lock-first-release", "", NEVER, gates=("isolate-testclear-first", "release-lock-first", "release-recheck-count")),
        _variant("isolate-lock-first-release-unless-zero", "", NEVER, gates=("isolate-testclear-first", "release-lock-first")),
        _variant("isolate-lock-first-release-norecheck", "", SOMETIMES, "x", gates=("isolate-count-then-get", "release-lock-first"), config=NODEBUG),
        _variant("isolate-lock-first-release-count", "", SOMETIMES, "x", gates=("isolate-count-then-get", "release-lock-first", "release-recheck-count"), config=NODEBUG),
        _variant("putback-late-setlru", "putback drops its reference before it sets PG_lru", SOMETIMES, "x", gates="putback-late-setlru", era="5.17"),
        _variant("putback-late-setlru-54", "putback drops its reference before it sets PG_lru", SOMETIMES, "x", gates="putback-late-setlru"),
        _variant("move-account-noisolate", "", SOMETIMES, "x", gates="move-account-noisolate", era="5.17"),
        _variant("move-account-noisolate-nodebug", "", SOMETIMES, "x", gates="move-account-noisolate", era="5.17", config=NODEBUG),
        _variant("pagevec-move-no-testclear", "", SOMETIMES, "x", gates="pagevec-move-no-testclear", era="5.17"),
        _variant("pagevec-move-no-testclear-nodebug", "", SOMETIMES, "x", gates="pagevec-move-no-testclear", era="5.17", config=NODEBUG),
        _variant("nonatomic-flag", "", SOMETIMES, "x", gates="nonatomic-page-flag"),
        _variant("driver-uses-lru", "", SOMETIMES, "x", gates="driver-uses-lru", config=NODEBUG),
        _variant("no-lock-swap", "", SOMETIMES, "x", gates="release-no-lock-swap"),
        _variant("no-lock-swap-debug-list", "", SOMETIMES, "x", gates="release-no-lock-swap", config=DEBUG_LIST),
        _variant("hold-both-locks", "", SOMETIMES, "x", gates="release-hold-both-locks"),
        _variant("compound-keep-lock", "", ALWAYS, "x", gates="release-compound-keep-lock"),
        _variant("batch-limit", "", NEVER, config=TRACER),
        _variant("no-batch-limit", "", NEVER, gates="release-no-batch-limit", config=TRACER),
    ),
)
