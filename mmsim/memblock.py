# SPDX-License-Identifier: GPL-2.0-only
"""Memory before the allocator is up (mm/memblock.c): how a scenario's pages come about at boot.

A run boots a machine, thousands of times a second, so the pages that a race starts from are not
allocated one by one: ``memblock_alloc`` takes an untouched frame as if it had been allocated long
ago, ``memblock_free_all`` gives the rest to the buddy lists.
"""

from mmsim.linux.list import LIST_POISON1, LIST_POISON2, list_add_tail
from mmsim.mmzone import MAX_ORDER
from mmsim.model.cite import cite
from mmsim.page import TAIL_MAPPING, buddy_mapcount


@cite("mm/memblock.c", "5.17")
def memblock_alloc(vm, node=0, order=0):
    """Set-up only: the next untouched block of ``node``, as if allocated long ago; its first page.

    One reference, poisoned links, in nobody's list.  Much cheaper than alloc_pages().  Frames that
    are passed by, because a block has to be aligned, stay free.
    """
    mem_map = vm.mem_map
    n = 1 << order
    for i in range(vm.memblock_next.get(node, 0), len(mem_map) + 1 - n):
        page = mem_map[i]
        if page.node != node or page.history or page.pfn % n:
            continue
        block = mem_map[i : i + n]
        if order and any(p.node != node or p.history for p in block):
            continue
        for p in block:
            p.state = "tail"
            p.lru.v_next = LIST_POISON1
            p.lru.v_prev = LIST_POISON2
            p.history.append("allocated at boot")
        page.v__refcount = 1
        page.state = "allocated"
        vm.memblock_next[node] = i + n
        return page
    raise RuntimeError(f"node{node} has no frame left: boot_mm(pages=...) is too small")


def compound_at_boot(vm, page, order):
    """Set-up only: what prep_compound_page() makes of a block, as raw values."""
    page.v_flags |= page.m_head
    first = page.pfn - vm.mem_map[0].pfn + 1
    tails = vm.mem_map[first : first + (1 << order) - 1]
    for tail in tails:
        tail.v_mapping = TAIL_MAPPING
        tail.v_compound_head = page
    tails[0].v_compound_order = order


@cite("mm/memblock.c", "5.17")
def memblock_free_all(vm):
    """Set-up only: give every frame that memblock_alloc() did not take to the buddy lists."""
    mem_map = vm.mem_map
    i = 0
    while i < len(mem_map):
        if mem_map[i].history:
            i += 1
            continue
        order = 0
        while order < MAX_ORDER - 1 and mem_map[i].pfn % (2 << order) == 0:
            block = mem_map[i : i + (2 << order)]
            if len(block) < 2 << order or len({p.node for p in block}) > 1:
                break
            if any(p.history for p in block):
                break
            order += 1
        page = mem_map[i]
        for p in mem_map[i : i + (1 << order)]:
            p.lru.v_next, p.lru.v_prev = LIST_POISON1, LIST_POISON2
        page.v_private = order
        page.v__mapcount = buddy_mapcount()
        list_add_tail(page.lru, vm.node_data[page.node].zone.free_area[order])
        i += 1 << order
