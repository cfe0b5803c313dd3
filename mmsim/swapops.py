# SPDX-License-Identifier: GPL-2.0-only
"""Entries that are no pages: swap and, among them, migration entries (include/linux/swapops.h).

A migration entry says "the page of this frame is on its way; wait for its lock".  It holds the old
frame's number and no reference.  Whoever turns it back into a page must be sure that the page is
still there, and the assertion in ``pfn_swap_entry_to_page`` says why it is: the page is locked
until the last entry is gone, and entries come and go under the PTL.

The lines given to BUG are those of 5.17-rc.
"""

from typing import NamedTuple

from mmsim.engine.door import door
from mmsim.linux.bug import BUG_ON
from mmsim.memory_model import page_to_pfn, pfn_to_page
from mmsim.model.cite import cite
from mmsim.model.gate import patched
from mmsim.page import PageLocked

__mmsim_primitive__ = True  # inline in C: reports name the function it is inlined into

MAX_SWAPFILES_SHIFT = 5
SWP_DEVICE_NUM = 4
SWP_MIGRATION_NUM = 2
SWP_HWPOISON_NUM = 1
MAX_SWAPFILES = (1 << MAX_SWAPFILES_SHIFT) - SWP_DEVICE_NUM - SWP_MIGRATION_NUM - SWP_HWPOISON_NUM
SWP_MIGRATION_READ = MAX_SWAPFILES + SWP_HWPOISON_NUM
SWP_MIGRATION_WRITE = SWP_MIGRATION_READ + 1

_TYPE_SHIFT = 59
_OFFSET_SHIFT = 9


class swp_entry(NamedTuple):
    """``type`` names a swap device or a special meaning, ``offset`` a slot or a frame."""

    type: int
    offset: int


@cite("arch/x86/include/asm/pgtable_64.h", "5.17", symbol="__swp_entry_to_pte")
def swp_entry_to_pte(entry):
    """As a page table word."""
    return entry.type << _TYPE_SHIFT | entry.offset << _OFFSET_SHIFT


@cite("include/linux/swapops.h", "5.17")
def pte_to_swp_entry(pte):
    """From a page table word that is_swap_pte()."""
    return swp_entry(pte >> _TYPE_SHIFT, (pte & (1 << _TYPE_SHIFT) - 1) >> _OFFSET_SHIFT)


@cite("include/linux/swapops.h", "5.17")
def swp_offset(entry):
    """The frame of a migration entry."""
    return entry.offset


@cite("include/linux/swapops.h", "5.17")
def non_swap_entry(entry):
    """Not on any swap device?"""
    return entry.type >= MAX_SWAPFILES


@cite("include/linux/swapops.h", "5.17", thread="003")
def make_readable_migration_entry(page):
    """For a mapping that could not be written."""
    return swp_entry(SWP_MIGRATION_READ, page_to_pfn(page))


@cite("include/linux/swapops.h", "5.17", thread="003")
def make_writable_migration_entry(page):
    """For a mapping that could."""
    return swp_entry(SWP_MIGRATION_WRITE, page_to_pfn(page))


@cite("include/linux/swapops.h", "5.17", thread="003")
def is_migration_entry(entry):
    """Is the page on its way?"""
    return entry.type in (SWP_MIGRATION_READ, SWP_MIGRATION_WRITE)


@cite("include/linux/swapops.h", "5.17", thread="003")
def is_writable_migration_entry(entry):
    """Is the page on its way, and was the mapping writable?"""
    return entry.type == SWP_MIGRATION_WRITE


@cite("include/linux/swapops.h", "5.17", thread="003")
def pfn_swap_entry_to_page(entry):
    """The page of a migration entry.

    *Locks:* the PTL under which the entry was read.  Older than the wait that is blamed for it in
    thread 003: 5.16 made the same assertion in the same place.  The line is that of 5.17-rc5; no
    tree of 5.16 was read.
    *Race:* none if somebody holds the page lock as long as there are entries.
    """
    page = pfn_to_page(swp_offset(entry))
    # any use of migration entries may only occur while the page is locked
    unlocked = is_migration_entry(entry) and not PageLocked(page)
    if patched("remove-bug-on"):
        # the same look, to count how often it would have fired
        door.machine.count("unlocked_entries", int(unlocked))
    else:
        BUG_ON(unlocked, "include/linux/swapops.h:258")
    return page
