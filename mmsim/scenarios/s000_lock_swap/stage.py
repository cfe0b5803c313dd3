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
from mmsim.scenarios.s000_lock_swap.casts import ALONE, CASTS, Few, cast_of
from mmsim.scenarios.small import SmallCast

NODES = 2
FILE_PAGES = 2
WALK = 8  # frames that one walk looks at
FEWEST = 8  # tasks
FAULTS = 3  # pages that a new process touches, one after the other
GATHER = 66  # pages of an exiting task when latency is looked at: more than two batches of 32
SWAPS = 40  # and how many more, of both nodes in turn

WALKERS = {
    "scanner": actors.scanner,
    "page_idle": actors.page_idle_walker,
    "offliner": actors.offliner,
}

COMM = {
    "rm": "rm",
    "truncate": "truncate",
    "kswapd": "kswapd",
    "page_idle": "damo",
    "scanner": "memscan",
    "offliner": "offline",
    "reader": "cat",
    "mover": "cgclassify",
    "driver": "drv",
    "exit": "exit",
    "swapin": "swapin",
    "fault": "sh",
    "user": "db",
    "buffered": "drv",
}


class Stage:
    """A machine on its way up: pages, files and tasks, and what the check will have to know."""

    def __init__(self, machine, variant, few=None):
        self.machine = machine
        self.variant = variant
        self.few = few
        self.file_pages = FILE_PAGES if few is None else few.file_pages
        self.transfers = actors.TRANSFERS if few is None else few.transfers
        if few is None:
            self.cast, people = cast_of(machine, variant)
            tasks = max(len(machine.cpus), FEWEST)
            self.roles = [people[i % len(people)] for i in range(tasks)]
        else:
            self.cast = ""
            self.roles = list(few.roles)
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
        if few is not None and few.hoard:
            for pgdat in self.vm.node_data:
                pgdat.zone.pageset_high = pgdat.zone.pageset_batch = few.hoard
        self.anon = anon_vma("heap")
        self.exits = [self.gathered(i) for i in exits]
        written = [lambda: self.huge_page(0), lambda: self.lru_page(1)]
        self.io_pages = [make() for make in written[: None if few is None else few.ios]]
        for page in self.io_pages:  # being written; the huge one makes the handler take lru_lock
            page.v_flags |= page.m_swapcache | page.m_writeback | page.m_reclaim
            page.v_flags &= ~page.m_dirty
        self.read_ahead = [
            self.lru_page(n % NODES, "swapcache", memcg=0)
            for n in range(self.roles.count("swapin"))
        ]

    def frames(self, exits):
        """Frames needed on a node: an even number."""
        files = sum(role in ("rm", "truncate") for role in self.roles) or "mover" in self.roles
        spare, huge = (4, 3) if self.few is None else (self.few.spare, 3 * self.few.huge)
        need = [spare + -(-self.file_pages // NODES) * files] * NODES
        for i in exits:
            need[i % NODES] += huge  # a huge page, and perhaps a frame to align it
            for node in self.exiting(i):
                need[node] += 1
        return max(need) + 1 & ~1

    def exiting(self, number):
        """Nodes of the small pages of an exiting task: the last is that of its huge page."""
        if self.few is not None:
            return self.few.heap
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
        huge = [self.huge_page(number % NODES)] if self.few is None or self.few.huge else []
        pages = [*(self.lru_page(node) for node in self.exiting(number)), *huge]
        for page in pages:
            page.v__mapcount = 0
        return pages

    def file(self):
        """A tmpfs file whose pages are on both nodes in turn."""
        number = len(self.mappings)
        mapping = address_space(f"tmpfs{number}", number)
        self.inode = inode = actors.inode(f"inode{number}", mapping)
        inode.pages = self.file_pages
        for index in range(self.file_pages):
            page = self.lru_page((number + index) % NODES, "referenced")
            page.v_mapping = mapping
            page.v_index = index
            mapping.slots[index] = page
        mapping.v_nrpages = self.file_pages
        self.mappings.append(mapping)
        return inode

    def pin(self, n):
        """The first pages of the file or heap made last, a reference more each (get_user_pages)."""
        pages = self.heap[:n]
        if self.inode is not None:
            slots = self.inode.i_mapping.slots
            pages = [slots[index] for index in range(min(n, self.file_pages))]
        for page in pages:
            page.v__refcount += 1
        return pages

    def frames_to_walk(self):
        """Frames that a walk by frame number looks at: some, or those that the others free."""
        frames = self.vm.mem_map
        if self.few is None:
            first = self.machine.rng.randrange(len(frames))
            return (frames + frames)[first : first + WALK]
        used = [page for page in frames if page.v_flags & page.m_lru]
        return used[-self.few.walk :] if self.few.walk else used or frames[: self.few.faults]

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
            if self.few is not None:
                scan, rounds, aging = self.few.scan, self.few.rounds, self.few.aging
            memcgs = vm.memcgs if "swapin" in self.roles else vm.memcgs[1:]
            return actors.kswapd, vm.node_data[number % NODES], memcgs, scan, rounds, aging
        if role in WALKERS:
            return WALKERS[role], self.frames_to_walk()
        if role == "reader":
            self.inode.v_i_count += 1
            return actors.reader, self.inode
        if role == "mover":
            if self.shared is None:
                self.shared = self.file()
            self.shared.v_i_count += 1  # which stays: the file is mapped
            return actors.charge_mover, self.shared, vm.memcgs[1], vm.memcgs[2]
        if role == "swapin":
            return actors.do_swap_page, self.read_ahead[number], vm.memcgs[1]
        if role == "driver":
            return actors.driver, self.pin(2), self.transfers
        if role == "fault":
            faults = FAULTS if self.few is None else self.few.faults
            return actors.fault_and_exit, vm.memcgs[1], faults, self.anon
        if role == "buffered":
            return actors.driver_with_buffer, self.pin(2), self.transfers
        if role == "user":
            self.heap = self.exits.pop()
            return actors.use_and_exit, self.heap, self.transfers
        assert role == "exit"
        self.heap = self.exits.pop()
        return actors.exit_mmap, self.heap


def setup(machine, variant, few=None):
    """Boot, and spawn a task for each role and the disk's interrupts."""
    few = few or ALONE.get(variant.cast)
    stage = Stage(machine, variant, few)
    numbers = dict.fromkeys(stage.roles, 0)
    for i, role in enumerate(stage.roles):
        fn, *args = stage.work(role, numbers[role])
        cpu = i
        if stage.cast in ("realloc", "buffers"):  # what one frees is next in the list of its CPU
            cpu = i - i % len(CASTS[variant.era][stage.cast])
        if few is not None and few.on:
            cpu = few.on[i]
        machine.spawn(fn, *args, comm=f"{COMM[role]}{numbers[role]}", cpu=cpu)
        numbers[role] += 1
    for i, page in enumerate(stage.io_pages):
        machine.irq(actors.end_io, page, comm=f"nvme{i}", cpu=i)
    memblock_free_all(stage.vm)
    stage.vm.stage = stage


def check(machine, variant):
    """Lists, counts and locks are as they must be; only the swap cache still has pages."""
    stage = machine.vm.stage
    check_mm(machine, stage.mappings, stage.io_pages + stage.read_ahead)
    if any(pgdat.v_vmstat_isolated for pgdat in machine.vm.node_data):
        broken("check", "pages are counted as isolated and nobody has isolated any")


def _small(*roles, **how):
    few = Few(roles, **how)
    cpus = max(few.on) + 1 if few.on else max(2, len(roles))
    limits = [f"{few.file_pages} page{'s' * (few.file_pages > 1)} a file"]
    if few.transfers != actors.TRANSFERS:
        limits.append("a driver sets a flag once")
    if few.hoard == 1:
        limits.append("no CPU keeps a free page")
    if "kswapd" in roles:
        limits.append(f"reclaim looks at {few.scan} pages a list")
    return SmallCast(lambda m, v: setup(m, v, few), cpus, ", ".join(limits))


LONG = (0,) * 33 + (1,)  # one more than a batch, and the other node

SMALL = {
    "rm-scanner": _small("rm", "scanner"),
    "rm-kswapd": _small("rm", "kswapd"),
    "rm-page_idle": _small("rm", "page_idle", walk=1),
    "rm-offliner": _small("rm", "offliner", file_pages=1),
    "rm-reader": _small("rm", "reader"),
    "rm-driver": _small("rm", "driver"),
    "rm-rm": _small("rm", "rm"),
    "rm-exit": _small("rm", "exit"),
    "rm-buffered": _small("rm", "buffered", on=(0, 0), file_pages=1),
    "exit-scanner": _small("exit", "scanner", heap=(1,), walk=1),
    "exit-kswapd": _small("exit", "kswapd"),
    "exit-kswapd-rounds": _small("exit", "kswapd", rounds=2, heap=(1,)),
    "exit-page_idle": _small("exit", "page_idle"),
    "exit-offliner": _small("exit", "offliner", heap=(1,), walk=1),
    "exit-driver": _small("exit", "driver"),
    "exit-exit": _small("exit", "exit"),
    "exit-disk": _small("exit", "swapin", heap=(1,), ios=1),
    "exit-long-scanner": _small("exit", "scanner", heap=LONG, walk=1),
    "exit-long-kswapd": _small("exit", "kswapd", heap=LONG, scan=1),
    "truncate-kswapd": _small("truncate", "kswapd"),
    "truncate-scanner": _small("truncate", "scanner", file_pages=1),
    "truncate-offliner": _small("truncate", "offliner", file_pages=1),
    "truncate-reader": _small("truncate", "reader", file_pages=1),
    "truncate-mover": _small("truncate", "mover", file_pages=1),
    "fault-kswapd": _small("fault", "kswapd"),
    "fault-scanner": _small("fault", "scanner"),
    "swapin-kswapd": _small("swapin", "kswapd"),
    "swapin-scanner": _small("swapin", "scanner"),
    "user-driver": _small("user", "driver", on=(0, 0), heap=(1,)),
    "user-driver-fault": _small("user", "driver", "fault", on=(0, 0, 0), heap=()),
    "rm-buffered-once": _small("rm", "buffered", on=(0, 0), file_pages=1, transfers=1),
    "user-driver-fault-once": _small(
        "user", "driver", "fault", on=(0, 0, 0), heap=(), transfers=1
    ),
    # On one CPU everything that two tasks do has an order, and there are too many.  With a CPU each
    # they are few; then what one frees has to get to another's CPU, so no CPU keeps a free page.
    # That leaves out a page that comes back in the CPU's own list.  In user-buffered a task takes
    # what it has let go of; where others take it, on one CPU, is explored up to a bound.
    "user-driver-fault-apart": _small("user", "driver", "fault", heap=(0,), huge=False, hoard=1),
    "user-buffered": _small("user", "buffered", on=(1, 0), heap=(0,), huge=False),
    "user-buffered-once": _small(
        "user", "buffered", on=(0, 0), heap=(0,), huge=False, transfers=1
    ),
    "rm-buffered-apart": _small("rm", "buffered", on=(1, 0), spare=1, hoard=1),
    "mover-reader": _small("mover", "reader", file_pages=1),
    "rm-kswapd-disk": _small("rm", "kswapd", file_pages=1, scan=1, ios=1),
    "rm-kswapd-scanner": _small("rm", "kswapd", "scanner", file_pages=1, scan=1),
    "rm-offliner-scanner": _small("rm", "offliner", "scanner", file_pages=1),
    "exit-kswapd-scanner": _small("exit", "kswapd", "scanner", heap=(), scan=1),
    "truncate-mover-kswapd": _small("truncate", "mover", "kswapd", file_pages=1, scan=1),
    "truncate-mover-scanner": _small("truncate", "mover", "scanner", file_pages=1),
    "truncate-mover-reader": _small("truncate", "mover", "reader", file_pages=1),
}
