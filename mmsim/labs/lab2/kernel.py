# SPDX-License-Identifier: GPL-2.0-only
"""Lab 2: __free_pages_ok of 7 February 2002, with room for one statement.

    python -m mmsim.stress --file kernel.py --cpus $cpus --seed $seed --runs $runs --table
"""

from mmsim.labs.kit import student_kernel
from mmsim.labs.zone import free_to_zone
from mmsim.linux.bug import BUG
from mmsim.v2_4.page import PageLocked, PageLRU, page_count


def __free_pages_ok(page, order):
    """The page's count is 0, and this context made it 0."""
    if page.buffers is not None:
        BUG("page_alloc.c:80", page)
    if page.mapping is not None:
        BUG("page_alloc.c:82", page)
    if PageLocked(page):
        BUG("page_alloc.c:88", page)
    # TODO 1: a debugger's print stands here. It reads the page's count, say twenty times, and
    # | changes nothing. Does the bug become rarer, or more frequent?
    for _ in range(20):
        page_count(page)
    # DONE 1
    if PageLRU(page):
        return
    free_to_zone(page, order)


# `--file kernel.py` finds this: the lab's kernel with your function.
SCENARIO = student_kernel(2, __free_pages_ok)
