# SPDX-License-Identifier: GPL-2.0-only
"""Nodes, zones, lruvecs and their lists (include/linux/mmzone.h, mm_inline.h).

Where the LRU lock lives is the era's: one per zone in 3.13, one per node from 4.8 to 5.10, one
per lruvec, that is per memcg and node, from 5.11 on.  A node has one zone here, so the first two
differ in name only.  ``lru_lock_of`` is the one place that knows.

``boot_mm`` makes the kernel's globals: nodes, memcgs and a few page frames.  A race needs few.
"""

from mmsim.linux.atomic import atomic_add
from mmsim.linux.bug import VM_BUG_ON_FOLIO, WARN_ONCE, report
from mmsim.linux.list import LIST_HEAD, list_add, list_add_tail, list_del
from mmsim.linux.spinlock import spin_lock_init
from mmsim.model.cite import cite
from mmsim.model.era import IS_ENABLED, by_version, era, kernel, refuse_other_eras
from mmsim.model.struct import Array, Struct, shared
from mmsim.page import (
    PAGE_CLASSES,
    PageActive,
    PageSwapBacked,
    PageUnevictable,
)
from mmsim.pagemap import address_space, page_wait_table
from mmsim.pagevec import lru_disable

__mmsim_primitive__ = True  # inline in C: reports name the function it is inlined into

LRU_INACTIVE_ANON = 0
LRU_ACTIVE_ANON = 1
LRU_INACTIVE_FILE = 2
LRU_ACTIVE_FILE = 3
LRU_UNEVICTABLE = 4
NR_LRU_LISTS = 5
LRU_NAMES = ("inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable")
LRU_ACTIVE = 1
LRU_FILE = 2

MAX_ORDER = 4  # orders 0..3: enough for a high-order slab
SWAP_CLUSTER_MAX = 32


class lruvec(Struct):
    """The lists of one memcg on one node; ``size0`` .. ``size4`` are their lengths in pages."""

    size0 = shared(0)
    size1 = shared(0)
    size2 = shared(0)
    size3 = shared(0)
    size4 = shared(0)

    def __init__(self, pgdat, memcg):
        self.pgdat = pgdat
        self.memcg = memcg
        self.lists = Array(NR_LRU_LISTS, self._list)
        self.lru_lock = spin_lock_init(f"&lruvec->lru_lock#{memcg.name}/{pgdat.node_id}")

    def _list(self, lru):
        name = f"{self.name}.{LRU_NAMES[lru]}"
        return LIST_HEAD(name, (self.birth, name))  # two numbers are what a context makes

    @property
    def name(self):
        """What events and reports call it."""
        return f"lruvec({self.memcg.name},node{self.pgdat.node_id})"

    def v_size(self, lru):
        """A list's counter, without a point."""
        return getattr(self, f"v_size{lru}")


class zone:
    """The allocator's half of a node: buddy free lists under ``lock``, order 0 first.

    A CPU keeps up to ``pageset_high`` order-0 pages and gives back ``pageset_batch`` at a time
    (sysctl vm.percpu_pagelist_fraction).
    """

    pageset_high = 6
    pageset_batch = 2

    def __init__(self, pgdat):
        self.name = f"zone{pgdat.node_id}"
        self.pgdat = pgdat
        self.lock = spin_lock_init("&zone->lock")
        self.free_area = Array(MAX_ORDER, self._list)

    def _list(self, order):
        name = f"{self.name}.free_area[{order}]"
        return LIST_HEAD(name, (self.pgdat.birth, name))


class pglist_data(Struct):
    """A node.  ``lru_lock`` is pgdat->lru_lock (4.8 to 5.10) or zone->lru_lock (3.13)."""

    vmstat_mlock = shared(0)
    vmstat_isolated = shared(0)

    def __init__(self, node_id):
        self.node_id = node_id
        self.name = f"node{node_id}"
        owner = "zone" if era().version < (4, 8) else "pgdat"
        self.lru_lock = spin_lock_init(f"&{owner}->lru_lock#{node_id}")
        self.zone = zone(self)


class mem_cgroup(Struct):
    """A control group: one lruvec per node.

    ``moving_account`` says that pages of it are being moved to another one; then ``move_lock``
    keeps a page in it (folio_memcg_lock()).
    """

    moving_account = shared(0)
    move_lock_task = shared(None)
    move_lock_flags = shared(0)

    def __init__(self, name, address):
        self.name = name
        self.address = address
        self.lruvecs = []
        self.move_lock = spin_lock_init(f"&memcg->move_lock#{name}")


class kernel_mm(Struct):
    """The globals of a booted 3.13 .. 5.17: ``node_data``, ``memcgs`` (root first), ``mem_map``.

    ``nr_bad_pages`` is bad_page()'s count of its reports.
    """

    nr_bad_pages = shared(0)
    name = "kernel"
    pageblock_nr_pages = 2  # 512 in the kernel; compaction drops its lock between blocks
    sysctl_compact_unevictable_allowed = True
    migrate_passes = 3, 7  # of migrate_pages(): those that only try page locks, those that sleep
    compaction_trace = None  # who listens to compaction's trace points

    def __init__(self, nodes, memcgs):
        self.node_data = [pglist_data(n) for n in range(nodes)]
        self.memcgs = [
            mem_cgroup("root" if i == 0 else f"memcg{i}", 0xFFFF888001000000 + i * 0x1000)
            for i in range(1 + memcgs)
        ]
        self.root_mem_cgroup = self.memcgs[0]
        for memcg in self.memcgs:
            memcg.lruvecs = [lruvec(pgdat, memcg) for pgdat in self.node_data]
        self.mem_map = []
        self.memblock_next = {}  # where memblock_alloc() goes on looking, by node
        self.page_wait_table = page_wait_table()
        self.lru_disable = lru_disable()
        self.swapper_space = address_space("swapper_space")
        self.swapper_space.use_writeback_tags = False
        self.swapper_space.can_writeback = False


def boot_mm(machine, nodes=1, memcgs=0, pages=0):
    """Hang a kernel_mm on ``machine.vm`` with ``pages`` page frames, dealt out to nodes in turn.

    The frames are neither free nor allocated yet: page_alloc.py puts them where they belong.
    Returns the kernel_mm.  Raises UncoveredEra before 3.13: mmsim.v2_4 has a boot of its own.
    """
    refuse_other_eras("boot_mm() of mmsim.mmzone", "3.13..5.17")
    machine.vm = vm = kernel_mm(nodes, memcgs)
    cls = PAGE_CLASSES[machine.era]
    vm.mem_map = [cls(0x100 + i, i % nodes) for i in range(pages)]
    return vm


@cite("include/linux/mm.h", "5.17")
def page_pgdat(page):
    """The page's node: fixed for life."""
    return kernel().node_data[page.node]


def lru_lock_of(lruvec):
    """The lock that owns a lruvec's lists in this era (invariant I3 of thread 000)."""
    return lruvec.lru_lock if era().version >= (5, 11) else lruvec.pgdat.lru_lock


@cite("include/linux/mm_inline.h", "5.4")
def page_lru_base_type(page):
    """Inactive list of the page's type."""
    return LRU_INACTIVE_ANON if PageSwapBacked(page) else LRU_INACTIVE_FILE


@cite("include/linux/mm_inline.h", "3.13..5.11")
def page_lru_v5_4(page):
    """The list a page belongs on by its flags.  *Locks:* lru_lock.  *Race:* none known."""
    if PageUnevictable(page):
        return LRU_UNEVICTABLE
    lru = page_lru_base_type(page)
    if PageActive(page):
        lru += LRU_ACTIVE
    return lru


@cite("include/linux/mm_inline.h", "5.12..5.17")
def folio_lru_list(page):
    """The list a page belongs on by its flags.  *Locks:* lru_lock.  *Race:* none known."""
    VM_BUG_ON_FOLIO(
        lambda: PageActive(page) and PageUnevictable(page),
        "folio_test_active(folio) && folio_test_unevictable(folio)",
        page,
        {"5.17": "include/linux/mm_inline.h:83"},
    )
    if PageUnevictable(page):
        return LRU_UNEVICTABLE
    lru = page_lru_base_type(page)
    if PageActive(page):
        lru += LRU_ACTIVE
    return lru


page_lru = by_version(page_lru_v5_4, folio_lru_list)

_LRU_SIZE = ("size0", "size1", "size2", "size3", "size4")


@cite("include/linux/memcontrol.h", "5.17")
def mem_cgroup_disabled():
    """Booted with cgroup_disable=memory: the root's lruvecs then stand for the nodes' own."""
    return len(kernel().memcgs) == 1


@cite("mm/memcontrol.c", "5.4")
def mem_cgroup_update_lru_size(lruvec, lru, nr_pages):
    """Account pages on a list, and notice when more were taken off than had been put on.

    *Locks:* lru_lock.  *Race:* a plain load and store: under the wrong lock an update is lost.
    """
    lru_size = _LRU_SIZE[lru]
    if nr_pages < 0:
        setattr(lruvec, lru_size, getattr(lruvec, lru_size) + nr_pages)
    size = getattr(lruvec, lru_size)
    if WARN_ONCE(
        size < 0,
        "mem_cgroup_update_lru_size: lru_size is negative",
        {
            "4.19": "mm/memcontrol.c:1187",
            "5.4": "mm/memcontrol.c:1312",
            "5.17": "mm/memcontrol.c:1280",
        },
    ):
        if IS_ENABLED("DEBUG_VM"):
            line = {"4.19": ":1190", "5.4": ":1315", "5.17": ":1283"}.get(era().name, "")
            at = f"kernel BUG at mm/memcontrol.c{line}!"
            report("VM_BUG_ON", "VM_BUG_ON(1)", detail=(at,), fatal=True)
        setattr(lruvec, lru_size, 0)
    if nr_pages > 0:
        setattr(lruvec, lru_size, getattr(lruvec, lru_size) + nr_pages)


@cite("include/linux/mm_inline.h", "5.17")
def update_lru_size(lruvec, lru, nr_pages):
    """Account pages on a list.  *Locks:* lru_lock.

    There are two counts in C: the memcg's, and the node's statistics, which are per CPU and
    unaffected by races.  Here a booted memcg controller has the first, others the second.
    """
    if mem_cgroup_disabled():
        atomic_add(lruvec, _LRU_SIZE[lru], nr_pages)
    else:
        mem_cgroup_update_lru_size(lruvec, lru, nr_pages)


@cite("include/linux/mm_inline.h", "5.17")
def add_page_to_lru_list(page, lruvec):
    """Size first, then link at the front.  *Locks:* lru_lock of ``lruvec``."""
    lru = page_lru(page)
    update_lru_size(lruvec, lru, 1)
    list_add(page.lru, lruvec.lists[lru])


@cite("include/linux/mm_inline.h", "5.17")
def add_page_to_lru_list_tail(page, lruvec):
    """The same, at the end that reclaim looks at first.  *Locks:* lru_lock of ``lruvec``."""
    lru = page_lru(page)
    update_lru_size(lruvec, lru, 1)
    list_add_tail(page.lru, lruvec.lists[lru])


@cite("include/linux/mm_inline.h", "5.17")
def del_page_from_lru_list(page, lruvec, lru=None):
    """Unlink, then account.  *Locks:* lru_lock of ``lruvec``.

    Until 5.10 the caller says which list (page_off_lru); from 5.11 on it follows from the flags.
    """
    if lru is None:
        lru = page_lru(page)
    list_del(page.lru)
    update_lru_size(lruvec, lru, -1)
