# SPDX-License-Identifier: GPL-2.0-only
"""Gates of thread 003: a migration entry that points to an unlocked page (5.17).

Nobody proposed a patch in the thread: the code that it quotes is right.  So all of these are
mutations.  Most take one statement of the protocol away or put it in the wrong place; four undo
what an earlier fix had put there, and the meaning names that fix.
"""

from mmsim.model.gate import Gate, declare


def _mutation(name, meaning):
    return Gate(name, "003", "", "", meaning, kind="mutation")


declare(
    # who unlocks, and when
    _mutation("unlock-first", "__unmap_and_move unlocks the old page before it removes entries"),
    _mutation("double-unlock", "the completion of a bio unlocks its page twice"),
    # who changes flags of a visible page by load and store
    _mutation("lost-bit", "FOLL_TOUCH sets PG_referenced by load and store instead of atomically"),
    _mutation(
        "lost-waiters",
        "move_to_new_page clears PG_isolated of the old page by load and store (cf. 356ea3865687)",
    ),
    _mutation("fresh-page-trylock", "isolate_movable_page locks before it looks at the type"),
    # who finds what
    _mutation(
        "rmap-miss",
        "try_to_migrate does not skip the stack that exec is moving (before a8bef8ff6ea1)",
    ),
    _mutation("no-ptl-remove", "remove_migration_pte looks and writes without the PTL"),
    # how a fault waits
    _mutation("stale-pte", "__migration_entry_wait looks up the page before it has the PTL"),
    _mutation("drop-ptl-early", "the waiter drops the PTL before it is queued"),
    _mutation("waiters-after-test", "a waiter sets PG_waiters after it has found the bit set"),
    _mutation(
        "wait-with-reference",
        "the waiter of 5.16 keeps its reference while it sleeps (before 9a1ea439b16b)",
    ),
    _mutation("lock-under-ptl", "the waiter takes the page lock while it holds the PTL"),
    _mutation("remove-bug-on", "pfn_swap_entry_to_page does not assert: the wrong fix"),
    # who sleeps for a page lock
    _mutation("pf-memalloc-lock", "__unmap_and_move sleeps for the lock in direct compaction too"),
    _mutation("async-lock", "__unmap_and_move sleeps for the lock with MIGRATE_ASYNC too"),
    _mutation("newpage-blocking-lock", "__unmap_and_move sleeps for the lock of the new page"),
)
