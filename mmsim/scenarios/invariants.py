# SPDX-License-Identifier: GPL-2.0-only
"""What must hold when every context has finished (3.13 to 5.17): checks for scenarios to call.

A race may do its damage without an assertion firing: a page on a list without its flag, a
reference nobody holds, a counter that has drifted.  The checks look at raw values, pass no points
and enter findings of kind "invariant" that name what is wrong and not which page, so that the
same bug has the same fingerprint; the page is in the report.

    check_lru(machine)                 PG_lru <=> on the list of its node, memcg and flags; lengths
    check_refs(machine, mappings, owners)   count == cache + pagevecs + the owners given
    check_free_lists(machine)          free <=> on exactly one free list
    check_locks(machine)               no page locked, no lock held
    check_mm(machine, mappings, owners)     all of them

``owners`` is any iterable of pages, one entry for each reference that is meant to be left.
"""

from collections import Counter

from mmsim.linux.bug import report
from mmsim.linux.list import NULL, list_nodes
from mmsim.mmzone import LRU_UNEVICTABLE, NR_LRU_LISTS
from mmsim.page_alloc import drain_pages, pageset
from mmsim.pagevec import pvecs


def broken(where, title, page=None, *detail):
    """Enter a finding of the check ``where``."""
    report("invariant", title, page=page, detail=detail, where=where, at=())


def _nodes(where, head, what):
    """The pages of a list, or None and a finding if it is not whole."""
    try:
        return [node.owner for node in list_nodes(head)]
    except ValueError as error:
        broken(where, f"{what} is not whole", None, str(error))
    return None


def lru_of(page):
    """The list a page belongs on by its flags, without points."""
    flags = page.v_flags
    if flags & page.m_unevictable:
        return LRU_UNEVICTABLE
    lru = 0 if flags & page.m_swapbacked else 2
    return lru + bool(flags & page.m_active)


def check_lru(machine):
    """PG_lru if and only if linked, on the right list of the right lruvec; lengths == counters."""
    vm = machine.vm
    linked = {}
    for memcg in vm.memcgs:
        for lruvec in memcg.lruvecs:
            for lru in range(NR_LRU_LISTS):
                pages = ()
                if lru in lruvec.lists:  # else nobody has looked at it
                    pages = _nodes("check_lru", lruvec.lists[lru], "LRU list")
                if pages is None:
                    return
                if lruvec.v_size(lru) != len(pages):
                    title = "LRU size counter differs from the length of its list"
                    name = lruvec.lists[lru].name
                    broken("check_lru", title, None, f"{name}: {lruvec.v_size(lru)}, {len(pages)}")
                for page in pages:
                    linked[page] = (lruvec, lru)
    for page in vm.mem_map:
        on_lru = page.v_flags & page.m_lru
        if page not in linked:
            if on_lru:
                broken("check_lru", "PG_lru is set and the page is on no LRU list", page)
            continue
        lruvec, lru = linked[page]
        memcg = page.v_mem_cgroup or vm.root_mem_cgroup
        if not on_lru:
            broken("check_lru", "page is on an LRU list without PG_lru", page)
        elif lruvec.memcg is not memcg or lruvec.pgdat.node_id != page.node:
            broken("check_lru", "page is on the LRU of another memcg or node", page, lruvec.name)
        elif lru != lru_of(page):
            broken("check_lru", "page is on another LRU list than its flags say", page)


def pagevec_refs(machine):
    """The references that pagevecs hold, as a Counter of pages."""
    held = Counter()
    for cpu in machine.cpus:
        mine = cpu.data.get(pvecs)
        if mine is not None:
            for pvec in mine.all():
                held.update(pvec.pages)
    return held


def check_refs(machine, mappings=(), owners=()):
    """Every count is the number of owners; a page with none is free."""
    expected = pagevec_refs(machine)
    for mapping in mappings:
        expected.update(mapping.slots.values())
    expected.update(owners)
    for page in machine.vm.mem_map:
        if page.state in ("tail", "bad"):
            continue
        ref, want = page.v__refcount, expected[page]
        if page.state != "allocated":
            if want or ref:
                broken("check_refs", "page is free and referenced", page, f"{want} owners")
        elif ref != want:
            title = "reference count differs from the number of owners"
            broken("check_refs", title, page, f"refcount:{ref}, owners: {want}")
        elif ref == 0:
            broken("check_refs", "page has no owner and was not freed", page)


def _count_blocks(vm, free, blocks, order):
    for block in blocks:
        first = block.pfn - vm.mem_map[0].pfn
        free.update(vm.mem_map[first : first + (1 << order)])


def check_free_lists(machine):
    """Free lists are whole and disjoint and hold exactly the free pages.

    Then the per-CPU lists are given back, so that without DEBUG_VM a bad page among them is found
    in the run that made it.
    """
    vm = machine.vm
    pcps = [pcp for cpu in machine.cpus for pcp in cpu.data.get(pageset, {}).values()]
    free = Counter()
    for pcp in pcps:
        held = 0
        for order, head in enumerate(pcp.lists):
            blocks = _nodes("check_free_lists", head, "per-CPU free list")
            if blocks is None:
                return
            held += len(blocks) << order
            _count_blocks(vm, free, blocks, order)
        if held != pcp.v_count:
            broken("check_free_lists", "per-CPU free list differs from its count")
    for pgdat in vm.node_data:
        for order, head in sorted(pgdat.zone.free_area.items()):
            blocks = _nodes("check_free_lists", head, "buddy free list")
            if blocks is None:
                return
            _count_blocks(vm, free, blocks, order)
    for page in vm.mem_map:
        if page.lru.v_next is NULL:
            continue  # a frame that setup gave to nobody
        times = free[page]
        if page.state == "allocated" and times:
            broken("check_free_lists", "page has an owner and is on a free list", page)
        elif page.state == "bad" and times:
            broken("check_free_lists", "bad page is on a free list", page)
        elif page.state in ("free", "pcp") and times != 1:
            what = "twice on free lists" if times else "free and on no free list"
            broken("check_free_lists", f"page is {what}", page)
    if not machine.findings:
        for pcp in pcps:
            drain_pages(pcp)


def check_locks(machine, but=()):
    """No page is locked, except ``but``; no context has gone with a lock held."""
    for page in machine.vm.mem_map:
        if page.v_flags & page.m_locked and page not in but:
            broken("check_locks", "page is left locked", page)
    for ctx in machine.contexts:
        for lock in ctx.locks:
            who = f"{ctx.comm}/{ctx.pid}: {lock.name}"
            broken("check_locks", "a lock is still held", None, who)


def check_mm(machine, mappings=(), owners=()):
    """All of them; what the kernel itself would find later, when it frees in bulk, comes first."""
    check_free_lists(machine)
    check_lru(machine)
    check_refs(machine, mappings, owners)
    check_locks(machine)
