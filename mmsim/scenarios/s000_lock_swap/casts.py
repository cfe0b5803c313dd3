# SPDX-License-Identifier: GPL-2.0-only
"""Who is on the machine, by the kernel's version and the name that a variant gives.

There are as many tasks as CPUs and at least eight; the roles of a cast are dealt out in turn.  A
mutation is tried with the people it concerns; the kernel as it is, and what concerns everybody,
with ANY: one of the version's casts, chosen anew for each run.
"""

ANY = "any"

SMALL = {
    "rm-scanner": ("rm", "scanner"),
    "rm-kswapd": ("rm", "kswapd"),
    "exit-kswapd": ("exit", "kswapd"),
    "exit-scanner": ("exit", "scanner"),
    "rm-scanner-disk": ("rm", "scanner"),
    "rm-kswapd-disk": ("rm", "kswapd"),
}
"""Two actors each, few enough to be explored, in every version; and with -disk an interrupt."""

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


def known_cast(name, era):
    """``name`` if the version has such a cast.  Raises ValueError."""
    if name != ANY and name not in CASTS[era] and name not in SMALL:
        raise ValueError(f"no cast {name!r} in {era}: {', '.join((ANY, *CASTS[era], *SMALL))}")
    return name


def cast_of(machine, variant):
    """(name, roles) of this run."""
    if variant.cast in SMALL:
        return variant.cast, SMALL[variant.cast]
    casts = CASTS[variant.era]
    name = variant.cast
    if name == ANY:
        name = machine.rng.choice([*sorted(casts), "all", "all"])
    return name, casts[name]
