# SPDX-License-Identifier: GPL-2.0-only
"""Memory for a scenario of one's own: a few pages, as they look after a while of normal use.

    with memory(machine, pages=8) as vm:
        file = new_file("data")
        page = cached_page(vm, file, 0, "dirty")
        other = anon_page(vm)

All of it is set-up: raw values, before anybody runs, thousands of times a second.  What is left of
the frames is free memory when the block ends.  From 3.13 on (``boot_mm`` says so otherwise): 2.4
has a boot of its own, and page tables are what thread 003's stage.py makes.

A page comes with one reference.  Whoever holds it, and still does when all is quiet, is an owner
that ``check_mm`` has to be told of; the page cache's and the pagevecs' references it knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmsim.engine.door import door
from mmsim.engine.machine import Machine
from mmsim.errors import UsageError, nearest
from mmsim.linux.list import list_add
from mmsim.linux.percpu import per_cpu
from mmsim.memblock import compound_at_boot, memblock_alloc, memblock_free_all
from mmsim.mmzone import boot_mm
from mmsim.pagemap import address_space
from mmsim.pagevec import pvecs
from mmsim.rmap import anon_vma
from mmsim.scenarios.invariants import lru_of

_MARKS = ("dirty", "writeback")


@contextmanager
def memory(
    machine: Machine, *, pages: int = 8, nodes: int = 1, memcgs: int = 0, pcp: int = 6
) -> Iterator[Any]:
    """Boot memory of ``pages`` frames in all, the first of them node 0's; gives the kernel_mm.

    ``memcgs`` control groups besides the root.  ``pcp`` is how many free pages a CPU gathers before
    it gives some back: with 1 what is freed is whole blocks again at once.  Frames that nobody has
    taken when the block ends are given to the buddy lists.  Raises UncoveredEra before 3.13.
    """
    vm = boot_mm(machine, nodes=nodes, memcgs=memcgs, pages=pages)
    for i, page in enumerate(vm.mem_map):
        page.node = i * nodes // pages  # in a row, so that there are blocks of a node
    for pgdat in vm.node_data:
        pgdat.zone.pageset_high = pcp
    yield vm
    memblock_free_all(vm)


def new_file(name: str = "file", number: int = 0) -> Any:
    """The address_space of a file without pages; ``number`` tells those of several in a report."""
    return address_space(name, number)


def cached_page(
    vm: Any,
    mapping: Any,
    index: int = 0,
    *flags: str,
    node: int = 0,
    memcg: int = 0,
    order: int = 0,
    pagevec: int | None = None,
) -> Any:
    """A page of a file, in the page cache and mapped by nobody; the reference is the cache's.

    ``flags`` are names of page flags besides uptodate and lru; "dirty" and "writeback" are marked
    in the page cache as well.  ``pagevec``, ``node``, ``memcg`` and ``order`` as for `lru_page`.
    Raises UsageError for a flag that the era does not have, or an index that is taken.
    """
    if index in mapping.slots:
        raise UsageError(f"cached_page(): {mapping.name} has a page at index {index}")
    page = lru_page(vm, *flags, node=node, memcg=memcg, order=order, pagevec=pagevec)
    page.v_mapping = mapping
    page.v_index = index
    page.v_data = f"{mapping.name}:{index}"
    mapping.slots[index] = page
    mapping.v_nrpages += 1 << order
    marks = frozenset(flags).intersection(_MARKS)
    if marks and mapping.use_writeback_tags:
        mapping.marks[index] = marks
    return page


def anon_page(
    vm: Any,
    *flags: str,
    node: int = 0,
    memcg: int = 0,
    order: int = 0,
    pagevec: int | None = None,
) -> Any:
    """Anonymous memory that one process maps; the reference is that of its pte.

    There are no page tables: ``page_remove_rmap(page)`` and ``put_page(page)`` unmap it.
    The arguments are those of `lru_page`.  Raises UsageError for a flag that the era does not have.
    """
    page = lru_page(vm, "swapbacked", *flags, node=node, memcg=memcg, order=order, pagevec=pagevec)
    page.v_mapping = anon_vma(f"anon_vma:{page.name}", page.pfn)
    page.v__mapcount = 0
    return page


def lru_page(
    vm: Any,
    *flags: str,
    node: int = 0,
    memcg: int = 0,
    order: int = 0,
    pagevec: int | None = None,
) -> Any:
    """A page that is up to date and on the LRU list that its flags say; one reference.

    ``order`` makes it a compound page of 2**order frames.  ``memcg`` is the number of the control
    group that it is charged to, 0 for the root.  With ``pagevec``, the number of a CPU, it is not
    on the LRU yet but waits in that CPU's ``lru_add`` pagevec, which has a reference of its own.
    Raises UsageError for a flag that the era does not have, and for a control group or CPU that
    the machine does not have.
    """
    _check("control group", memcg, len(vm.memcgs))
    _check("CPU", pagevec or 0, len(door.machine.cpus))
    page = memblock_alloc(vm, node, order)
    page.v_flags = page.m_uptodate
    for flag in flags:
        if flag not in page.PG:
            raise UsageError(f"no page flag {flag!r} in {door.machine.era}{nearest(flag, page.PG)}")
        page.v_flags |= getattr(page, f"m_{flag}")
    if len(vm.memcgs) > 1:  # else there is no controller
        page.v_mem_cgroup = vm.memcgs[memcg]
    if order:
        compound_at_boot(vm, page, order)
    if pagevec is None:
        page.v_flags |= page.m_lru
        lru = lru_of(page)
        lruvec = vm.memcgs[memcg].lruvecs[page.node]
        list_add(page.lru, lruvec.lists[lru])
        setattr(lruvec, f"v_size{lru}", lruvec.v_size(lru) + 1)  # of list entries here
    else:
        page.v__refcount += 1
        per_cpu(pvecs, pagevec).lru_add.pages.append(page)
    return page


def _check(what: str, number: int, count: int) -> None:
    if not 0 <= number < count:
        raise UsageError(f"there is no {what} {number}: the last is {count - 1}")


def leave_free(vm: Any, frames: int = 1, node: int = 0) -> None:
    """The next ``frames`` of a node are nobody's: free memory when set-up is over."""
    mem_map = vm.mem_map
    at = vm.memblock_next.get(node, 0)
    while at < len(mem_map) and (mem_map[at].node != node or mem_map[at].history):
        at += 1
    vm.memblock_next[node] = at + frames
