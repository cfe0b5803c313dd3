# SPDX-License-Identifier: GPL-2.0-only
"""Doubly linked lists with the poison of the era (include/linux/list.h, lib/list_debug.c).

``next`` and ``prev`` are shared fields, so an interrupt can land in the middle of a list_add.
list_del writes LIST_POISON1 and LIST_POISON2 from 2.6 on; touching a poisoned pointer is a page
fault at the address the machine of the era would show.  2.4 leaves the pointers as they were: a
second list_del rewires stale neighbours without a word.

With DEBUG_LIST the neighbours are looked at first.  What the kernel does about a node that is not
where it says it is:

    until 4.9         warn; a list_del is left out, a list_add is made all the same
    from 4.10 on      warn, leave the operation out, and go on
    with BUG_ON_DATA_CORRUPTION as well     BUG

NULL is no case of its own: following it is a fault, in the check as without it.
"""

import zlib

from mmsim.engine.door import door
from mmsim.linux.atomic import READ_ONCE, smp_load_acquire, smp_store_release
from mmsim.linux.bug import page_fault, report
from mmsim.model.era import IS_ENABLED, era
from mmsim.model.struct import Layout, shared

__mmsim_primitive__ = True


class Poison:
    """A pointer nobody may follow: LIST_POISON1, LIST_POISON2 or NULL."""

    def __init__(self, name):
        self.name = name

    @property
    def address(self):
        return {"LIST_POISON1": era().poison1, "LIST_POISON2": era().poison2}.get(self.name, 0)

    def fault(self, offset, write, entry=None):
        """Touch word ``offset`` of the list_head it would point to, on behalf of ``entry``."""
        owner = getattr(entry, "owner", None)
        page = owner if hasattr(owner, "snapshot") else None
        address = self.address + offset * era().bits // 8
        page_fault(address & (1 << era().bits) - 1, write, page)

    owner = property(lambda self: self.fault(-1, False))  # list_entry(): the struct begins before
    next = property(lambda self: self.fault(0, False), lambda self, node: self.fault(0, True))
    prev = property(lambda self: self.fault(1, False), lambda self, node: self.fault(1, True))


LIST_POISON1 = Poison("LIST_POISON1")
LIST_POISON2 = Poison("LIST_POISON2")
NULL = Poison("NULL")


class list_head(Layout):
    """A node or a head.  ``owner`` is the struct it is embedded in (container_of)."""

    next = shared(NULL)
    prev = shared(NULL)

    def __init__(self, name="", owner=None, birth=None):
        self.own_name = name
        self.owner = owner
        if owner is None:
            self.birth = door.born() if birth is None else birth

    def identity(self):
        """A node is told by the struct it is embedded in."""
        return self.birth if self.owner is None else (self.owner.identity(), self.own_name)

    @property
    def whole(self):
        """The struct it is embedded in."""
        return self.owner or self

    @property
    def name(self):
        """"inactive_list" for a head, "pfn:00011.lru" for a node."""
        return self.own_name if self.owner is None else f"{self.owner.name}.{self.own_name}"

    @property
    def address(self):
        """Simulated: inside the owner, or in the kernel's data."""
        if self.owner is not None:
            return self.owner.address + era().bits // 8
        base = 0xC0300000 if era().bits == 32 else 0xFFFFFFFF82000000
        return base + zlib.crc32(self.own_name.encode()) % 0xFFFF * 16


def LIST_HEAD(name, birth=None):
    """A new empty list; one that is made when it is first looked at is told by ``birth``."""
    head = list_head(name, None, birth)
    head.v_next = head.v_prev = head
    return head


def INIT_LIST_HEAD(head):
    """Make ``head`` an empty list (stores, hence points)."""
    head.next = head
    head.prev = head


def _pointer(node):
    digits = era().bits // 4
    return f"{node.address:0{digits}x}"


_LINES = {  # of lib/list_debug.c, by the version from which on they hold
    (3, 13): (29, 33, 36, 53, 56, 59, 62),
    (4, 10): (25, 28, 31, 47, 50, 53, 56),
    (5, 5): (23, 26, 29, 45, 48, 51, 54),
}
ADD_NEXT, ADD_PREV, ADD_DOUBLE, DEL_POISON1, DEL_POISON2, DEL_PREV, DEL_NEXT = range(7)


def _corrupt(check, title, node, text):
    """CHECK_DATA_CORRUPTION() of a condition that holds: warn, or BUG."""
    version = era().version
    lines = _LINES[max(since for since in _LINES if since <= max(version, (3, 13)))]
    place = f"lib/list_debug.c:{lines[check]}"
    fatal = version >= (4, 10) and IS_ENABLED("BUG_ON_DATA_CORRUPTION")
    detail = (text, f"kernel BUG at {place}!" if fatal else place)
    owner = node.owner if hasattr(node, "owner") and hasattr(node.owner, "snapshot") else None
    report("list-corruption", title, page=owner, detail=detail, fatal=fatal)


def __list_add_valid(new, prev, next):
    """Are the neighbours still neighbours?  Before 4.10 every one of the three is looked at."""
    valid = True
    if next.prev is not prev:
        valid = False
        _corrupt(
            ADD_NEXT,
            "list_add corruption. next->prev should be prev",
            new,
            f"list_add corruption. next->prev should be prev ({_pointer(prev)}), "
            f"but was {_pointer(next.v_prev)}. (next={_pointer(next)}).",
        )
    if (valid or era().version < (4, 10)) and prev.next is not next:
        valid = False
        _corrupt(
            ADD_PREV,
            "list_add corruption. prev->next should be next",
            new,
            f"list_add corruption. prev->next should be next ({_pointer(next)}), "
            f"but was {_pointer(prev.v_next)}. (prev={_pointer(prev)}).",
        )
    if (valid or era().version < (4, 10)) and (new is prev or new is next):
        valid = False
        _corrupt(
            ADD_DOUBLE,
            "list_add double add",
            new,
            f"list_add double add: new={_pointer(new)}, prev={_pointer(prev)}, "
            f"next={_pointer(next)}.",
        )
    return valid


def __list_del_entry_valid(entry):
    """Is the node linked where it says?  The first thing that is not true is said."""
    prev = entry.prev
    next = entry.next
    if next is LIST_POISON1:
        _corrupt(
            DEL_POISON1,
            "list_del corruption, ->next is LIST_POISON1",
            entry,
            f"list_del corruption, {_pointer(entry)}->next is LIST_POISON1 "
            f"({_pointer(LIST_POISON1)})",
        )
        return False
    if prev is LIST_POISON2:
        _corrupt(
            DEL_POISON2,
            "list_del corruption, ->prev is LIST_POISON2",
            entry,
            f"list_del corruption, {_pointer(entry)}->prev is LIST_POISON2 "
            f"({_pointer(LIST_POISON2)})",
        )
        return False
    if prev.next is not entry:
        where = f". (prev={_pointer(prev)})" if era().version >= (5, 4) else ""
        _corrupt(
            DEL_PREV,
            "list_del corruption. prev->next should be entry",
            entry,
            f"list_del corruption. prev->next should be {_pointer(entry)}, "
            f"but was {_pointer(prev.v_next)}{where}",
        )
        return False
    if next.prev is not entry:
        where = f". (next={_pointer(next)})" if era().version >= (5, 4) else ""
        _corrupt(
            DEL_NEXT,
            "list_del corruption. next->prev should be entry",
            entry,
            f"list_del corruption. next->prev should be {_pointer(entry)}, "
            f"but was {_pointer(next.v_prev)}{where}",
        )
        return False
    return True


def __list_add(new, prev, next):
    if IS_ENABLED("DEBUG_LIST"):
        if not __list_add_valid(new, prev, next) and era().version >= (4, 10):
            return
    next.prev = new
    new.next = next
    new.prev = prev
    prev.next = new


def __list_del(prev, next, entry):
    if isinstance(next, Poison):
        next.fault(1, True, entry)
    next.prev = prev
    if isinstance(prev, Poison):
        prev.fault(0, True, entry)
    prev.next = next


def list_add(new, head):
    """After ``head``: a stack."""
    __list_add(new, head, head.next)


def list_add_tail(new, head):
    """Before ``head``: a queue."""
    __list_add(new, head.prev, head)


def __list_del_entry(entry):
    if IS_ENABLED("DEBUG_LIST") and not __list_del_entry_valid(entry):
        return
    # 5.4 loads both before the first store: r2 and r3 of the oops in thread 000
    next = entry.next
    prev = entry.prev
    __list_del(prev, next, entry)


def list_del(entry):
    """Unlink, and poison from 2.6 on.  What DEBUG_LIST refuses to unlink is poisoned as well."""
    __list_del_entry(entry)
    if era().poison1:
        entry.next = LIST_POISON1
        entry.prev = LIST_POISON2


def list_del_init(entry):
    """Unlink and make it an empty list."""
    __list_del_entry(entry)
    INIT_LIST_HEAD(entry)


def list_del_init_careful(entry):
    """list_del_init() for an entry whose owner looks at it without the lock (from 5.9 on).

    ``next`` comes last, as a release: once list_empty_careful() sees it, nothing touches the entry
    any more, and its owner may give the memory back.
    """
    __list_del_entry(entry)
    entry.prev = entry
    smp_store_release(entry, "next", entry)


def list_move(entry, head):
    """To the front of another list."""
    __list_del_entry(entry)
    list_add(entry, head)


def list_move_tail(entry, head):
    """To the end of another list."""
    __list_del_entry(entry)
    list_add_tail(entry, head)


def list_empty(head):
    """Is there nothing on it?"""
    return head.next is head


def list_empty_careful(head):
    """The same while another CPU may be in the middle of list_del_init()."""
    next = smp_load_acquire(head, "next")
    return next is head and READ_ONCE(head, "prev") is head


def list_splice(list, head):
    """Put all of ``list`` after ``head``; ``list`` itself is left as it was."""
    if not list_empty(list):
        first = list.next
        last = list.prev
        at = head.next
        first.prev = head
        head.next = first
        last.next = at
        at.prev = last


def list_splice_init(list, head):
    """The same, leaving ``list`` empty."""
    if not list_empty(list):
        list_splice(list, head)
        INIT_LIST_HEAD(list)


def list_entry(node):
    """The struct a node is embedded in (container_of).

    Two lists that have been spliced by a race lead a walk into the head of the other one.  In C the
    memory around that head is then taken for a struct; what happens next nobody can tell, so the
    checker ends it here.
    """
    owner = node.owner
    if owner is None:
        report("list-corruption", "a list walk ran into the head of another list", fatal=True)
    return owner


def list_first_entry(head):
    """The struct of the first node (undefined on an empty list, as in C)."""
    return list_entry(head.next)


def list_last_entry(head):
    """The struct of the last node (undefined on an empty list, as in C)."""
    return list_entry(head.prev)


def list_nodes(head, limit=100_000):
    """For checks, without points: every node from the front.

    Raises ValueError, saying what is wrong, if the list is not whole.
    """
    out = []
    seen = set()
    node = head.v_next
    while node is not head:
        if isinstance(node, Poison):
            raise ValueError(f"{head.name} runs into {node.name}")
        if id(node) in seen or len(out) > limit:
            raise ValueError(f"{head.name} runs in a circle at {node.name}")
        if node.v_prev.v_next is not node if not isinstance(node.v_prev, Poison) else True:
            raise ValueError(f"{head.name}: prev of {node.name} does not lead back to it")
        seen.add(id(node))
        out.append(node)
        node = node.v_next
    if out and head.v_prev is not out[-1]:
        raise ValueError(f"{head.name}: its prev is not its last node")
    return out
