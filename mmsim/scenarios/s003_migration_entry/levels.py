# SPDX-License-Identifier: GPL-2.0-only
"""The steps of thread 003's story where migration lets go too early, for `python -m mmsim rare`.

The window is between the unlock of the old page and the removal of the first of its entries.
"""

from mmsim.rare.levels import Level, Levels

LEVELS = {
    "003.unlock-first*": Levels(
        Level(
            "migration has put an entry in the place of a pte",
            "_mapcount", function="try_to_migrate_one", party="migration", thing="page",
        ),
        Level(
            "it unlocks the page",
            "locked", function="unlock_page", party="migration", thing="page",
        ),
        Level(
            "somebody faults, finds the entry, and PG_locked clear",
            "locked", function="__migration_entry_wait", party="not migration", thing="page",
            value=False,
        ),
        over=(
            Level(
                "migration removes the entries",
                "pte", function="remove_migration_ptes", party="migration",
            ),
        ),
    ),
}
