# SPDX-License-Identifier: GPL-2.0-only
"""Freezing a page's references in 3.13 (include/linux/pagemap.h); page_ref_freeze() since 4.6.

At a count of 0 nobody can take a reference: whoever wants one finds a page that is being freed.
"""

from mmsim.linux.atomic import atomic_cmpxchg, atomic_set
from mmsim.linux.bug import VM_BUG_ON
from mmsim.model.cite import cite
from mmsim.page import page_count


@cite("include/linux/pagemap.h", "3.13")
def page_freeze_refs(page, count):
    """If the count is exactly ``count`` make it 0, so that nobody can get in; true if done."""
    return atomic_cmpxchg(page, "_refcount", count, 0) == count


@cite("include/linux/pagemap.h", "3.13")
def page_unfreeze_refs(page, count):
    """Undo page_freeze_refs(); ``count`` may be one less, and that reference is dropped."""
    VM_BUG_ON(lambda: page_count(page) != 0, "include/linux/pagemap.h:213", page)
    VM_BUG_ON(lambda: count == 0, "include/linux/pagemap.h:214", page)
    atomic_set(page, "_refcount", count)
