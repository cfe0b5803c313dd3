# SPDX-License-Identifier: GPL-2.0-only
"""Gates of thread 002: freeing an LRU page at interrupt time (2.4.17 to 2.5.32)."""

from mmsim.model.gate import Gate, declare

declare(
    Gate(
        "ben-2002-01-01", "002", "2002-01-01", "Benjamin LaHaise",
        "__free_pages_ok takes a page off the LRU itself, whoever drops the last reference",
    ),
    Gate(
        "hugh-2002-02-06", "002", "2002-02-06", "Hugh Dickins",
        "BUG() if a page on the LRU is freed in an interrupt; withdrawn, yet in 2.4.20",
    ),
    Gate(
        "hugh-2002-02-07", "002", "2002-02-07", "Hugh Dickins",
        "__free_pages_ok leaves a page on the LRU, shrink_cache frees what has count 0; "
        "\"fatally flawed\" by its author's word",
    ),
    Gate(
        "hugh-2002-02-12", "002", "2002-02-12", "Hugh Dickins",
        "the same, but __free_pages_ok sets PG_locked when it gives the page up, and "
        "shrink_cache frees only what has count 0 and is locked",
    ),
    Gate(
        "rik-special-list", "002", "2002-02", "Rik van Riel",
        "in an interrupt a page on the LRU goes to a list of its own, which shrink_cache empties",
    ),
    Gate(
        "andrea-2002-02-14", "002", "2002-02-14", "Andrea Arcangeli, after Andrew Morton",
        "being on the LRU is a reference; shrink_cache frees what nobody else refers to",
    ),
    Gate(
        "hugh-stay-on-lru", "002", "2002-02", "Hugh Dickins",
        "freed pages may stay on the LRU; the BUG()s against it go",
    ),
    Gate(
        "gerd-2002-02-13", "002", "2002-02-13", "Gerd Knorr",
        "bttv drops its pins in the process that waits for the frame, not in the interrupt",
    ),
    Gate(
        "akpm-2.5.32", "002", "2002-08", "Andrew Morton",
        "pagemap_lru_lock is taken with interrupts off, and the last put looks at the count "
        "again under it",
    ),
    Gate(
        "npiggin-2006", "002", "2006-01", "Nick Piggin",
        "shrink_cache takes a reference only on a page that has one",
    ),
    Gate(
        "free-where-met", "002", "", "",
        "shrink_cache frees a page with count 0 on the LRU, besides those of the special list",
        kind="mutation",
    ),
    Gate(
        "special-list-plain-lock", "002", "", "",
        "shrink_cache takes the special list's lock with interrupts on", kind="mutation",
    ),
    Gate(
        "consumer-does-not-check", "002", "", "",
        "shrink_cache frees any page with count 0, locked or not", kind="mutation",
    ),
    Gate(
        "consumer-unlocks-late", "002", "", "",
        "shrink_cache drops the page before it unlocks it", kind="mutation",
    ),
    Gate(
        "count-one-left-out", "002", "", "",
        "nobody takes a page off the LRU before he drops its last reference: without the hunks "
        "in do_wp_page, free_page_and_swap_cache and free_swap_and_cache", kind="mutation",
    ),
    Gate(
        "get-before-trylock", "002", "", "",
        "shrink_cache takes a reference, unless there is none, before it tries for the page lock; "
        "closes the hole of 12 February", kind="mutation",
    ),
    Gate(
        "rmb-before-pagelocked", "002", "", "",
        "a read barrier in shrink_cache between count 0 and PageLocked", kind="mutation",
    ),
    Gate(
        "acquire-count", "002", "", "",
        "shrink_cache loads the count with acquire, which is all of that barrier that matters",
        kind="mutation",
    ),
    Gate(
        "mb-before-giving-up", "002", "", "",
        "a full barrier in __free_pages_ok before TryLockPage, on the other side", kind="mutation",
    ),
    Gate(
        "del-at-any-count", "002", "", "",
        "the three take it off whatever its count is", kind="mutation",
    ),
    Gate(
        "park-in-interrupt-only", "002", "2002-02-12", "Hugh Dickins, who disliked it",
        "__free_pages_ok leaves a page on the LRU only in an interrupt; a process takes it off",
    ),
    Gate(
        "cow-exclusive-at-two", "002", "", "",
        "a write fault takes count 2 for \"mine and the LRU's\" without asking the LRU",
        kind="mutation",
    ),
    Gate(
        "cow-exclusive-at-one", "002", "", "",
        "a write fault still asks for count 1, although the LRU has a reference", kind="mutation",
    ),
    Gate(
        "refill-plain-lock", "002", "", "",
        "refill_inactive still takes the LRU lock with interrupts on", kind="mutation",
    ),
)
