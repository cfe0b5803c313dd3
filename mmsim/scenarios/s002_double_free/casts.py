# SPDX-License-Identifier: GPL-2.0-only
"""The casts of thread 002: which parts (actors.py) a variant has, and how they are played.

A cast belongs to what a variant says.  A wide one shows that nothing goes wrong whoever comes by; a
narrow one gives a rare race its chance.
"""

from dataclasses import dataclass

from mmsim.engine.context import HARDIRQ, TASK


@dataclass(frozen=True)
class Cast:
    """``parts`` are played in turn by the freers; ``passes`` is how often kswapd looks.

    ``context`` is where a lone pin is dropped.  ``irqs`` is where interrupts come in: on the CPU
    of the process they belong to ("own"), of a reclaimer ("reclaim"), all on those of two
    reclaimers ("few", as lines are routed), or anywhere ("any").
    Pages begin on the active list if ``active``.  ``alone``: each part once, kswapd, and nobody on
    the other CPUs, for a window that others only make rarer.
    """

    parts: tuple[str, ...]
    passes: int = 1
    context: str = HARDIRQ
    irqs: str = "own"
    active: bool = False
    alone: bool = False


PROCESSES = ("pin", "tv", "fork", "swap", "leave", "swap+buffers")
EVERYBODY = ("tv", "pin", "skb", "fork", "swap", "leave", "swap+buffers")

CASTS = {
    "processes": Cast(PROCESSES, context=TASK),
    "everybody": Cast(EVERYBODY, irqs="any"),
    "everybody-twice": Cast(EVERYBODY, passes=2, irqs="any"),
    # swap is full, and takes pages from their other users
    "swappers": Cast((*EVERYBODY, "swapped"), passes=2, irqs="any"),
    "packets": Cast(("skb",)),
    "tv": Cast(("tv",)),
    "tv-on-reclaim": Cast(("pin",), irqs="reclaim"),
    "tv-and-exit": Cast(("pin", "leave"), passes=3),
    "tv-anywhere": Cast(("pin",), passes=2, irqs="any"),
    "tv-routed": Cast(("pin",) * 16, passes=4, irqs="few"),
    "tv-active": Cast(("pin",) * 4, passes=2, irqs="reclaim", active=True),
    "exit-alone": Cast(("swap+dirty",), passes=6, alone=True),
    "swapoff-alone": Cast(("swapoff+dirty",), passes=6, alone=True),
    # its last user unlocks the page, and then drops it
    "swap-out": Cast(("swap-out",), passes=3, alone=True),
    "swapoff": Cast(("swapoff", "unuse", "swapoff+buffers", "unuse+buffers"), passes=2),
    # everybody whose last reference can be that of a page which reclaim is about to lock
    "last-put": Cast(("swapoff", "swapped+buffers", "swap", "swapoff+buffers"), passes=2),
    "fork-and-swap-full": Cast(("fork", "swapped")),
    "private": Cast(("private",)),
    "everybody-and-private": Cast((*EVERYBODY, "private"), irqs="any"),
    "readers": Cast(("reader",) * 4, active=True),
}


def cast_named(name):
    """The cast of that name.  Raises ValueError, with the names there are."""
    if name not in CASTS:
        raise ValueError(f"no cast {name!r}; thread 002 has {', '.join(sorted(CASTS))}")
    return CASTS[name]
