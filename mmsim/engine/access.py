# SPDX-License-Identifier: GPL-2.0-only
"""The kinds of operation that pass the door.

Race detection, DPOR and weak memory all ask the same question of an access: which ordering did
the programmer ask for?  So the door tells the kinds apart from the start, although today's
carriers execute all of them sequentially consistently.  A kind is an interned string: it is
compared with ``is``, costs nothing to carry about, and prints as itself in an event.

Names follow Documentation/memory-barriers.txt and atomic_t.txt (Linux 5.17).
"""

from typing import Final

READ: Final = "read"  # plain C load
WRITE: Final = "write"  # plain C store
READ_ONCE: Final = "read-once"
WRITE_ONCE: Final = "write-once"
ACQUIRE: Final = "load-acquire"
RELEASE: Final = "store-release"
RMW: Final = "rmw"  # value-returning atomic or test_and_*_bit: fully ordered
RMW_RELAXED: Final = "rmw-relaxed"  # atomic_inc, set_bit: atomic, no ordering
RMW_ACQUIRE: Final = "rmw-acquire"
RMW_RELEASE: Final = "rmw-release"
MB: Final = "smp_mb"
RMB: Final = "smp_rmb"
WMB: Final = "smp_wmb"
LOCK: Final = "lock"  # may have to wait: a failed attempt is not a step
TRYLOCK: Final = "trylock"
UNLOCK: Final = "unlock"
IRQ_OFF: Final = "irq-off"
IRQ_ON: Final = "irq-on"
BH_OFF: Final = "bh-off"
BH_ON: Final = "bh-on"
DOWN: Final = "down"  # take a sleeping lock, or queue for it
UP: Final = "up"
SLEEP: Final = "sleep"
WAKE: Final = "wake"
RESCHED: Final = "cond_resched"  # a voluntary preemption point
RAISE: Final = "raise-irq"

READS: Final = frozenset({READ, READ_ONCE, ACQUIRE})
WRITES: Final = frozenset({WRITE, WRITE_ONCE, RELEASE})
ATOMICS: Final = frozenset({RMW, RMW_RELAXED, RMW_ACQUIRE, RMW_RELEASE})
BARRIERS: Final = frozenset({MB, RMB, WMB})
PLAIN: Final = frozenset({READ, WRITE})
