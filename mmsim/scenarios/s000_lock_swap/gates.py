# SPDX-License-Identifier: GPL-2.0-only
"""Gates of thread 000: PG_lru and the lock swap in release_pages() (5.4, 5.17).

All are mutations: the kernel as it is turned out to be right, so the thread proposed no patch.
Some restore what the kernel did before March 2006: ``release-lock-first`` with
``release-recheck-count``, and reclaim with ``isolate-count-then-get`` until 2.6.6, with
``isolate-testone`` (Andrew Morton's fix of May 2004) from 2.6.7 on.
"""

from mmsim.model.gate import Gate, declare


def _mutation(name, meaning):
    return Gate(name, "000", "", "", meaning, kind="mutation")


declare(
    # how pages are released
    _mutation("release-recheck-lru", "release_pages tests PG_lru again under the lock and skips"),
    _mutation("release-lock-first", "release_pages takes the LRU lock before it looks at PG_lru"),
    _mutation("release-recheck-count", "with release-lock-first: frees only if the count is 0 yet"),
    _mutation("release-no-lock-swap", "release_pages keeps the first node's lock to the end"),
    _mutation("release-hold-both-locks", "release_pages takes the next lock before it drops one"),
    _mutation("release-compound-keep-lock", "release_pages frees compound pages under the lock"),
    _mutation("release-no-batch-limit", "release_pages does not drop the lock every 32 pages"),
    # how pages are isolated and put back
    _mutation("isolate-plain-get", "reclaim takes its reference with a plain increment"),
    _mutation("isolate-testclear-first", "reclaim clears PG_lru before it takes its reference"),
    _mutation("isolate-count-then-get", "reclaim clears PG_lru, tests the count, then increments"),
    _mutation("isolate-testone", "reclaim clears PG_lru, increments, and takes it back if from 0"),
    _mutation("putback-late-setlru", "putback drops its reference before it sets PG_lru"),
    _mutation("pagevec-move-no-testclear", "pagevec moves of 5.17 test PG_lru, as 5.4 does"),
    _mutation("move-account-noisolate", "charge moving relists the page without isolating it"),
    # users of pages
    _mutation("get-from-zero", "a scanner takes its reference without looking at the count"),
    _mutation("driver-extra-put", "a driver drops a reference it does not have"),
    _mutation("driver-late-flag", "a driver stores a flag of a page after it has let go of it"),
    _mutation("driver-uses-lru", "a driver links page->lru of a page that is on the LRU"),
    _mutation("driver-clears-lru", "a driver fills page->lru of such a page with zeroes"),
    _mutation("nonatomic-page-flag", "a driver sets a flag of a visible page by load and store"),
)
