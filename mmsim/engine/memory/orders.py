# SPDX-License-Identifier: GPL-2.0-only
"""What each operation orders: the kernel's promise, or what an architecture of 2.4 made of it.

Kernel code says which primitive it uses (`mmsim.engine.op`).  What that primitive orders depends on
the kernel's version and, as long as nobody had written the promise down, on the architecture:

    weak    the kernel memory model, for code that has to work anywhere
    i386    2.4 on i386: loads in order, stores in order, an atomic is a full barrier
    alpha   DEC Alpha: nothing is in order, not even what is read through a pointer
    ppc     2.4 on PowerPC: an atomic orders what follows; a spinlock is given back behind eieio
    ia64    2.4 on Itanium: volatile loads acquire, volatile stores release, so do atomics

``i386`` is a little weaker here than the machine: two CPUs may see the stores of two others in
different orders.  What never shows under it does not show on the machine.

Source: Linux 2.4.17, include/asm-{alpha,i386,ia64,ppc}/{atomic,bitops,spinlock,system}.h; 5.17,
Documentation/atomic_t.txt, atomic_bitops.txt, memory-barriers.txt, arch/alpha/include/asm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from mmsim.engine import op as kinds
from mmsim.engine.op import ALL, Op

SC: Final = "sc"
NAMES: Final = (SC, "weak", "alpha", "i386", "ia64", "ppc")
"""Memories by name; the first is sequential consistency."""

Version = tuple[int, ...]

READ, WRITE, RMW, LOCK, UNLOCK, FENCE, SLEEP, WAKE, STARTS, NOTHING = range(10)
"""What an operation does to memory."""

NO: Final = ""
FULL: Final = "mb"
ACQUIRES: Final = "acquire"
RELEASES: Final = "release"
READS: Final = "rmb"
STORES: Final = "wmb"


class Order(NamedTuple):
    """Of one operation.  ``before`` and ``after`` are barriers beside it: FULL, READS, STORES."""

    way: int
    before: str = NO
    after: str = NO
    acquire: bool = False
    release: bool = False
    returns: bool = True
    """False: an atomic whose old value nobody learns; smp_rmb() does not order it."""
    leads: bool = True
    """What is read through the value it gives is ordered after it."""
    failing: bool = False
    """An atomic that changes nothing orders as much as one that does."""


_WAYS: Final = {
    **dict.fromkeys((kinds.READ, kinds.READ_ONCE, kinds.ACQUIRE), READ),
    **dict.fromkeys((kinds.WRITE, kinds.WRITE_ONCE, kinds.RELEASE, kinds.STORE_MB), WRITE),
    **dict.fromkeys(
        (kinds.RMW, kinds.RMW_RELAXED, kinds.RMW_ACQUIRE, kinds.RMW_RELEASE),
        RMW,
    ),
    **dict.fromkeys((kinds.LOCK, kinds.TRYLOCK, kinds.DOWN), LOCK),
    **dict.fromkeys((kinds.UNLOCK, kinds.UP), UNLOCK),
    **dict.fromkeys((kinds.MB, kinds.RMB, kinds.WMB), FENCE),
    kinds.SLEEP: SLEEP,
    kinds.WAKE: WAKE,
    **dict.fromkeys((kinds.RAISE, kinds.SPAWN), STARTS),
}


def _kernel(op: Op, version: Version) -> Order:
    """The promise, as the kernel's memory model has it."""
    kind = op.kind
    order = Order(_WAYS.get(kind, NOTHING))
    if kind == kinds.ACQUIRE or kind == kinds.RMW_ACQUIRE or order.way == LOCK:
        order = order._replace(acquire=True)
    elif kind == kinds.RELEASE or kind == kinds.RMW_RELEASE or order.way == UNLOCK:
        order = order._replace(release=True)
    elif kind == kinds.STORE_MB:
        order = order._replace(after=FULL)
    elif kind == kinds.RMW:
        # test_and_set_bit() of a set bit ordered in full until 4.18, and does again from 6.0 on
        failing = op.reads is not ALL and version < (4, 19)
        order = order._replace(before=FULL, after=FULL, failing=failing)
    elif kind == kinds.RMW_RELAXED:
        order = order._replace(returns=False)
    elif order.way == FENCE:
        order = order._replace(
            before={kinds.MB: FULL, kinds.RMB: READS, kinds.WMB: STORES}[kind],
        )
    elif order.way in (SLEEP, WAKE, STARTS):
        order = order._replace(before=FULL)  # __schedule(), try_to_wake_up(), an IPI
    return order


def _alpha(op: Op, version: Version) -> Order:
    order = _kernel(op, version)
    kind = op.kind
    if kind == kinds.RMB:
        return order._replace(before=FULL)
    if order.way == LOCK:
        return order._replace(after=FULL)
    if order.way == UNLOCK:
        return order._replace(before=FULL)
    if kind == kinds.RMW and version < (2, 6):
        return order._replace(before=NO, failing=True)
    if kind == kinds.READ_ONCE and op.reads is ALL and version >= (4, 15):
        return order._replace(after=FULL)  # READ_ONCE() took smp_read_barrier_depends() in
    return order._replace(leads=False)


def _i386(op: Op, version: Version) -> Order:
    order = _kernel(op, version)
    if order.way == READ:
        return order._replace(acquire=True)
    if order.way == WRITE:
        return order._replace(release=True)
    if order.way == RMW:
        return order._replace(before=FULL, after=FULL, failing=True)
    if order.way == LOCK:
        return order._replace(before=FULL, after=FULL)
    if order.way == FENCE:
        return order._replace(before=FULL if op.kind != kinds.WMB else STORES)
    return order


def _ppc(op: Op, version: Version) -> Order:
    order = _kernel(op, version)
    kind = op.kind
    if kind == kinds.RMB:
        return order._replace(before=FULL)
    if order.way == UNLOCK:
        return order._replace(before=STORES, release=False)
    if kind == kinds.RMW:
        if op.reads is ALL:  # a counter
            return order._replace(before=NO, after=NO, acquire=True)
        return order._replace(before=STORES, after=FULL, failing=True)
    return order


def _ia64(op: Op, version: Version) -> Order:
    order = _kernel(op, version)
    kind = op.kind
    if kind == kinds.READ_ONCE:  # test_bit() and atomic_read() are volatile
        return order._replace(acquire=True)
    if kind == kinds.WRITE_ONCE:
        return order._replace(release=True)
    if kind in (kinds.RMB, kinds.WMB):
        return order._replace(before=FULL)
    if kind in (kinds.RMW, kinds.RMW_RELAXED):
        counter = op.reads is ALL  # fetchadd.rel, else cmpxchg.acq
        return order._replace(
            before=NO, after=NO, acquire=not counter, release=counter, failing=True, returns=True
        )
    return order


_TABLES: Final[dict[str, Callable[[Op, Version], Order]]] = {
    "weak": _kernel,
    "alpha": _alpha,
    "i386": _i386,
    "ppc": _ppc,
    "ia64": _ia64,
}
_ONLY_2_4: Final = ("i386", "ppc", "ia64")


class Orders(dict[Op, Order]):
    """The order of every operation, each looked up when it is first met.

    Raises ValueError for a memory without orders, or one that is not known for this version.
    """

    def __init__(self, name: str, version: Version) -> None:
        super().__init__()
        if name not in _TABLES:
            raise ValueError(f"{name!r} is no weak memory: one of {', '.join(_TABLES)}")
        if name in _ONLY_2_4 and version >= (2, 6):
            raise ValueError(f"memory {name!r} is known for 2.4 kernels only")
        self.name = name
        self._version = version
        self._order = _TABLES[name]

    def __missing__(self, op: Op) -> Order:
        order = self[op] = self._order(op, self._version)
        return order
