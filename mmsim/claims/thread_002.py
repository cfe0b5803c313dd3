# SPDX-License-Identifier: GPL-2.0-only
"""Claims of thread 002: freeing an LRU page at interrupt time (February 2002)."""

from mmsim.claims.model import Claim, Clean, Fails, Metric

CLAIMS = (
    Claim(
        "002.1",
        "Gerd Knorr's oops, Hugh Dickins",
        "In 2.4.17 a page on the LRU whose last reference goes through put_page is a BUG; one that "
        "goes through page_cache_release is not.",
        (
            Fails("002.base2417-put-page", r"page_alloc\.c:84"),
            Clean("002.base2417-cache-release"),
        ),
    ),
    Claim(
        "002.2",
        "Hugh Dickins",
        "With lru_cache_del inside __free_pages_ok, a free from an interrupt can hang an SMP "
        "machine: pagemap_lru_lock is not safe there.",
        (Fails("002.pre9-irq-smp", r"deadlock on pagemap_lru_lock"),),
    ),
    Claim(
        "002.3",
        "Hugh Dickins",
        "On UP, where the lock compiles away, the same free corrupts the LRU instead.",
        (Fails("002.pre9-irq-up"),),
    ),
    Claim(
        "002.4",
        "Andrea Arcangeli",
        "As long as nobody frees such a page from an interrupt, the code of 2.4.18-pre is right.",
        (Clean("002.pre9-process"),),
    ),
    Claim(
        "002.5",
        "Hugh Dickins, withdrawn by him; taken in 2.4.20",
        "BUG if in_interrupt: catches every interrupt-time free and harms nobody else.",
        (
            Fails("002.in-interrupt-bug", r"page_alloc\.c"),
            Clean("002.in-interrupt-bug-process"),
        ),
    ),
    Claim(
        "002.6",
        "Rik van Riel",
        "A special list for pages freed in an interrupt solves it.",
        (Clean("002.special-list"),),
    ),
    Claim(
        "002.7",
        "Hugh Dickins of his own patch of 7 February",
        "The first rework is fatally flawed: shrink_cache and the last put free the page twice.",
        (Fails("002.flawed", r"double free"),),
    ),
    Claim(
        "002.8",
        "Hugh Dickins, 12 February",
        "Flagging the leftover page with the page lock avoids that race.",
        (Clean("002.pagelocked"),),
        note="Under sequential consistency; see 002.17.",
    ),
    Claim(
        "002.9",
        "implied by the patch",
        "shrink_cache has to look at the page lock: count 0 alone is no licence to free.",
        (Fails("002.pagelocked-no-consumer-check", r"double free"), Clean("002.pagelocked")),
    ),
    Claim(
        "002.10",
        "implied by the patch",
        "The consumer has to unlock before it drops its reference.",
        (Fails("002.pagelocked-unlock-late", r"page_alloc\.c:82"),),
    ),
    Claim(
        "002.11",
        "Hugh Dickins",
        "Pages may stay parked at count 0 on the LRU until reclaim comes by, and that is all.",
        (Metric("002.pagelocked", "parked", ">"), Clean("002.pagelocked")),
    ),
    Claim(
        "002.12",
        "Andrea Arcangeli, Andrew Morton",
        "If being on the LRU holds a reference, freeing from any context is right.",
        (Clean("002.lru-holds-ref"),),
    ),
    Claim(
        "002.13",
        "Andrea Arcangeli",
        "Then every test for an exclusive page has to count one more.",
        (Fails("002.lru-holds-ref-cow-off-by-one"),),
    ),
    Claim(
        "002.14",
        "2.5.32, Andrew Morton",
        "Making the lock IRQ-safe is enough.",
        (Clean("002.irqsafe-lock"), Clean("002.lock-irqsave-no-count-check")),
        note="It is if shrink_cache leaves pages with count 0 alone.",
    ),
    Claim(
        "002.15",
        "folklore of IRQ-safe locks",
        "Every taker of an IRQ-safe lock has to disable interrupts; one who forgets deadlocks.",
        (Fails("002.irqsafe-half", r"deadlock"),),
    ),
    Claim(
        "002.16",
        "Hugh Dickins (an idea he dropped)",
        "A freed page could simply stay on the LRU.",
        (Clean("002.stay-on-lru-freed"),),
    ),
    Claim(
        "002.17",
        "Hugh Dickins's question",
        "Does the count 0 and page lock protocol need a memory barrier?",
        note="Needs loads that are reordered, which no engine here does yet. By analysis: a read "
        "barrier in shrink_cache between the two loads; none on the freeing side.",
    ),
)
