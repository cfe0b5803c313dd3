# SPDX-License-Identifier: GPL-2.0-only
"""Claims of thread 003: a migration entry that points to an unlocked page (2022).

The mail quotes one developer and argues with him; what it says of the code is taken statement by
statement.  Titles are asked for wherever "it" is the assertion of swapops.h and not just any harm.
"""

from mmsim.claims.model import ByConstruction, Claim, Clean, Fails, Metric, MoreOf

BUG = r"swapops\.h:258"
NOT_LOCKED = r"^VM_BUG_ON_(FOLIO|PAGE)\(!(folio_test_locked|PageLocked)"
HUNG = r"blocked for more than"
DEADLOCK = r"^deadlock on PG_locked$"

CLAIMS = (
    Claim(
        "003.1",
        "Matthew Wilcox, quoted",
        "Waiting for a migration entry without a page reference causes the BUG.",
        (Fails("003.base", BUG),),
    ),
    Claim(
        "003.19",
        "ours",
        "The assertion and the lock it runs under are older than that: 5.16 dies of it as well.",
        (Fails("003.unlock-first-516", BUG), Fails("003.unlock-first", BUG), Clean("003.old-get")),
    ),
    Claim(
        "003.2",
        "Alistair Popple",
        "Both pages are locked before entries go in and until they are out, all under the page "
        "table lock: with that lock held, an entry to an unlocked page is impossible.",
        (Clean("003.base"), Metric("003.remove-bug-on", "unlocked_entries", "==")),
        note="As far as removal finds every entry and nobody else touches PG_locked: see below.",
    ),
    Claim(
        "003.3",
        "implied",
        "The order matters: unlock before the entries are removed, and it fires.",
        (Fails("003.unlock-first", BUG), Clean("003.base")),
    ),
    Claim(
        "003.20",
        "Alistair Popple",
        "To wait for migration is to wait for the page lock: nobody sleeps on or wakes too early.",
        (Clean("003.base"), Fails("003.waiters-after-test", HUNG), Fails("003.unlock-first", BUG)),
    ),
    Claim(
        "003.21",
        "Matthew Wilcox, quoted",
        "Where the fault waits it cannot take the page lock: it holds the page table lock.",
        (Fails("003.lock-under-ptl", r"^BUG: scheduling while atomic$"),),
    ),
    Claim(
        "003.22",
        "Alistair Popple's question, our answer",
        "Nor could it wait for the lock after that as others do, with a reference: the longer that "
        "is held, the more often migration fails.",
        (
            Clean("003.wait-with-reference"),
            MoreOf("003.wait-with-reference", "003.old-get-devices", "eagain"),
            MoreOf("003.wait-with-reference", "003.no-get-devices", "eagain"),
        ),
    ),
    Claim(
        "003.4",
        "history (2010)",
        "It fires when removal misses an entry because the pte was moved meanwhile.",
        (Fails("003.rmap-miss", BUG),),
        note="By exec, with its stack. 2013 the vma was moved to another tree, 2022 the frame "
        "number did not fit the entry: removal missed entries both times.",
        rare={"003.rmap-miss": 4},
    ),
    Claim(
        "003.5",
        "the fix for exec's temporary stack",
        "Not installing entries in such vmas closes it; the page is just not migrated.",
        (
            Clean("003.rmap-skip-temp-vma"),
            MoreOf("003.rmap-skip-temp-vma", "003.rmap-miss-no-bug", "pgmigrate_fail"),
        ),
    ),
    Claim(
        "003.6",
        "ours",
        "It fires when a non-atomic flag update loses PG_locked; an atomic one does not.",
        (
            Fails("003.lost-bit-no-debug", BUG),
            Fails("003.lost-bit", NOT_LOCKED),
            Clean("003.lost-bit-atomic"),
            Clean("003.lost-bit-atomic-no-debug"),
        ),
        note="With DEBUG_VM it is seldom that assertion: others look at the lock before a fault "
        "does.",
    ),
    Claim(
        "003.7",
        "comment in isolate_movable_page",
        "Locking a page whose new owner believes it private makes two owners of one lock.",
        (Fails("003.fresh-page-trylock", NOT_LOCKED), Clean("003.fresh-page-check-first")),
    ),
    Claim(
        "003.8",
        "ours",
        "It fires when somebody unlocks a page that is not theirs.",
        (Fails("003.double-unlock", BUG), Clean("003.base")),
        rare={"003.double-unlock": 3},
    ),
    Claim(
        "003.9",
        "ours",
        "Tested on a copy of the pte without the lock, the assertion is a false alarm.",
        (
            Fails("003.stale-pte", BUG),
            Clean("003.stale-pte-no-bug"),
            Metric("003.stale-pte-no-bug", "unlocked_entries", ">"),
        ),
        rare={"003.stale-pte": 3},
    ),
    Claim(
        "003.10",
        "Alistair Popple",
        "To remove an entry takes the page table lock: without it the argument breaks.",
        (Fails("003.no-ptl-remove", BUG), Clean("003.base")),
        rare={"003.no-ptl-remove": 4},
    ),
    Claim(
        "003.11",
        "ffa65753c431",
        "The waiter's extra reference made migration fail and try again.",
        (
            Clean("003.old-get"),
            MoreOf("003.old-get-devices", "003.no-get-devices", "eagain"),
            Metric("003.no-get-devices", "eagain", "=="),
        ),
        note="Counted where nobody else takes references: in 003.base others do, and migration "
        "tries again for them.",
    ),
    Claim(
        "003.12",
        "ffa65753c431",
        "Without a reference the page table lock must be held until the waiter is queued, or it "
        "writes to a page that is somebody else's by now, or nobody's.",
        (
            Fails("003.drop-ptl-early", r"PAGE_FLAGS_CHECK_AT_PREP|blocked for more than"),
            Clean("003.base"),
        ),
    ),
    Claim(
        "003.13",
        "ours",
        "A lost PG_waiters leaves the waiter asleep for ever.",
        (Fails("003.lost-waiters", HUNG), Fails("003.waiters-after-test", HUNG)),
    ),
    Claim(
        "003.14",
        "a fix that suggests itself",
        "Deleting the BUG_ON is a fix.",
        (Clean("003.remove-bug-on-rmap-miss"),),
        note="The fault goes round and round instead, for there is nothing to wait for.",
    ),
    Claim(
        "003.15",
        "comment in __unmap_and_move",
        "Direct compaction must not wait for a page lock: it may hold that lock itself.",
        (Fails("003.pf-memalloc-lock", DEADLOCK), Clean("003.base")),
    ),
    Claim(
        "003.16",
        "__unmap_and_move",
        "The new page is only ever trylocked, since a stale user may hold it.",
        (Fails("003.newpage-blocking-lock", DEADLOCK), Clean("003.base")),
        note="The stale user is our invention: a walker that has locked a frame, which compaction "
        "then takes for a new page, and waits for the lock of another, which is to move. We know "
        "of no kernel code that takes two page locks in that order.",
    ),
    Claim(
        "003.18",
        "__unmap_and_move",
        "Asynchronous migration must not block on a page lock: it stalls, or waits for itself.",
        (
            ByConstruction(
                MoreOf("003.async-lock", "003.base", "stalls"),
                "only what the gate adds can stall",
            ),
            Fails("003.async-lock", DEADLOCK),
        ),
    ),
    Claim(
        "003.17",
        "the thread",
        "What was the root cause of that report?",
        note="No trace is in the mail and no later one was found. Reports of the same BUG with a "
        "known cause are all of the kind of 003.4.",
    ),
)
