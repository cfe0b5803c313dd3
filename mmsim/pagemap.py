# SPDX-License-Identifier: GPL-2.0-only
"""The page lock's word, the queues behind it, and address_space (include/linux/pagemap.h, fs.h).

The page lock is one bit.  The kernel does not know who holds it: whoever clears the bit unlocks,
be it the completion of a bio in an interrupt.  The checker has to know, or it could not name a
deadlock on a page lock, so every effect that sets or clears the bit under its lock protocol also
writes down the context, *in the same effect*.  No kernel code reads that.

A flag store that is not atomic can erase the bit without this bookkeeping noticing; that is the
point of several variants of thread 003: then there are two owners, and the first to unlock is told.

Waiters sit in a few hashed queues that pages share, as in the kernel: a wake-up for one page walks
past waiters of others.
"""

from mmsim.engine.door import access, current, door
from mmsim.engine.op import READ, RMW_ACQUIRE, RMW_RELEASE, WRITE, Op
from mmsim.linux.sleeplock import init_rwsem
from mmsim.linux.spinlock import spin_lock_init
from mmsim.linux.wait import wait_queue_head
from mmsim.model.cite import cite
from mmsim.model.era import kernel
from mmsim.model.struct import Array, Struct, shared
from mmsim.page import bit_op

PAGE_WAIT_TABLE_SIZE = 4  # 256 in the kernel; few, so that pages do share queues


def is_locked(page, _, mask, *args):
    """Would a trylock fail?"""
    return page.v_flags & mask != 0


def _holds(flags, page, mask, ctx):
    """The same, of a value of the word."""
    return flags & mask != 0


_TRIES = bit_op(
    RMW_ACQUIRE, "locked", verb="trylock", unchanged=False, fails=is_locked, fails_on=_holds
)
_UNLOCKS = Op(
    RMW_RELEASE,
    "flags",
    reads=frozenset(["locked", "waiters"]),
    writes=frozenset(["locked"]),
    label="flags:locked",
    verb="clear",
)
_LOADS = Op(READ, "flags", label="flags:locked")
_STORES = Op(WRITE, "flags", label="flags:locked")


class page_lock:
    """PG_locked of one page as something to hold and to wait for.  Checker's, not the kernel's.

    ``name`` follows lockdep: class, then instance after a ``#``.
    """

    def __init__(self, page):
        self.page = page
        self.name = f"PG_locked#{page.name}"

    @property
    def owner(self):
        """Who set the bit last, if nobody has unlocked since."""
        return self.page.lock_owner

    def holders(self):
        """For the watchdog: whom a waiter waits for."""
        owner = self.page.lock_owner
        return [] if owner is None else [owner]


def page_lock_of(page):
    """The page's lock object, made when first asked for."""
    lock = page.lock_object
    if lock is None:
        lock = page.lock_object = page_lock(page)
    return lock


class page_writeback:
    """PG_writeback of one page as something to wait for.  Checker's, not the kernel's.

    Whoever ends the writeback is a device's interrupt as a rule: nobody holds the bit.
    """

    owner = None

    def __init__(self, page):
        self.page = page
        self.name = f"PG_writeback#{page.name}"


def page_bit_of(page, bit):
    """What ``blocked_on`` names while somebody sleeps for this bit of the page."""
    if bit == "locked":
        return page_lock_of(page)
    if page.writeback_object is None:
        page.writeback_object = page_writeback(page)
    return page.writeback_object


def _note_unlocked(page):
    owner = page.lock_owner
    page.lock_owner = None
    if owner is not None:
        lock = page.lock_object
        if lock in owner.locks:
            owner.locks.remove(lock)


def note_locked(page, ctx):
    """Bookkeeping of an effect that took the lock for ``ctx``; who had it has been robbed."""
    _note_unlocked(page)
    page.lock_owner = ctx
    ctx.locks.append(page_lock_of(page))


def try_locked_bit(page, mask, ctx):
    """Effect: test_and_set of PG_locked on behalf of ``ctx``; true if it was clear."""
    flags = page.v_flags
    if flags & mask:
        return False
    page.v_flags = flags | mask
    note_locked(page, ctx)
    return True


def _unlock_bit(page, mask, waiters):
    page.v_flags &= ~mask
    _note_unlocked(page)
    return page.v_flags & waiters != 0


def _load(page):
    return page.v_flags


def _store_locked(page, flags, ctx):
    page.v_flags = flags
    note_locked(page, ctx)


def _store_unlocked(page, flags):
    page.v_flags = flags
    _note_unlocked(page)


@cite("include/linux/pagemap.h", "5.17", thread="003")
def trylock_page(page):
    """Set PG_locked if it is clear; true if taken.

    *Locks:* never sleeps.  *Race:* a flag store that is not atomic may undo it.
    """
    return access(_TRIES, page, try_locked_bit, page, page.m_locked, current())


@cite("arch/x86/include/asm/bitops.h", "5.17", thread="003")
def clear_bit_unlock_is_negative_byte(page):
    """Clear PG_locked; true if PG_waiters, the sign of that byte, is set.  One atomic operation."""
    return access(_UNLOCKS, page, _unlock_bit, page, page.m_locked, page.m_waiters)


@cite("include/linux/pagemap.h", "5.17", thread="003", symbol="__folio_set_locked")
def __set_page_locked(page):
    """Lock a page nobody else can see yet: load, point, store.

    *Locks:* takes the page lock.  *Race:* whoever does see the page, and changes a flag between
    the two, is undone; and a lock somebody else has taken is taken over without a word.
    """
    flags = access(_LOADS, page, _load, page)
    access(_STORES, page, _store_locked, page, flags | page.m_locked, current())


@cite("include/linux/pagemap.h", "5.17", thread="003", symbol="__folio_clear_locked")
def __clear_page_locked(page):
    """Undo __set_page_locked() on a page that never became visible.  Wakes nobody."""
    flags = access(_LOADS, page, _load, page)
    access(_STORES, page, _store_unlocked, page, flags & ~page.m_locked)


def page_wait_table():
    """The queues."""
    return Array(PAGE_WAIT_TABLE_SIZE, _wait_queue)


def _wait_queue(i):
    name = f"page_wait_table[{i}]"
    with door.making(name):
        return wait_queue_head(name)


@cite("mm/filemap.c", "5.17", thread="003", symbol="folio_waitqueue")
def page_waitqueue(page):
    """The queue a page hashes to."""
    return kernel().page_wait_table[page.pfn % PAGE_WAIT_TABLE_SIZE]


class address_space(Struct):
    """The pages of one file.  ``slots`` is the XArray, entered only through filemap.py's effects.

    ``i_mmap`` are the vmas that map it, under ``i_mmap_rwsem``; ``a_ops`` and ``host`` are whatever
    the file system hangs there.  ``mapping_flags`` are the low bits a pointer to it has: none.
    ``marks`` are the XArray's: the indices that each of them is set for, entered as slots are.
    """

    nrpages = shared(0)
    mapping_flags = 0
    use_writeback_tags = True  # not of the swap cache: mapping_set_no_writeback_tags()
    can_writeback = True  # not of the swap cache, nor of tmpfs: their backing dev writes nothing

    def __init__(self, name, number=0, a_ops=None):
        self.name = name
        self.address = 0xFFFF888002000000 + number * 0x400
        self.slots = {}
        self.marks = {}
        self.xa_lock = spin_lock_init(f"&xa->xa_lock#{name}")
        self.private_lock = spin_lock_init(f"&mapping->private_lock#{name}")
        self.i_mmap_rwsem = init_rwsem(f"&mapping->i_mmap_rwsem#{name}")
        self.i_mmap = []
        self.a_ops = a_ops
        self.host = None
