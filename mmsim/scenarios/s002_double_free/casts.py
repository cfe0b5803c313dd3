# SPDX-License-Identifier: GPL-2.0-only
"""The casts of thread 002: which parts (actors.py) a variant has, and how they are played.

A cast belongs to what a variant says.  A wide one shows that nothing goes wrong whoever comes by; a
narrow one gives a rare race its chance.
"""

from dataclasses import dataclass

from mmsim.engine.context import HARDIRQ, TASK
from mmsim.scenarios.s002_double_free.actors import boot
from mmsim.scenarios.small import SmallCast


@dataclass(frozen=True)
class Cast:
    """``parts`` are played in turn by the freers; ``passes`` is how often kswapd looks.

    ``context`` is where a lone pin is dropped.  ``irqs`` is where interrupts come in: on the CPU
    of the process they belong to ("own"), of a reclaimer ("reclaim"), all on those of two
    reclaimers ("few", as lines are routed), or anywhere ("any").
    Pages begin on the active list if ``active``.  ``alone``: each part once, kswapd, and nobody on
    the other CPUs, for a window that others only make rarer; or ``gcc`` on the third.
    """

    parts: tuple[str, ...]
    passes: int = 1
    context: str = HARDIRQ
    irqs: str = "own"
    active: bool = False
    alone: bool = False
    gcc: bool = False


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
    # the page had buffers when kswapd looked, and lost them to swapoff
    "exit-with-buffers": Cast(("swap+buffers",), alone=True),
    "swapoff-with-buffers": Cast(("swapoff+buffers",), alone=True),
    # its last user unlocks the page, and then drops it
    "swap-out": Cast(("swap_out+truncated",), passes=3, alone=True),
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


def _small(*parts, cpus=2, **how):
    """The parts, each once, and kswapd, who looks once."""
    cast = Cast(parts, alone=True, **how)
    limits = "kswapd looks once" if cast.passes == 1 else f"kswapd looks {cast.passes} times"
    return SmallCast(lambda m, v: boot(m, cast), cpus, limits)


# Two actors, and the interrupt where the part has one; -gcc: a third, who allocates
SMALL = {
    "pin-kswapd": _small("pin"),
    "pin-task-kswapd": _small("pin", context=TASK),
    "pin-on-kswapd": _small("pin", irqs="reclaim"),
    "pin-on-kswapd-active": _small("pin", irqs="reclaim", active=True, passes=2),
    "pins-on-kswapd": _small("pin", "pin", irqs="reclaim", passes=2),
    "pin-leave-kswapd": _small("pin", "leave", passes=2),
    "tv-kswapd": _small("tv"),
    "tv-on-kswapd": _small("tv", irqs="reclaim"),
    "skb-kswapd": _small("skb"),
    "skb-on-kswapd": _small("skb", irqs="reclaim"),
    "leave-kswapd": _small("leave"),
    "swap-kswapd": _small("swap"),
    "swap-buffers-kswapd": _small("swap+buffers"),
    "swap-dirty-kswapd": _small("swap+dirty"),
    "swapped-kswapd": _small("swapped"),
    "swapped-on-kswapd": _small("swapped", irqs="reclaim"),
    "swapped-buffers-kswapd": _small("swapped+buffers"),
    "swapout-kswapd": _small("swap_out"),
    "swapout-on-kswapd": _small("swap_out", irqs="reclaim"),
    "swapout-task-kswapd": _small("swap_out", context=TASK, cpus=3),
    "swapout-swapoff-kswapd": _small("swap_out+swapoff", cpus=3),
    "swapout-truncated-kswapd": _small("swap_out+truncated"),
    "swapoff-kswapd": _small("swapoff"),
    "swapoff-buffers-kswapd": _small("swapoff+buffers"),
    "swapoff-dirty-kswapd": _small("swapoff+dirty"),
    "unuse-kswapd": _small("unuse", cpus=3),
    "unuse-buffers-kswapd": _small("unuse+buffers", cpus=3),
    "fork-kswapd": _small("fork", cpus=3),
    "fork-swapped-kswapd": _small("fork", "swapped", cpus=3),
    "private-kswapd": _small("private", cpus=3),
    "reader-kswapd": _small("reader"),
    "pin-kswapd-gcc": _small("pin", cpus=3, gcc=True),
    "tv-kswapd-gcc": _small("tv", cpus=3, gcc=True),
    "skb-kswapd-gcc": _small("skb", cpus=3, gcc=True),
    "leave-kswapd-gcc": _small("leave", cpus=3, gcc=True),
    "swap-kswapd-gcc": _small("swap", cpus=3, gcc=True),
    "swapoff-kswapd-gcc": _small("swapoff", cpus=3, gcc=True),
}
