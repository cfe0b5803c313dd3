# SPDX-License-Identifier: GPL-2.0-only
"""Who is on the machine, by the kernel's version and the name that a variant gives.

There are as many tasks as CPUs and at least eight; the roles of a cast are dealt out in turn.  A
mutation is tried with the people it concerns; the kernel as it is, and what concerns everybody,
with ANY: one of the version's casts, chosen anew for each run.

For the search there are small ones: as many tasks as roles, each on a CPU of its own unless it says
otherwise, and no more pages than they need.
"""

from dataclasses import dataclass

ANY = "any"

CASTS = {
    "5.4": {
        "all": ("rm", "kswapd", "page_idle", "reader", "swapin", "driver", "exit", "scanner"),
        "walk": ("rm", "scanner", "exit", "scanner"),
        "reclaim": ("exit", "kswapd", "rm", "kswapd"),
        "rounds": ("exit", "kswapd"),
        "driver": ("rm", "driver", "kswapd", "reader"),
        "cleared": ("rm", "driver"),
        "realloc": ("user", "driver", "fault"),
        "buffers": ("rm", "buffered"),
        "exit": ("exit", "rm", "reader"),
        "exits": ("exit",),
    },
    "5.17": {
        "all": ("truncate", "mover", "kswapd", "reader", "page_idle", "rm", "exit"),
        "charge": ("truncate", "mover", "reader", "kswapd"),
        "walk": ("rm", "scanner", "exit", "scanner"),
        "reclaim": ("exit", "kswapd", "rm", "kswapd"),
        "rounds": ("exit", "kswapd"),
        "exit": ("exit", "rm", "reader"),
    },
}


@dataclass(frozen=True)
class Few:
    """A small cast.

    ``file_pages`` are on both nodes in turn; an exiting task has small pages on the nodes of
    ``heap`` and, if ``huge``, a huge one on node 0.  Reclaim looks at ``scan`` pages of a list,
    ``rounds`` times, on the active lists first if ``aging``.  ``ios`` writes end, the first of a
    huge page.  ``faults`` pages are touched by a new process.  Walks by frame number look at the
    last ``walk`` frames in use, or at all of them.  A driver has ``transfers`` to each page, and
    its process looks at it as often.

    Each role has a CPU of its own, or that of ``on``.  A node has ``spare`` frames that nobody uses
    at first.  ``hoard`` is how many free pages a CPU gathers: with 1 what is freed goes to the
    buddies at once, from where every CPU takes it; 0 is what is usual.
    """

    roles: tuple[str, ...]
    file_pages: int = 2
    heap: tuple[int, ...] = (1, 0)
    huge: bool = True
    scan: int = 2
    rounds: int = 1
    aging: bool = False
    ios: int = 0
    faults: int = 1
    walk: int | None = None
    transfers: int = 3
    on: tuple[int, ...] = ()
    spare: int = 4
    hoard: int = 0


ALONE = {"scanned": Few(("exit", "kswapd", "scanner"), heap=(0,), huge=False, scan=1)}
"""Casts of one task each, whatever the CPUs: among eight the race hardly ever comes about."""


def known_cast(name, era):
    """``name`` if the version has such a cast.  Raises ValueError."""
    known = (ANY, *CASTS[era], *ALONE)
    if name not in known:
        raise ValueError(f"no cast {name!r} in {era}: {', '.join(known)}")
    return name


def cast_of(machine, variant):
    """(name, roles) of this run."""
    casts = CASTS[variant.era]
    name = variant.cast
    if name == ANY:
        name = machine.rng.choice([*sorted(casts), "all", "all"])
    return name, casts[name]
