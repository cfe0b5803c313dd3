# SPDX-License-Identifier: GPL-2.0-only
"""Thread 003's small casts: one page, one who moves it, one or two who meet it meanwhile.

Migration makes two passes, one that only tries page locks and one that sleeps for them, where the
kernel makes three and seven: a page that somebody has a reference to is tried again, and each pass
is another run through all the windows.
"""

from functools import partial

from mmsim.engine.context import HARDIRQ
from mmsim.memblock import memblock_free_all
from mmsim.mm_types import (
    VM_GROWSDOWN,
    VM_READ,
    VM_SHARED,
    VM_STACK_INCOMPLETE_SETUP,
    VM_WRITE,
)
from mmsim.scenarios.s003_migration_entry.actors import (
    bio,
    bio_end,
    bio_end_again,
    device_reader,
    exec_user,
    exiter,
    file_reader,
    file_user,
    pair_walker,
    pfn_walker,
    readahead,
    readahead_end,
    readahead_user,
    reader,
    toucher,
    truncater,
)
from mmsim.scenarios.s003_migration_entry.casts import (
    STACK,
    STACK_SHIFT,
    compacting,
    device_of,
    moving,
)
from mmsim.scenarios.s003_migration_entry.devices import mirror, mirror_fault
from mmsim.scenarios.s003_migration_entry.stage import (
    TEXT,
    boot,
    cached_page,
    driver_page,
    memory_of,
    new_file,
    new_mm,
    new_vma,
    reserve,
    user,
    zapper,
)
from mmsim.scenarios.small import SmallCast

PASSES = 1, 1
LIMITS = "migration: one pass that tries page locks, one that sleeps for them"
ONCE = 0, 1
ONE_PASS = "migration: one pass, which sleeps for page locks"


class Small:
    """A machine on its way up, with memory of ``kind``: the parts take CPUs in their order."""

    def __init__(self, m, kind, frames, pages, passes=PASSES):
        self.m = m
        self.vm = boot(m, frames)
        self.vm.migrate_passes = passes
        self.mem = memory_of(self.vm, kind, pages) if kind else None
        self.cpu = 0

    def spawn(self, fn, *args, comm):
        self.m.spawn(fn, *args, comm=f"{comm}{self.cpu}", cpu=self.cpu)
        self.cpu += 1

    def irq(self, fn, io, comm, cpu):
        return self.m.irq(fn, io, comm=comm, cpu=cpu, kind=HARDIRQ, armed=False)


def _moved_by(by):
    def part(s):
        moving(s.m, s.vm, s.mem, by, s.cpu)
        s.cpu += 1

    return part


compact = _moved_by("kcompactd")
move_pages = _moved_by("move_pages")
offline = _moved_by("offlining")


def reads(s):
    """A thread reads."""
    s.spawn(user, s.mem.mms[-1], s.mem.places, s.mem.names, False, 1, comm="user")


def writes(s):
    """A thread writes."""
    s.spawn(user, s.mem.mms[0], s.mem.places, s.mem.names, True, 1, comm="user")


def zaps(s):
    """A thread reads a file, and gives the mapping back."""
    s.spawn(zapper, s.mem.mms[0], s.mem.places, s.mem.names, 1, comm="zapper")


def exits(s):
    """A process gives its memory back."""
    s.spawn(exiter, s.mem.mms[0], s.mem.places, comm="exit")


def touches(s):
    """get_user_pages marks the page as accessed."""
    s.spawn(toucher, s.mem.mms[0], s.mem.places, 1, comm="gup")


def device(s):
    """A device has the page, and its driver comes back for it."""
    device_of(s.m, s.mem, s.cpu)
    s.cpu += 1


def device_asks(s):
    """A device has not had the page yet, and asks for it once."""
    copy = mirror(s.mem.mms[0], s.mem.places[0])
    copy.task = s.m.spawn(mirror_fault, copy, comm=f"device{s.cpu}", cpu=s.cpu)
    s.cpu += 1


def reads_into(s):
    """A driver reads into the page, which is locked until the interrupt."""
    io = bio()
    io.end = s.irq(bio_end, io, "bio", s.cpu)
    io.again = s.irq(bio_end_again, io, "bio-again", s.cpu)
    s.spawn(device_reader, s.mem.mms[0], s.mem.places[0], io, comm="driver")


def stack(s, using=1):
    """A program is started on the stack that is being moved."""
    s.spawn(exec_user, s.mem, STACK_SHIFT, 0, using, comm="exec")


def new_page(s):
    """A file is read that nobody has in memory."""
    s.spawn(file_user, new_file(s.vm), 0, 1, comm="cat")


def new_page_stays(s):
    """A file is read that nobody has in memory, and kept there."""
    s.spawn(file_reader, new_file(s.vm), 0, comm="cat")


def walks(s):
    """Compaction's way through memory by frame number."""
    first = s.vm.mem_map[0].pfn
    s.spawn(pfn_walker, first, first + len(s.vm.mem_map), 1, comm="walker")


def pairs(s):
    """Two frames are locked at a time, the page that moves and the frame that it moves to."""
    low = s.mem.pages[0].pfn
    s.spawn(pair_walker, [(low + 1, low)], comm="walker")


def first_touch(s):
    """A process touches a page of the file for the first time."""
    mm = new_mm(s.vm)
    new_vma(mm, TEXT, 1, VM_READ | VM_WRITE | VM_SHARED, s.vm.files[0])
    s.spawn(user, mm, [TEXT], [s.cached.v_data], comm="user")


def cached(s):
    """A page of a file that nobody maps is being moved."""
    s.cached = cached_page(s.vm, new_file(s.vm), 0)
    compacting(s.m, s.vm, [s.cached], s.cpu)
    s.cpu += 1


def cached_still(s):
    """A page of a file that nobody maps, and that stays."""
    s.cached = cached_page(s.vm, new_file(s.vm), 0)


def read(s):
    """read(2) of it."""
    s.spawn(reader, s.vm.files[0], 0, comm="cat")


def truncate(s):
    """It leaves the page cache."""
    s.spawn(truncater, s.vm.files[0], 0, comm="truncate")


def of_driver(s):
    """A page that a driver lets others move."""
    driver_page(s.vm)


def _small(*parts, kind="own", frames=3, pages=1, cpus=2, passes=PASSES):
    def setup(m, v):
        s = Small(m, kind, frames, pages, passes)
        for part in parts:
            part(s)
        memblock_free_all(s.vm)

    return SmallCast(setup, cpus, LIMITS if passes is PASSES else ONE_PASS)


def _stack(m, v, passes=PASSES, using=1):
    flags = VM_READ | VM_WRITE | VM_GROWSDOWN | VM_STACK_INCOMPLETE_SETUP
    s = Small(m, "", 4, 1, passes)
    s.mem = memory_of(s.vm, "own", 1, STACK, flags)
    start = STACK - STACK_SHIFT
    s.mem.mms[0].map_tables(start, start + 0x1000)
    stack(s, using)  # first: the search begins with the last races of an execution in their order
    compact(s)
    memblock_free_all(s.vm)


def _reading_ahead(others):
    def setup(m, v):
        s = Small(m, "", 6, 1)
        reserve(s.vm, s.vm.mem_map[::2])
        s.mem = memory_of(s.vm, "own", 1)
        memblock_free_all(s.vm)
        frames = s.vm.mem_map[0].pfn, s.vm.mem_map[0].pfn + len(s.vm.mem_map)
        io = readahead()
        io.end = s.irq(readahead_end, io, "read", 0)
        s.spawn(readahead_user, new_file(s.vm), io, 1, frames, comm="reader")
        for part in others:
            part(s)

    return setup


SMALL = {
    "compact-user": _small(compact, writes),
    "compact-forked": _small(compact, reads, kind="forked"),
    "compact-file": _small(compact, reads, kind="file"),
    "compact-zapper": _small(compact, zaps, kind="file"),
    "compact-exit": _small(compact, exits),
    "compact-device": _small(compact, device),
    "compact-gup": _small(compact, touches),
    "compact-bio": _small(compact, reads_into),
    "stack-compact": SmallCast(_stack, 2, LIMITS),
    "pairs-compact": _small(pairs, compact),
    "compact-read": _small(cached, read, kind=""),
    "compact-truncate": _small(cached, truncate, kind=""),
    "compact-first-touch": _small(cached, first_touch, kind=""),
    "first-touches": _small(cached_still, first_touch, first_touch, kind=""),
    "move-user": _small(move_pages, writes),
    "move-exit": _small(move_pages, exits),
    "offline-user": _small(offline, writes),
    "fresh-walker": _small(new_page, walks, kind="", frames=1),
    "fresh-driver-walker": _small(of_driver, new_page, walks, kind=""),
    "driver-walkers": _small(of_driver, walks, walks, kind="", frames=1),
    "readahead": SmallCast(_reading_ahead(()), 1, LIMITS),
    "readahead-user": SmallCast(_reading_ahead((writes,)), 2, LIMITS),
    "compact-user-once": _small(compact, writes, passes=ONCE),
    "compact-device-asks-once": _small(compact, device_asks, passes=ONCE),
    "stack-unused-compact": SmallCast(partial(_stack, using=0), 2, LIMITS),
    "fresh-stays-walker": _small(new_page_stays, walks, kind="", frames=1),
    "stack-compact-once": SmallCast(partial(_stack, passes=ONCE), 2, ONE_PASS),
    "compact-gup-user-once": _small(compact, touches, writes, cpus=3, passes=ONCE),
    "compact-exit-gup-once": _small(compact, exits, touches, cpus=3, passes=ONCE),
    "compact-gup-user": _small(compact, touches, writes, cpus=3),
    "compact-gup-device": _small(compact, touches, device, cpus=3),
    "compact-users": _small(compact, writes, writes, cpus=3),
    "compact-exit-user": _small(compact, exits, touches, cpus=3),
    "compact-devices": _small(compact, device, device, cpus=3),
}
