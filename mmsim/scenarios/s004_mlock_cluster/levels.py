# SPDX-License-Identifier: GPL-2.0-only
"""The steps of thread 004 where do_wp_page() munlocks without the page lock, for `mmsim rare`.

The window is between reclaim's look at the pte and its mark: the pte goes, and who has replaced the
page has looked for the mark before it is there.
"""

from mmsim.rare.levels import Level, Levels

LEVELS = {
    "004.wp-no-lock*": Levels(
        Level(
            "reclaim has found the page in a vma that may be locked",
            "down", function="try_to_unmap_one", party="reclaim",
        ),
        Level(
            "do_wp_page() takes the page out of there",
            "_mapcount", function="do_wp_page", party="writer", thing="page",
        ),
        Level(
            "and munlocks it: no mark",
            "mlocked", function="munlock_vma_page", party="writer", thing="page", value=False,
        ),
        Level(
            "reclaim marks the page",
            "mlocked", function="mlock_vma_page", party="reclaim", thing="page", value=False,
        ),
        over=(
            Level(
                "reclaim lets mmap_sem go",
                "up", function="try_to_unmap_one", party="reclaim",
            ),
        ),
    ),
}
