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

from mmsim.scenarios.api import NEVER, SOMETIMES, Scenario, Variant
from mmsim.scenarios.s003_migration_entry.casts import CASTS, known_cast
from mmsim.scenarios.s003_migration_entry.small import SMALL
from mmsim.scenarios.s003_migration_entry.stage import check


def setup(m, v):
    """Boot the machine of the variant, with its cast."""
    CASTS[v.cast](m)


BUG = r"^kernel BUG at include/linux/swapops\.h:258!$"
NOT_LOCKED = (
    r"^VM_BUG_ON_FOLIO\(!folio_test_locked\(folio\)\)$",
    r"^VM_BUG_ON_PAGE\(!PageLocked\((new)?page\)\)$",
)
BAD_PAGE = (
    r"^BUG: Bad page state: PAGE_FLAGS_CHECK_AT_(PREP|FREE) flag\(s\) set$",
    r"^VM_BUG_ON_PAGE\(page->flags & PAGE_FLAGS_CHECK_AT_PREP\)$",
)
HUNG = r"^INFO: task blocked for more than 120 seconds$"
DEADLOCK = r"^deadlock on PG_locked$"
LEFT = r"^a migration entry is left$"
STUCK_BIT = r"^page is left locked$"
LIVELOCK = r"^livelock: no progress under fair scheduling$"

ATOMIC = r"^BUG: scheduling while atomic$"

DEBUG = {"DEBUG_VM": True, "PREEMPT": True}
PLAIN = {"PREEMPT": True}

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
    casts=SMALL,
    variants=(
        Variant(
            "003.base",
            "5.17 as it is; each run is one of the machines of the other variants",
            NEVER, config=DEBUG, metrics={"stalls": "== 0"},
            cast="anybody",
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
            cast="on-the-move",
        ),
        Variant(
            "003.unlock-first-516",
            "the same before ffa65753c431: the assertion is older",
            SOMETIMES, (BUG, NOT_LOCKED[1]), ("unlock-first",), DEBUG, era="5.16",
            cast="on-the-move",
        ),
        Variant(
            "003.lost-bit",
            "somebody sets another flag of the page by load and store: PG_locked is lost between",
            SOMETIMES, (BUG, *NOT_LOCKED, HUNG, STUCK_BIT), ("lost-bit",), DEBUG,
            cast="touched",
        ),
        Variant(
            "003.lost-bit-atomic",
            "the same flag, set atomically",
            NEVER, config=DEBUG,
            cast="touched",
            against="003.lost-bit",
        ),
        Variant(
            "003.lost-bit-no-debug",
            "PG_locked is lost without DEBUG_VM: nobody notices before a fault does",
            SOMETIMES, (BUG, HUNG, STUCK_BIT), ("lost-bit",), PLAIN,
            cast="touched-devices",
        ),
        Variant(
            "003.lost-bit-atomic-no-debug",
            "the same flag, set atomically",
            NEVER, config=PLAIN,
            cast="touched-devices",
            against="003.lost-bit-no-debug",
        ),
        Variant(
            "003.fresh-page-trylock",
            "a pfn walker locks a page before it looks whose it is, and so does its owner",
            SOMETIMES, NOT_LOCKED, ("fresh-page-trylock",), DEBUG,
            cast="fresh-pages",
        ),
        Variant(
            "003.fresh-page-check-first",
            "it looks first, locks, and looks again",
            NEVER, config=DEBUG,
            cast="fresh-pages",
            against="003.fresh-page-trylock",
        ),
        Variant(
            "003.rmap-miss",
            "exec moves its stack while one of its pages is migrated: removal misses the entry",
            SOMETIMES, (BUG,), ("rmap-miss",), DEBUG,
            cast="stacks",
        ),
        Variant(
            "003.rmap-miss-no-bug",
            "the same without the assertion: nothing is said, and the fault never ends",
            # or the waiter marks PG_waiters on a page that is free by then
            SOMETIMES, (LIVELOCK, LEFT, *BAD_PAGE), ("rmap-miss", "remove-bug-on"), DEBUG,
            cast="stacks-given-up",
        ),
        Variant(
            "003.rmap-skip-temp-vma",
            "migration leaves the stack of an unfinished exec alone, as it does since 2010",
            NEVER, config=DEBUG,
            cast="stacks",
            against="003.rmap-miss",
        ),
        Variant(
            "003.stale-pte",
            "the fault looks up the page of a pte that it has read without the PTL: a false alarm",
            SOMETIMES, (BUG,), ("stale-pte",), DEBUG,
            cast="devices-of-two-pages",
        ),
        Variant(
            "003.old-get",
            "5.16: the fault holds a reference as it sets out to wait, and migration tries again",
            NEVER, config=DEBUG, era="5.16", metrics={"eagain": "> 0"},
            cast="anybody",
            against="003.unlock-first-516",
        ),
        Variant(
            "003.old-get-devices",
            "5.16 where only faults have references: devices that come back for their pages",
            NEVER, config=DEBUG, era="5.16", metrics={"eagain": "> 0"},
            cast="devices",
            against="003.unlock-first-516",
        ),
        Variant(
            "003.no-get-devices",
            "5.17 with the same people: nobody has a reference too many",
            NEVER, config=DEBUG, metrics={"eagain": "== 0"},
            cast="devices",
            against="003.unlock-first-516",
        ),
        Variant(
            "003.stale-pte-no-bug",
            "the same without the assertion: it was about nothing",
            NEVER, (), ("stale-pte", "remove-bug-on"), DEBUG,
            cast="devices-of-two-pages",
            against="003.stale-pte",
        ),
        Variant(
            "003.wait-with-reference",
            "older than 5.0: the fault keeps its reference while it sleeps",
            NEVER, (), ("wait-with-reference",), DEBUG, era="5.16", metrics={"eagain": "> 0"},
            cast="devices",
            against="003.unlock-first-516",
        ),
        Variant(
            "003.lock-under-ptl",
            "the fault takes the page lock itself, under the PTL: it sleeps with a spinlock",
            SOMETIMES, (ATOMIC,), ("lock-under-ptl",), DEBUG,
            cast="devices-of-a-page",
        ),
        Variant(
            "003.drop-ptl-early",
            "the fault drops the PTL before it is queued, and has no reference: the page is freed",
            SOMETIMES, (*BAD_PAGE, HUNG), ("drop-ptl-early",), DEBUG,
            cast="devices-of-a-page",
        ),
        Variant(
            "003.no-ptl-remove",
            "entries are removed without the PTL",
            SOMETIMES, (BUG, *BAD_PAGE, HUNG), ("no-ptl-remove",), DEBUG,
            cast="device-each",
        ),
        Variant(
            "003.lost-waiters",
            "a flag of the old page is cleared by load and store: PG_waiters is lost, nobody wakes",
            SOMETIMES, (HUNG,), ("lost-waiters",), DEBUG,
            cast="device-each",
        ),
        Variant(
            "003.waiters-after-test",
            "a waiter sets PG_waiters after it has looked at PG_locked",
            SOMETIMES, (HUNG,), ("waiters-after-test",), DEBUG,
            cast="first-faults",
        ),
        Variant(
            "003.double-unlock",
            "a bio completes twice, and the second time unlocks somebody else's lock",
            SOMETIMES, (BUG, *NOT_LOCKED), ("double-unlock",), DEBUG,
            cast="read-into",
        ),
        Variant(
            "003.pf-memalloc-lock",
            "direct compaction sleeps for page locks, one of which its own caller holds",
            SOMETIMES, (DEADLOCK,), ("pf-memalloc-lock",), DEBUG,
            cast="reading-ahead",
        ),
        Variant(
            "003.async-lock",
            "MIGRATE_ASYNC sleeps for page locks",
            SOMETIMES, (DEADLOCK,), ("async-lock",), DEBUG, metrics={"stalls": "> 0"},
            cast="reading-ahead",
        ),
        Variant(
            "003.newpage-blocking-lock",
            "migration sleeps for the new page's lock, holding the old one's",
            SOMETIMES, (DEADLOCK,), ("newpage-blocking-lock",), DEBUG,
            cast="pairs-of-frames",
        ),
        Variant(
            "003.remove-bug-on",
            "the wrong fix, on a kernel that has nothing to fix",
            NEVER, (), ("remove-bug-on",), DEBUG, metrics={"unlocked_entries": "== 0"},
            cast="anybody",
            against="003.remove-bug-on-rmap-miss",
        ),
        Variant(
            "003.remove-bug-on-rmap-miss",
            "the wrong fix on a kernel that misses entries, while frames are used again",
            SOMETIMES, (LIVELOCK, LEFT, HUNG, *BAD_PAGE), ("rmap-miss", "remove-bug-on"), DEBUG,
            metrics={"unlocked_entries": "> 0"},
            cast="stacks-and-readers",
        ),
    ),
)

for variant in SCENARIO.variants:
    known_cast(variant)
