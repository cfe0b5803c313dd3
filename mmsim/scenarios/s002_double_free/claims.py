# SPDX-License-Identifier: GPL-2.0-only
"""Claims of thread 002: freeing an LRU page at interrupt time (February 2002)."""

from mmsim.claims.model import Claim, Clean, Fails, FailsSomewhere, Metric, NeverSays

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
        (
            Fails("002.pre9-irq-up", r"vmscan\.c:(358|360)|page_alloc\.c:213|inactive_list"),
            NeverSays("002.pre9-irq-up", "deadlock"),
        ),
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
            Fails("002.in-interrupt-bug", r"page_alloc\.c:95"),
            NeverSays("002.in-interrupt-bug", r"deadlock|_list|double free"),
            Clean("002.in-interrupt-bug-process"),
        ),
    ),
    Claim(
        "002.6",
        "Rik van Riel",
        "A special list for pages freed in an interrupt solves it.",
        (
            Clean("002.special-list"),
            Clean("002.special-list-plain-lock"),
            Clean("002.special-list-repaired"),
        ),
        note="If shrink_cache leaves such pages alone where it meets them on the LRU, and takes "
        "the list's lock with interrupts off.",
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
        note="That race, under sequential consistency (002.17).  The patch opens another: 002.24.",
    ),
    Claim(
        "002.9",
        "implied by the patch",
        "shrink_cache has to look at the page lock: count 0 alone is no licence to free.",
        (Fails("002.pagelocked-no-consumer-check", r"double free"), Clean("002.pagelocked")),
        rare={"002.pagelocked-no-consumer-check": 3},
    ),
    Claim(
        "002.10",
        "implied by the patch",
        "The consumer has to unlock before it drops its reference.",
        (Fails("002.pagelocked-unlock-late", r"page_alloc\.c:82"),),
        by_construction="The page is locked when the mutation drops it, and __free_pages_ok has a "
        "BUG() for a locked page.",
    ),
    Claim(
        "002.11",
        "Hugh Dickins",
        "A page left on the LRU at count 0 stays there until shrink_cache comes by, which frees it "
        "in due course.",
        (
            Metric("002.pagelocked", "parked", ">"),
            Metric("002.pagelocked", "left_parked", ">"),
            Metric("002.pagelocked", "consumed", ">"),
            Clean("002.pagelocked"),
        ),
        note="Clean says that a scan after each run freed all that were left (left_parked).",
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
        (
            Fails("002.lru-holds-ref-cow-off-by-one", "writable for one process"),
            Metric("002.lru-holds-ref-cow-lost-reuse", "cow_reused", "=="),
            Metric("002.lru-holds-ref", "cow_reused", ">"),
        ),
        note="And has to ask whether the page is on the LRU: a constant 2 is as wrong as a "
        "constant 1.",
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
        rare={"002.stay-on-lru-freed": 3},
    ),
    Claim(
        "002.17",
        "Hugh Dickins's question",
        "Does the count 0 and page lock protocol need a memory barrier?",
        (
            FailsSomewhere(
                (
                    "002.pagelocked-no-rmb",
                    "002.pagelocked-putter-mb",
                    "002.pagelocked-alpha",
                    "002.pagelocked-ppc",
                ),
                r"filemap\.c:802|double free",
            ),
            Clean("002.pagelocked-rmb"),
            Clean("002.pagelocked-acquire"),
            Clean("002.pagelocked-alpha-rmb"),
            Clean("002.pagelocked-i386"),
            Clean("002.pagelocked-ia64"),
            Clean("002.pagelocked-in-order"),
        ),
        note="It does: a read barrier in shrink_cache between the count and the lock, or an "
        "acquire load of the count.  The four that lack it fail in about one run of 250 each.  A "
        "barrier on the freeing side does not help, and none is needed there.  In four lines of "
        "code the answer is a proof: tests/litmus/data/pagelocked+*.litmus.",
    ),
    Claim(
        "002.18",
        "Benjamin LaHaise",
        "If the process has unmapped the page, whoever pinned it for I/O is left with the last "
        "reference, and drops it in an interrupt, a bottom half or, perhaps, a task.",
        (
            Metric("002.pagelocked", "parked_in_interrupt", ">"),
            Metric("002.pagelocked", "parked_in_process", ">"),
        ),
    ),
    Claim(
        "002.19",
        "Hugh Dickins",
        "The BUG in an interrupt cannot go forward: such a free is no mistake of the driver, and "
        "already happens.",
        (
            Fails("002.in-interrupt-bug", r"page_alloc\.c:95"),
            Clean("002.pagelocked"),
        ),
        note="2.4.20 has the BUG all the same: by then the driver had been changed (002.5).",
    ),
    Claim(
        "002.20",
        "Hugh Dickins, who disliked the idea",
        "To decide by in_interrupt() whether to leave the page on the LRU would do, in a smaller "
        "patch.",
        note="Almost.  __free_pages_ok goes on taking the LRU lock in a process, which keeps "
        "swapoff from the hole of 002.24.  An interrupt it leaves in it: full swap can take a page "
        "that has buffers out of the swap cache and leave a pin with the last reference.  That is "
        "too rare for the runs of a claim; tests/scenarios/test_002_every_order.py shows it.",
    ),
    Claim(
        "002.21",
        "Hugh Dickins",
        "To take a page off the LRU at count 1, just before the last reference goes, is safe in "
        "each of three places: do_wp_page, free_page_and_swap_cache, free_swap_and_cache.",
        (
            Clean("002.pagelocked"),
            Metric("002.pagelocked", "count_one_do_wp_page", ">"),
            Metric("002.pagelocked", "count_one_free_page_and_swap_cache", ">"),
            Metric("002.pagelocked", "count_one_free_swap_and_cache", ">"),
        ),
        note="The metrics count how often a run came by: clean where nobody was is worth nothing.  "
        "More than safe: lru_cache_del waits for whoever holds the page lock without a reference, "
        "so that without the three the hole of 002.24 is open to every exit (002.23).",
    ),
    Claim(
        "002.22",
        "Hugh Dickins",
        "It is the count of 1 that makes it so: a page with another user must stay where it is.",
        (
            Fails("002.pagelocked-del-at-any-count", "in use and on no LRU list"),
            Clean("002.pagelocked"),
        ),
    ),
    Claim(
        "002.23",
        "Hugh Dickins",
        "Those three are where it is most often needed: with them a page is left over only now and "
        "then. The patch is right without them.",
        (
            Metric("002.pagelocked", "parked", ">"),
            Clean("002.pagelocked-no-count-one"),
        ),
        note="A page is left over now and then, but without the three the patch is not right: the "
        "hole of 002.24 is open to every exit.",
        rare={"002.pagelocked-no-count-one": 5},
    ),
    Claim(
        "002.24",
        "Hugh Dickins",
        "Pages are left over by try_to_unuse, too, and that is all right.",
        (
            Metric("002.pagelocked-swapoff", "left_parked", ">"),
            Clean("002.pagelocked-swapoff"),
        ),
        note="They are, and it is not all right: shrink_cache locks a page without a reference, "
        "and nothing makes the last put wait for it any more.  In every order of the two: "
        "tests/scenarios/test_002_every_order.py.",
        rare={"002.pagelocked-swapoff": 5},
    ),
    Claim(
        "002.25",
        "Hugh Dickins",
        "With the patch __free_pages_ok never takes pagemap_lru_lock, so nobody has to think of "
        "that order of locks again.",
        (
            Metric("002.pagelocked", "lru_lock_in_free", "=="),
            Metric("002.pre9-process", "lru_lock_in_free", ">"),
        ),
        note="True, and it is the hole: that lock is what kept a last put from meeting a page that "
        "shrink_cache has locked (002.24).",
    ),
    Claim(
        "002.26",
        "Andrea Arcangeli, Rik van Riel, Benjamin LaHaise, as Hugh Dickins reports",
        "page_cache_release, put_page and __free_page ought to do the same.",
        (
            Fails("002.base2417-put-page", r"page_alloc\.c:84"),
            Clean("002.base2417-cache-release"),
            Clean("002.pagelocked"),
        ),
        note="A preference. In 2.4.17 they differ, and who takes the wrong one crashes; in "
        "002.pagelocked the network uses the one, everybody else the other.",
    ),
    Claim(
        "002.27",
        "the comment in shrink_cache that the patch replaces",
        "A page with count 0 on the LRU is being freed by somebody; to pass it by is right.",
        (
            Metric("002.base2417-cache-release", "met_at_count_zero", ">"),
            Clean("002.base2417-cache-release"),
        ),
    ),
    Claim(
        "002.28",
        "Hugh Dickins of van Riel's list",
        "It has the same race: shrink_cache meets the page on the LRU with count 0.",
        (Fails("002.special-list", "double free"), Clean("002.special-list-repaired")),
    ),
    Claim(
        "002.29",
        "Andrea Arcangeli of van Riel's list",
        "Its lock has to be safe in interrupts, which everybody pays for.",
        (
            Fails("002.special-list-plain-lock", "deadlock on deferred_lock"),
            Clean("002.special-list-repaired"),
        ),
        note="That it is needed; what it costs is no question for a simulator.",
    ),
)
