# SPDX-License-Identifier: GPL-2.0-only
"""A scanner reads the order of a huge page without a lock, and the page is being split.

The order is a byte of the first tail.  It lies over ``lru.prev`` there, which means nothing as long
as a tail is on no list.

1. The split puts the first tail on the LRU: the order is now a byte of a pointer.
2. The scanner sees PG_head and believes that byte.  It jumps over 8 frames, out of the zone.
3. The split clears PG_head.

Compaction's scanner reads it like that since 4.3 (Vlastimil Babka, August 2015).  What makes it
harmless is a bound: an order that is none is not believed, and at worst too much is skipped.
"""

from mmsim.linux.list import list_add_tail
from mmsim.linux.spinlock import spin_lock_irqsave, spin_unlock_irqrestore
from mmsim.memory_model import pfn_to_page
from mmsim.mmzone import MAX_ORDER, lru_lock_of, update_lru_size
from mmsim.page import (
    CLEARPAGEFLAG,
    PF_ANY,
    PageCompound,
    SetPageLRU,
    __SetPageSwapBacked,
    page_ref_unfreeze,
)
from mmsim.scenarios.api import *
from mmsim.util import compound_order

declare(Gate("order-below-max", "912", "2015-08-07", "Vlastimil Babka", "believe no such order"))
ClearPageHead = CLEARPAGEFLAG("head", PF_ANY)


def scan(m, low_pfn, end_pfn):
    while low_pfn < end_pfn:
        page = pfn_to_page(low_pfn)
        if PageCompound(page):
            order = compound_order(page)
            m.count("no_order", order >= MAX_ORDER)
            if not patched("order-below-max") or order < MAX_ORDER:
                low_pfn += (1 << order % 64) - 1  # undefined in C from 64 on; so does an x86
        low_pfn += 1
    BUG_ON(low_pfn > end_pfn, "mm/compaction.c")


@cite("mm/huge_memory.c", "4.19")
def __split_huge_page(head, tail, lruvec):
    flags = spin_lock_irqsave(lru_lock_of(lruvec))
    tail.compound_head = None
    __SetPageSwapBacked(tail)
    page_ref_unfreeze(tail, 1)
    SetPageLRU(tail)
    list_add_tail(tail.lru, head.lru)
    tail.compound_order = tail.lru.v_prev.address >> 8 & 0xFF  # in C that was the same store
    update_lru_size(lruvec, 0, 1)
    ClearPageHead(head)
    spin_unlock_irqrestore(lru_lock_of(lruvec), flags)


def setup(m, v):
    with memory(m, pages=16) as vm:
        leave_free(vm, 12)
        head, other = anon_page(vm, order=1), anon_page(vm)
    vm.owners = [head, other]
    first = vm.mem_map[0].pfn
    m.spawn(scan, m, first, first + 16, comm="kcompactd0", cpu=0)
    tail = pfn_to_page(head.pfn + 1)
    m.spawn(__split_huge_page, head, tail, vm.root_mem_cgroup.lruvecs[0], comm="ksm", cpu=1)


SCENARIO = Scenario(
    id="912",
    name="compound_order",
    title="A scanner reads the order of a huge page that is being split",
    story=__doc__,
    era="4.19",
    setup=setup,
    check=lambda m, v: check_mm(m, owners=m.vm.owners),
    variants=(
        Variant("912.any", "any order", SOMETIMES, findings=("compaction",)),
        Variant("912.bound", "a bound", NEVER, gates=("order-below-max",), against="912.any"),
    ),
)
ORDER = (run("ksm", until=before("clear head")), run("kcompactd0"), run("ksm"))


def test_in_this_order(mmsim_order):
    assert mmsim_order("912.any", *ORDER, file=__file__).findings
    assert not mmsim_order("912.bound", *ORDER, file=__file__).findings
