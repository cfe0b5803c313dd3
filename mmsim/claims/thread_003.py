# SPDX-License-Identifier: GPL-2.0-only
"""Claims of thread 003: a migration entry that points to an unlocked page (2022)."""

from mmsim.claims.model import Claim, Clean, Fails, Metric, MoreOf

BUG = r"swapops\.h:258"

CLAIMS = (
    Claim(
        "003.1",
        "Matthew Wilcox, quoted",
        "Waiting for a migration entry without a page reference causes the BUG.",
        (Fails("003.base"),),
    ),
    Claim(
        "003.2",
        "Alistair Popple",
        "Both pages are locked before entries go in and until they are out, all under the page "
        "table lock: with that lock held, an entry to an unlocked page is impossible.",
        (Clean("003.base"),),
        note="As far as removal finds every entry and nobody else touches PG_locked: see below.",
    ),
    Claim(
        "003.3",
        "implied",
        "The order matters: unlock before the entries are removed, and it fires.",
        (Fails("003.unlock-first", BUG), Clean("003.base")),
    ),
    Claim(
        "003.4",
        "history (2010, 2013, 2022)",
        "It fires when removal misses an entry because the pte was moved meanwhile.",
        (Fails("003.rmap-miss", BUG),),
    ),
    Claim(
        "003.5",
        "the fix for exec's temporary stack",
        "Not installing entries in such vmas closes it; the page is just not migrated.",
        (Clean("003.rmap-skip-temp-vma"),),
    ),
    Claim(
        "003.6",
        "ours",
        "It fires when a non-atomic flag update loses PG_locked; an atomic one does not.",
        (Fails("003.lost-bit"), Clean("003.lost-bit-atomic")),
    ),
    Claim(
        "003.7",
        "comment in isolate_movable_page",
        "Locking a page whose new owner believes it private makes two owners of one lock.",
        (Fails("003.fresh-page-trylock"), Clean("003.fresh-page-check-first")),
    ),
    Claim(
        "003.8",
        "ours",
        "It fires when somebody unlocks a page that is not theirs.",
        (Fails("003.double-unlock"),),
    ),
    Claim(
        "003.9",
        "ours",
        "Tested on a copy of the pte without the lock, the assertion is a false alarm.",
        (Fails("003.stale-pte", BUG),),
    ),
    Claim(
        "003.10",
        "ours",
        "Removing entries without the page table lock breaks the argument.",
        (Fails("003.no-ptl-remove"),),
    ),
    Claim(
        "003.11",
        "ffa65753c431",
        "The waiter's extra reference made migration fail and try again.",
        (Clean("003.old-get"), MoreOf("003.old-get", "003.base", "eagain")),
    ),
    Claim(
        "003.12",
        "ffa65753c431",
        "Without a reference the page table lock must be held until the waiter is queued.",
        (Fails("003.drop-ptl-early"), Clean("003.base")),
    ),
    Claim(
        "003.13",
        "ours",
        "A lost PG_waiters leaves the waiter asleep for ever.",
        (Fails("003.lost-waiters", r"blocked"), Fails("003.waiters-after-test", r"blocked")),
    ),
    Claim(
        "003.14",
        "a fix that suggests itself",
        "Deleting the BUG_ON is a fix.",
        (Clean("003.remove-bug-on-rmap-miss"),),
    ),
    Claim(
        "003.15",
        "comment in __unmap_and_move",
        "Direct compaction must not wait for a page lock: it may hold that lock itself.",
        (Fails("003.pf-memalloc-lock", r"deadlock"), Clean("003.base")),
    ),
    Claim(
        "003.16",
        "__unmap_and_move",
        "The new page is only ever trylocked, since a stale user may hold it.",
        (Fails("003.newpage-blocking-lock"), Clean("003.base")),
    ),
    Claim(
        "003.17",
        "the thread",
        "What was the root cause of that report?",
        note="No trace is in the mail and no later one was found. Reports of the same BUG with a "
        "known cause are all of the kind of 003.4.",
    ),
    Claim(
        "003.18",
        "__unmap_and_move",
        "Asynchronous migration must not block on a page lock.",
        (Metric("003.async-lock", "stalls", ">"), Metric("003.base", "stalls", "==")),
    ),
)
