# SPDX-License-Identifier: GPL-2.0-only
"""Thread 003: how can a migration entry point to a page that is not locked?

A page that moves is taken away from its users for a moment.  In place of every pte there is a
migration entry; who runs into one sleeps until the page is unlocked.

    M  migration: locks the page
    M  under the PTL: pte -> migration entry, for every pte that rmap finds
    F  faults.  Under the PTL: an entry; BUG_ON(the page is not locked); queues itself; sleeps
    M  copies the page
    M  under the PTL: migration entry -> pte of the new page, for every entry that rmap finds
    M  unlocks the page: F wakes up and finds the new page

The BUG_ON fired (swapops.h:258).  Suspected was ffa65753c431 (5.17), after which F waits without a
reference to the page.  Alistair Popple's answer: the page is locked before the first entry is put
and unlocked after the last is removed, both under the PTL, so F cannot see what it saw.  He is
right, and the assertion is older than the commit.  But his proof assumes that M removes every entry
it has put, and that nobody else touches the lock bit.  Whenever the BUG was explained, in 2010,
2013 and 2022, an entry had not been found again:

    M  puts an entry at the address where the page is mapped
    S  moves the entry (exec its stack, mremap), or takes the vma off the tree, or ...
    M  looks at the old address, finds nothing, unlocks the page
    F  faults at the new address: BUG

What the thread's own report was remains open: the mail has no trace.

The variants take the argument apart, one statement at a time.  How long they take to show: the
order of unlock and removal (``003.unlock-first``) every few runs; a wake-up lost or a stale look a
few times in a hundred.
"""

from functools import partial

from mmsim.scenarios.api import NEVER, SOMETIMES, Scenario, Variant
from mmsim.scenarios.s003_migration_entry.casts import (
    anybody,
    devices,
    first_faults,
    fresh_pages,
    on_the_move,
    pairs_of_frames,
    read_into,
    reading_ahead,
    stacks_on_the_move,
    touched,
)
from mmsim.scenarios.s003_migration_entry.stage import check

MEETINGS = {
    "003.unlock-first": on_the_move,
    "003.unlock-first-516": on_the_move,
    "003.lost-bit": touched,
    "003.lost-bit-atomic": touched,
    "003.fresh-page-trylock": fresh_pages,
    "003.fresh-page-check-first": fresh_pages,
    "003.rmap-miss": stacks_on_the_move,
    "003.rmap-miss-no-bug": partial(stacks_on_the_move, using=(0, 2)),
    "003.rmap-skip-temp-vma": stacks_on_the_move,
    "003.stale-pte": partial(devices, share=3, pages=2),
    "003.stale-pte-no-bug": partial(devices, share=3, pages=2),
    "003.lock-under-ptl": partial(devices, pages=1),
    "003.drop-ptl-early": partial(devices, pages=1),
    "003.no-ptl-remove": partial(devices, share=2, pages=2),
    "003.lost-waiters": partial(devices, share=2, pages=2),
    "003.waiters-after-test": first_faults,
    "003.double-unlock": read_into,
    "003.pf-memalloc-lock": reading_ahead,
    "003.async-lock": reading_ahead,
    "003.newpage-blocking-lock": pairs_of_frames,
    "003.remove-bug-on-rmap-miss": partial(stacks_on_the_move, reuse=2),
}


def setup(m, v):
    """Boot the machine of the variant; ``003.base`` and a few others are ready for everybody."""
    MEETINGS.get(v.id, anybody)(m)


BUG = r"^kernel BUG at include/linux/swapops\.h:258!$"
NOT_LOCKED = (
    r"^VM_BUG_ON_FOLIO\(!folio_test_locked\(folio\)\)$",
    r"^VM_BUG_ON_PAGE\(!PageLocked\((new)?page\)\)$",
)
BAD_PAGE = (
    r"^BUG: Bad page state: PAGE_FLAGS_CHECK_AT_(PREP flag|FREE flag\(s\)) set$",
    r"^VM_BUG_ON_PAGE\(page->flags & PAGE_FLAGS_CHECK_AT_PREP\)$",
)
HUNG = r"^INFO: task blocked for more than 120 seconds$"
DEADLOCK = r"^deadlock on PG_locked$"
LEFT = r"^a migration entry is left$"
STUCK_BIT = r"^page is left locked$"
LIVELOCK = r"^livelock: no progress under fair scheduling$"

ATOMIC = r"^BUG: scheduling while atomic$"

DEBUG = {"DEBUG_VM": True, "PREEMPT": True}

SCENARIO = Scenario(
    id="003",
    name="migration_entry_unlocked_page",
    title="A migration entry points to an unlocked page",
    story=__doc__,
    era="5.17",
    thread="linux-mm, 2022, Alistair Popple on swapops.h:258 and ffa65753c431",
    setup=setup,
    check=check,
    max_steps=160_000,
    variants=(
        Variant(
            "003.base",
            "5.17 as it is; each run is one of the machines of the other variants",
            NEVER, config=DEBUG, metrics={"stalls": "== 0"},
            against=(
                "003.unlock-first", "003.lost-bit", "003.fresh-page-trylock", "003.rmap-miss",
                "003.stale-pte", "003.lock-under-ptl", "003.drop-ptl-early", "003.no-ptl-remove",
                "003.lost-waiters", "003.waiters-after-test", "003.double-unlock",
                "003.pf-memalloc-lock", "003.async-lock", "003.newpage-blocking-lock",
            ),
        ),
        Variant(
            "003.unlock-first",
            "migration unlocks the old page before it removes the entries",
            SOMETIMES, (BUG, NOT_LOCKED[1]), ("unlock-first",), DEBUG,
        ),
        Variant(
            "003.unlock-first-516",
            "the same before ffa65753c431: the assertion is older",
            SOMETIMES, (BUG, NOT_LOCKED[1]), ("unlock-first",), DEBUG, era="5.16",
        ),
        Variant(
            "003.lost-bit",
            "somebody sets another flag of the page by load and store: PG_locked is lost between",
            SOMETIMES, (BUG, *NOT_LOCKED, HUNG, STUCK_BIT), ("lost-bit",), DEBUG,
        ),
        Variant(
            "003.lost-bit-atomic",
            "the same flag, set atomically",
            NEVER, config=DEBUG,
            against="003.lost-bit",
        ),
        Variant(
            "003.fresh-page-trylock",
            "a pfn walker locks a page before it looks whose it is, and so does its owner",
            SOMETIMES, NOT_LOCKED, ("fresh-page-trylock",), DEBUG,
        ),
        Variant(
            "003.fresh-page-check-first",
            "it looks first, locks, and looks again",
            NEVER, config=DEBUG,
            against="003.fresh-page-trylock",
        ),
        Variant(
            "003.rmap-miss",
            "exec moves its stack while one of its pages is migrated: removal misses the entry",
            SOMETIMES, (BUG,), ("rmap-miss",), DEBUG,
        ),
        Variant(
            "003.rmap-miss-no-bug",
            "the same without the assertion: nothing is said, and the fault never ends",
            SOMETIMES, (LIVELOCK, LEFT), ("rmap-miss", "remove-bug-on"), DEBUG,
        ),
        Variant(
            "003.rmap-skip-temp-vma",
            "migration leaves the stack of an unfinished exec alone, as it does since 2010",
            NEVER, config=DEBUG,
            against="003.rmap-miss",
        ),
        Variant(
            "003.stale-pte",
            "the fault looks up the page of a pte that it has read without the PTL: a false alarm",
            SOMETIMES, (BUG,), ("stale-pte",), DEBUG,
        ),
        Variant(
            "003.old-get",
            "5.16: the fault holds a reference as it sets out to wait, and migration tries again",
            NEVER, config=DEBUG, era="5.16", metrics={"eagain": "> 0"},
            against="003.unlock-first-516",
        ),
        Variant(
            "003.stale-pte-no-bug",
            "the same without the assertion: it was about nothing",
            NEVER, (), ("stale-pte", "remove-bug-on"), DEBUG,
            against="003.stale-pte",
        ),
        Variant(
            "003.wait-with-reference",
            "older than 5.0: the fault keeps its reference while it sleeps",
            NEVER, (), ("wait-with-reference",), DEBUG, era="5.16", metrics={"eagain": "> 0"},
            against="003.unlock-first-516",
        ),
        Variant(
            "003.lock-under-ptl",
            "the fault takes the page lock itself, under the PTL: it sleeps with a spinlock",
            SOMETIMES, (ATOMIC,), ("lock-under-ptl",), DEBUG,
        ),
        Variant(
            "003.drop-ptl-early",
            "the fault drops the PTL before it is queued, and has no reference: the page is freed",
            SOMETIMES, (*BAD_PAGE, HUNG), ("drop-ptl-early",), DEBUG,
        ),
        Variant(
            "003.no-ptl-remove",
            "entries are removed without the PTL",
            SOMETIMES, (BUG, *BAD_PAGE, HUNG), ("no-ptl-remove",), DEBUG,
        ),
        Variant(
            "003.lost-waiters",
            "a flag of the old page is cleared by load and store: PG_waiters is lost, nobody wakes",
            SOMETIMES, (HUNG,), ("lost-waiters",), DEBUG,
        ),
        Variant(
            "003.waiters-after-test",
            "a waiter sets PG_waiters after it has looked at PG_locked",
            SOMETIMES, (HUNG,), ("waiters-after-test",), DEBUG,
        ),
        Variant(
            "003.double-unlock",
            "a bio completes twice, and the second time unlocks somebody else's lock",
            SOMETIMES, (BUG, *NOT_LOCKED), ("double-unlock",), DEBUG,
        ),
        Variant(
            "003.pf-memalloc-lock",
            "direct compaction sleeps for page locks, one of which its own caller holds",
            SOMETIMES, (DEADLOCK,), ("pf-memalloc-lock",), DEBUG,
        ),
        Variant(
            "003.async-lock",
            "MIGRATE_ASYNC sleeps for page locks",
            SOMETIMES, (DEADLOCK,), ("async-lock",), DEBUG, metrics={"stalls": "> 0"},
        ),
        Variant(
            "003.newpage-blocking-lock",
            "migration sleeps for the new page's lock, holding the old one's",
            SOMETIMES, (DEADLOCK,), ("newpage-blocking-lock",), DEBUG,
        ),
        Variant(
            "003.remove-bug-on",
            "the wrong fix, on a kernel that has nothing to fix",
            NEVER, (), ("remove-bug-on",), DEBUG, metrics={"unlocked_entries": "== 0"},
            against="003.remove-bug-on-rmap-miss",
        ),
        Variant(
            "003.remove-bug-on-rmap-miss",
            "the wrong fix on a kernel that misses entries, while frames are used again",
            SOMETIMES, (LIVELOCK, LEFT, HUNG), ("rmap-miss", "remove-bug-on"), DEBUG,
            metrics={"unlocked_entries": "> 0"},
        ),
    ),
)
