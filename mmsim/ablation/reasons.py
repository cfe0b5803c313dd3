# SPDX-License-Identifier: GPL-2.0-only
"""Why nobody needs a hunk, where every order was run and none had a finding."""

from __future__ import annotations

REASONS: dict[str, str] = {
    # GATE@FUNCTION
    "check-under-lock@isolate_migratepages_block_v4_19": "a proposal, and right, too: the same "
    "comparison, made later",
    "hugh-2002-02-06@__free_pages_ok": "an assertion of what must not be; in this variant nobody "
    "frees in an interrupt",
    "v1-recheck@isolate_migratepages_block_v4_19": "a page that is pinned after the first look is "
    "refused by migration, which compares the count again; what is saved is work",
}
