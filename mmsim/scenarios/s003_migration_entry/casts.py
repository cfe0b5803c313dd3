# SPDX-License-Identifier: GPL-2.0-only
"""Who meets whom in thread 003: the machine of each variant, without its mutation.

Every meeting is sound: with no gate on, none of them comes to harm, and ``003.base`` draws one of
them for each run.  With n CPUs at least n tasks take part; with fewer than six CPUs several tasks
share one, which takes PREEMPT to show anything.

Most meetings begin when kcompactd has isolated its pages and is about to move them: what comes
before is not what the thread is about, and a run is worth more if it is short.
"""

from functools import partial

from mmsim.engine.context import HARDIRQ
from mmsim.linux.list import LIST_HEAD
from mmsim.memblock import memblock_free_all
from mmsim.mm_types import (
    PAGE_SIZE,
    PMD_SHIFT,
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
    file_user,
    kcompactd,
    offliner,
    pair_walker,
    pfn_walker,
    readahead,
    readahead_end,
    readahead_user,
    toucher,
)
from mmsim.scenarios.s003_migration_entry.devices import device_user, mirror
from mmsim.scenarios.s003_migration_entry.stage import (
    TEXT,
    boot,
    cached_page,
    driver_page,
    isolate,
    memory_of,
    mover,
    new_file,
    new_mm,
    new_vma,
    reserve,
    set_aside,
    user,
    zapper,
)

TASKS = 6  # at least
KINDS = ("file", "own", "forked")
STACK_PAGES = 3
STACK = (8 << PMD_SHIFT) - 2 * PAGE_SIZE
STACK_SHIFT = (2 << PMD_SHIFT) - PAGE_SIZE


def tasks_of(m):
    """How many tasks take part."""
    return max(TASKS, len(m.cpus))


def compacting(m, vm, pages, i):
    """kcompactd number ``i`` has isolated ``pages``."""
    migratepages = LIST_HEAD(f"cc{i}->migratepages")
    freepages = LIST_HEAD(f"cc{i}->freepages")
    for page in pages:
        isolate(vm, page, migratepages)
    set_aside(vm, freepages, len(pages))
    m.spawn(kcompactd, migratepages, freepages, comm=f"kcompactd{i}", cpu=i)


def moving(m, vm, mem, by, i):
    """Task number ``i`` moves the pages of ``mem``."""
    if by == "kcompactd":
        compacting(m, vm, mem.pages, i)
    elif by == "move_pages":
        m.spawn(mover, mem.mms[0], mem.places, 2, comm=f"mover{i}", cpu=i)
    else:
        frames = [page.pfn for page in mem.pages]
        m.spawn(offliner, frames[0], frames[-1] + 1, 2, comm=f"offliner{i}", cpu=i)


def on_the_move(m, share=8, pages=3, rounds=8, by="kcompactd", guest=None, guests=1):
    """For every ``share`` tasks some pages: one task moves them, the others use them.

    ``guest(m, number, mm, places)`` spawns somebody else in place of the first ``guests`` users.
    """
    tasks = tasks_of(m)
    groups = max(1, tasks // share)
    vm = boot(m, frames=2 * groups * pages + tasks + 4)
    memories = [memory_of(vm, m.rng.choice(KINDS), pages) for _ in range(groups)]
    for i in range(tasks):
        mem = memories[i % groups]
        nth = i // groups
        mm = mem.mms[nth % len(mem.mms)]
        if nth == 0:
            moving(m, vm, mem, by, i)
        elif guest is not None and nth <= guests:
            guest(m, i, mm, mem.places)
        elif mem.kind == "file" and nth % 2:
            m.spawn(zapper, mm, mem.places, mem.names, rounds // 4, comm=f"zapper{i}", cpu=i)
        else:
            write = mem.kind != "forked" and nth % 2 == 0
            m.spawn(user, mm, mem.places, mem.names, write, rounds, comm=f"user{i}", cpu=i)
    memblock_free_all(vm)


def moved_by_others(m):
    """The same, by move_pages(2) or because memory is going offline."""
    on_the_move(m, by=m.rng.choice(("move_pages", "offlining")))


def device_of(m, mem, i):
    """A device that has all pages of ``mem``, and its driver, task number ``i``."""
    copies = [mirror(mem.mms[0], address) for address in mem.places]
    for copy, page in zip(copies, mem.pages, strict=True):
        copy.v_page = page
        copy.v_invalidate_seq = -1
    task = m.spawn(device_user, copies, mem.names, comm=f"device{i}", cpu=i)
    for copy in copies:
        copy.task = task


def devices(m, share=8, pages=3):
    """For every ``share`` tasks some pages: one task moves them, the others are devices' drivers.

    An invalidation sends every driver back to the page tables, where it finds the migration entry.
    """
    tasks = tasks_of(m)
    groups = max(1, tasks // share)
    vm = boot(m, frames=2 * groups * pages + tasks)
    memories = [memory_of(vm, "own", pages) for _ in range(groups)]
    for i in range(tasks):
        mem = memories[i % groups]
        if i < groups:
            compacting(m, vm, mem.pages, i)
        else:
            device_of(m, mem, i)
    memblock_free_all(vm)


def first_faults(m, pages=2):
    """Two processes share a file and touch it for the first time, both at once; so do other pairs.

    One file's pages are on the move meanwhile.
    """
    tasks = tasks_of(m)
    pairs = tasks // 2
    vm = boot(m, frames=(pairs + 1) * pages + tasks)
    files = []
    for _ in range(pairs):
        mapping = new_file(vm)
        files.append((mapping, [cached_page(vm, mapping, i) for i in range(pages)]))
    for i in range(2 * pairs):
        mapping, cached = files[i // 2]
        mm = new_mm(vm)
        new_vma(mm, TEXT, pages, VM_READ | VM_WRITE | VM_SHARED, mapping)
        places = [TEXT + i * PAGE_SIZE for i in range(pages)]
        m.spawn(user, mm, places, [p.v_data for p in cached], comm=f"user{i}", cpu=i)
    compacting(m, vm, files[0][1], tasks)
    memblock_free_all(vm)


def touched(m):
    """Somebody marks the pages as accessed meanwhile."""

    def guest(m, i, mm, places):
        m.spawn(toucher, mm, places, 2, comm=f"gup{i}", cpu=i)

    on_the_move(m, guest=guest, guests=2)


def touched_devices(m, share=4, pages=1, touches=2, rounds=6):
    """For every ``share`` tasks a page: it is moved, two mark it as accessed, a device has it.

    Without DEBUG_VM whoever comes upon a lost lock bit first is the device, which is back as soon
    as the entry is there.
    """
    tasks = tasks_of(m)
    groups = max(1, tasks // share)
    vm = boot(m, frames=2 * groups * pages + tasks)
    memories = [memory_of(vm, "own", pages) for _ in range(groups)]
    for i in range(tasks):
        mem = memories[i % groups]
        nth = i // groups
        if nth == 0:
            compacting(m, vm, mem.pages, i)
        elif nth <= touches:
            m.spawn(toucher, mem.mms[0], mem.places, rounds, comm=f"gup{i}", cpu=i)
        else:
            device_of(m, mem, i)
    memblock_free_all(vm)


def read_into(m):
    """A driver reads into a page meanwhile, with the page locked."""

    def guest(m, i, mm, places):
        io = bio()
        cpu = i + 1
        io.end = m.irq(bio_end, io, comm=f"bio{i}", cpu=cpu, kind=HARDIRQ, armed=False)
        io.again = m.irq(bio_end_again, io, comm=f"bio{i}", cpu=cpu, kind=HARDIRQ, armed=False)
        m.spawn(device_reader, mm, places[0], io, comm=f"driver{i}", cpu=i)

    on_the_move(m, guest=guest)


def fresh_pages(m, walks=4):
    """Half of the tasks walk memory by frame, the others bring new pages into the page cache.

    One page belongs to a driver who does expect the walkers.
    """
    tasks = tasks_of(m)
    vm = boot(m, frames=tasks + 3)
    driver_page(vm)
    memblock_free_all(vm)
    first = vm.mem_map[0].pfn
    end = first + len(vm.mem_map)
    for i in range(tasks):
        if (i + i // len(m.cpus)) % 2:
            m.spawn(pfn_walker, first, end, walks, comm=f"walker{i}", cpu=i)
        else:
            m.spawn(file_user, new_file(vm), 0, 1, comm=f"reader{i}", cpu=i)


def stacks_on_the_move(m, using=(2,), reuse=0):
    """Programs are started while their stacks are moved; ``reuse`` others want pages.

    A stack's three pages lie in two page tables and will lie in two others, so exec moves them one
    by one.  Migration has the last of them: it is still where it was for as long as exec takes to
    move the others.
    """
    tasks = tasks_of(m)
    pairs = tasks // 2
    vm = boot(m, frames=4 * pairs + 2 * tasks)
    flags = VM_READ | VM_WRITE | VM_GROWSDOWN | VM_STACK_INCOMPLETE_SETUP
    stacks = []
    for _ in range(pairs):
        stack = memory_of(vm, "own", STACK_PAGES, STACK, flags)
        start = STACK - STACK_SHIFT
        stack.mms[0].map_tables(start, start + STACK_PAGES * PAGE_SIZE)
        stacks.append(stack)
    for i, stack in enumerate(stacks):
        times = m.rng.randrange(4), m.rng.choice(using)
        m.spawn(exec_user, stack, STACK_SHIFT, *times, comm=f"exec{i}", cpu=i)
        compacting(m, vm, stack.pages[-1:], pairs + i)
    for i in range(2 * pairs, tasks + reuse):
        m.spawn(file_user, new_file(vm), 0, reuse, comm=f"reader{i}", cpu=i)
    memblock_free_all(vm)


def reading_ahead(m, pages=2):
    """Readers whose allocations compact while they hold page locks; others just use their memory.

    Memory is in single pages, so that a larger block is not to be had.
    """
    tasks = tasks_of(m)
    readers = max(2, tasks // 8)
    vm = boot(m, frames=6 * readers + 2 * pages)
    reserve(vm, vm.mem_map[::2])
    mem = memory_of(vm, "own", pages)
    memblock_free_all(vm)
    frames = vm.mem_map[0].pfn, vm.mem_map[0].pfn + len(vm.mem_map)
    for i in range(tasks):
        if i < readers:
            io = readahead()
            io.end = m.irq(readahead_end, io, comm=f"read{i}", cpu=i, kind=HARDIRQ, armed=False)
            m.spawn(readahead_user, new_file(vm), io, 1, frames, comm=f"reader{i}", cpu=i)
        else:
            m.spawn(user, mem.mms[0], mem.places, mem.names, True, 4, comm=f"user{i}", cpu=i)


def pairs_of_frames(m, share=4, pages=2, rounds=4):
    """Walkers lock two frames at a time, while pages of low frames move to high ones."""
    tasks = tasks_of(m)
    groups = max(1, tasks // share)
    vm = boot(m, frames=2 * groups * pages + tasks)
    memories = [memory_of(vm, "own", pages) for _ in range(groups)]
    low = groups * pages
    first = vm.mem_map[0].pfn
    for i in range(tasks):
        mem = memories[i % groups]
        nth = i // groups
        if nth == 0:
            compacting(m, vm, mem.pages, i)
        elif nth == 1:
            m.spawn(user, mem.mms[0], mem.places, mem.names, False, 4, comm=f"user{i}", cpu=i)
        else:
            pairs = [
                (first + low + m.rng.randrange(low), first + m.rng.randrange(low))
                for _ in range(rounds)
            ]
            m.spawn(pair_walker, pairs, comm=f"walker{i}", cpu=i)
    memblock_free_all(vm)


MEETINGS = (
    on_the_move,
    moved_by_others,
    devices,
    first_faults,
    touched,
    touched_devices,
    read_into,
    fresh_pages,
    stacks_on_the_move,
    reading_ahead,
    pairs_of_frames,
)
OFTEN = (*MEETINGS, on_the_move, devices, devices, devices)


def anybody(m):
    """One of them, most often those with many who wait for entries."""
    m.rng.choice(OFTEN)(m)


CASTS = {
    "anybody": anybody,
    "on-the-move": on_the_move,
    "moved-by-others": moved_by_others,
    "devices": devices,
    "devices-of-two-pages": partial(devices, share=3, pages=2),
    "devices-of-a-page": partial(devices, pages=1),
    "device-each": partial(devices, share=2, pages=2),
    "first-faults": first_faults,
    "touched": touched,
    "touched-devices": touched_devices,
    "read-into": read_into,
    "fresh-pages": fresh_pages,
    "stacks": stacks_on_the_move,
    "stacks-given-up": partial(stacks_on_the_move, using=(0, 2)),
    "stacks-and-readers": partial(stacks_on_the_move, reuse=2),
    "reading-ahead": reading_ahead,
    "pairs-of-frames": pairs_of_frames,
}


def known_cast(variant):
    """Raises ValueError if the variant's cast is none of these."""
    if variant.cast not in CASTS:
        raise ValueError(f"{variant.id}: no cast {variant.cast!r}: {', '.join(CASTS)}")
