# SPDX-License-Identifier: GPL-2.0-only
"""The globals of a 2.4 kernel, and memory as it stands when a scenario begins.

Booting is part of every run, thousands of times a second: it stores values without points and
makes only what is used.
"""

from mmsim.linux.list import LIST_HEAD
from mmsim.linux.spinlock import spin_lock_init
from mmsim.model.struct import Struct, shared
from mmsim.v2_4.page import PG_active, PG_lru, PG_uptodate, page
from mmsim.v2_4.page_alloc import zone_t
from mmsim.v2_4.swapfile import swap_info_struct, swapper


class globals_2_4(Struct):
    """What C names without saying where from: lists, locks, counters, the zone."""

    nr_active_pages = shared(0)
    nr_inactive_pages = shared(0)
    nr_swap_pages = shared(0)
    name = "vm"
    swap_info = None
    total_swap_pages = 0
    truncated = False  # a page may be mapped and on no LRU list

    def __init__(self, lru_lock="pagemap_lru_lock"):
        self.active_list = LIST_HEAD("active_list")
        self.inactive_list = LIST_HEAD("inactive_list")
        self.pagemap_lru_lock = spin_lock_init(lru_lock)
        self.pagecache_lock = spin_lock_init("pagecache_lock")
        self.deferred_list = LIST_HEAD("deferred_list")
        self.deferred_lock = spin_lock_init("deferred_lock")
        self.zone = zone_t("Normal")
        self.swapper_space = _NO_SWAP
        self.mem_map = []
        self.mms = []
        self.bttvs = []
        self.skbs = []
        self.mappings = []


_NO_SWAP = swapper("swapper_space")


def swapon(vm, size):
    """A swap device of so many slots."""
    vm.swap_info = swap_info_struct(size)
    vm.v_nr_swap_pages = vm.total_swap_pages = size
    vm.swapper_space = swapper("swapper_space", size)
    vm.mappings.append(vm.swapper_space)


def new_page(vm, count, active=False, lru=True):
    """A page in use: ``count`` users, on the inactive (or active) list unless ``lru`` is false."""
    made = page(0x11 + len(vm.mem_map))
    vm.mem_map.append(made)
    made.v_count = count
    if not lru:
        return made
    head = vm.inactive_list
    made.v_flags = 1 << PG_lru | 1 << PG_uptodate
    if active:
        head = vm.active_list
        made.v_flags |= 1 << PG_active
        vm.v_nr_active_pages += 1
    else:
        vm.v_nr_inactive_pages += 1
    _link(made.lru, head)
    return made


def free_page(vm):
    """A page on the free list."""
    made = new_page(vm, 0, lru=False)
    made.freed = True
    _link(made.list, vm.zone.free_list)
    vm.zone.v_free_pages += 1
    return made


def cache_page(vm, made, mapping, index):
    """Enter a page in a mapping; its reference is not counted here."""
    made.v_mapping = mapping
    made.v_index = index
    mapping.slots[index].v_page = made


def _link(node, head):
    first = head.v_next
    node.v_next = first
    node.v_prev = head
    first.v_prev = node
    head.v_next = node
