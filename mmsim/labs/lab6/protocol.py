# SPDX-License-Identifier: GPL-2.0-only
"""Lab 6: the protocol of migration entries, as a check on the whole machine.

`protocol(vm)` is called after every effect that changes a page table entry or a flag of a page, on
every run that the lab makes. It looks and changes nothing: fields with v_ are raw values, which a
check may read. It says True if the protocol holds at this moment, and False if not.
"""

from mmsim.memory_model import pfn_to_page
from mmsim.mm_types import is_swap_pte
from mmsim.swapops import is_migration_entry, pte_to_swp_entry, swp_offset


def entries(vm):
    """The old page of every migration entry that is in some page table now."""
    return [
        pfn_to_page(swp_offset(pte_to_swp_entry(slot.v_pte)))
        for mm in vm.mms
        for table in mm.pgd.values()
        for slot in table.slots.values()
        if is_swap_pte(slot.v_pte) and is_migration_entry(pte_to_swp_entry(slot.v_pte))
    ]


def protocol(vm):
    """What has to be true of every page that an entry points to, at every moment?"""
    # TODO 1: state it. (page.v_flags & page.m_locked, page.v__refcount, page.v__mapcount ...)
    #= return True
    return all(page.v_flags & page.m_locked for page in entries(vm))
    # DONE 1
