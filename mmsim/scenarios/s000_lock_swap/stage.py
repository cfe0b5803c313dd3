# SPDX-License-Identifier: GPL-2.0-only
"""How a machine of thread 000 is booted, and what must hold when it has come to rest.

Two nodes, so that locks are swapped: a file has its pages on both in turn, every second file the
other way round.  All pages are charged to memcg1.  There are as many tasks as CPUs and at least
eight (casts.py); with fewer CPUs several share one.

Pages are made as they look after a while of normal use.  Building them costs more than running
them, so this file stores raw values.
"""

from mmsim.memblock import compound_at_boot, memblock_alloc, memblock_free_all
from mmsim.mmzone import LRU_INACTIVE_ANON, boot_mm
from mmsim.pagemap import address_space
from mmsim.rmap import anon_vma
from mmsim.scenarios.invariants import broken, check_mm
from mmsim.scenarios.s000_lock_swap import actors
from mmsim.scenarios.s000_lock_swap.casts import CASTS, SMALL, cast_of

NODES = 2
FILE_PAGES = 2
WALK = 8  # frames that one walk looks at
FEWEST = 8  # tasks
FAULTS = 3  # pages that a new process touches, one after the other
GATHER = 66  # pages of an exiting task when latency is looked at: more than two batches of 32
SWAPS = 40  # and how many more, of both nodes in turn

COMM = {
    "rm": "rm",
    "truncate": "truncate",
    "kswapd": "kswapd",
    "page_idle": "damo",
    "scanner": "memscan",
    "reader": "cat",
    "mover": "cgclassify",
    "driver": "drv",
    "exit": "exit",
    "swapin": "swapin",
    "fault": "sh",
    "user": "db",
    "buffered": "drv",
}


class Booting:
    """A machine on its way up: pages, files and tasks, and what the check will have to know."""

    def __init__(self, machine, variant):
        self.machine = machine
        self.variant = variant
        self.cast, people = cast_of(machine, variant)
        small = self.cast in SMALL
        tasks = len(people) if small else max(len(machine.cpus), FEWEST)
        self.roles = [people[i % len(people)] for i in range(tasks)]
        exits = range(self.roles.count("exit") + self.roles.count("user"))
        frames = self.frames(exits)
        self.vm = boot_mm(machine, nodes=NODES, memcgs=2, pages=NODES * frames)
        for i, page in enumerate(self.vm.mem_map):
            page.node = i // frames
        self.mappings = []
        self.inode = None  # the file made last
        self.heap = []  # of the exiting task made last
        self.shared = None  # the one that is truncated while it is open
        if variant.config.get("IRQSOFF_TRACER"):
            # as large as in life, so that the longest stretch is not one of giving pages back
            for pgdat in self.vm.node_data:
                pgdat.zone.pageset_high, pgdat.zone.pageset_batch = 378, 63
        self.anon = anon_vma("heap")
        self.exits = [self.gathered(i) for i in exits]
        self.io_pages = [self.huge_page(0), self.lru_page(1)]
        for page in self.io_pages:  # being written; the huge one makes the handler take lru_lock
            page.v_flags |= page.m_swapcache | page.m_writeback | page.m_reclaim
            page.v_flags &= ~page.m_dirty
        self.read_ahead = [
            self.lru_page(n % NODES, "swapcache", memcg=0)
            for n in range(self.roles.count("swapin"))
        ]

    def frames(self, exits):
        """Frames needed on a node: an even number."""
        need = [4 + FILE_PAGES // NODES * sum(r in ("rm", "truncate") for r in self.roles)] * NODES
        for i in exits:
            need[i % NODES] += 3  # a huge page, and perhaps a frame to align it
            for node in self.exiting(i):
                need[node] += 1
        return max(need) + 1 & ~1

    def exiting(self, number):
        """Nodes of the small pages of an exiting task: the last is that of its huge page."""
        if self.variant.config.get("IRQSOFF_TRACER"):
            return [0] * GATHER + [1, 0] * (SWAPS // 2) if number == 0 else [number % NODES] * 2
        return [(number + 1) % NODES, number % NODES]

    def lru_page(self, node, *flags, order=0, memcg=1):
        """A swap-backed page on its inactive list, with one reference; memcg 0 is nobody's."""
        page = memblock_alloc(self.vm, node, order)
        for flag in ("uptodate", "dirty", "swapbacked", "lru", *flags):
            page.v_flags |= getattr(page, f"m_{flag}")
        page.v_mem_cgroup = self.vm.memcgs[memcg] if memcg else None
        lruvec = self.vm.memcgs[memcg].lruvecs[node]
        head = lruvec.lists[LRU_INACTIVE_ANON]
        page.lru.v_next, page.lru.v_prev = head.v_next, head
        head.v_next.v_prev = page.lru
        head.v_next = page.lru
        lruvec.v_size0 += 1
        return page

    def huge_page(self, node):
        """The same as a compound page of two."""
        page = self.lru_page(node, order=1)
        compound_at_boot(self.vm, page, 1)
        return page

    def gathered(self, number):
        """What an exiting task frees: small pages of both nodes, then a huge one of the last's."""
        huge = self.huge_page(number % NODES)
        pages = [*(self.lru_page(node) for node in self.exiting(number)), huge]
        for page in pages:
            page.v__mapcount = 0
        return pages

    def file(self):
        """A tmpfs file whose pages are on both nodes in turn."""
        number = len(self.mappings)
        mapping = address_space(f"tmpfs{number}", number)
        self.inode = inode = actors.inode(f"inode{number}", mapping)
        inode.pages = FILE_PAGES
        for index in range(FILE_PAGES):
            page = self.lru_page((number + index) % NODES, "referenced")
            page.v_mapping = mapping
            page.v_index = index
            mapping.slots[index] = page
        mapping.v_nrpages = FILE_PAGES
        self.mappings.append(mapping)
        return inode

    def pin(self, n):
        """The first pages of the file or heap made last, a reference more each (get_user_pages)."""
        pages = self.heap[:n]
        if self.inode is not None:
            pages = [self.inode.i_mapping.slots[index] for index in range(n)]
        for page in pages:
            page.v__refcount += 1
        return pages

    def work(self, role, number):
        """What task ``number`` of a role does: (function, its arguments)."""
        vm = self.vm
        if role == "rm":
            return actors.do_unlinkat, self.file()
        if role == "truncate":
            self.shared = self.file()
            return actors.do_truncate, self.shared
        if role == "kswapd":
            scan = 3 if self.cast in ("reclaim", "rounds") else 2
            rounds = 2 if self.cast == "rounds" else 1
            aging = self.cast == "all"
            memcgs = vm.memcgs if "swapin" in self.roles else vm.memcgs[1:]
            return actors.kswapd, vm.node_data[number % NODES], memcgs, scan, rounds, aging
        if role in ("page_idle", "scanner"):
            first = self.machine.rng.randrange(len(vm.mem_map))
            walk = actors.scanner if role == "scanner" else actors.page_idle_walker
            return walk, (vm.mem_map + vm.mem_map)[first : first + WALK]
        if role == "reader":
            self.inode.v_i_count += 1
            return actors.reader, self.inode
        if role == "mover":
            self.shared.v_i_count += 1  # which stays: the file is mapped
            return actors.charge_mover, self.shared, vm.memcgs[1], vm.memcgs[2]
        if role == "swapin":
            return actors.do_swap_page, self.read_ahead[number], vm.memcgs[1]
        if role == "driver":
            return actors.driver, self.pin(2)
        if role == "fault":
            return actors.fault_and_exit, vm.memcgs[1], FAULTS, self.anon
        if role == "buffered":
            return actors.driver_with_buffer, self.pin(2)
        if role == "user":
            self.heap = self.exits.pop()
            return actors.use_and_exit, self.heap
        assert role == "exit"
        self.heap = self.exits.pop()
        return actors.exit_mmap, self.heap


def setup(machine, variant):
    """Boot, and spawn a task for each role and the disk's interrupts."""
    boot = Booting(machine, variant)
    numbers = dict.fromkeys(boot.roles, 0)
    for i, role in enumerate(boot.roles):
        fn, *args = boot.work(role, numbers[role])
        cpu = i
        if boot.cast in ("realloc", "buffers"):  # what one frees is next in the list of its CPU
            cpu = i - i % len(CASTS[variant.era][boot.cast])
        machine.spawn(fn, *args, comm=f"{COMM[role]}{numbers[role]}", cpu=cpu)
        numbers[role] += 1
    written = boot.io_pages
    if boot.cast in SMALL:
        written = written[: boot.cast.endswith("-disk")]
    for page in boot.io_pages[len(written) :]:
        page.v_flags &= ~(page.m_writeback | page.m_reclaim)
    for i, page in enumerate(written):
        machine.irq(actors.end_io, page, comm=f"nvme{i}", cpu=i)
    memblock_free_all(boot.vm)
    boot.vm.boot = boot


def check(machine, variant):
    """Lists, counts and locks are as they must be; only the swap cache still has pages."""
    boot = machine.vm.boot
    check_mm(machine, boot.mappings, boot.io_pages + boot.read_ahead)
    if any(pgdat.v_vmstat_isolated for pgdat in machine.vm.node_data):
        broken("check", "pages are counted as isolated and nobody has isolated any")
