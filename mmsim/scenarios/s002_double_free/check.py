# SPDX-License-Identifier: GPL-2.0-only
"""What must hold in a 2.4 kernel once nothing runs any more.

Every page is either free, on exactly one free list and unused, or it has as many references as
there are users, and is on the LRU list that its flags name.  The patches of February 2002 add a
third kind on purpose, the page given up by everybody and left on the LRU for shrink_cache:
"parked".  Which of them park, and how such a page looks, is stated here once.
"""

from mmsim.linux.bug import report
from mmsim.linux.list import list_nodes
from mmsim.model.gate import patched
from mmsim.v2_4.page import PG_active, PG_locked, PG_lru
from mmsim.v2_4.vmscan import refill_inactive, shrink_cache

LRU = 1 << PG_lru
ACTIVE = 1 << PG_active
LOCKED = 1 << PG_locked


def check(m, v):
    """Enter a finding for the first thing that does not hold."""
    vm = m.vm
    try:
        active = list_nodes(vm.active_list)
        inactive = list_nodes(vm.inactive_list)
        free = list_nodes(vm.zone.free_list)
        deferred = list_nodes(vm.deferred_list)
    except ValueError as error:
        _broken(f"{str(error).split()[0].rstrip(':')} is corrupted", detail=(str(error),))
        return
    for head, nodes, counter in (
        ("active_list", active, vm.v_nr_active_pages),
        ("inactive_list", inactive, vm.v_nr_inactive_pages),
        ("free_list", free, vm.zone.v_free_pages),
    ):
        if len(nodes) != counter:
            _broken(
                f"{head} is not as long as its counter says",
                detail=(f"{len(nodes)} pages, the counter says {counter}",),
            )
            return
    for lock in (vm.pagemap_lru_lock, vm.pagecache_lock, vm.zone.lock, vm.deferred_lock):
        if lock.locked:
            _broken(f"{lock.name} is still held")
            return
    users = _users(vm)
    for page in vm.mem_map:
        trouble = _misplaced(page, active, inactive)
        if page.freed:
            trouble = trouble or _free(page, free)
        else:
            trouble = trouble or _used(page, users.get(page, 0), free, deferred, vm.truncated)
        if trouble:
            _broken(trouble, page)
            return
    _private(vm)
    if patched("andrea-2002-02-14"):
        # the price of the LRU's reference: these wait for reclaim, as the parked ones do
        waiting = [page for page in vm.mem_map if page.v_count == 1 and page.v_flags & LRU]
        m.count("left_to_reclaim", len(waiting))
    if patched("hugh-2002-02-12") and not m.findings:
        _due_course(m)


def _due_course(m):
    """What is parked, shrink_cache frees when it comes by: let it come by, and look again."""
    vm = m.vm
    parked = [page for page in vm.mem_map if not page.freed and page.v_count == 0]
    m.count("left_parked", len(parked))
    if patched("consumer-unlocks-late") or patched("consumer-does-not-check"):
        return
    for _ in range(2):  # a page that was referenced is demoted the second time
        if all(page.freed for page in parked):
            return
        refill_inactive(vm.v_nr_active_pages)
        shrink_cache(len(vm.mem_map), vm.zone, 0, 1)
    for page in parked:
        if not page.freed:
            _broken("parked page is not freed by reclaim", page)
            return


def _broken(title, page=None, detail=()):
    report("invariant", title, page=page, where="quiescence", detail=detail)


def _mapped(vm):
    """(page, writable) of every pte that maps one."""
    for mm in vm.mms:
        for pte in mm.ptes:
            val = pte.v_val
            if val is not None and val[0] == "page":
                yield val[1], val[2]


def _users(vm):
    """References that somebody can account for, by page."""
    held = [page for page, _ in _mapped(vm)]
    for btv in vm.bttvs:
        held += btv.iobuf.maplist
    for skb in vm.skbs:
        held += skb.frags
    for mapping in vm.mappings:
        held += [slot.v_page for slot in mapping.slots.values() if slot.v_page is not None]
    if patched("andrea-2002-02-14"):
        held += [page for page in vm.mem_map if page.v_flags & LRU]
    held += [page for page in vm.mem_map if page.v_buffers is not None]
    users = {}
    for page in held:
        users[page] = users.get(page, 0) + 1
    return users


def _misplaced(page, active, inactive):
    """Not on the list its flags name, or on another."""
    flags = page.v_flags
    if (page.lru in active) != (flags & (LRU | ACTIVE) == LRU | ACTIVE):
        return "PG_lru and PG_active disagree with active_list"
    if (page.lru in inactive) != (flags & (LRU | ACTIVE) == LRU):
        return "PG_lru disagrees with inactive_list"
    return ""


def _free(page, free):
    if page.list not in free:
        return "page was freed and is on no free list"
    if page.v_count:
        return "free page has references"
    if page.v_flags & LRU and not patched("hugh-stay-on-lru"):
        return "free page is on the LRU"
    if page.v_flags & LOCKED:
        return "free page is locked"
    return ""


def _used(page, users, free, deferred, truncated):
    if page.list in free:
        return "page is in use and on the free list"
    if page.v_count != users:
        return "page has other references than users"
    if page.v_count == 0:
        return "" if _parked(page, deferred) else "page without references was never freed"
    if page.v_flags & LOCKED:
        return "page is locked and nobody has locked it"
    if not page.v_flags & LRU and not truncated:
        return "page is in use and on no LRU list"
    return ""


def _parked(page, deferred):
    """Given up, and left for shrink_cache in the way of the patch."""
    if not page.v_flags & LRU:
        return False
    if patched("hugh-2002-02-12"):
        return bool(page.v_flags & LOCKED)
    if patched("hugh-2002-02-07"):
        return not page.v_flags & LOCKED
    return page.list in deferred


def _private(vm):
    """A page that one process may write to has one pte."""
    mapped = list(_mapped(vm))
    for page, writable in mapped:
        if writable and sum(other is page for other, _ in mapped) > 1:
            _broken("page is writable for one process and mapped by another", page)
            return
